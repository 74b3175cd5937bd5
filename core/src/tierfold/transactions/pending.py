"""Writes of a transaction that goes on: what is to be stored of each entity, and what is read of it meanwhile."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from hashlib import blake2b
from typing import Final

from msgspec import Struct
from msgspec.structs import replace

from tierfold.abc.store import LocalStore
from tierfold.model import ABSENT, ANY, Commit, Digest, Merge, Record, SegmentName, Write, Written, pack_content
from tierfold.records.saving import document_over, require_expected

__all__ = ["Pending"]

_NO_STAMP: Final = bytes(16)
"""Stamp and birth of what was never stored; entities show it as `EPOCH`."""


class _Kept(Struct, frozen=True, gc=False):
    """Everything that was written to one entity, as one write.

    Attributes:
        write: What is stored at the end.
        record: What is read until then; of a deleted entity a tombstone. Its hash is of use in this transaction only.
        base: Hash of the live record that was there before, or `ABSENT`.
    """

    write: Write
    record: Record
    base: Digest


class Pending:
    """In the order in which entities were first written to."""

    def __init__(self) -> None:
        self._kept: dict[SegmentName, dict[str, _Kept]] = {}
        self.declarations: dict[str, bytes] = {}
        self.added: int = 0
        """How many writes were added, several to one entity each for itself."""

    @property
    def segments(self) -> Iterable[SegmentName]:
        """Those that were written to."""
        return self._kept.keys()

    def of(self, segment: SegmentName) -> Mapping[str, Record]:
        """The records of a segment that were written, by id."""
        return {id: kept.record for id, kept in self._kept.get(segment, {}).items()}

    def find(self, segment: SegmentName, id: str) -> Record | None:
        """The record that was written under an id."""
        kept = self._kept.get(segment, {}).get(id)
        return None if kept is None else kept.record

    def writes(self) -> list[Write]:
        """What is to be stored, one write per entity. Conditions are on what was there before the transaction."""
        return [kept.write for some in self._kept.values() for kept in some.values()]

    def add(self, store: LocalStore, writes: Sequence[Write]) -> Commit:
        """Keep a batch, all of it or nothing. Its records are those that are read from now on.

        Args:
            store: What is there beside the pending writes.

        Raises:
            StaleWriteError: As for `EntityStore.write`, against what this transaction sees.
            AlreadyExistsError: Likewise.
        """
        found = [self.find(write.segment, write.id) or store.find_held(write.segment, write.id) for write in writes]
        for write, before in zip(writes, found, strict=True):
            require_expected(write, before)
        self.added += len(writes)
        return Commit(tuple(self._keep(write, before) for write, before in zip(writes, found, strict=True)))

    def _keep(self, write: Write, found: Record | None) -> Written:
        some = self._kept.setdefault(write.segment, {})
        earlier = some.get(write.id)
        before = found if earlier is None else earlier.record
        if write.payload is None and (before is None or before.deleted):
            return Written(None, ABSENT)
        base = _hash_of(before) if earlier is None else earlier.base
        record = _provisional(write, before)
        some[write.id] = _Kept(write if earlier is None else _both(earlier, write, record), record, base)
        return Written(record, _hash_of(before))


def _hash_of(record: Record | None) -> Digest:
    return ABSENT if record is None or record.deleted else record.hash


def _provisional(write: Write, before: Record | None) -> Record:
    """The record that a write makes, with the system fields from before it: its own come with the commit."""
    payload, schema = document_over(write, before)
    stamp = birth = _NO_STAMP
    version, extension = 0, b""
    if before is not None and not before.deleted:
        stamp, birth, version, extension = before.stamp, before.birth, before.version, before.extension
    content = pack_content(stamp, birth, payload is None, schema, version, write.id.encode(), payload or b"", extension)
    return Record(write.segment.type, content, Digest(blake2b(content, digest_size=16).digest()))


def _both(earlier: _Kept, write: Write, record: Record) -> Write:
    """One write that does what two do one after the other, to whatever is there at the end."""
    first, expected = earlier.write, _expected_of_both(earlier, write)
    if write.payload is None:
        return replace(write, expected=expected)
    anew = first.anew or earlier.record.deleted
    merge: Merge | None = None
    if first.payload is not None and write.merge is not None and first.merge is not None:
        merge = _one_after_the_other(first.merge, first.payload, write.merge, write.payload)
    return replace(
        write,
        payload=record.payload if merge is None else _merged(write, first.payload),
        schema=record.schema,
        expected=expected,
        merge=merge,
        oldest_schema=0 if anew else max(first.oldest_schema, write.oldest_schema),
        keeps_schema=first.keeps_schema and write.keeps_schema,
        anew=anew,
    )


def _expected_of_both(earlier: _Kept, write: Write) -> Digest:
    """The first condition holds for both; what was read of an unconditional write may come from what was there."""
    expected = earlier.write.expected
    went_on = write.expected not in (ANY, ABSENT) and earlier.write.merge is not None
    return earlier.base if expected == ANY and went_on else expected


def _merged(write: Write, earlier: bytes | None) -> bytes | None:
    if earlier is None or write.payload is None or write.merge is None:
        return write.payload
    return write.merge(earlier, write.payload)


def _one_after_the_other(first: Merge, first_payload: bytes, second: Merge, second_payload: bytes) -> Merge:
    return lambda stored, _: second(first(stored, first_payload), second_payload)
