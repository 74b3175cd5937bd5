"""Reads a sensor every second and keeps the samples, whether or not the office can be reached."""

import asyncio
import signal
import sys
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path

from plant import Sample

import tierfold
from tierfold import Tier


async def main(sensor: Path, near: str, far: str) -> None:
    stop = asyncio.Event()
    for reason in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(reason, stop.set)
    office = Tier(far, name="office", interval="30s")
    async with tierfold.open(near, office, prefix="plant", close_timeout_s=10) as data:
        samples = data.repo(Sample)
        while not stop.is_set():
            celsius = float(await asyncio.to_thread(sensor.read_text))
            await samples.save(Sample(sensor=sensor.stem, time=datetime.now(UTC), celsius=celsius))
            with suppress(TimeoutError):
                await asyncio.wait_for(stop.wait(), timeout=1)
            print(celsius, "kept here" if data.dirty else "delivered", flush=True)
    print("closed;", "some samples wait for the next time" if data.dirty else "all is delivered")


if __name__ == "__main__":
    asyncio.run(main(Path(sys.argv[1]), sys.argv[2], sys.argv[3]))
