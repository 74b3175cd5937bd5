"""Whether the rows of a store agree with each other: every sum, index and log is computed anew from the record rows."""

from __future__ import annotations

from bisect import bisect_left
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping
from struct import Struct as Packing
from typing import Any, Final
from zlib import crc32

from tierfold.clock import day_of, hlc_of
from tierfold.codec import decode
from tierfold.digest import MODULUS, Hasher
from tierfold.layout import (
    CHANGELOG,
    CONFLICT_ROWS,
    COUNTERS,
    FEED,
    INDEX_ENTRY,
    INDEX_ROWS,
    LEAF,
    LINK_ROWS,
    LINK_STATE_ROWS,
    MEMBER,
    NO_HASH,
    PARTITION_ROWS,
    PEER_NUMBER,
    PEER_ROWS,
    RECORD,
    REGISTRATION_ROWS,
    RESIDUE,
    SEGMENT_NAME,
    SEGMENT_ROWS,
    STORE_ROWS,
    TOMBSTONE,
    TYPE_ROWS,
    IndexRow,
    Row,
    SegmentRow,
    Table,
    name_key,
    open_row,
)
from tierfold.model import Digest, Record, SegmentName
from tierfold.records.snapshot import Snapshot
from tierfold.where.order_bytes import order_bytes

__all__ = ["Content", "InconsistentError", "check_store"]

Content = dict[SegmentName, dict[str, Record]]
"""Every record by segment and id, tombstones included."""
Rows = dict[bytes, bytes]
"""Values of one table by key without the tag."""

_LEAF: Final = Packing(">B16sI")
_UNSEALED: Final = frozenset({CHANGELOG, FEED, TOMBSTONE, INDEX_ENTRY})
_TABLES: Final = {
    *(COUNTERS, FEED, CHANGELOG, LEAF, TOMBSTONE, RECORD, MEMBER, SEGMENT_NAME, PEER_NUMBER, INDEX_ENTRY)
} | {
    table.tag
    for table in (
        *(STORE_ROWS, SEGMENT_ROWS, PARTITION_ROWS, TYPE_ROWS, INDEX_ROWS, LINK_ROWS, LINK_STATE_ROWS),
        *(REGISTRATION_ROWS, PEER_ROWS, CONFLICT_ROWS),
    )
}


class InconsistentError(AssertionError):
    """Rows of a store contradict each other."""


def check_store(reading: Snapshot[Any]) -> Content:
    """Check every row of a store against every other, and return the records.

    Raises:
        InconsistentError: Names up to twenty contradictions.
    """
    audit = _Audit(reading)
    audit.check()
    if audit.problems:
        raise InconsistentError("\n".join(audit.problems[:20]))
    return audit.content


