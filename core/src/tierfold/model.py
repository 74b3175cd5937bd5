"""Values of the contract: what stores, links and plugins hand each other. Frozen; they can only be read."""

from __future__ import annotations

from base64 import urlsafe_b64encode
from collections.abc import Callable
from datetime import datetime
from struct import Struct as Packing
from typing import Final, Generic, Literal, NewType, TypeVar

from msgspec import Struct

__all__ = [
    "ABSENT",
    "ANY",
    "CONTENT",
    "Change",
    "ChangeKind",
    "Commit",
    "Digest",
    "FeedToken",
    "Meta",
    "Origin",
    "Position",
    "Record",
    "SegmentName",
    "Stamp",
    "StoreId",
    "Stored",
    "Write",
    "Written",
]

T = TypeVar("T")

Stamp = NewType("Stamp", bytes)
"""Hybrid logical clock and node: 48-bit ms, 16-bit counter, 64-bit node id, big-endian; bytes order is stamp order."""
Digest = NewType("Digest", bytes)
"""Hash of one record, 16 bytes."""
Position = NewType("Position", bytes)
"""Opaque point in one segment's history of one store. Never compared outside the store that gave it."""
FeedToken = NewType("FeedToken", bytes)
"""Opaque point in a store's feed of changed segments."""
StoreId = NewType("StoreId", bytes)
"""Random name of a store, 16 bytes; a copy of its files gets another."""

ABSENT: Final = Digest(b"")
"""Expected hash: there must be no live record (a tombstone below the horizon counts as none)."""
ANY: Final = Digest(b"*")
"""Expected hash: whatever is there is replaced."""


class SegmentName(Struct, frozen=True, order=True, gc=False):
    """The records of one entity type in one partition."""

    type: str
    partition: str


# --- records -----------------------------------------------------------------------------------------------------

CONTENT: Final = Packing(">16s16sBIQHI")
"""The fixed part of `Record.content`."""


class Record(Struct, frozen=True, gc=False):
    """The stored form of an entity or tombstone.

    ``content`` is the canonical form that ``hash`` covers (together with ``type``), so a record travels between stores
    without being taken apart. Its layout, all integers big-endian: stamp 16, birth 16, flags 1 (bit 0 = deleted),
    schema 4, version 8, length of id 2, length of extension 4, then id, extension and payload.
    """

    type: str
    content: bytes
    hash: Digest

    @property
    def stamp(self) -> Stamp:
        return Stamp(self.content[:16])

    @property
    def birth(self) -> Stamp:
        return Stamp(self.content[16:32])

    @property
    def deleted(self) -> bool:
        return self.content[32] & 1 == 1

    @property
    def schema(self) -> int:
        return int.from_bytes(self.content[33:37], "big")

    @property
    def version(self) -> int:
        return int.from_bytes(self.content[37:45], "big")

    @property
    def id(self) -> str:
        return self.content[51 : 51 + int.from_bytes(self.content[45:47], "big")].decode()

    @property
    def extension(self) -> bytes:
        start = 51 + int.from_bytes(self.content[45:47], "big")
        return self.content[start : start + int.from_bytes(self.content[47:51], "big")]

    @property
    def payload(self) -> bytes:
        lengths = int.from_bytes(self.content[45:47], "big") + int.from_bytes(self.content[47:51], "big")
        return self.content[51 + lengths :]

    @property
    def etag(self) -> str:
        return etag_of(self.hash)


def pack_content(
    stamp: bytes,
    birth: bytes,
    deleted: bool,
    schema: int,
    version: int,
    id: bytes,
    payload: bytes,
    extension: bytes = b"",
) -> bytes:
    """The canonical form of a record, as `Record` describes it."""
    head = CONTENT.pack(stamp, birth, deleted, schema, version, len(id), len(extension))
    return head + id + extension + payload


def etag_of(hash: bytes) -> str:
    """A record hash as base64url text without padding, fit for an HTTP ``ETag``."""
    return urlsafe_b64encode(hash).rstrip(b"=").decode()


# --- local writes ------------------------------------------------------------------------------------------------

Merge = Callable[[bytes, bytes], bytes]
"""(stored payload, new payload) -> payload to store. Pure; runs inside the store's transaction."""


class Write(Struct, frozen=True, gc=False):
    """One local write: a document to store under ``id``, or a delete when ``payload`` is None.

    Attributes:
        expected: `ABSENT`, `ANY`, or the hash that the record must have now.
        merge: Called when a live record is replaced, to keep what the writer does not know.
        oldest_schema: The oldest schema of a stored record that ``merge`` understands.
        keeps_schema: A live record that is replaced keeps its schema: who writes knows documents only.
        anew: A live record that is replaced counts as deleted first: nothing of it is kept.
    """

    segment: SegmentName
    id: str
    payload: bytes | None
    schema: int = 1
    expected: Digest = ANY
    merge: Merge | None = None
    oldest_schema: int = 0
    keeps_schema: bool = False
    anew: bool = False


class Written(Struct, frozen=True, gc=False):
    """What became of one `Write`. ``record`` is None for a delete that found nothing to delete."""

    record: Record | None
    replaced: Digest


class Commit(Struct, frozen=True, gc=False):
    """A batch of local writes is stored: one entry per write, in the order given."""

    written: tuple[Written, ...]


# --- what users see ----------------------------------------------------------------------------------------------

ChangeKind = Literal["saved", "deleted", "evicted"]
Origin = Literal["local", "sync", "hydrate"]


class Change(Struct, frozen=True, gc=False):
    """One record changed in the store that the layer reads.

    Attributes:
        origin: ``local`` = saved by a program on this store, ``sync`` = came by a link, ``hydrate`` = brought down on
            first access.
    """

    kind: ChangeKind
    type: str
    id: str
    partition: str
    etag: str
    origin: Origin


class Meta(Struct, frozen=True):
    """What the store knows about an entity beside its fields.

    Attributes:
        version: For people; never compare it to decide anything, compare ``etag``.
        pending: Names of the farther tiers this version has not reached; ``store …`` for one that the layer was opened
            without.
    """

    id: str
    type: str
    partition: str
    etag: str
    version: int
    schema: int
    created_at: datetime
    updated_at: datetime
    pending: tuple[str, ...]


class Stored(Struct, Generic[T], frozen=True):
    """An entity and its meta, read from one snapshot."""

    value: T
    meta: Meta
