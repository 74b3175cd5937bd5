"""Local writes: what a repository saves and deletes becomes records with stamps of this store."""

from __future__ import annotations

from collections.abc import Sequence

from tierfold.clock import hlc_of, stamp_of
from tierfold.digest import Hasher
from tierfold.errors import AlreadyExistsError, StaleWriteError
from tierfold.layout import Row
from tierfold.model import ABSENT, ANY, Commit, Digest, Record, SegmentName, Write, Written, etag_of, pack_content
from tierfold.records.session import Entry, WriteSession
from tierfold.records.snapshot import SegmentState

__all__ = ["SaveUnit"]


class _Planned:
    """One write with what it found: the row it replaces and the payload to store."""

    __slots__ = ("id", "key", "old", "order", "payload", "write")

    def __init__(self, order: int, write: Write, key: bytes, id: bytes) -> None:
        self.order, self.write, self.key, self.id = order, write, key, id
        self.payload = write.payload
        self.old: Row | None = None


class SaveUnit:
    """A batch of local writes as one unit of the writer; all or nothing.

    Writes to one id replace each other in the order given; only the last one is stored, with one version step.
    """

    def __init__(self, writes: Sequence[Write], hashers: dict[str, Hasher]) -> None:
        self._count = len(writes)
        self._plans: dict[SegmentName, dict[bytes, _Planned]] = {}
        self._repeated: list[_Planned] = []
        for order, write in enumerate(writes):
            id = write.id.encode()
            key = hashers[write.segment.type].key(id)
            plans = self._plans.setdefault(write.segment, {})
            if key in plans:
                self._repeated.append(plans[key])
            plans[key] = _Planned(order, write, key, id)

    def check(self, session: WriteSession) -> None:
        """Find what is replaced and refuse what must not be. Writes nothing."""
        for planned in self._repeated:
            _expect(planned.write, self._current(session, planned))
        for name, plans in self._plans.items():
            state = session.find(name)
            for planned in plans.values():
                old = planned.old = session.row(state, planned.key) if state else None
                _expect(planned.write, old)
                planned.payload = _merged(planned.write, old)

    def _current(self, session: WriteSession, planned: _Planned) -> Row | None:
        state = session.find(planned.write.segment)
        return session.row(state, planned.key) if state else None

    def put(self, session: WriteSession) -> Commit:
        written: list[Written | None] = [None] * self._count
        for name, plans in self._plans.items():
            entries: list[Entry] = []
            state: SegmentState | None = None
            for key in sorted(plans):
                planned = plans[key]
                old = planned.old
                if planned.payload is None and (old is None or old.deleted):
                    written[planned.order] = Written(None, ABSENT)
                    continue
                state = state or session.segment(name)
                content = _content(session, planned)
                hash = state.hasher.hash(content)
                base, base_deleted = session.base_for_write(state, old)
                entries.append((key, old, content, hash, 0, base, base_deleted))
                record = Record(name.type, content, hash)
                replaced = ABSENT if old is None else Digest(old.hash)
                written[planned.order] = Written(record, replaced)
            if state is not None:
                session.put_many(state, entries, "local")
        self._answer_repeated(written)
        return Commit(tuple(entry for entry in written if entry is not None))

    def _answer_repeated(self, written: list[Written | None]) -> None:
        for planned in self._repeated:
            last = self._plans[planned.write.segment][planned.key]
            written[planned.order] = written[last.order]


def _merged(write: Write, old: Row | None) -> bytes | None:
    if write.merge is None or write.payload is None or old is None or old.deleted:
        return write.payload
    return write.merge(Record(write.segment.type, old.content, Digest(old.hash)).payload, write.payload)


def _content(session: WriteSession, planned: _Planned) -> bytes:
    old = planned.old
    hlc = session.next_hlc(hlc_of(old.content) if old else 0)
    stamp = stamp_of(hlc, session.store.node)
    deleted = planned.payload is None
    if old is None:
        return pack_content(stamp, stamp, deleted, planned.write.schema, 1, planned.id, planned.payload or b"")
    before = Record("", old.content, Digest(old.hash))
    birth = before.birth if deleted or not before.deleted else stamp
    schema = max(before.schema, planned.write.schema) if not before.deleted else planned.write.schema
    return pack_content(
        stamp, birth, deleted, schema, before.version + 1, planned.id, planned.payload or b"", before.extension
    )


def _expect(write: Write, old: Row | None) -> None:
    """Compare-and-set: raise unless the write may replace what is there."""
    if write.expected == ANY:
        return
    live = old is not None and not old.deleted
    if write.expected == ABSENT:
        if live:
            raise AlreadyExistsError(write.segment.type, write.id)
        return
    if old is None or old.hash != write.expected:
        current = Record(write.segment.type, old.content, Digest(old.hash)) if old is not None and live else None
        raise StaleWriteError(write.segment.type, write.id, current, etag_of(current.hash) if current else None)
