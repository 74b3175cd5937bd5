"""Reads a sensor every second and keeps the samples, whether or not the office can be reached."""

import asyncio
import signal
import sys
from datetime import UTC, datetime
from pathlib import Path

from plant import Sample

import tierfold
from tierfold import Tier


async def main(sensor: Path, near: str, far: str) -> None:
    logger = asyncio.current_task()
    assert logger is not None
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, logger.cancel)
    office = Tier(far, name="office", interval="30s")
    async with tierfold.open(near, office, prefix="plant", close_timeout_s=10) as data:
        samples = data.repo(Sample)
        while True:
            celsius = float(await asyncio.to_thread(sensor.read_text))
            await samples.save(Sample(sensor=sensor.stem, time=datetime.now(UTC), celsius=celsius))
            await asyncio.sleep(1)
            print(celsius, "kept here" if data.dirty else "delivered", flush=True)


if __name__ == "__main__":
    try:
        asyncio.run(main(Path(sys.argv[1]), sys.argv[2], sys.argv[3]))
    except (asyncio.CancelledError, KeyboardInterrupt):
        print("closed")
