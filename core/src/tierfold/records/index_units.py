"""Indexes are begun, built and dropped: units of the writer, each short."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import islice

from tierfold.abc.indexed import IndexPath
from tierfold.layout import (
    INDEX_ENTRY,
    INDEX_ROWS,
    RECORD,
    SEGMENT_ROWS,
    IndexRow,
    SegmentRow,
    end_of,
    open_row,
)
from tierfold.records.indexes import TypeIndexes
from tierfold.records.session import WriteSession

__all__ = ["HoldIndexesUnit", "ReleaseIndexesUnit", "TendIndexesUnit"]


class HoldIndexesUnit:
    """A program says which indexes of a type it wants, and until when it need not say so again."""

    def __init__(self, type: str, paths: Sequence[IndexPath], holder: bytes, ttl_s: float) -> None:
        self._type, self._paths, self._holder, self._ttl_ms = type, set(paths), holder, int(ttl_s * 1000)

    def check(self, session: WriteSession) -> None:
        """Nothing can refuse it."""

    def put(self, session: WriteSession) -> None:
        now_ms = session.opened.wall_ms()
        missing = set(self._paths)
        for number, row in INDEX_ROWS.rows(session.txn):
            if row.type == self._type and row.state != "dropping":
                missing.discard(row.path)
                self._hold(session, number, row, now_ms)
        for path in sorted(missing):
            number = session.counters.next_index.to_bytes(4, "big")
            session.counters.next_index += 1
            session.save_index(number, IndexRow(self._type, path, holders={self._holder: now_ms + self._ttl_ms}))

    def _hold(self, session: WriteSession, number: bytes, row: IndexRow, now_ms: int) -> None:
        # A time that lies further away than any holder's could was given under a clock that ran ahead.
        alive = {holder: until for holder, until in row.holders.items() if now_ms < until <= now_ms + self._ttl_ms}
        if row.path in self._paths:
            _save_holders(session, number, row, alive | {self._holder: now_ms + self._ttl_ms})
        elif alive.keys() - {self._holder}:
            _save_holders(session, number, row, {h: until for h, until in alive.items() if h != self._holder})
        else:
            row.state, row.holders = "dropping", {}
            session.save_index(number, row)


def _save_holders(session: WriteSession, number: bytes, row: IndexRow, holders: dict[bytes, int]) -> None:
    row.holders = holders
    session.save_index_progress(number, row)


class ReleaseIndexesUnit:
    """A program ends; what it wanted stays."""

    def __init__(self, holder: bytes) -> None:
        self._holder = holder

    def check(self, session: WriteSession) -> None:
        """Nothing can refuse it."""

    def put(self, session: WriteSession) -> None:
        for number, row in INDEX_ROWS.rows(session.txn):
            if self._holder in row.holders:
                holders = {holder: until for holder, until in row.holders.items() if holder != self._holder}
                _save_holders(session, number, row, holders)


class TendIndexesUnit:
    """Build or drop the first index that needs it, a little."""

    def __init__(self, limit: int) -> None:
        self._limit = limit

    def check(self, session: WriteSession) -> None:
        """Nothing can refuse it."""

    def put(self, session: WriteSession) -> bool:
        """Returns whether there is more to do."""
        todo = [(number, row) for number, row in INDEX_ROWS.rows(session.txn) if row.state != "ready"]
        if not todo:
            return False
        number, row = todo[0]
        ended = self._drop(session, number) if row.state == "dropping" else self._build(session, number, row)
        return not ended or len(todo) > 1

    def _drop(self, session: WriteSession, number: bytes) -> bool:
        prefix = INDEX_ENTRY + number
        keys = [key for key, _ in islice(session.txn.scan(prefix, end_of(prefix)), self._limit)]
        for key in keys:
            session.txn.delete(key)
        session.wrote(64 * len(keys))
        if len(keys) == self._limit:
            return False
        session.forget_index(number)
        return True

    def _build(self, session: WriteSession, number: bytes, row: IndexRow) -> bool:
        indexes = TypeIndexes([(number, row)])
        room, at = self._limit, row.built_to
        resumed = at[:4]
        for segment, segment_row in self._segments(session, resumed):
            if segment_row.type == row.type:
                after = at[4:] if at[:4] == segment else b""
                records = _records(session, segment, after, room)
                for _, content in records:
                    _enter(session, indexes, segment, content)
                room -= len(records)
                if records:
                    at = segment + records[-1][0]
            room -= segment != resumed  # or a limit of one would never leave it
            if room <= 0:
                row.built_to = at if at[:4] == segment else segment
                session.save_index_progress(number, row)
                return False
        row.state, row.built_to = "ready", b""
        session.save_index(number, row)
        return True

    def _segments(self, session: WriteSession, first: bytes) -> Sequence[tuple[bytes, SegmentRow]]:
        low = SEGMENT_ROWS.tag + first
        rows = islice(session.txn.scan(low, end_of(SEGMENT_ROWS.tag)), self._limit + 1)
        return [(key[1:], SEGMENT_ROWS.open(key, value)) for key, value in rows]


def _records(session: WriteSession, segment: bytes, after: bytes, limit: int) -> list[tuple[bytes, bytes]]:
    """(record key, content) of the next rows of a segment."""
    prefix = RECORD + segment
    rows = islice(session.txn.scan(prefix + after + b"\x00" if after else prefix, end_of(prefix)), limit)
    return [(key[5:], open_row(key, value).content) for key, value in rows]


def _enter(session: WriteSession, indexes: TypeIndexes, segment: bytes, content: bytes) -> None:
    """An entry for a record, unless a writer made it since."""
    if content[32] & 1:
        return
    ((index, _, entry),) = indexes.moves(None, content, segment)
    if entry is not None and session.txn.get(entry) is None:
        session.put_index_entry(index, entry, content[33:37])
