"""The local face of an embedded store: inline reads, writes through the one writer, events in commit order."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any, Final, TypeVar
from zlib import crc32

from tierfold.abc.engine import Engine, ReadTransaction, WriteTransaction
from tierfold.abc.indexed import IndexedStore, IndexHit, IndexPath, IndexStatus
from tierfold.abc.store import Listener, RecordListener, Scanned
from tierfold.digest import Hasher
from tierfold.errors import CorruptDataError, PayloadTooLargeError
from tierfold.kv.told import Told
from tierfold.kv.unit import Unit
from tierfold.kv.writer import Writer, start_writer
from tierfold.layout import (
    ID_START,
    LOCAL_SIZE,
    RECORD,
    RESIDUE,
    SEGMENT_NAME,
    SEGMENT_ROWS,
    TYPE_ROWS,
    StoreMemo,
    end_of,
    name_key,
    open_row,
    unseal,
)
from tierfold.model import Commit, Digest, Record, SegmentName, Write
from tierfold.records import answering, index_reading
from tierfold.records.answering import readable_id, record_of
from tierfold.records.index_units import HoldIndexesUnit, ReleaseIndexesUnit, TendIndexesUnit
from tierfold.records.indexes import IndexMemo
from tierfold.records.keeping import DeclareUnit
from tierfold.records.saving import SaveUnit
from tierfold.records.session import WriteSession
from tierfold.records.snapshot import Opened, Snapshot
from tierfold.specs import OpenContext

__all__ = ["PAYLOAD_LIMIT_BYTES", "EmbeddedStore"]

PAYLOAD_LIMIT_BYTES: Final = 1024 * 1024
_KNOWN_PARTITIONS: Final = 65_536
_KNOWN_FINDERS: Final = 4_096
_HASH_START: Final = LOCAL_SIZE - 16

R = TypeVar("R")
Reading = Snapshot[Any]


class Hashers(dict[str, Hasher]):
    """The hasher of each entity type, made at first use."""

    def __missing__(self, type: str) -> Hasher:
        hasher = self[type] = Hasher(type)
        return hasher


class EmbeddedStore(IndexedStore):
    """Record logic over one engine. Any thread may read and write; see `LocalStore` for what is promised."""

    def __init__(self, engine: Engine, context: OpenContext) -> None:
        self._engine = engine
        self._hashers = Hashers()
        random = context.random_bytes
        hasher = self._hashers.__getitem__
        memo, indexes = StoreMemo(), IndexMemo()
        self._opened = Opened(random(8), context.clock, random, hasher, memo, indexes, context.is_gone)
        self._finders: dict[SegmentName, Callable[[str], Record | None]] = {}
        self._present: set[str] | None = None
        self._present_at = (-1, -1)
        self._told = Told(self.snapshot)
        self._writer: Writer[WriteSession] = start_writer(engine, self._open_session, self._told.deliver)

    def _open_session(self, txn: WriteTransaction) -> WriteSession:
        return WriteSession(txn, self._opened)

    @contextmanager
    def snapshot(self) -> Iterator[Reading]:
        """One consistent view for the length of a ``with`` block without suspension."""
        with self._naming(), self._engine.read() as (_, txn):
            yield Snapshot(txn, self._opened)

    async def run(self, unit: Unit[WriteSession, R]) -> R:
        with self._naming():
            return await self._writer.run(unit)

    @contextmanager
    def _naming(self) -> Iterator[None]:
        """Say which record is damaged, for the key of its row says nothing to its user."""
        try:
            yield
        except CorruptDataError as error:
            if error.row is None:
                raise
            raise self._named(error, error.row) from None

    def _named(self, error: CorruptDataError, key: bytes) -> CorruptDataError:
        with self._engine.read() as (_, txn):
            segment, value = SEGMENT_ROWS.get(txn, key[1:5]), txn.get(key)
        if segment is None or value is None:
            return error
        id = readable_id(self._hashers[segment.type], key, value)
        return CorruptDataError(error.reason, row=key, type=segment.type, partition=segment.partition, id=id)

    def close(self) -> None:
        """Finish what was submitted and close the engine. Idempotent."""
        self._writer.close()
        self._engine.close()

    # --- reading one record: the hottest path there is ------------------------------------------------------------

    def find(self, segment: SegmentName, id: str) -> Record | None:
        finder = self._finders.get(segment)
        if finder is None:
            if len(self._finders) >= _KNOWN_FINDERS:
                self._finders.clear()
            finder = self._finders[segment] = self.finder(segment)
        return finder(id)

    def finder(self, segment: SegmentName) -> Callable[[str], Record | None]:
        type, partition, begin_key = segment.type, segment.partition, self._hashers[segment.type].begin_key
        fetch, checksum, residue = self._engine.fetch, crc32, RESIDUE
        prefix = b""

        # One function without calls that could be spared: each costs 3 % of a read.
        def find(id: str) -> Record | None:
            nonlocal prefix
            if not prefix:
                prefix = self._locate(segment)
                if not prefix:
                    return None
            raw = id.encode()
            hashing = begin_key()
            hashing.update(raw)
            key = prefix + hashing.digest()
            at, value = fetch(key)
            present = self._present
            if present is not None and (at != self._present_at[0] or partition not in present):
                value = self._fetch_present(partition, key)
            if value is None:
                return None
            if checksum(value, checksum(key)) != residue or value[ID_START : ID_START + len(raw)] != raw:
                raise self._damage(key, value)
            return Record(type, value[LOCAL_SIZE:-4], value[_HASH_START:LOCAL_SIZE])  # type: ignore[arg-type]

        return find

    def _locate(self, segment: SegmentName) -> bytes:
        """What a segment's record rows begin with, empty if there is none yet; refuse a partition not held here.

        A segment's number never changes, so callers may remember it.
        """
        with self._engine.read() as (at, txn):
            self._require_present(at, txn, segment.partition)
            key = SEGMENT_NAME + name_key(segment.type, segment.partition)
            number: bytes | None = txn.get(key)
        return b"" if number is None else RECORD + unseal(key, number)

    def _damage(self, key: bytes, value: bytes) -> CorruptDataError:
        return self._named(_corrupt(key, value), key)

    def _fetch_present(self, partition: str, key: bytes) -> bytes | None:
        with self._engine.read() as (at, txn):
            self._require_present(at, txn, partition)
            return txn.get(key)

    def _require_present(self, at: int, txn: ReadTransaction, partition: str) -> None:
        """Check presence in the same view the row is read in, and remember it until presence changes."""
        if self._present is None:
            return
        reading = Snapshot(txn, self._opened)
        if reading.counters.presence != self._present_at[1] or len(self._present) >= _KNOWN_PARTITIONS:
            self._present.clear()
        self._present_at = (at, reading.counters.presence)
        if partition not in self._present:
            reading.require_present(partition)
            self._present.add(partition)

    def follow_upstream(self) -> None:
        """From now on presence counts: the store has an upstream."""
        if self._present is None:
            self._present = set()

    # --- reading many --------------------------------------------------------------------------------------------

    def find_many(self, segment: SegmentName, ids: Iterable[str]) -> dict[str, Record]:
        found: dict[str, Record] = {}
        with self._naming(), self._engine.read() as (at, txn):
            self._require_present(at, txn, segment.partition)
            state = Snapshot(txn, self._opened).find(segment)
            if state is None:
                return found
            prefix = RECORD + state.number
            for id in ids:
                raw = id.encode()
                key = prefix + state.hasher.key(raw)
                value = txn.get(key)
                if value is not None:
                    record = _record(segment.type, key, value, raw)  # checked first: damage may look like a delete
                    if not value[LOCAL_SIZE + 32] & 1:
                        found[id] = record
        return found

    def page(self, segment: SegmentName, after: str | None, limit: int) -> list[Record]:
        with self._naming(), self._engine.read() as (at, txn):
            self._require_present(at, txn, segment.partition)
            return _page(Snapshot(txn, self._opened), segment, after, limit)

    def page_held(self, segment: SegmentName, after: str | None, limit: int) -> list[Record]:
        with self.snapshot() as reading:
            return _page(reading, segment, after, limit)

    def find_held(self, segment: SegmentName, id: str) -> Record | None:
        with self.snapshot() as reading:
            state = reading.find(segment)
            row = reading.row(state, state.hasher.key(id.encode())) if state else None
            return record_of(state, row) if state and row else None

    def holds_all(self) -> bool:
        return self._present is None

    def segments(self) -> list[SegmentName]:
        with self.snapshot() as reading:
            return [SegmentName(row.type, row.partition) for _, row in SEGMENT_ROWS.rows(reading.txn)]

    async def get(self, segment: SegmentName, id: str) -> Record | None:
        return self.find(segment, id)

    async def get_many(self, segment: SegmentName, ids: Iterable[str]) -> dict[str, Record]:
        return self.find_many(segment, ids)

    async def scan(self, segment: SegmentName, after: str | None, limit: int) -> list[Record]:
        return self.page(segment, after, limit)

    # --- indexes -------------------------------------------------------------------------------------------------

    def record_key(self, type: str, id: str) -> bytes:
        return self._hashers[type].key(id.encode())

    def scan_live(
        self, segment: SegmentName, after: bytes, limit: int, accept: Callable[[bytes], bool], *, back: bool = False
    ) -> Scanned:
        with self.snapshot() as reading:
            return answering.scan_live(reading, segment, after, limit, accept, back=back)

    async def hold_indexes(self, type: str, paths: Sequence[IndexPath], holder: bytes, ttl_s: float) -> None:
        await self._writer.run(HoldIndexesUnit(type, paths, holder, ttl_s))

    async def release_indexes(self, holder: bytes) -> None:
        await self._writer.run(ReleaseIndexesUnit(holder))

    async def tend_indexes(self, limit: int) -> bool:
        return await self._writer.run(TendIndexesUnit(limit))

    def indexes(self, type: str) -> Sequence[IndexStatus]:
        with self.snapshot() as reading:
            return index_reading.statuses(reading, type)

    def index_hits(
        self, type: str, path: IndexPath, low: bytes, high: bytes, limit: int, *, back: bool, ids_back: bool
    ) -> Sequence[IndexHit] | None:
        with self.snapshot() as reading:
            return index_reading.hits(reading, type, path, low, high, limit, back=back, ids_back=ids_back)

    def index_count(self, type: str, path: IndexPath, low: bytes, high: bytes, limit: int | None = None) -> int | None:
        with self.snapshot() as reading:
            return index_reading.count(reading, type, path, low, high, limit)

    # --- writing -------------------------------------------------------------------------------------------------

    async def declare(self, type: str, declaration: bytes) -> bytes:
        known = self.declared(type)
        return await self.run(DeclareUnit(type, declaration)) if known is None else known

    def declared(self, type: str) -> bytes | None:
        with self.snapshot() as reading:
            row = TYPE_ROWS.get(reading.txn, name_key(type))
            return row.declaration if row else None

    async def declarations(self) -> dict[str, bytes]:
        with self.snapshot() as reading:
            return {row.name: row.declaration for _, row in TYPE_ROWS.rows(reading.txn)}

    async def write(self, writes: Sequence[Write]) -> Commit:
        return await self.run(self._unit(writes))

    def write_blocking(self, writes: Sequence[Write], *, timeout_s: float | None = None) -> Commit:
        with self._naming():
            return self._writer.run_blocking(self._unit(writes), timeout_s)

    def _unit(self, writes: Sequence[Write]) -> SaveUnit:
        for write in writes:
            if write.payload is not None and len(write.payload) > PAYLOAD_LIMIT_BYTES:
                raise PayloadTooLargeError(len(write.payload), PAYLOAD_LIMIT_BYTES, write.id)
        return SaveUnit(writes, self._hashers)

    def newest_seq(self) -> int:
        with self.snapshot() as reading:
            return reading.counters.next_seq - 1

    def clock_ahead_ms(self) -> int:
        with self.snapshot() as reading:
            return max(0, (reading.counters.high_water >> 16) - self._opened.wall_ms())

    # --- events --------------------------------------------------------------------------------------------------

    def listen(self, listener: Listener) -> Callable[[], None]:
        return self._told.listen(listener)

    def follow(self, listener: RecordListener) -> Callable[[], None]:
        return self._told.follow(listener)

    def notify(self, callback: Callable[[], None]) -> Callable[[], None]:
        return self._told.notify(callback)

    def look(self) -> None:
        self._told.look(self._engine.transaction_id())


def _page(reading: Reading, segment: SegmentName, after: str | None, limit: int) -> list[Record]:
    state = reading.find(segment)
    if state is None:
        return []
    prefix = RECORD + state.number
    low = prefix if after is None else prefix + state.hasher.key(after.encode()) + b"\x00"
    records: list[Record] = []
    for key, value in reading.txn.scan(low, end_of(prefix)):
        if len(records) >= limit:
            break
        row = open_row(key, value)
        if not row.deleted:
            records.append(record_of(state, row))
    return records


def _record(type: str, key: bytes, value: bytes, id: bytes) -> Record:
    if crc32(value, crc32(key)) != RESIDUE or value[ID_START : ID_START + len(id)] != id:
        raise _corrupt(key, value)
    return Record(type, value[LOCAL_SIZE:-4], Digest(value[_HASH_START:LOCAL_SIZE]))


def _corrupt(key: bytes, value: bytes) -> CorruptDataError:
    if crc32(value, crc32(key)) != RESIDUE:
        return CorruptDataError(f"row {key.hex()} fails its checksum", row=key)
    return CorruptDataError(f"row {key.hex()} is not of the id that was asked for", row=key)
