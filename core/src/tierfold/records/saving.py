"""Local writes: what a repository saves and deletes becomes records with stamps of this store.

The loops here are the cost of `save_many`, so they call as little as they can.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

from tierfold.digest import Hasher, Hashing
from tierfold.errors import AlreadyExistsError, StaleWriteError
from tierfold.layout import RECORD, Row, open_row
from tierfold.model import (
    ABSENT,
    ANY,
    CONTENT,
    Commit,
    Digest,
    Record,
    SegmentName,
    Write,
    Written,
    pack_content,
)
from tierfold.records.session import Entry, WriteSession
from tierfold.records.snapshot import SegmentState

__all__ = ["SaveUnit", "document_over", "require_expected"]

_Place = tuple[bytes, int, bytes]
"""Record key, number of the write in the batch, id."""
_Found = tuple[_Place, Row | None]
"""A place and the row that is there."""


class SaveUnit:
    """A batch of local writes as one unit of the writer; all or nothing.

    Of several writes to one id each is checked against what was there before, and the last one is stored.
    """

    def __init__(self, writes: Sequence[Write], hashers: Mapping[str, Hasher]) -> None:
        self._writes = writes
        self._places = _placed(writes, hashers)
        self._conditional = any(write.expected is not ANY or write.oldest_schema for write in writes)
        self._olds: dict[SegmentName, list[Row | None]] = {}

    def check(self, session: WriteSession) -> None:
        """Find what is replaced and refuse what must not be. Writes nothing."""
        for name, places in self._places.items():
            olds = self._olds[name] = _find_all(session, name, places)
            if self._conditional:
                for (_, order, _), old in zip(places, olds, strict=True):
                    write = self._writes[order]
                    require_expected(write, None if old is None else _record(write, old))

    def put(self, session: WriteSession) -> Commit:
        written = [_NOTHING] * len(self._writes)
        for name, places in self._places.items():
            found = list(zip(places, self._olds[name], strict=True))
            last = _last_of_each(found)
            if all(old is None and self._writes[order].payload is None for (_, order, _), old in last):
                continue
            state = session.segment(name)
            session.put_many(state, self._entries(session, state, last, written), "local")
            if last is not found:
                _repeat(places, written)
        return Commit(tuple(written))

    def _entries(
        self, session: WriteSession, state: SegmentState, found: Sequence[_Found], written: list[Written]
    ) -> list[Entry]:
        """Records of new content, ascending by record key."""
        hlc = session.next_hlcs(len(found), [old.content for _, old in found if old is not None])
        node, begin, type = session.store.node, state.hasher.begin, state.name.type
        pack, writes = CONTENT.pack, self._writes
        entries: list[Entry] = []
        for (key, order, id), old in found:
            write = writes[order]
            payload = write.payload
            stamp = hlc.to_bytes(8, "big") + node
            hlc += 1
            if old is None:
                if payload is None:
                    continue
                content = pack(stamp, stamp, 0, write.schema, 1, len(id), 0) + id + payload
                base, base_deleted, replaced = b"", False, ABSENT
            else:
                if payload is None and old.deleted:
                    continue
                content = _successor(write, id, old, stamp)
                base, base_deleted = session.base_for_write(state, old)
                replaced = Digest(old.hash)
            hashing = begin()
            hashing.update(content)
            hash = Digest(hashing.digest())
            entries.append((key, old, content, hash, 0, base, base_deleted))
            written[order] = Written(Record(type, content, hash), replaced)
        return entries


_NOTHING = Written(None, ABSENT)


def _placed(writes: Sequence[Write], hashers: Mapping[str, Hasher]) -> dict[SegmentName, list[_Place]]:
    """The writes by segment, ascending by record key."""
    found: dict[SegmentName, list[_Place]] = {}
    name: SegmentName | None = None
    places: list[_Place] = []
    begin: Callable[[], Hashing] | None = None
    for order, write in enumerate(writes):
        if begin is None or write.segment is not name:
            name = write.segment
            places = found.setdefault(name, [])
            begin = hashers[name.type].begin_key
        id = write.id.encode()
        hashing = begin()
        hashing.update(id)
        places.append((hashing.digest(), order, id))
    for places in found.values():
        places.sort()
    return found


def _last_of_each(found: list[_Found]) -> list[_Found]:
    """The last write to each id; ``found`` is ascending by record key and number."""
    last = {each[0][0]: each for each in found}
    return found if len(last) == len(found) else list(last.values())


def _repeat(places: Sequence[_Place], written: list[Written]) -> None:
    """Earlier writes to an id share the fate of the last one."""
    last = {key: order for key, order, _ in places}
    for key, order, _ in places:
        written[order] = written[last[key]]


def _find_all(session: WriteSession, name: SegmentName, places: Sequence[_Place]) -> list[Row | None]:
    state = session.find(name)
    if state is None:
        return [None] * len(places)
    prefix = RECORD + state.number
    keys = [prefix + key for key, _, _ in places]
    values = session.txn.get_many(keys)
    return [None if value is None else open_row(key, value) for key, value in zip(keys, values, strict=True)]


def _record(write: Write, old: Row) -> Record:
    return Record(write.segment.type, old.content, Digest(old.hash))


def _successor(write: Write, id: bytes, old: Row, stamp: bytes) -> bytes:
    """Content that replaces a record. A new life after a delete has a new birth and goes on counting versions."""
    before = _record(write, old)
    payload, schema = document_over(write, before)
    version = before.version + 1
    if payload is None:
        return pack_content(stamp, before.birth, True, schema, version, id, b"", before.extension)
    if before.deleted or write.anew:
        return pack_content(stamp, stamp, False, schema, version, id, payload)
    return pack_content(stamp, before.birth, False, schema, version, id, payload, before.extension)


def document_over(write: Write, before: Record | None) -> tuple[bytes | None, int]:
    """Payload, None for a delete, and schema that a write stores over a record."""
    if write.payload is None:
        return None, write.schema if before is None else before.schema
    if before is None or before.deleted or write.anew:
        return write.payload, write.schema
    payload = write.payload if write.merge is None else write.merge(before.payload, write.payload)
    return payload, before.schema if write.keeps_schema else max(before.schema, write.schema)


def require_expected(write: Write, before: Record | None) -> None:
    """Compare-and-set: whether the write may replace what is there.

    Raises:
        StaleWriteError: It may not.
        AlreadyExistsError: It must not replace anything.
    """
    current = None if before is None or before.deleted else before
    if write.expected == ABSENT:
        if current is not None:
            raise AlreadyExistsError(write.segment.type, write.id)
        return
    is_other = write.expected != ANY and (before is None or before.hash != write.expected)
    if is_other or (current is not None and current.schema < write.oldest_schema):
        raise StaleWriteError(write.segment.type, write.id, current, None if current is None else current.etag)
