"""One entity, observed."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Generic, TypeVar

from tierfold.abc.store import RecordChange
from tierfold.access import Access
from tierfold.catalog import EntityKind
from tierfold.entities.ids import logical_key, split_id
from tierfold.errors import PartitionUnavailableError
from tierfold.live.hub import Hub
from tierfold.live.snapshot import Live, Overflow, Snapshot, SnapshotState
from tierfold.model import Change, Record, SegmentName

__all__ = ["LiveEntity", "change_of"]

T = TypeVar("T")


class LiveEntity(Live[T | None], Generic[T]):
    """Snapshots of one entity; None while there is none."""

    __slots__ = ("_access", "_hub", "_id", "_kind", "_segment")

    def __init__(self, kind: EntityKind, access: Access, hub: Hub, id: str, overflow: Overflow) -> None:
        super().__init__(overflow)
        split_id(id)
        self._kind, self._access, self._hub, self._id = kind, access, hub, id
        self._segment: SegmentName = kind.placement.segment_of_id(id)

    def _join(self) -> Callable[[], None]:
        self._access.require_open()
        return self._hub.join_id(self._segment, self._id, self)

    def _loading(self) -> Snapshot[T | None] | None:
        return None if self._access.reader.holds_all() else Snapshot(None, "loading")

    async def _read(self, lagged: int) -> Snapshot[T | None]:
        state: SnapshotState = "ready"
        try:
            await self._access.bring(self._segment.partition)
        except PartitionUnavailableError:
            state = "stale"
        store = self._access.reader if state == "ready" else self._access.holder
        return self._snapshot(store.find_held(self._segment, self._id), state, lagged, ())

    async def _take(self, changes: Sequence[RecordChange], lagged: int) -> Snapshot[T | None] | None:
        last = changes[-1]
        if last.kind == "evicted":
            return await self._read(lagged)
        told = tuple(change_of(change, self._kind.prefix) for change in changes)
        return self._snapshot(last.record, "ready", lagged, told)

    def _snapshot(
        self, record: Record | None, state: SnapshotState, lagged: int, changes: tuple[Change, ...]
    ) -> Snapshot[T | None]:
        if record is None or record.deleted:
            return Snapshot(None, state, False, lagged, changes)
        pending = bool(self._access.pending(self._segment, record))
        return Snapshot(self._kind.adapter.load(record), state, pending, lagged, changes)


def change_of(change: RecordChange, prefix: str) -> Change:
    """A change as users see it, its partition by logical key."""
    segment, record = change.segment, change.record
    key = logical_key(prefix, segment.partition) or segment.partition
    return Change(change.kind, segment.type, record.id, key, record.etag, change.origin)
