"""F1: a writer killed at any moment loses nothing that was acknowledged and leaves no half of a batch behind."""

from __future__ import annotations

import os
import time
from contextlib import ExitStack
from pathlib import Path
from random import Random
from typing import Final

import anyio
import pytest
from tests.crash.audit import Content, check_store
from tests.crash.cases import long, short
from tests.crash.children import Child
from tests.crash.ledger import Ledger, Verdict

from tierfold.codec import encode
from tierfold.kv.store import open_kv_store
from tierfold.model import ANY, SegmentName, Write
from tierfold.specs import OpenContext
from tierfold_lmdb.engine import LmdbEngine

REOPEN_LIMIT_S: Final = 1.0
FIRST: Final = 20
"""Acknowledgements waited for in the first cycle; later ones may kill a program that has not even opened its store."""
PROBE: Final = SegmentName("Probe", "app.probe")


def wall_ms() -> int:
    return time.time_ns() // 1_000_000


def reopen(directory: Path) -> Content:
    """Open, read, write and check the store that a killed program left."""

    async def look() -> Content:
        started_s = time.perf_counter()
        async with open_kv_store(LmdbEngine(str(directory)), OpenContext(wall_ms, os.urandom)) as store:
            await store.write([Write(PROBE, "probe.1", encode({"mark": "probe"}), expected=ANY)])
            assert store.find(PROBE, "probe.1") is not None
            assert time.perf_counter() - started_s < REOPEN_LIMIT_S
            with store.snapshot() as reading:
                return check_store(reading)

    return anyio.run(look)


class Scene:
    """One store and the ledger of everybody who ever wrote to it."""

    def __init__(self, directory: Path, seed: str) -> None:
        self._directory, self._seed = directory, seed
        self._random = Random(seed)
        self._cycle = 0
        self.ledger = Ledger()
        self.total = Verdict()

    def kill_once(self, manner: str, programs: int = 1) -> None:
        """Start programs, kill them at a moment drawn from the seed, and check what they left."""
        self._cycle += 1
        acknowledged = FIRST if self._cycle == 1 else self._random.choice((*[0] * 10, *range(1, 40)))
        rest_s = self._random.uniform(0, 0.004 if acknowledged else 0.4)
        with ExitStack() as stack:
            running = [stack.enter_context(self._start(manner, number)) for number in range(programs)]
            for child in running:
                child.wait_for_count(acknowledged)
                time.sleep(rest_s)  # where in a commit it dies is the point of it
                child.kill()
        self.total.add(self.ledger.judge(reopen(self._directory)))

    def _start(self, manner: str, number: int) -> Child:
        lanes = [f"{number}{lane}" for lane in "abc"]
        return Child(
            "tests.crash.writer",
            self._directory,
            f"{self._seed}.{self._cycle}.{number}",
            manner,
            *lanes,
            hear=self.ledger.read,
        )

    def run(self, cycles: int, manner: str = "honest", programs: int = 1) -> Verdict:
        for _ in range(cycles):
            self.kill_once(manner, programs)
        print(f"{cycles} cycles of {programs} {manner} programs: {self.total}")
        return self.total


@pytest.fixture
def scene(tmp_path: Path) -> Scene:
    seed = os.environ.get("TIERFOLD_SEED", os.urandom(4).hex())
    print(f"TIERFOLD_SEED={seed}")
    return Scene(tmp_path / "store", seed)


@pytest.mark.parametrize("cycles", [short(10), long(200)])
def test_no_acknowledged_write_is_lost_and_no_batch_is_torn_by_kills(scene: Scene, cycles: int) -> None:
    verdict = scene.run(cycles)
    assert (verdict.lost, verdict.torn) == (0, 0)
    assert verdict.acknowledged >= FIRST + 2 * (cycles - 1)


@pytest.mark.parametrize("cycles", [short(2), long(60)])
def test_programs_killed_one_after_the_other_harm_neither_the_store_nor_each_other(scene: Scene, cycles: int) -> None:
    verdict = scene.run(cycles, programs=3)
    assert (verdict.lost, verdict.torn) == (0, 0)
    assert verdict.acknowledged >= FIRST + 2 * (cycles - 1)


def test_a_writer_that_acknowledges_before_it_commits_is_caught(scene: Scene) -> None:
    """The negative control: without it nobody knows whether this proof can fail."""
    verdict = scene.run(5, "early")
    assert verdict.lost > 0
