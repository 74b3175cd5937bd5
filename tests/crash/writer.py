"""A program that writes to one LMDB store without end in lanes, and says what it tries and what is acknowledged.

Meanwhile it has indexes built and dropped.

    python -m tests.crash.writer DIRECTORY SEED honest|early NAME...

One lane per name. ``early`` acknowledges before it commits: the mistake that the proof must be able to see.
"""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from random import Random
from typing import Final

import anyio
import anyio.to_thread
from tests.crash.ledger import Attempt

from tierfold.kv.store import KvStore, open_kv_store
from tierfold.specs import OpenContext
from tierfold_lmdb.engine import LmdbEngine

_IDS: Final = 40
_LONGEST_BATCH: Final = 24
_TYPES: Final = ("Alpha", "Beta")

Say = Callable[[bytes], object]


def attempts(lane: str, random: Random, seed: str) -> Callable[[], Attempt]:
    """The batches of a lane, one per call: single saves, batches over two types and two partitions, deletes."""
    count = 0
    every_cell = [(type, own, number) for type in _TYPES for own in (False, True) for number in range(_IDS)]

    def draw() -> Attempt:
        nonlocal count
        count += 1
        size = 1 if random.random() < 0.5 else random.randint(2, _LONGEST_BATCH)
        deletes = random.random() < 0.25
        cells = random.sample(every_cell, size)
        batch = []
        for index, (type, own, number) in enumerate(cells):
            key = lane if own else "shared"
            mark = None if deletes else f"{seed}/{lane}/{count}/{index}"
            batch.append((type, f"app.{key}", f"{key}.{lane}-{number}", mark, random.choice((50, 400, 3000))))
        return Attempt(lane, batch)

    return draw


async def write_lane(store: KvStore, draw: Callable[[], Attempt], early: bool, say: Say) -> None:
    while True:
        attempt = draw()
        say(attempt.line())
        if early:
            say(attempt.acknowledgement())
        await store.write(attempt.writes())
        if not early:
            say(attempt.acknowledgement())


async def change_indexes(store: KvStore, random: Random) -> None:
    """Want other indexes again and again, and build and drop them bit by bit."""
    while True:
        type = random.choice(_TYPES)
        wanted = [path for path in (("mark",), ("size",), ("missing",)) if random.random() < 0.6]
        await store.hold_indexes(type, wanted, b"writer", 3600)
        for _ in range(random.randint(0, 10)):
            await store.tend_indexes(random.choice((3, 20, 500)))


def write_lane_blocking(store: KvStore, draw: Callable[[], Attempt], say: Say) -> None:
    while True:
        attempt = draw()
        say(attempt.line())
        store.write_blocking(attempt.writes())
        say(attempt.acknowledgement())


async def main(directory: Path, seed: str, early: bool, lanes: list[str]) -> None:
    say = partial(os.write, sys.stdout.fileno())
    context = OpenContext(lambda: time.time_ns() // 1_000_000, os.urandom)
    async with open_kv_store(LmdbEngine(str(directory)), context) as store, anyio.create_task_group() as tasks:
        for number, lane in enumerate(lanes):
            draw = attempts(lane, Random(f"{seed}/{lane}"), seed)
            if number == 0 and not early:
                tasks.start_soon(anyio.to_thread.run_sync, write_lane_blocking, store, draw, say)
            else:
                tasks.start_soon(write_lane, store, draw, early, say)
        tasks.start_soon(change_indexes, store, Random(f"{seed}/indexes"))


if __name__ == "__main__":
    _, place, drawn, manner, *names = sys.argv
    backend = Random(drawn).choice(("asyncio", "trio"))
    anyio.run(main, Path(place), drawn, manner == "early", names, backend=backend)
