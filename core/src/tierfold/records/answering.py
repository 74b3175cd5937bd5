"""What a store answers to a nearer one: roots, changes, snapshots and the steps of a descent, each of one snapshot.

Tombstones of days below the segment's own horizon count as absent everywhere but in the changelog.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import islice
from typing import Any
from zlib import crc32

from tierfold.abc.store import Scanned
from tierfold.abc.syncable import Changes, Feed, Heads, Leaves, Roots, Rows, Scan, SegmentRoots
from tierfold.clock import day_of
from tierfold.digest import MODULUS, Hasher
from tierfold.errors import CorruptDataError
from tierfold.layout import (
    CHANGELOG,
    FEED,
    ID_START,
    LOCAL_SIZE,
    RECORD,
    RESIDUE,
    SEGMENT_ROWS,
    TOMBSTONE,
    Row,
    SegmentRow,
    end_of,
    open_row,
)
from tierfold.model import Digest, FeedToken, Position, Record, SegmentName
from tierfold.records.leaves import TRUNCATED, children, live_heads, prefix_range
from tierfold.records.positions import BEGINNING, position_of, seq_of, token_seq
from tierfold.records.snapshot import SegmentState, Snapshot

__all__ = [
    "changed_rows",
    "changelog",
    "changes",
    "feed",
    "heads",
    "leaves",
    "readable_id",
    "record_of",
    "roots",
    "rows",
    "rows_sum",
    "scan_live",
    "scope_sum",
    "segment_roots",
    "snapshot_page",
    "tombstone_keys",
    "visible",
]

Reading = Snapshot[Any]


def readable_id(hasher: Hasher, key: bytes, value: bytes) -> str | None:
    """The id in a damaged record row; None when the damage is in it, for the row's key is a hash of it."""
    length = int.from_bytes(value[ID_START - 6 : ID_START - 4], "big")
    raw = value[ID_START : ID_START + length]
    return raw.decode() if hasher.key(raw) == key[5:] else None


def record_of(state: SegmentState, row: Row) -> Record:
    return Record(state.name.type, row.content, Digest(row.hash))


def visible(state: SegmentState, row: Row) -> bool:
    """Whether the row counts: a tombstone below the horizon does not."""
    return not row.deleted or day_of(row.stamp) >= state.row.horizon


def feed(reading: Reading, after: FeedToken | None) -> Feed:
    """Segments with a row behind the token, by the order of their last commit."""
    first = token_seq(reading.store, reading.counters.next_seq, after) + 1
    names = []
    for _, number in list(reading.txn.scan(FEED + first.to_bytes(8, "big"), end_of(FEED))):
        row = SEGMENT_ROWS.get(reading.txn, number)
        if row is None:
            raise CorruptDataError("the feed names a segment that has no row")
        names.append(SegmentName(row.type, row.partition))
    return Feed(tuple(names), reading.feed_token(), first == 1)


def _counting(row: SegmentRow) -> dict[int, bytes]:
    return {day: total for day, (total, _) in row.tombstones.items() if day >= row.horizon}


def segment_roots(reading: Reading, state: SegmentState) -> SegmentRoots:
    row = state.row
    return SegmentRoots(position_of(reading.store, row.max_seq), row.live_sum, row.live, _counting(row), row.horizon)


def roots(reading: Reading, partition: str) -> Roots:
    return Roots({state.name: segment_roots(reading, state) for state in reading.segments_of(partition)})


def scope_sum(all_roots: Iterable[SegmentRoots]) -> int:
    """One number for the content of many segments: live sums and tombstone sums together."""
    total = 0
    for one in all_roots:
        total += int.from_bytes(one.live, "big")
        total += sum(int.from_bytes(day, "big") for day in one.tombstones.values())
    return total % MODULUS


def rows_sum(rows: Iterable[SegmentRow]) -> int:
    """The same number from segment rows, without making their roots."""
    total = 0
    for row in rows:
        total += int.from_bytes(row.live_sum, "big")
        total += sum(int.from_bytes(day, "big") for day in _counting(row).values())
    return total % MODULUS


# --- rows in changelog order and in key order --------------------------------------------------------------------


def changelog(reading: Reading, state: SegmentState, first: int, last: int) -> Iterator[tuple[int, bytes]]:
    """(seq, record key) in commit order, of the seqs from ``first`` to ``last``."""
    log, number_of = CHANGELOG + state.number, int.from_bytes
    for entry, key in reading.txn.scan(log + first.to_bytes(8, "big"), log + (last + 1).to_bytes(8, "big")):
        yield number_of(entry[5:], "big"), key


def changed_rows(
    reading: Reading,
    state: SegmentState,
    first: int,
    last: int,
    open: Callable[[bytes, bytes], Row] = open_row,
    damaged: list[bytes] | None = None,
) -> Iterator[tuple[bytes, Row]]:
    """(record key, row) in commit order, of the seqs from ``first`` to ``last``.

    Args:
        damaged: Where the keys of damaged rows go; without it they are an error.
    """
    log, record, get = CHANGELOG + state.number, RECORD + state.number, reading.txn.get
    for entry, key in reading.txn.scan(log + first.to_bytes(8, "big"), log + (last + 1).to_bytes(8, "big")):
        full = record + key
        value = get(full)
        try:
            row = None if value is None else open(full, value)
            if row is None or row.seq != int.from_bytes(entry[5:], "big"):
                raise CorruptDataError(f"changelog entry {entry.hex()} has no row of its seq")
        except CorruptDataError:
            if damaged is None:
                raise
            damaged.append(key)
        else:
            yield key, row


