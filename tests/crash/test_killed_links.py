"""A process that runs a link is killed behind any of its writes; the next one finds both stores whole and converges."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Iterator, Sequence
from contextlib import AsyncExitStack
from pathlib import Path
from random import Random
from typing import Any, Final

import anyio
import pytest
from tests.crash.audit import Content, check_store
from tests.crash.cases import long, short
from tests.crash.children import Child
from tests.crash.trapped import WRITING_CALLS

from tierfold.abc.syncable import ConflictEntry
from tierfold.kv.store import KvStore, open_kv_store
from tierfold.model import Record, SegmentName, Write
from tierfold.specs import OpenContext
from tierfold_lmdb.engine import LmdbEngine

LEASE_MS: Final = 11_000
EVER: Final = 2**31


class Pair:
    """Two stores, what was acknowledged on either side, and a clock that moves on whenever a lease must be over.

    Ids of lane "n" are written near only, of lane "f" far only, of lane "s" on both sides at once.
    """

    def __init__(self, directory: Path, seed: str) -> None:
        self.near, self.far = directory / "near", directory / "far"
        self._random = Random(seed)
        self._ahead_ms = 0
        self._round = 0
        self.expected: dict[tuple[SegmentName, str], Record] = {}
        self.contested: list[str] = []

    # --- writing and looking, in this process --------------------------------------------------------------------

    def _context(self) -> OpenContext:
        return OpenContext(lambda: time.time_ns() // 1_000_000 + self._ahead_ms, os.urandom)

    def edit(self) -> None:
        """Write on both sides: in a partition that both know and in a new one, and ids that both sides edit."""
        self._round += 1
        fresh = f"fresh{self._round}"
        shared = [self._write("both", "s", number) for number in self._random.sample(range(20), 3)]
        near = [*self._lane("both", "n"), *self._lane(fresh, "n")]
        far = [*self._lane("both", "f"), *self._lane(fresh, "f")]
        self.contested += [write.id for write in shared]
        anyio.run(self._store, self.near, near + shared)
        anyio.run(self._store, self.far, [*far, *(Write(w.segment, w.id, b"far " + w.payload) for w in shared)])  # type: ignore[operator]

    def edit_near_again(self) -> None:
        """The user goes on, on rows whose delivery nobody knows the outcome of."""
        fresh = f"fresh{self._round}"
        anyio.run(self._store, self.near, [*self._lane("both", "n"), *self._lane(fresh, "n")])

    def _lane(self, partition: str, lane: str) -> Iterator[Write]:
        for number in self._random.sample(range(12), 8):
            yield self._write(partition, lane, number, deletes=self._random.random() < 0.25)

    def _write(self, partition: str, lane: str, number: int, *, deletes: bool = False) -> Write:
        payload = None if deletes else self._random.randbytes(self._random.choice((20, 200)))
        return Write(SegmentName("Entry", f"app.{partition}"), f"{partition}.{lane}{number}", payload)

    async def _store(self, directory: Path, writes: list[Write]) -> None:
        async with open_kv_store(LmdbEngine(str(directory)), self._context()) as store:
            for write, written in zip(writes, (await store.write(writes)).written, strict=True):
                before = self.expected.get((write.segment, write.id))
                if written.record is not None and (before is None or written.record.stamp > before.stamp):
                    self.expected[write.segment, write.id] = written.record

    def look(self) -> tuple[Content, Content, list[ConflictEntry]]:
        """Check both stores; their content and the conflict log of the nearer one."""

        async def read() -> tuple[Content, Content, list[ConflictEntry]]:
            async with AsyncExitStack() as stack:
                stores: list[KvStore] = []
                for directory in (self.near, self.far):
                    opening = open_kv_store(LmdbEngine(str(directory)), self._context())
                    stores.append(await stack.enter_async_context(opening))
                contents = []
                for store in stores:
                    with store.snapshot() as reading:
                        contents.append(check_store(reading))
                log = await stores[0].conflict_log(0, EVER)
                return contents[0], contents[1], [entry for _, entry in log]

        return anyio.run(read)

    # --- the link, in a process of its own -----------------------------------------------------------------------

    def link(self, call: str = "", count: int = 0) -> dict[str, Any] | None:
        """Run the link; None when it was killed behind the ``count``-th ``call``."""
        self._ahead_ms += LEASE_MS
        with Child("tests.crash.linker", self.near, self.far, call, count, self._ahead_ms) as child:
            return json.loads(child.lines[0]) if child.wait_for_end() == 0 else None


def agree(pair: Pair) -> None:
    """Both sides hold exactly what was acknowledged, and only what both sides edited was a conflict."""
    near, far, conflicts = pair.look()
    assert near == far
    held = {(segment, id): record for segment, records in near.items() for id, record in records.items()}
    assert held == pair.expected
    assert sorted(entry.loser.id for entry in conflicts) == sorted(pair.contested)


@pytest.fixture
def pair(tmp_path: Path) -> Pair:
    seed = os.environ.get("TIERFOLD_SEED", os.urandom(4).hex())
    print(f"TIERFOLD_SEED={seed}")
    return Pair(tmp_path, seed)


def test_a_run_that_nobody_disturbs_ends_verified(pair: Pair) -> None:
    pair.edit()
    assert pair.link() == {"verified": True, "moved": False}
    agree(pair)


@pytest.mark.parametrize(
    "calls",
    [short(("apply", "settle")), long(WRITING_CALLS)],
    ids=["some", "all"],
)
def test_a_link_killed_behind_any_of_its_writes_loses_nothing_and_makes_no_false_conflict(
    pair: Pair, calls: Sequence[str]
) -> None:
    """What is under way goes on being edited: an answer that was lost must not make a conflict of it."""
    most = 8 if len(calls) > 2 else 2
    kills = {call: kill_behind_each(pair, call, most) for call in calls}
    print(kills)
    assert all(kills[call] for call in ("register", "apply", "settle", "acknowledge") if call in kills)


def kill_behind_each(pair: Pair, call: str, most: int) -> int:
    """Kill one link behind the first call of a name, the next behind the second and so on; how often there was one."""
    for count in range(1, most + 1):
        pair.edit()
        if pair.link(call, count) is not None:
            agree(pair)
            return count - 1
        pair.look()
        pair.edit_near_again()
        assert pair.link() == {"verified": True, "moved": False}
        agree(pair)
    return most
