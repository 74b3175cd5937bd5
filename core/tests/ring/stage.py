"""Stores on the memory engine, driven without an event loop: their coroutines never suspend."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Coroutine, Iterator, Mapping
from contextlib import contextmanager
from inspect import isawaitable
from typing import Any, Final, TypeVar, cast

from tierfold.abc.syncable import NearerStore, SyncableStore
from tierfold.kv.memory import MemoryEngine
from tierfold.kv.store import KvStore
from tierfold.layout import RECORD, end_of, open_row
from tierfold.link.partition import PartitionRun, Terms
from tierfold.link.report import RunReport
from tierfold.model import Record, SegmentName, Write
from tierfold.records.answering import record_of
from tierfold.records.session import WriteSession
from tierfold.records.snapshot import Snapshot
from tierfold.resolve import LWW
from tierfold.testing.fakes import FakeClock, fake_context

__all__ = ["PARTITION", "SENSORS", "Hooked", "Store", "drive", "ids", "link", "never_lost", "run", "terms"]

T = TypeVar("T")
PARTITION: Final = "app.oslo"
SENSORS: Final = SegmentName("Sensor", PARTITION)


def drive(coroutine: Coroutine[Any, Any, T]) -> T:
    """Run a coroutine that never suspends."""
    try:
        coroutine.send(None)
    except StopIteration as done:
        answer: T = done.value
        return answer
    coroutine.close()
    raise AssertionError("the coroutine suspended")


class Store:
    """One memory store with what tests say to it."""

    def __init__(self, seed: int, clock: FakeClock | None = None) -> None:
        self.clock = clock or FakeClock()
        self.engine = MemoryEngine(f"memory/{seed}")
        self.kv = KvStore(self.engine, fake_context(self.clock, seed))
        drive(self.kv.identify())

    def save(self, id: str, payload: bytes | None = b"\xa0", segment: SegmentName = SENSORS) -> Record:
        return self.save_many([id], payload, segment)[0]

    def save_many(
        self, ids: list[str], payload: bytes | None = b"\xa0", segment: SegmentName = SENSORS
    ) -> list[Record]:
        self.clock.advance(ms=1)
        commit = drive(self.kv.write([Write(segment, id, payload) for id in ids]))
        return [written.record for written in commit.written if written.record is not None]

    def delete(self, id: str, segment: SegmentName = SENSORS) -> Record:
        return self.save(id, None, segment)

    def held(self, segment: SegmentName = SENSORS) -> dict[str, Record]:
        """Every row of a segment, tombstones included, whatever the presence."""
        with self.kv.snapshot() as reading:
            state = reading.find(segment)
            if state is None:
                return {}
            low = RECORD + state.number
            rows = [record_of(state, open_row(key, value)) for key, value in reading.txn.scan(low, end_of(low))]
            return {record.id: record for record in rows}

    def held_soundly(self, segment: SegmentName = SENSORS) -> dict[str, bytes]:
        """Payloads by id, of the rows that are not damaged."""
        page = drive(self.kv.snapshot_page(segment, b"", 1_000_000))
        return {record.id: record.payload for record in page.records}

    def damage(self, id: str, segment: SegmentName = SENSORS) -> None:
        """A row is gone for no reason; no counter moves."""
        with self.writing() as session:
            state = session.segment(segment)
            key = state.hasher.key(id.encode())
            row = session.row(state, key)
            assert row is not None
            session.remove(state, key, row)

    def flip(self, id: str, segment: SegmentName = SENSORS) -> str:
        """A bit of a row flips; returns what the row is called in reports."""
        with self.writing() as session:
            state = session.segment(segment)
            key = state.hasher.key(id.encode())
            value = bytearray(session.txn.get(RECORD + state.number + key) or b"")
            value[-5] ^= 1
            session.txn.put(RECORD + state.number + key, bytes(value))
        return key.hex()

    @contextmanager
    def writing(self) -> Iterator[WriteSession]:
        """A transaction that is committed at the end."""
        txn = self.engine.begin()
        session = WriteSession(txn, self.kv._opened)
        yield session
        session.flush()
        txn.commit()

    @contextmanager
    def reading(self) -> Iterator[Snapshot[Any]]:
        with self.kv.snapshot() as reading:
            yield reading


class Hooked:
    """Stands before a store, counts its calls, and does something before or after some of them.

    Args:
        before: Called with the arguments before the call of that name.
        after: Called with the answer; returns the answer to give, perhaps to be awaited.
    """

    def __init__(
        self,
        store: KvStore,
        *,
        before: Mapping[str, Callable[..., object]] | None = None,
        after: Mapping[str, Callable[[Any], Any]] | None = None,
    ) -> None:
        self._store, self._before, self._after = store, before or {}, after or {}
        self.calls: list[str] = []

    def __getattr__(self, name: str) -> Callable[..., Coroutine[Any, Any, Any]]:
        async def call(*arguments: Any, **keywords: Any) -> Any:
            self.calls.append(name)
            if name in self._before:
                self._before[name](*arguments)
            answer = await getattr(self._store, name)(*arguments, **keywords)
            if name not in self._after:
                return answer
            given = self._after[name](answer)
            return await given if isawaitable(given) else given

        return call


def link(near: Store, far: Store) -> int:
    """Take the lease and attach; returns the fencing token."""
    lease = drive(near.kv.lease("up", b"test", 60))
    assert lease is not None
    drive(near.kv.attach("up", drive(far.kv.identity()).store, lease.token))
    return lease.token


async def never_lost() -> None:
    """The lease of a run that nobody else wants."""


def terms(
    near: Store,
    token: int,
    *,
    page_bytes: int = 1_000_000,
    refused: frozenset[str] = frozenset(),
    renew: Callable[[], Awaitable[None]] = never_lost,
) -> Terms:
    peer = drive(near.kv.identity()).store
    hasher = near.kv._opened.hasher
    return Terms("up", peer, token, None, page_bytes, near.clock, lambda _: LWW, refused, hasher, renew)


def run(
    near: Store,
    far: Store,
    *,
    page_bytes: int = 1_000_000,
    refused: frozenset[str] = frozenset(),
    over: Hooked | None = None,
    under: Hooked | None = None,
    insist: bool = False,
) -> RunReport:
    """One run over the partition; ``over`` stands before the farther store, ``under`` before the nearer one."""
    agreed = terms(near, link(near, far), page_bytes=page_bytes, refused=refused)
    nearer, farther = cast(NearerStore, under or near.kv), cast(SyncableStore, over or far.kv)
    return drive(PartitionRun(nearer, farther, PARTITION, agreed, insist=insist).run())


def ids(store: Store) -> list[str]:
    """Ids of the live records."""
    return sorted(id for id, record in store.held().items() if not record.deleted)
