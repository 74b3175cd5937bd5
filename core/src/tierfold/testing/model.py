"""Random histories of a store beside the memory store, which must do the same."""

from __future__ import annotations

import itertools
from collections.abc import Awaitable, Callable, Iterator, Sequence
from contextlib import AbstractAsyncContextManager, ExitStack
from typing import Any, Final, Literal, TypeVar

from anyio.from_thread import BlockingPortal, start_blocking_portal
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)

from tierfold.abc.syncable import SyncableStore
from tierfold.digest import subtotal, sum_bytes
from tierfold.errors import TierfoldError
from tierfold.kv.memory import MemoryEngine
from tierfold.kv.store import open_kv_store
from tierfold.model import ABSENT, ANY, Commit, Digest, FeedToken, Record, SegmentName, Write
from tierfold.specs import OpenContext
from tierfold.testing.fakes import FakeClock, fake_context
from tierfold.testing.samples import OSLO, ROME, foreign, origin, push, register

__all__ = ["compare_with_memory"]

T = TypeVar("T")
Expects = Literal["any", "absent", "current", "older"]
Asked = tuple[SegmentName, str, bytes | None, Expects]
OpenStore = Callable[[int, OpenContext], AbstractAsyncContextManager[SyncableStore]]
Held = dict[tuple[SegmentName, str], Digest]

_ALL: Final = 10_000_000
_IDS: Final = [f"oslo.{number}" for number in range(8)]
_segments = st.sampled_from([OSLO, ROME, SegmentName("Other", OSLO.partition)])
_expects: st.SearchStrategy[Expects] = st.sampled_from(["any", "any", "absent", "current", "older"])
_writes = st.tuples(_segments, st.sampled_from(_IDS), st.none() | st.binary(max_size=3), _expects)


class _Side:
    """One of the two stores, and the hashes its records have and had."""

    def __init__(self, portal: BlockingPortal) -> None:
        self.portal = portal
        self.stack: ExitStack = ExitStack()
        self.now: Held = {}
        self.before: Held = {}
        self.token: FeedToken | None = None

    def open(self, manager: AbstractAsyncContextManager[SyncableStore]) -> None:
        self.store: SyncableStore = self.stack.enter_context(self.portal.wrap_async_context_manager(manager))

    def call(self, function: Callable[..., Awaitable[T]], *args: Any) -> T:
        return self.portal.call(function, *args)

    def write(self, asked: Sequence[Asked]) -> object:
        """Write a batch; what came of it, without what differs between stores."""
        writes = [
            Write(segment, id, payload, expected=self._expected(segment, id, expects))
            for segment, id, payload, expects in asked
        ]
        try:
            commit: Commit = self.call(self.store.write, writes)
        except TierfoldError as error:
            return type(error)
        for write, written in zip(writes, commit.written, strict=True):
            if written.record is not None:
                self._note((write.segment, write.id), written.record)
        return [_facts(written.record) for written in commit.written]

    def apply(self, record: Record, expects: Expects, number: int) -> object:
        """Apply a batch of one row of a peer."""
        name = OSLO, record.id
        pushes = [push(record, self._expected(OSLO, record.id, expects))]
        applied = self.call(self.store.apply, OSLO, pushes, origin(number))
        if applied.accepted:
            self._note(name, record)
        refused = [_facts(record) for record in applied.refused.values()]
        return applied.accepted, refused, applied.deferred.keys(), applied.closed

    def _expected(self, segment: SegmentName, id: str, expects: Expects) -> Digest:
        known: dict[Expects, Digest] = {"any": ANY, "absent": ABSENT}
        known["current"] = self.now.get((segment, id), Digest(b"0" * 16))
        known["older"] = self.before.get((segment, id), Digest(b"1" * 16))
        return known[expects]

    def _note(self, name: tuple[SegmentName, str], record: Record) -> None:
        if name in self.now and self.now[name] != record.hash:
            self.before[name] = self.now[name]
        self.now[name] = record.hash

    def changed(self) -> set[SegmentName]:
        """Segments that the feed names since the last look."""
        feed = self.call(self.store.feed, self.token)
        assert len(feed.segments) == len(set(feed.segments))
        self.token = feed.token
        return set(feed.segments)

    def rows(self, segment: SegmentName) -> list[Record]:
        """Live records and tombstones in commit order."""
        return list(self.call(self.store.changes, segment, None, _ALL, None).records)

    def page_through(self, segment: SegmentName, limit: int) -> list[str]:
        found: list[str] = []
        while True:
            page = self.call(self.store.scan, segment, found[-1] if found else None, limit)
            found += [record.id for record in page]
            if len(page) < limit:
                return found


