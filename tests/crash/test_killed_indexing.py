"""Programs are killed while they build an index and write; the next one goes on, and the index is right."""

from __future__ import annotations

import os
import time
from pathlib import Path
from random import Random

import anyio
import pytest
from tests.crash.audit import check_store
from tests.crash.cases import long, short
from tests.crash.children import Child
from tests.crash.indexer import RECORDS, STEP, write_of

from tierfold.abc.indexed import IndexStatus
from tierfold.kv.store import open_kv_store
from tierfold.specs import OpenContext
from tierfold_lmdb.engine import LmdbEngine


def wall_ms() -> int:
    return time.time_ns() // 1_000_000


async def fill(directory: Path) -> None:
    async with open_kv_store(LmdbEngine(str(directory)), OpenContext(wall_ms, os.urandom)) as store:
        await store.write([write_of(Random(0), number) for number in range(RECORDS)])


async def look(directory: Path) -> IndexStatus | None:
    """Check every row, the index against the records too, and say how the index is."""
    async with open_kv_store(LmdbEngine(str(directory)), OpenContext(wall_ms, os.urandom)) as store:
        with store.snapshot() as reading:
            check_store(reading)
        return next(iter(store.indexes("Thing")), None)


@pytest.mark.parametrize("times", [short(1), long(25)])
def test_an_index_is_gone_on_with_by_the_next_program_when_its_builder_is_killed(tmp_path: Path, times: int) -> None:
    seed = os.environ.get("TIERFOLD_SEED", os.urandom(4).hex())
    print(f"TIERFOLD_SEED={seed}")
    for turn in range(times):
        build(tmp_path / f"store{turn}", f"{seed}.{turn}")


def await_steps(child: Child, count: int) -> None:
    child.wait_until(lambda: child.lines[-1:] == ["ready"] or len(child.lines) >= count)


def build(directory: Path, seed: str) -> None:
    random = Random(seed)
    anyio.run(fill, directory)
    steps = kills = 0
    while True:
        with Child("tests.crash.indexer", directory, f"{seed}.{kills}") as child:
            await_steps(child, random.randint(2, 12))
            time.sleep(random.uniform(0, 0.004))
            child.kill()
            steps += child.lines.count("step")
            is_ready = "ready" in child.lines
        kills += 1
        status = anyio.run(look, directory)
        assert status is not None
        if is_ready:
            break
    print(f"{kills} kills, {steps} steps for {RECORDS} records")
    assert kills > 2
    assert status.state == "ready"
    # What was told is at most what had to be done: nobody began anew.
    assert steps <= RECORDS / STEP + 4 + kills
