"""What listeners were told: commits of this process as they are delivered, those of others when somebody looks."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager
from functools import partial
from itertools import count
from threading import RLock
from typing import Any

from tierfold.abc.store import Listener, RecordChange, RecordListener
from tierfold.layout import FEED, SEGMENT_ROWS, UP, end_of
from tierfold.model import Change, ChangeKind, Digest, Origin, Record, SegmentName, etag_of
from tierfold.records.answering import changed_rows
from tierfold.records.session import Moved, WriteSession
from tierfold.records.snapshot import Snapshot

__all__ = ["Told"]

Reading = Snapshot[Any]


class Told:
    """Keeps the seq up to which listeners know everything, so that nothing is told twice and nothing left out."""

    def __init__(self, snapshot: Callable[[], AbstractContextManager[Reading]]) -> None:
        self._snapshot = snapshot
        self._lock = RLock()
        # Leaving takes no lock: it happens wherever the collector finds an abandoned subscription.
        self._listeners: dict[int, RecordListener] = {}
        self._callbacks: dict[int, Callable[[], None]] = {}
        self._numbers = count()
        self._seq = 0
        self._presence = 0
        self._looked_at = -1

    def listen(self, listener: Listener) -> Callable[[], None]:
        """Tell ``listener`` of every change from now on."""
        return self.follow(lambda changes: listener([_plain(change) for change in changes]))

    def follow(self, listener: RecordListener) -> Callable[[], None]:
        """The same with the records."""
        with self._lock:
            if not self._listeners:
                self._notice()
            number = next(self._numbers)
            self._listeners[number] = listener
        return partial(_leave, self._listeners, number)

    def notify(self, callback: Callable[[], None]) -> Callable[[], None]:
        with self._lock:
            if not self._callbacks and not self._listeners:
                self._notice()
            number = next(self._numbers)
            self._callbacks[number] = callback
        return partial(_leave, self._callbacks, number)

    def deliver(self, session: WriteSession) -> None:
        """A commit of this process, in commit order."""
        last = session.counters.next_seq - 1
        with self._lock:
            others = session.first_seq - 1 > self._seq
            if self._listeners:
                self._tell_until(session.first_seq - 1)
                fresh = last > self._seq
                self._tell([change for moved in session.moved for change in _changes(moved, fresh, last)])
            self._seq = max(self._seq, last)
            if others or session.first_presence == self._presence:
                self._presence = session.counters.presence
            if session.moved or others:
                self._call()

    def look(self, transaction_id: int) -> None:
        """Tell of commits that this process did not make, if there are any.

        A wish for a partition takes no seq, yet whoever runs the link must hear of it.
        """
        if transaction_id == self._looked_at:
            return
        with self._lock:
            self._looked_at = transaction_id
            self._notice()

    def _notice(self) -> None:
        last, presence = self._last()
        fresh = last > self._seq or presence != self._presence
        if last > self._seq and self._listeners:
            self._tell_until(last)
        self._seq, self._presence = max(self._seq, last), presence
        if fresh:
            self._call()

    def _last(self) -> tuple[int, int]:
        """The last seq, and the number that changes with the presence of partitions."""
        with self._snapshot() as reading:
            return reading.counters.next_seq - 1, reading.counters.presence

    def _tell_until(self, last: int) -> None:
        if last <= self._seq:
            return
        with self._snapshot() as reading:
            changes = _changes_between(reading, self._seq + 1, last)
        self._seq = last
        self._tell(changes)

    def _tell(self, changes: list[RecordChange]) -> None:
        if changes:
            for listener in list(self._listeners.values()):
                listener(changes)

    def _call(self) -> None:
        for callback in list(self._callbacks.values()):
            callback()


def _leave(told: dict[int, Any], number: int) -> None:
    told.pop(number, None)


def _changes_between(reading: Reading, first: int, last: int) -> list[RecordChange]:
    """Rows whose newest seq lies in the range; those rewritten since are told of with their later seq."""
    found: list[RecordChange] = []
    for _, number in list(reading.txn.scan(FEED + first.to_bytes(8, "big"), end_of(FEED))):
        row = SEGMENT_ROWS.get(reading.txn, number)
        state = reading.find(SegmentName(row.type, row.partition)) if row else None
        if state is not None:
            for _, entry in changed_rows(reading, state, first, last, damaged=[]):
                origin: Origin = "sync" if entry.via == UP else "local"
                found.append(_change(state.name, origin, entry.content, entry.hash, entry.seq))
    return sorted(found, key=lambda change: change.seq)


def _changes(moved: Moved, fresh: bool, seq: int) -> list[RecordChange]:
    """What a commit of this process changed; rows that it let go have no seq and are never known already."""
    name, origin = moved.name, moved.origin
    told = [(content, hash) for _, _, content, hash, _, _, _ in moved.entries if fresh or not hash]
    return [_change(name, origin, content, hash, seq) for content, hash in told]


def _change(name: SegmentName, origin: Origin, content: bytes, hash: bytes, seq: int) -> RecordChange:
    record = Record(name.type, content, Digest(hash))
    if hash:
        kind: ChangeKind = "deleted" if record.deleted else "saved"
    else:
        kind = "evicted" if origin == "hydrate" else "deleted"
    return RecordChange(kind, name, record, origin, seq)


def _plain(change: RecordChange) -> Change:
    segment, record = change.segment, change.record
    return Change(change.kind, segment.type, record.id, segment.partition, etag_of(record.hash), change.origin)
