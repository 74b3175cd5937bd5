"""What a technician sees of some sites, in the office and away from it: `tablet.py oslo bergen -- TIER…`."""

import asyncio
import sys
from collections.abc import Sequence

import tierfold
from tierfold import PartitionUnavailableError


class Pump(tierfold.Entity, partition="{site}", id="{serial}"):
    site: str
    serial: str
    state: str = "running"


async def main(sites: Sequence[str], tiers: Sequence[str]) -> None:
    async with tierfold.open(*tiers) as data:
        pumps = data.repo(Pump)
        for site in sites:
            try:
                found = await pumps.query(partitions=[site], sort=["serial"]).all()
            except PartitionUnavailableError:  # not here, and nobody who has it can be reached
                print(f"{site}: not on this tablet")
            else:
                print(f"{site}: {', '.join(f'{pump.serial} {pump.state}' for pump in found) or 'no pumps'}")
        page = await pumps.query(partitions=sites).page()
        print(
            f"{len(page)} pumps; " + (f"missing: {', '.join(page.missing)}" if page.missing else "nothing is missing")
        )


if __name__ == "__main__":
    cut = sys.argv.index("--")
    asyncio.run(main(sys.argv[1:cut], sys.argv[cut + 1 :]))
