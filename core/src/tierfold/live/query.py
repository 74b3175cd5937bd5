"""The results of a query, observed and kept up to date commit by commit."""

from __future__ import annotations

from bisect import bisect_left, insort
from collections.abc import Callable, Sequence
from typing import Final, Generic, TypeVar

from tierfold.abc.store import RecordChange
from tierfold.access import Access
from tierfold.catalog import EntityKind
from tierfold.entities.ids import entity_key
from tierfold.errors import ValidationError
from tierfold.live.hub import Hub, Membership, change_of
from tierfold.live.snapshot import Live, Overflow, Snapshot, SnapshotState, newest
from tierfold.model import Change, Record, SegmentName
from tierfold.queries.ordering import Ordering
from tierfold.queries.question import Question
from tierfold.queries.search import Search
from tierfold.where.order import Key

__all__ = ["LiveQuery"]

T = TypeVar("T")

_EVERYTHING: Final = 2**62
_SPARE: Final = 16
"""With a limit, so many results behind it are known, too: one that falls out is replaced without another search."""


class LiveQuery(Live[list[T]], Generic[T]):
    """Snapshots of a query's results.

    A commit is followed by looking at the records it changed. With a limit, the results are searched for again only
    when more of them went than were known behind the limit.
    """

    __slots__ = (
        "_access",
        "_items",
        "_keys",
        "_kind",
        "_knows_all",
        "_loaded",
        "_matches",
        "_order",
        "_question",
        "_skips",
        "_state",
    )

    def __init__(
        self, kind: EntityKind, access: Access, hub: Hub, question: Question, overflow: Overflow, *, skips: bool
    ) -> None:
        super().__init__(hub, overflow)
        self._kind, self._access, self._question, self._skips = kind, access, question, skips
        self._keys: list[tuple[Key, str]] = []
        self._items: dict[str, tuple[Key, Record]] = {}
        self._loaded: dict[str, T] = {}
        self._knows_all = True
        self._state: SnapshotState = "loading"
        self._order: Ordering
        self._matches: Callable[[RecordChange], bool]

    def _join(self) -> Membership:
        self._access.require_open()
        question = self._question
        if question.partitions is None:
            return self._hub.join_type(question.type, self)
        named = (entity_key(question.prefix, key) for key in question.partitions)
        return self._hub.join_segments([SegmentName(question.type, partition) for partition in named], self)

    def _loading(self) -> Snapshot[list[T]] | None:
        return None if self._access.reader.holds_all() else Snapshot([], "loading")

    # --- reading all ---------------------------------------------------------------------------------------------

    async def _read(self, lagged: int) -> Snapshot[list[T]]:
        while True:
            await self._search()
            lagged += self._catch_up()
            if not self._is_short():
                return self._snapshot(lagged, ())

    async def _search(self) -> None:
        limit = self._question.limit
        want = _EVERYTHING if limit is None else limit + _SPARE + 1
        search = Search(self._kind, self._access, self._question, skips=self._skips)
        records = await search.find(None, want, back=False)
        self._order, self._matches = search.order, search.concerns
        self._knows_all = len(records) < want
        self._state = "ready" if search.scope.is_complete else "stale"
        # Found in several looks: what moved meanwhile may be found twice, until it is followed.
        self._items = {record.id: (self._order.key(record), record) for record in records[: want - 1]}
        self._keys = sorted((key, id) for id, (key, _) in self._items.items())
        self._loaded = {}
        self._seen = self._access.reader.newest_seq() if self._state == "ready" else 0

    def _catch_up(self) -> int:
        """Follow what was told while all was read; how many commits these were."""
        self._sort_in()
        commits, followed = self._drain()
        for changes in commits:
            for change in changes:
                if self._is_beyond(change):
                    self._must_read = True
                else:
                    self._follow(change)
        return followed

    # --- following -----------------------------------------------------------------------------------------------

    def _take(self, changes: Sequence[RecordChange], lagged: int) -> Snapshot[list[T]] | None:
        told: list[Change] = []
        for change in changes:
            if self._is_beyond(change):
                self._must_read = True
                return None
            if self._follow(change):
                told.append(change_of(change, self._kind.prefix))
        if not told:
            return None
        if self._is_short():
            self._must_read = True
            return None
        return self._snapshot(lagged, tuple(told))

    def _is_beyond(self, change: RecordChange) -> bool:
        """Whether following it is not enough."""
        return change.kind == "evicted" or (change.origin == "hydrate" and self._state == "stale")

    def _follow(self, change: RecordChange) -> bool:
        """Whether the results, or what is known behind them, changed."""
        id = change.record.id
        if change.seq <= self._seen and self._contains(change):
            known, now = self._items.get(id), self._now(change)
            if known is not None and now.record.hash == known[1].hash:
                return False
            change = now
        was_there = self._remove(id, change)
        if change.kind != "saved" or not self._matches(change):
            return was_there
        key = self._order.key(change.record)
        if not self._knows_all and (not self._keys or (key, id) > self._keys[-1]):
            return was_there  # among those that are not known
        insort(self._keys, (key, id))
        self._items[id] = (key, change.record)
        self._cut()
        return was_there or id in self._items

    def _now(self, change: RecordChange) -> RecordChange:
        """What was read already may be newer than a change that is told of only now; the store knows."""
        segment, id = change.segment, change.record.id
        seq, record = newest(self._access.reader, segment, id)
        self._seen = max(self._seen, seq)
        if record is None or record.deleted:
            return RecordChange("deleted", segment, record or change.record, change.origin, seq)
        return RecordChange("saved", segment, record, change.origin, seq)

    def _remove(self, id: str, change: RecordChange) -> bool:
        item = self._items.get(id)
        if item is None or not self._contains(change):
            return False
        del self._items[id]
        self._loaded.pop(id, None)
        del self._keys[bisect_left(self._keys, (item[0], id))]
        return True

    def _contains(self, change: RecordChange) -> bool:
        return change.segment.partition.startswith(self._question.prefix + ".")

    def _cut(self) -> None:
        """Forget what is far behind the limit."""
        limit = self._question.limit
        if limit is not None and len(self._keys) > limit + 2 * _SPARE:
            for _, id in self._keys[limit + _SPARE :]:
                del self._items[id]
                self._loaded.pop(id, None)
            del self._keys[limit + _SPARE :]
            self._knows_all = False

    def _is_short(self) -> bool:
        limit = self._question.limit
        return limit is not None and not self._knows_all and len(self._keys) < limit

    # --- showing -------------------------------------------------------------------------------------------------

    def _snapshot(self, lagged: int, changes: tuple[Change, ...]) -> Snapshot[list[T]]:
        shown = [id for _, id in self._keys[: self._question.limit]]
        value = [entity for entity in map(self._entity, shown) if entity is not None]
        return Snapshot(value, self._state, self._access.is_waiting(), lagged, changes)

    def _entity(self, id: str) -> T | None:
        entity = self._loaded.get(id)
        if entity is None:
            try:
                entity = self._loaded[id] = self._kind.adapter.load(self._items[id][1])
            except ValidationError:
                if not self._skips:
                    raise
        return entity