def changes(reading: Reading, name: SegmentName, after: Position | None, limit_bytes: int, echo: int | None) -> Changes:
    """A page of the changelog. ``echo`` is the number of the peer whose own rows are left out."""
    state = reading.find(name)
    if state is None:
        return Changes((), BEGINNING, False)
    last = state.row.max_seq
    records: list[Record] = []
    damaged: list[bytes] = []
    size, read_to = 0, seq_of(after)
    for _, row in changed_rows(reading, state, read_to + 1, last, damaged=damaged):
        if size >= limit_bytes:
            return Changes(tuple(records), position_of(reading.store, read_to), True, tuple(damaged))
        read_to = row.seq
        if echo is None or row.via != echo:
            records.append(record_of(state, row))
            size += len(row.content)
    return Changes(tuple(records), position_of(reading.store, last), False, tuple(damaged))


def snapshot_page(reading: Reading, name: SegmentName, after: bytes, limit_bytes: int) -> Scan:
    """A page in key order of what counts."""
    state = reading.find(name)
    if state is None:
        return Scan((), after, False, BEGINNING)
    prefix = RECORD + state.number
    records: list[Record] = []
    damaged: list[bytes] = []
    size = 0
    for key, value in reading.txn.scan(prefix + after + b"\x00" if after else prefix, end_of(prefix)):
        if size >= limit_bytes:
            return Scan(tuple(records), after, True, reading.position(state), tuple(damaged))
        after = key[5:]
        try:
            row = open_row(key, value)
        except CorruptDataError:
            damaged.append(after)
            continue
        if visible(state, row):
            records.append(record_of(state, row))
            size += len(row.content)
    return Scan(tuple(records), after, False, reading.position(state), tuple(damaged))


def scan_live(
    reading: Reading, name: SegmentName, after: bytes, limit: int, accept: Callable[[bytes], bool], *, back: bool
) -> Scanned:
    """Live records in key order, those that are accepted among the next few. The loop is the cost of a full scan."""
    state = reading.find(name)
    if state is None:
        return Scanned((), None, 0)
    prefix, type, checksum, residue = RECORD + state.number, state.name.type, crc32, RESIDUE
    low, high = prefix, end_of(prefix)
    if back:
        rows = reading.txn.scan_back(low, prefix + after if after else high)
    else:
        rows = reading.txn.scan(prefix + after + b"\x00" if after else low, high)
    found: list[Record] = []
    seen, key = 0, b""
    for key, value in islice(rows, limit):
        seen += 1
        if checksum(value, checksum(key)) != residue:
            raise CorruptDataError(f"row {key.hex()} fails its checksum")
        content = value[LOCAL_SIZE:-4]
        if not content[32] & 1 and accept(content):
            found.append(Record(type, content, Digest(value[LOCAL_SIZE - 16 : LOCAL_SIZE])))
    return Scanned(tuple(found), key[5:] if seen == limit else None, seen)


# --- descent -----------------------------------------------------------------------------------------------------


def leaves(reading: Reading, name: SegmentName, prefixes: Sequence[str]) -> Leaves:
    state = reading.find(name)
    if state is None:
        empty = (bytes(TRUNCATED),) * 16
        return Leaves(dict.fromkeys(prefixes, empty), dict.fromkeys(prefixes, 0), BEGINNING)
    found = {prefix: children(reading.txn, state.number, prefix) for prefix in prefixes}
    sums = {prefix: below for prefix, (below, _) in found.items()}
    return Leaves(sums, {prefix: count for prefix, (_, count) in found.items()}, reading.position(state))


def heads(reading: Reading, name: SegmentName, prefixes: Sequence[str], days: Sequence[int]) -> Heads:
    """Truncated heads of live records below prefixes, and of the tombstones of days that still count."""
    state = reading.find(name)
    if state is None:
        return Heads((), 0, BEGINNING)
    found: list[tuple[bytes, bytes]] = []
    for prefix in prefixes:
        found += [(key, hash[:TRUNCATED]) for key, hash in live_heads(reading.txn, state.number, *prefix_range(prefix))]
    for day in days:
        if day >= state.row.horizon:
            found += _tombstone_heads(reading, state, day)
    return Heads(tuple(found), state.row.horizon, reading.position(state))


def tombstone_keys(reading: Reading, state: SegmentState, day: int) -> list[bytes]:
    """Record keys of the tombstones of one UTC day of stamp."""
    index = TOMBSTONE + state.number + day.to_bytes(4, "big")
    return [key[9:] for key, _ in reading.txn.scan(index, end_of(index))]


def _tombstone_heads(reading: Reading, state: SegmentState, day: int) -> list[tuple[bytes, bytes]]:
    found = []
    for key in tombstone_keys(reading, state, day):
        row = reading.row(state, key)
        if row is None or not row.deleted:
            raise CorruptDataError(f"tombstone index entry {key.hex()} has no tombstone")
        found.append((key, row.hash[:TRUNCATED]))
    return found


def rows(reading: Reading, name: SegmentName, keys: Sequence[bytes]) -> Rows:
    state = reading.find(name)
    if state is None:
        return Rows({}, BEGINNING)
    found, damaged = reading.sound_rows(state, keys)
    records = {key: record_of(state, row) for key, row in found if visible(state, row)}
    return Rows(records, reading.position(state), damaged)
