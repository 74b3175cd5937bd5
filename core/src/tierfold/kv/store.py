"""An embedded store as a tier: both sides of a link over the record logic. Only the engines differ."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Callable, Sequence
from contextlib import asynccontextmanager
from typing import Any, Final

from tierfold.abc.engine import DurableEngine, Engine
from tierfold.abc.syncable import (
    Applied,
    Changes,
    ConflictEntry,
    Feed,
    Heads,
    Identity,
    Leaves,
    LinkLease,
    NearerStore,
    NearRows,
    NearView,
    PartitionMarks,
    Peer,
    Presence,
    Push,
    PushOrigin,
    Registered,
    Registration,
    Roots,
    Rows,
    Scan,
    ScopeRoot,
    Settled,
    Settlement,
)
from tierfold.digest import sum_bytes
from tierfold.kv.local import EmbeddedStore
from tierfold.layout import CONFLICT_ROWS, PARTITION_ROWS, end_of
from tierfold.model import Digest, FeedToken, Position, Record, SegmentName, StoreId
from tierfold.records import answering, applying, nearing
from tierfold.records.keeping import (
    AttachUnit,
    CollectUnit,
    EvictUnit,
    IdentifyUnit,
    LeaseUnit,
    MarkUnit,
    NoteFeedUnit,
    ReleaseUnit,
    WantUnit,
    mark_all_gone_back,
)
from tierfold.records.positions import knows, remembers
from tierfold.records.session import WriteSession
from tierfold.records.settling import SettleUnit, WriteThroughUnit, conflict_of, mark
from tierfold.records.snapshot import Snapshot
from tierfold.specs import OpenContext

__all__ = ["KvStore", "open_kv_store"]

_KNOWN_ROOTS: Final = 1024

Reading = Snapshot[Any]


@asynccontextmanager
async def open_kv_store(engine: Engine, context: OpenContext) -> AsyncGenerator[KvStore]:
    """Open a store on an engine, creating it when the engine is empty; closing it closes the engine.

    Raises:
        StoreFormatError: The data is of another format version, or not ours.
    """
    store = KvStore(engine, context)
    try:
        await store.identify()
        yield store
    finally:
        store.close()


class KvStore(EmbeddedStore, NearerStore):
    """One opened embedded store. Its answers to links are reads inline; its writes go through the one writer."""

    def __init__(self, engine: Engine, context: OpenContext) -> None:
        super().__init__(engine, context)
        self._roots: dict[bytes, tuple[int, ScopeRoot]] = {}

    async def identify(self) -> None:
        """Create the store, or notice that it is a copy; called once, before anything else."""
        await self.run(IdentifyUnit(self._engine.place))
        with self.snapshot() as reading:
            if reading.has_upstream:
                self.follow_upstream()

    async def identity(self) -> Identity:
        with self.snapshot() as reading:
            return Identity(StoreId(reading.store.store), isinstance(self._engine, DurableEngine))

    # --- the farther side ----------------------------------------------------------------------------------------

    async def feed(self, after: FeedToken | None) -> Feed:
        with self.snapshot() as reading:
            return answering.feed(reading, after)

    async def scope_root(self, peer: StoreId) -> ScopeRoot:
        return self._root(peer, lambda reading: applying.registered_scope(reading, peer))

    async def roots(self, partition: str) -> Roots:
        with self.snapshot() as reading:
            reading.require_present(partition)
            return answering.roots(reading, partition)

    async def changes(
        self, segment: SegmentName, after: Position | None, limit_bytes: int, echo: StoreId | None
    ) -> Changes:
        with self.snapshot() as reading:
            reading.require_present(segment.partition)
            via = None if echo is None else applying.peer_number(reading, echo)
            return answering.changes(reading, segment, after, limit_bytes, via)

    async def snapshot_page(self, segment: SegmentName, after: bytes, limit_bytes: int) -> Scan:
        with self.snapshot() as reading:
            reading.require_present(segment.partition)
            return answering.snapshot_page(reading, segment, after, limit_bytes)

    async def leaves(self, segment: SegmentName, prefixes: Sequence[str]) -> Leaves:
        with self.snapshot() as reading:
            reading.require_present(segment.partition)
            return answering.leaves(reading, segment, prefixes)

    async def heads(self, segment: SegmentName, prefixes: Sequence[str], days: Sequence[int]) -> Heads:
        with self.snapshot() as reading:
            reading.require_present(segment.partition)
            return answering.heads(reading, segment, prefixes, days)

    async def rows(self, segment: SegmentName, keys: Sequence[bytes]) -> Rows:
        with self.snapshot() as reading:
            reading.require_present(segment.partition)
            return answering.rows(reading, segment, keys)

    async def apply(self, segment: SegmentName, pushes: Sequence[Push], origin: PushOrigin) -> Applied:
        return await self.run(applying.ApplyUnit(segment, pushes, origin))

    async def register(self, registration: Registration) -> Registered:
        with self.snapshot() as reading:
            if not applying.needs_write(reading, registration):
                return applying.registered(reading, registration)
        return await self.run(applying.RegisterUnit(registration))

    async def unregister(self, peer: StoreId, partition: str, generation: int) -> None:
        await self.run(applying.UnregisterUnit(peer, partition, generation))

    async def acknowledge(
        self, peer: StoreId, generation: int, segment: SegmentName, far: Position, own: Position
    ) -> None:
        await self.run(applying.AcknowledgeUnit(peer, generation, segment, far, own))

    async def knows(self, segment: SegmentName, position: Position) -> bool:
        with self.snapshot() as reading:
            state = reading.find(segment)
            return knows(reading.store, reading.counters.next_seq, state.row if state else None, position)

    async def peers(self) -> list[Peer]:
        with self.snapshot() as reading:
            return applying.peers(reading)

    async def presence(self, partition: str) -> Presence:
        with self.snapshot() as reading:
            return reading.presence(partition)

    async def evict(self, partition: str) -> int | None:
        return await self.run(EvictUnit(partition))

    async def collect(self, partition: str, *, min_ttl_s: int, peer_ttl_s: int) -> int:
        return await self.run(CollectUnit(partition, min_ttl_s, peer_ttl_s))

    # --- the nearer side -----------------------------------------------------------------------------------------

    async def lease(self, link: str, holder: bytes, ttl_s: float) -> LinkLease | None:
        return await self.run(LeaseUnit(link, holder, ttl_s))

    async def release(self, link: str, holder: bytes) -> None:
        await self.run(ReleaseUnit(holder))

    async def attach(self, link: str, upstream: StoreId, token: int) -> FeedToken | None:
        far = await self.run(AttachUnit(upstream, token))
        self.follow_upstream()
        return far

    def upstream(self) -> StoreId | None:
        with self.snapshot() as reading:
            link = reading.link
            return StoreId(link.upstream) if link is not None and link.upstream else None

    def expect_upstream(self) -> None:
        self._opened.expects_upstream = True
        self._roots.clear()
        self.follow_upstream()

    async def note_feed(self, link: str, far: FeedToken, own: FeedToken, token: int) -> None:
        await self.run(NoteFeedUnit(far, own, token))

    async def remembers(self, position: Position) -> bool:
        with self.snapshot() as reading:
            return remembers(reading.store, reading.counters.next_seq, position)

    async def view(self, partition: str) -> NearView:
        with self.snapshot() as reading:
            return nearing.view(reading, partition)

    async def pending(self) -> list[str]:
        with self.snapshot() as reading:
            return [*nearing.wanted(reading), *nearing.pending(reading)]

    def has_pending(self) -> bool:
        with self.snapshot() as reading:
            return nearing.has_pending(reading)

    async def partitions(self) -> dict[str, Presence]:
        with self.snapshot() as reading:
            return {row.name: reading.presence_in(row) for _, row in PARTITION_ROWS.rows(reading.txn)}

    async def own_root(self) -> ScopeRoot:
        return self._root(b"", nearing.present_sum)

    def _root(self, whose: bytes, total: Callable[[Reading], int]) -> ScopeRoot:
        """A sum over many segments, taken again only when anything was committed since."""
        with self._engine.read() as (at, txn):
            known = self._roots.get(whose)
            if known is not None and known[0] == at:
                return known[1]
            reading = Snapshot(txn, self._opened)
            root = ScopeRoot(sum_bytes(total(reading)), reading.feed_token())
        if len(self._roots) >= _KNOWN_ROOTS:
            self._roots.clear()
        self._roots[whose] = (at, root)
        return root

    async def want(self, partition: str) -> None:
        await self.run(WantUnit(partition))

    def is_pending(self, segment: SegmentName, record: Record) -> bool:
        with self.snapshot() as reading:
            state = reading.find(segment)
            row = reading.row(state, state.hasher.key(record.id.encode())) if state else None
            if state is None or row is None or row.hash != record.hash:
                return False
            return reading.is_dirty(state, row) or not reading.has_upstream

    async def write_through(self, segment: SegmentName, written: Sequence[tuple[Record, Digest]]) -> bool:
        return await self.run(WriteThroughUnit(segment, written))

    async def near_rows(self, segment: SegmentName, keys: Sequence[bytes], since: Position) -> NearRows:
        with self.snapshot() as reading:
            return nearing.near_rows(reading, segment, keys, since)

    async def dirty_rows(
        self, segment: SegmentName, limit_bytes: int, until: Position, skip: frozenset[bytes]
    ) -> NearRows:
        with self.snapshot() as reading:
            return nearing.dirty_rows(reading, segment, limit_bytes, until, skip)

    async def settle(self, segment: SegmentName, settlement: Settlement, token: int) -> Settled:
        return await self.run(SettleUnit(segment, settlement, token))

    async def mark_partition(self, partition: str, marks: PartitionMarks, token: int) -> None:
        await self.run(MarkUnit(token, lambda session: mark(session, partition, marks)))

    async def mark_gone_back(self, token: int) -> None:
        def go_back(session: WriteSession) -> None:
            session.begin_incarnation(session.opened.random_bytes(8))
            mark_all_gone_back(session)

        await self.run(MarkUnit(token, go_back))

    async def conflict_log(self, after: int, limit: int) -> list[tuple[int, ConflictEntry]]:
        with self.snapshot() as reading:
            low = CONFLICT_ROWS.tag + (after + 1).to_bytes(8, "big")
            found: list[tuple[int, ConflictEntry]] = []
            for key, value in reading.txn.scan(low, end_of(CONFLICT_ROWS.tag)):
                if len(found) >= limit:
                    break
                number = int.from_bytes(key[1:], "big")
                found.append((number, conflict_of(CONFLICT_ROWS.open(key, value))))
            return found
