"""One entity, observed."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Generic, TypeVar

from tierfold.abc.store import RecordChange
from tierfold.access import Access
from tierfold.catalog import EntityKind
from tierfold.entities.ids import split_id
from tierfold.errors import PartitionUnavailableError
from tierfold.live.hub import Hub
from tierfold.live.snapshot import Live, Overflow, Snapshot, SnapshotState
from tierfold.model import Change, Record, SegmentName

__all__ = ["LiveEntity"]

T = TypeVar("T")


class LiveEntity(Live[T | None], Generic[T]):
    """Snapshots of one entity; None while there is none."""

    __slots__ = ("_access", "_hub", "_id", "_kind", "_load", "_segment")

    def __init__(self, kind: EntityKind, access: Access, hub: Hub, id: str, overflow: Overflow) -> None:
        super().__init__(overflow)
        split_id(id)
        self._kind, self._access, self._hub, self._id = kind, access, hub, id
        self._load: Callable[[Record], T] = kind.adapter.load
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

    def _take(self, changes: Sequence[RecordChange], lagged: int) -> Snapshot[T | None] | None:
        last = changes[-1]
        if last.kind == "evicted":
            self._must_read = True
            return None
        return self._snapshot(last.record, "ready", lagged, self._hub.shown(changes, self._kind.prefix))

    def _snapshot(
        self, record: Record | None, state: SnapshotState, lagged: int, changes: tuple[Change, ...]
    ) -> Snapshot[T | None]:
        if record is None or record.deleted:
            return Snapshot(None, state, False, lagged, changes)
        access = self._access
        pending = not access.is_last and bool(access.pending(self._segment, record))
        return Snapshot(self._load(record), state, pending, lagged, changes)
