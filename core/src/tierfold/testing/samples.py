"""Segments, writes and records for tests of stores: short to say, and the same every time."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from tierfold.abc.syncable import PeerSegment, Push, PushOrigin, Registered, Registration, SyncableStore
from tierfold.clock import stamp_of
from tierfold.digest import Hasher
from tierfold.model import ABSENT, ANY, Digest, Position, Record, SegmentName, StoreId, Write, pack_content
from tierfold.testing.fakes import START_MS

__all__ = ["OSLO", "PARTITION", "PEER", "ROME", "foreign", "key_of", "origin", "push", "put", "register", "remove"]

PARTITION: Final = "app.oslo"
OSLO: Final = SegmentName("Thing", PARTITION)
ROME: Final = SegmentName("Thing", "app.rome")
PEER: Final = StoreId(b"a nearer store  ")
_NODE: Final = b"foreign "


def put(id: str, payload: bytes = b"\xa0", segment: SegmentName = OSLO, expected: Digest = ANY) -> Write:
    """A local write of a document."""
    return Write(segment, id, payload, expected=expected)


def remove(id: str, segment: SegmentName = OSLO, expected: Digest = ANY) -> Write:
    """A local delete."""
    return Write(segment, id, None, expected=expected)


def key_of(id: str, type: str = "Thing") -> bytes:
    """The record key of an id."""
    return Hasher(type).key(id.encode())


def foreign(
    id: str,
    payload: bytes | None = b"\xa0",
    *,
    ms: int = START_MS,
    node: bytes = _NODE,
    version: int = 1,
    type: str = "Thing",
) -> Record:
    """A record that another store wrote at ``ms``; a tombstone when ``payload`` is None."""
    stamp = stamp_of(ms << 16, node)
    deleted = payload is None
    content = pack_content(stamp, stamp, deleted, 1, version, id.encode(), payload or b"")
    return Hasher(type).record(content)


def origin(batch: int, *, generation: int = 1, peer: StoreId = PEER) -> PushOrigin:
    """Whose batch it is."""
    return PushOrigin(peer, generation, batch, Position(bytes(16)))


def push(record: Record, expected: Digest = ABSENT, *, or_absent: bool = False) -> Push:
    """One row of a batch; by default a new one."""
    return Push(record, expected, or_absent)


async def register(
    store: SyncableStore,
    *,
    partition: str = PARTITION,
    generation: int = 1,
    segments: Mapping[SegmentName, PeerSegment] | None = None,
    peer: StoreId = PEER,
    lease_s: int | None = None,
) -> Registered:
    """Open a run of a nearer store."""
    return await store.register(Registration(peer, partition, generation, segments or {}, lease_s))