def _facts(record: Record | None) -> object:
    return None if record is None else (record.id, record.deleted, record.payload, record.version, record.schema)


class StoreMachine(RuleBasedStateMachine):
    """A store and the memory store, side by side. `compare_with_memory` fills in the attributes.

    Attributes:
        open_store: Opens the store of a number, empty when the number is new.
        reopens: Content outlives closing; histories then close and open the store, too.
    """

    portal: BlockingPortal
    open_store: OpenStore
    numbers: Iterator[int]
    reopens: bool

    @initialize()
    def begin(self) -> None:
        self.clock: FakeClock = FakeClock()
        self.batch: int = 0
        self.real: _Side = _Side(self.portal)
        self.model: _Side = _Side(self.portal)
        self.sides: tuple[_Side, _Side] = (self.real, self.model)
        self.number: int = next(self.numbers)
        self.context: OpenContext = fake_context(self.clock)
        self.real.open(self.open_store(self.number, self.context))
        self.model.open(open_kv_store(MemoryEngine("model"), fake_context(self.clock, seed=7)))
        for side in self.sides:
            side.call(register, side.store)

    def teardown(self) -> None:
        if hasattr(self, "sides"):
            for side in self.sides:
                side.stack.close()

    @rule(asked=st.lists(_writes, min_size=1, max_size=5))
    def write(self, asked: list[Asked]) -> None:
        assert self.real.write(asked) == self.model.write(asked)

    @rule(id=st.sampled_from(_IDS), payload=st.none() | st.binary(max_size=3), expects=_expects, late=st.booleans())
    def apply(self, id: str, payload: bytes | None, expects: Expects, late: bool) -> None:
        self.batch += not late
        record = foreign(id, payload, ms=self.clock() - 5 + self.batch)
        assert self.real.apply(record, expects, self.batch) == self.model.apply(record, expects, self.batch)

    @rule(ms=st.sampled_from([-60_000, 0, 1, 1000, 86_400_000]))
    def let_time_pass(self, ms: int) -> None:
        self.clock.advance(ms=ms)

    @precondition(lambda self: self.reopens)
    @rule()
    def reopen(self) -> None:
        self.real.stack.close()
        self.real.open(self.open_store(self.number, self.context))

    @rule()
    def look_at_the_feed(self) -> None:
        assert self.real.changed() == self.model.changed()

    @rule(segment=_segments, limit=st.integers(min_value=1, max_value=9))
    def page_through(self, segment: SegmentName, limit: int) -> None:
        real, model = (side.page_through(segment, limit) for side in self.sides)
        assert sorted(real) == sorted(model)

    @invariant()
    def same_rows(self) -> None:
        for segment in (OSLO, ROME) if hasattr(self, "sides") else ():
            real, model = (side.rows(segment) for side in self.sides)
            assert list(map(_facts, real)) == list(map(_facts, model))
            assert all(record.hash == self.real.now[segment, record.id] for record in real)

    @invariant()
    def sums_fit_the_rows(self) -> None:
        if hasattr(self, "sides"):
            roots = self.real.call(self.real.store.roots, OSLO.partition).segments
            for segment, root in roots.items():
                rows = self.real.rows(segment)
                live = [record.hash for record in rows if not record.deleted]
                gone = [record.hash for record in rows if record.deleted]
                dead = subtotal(root.tombstones.values())
                assert (root.live, root.live_count) == (sum_bytes(subtotal(live)), len(live))
                assert dead == subtotal(gone)


def compare_with_memory(open_store: OpenStore, backend: str, *, reopens: bool, steps: int = 20) -> None:
    """Run random histories on an event loop of ``backend``; fails with the shortest history that differs."""
    with start_blocking_portal(backend) as portal:
        attributes = {
            "portal": portal,
            "open_store": staticmethod(open_store),
            "numbers": itertools.count(),
            "reopens": reopens,
        }
        machine = type("Machine", (StoreMachine,), attributes)
        run_state_machine_as_test(machine, settings=settings(stateful_step_count=steps))