class _Audit:
    def __init__(self, reading: Snapshot[Any]) -> None:
        self.reading = reading
        self.problems: list[str] = []
        self.content: Content = {}
        self.tables: defaultdict[bytes, Rows] = defaultdict(dict)
        for key, value in reading.txn.scan(b"\x00", b"\xff\xff"):
            self.tables[key[:1]][key[1:]] = value

    def expect(self, holds: bool, problem: str) -> None:
        if not holds:
            self.problems.append(problem)

    def same(self, name: str, stored: object, computed: object) -> None:
        self.expect(stored == computed, f"{name}: {stored!r} is stored, {computed!r} follows from the records")

    def rows(self, table: Table[Any]) -> dict[bytes, Any]:
        return {key: table.open(table.tag + key, value) for key, value in self.tables[table.tag].items()}

    def check(self) -> None:
        self._check_seals()
        if self.problems:  # nothing below could be read
            return
        self._check_store()
        segments: dict[bytes, SegmentRow] = self.rows(SEGMENT_ROWS)
        rows, leaves = _by_segment(self.tables[RECORD]), _by_segment(self.tables[LEAF])
        records = {
            number: self._check_segment(number, row, rows.get(number, {}), leaves.get(number, {}))
            for number, row in segments.items()
        }
        self._check_names(segments)
        self._check_logs(segments, records)
        self._check_indexes(segments, records)
        self._check_peers(segments, records)
        self._check_conflicts()

    def _check_seals(self) -> None:
        for tag, rows in self.tables.items():
            self.expect(tag in _TABLES, f"there is no table {tag.hex()}")
            if tag not in _UNSEALED:
                for key, value in rows.items():
                    sound = crc32(value, crc32(tag + key)) == RESIDUE
                    self.expect(sound, f"row {(tag + key).hex()} fails its checksum")

    def _check_store(self) -> None:
        counters, store = self.reading.counters, self.reading.store
        firsts = [first for _, first in store.incarnations]
        self.expect(firsts == sorted(firsts), "the incarnations are out of order")
        self.expect(all(first <= counters.next_seq for first in firsts), "an incarnation begins in the future")
        if counters.next_seq > 1:
            self.expect(bool(firsts) and firsts[0] == 1, "seqs were taken in no incarnation")

    # --- a segment -----------------------------------------------------------------------------------------------

    def _check_segment(self, number: bytes, segment: SegmentRow, values: Rows, leaves: Rows) -> dict[bytes, Row]:
        name = SegmentName(segment.type, segment.partition)
        rows = {key: open_row(RECORD + number + key, value) for key, value in values.items()}
        records = {key: Record(segment.type, row.content, Digest(row.hash)) for key, row in rows.items()}
        self.content[name] = {record.id: record for record in records.values()}
        self._check_records(segment, rows, records)
        self._check_sums(name, segment, rows)
        self._check_leaves(name, leaves, rows)
        return rows

    def _check_records(self, segment: SegmentRow, rows: Mapping[bytes, Row], records: Mapping[bytes, Record]) -> None:
        hasher = Hasher(segment.type)
        for key, row in rows.items():
            record = records[key]
            self.same(f"hash of {record.id}", row.hash, hasher.hash(row.content))
            self.same(f"record key of {record.id}", key, hasher.key(record.id.encode()))
            self.expect(hlc_of(row.stamp) <= self.reading.counters.high_water, f"{record.id} is ahead of the clock")
            self.expect(1 <= row.seq <= segment.max_seq, f"{record.id} has seq {row.seq} beyond {segment.max_seq}")

    def _check_sums(self, name: SegmentName, segment: SegmentRow, rows: Mapping[bytes, Row]) -> None:
        live = [row for row in rows.values() if not row.deleted]
        days: defaultdict[int, list[Row]] = defaultdict(list)
        for row in rows.values():
            if row.deleted:
                days[day_of(row.stamp)].append(row)
        tombstones = {day: (_sum(dead), len(dead)) for day, dead in days.items()}
        self.same(f"{name} live", segment.live, len(live))
        self.same(f"{name} deleted", segment.deleted, len(rows) - len(live))
        self.same(f"{name} live sum", segment.live_sum, _sum(live))
        self.same(f"{name} tombstone sums", segment.tombstones, tombstones)

    def _check_leaves(self, name: SegmentName, leaves: Rows, rows: Mapping[bytes, Row]) -> None:
        """The leaves cover the key space without gap or overlap, and each holds the sum of its live records."""
        heads = sorted(key for key, row in rows.items() if not row.deleted)
        start, at = 0, 0
        for low, value in leaves.items():
            depth, total, count = _LEAF.unpack(value[:-4])
            self.same(f"{name} start of leaf {low.hex()}", int.from_bytes(low, "big"), start)
            start += 1 << 4 * (16 - depth)
            end = bisect_left(heads, start.to_bytes(9, "big")[1:] if start < 1 << 64 else b"\xff" * 17)
            self.same(f"{name} leaf {low.hex()}", (total, count), (_sum(rows[key] for key in heads[at:end]), end - at))
            at = end
        self.expect(start == 1 << 64 or not (start or heads), f"{name}: the leaves end at {start:x}")
        self.same(f"{name} records under leaves", at, len(heads))

    # --- indexes and logs ----------------------------------------------------------------------------------------

    def _check_names(self, segments: Mapping[bytes, SegmentRow]) -> None:
        partitions = self.rows(PARTITION_ROWS)
        named = {number: name_key(row.type, row.partition) for number, row in segments.items()}
        members = {name_key(row.partition) + number for number, row in segments.items()}
        numbers = {key: value[:-4] for key, value in self.tables[SEGMENT_NAME].items()}
        self.same("segment names", numbers, {key: number for number, key in named.items()})
        self.same("members of partitions", set(self.tables[MEMBER]), members)
        for key, row in partitions.items():
            self.same(f"key of partition {row.name}", key, name_key(row.name))
        for row in segments.values():
            self.expect(name_key(row.partition) in partitions, f"partition {row.partition} has no row")
        for number in segments:
            self.expect(int.from_bytes(number, "big") < self.reading.counters.next_segment, "a segment is too new")

    def _check_logs(self, segments: Mapping[bytes, SegmentRow], records: Mapping[bytes, Mapping[bytes, Row]]) -> None:
        all_rows = [(number, key, row) for number, rows in records.items() for key, row in rows.items()]
        changelog = {number + row.seq.to_bytes(8, "big"): key for number, key, row in all_rows}
        dead = [(number, day_of(row.stamp), key) for number, key, row in all_rows if row.deleted]
        tombstones = {number + day.to_bytes(4, "big") + key: b"\x00" for number, day, key in dead}
        feed = {row.max_seq.to_bytes(8, "big"): number for number, row in segments.items() if row.max_seq}
        self.same("number of record rows", len(self.tables[RECORD]), len(all_rows))
        self.same("changelog", self.tables[CHANGELOG], changelog)
        self.same("tombstone index", self.tables[TOMBSTONE], tombstones)
        self.same("feed", self.tables[FEED], feed)
        seqs = Counter(row.seq for _, _, row in all_rows)
        self.expect(all(count == 1 for count in seqs.values()), "two rows have one seq")
        newest = max((row.max_seq for row in segments.values()), default=0)
        self.expect(newest < self.reading.counters.next_seq, f"seq {newest} was never given out")

    def _check_indexes(
        self, segments: Mapping[bytes, SegmentRow], records: Mapping[bytes, Mapping[bytes, Row]]
    ) -> None:
        """An index that is ready has an entry for each live record; one that is built has those it came past."""
        entries: defaultdict[bytes, Rows] = defaultdict(dict)
        for key, schema in self.tables[INDEX_ENTRY].items():
            entries[key[:4]][key[4:]] = schema
        rows: dict[bytes, IndexRow] = self.rows(INDEX_ROWS)
        self.expect(entries.keys() <= rows.keys(), "there are entries of an index that is not there")
        for number, index in rows.items():
            name = f"{index.state} index {number.hex()} on {index.type} {'.'.join(index.path)}"
            self.expect(int.from_bytes(number, "big") < self.reading.counters.next_index, f"{name} is too new")
            if index.state != "dropping":
                self._check_index(name, index, entries[number], segments, records)

    def _check_index(
        self,
        name: str,
        index: IndexRow,
        entries: Rows,
        segments: Mapping[bytes, SegmentRow],
        records: Mapping[bytes, Mapping[bytes, Row]],
    ) -> None:
        expected, passed = {}, set()
        for number, row in _live(segments, records, index.type):
            record = Record(index.type, row.content, Digest(row.hash))
            key = order_bytes(_member(record, index.path))[0] + record.id.encode() + number
            expected[key] = record.schema.to_bytes(4, "big")
            if number + Hasher(index.type).key(record.id.encode()) <= index.built_to:
                passed.add(key)
        if index.state == "ready":
            self.same(name, entries, expected)
        else:
            self.expect(passed <= entries.keys(), f"{name} lacks records that it came past")
            self.expect(entries.items() <= expected.items(), f"{name} has entries without records")
        schemas = Counter(int.from_bytes(schema, "big") for schema in entries.values())
        self.same(f"{name}: entries by schema", index.entries, dict(schemas))

    # --- other stores --------------------------------------------------------------------------------------------

    def _check_peers(self, segments: Mapping[bytes, SegmentRow], records: Mapping[bytes, Mapping[bytes, Row]]) -> None:
        numbers = {key: int.from_bytes(value[:-4], "big") for key, value in self.tables[PEER_NUMBER].items()}
        self.expect(len(set(numbers.values())) == len(numbers), "two peers have one number")
        self.expect(all(2 <= n < self.reading.counters.next_peer for n in numbers.values()), "a peer is too new")
        known = {0, 1, *numbers.values()}
        for rows in records.values():
            self.expect(all(row.via in known for row in rows.values()), "a row came by an unknown peer")
        for key, row in self.rows(REGISTRATION_ROWS).items():
            self.same("key of a registration", key[16:], name_key(row.partition))
        for key, row in self.rows(PEER_ROWS).items():
            self.expect(key[16:] in segments, "a peer is remembered of a segment that is not there")
            self.expect(row.acknowledged < self.reading.counters.next_seq, "a peer acknowledged the future")
        for number, state in self.rows(LINK_STATE_ROWS).items():
            there = number in segments
            self.expect(there, f"the link remembers a segment {number.hex()} that is not there")
            if there:
                self.expect(state.pushed <= segments[number].max_seq, f"segment {number.hex()}: the future was pushed")

    def _check_conflicts(self) -> None:
        counters = self.reading.counters
        numbers = [int.from_bytes(key, "big") for key in self.tables[CONFLICT_ROWS.tag]]
        self.same("conflict log", numbers, list(range(counters.oldest_conflict, counters.next_conflict)))


def _live(
    segments: Mapping[bytes, SegmentRow], records: Mapping[bytes, Mapping[bytes, Row]], type: str
) -> Iterator[tuple[bytes, Row]]:
    """(segment, row) of the live records of a type."""
    for number, rows in records.items():
        if segments[number].type == type:
            yield from ((number, row) for row in rows.values() if not row.deleted)


def _member(record: Record, path: tuple[str, ...]) -> object:
    """What a document has under a path, told anew."""
    found: object = decode(record.payload)
    for name in path:
        found = found.get(name) if isinstance(found, dict) else None
    return found


def _by_segment(rows: Rows) -> dict[bytes, Rows]:
    """The rows of each segment, ascending, by key without its number."""
    found: defaultdict[bytes, Rows] = defaultdict(dict)
    for key, value in rows.items():
        found[key[:4]][key[4:]] = value
    return found


def _sum(rows: Iterable[Row]) -> bytes:
    total = sum(int.from_bytes(row.hash, "big") for row in rows) % MODULUS
    return total.to_bytes(len(NO_HASH), "big")
