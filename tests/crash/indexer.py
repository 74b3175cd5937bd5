"""A program that builds an index over one LMDB store in short steps while it writes, and says how far it is.

    python -m tests.crash.indexer DIRECTORY SEED

It prints a line for each step, and ``ready`` at the end.
"""

from __future__ import annotations

import os
import sys
import time
from pathlib import Path
from random import Random
from typing import Final

import anyio

from tierfold.codec import encode
from tierfold.kv.store import KvStore, open_kv_store
from tierfold.model import SegmentName, Write
from tierfold.specs import OpenContext
from tierfold_lmdb.engine import LmdbEngine

__all__ = ["RECORDS", "SEGMENTS", "STEP", "write_of"]

RECORDS: Final = 2_000
STEP: Final = 50
SEGMENTS: Final = [SegmentName("Thing", f"app.{site}") for site in ("bern", "oslo", "rome")]


def write_of(random: Random, number: int) -> Write:
    """A new value, or now and then a delete."""
    segment = SEGMENTS[number % len(SEGMENTS)]
    payload = None if random.random() < 0.1 else encode({"n": random.randrange(100), "text": "x" * 50})
    return Write(segment, f"{segment.partition[4:]}.{number}", payload)


async def change(store: KvStore, random: Random) -> None:
    while True:
        await store.write([write_of(random, random.randrange(RECORDS)) for _ in range(random.randint(1, 20))])
        await anyio.sleep(0.001)


async def main(directory: Path, seed: str) -> None:
    random = Random(seed)
    context = OpenContext(lambda: time.time_ns() // 1_000_000, os.urandom)
    async with open_kv_store(LmdbEngine(str(directory)), context) as store, anyio.create_task_group() as tasks:
        await store.hold_indexes("Thing", [("n",)], b"indexer", 3600)
        tasks.start_soon(change, store, random)
        while await store.tend_indexes(STEP):
            print("step", flush=True)
        print("ready", flush=True)
        tasks.cancel_scope.cancel()


if __name__ == "__main__":
    _, place, drawn = sys.argv
    anyio.run(main, Path(place), drawn, backend=Random(drawn).choice(("asyncio", "trio")))
