"""One search for some of a question's records: where to look, in which order, and when there are enough."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Callable, Sequence
from contextlib import aclosing
from typing import Final

from msgspec.structs import replace

from tierfold.abc.indexed import IndexedStore, IndexPath, IndexStatus
from tierfold.access import Access
from tierfold.catalog import EntityKind
from tierfold.entities.ids import split_id
from tierfold.errors import ValidationError
from tierfold.model import Digest, Record, SegmentName
from tierfold.queries.finder import Finder
from tierfold.queries.ordering import Ordering
from tierfold.queries.question import Question, ids_in
from tierfold.queries.scope import Scope
from tierfold.where.bounds import Range
from tierfold.where.cursor import Cursor
from tierfold.where.lens import Lens
from tierfold.where.matching import matcher
from tierfold.where.order import Key
from tierfold.where.plan import FEW, Plan, choose, scan_plan
from tierfold.where.sorting import parse_sort
from tierfold.where.spans import spans, start_in
from tierfold.where.tree import EVERYTHING, Path, paths_of

__all__ = ["Search"]

_SPARE: Final = 1_000
"""So many more records than wanted are collected before the last of them are let go."""


class Search:
    """Use once. Reads the nearest tier, and what waits here for partitions that cannot be reached.

    Attributes:
        scope: The partitions it reads; set when it begins.
        order: What the results are ordered by, likewise; empty = as they lie.
    """

    def __init__(self, kind: EntityKind, access: Access, question: Question) -> None:
        self._access, self._question = access, question
        self._upgrade, self._schema = kind.adapter.upgrade, kind.declaration.schema
        self._ids = ids_in(question.condition)
        self._store = access.searched(question.type)
        self._plan: Plan | None = None
        self.scope: Scope
        self.order: Ordering
        self._finder: Finder

    @property
    def scanned(self) -> int:
        """How many records were looked at so far."""
        return self._finder.scanned

    async def find(self, start: Cursor | None, want: int, *, back: bool) -> list[Record]:
        """Up to ``want`` records behind ``start``, or before it with ``back``; those nearest to it come first."""
        plan = self._plan or await self.plan(start)
        first = None if start is None else self.order.at(start)
        stream: AsyncGenerator[Record]
        if plan.index is not None and plan.in_order:
            stream = self._by_index(plan, plan.index, start, first, want, back=back)
        elif plan.in_order:
            stream = self._lying(start, back=back)
        else:
            stream = self._sorted(plan, first, want, back=back)
        found: list[Record] = []
        async with aclosing(stream):
            async for record in stream:
                found.append(record)
                if len(found) >= want:
                    break
        return found

    async def count(self) -> int:
        """How many records meet the condition, whatever the limit."""
        plan = await self.plan()
        store = self._store
        if plan.index is not None and plan.exact and isinstance(store, IndexedStore) and self._is_whole():
            return self._finder.count(store, plan.index, plan.ranges)
        total = 0
        async for _ in self._candidates(plan, FEW):
            total += 1
        return total

    def _is_whole(self) -> bool:
        """Whether every record of the type is asked about."""
        is_whole = self._question.partitions is None and self._store.holds_all()
        return is_whole and all(map(self._contains, self._segments_of_type()))

    def _segments_of_type(self) -> list[SegmentName]:
        return [segment for segment in self._store.segments() if segment.type == self._question.type]

    # --- where to look -------------------------------------------------------------------------------------------

    async def plan(self, start: Cursor | None = None) -> Plan:
        """Decide how to search, and bring down what must be here for that."""
        question = self._question
        self.scope = await self._find_scope()
        self._finder = Finder(question.type, self._matches(), self._contains)
        order = question.order if start is None else parse_sort(start.order)
        if self._ids is not None:
            plan = replace(scan_plan(order), in_order=False)
        elif start is not None and not order:
            plan = scan_plan(())
        else:
            ready = await self._usable()
            plan = choose(question.condition, order, ready, self._estimate, may_order=start is None)
        self.order = Ordering(plan.order, self._payload_of(), self._record_key)
        self._plan = plan
        return plan

    async def _find_scope(self) -> Scope:
        keys, all_known = self._question.partitions, True
        if self._ids is not None:
            asked = {key for key in map(_key_of_id, self._ids) if key is not None}
            keys = tuple(sorted(asked if keys is None else asked.intersection(keys)))
        elif keys is None:
            segments, all_known = await self._segments()
            prefix = self._question.prefix + "."
            named = {segment.partition for segment in segments if segment.partition.startswith(prefix)}
            keys = tuple(sorted(name[len(prefix) :] for name in named))
        return Scope(self._access, self._question.type, self._question.prefix, keys, all_known=all_known)

    async def _segments(self) -> tuple[Sequence[SegmentName], bool]:
        """Every segment of the type that any tier knows, and whether all could be asked."""
        if self._store.holds_all():
            return self._segments_of_type(), True
        return await self._access.segments(self._question.type)

    async def _usable(self) -> set[IndexPath]:
        """Paths of the indexes that can answer: built, over documents as this program's class has them, all here."""
        store = self._store
        if not isinstance(store, IndexedStore):
            return set()
        indexes = store.indexes(self._question.type)
        usable = {index.path for index in indexes if index.state == "ready" and self._fits(index)}
        if usable and not store.holds_all():
            await self.scope.bring(self.scope.keys)
            if self.scope.missing:
                return set()
        return usable

    def _fits(self, index: IndexStatus) -> bool:
        return self._upgrade is None or all(schema >= self._schema for schema in index.entries)

    def _estimate(self, path: Path, ranges: Sequence[Range]) -> int:
        assert isinstance(self._store, IndexedStore), "it has indexes"
        return self._finder.count(self._store, path, ranges, 2 * FEW)

    # --- what to look at -----------------------------------------------------------------------------------------

    def _matches(self) -> Callable[[bytes], bool]:
        condition = self._question.condition
        if condition == EVERYTHING:
            return _always
        lens = Lens(paths_of(condition), self._payload_of())
        view, match = lens.view, matcher(condition, lens)
        return lambda content: match(view(content))

    def _payload_of(self) -> Callable[[bytes], bytes] | None:
        """The payload that the class sees, for types whose older records are upgraded when they are read."""
        upgrade, schema, type = self._upgrade, self._schema, self._question.type
        if upgrade is None:
            return None

        def payload(content: bytes) -> bytes:
            record = Record(type, content, Digest(b""))
            return (upgrade(record) if record.schema < schema else record).payload

        return payload

    def _record_key(self, id: str) -> bytes:
        return self._store.record_key(self._question.type, id)

    def _contains(self, segment: SegmentName) -> bool:
        prefix = self._question.prefix + "."
        if not segment.partition.startswith(prefix):
            return False
        partitions = self._question.partitions
        return partitions is None or segment.partition[len(prefix) :] in partitions

    # --- looking -------------------------------------------------------------------------------------------------

    async def _by_index(
        self, plan: Plan, path: IndexPath, start: Cursor | None, first: Key | None, want: int, *, back: bool
    ) -> AsyncGenerator[Record]:
        assert isinstance(self._store, IndexedStore), "it has indexes"
        (field,) = plan.order
        steps = spans(plan.ranges, descending=field.descending, backward=back)
        if start is not None:
            steps = start_in(steps, start.values[0], start.id)
        key = self.order.key
        behind = first is None
        async for record in self._finder.ordered(
            self._store, path, steps, key, exact=plan.exact, first=want, back=back
        ):
            behind = behind or first is None or _is_behind(key(record), first, back=back)
            if behind:
                yield record

    async def _lying(self, start: Cursor | None, *, back: bool) -> AsyncGenerator[Record]:
        keys = [key for key in self.scope.keys if start is None or (key <= start.key if back else key >= start.key)]
        async for key in self.scope.arriving(keys[::-1] if back else keys):
            after = start.id if start is not None and key == start.key else None
            store, segment = self.scope.store(key), self.scope.segment(key)
            async for record in self._finder.lying(store, segment, after, back=back):
                yield record

    async def _sorted(self, plan: Plan, first: Key | None, want: int, *, back: bool) -> AsyncGenerator[Record]:
        """Go through all candidates and keep the first ``want`` behind the start."""
        kept: list[tuple[Key, Record]] = []
        async for record in self._candidates(plan, want):
            key = self.order.key(record)
            if first is None or _is_behind(key, first, back=back):
                kept.append((key, record))
                if len(kept) >= 2 * want + _SPARE:
                    kept = _first(kept, want, back=back)
        for _, record in _first(kept, want, back=back):
            yield record

    async def _candidates(self, plan: Plan, want: int) -> AsyncGenerator[Record]:
        """Every record that meets the condition, in no order."""
        if self._ids is not None:
            async for record in self._by_ids(self._ids):
                yield record
        elif plan.index is not None and isinstance(self._store, IndexedStore):
            steps = spans(plan.ranges, descending=False, backward=False)
            async for _, record in self._finder.indexed(self._store, plan.index, steps, exact=plan.exact, first=want):
                yield record
        else:
            async for record in self._lying(None, back=False):
                yield record

    async def _by_ids(self, ids: Sequence[str]) -> AsyncGenerator[Record]:
        by_key: dict[str, set[str]] = {}
        for id in ids:
            key = _key_of_id(id)
            if key is not None:
                by_key.setdefault(key, set()).add(id)
        matches = self._matches()
        async for key in self.scope.arriving(self.scope.keys):
            store, segment = self.scope.store(key), self.scope.segment(key)
            for id in by_key[key]:
                record = store.find_held(segment, id)
                self._finder.scanned += 1
                if record is not None and not record.deleted and matches(record.content):
                    yield record


def _always(content: bytes) -> bool:
    return True


def _key_of_id(id: str) -> str | None:
    try:
        return split_id(id)[0]
    except ValidationError:
        return None


def _is_behind(key: Key, first: Key, *, back: bool) -> bool:
    return key < first if back else key > first


def _first(kept: list[tuple[Key, Record]], want: int, *, back: bool) -> list[tuple[Key, Record]]:
    kept.sort(key=_key_of_pair, reverse=back)
    return kept[:want]


def _key_of_pair(pair: tuple[Key, Record]) -> Key:
    return pair[0]
