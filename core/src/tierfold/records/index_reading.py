"""What indexes answer: hits in the order of value and id, counts, and their own state."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import islice
from typing import Any, Final, cast
from zlib import crc32

from tierfold.abc.engine import ReadTransaction
from tierfold.abc.indexed import IndexHit, IndexPath, IndexState, IndexStatus
from tierfold.errors import CorruptDataError
from tierfold.layout import ID_START, INDEX_ENTRY, INDEX_ROWS, LOCAL_SIZE, RECORD, RESIDUE, end_of
from tierfold.model import Digest, Record
from tierfold.records.snapshot import Snapshot
from tierfold.where.order_bytes import value_of

__all__ = ["count", "hits", "statuses"]

_NUMBER_SIZE: Final = 4


def statuses(reading: Snapshot[Any], type: str) -> list[IndexStatus]:
    rows = [row for _, row in INDEX_ROWS.rows(reading.txn) if row.type == type]
    return [IndexStatus(row.path, cast("IndexState", row.state), dict(row.entries)) for row in rows]


def _ready(reading: Snapshot[Any], type: str, path: IndexPath) -> bytes | None:
    """What the entries of an index begin with."""
    indexes = reading.indexes.get(type)
    index = indexes.find(path) if indexes else None
    return INDEX_ENTRY + index.number if index is not None and index.is_ready else None


def count(reading: Snapshot[Any], type: str, path: IndexPath, low: bytes, high: bytes, limit: int | None) -> int | None:
    """How many entries a range has, counted up to ``limit``."""
    prefix = _ready(reading, type, path)
    if prefix is None:
        return None
    if limit is not None:
        return sum(1 for _ in islice(reading.txn.scan(prefix + low, prefix + high), limit))
    counted: int = reading.txn.count(prefix + low, prefix + high)
    return counted


def hits(
    reading: Snapshot[Any],
    type: str,
    path: IndexPath,
    low: bytes,
    high: bytes,
    limit: int,
    *,
    back: bool,
    ids_back: bool,
) -> list[IndexHit] | None:
    """The first entries of a range, with their records."""
    prefix = _ready(reading, type, path)
    if prefix is None:
        return None
    start, skipped = len(prefix), -_NUMBER_SIZE
    begin_key, get = reading.opened.hasher(type).begin_key, reading.txn.get
    found: list[IndexHit] = []
    value = b"\xff"  # what none begins with
    names = reading.names
    for entry in islice(_walk(reading.txn, prefix, low, high, back=back, ids_back=ids_back), limit):
        place = entry[start:]
        segment = place[skipped:]
        hashing = begin_key()
        if not place.startswith(value):  # no value begins like another one
            value = value_of(place)
        id = place[len(value) : skipped]
        hashing.update(id)
        key = RECORD + segment + hashing.digest()
        row = get(key)
        if row is None or crc32(row, crc32(key)) != RESIDUE or not row.startswith(id, ID_START):
            raise CorruptDataError(f"index entry {entry.hex()} has no sound row")
        record = Record(type, row[LOCAL_SIZE:-4], Digest(row[LOCAL_SIZE - 16 : LOCAL_SIZE]))
        found.append(IndexHit(place, names.get(segment) or reading.segment_name(segment), record))
    return found


def _walk(
    txn: ReadTransaction, prefix: bytes, low: bytes, high: bytes, *, back: bool, ids_back: bool
) -> Iterator[bytes]:
    """Keys of entries; where values and ids go different ways, value by value."""
    low, high = prefix + low, prefix + high
    if back == ids_back:
        return (key for key, _ in (txn.scan_back(low, high) if back else txn.scan(low, high)))
    return _walk_down(txn, len(prefix), low, high) if back else _walk_up(txn, len(prefix), low, high)


def _walk_down(txn: ReadTransaction, start: int, low: bytes, high: bytes) -> Iterator[bytes]:
    while (last := txn.last(low, high)) is not None:
        value = last[0][:start] + value_of(last[0][start:])
        for key, _ in txn.scan(max(low, value), high):
            yield key
        high = value


def _walk_up(txn: ReadTransaction, start: int, low: bytes, high: bytes) -> Iterator[bytes]:
    while (first := next(iter(txn.scan(low, high)), None)) is not None:
        end = end_of(first[0][:start] + value_of(first[0][start:]))
        for key, _ in txn.scan_back(low, min(end, high)):
            yield key
        low = end
