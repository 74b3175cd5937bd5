"""One entity, observed."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Generic, TypeVar

from tierfold.abc.store import RecordChange
from tierfold.access import Access
from tierfold.catalog import EntityKind
from tierfold.entities.ids import split_id
from tierfold.errors import PartitionUnavailableError
from tierfold.live.hub import Hub, Membership, Told, change_of
from tierfold.live.snapshot import Live, Overflow, Snapshot, SnapshotState, newest
from tierfold.model import Record, SegmentName

__all__ = ["LiveEntity"]

T = TypeVar("T")


class LiveEntity(Live[T | None], Generic[T]):
    """Snapshots of one entity; None while there is none."""

    __slots__ = ("_access", "_id", "_kind", "_load", "_segment")

    def __init__(self, kind: EntityKind, access: Access, hub: Hub, id: str, overflow: Overflow) -> None:
        super().__init__(hub, overflow)
        split_id(id)
        self._kind, self._access, self._id = kind, access, id
        self._load: Callable[[Record], T] = kind.adapter.load
        self._segment: SegmentName = kind.placement.segment_of_id(id)

    def _join(self) -> Membership:
        self._access.require_open()
        return self._hub.join_id(self._segment, self._id, self)

    def _loading(self) -> Snapshot[T | None] | None:
        return None if self._access.reader.holds_all() else Snapshot(None, "loading")

    async def _read(self, lagged: int) -> Snapshot[T | None]:
        try:
            await self._access.bring(self._segment.partition)
        except PartitionUnavailableError:
            self._seen = 0  # what waits here for its partition may lie in a tier that is not the one followed
            return self._snapshot(self._access.holder.find_held(self._segment, self._id), "stale", lagged)
        self._seen, record = newest(self._access.reader, self._segment, self._id)
        return self._snapshot(record, "ready", lagged)

    def _take(self, changes: Sequence[RecordChange], lagged: int) -> Snapshot[T | None] | None:
        last = changes[-1]
        if not last.record.hash:  # let go of
            self._must_read = True
            return None
        if changes[0].seq <= self._seen:
            changes = [change for change in changes if change.seq > self._seen]
            if not changes:
                return None
        shown, pending = self._hub.told(changes, self._tell)
        if last.record.content[32] & 1:  # `record.deleted`, without the call
            return Snapshot(None, "ready", False, lagged, shown)
        return Snapshot(self._load(last.record), "ready", pending, lagged, shown)

    def _tell(self, changes: Sequence[RecordChange]) -> Told:
        shown = tuple(change_of(change, self._kind.prefix) for change in changes)
        return shown, self._is_pending(changes[-1].record)

    def _is_pending(self, record: Record) -> bool:
        return bool(self._access.pending(self._segment, record))

    def _snapshot(self, record: Record | None, state: SnapshotState, lagged: int) -> Snapshot[T | None]:
        if record is None or record.deleted:
            return Snapshot(None, state, False, lagged)
        return Snapshot(self._load(record), state, self._is_pending(record), lagged)
