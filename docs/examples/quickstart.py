"""Weather stations, kept in a folder beside the program."""

import asyncio

import tierfold
from tierfold import F


class Station(tierfold.Entity, partition="{region}", id="{code}", index=["celsius"]):
    region: str
    code: str
    celsius: float | None = None


async def main() -> None:
    async with tierfold.open("lmdb:./weather") as data:
        stations = data.repo(Station)
        await stations.save(Station(region="bergen", code="florida", celsius=3.0))
        await stations.save(Station(region="oslo", code="blindern", celsius=-4.5))
        await stations.modify("oslo.blindern", lambda station: setattr(station, "celsius", -5.0))
        async for station in stations.query(F.celsius < 0, sort=["celsius"]):
            print(f"{station.id}: {station.celsius} degrees, version {station.version}")


if __name__ == "__main__":
    asyncio.run(main())
