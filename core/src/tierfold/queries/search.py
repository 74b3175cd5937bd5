"""One search for some of a question's records: where to look, in which order, and when there are enough."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Callable, Iterable, Sequence
from contextlib import aclosing
from functools import partial
from typing import Final

from msgspec.structs import replace

from tierfold.abc.indexed import IndexedStore, IndexPath, IndexStatus
from tierfold.abc.store import RecordChange
from tierfold.access import Access
from tierfold.catalog import EntityKind
from tierfold.entities.ids import split_id
from tierfold.errors import ValidationError
from tierfold.indexing import statuses
from tierfold.model import Digest, Record, SegmentName
from tierfold.queries.finder import Finder, IndexDroppedError
from tierfold.queries.ordering import Ordering
from tierfold.queries.question import Question, ids_in
from tierfold.queries.scope import Scope
from tierfold.where.bounds import Range
from tierfold.where.cursor import Cursor
from tierfold.where.lens import Lens
from tierfold.where.matching import matcher
from tierfold.where.order import Key
from tierfold.where.plan import FEW, Plan, choose, scan_plan
from tierfold.where.sorting import SortField
from tierfold.where.spans import spans, start_in
from tierfold.where.tree import EVERYTHING, Path, paths_of

__all__ = ["Search"]

_NO_DOCUMENT: Final = b"\x80"
_ALL: Final = 1 << 30
_SPARE: Final = 1_000
"""So many more records than wanted are collected before the last of them are let go."""


class Search:
    """Use once. Reads the nearest tier, and what waits here for partitions that cannot be reached.

    Args:
        skips: A record that cannot be upgraded counts as an empty document, and is none of the search's business.

    Attributes:
        scope: The partitions it reads; set when it begins.
        order: What the results are ordered by, likewise; empty = as they lie.
        ids: The only ids that can meet the condition, where it names them: these are fetched, and no index is read.
        hindrance: Why an index that would help is not used.
    """

    def __init__(self, kind: EntityKind, access: Access, question: Question, *, skips: bool) -> None:
        self._access, self._question, self._skips = access, question, skips
        self._upgrade, self._declaration = kind.adapter.upgrade, kind.declaration
        self.ids: list[str] | None = ids_in(question.condition)
        self._store = access.searched(question.type)
        self._plan: Plan | None = None
        self._asked: dict[SegmentName, bool] = {}
        self.hindrance: str | None = None
        self.scope: Scope
        self.order: Ordering
        self._finder: Finder

    @property
    def scanned(self) -> int:
        """How many records were looked at so far."""
        return self._finder.scanned

    async def find(self, start: Cursor | None, want: int, *, back: bool) -> list[Record]:
        """Up to ``want`` records behind ``start``, or before it with ``back``; those nearest to it come first.

        All are behind an edge, and before it; it only says the order.
        """
        while True:
            plan = self._plan or await self.plan(start)
            try:
                return await self._find(plan, None if start is None or start.is_edge else start, want, back=back)
            except IndexDroppedError:
                self._plan = None

    async def _find(self, plan: Plan, start: Cursor | None, want: int, *, back: bool) -> list[Record]:
        first = None if start is None else self.order.at(start)
        runs: AsyncGenerator[Sequence[Record]]
        if plan.index is not None and plan.in_order:
            runs = self._by_index(plan, plan.index, start, first, want, back=back)
        elif plan.in_order:
            runs = self._lying(start, want, back=back)
        else:
            runs = self._sorted(plan, first, want, back=back)
        found: list[Record] = []
        known: set[str] = set()
        async with aclosing(runs):
            async for run in runs:
                found += run if plan.index is None or not found else _others(run, found, known)
                if len(found) >= want:
                    break
        return found[:want]

    async def count(self) -> int:
        """How many records meet the condition, whatever the limit."""
        while True:
            plan = await self.plan()
            try:
                return await self._count(plan)
            except IndexDroppedError:
                continue

    async def _count(self, plan: Plan) -> int:
        store = self._store
        if plan.index is not None and plan.exact and isinstance(store, IndexedStore) and self._is_whole():
            return self._finder.count(store, plan.index, plan.ranges)
        total = 0
        async with aclosing(self._candidates(plan, FEW)) as runs:
            async for run in runs:
                total += len(run)
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
        self._finder = Finder(question.type, self._matches, self._contains)
        order = question.order if start is None else start.order
        while True:
            try:
                plan = await self._choose(start, order)
                break
            except IndexDroppedError:
                continue
        self.order = Ordering(plan.order, self._payload_of(), self._record_key)
        self._plan = plan
        return plan

    async def _choose(self, start: Cursor | None, order: tuple[SortField, ...]) -> Plan:
        if self.ids is not None:
            return replace(scan_plan(order), in_order=False)
        if start is not None and not order:
            return scan_plan(())
        ready = await self._usable()
        return choose(self._question.condition, order, ready, self._estimate, may_order=start is None)

    def concerns(self, change: RecordChange) -> bool:
        """Whether a live record is one of those that the question asks for. Asked after `find`."""
        return self._contains(change.segment) and self._finder.matches(change.record.content)

    async def _find_scope(self) -> Scope:
        question, all_known = self._question, True
        find_keys: Callable[[], Sequence[str]]
        if self.ids is not None:
            asked = {key for key in map(_key_of_id, self.ids) if key is not None}
            asked = asked if question.partitions is None else asked.intersection(question.partitions)
            find_keys = partial(sorted, asked)
        elif question.partitions is not None:
            find_keys = partial(list, question.partitions)
        elif self._store.holds_all():
            find_keys = self._keys_here
        else:
            segments, all_known = await self._access.segments(question.type)
            find_keys = partial(self._keys_of, segments)
        return Scope(self._access, question.type, question.prefix, find_keys, all_known=all_known)

    def _keys_here(self) -> Sequence[str]:
        return self._keys_of(self._segments_of_type())

    def _keys_of(self, segments: Sequence[SegmentName]) -> Sequence[str]:
        prefix = self._question.prefix + "."
        named = {segment.partition for segment in segments if segment.partition.startswith(prefix)}
        return sorted(name[len(prefix) :] for name in named)

    async def _usable(self) -> set[IndexPath]:
        """Paths of the indexes that can answer: built, over documents as this program's class has them, all here."""
        store = self._store
        if not isinstance(store, IndexedStore):
            return set()
        asked = {*paths_of(self._question.condition), *[field.path for field in self._question.order]}
        indexes = [index for index in statuses(store, self._declaration) if index.state != "dropping"]
        hindrances = {index.path: self._hindrance(index) for index in indexes}
        usable = {path for path, hindrance in hindrances.items() if hindrance is None}
        said = [hindrance for path, hindrance in hindrances.items() if hindrance is not None and path in asked]
        self.hindrance = said[0] if said else None
        if usable and not store.holds_all():
            await self.scope.bring(self.scope.keys)
            if self.scope.missing:
                self.hindrance = "an index needs every partition here, and some cannot be reached"
                return set()
        return usable

    def _hindrance(self, index: IndexStatus) -> str | None:
        """Why an index cannot be used, if so."""
        name = ".".join(index.path)
        if index.state == "declared":
            return f"the index on {name} is not begun yet"
        if index.state == "building":
            return f"the index on {name} is still being built"
        older = sum(count for schema, count in index.entries.items() if schema < self._declaration.schema)
        if self._upgrade is None or not older:
            return None
        return (
            f"the index on {name} has {older} entities as they were before schema {self._declaration.schema}; "
            "it is used again once they are saved"
        )

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
        upgrade, type, skips = self._upgrade, self._question.type, self._skips
        if upgrade is None:
            return None

        def payload(content: bytes) -> bytes:
            try:
                return upgrade(Record(type, content, Digest(b""))).payload
            except ValidationError:
                if skips:
                    return _NO_DOCUMENT
                raise

        return payload

    def _record_key(self, id: str) -> bytes:
        return self._store.record_key(self._question.type, id)

    def _contains(self, segment: SegmentName) -> bool:
        known = self._asked.get(segment)
        if known is None:
            known = self._asked[segment] = self._asks(segment)
        return known

    def _asks(self, segment: SegmentName) -> bool:
        prefix = self._question.prefix + "."
        if not segment.partition.startswith(prefix):
            return False
        partitions = self._question.partitions
        return partitions is None or segment.partition[len(prefix) :] in partitions

    # --- looking -------------------------------------------------------------------------------------------------

    async def _by_index(
        self, plan: Plan, path: IndexPath, start: Cursor | None, first: Key | None, want: int, *, back: bool
    ) -> AsyncGenerator[Sequence[Record]]:
        assert isinstance(self._store, IndexedStore), "it has indexes"
        (field,) = plan.order
        steps = spans(plan.ranges, descending=field.descending, backward=back)
        if start is not None:
            steps = start_in(steps, start.values[0], start.id)
        key, store = self.order.key, self._store
        async with aclosing(
            self._finder.ordered(store, path, steps, key, exact=plan.exact, first=want, back=back)
        ) as runs:
            async for run in runs:
                kept = run
                if first is not None:
                    kept = run[_first_behind(run, key, first, back=back) :]
                    first = None if kept else first
                if kept:
                    yield kept

    async def _lying(self, start: Cursor | None, want: int, *, back: bool) -> AsyncGenerator[Sequence[Record]]:
        keys = [key for key in self.scope.keys if start is None or (key <= start.key if back else key >= start.key)]
        async with aclosing(self.scope.arriving(keys[::-1] if back else keys)) as arriving:
            async for key in arriving:
                after = start.id if start is not None and key == start.key else None
                store, segment = self.scope.store(key), self.scope.segment(key)
                async with aclosing(self._finder.lying(store, segment, after, first=want, back=back)) as runs:
                    async for run in runs:
                        yield run

    async def _sorted(
        self, plan: Plan, first: Key | None, want: int, *, back: bool
    ) -> AsyncGenerator[Sequence[Record]]:
        """Go through all candidates and give the first ``want`` behind the start."""
        kept: list[tuple[Key, Record]] = []
        key = self.order.key
        async with aclosing(self._candidates(plan, _ALL)) as runs:
            async for run in runs:
                pairs = [(key(record), record) for record in run]
                kept += pairs if first is None else [pair for pair in pairs if _is_behind(pair[0], first, back=back)]
                if len(kept) >= 2 * want + _SPARE:
                    kept = _first(kept, want, back=back)
        yield [record for _, record in _first(kept, want, back=back)]

    async def _candidates(self, plan: Plan, first: int) -> AsyncGenerator[Sequence[Record]]:
        """Every record that meets the condition, in no order."""
        if self.ids is not None:
            async with aclosing(self._by_ids(self.ids)) as runs:
                async for run in runs:
                    yield run
        elif plan.index is not None and isinstance(self._store, IndexedStore):
            steps = spans(plan.ranges, descending=False, backward=False)
            found = self._finder.indexed(self._store, plan.index, steps, exact=plan.exact, first=first)
            async with aclosing(found) as hits:
                async for some in hits:
                    yield [hit.record for hit in some]
        else:
            async with aclosing(self._lying(None, first, back=False)) as runs:
                async for run in runs:
                    yield run

    async def _by_ids(self, ids: Sequence[str]) -> AsyncGenerator[Sequence[Record]]:
        by_key: dict[str, set[str]] = {}
        for id in ids:
            key = _key_of_id(id)
            if key is not None:
                by_key.setdefault(key, set()).add(id)
        async with aclosing(self.scope.arriving(self.scope.keys)) as arriving:
            async for key in arriving:
                yield self._held(key, by_key[key])

    def _held(self, key: str, ids: Iterable[str]) -> list[Record]:
        store, segment = self.scope.store(key), self.scope.segment(key)
        records = [store.find_held(segment, id) for id in ids]
        self._finder.scanned += len(records)
        live = [record for record in records if record is not None and not record.deleted]
        return [record for record in live if self._finder.matches(record.content)]


def _always(content: bytes) -> bool:
    return True


def _key_of_id(id: str) -> str | None:
    try:
        return split_id(id)[0]
    except ValidationError:
        return None


def _others(run: Sequence[Record], found: Sequence[Record], known: set[str]) -> list[Record]:
    """Those of a run that were not found before: what moves along an index is found in two runs.

    Args:
        known: Ids of what was found, once there are two runs; kept up to date here.
    """
    if not known:
        known.update(record.id for record in found)
    others = [record for record in run if record.id not in known]
    known.update(record.id for record in others)
    return others


def _is_behind(key: Key, first: Key, *, back: bool) -> bool:
    return key < first if back else key > first


def _first_behind(records: Sequence[Record], key: Callable[[Record], Key], first: Key, *, back: bool) -> int:
    """Number of the first record behind a place; those after it are, too."""
    behind = (number for number, record in enumerate(records) if _is_behind(key(record), first, back=back))
    return next(behind, len(records))


def _first(kept: list[tuple[Key, Record]], want: int, *, back: bool) -> list[tuple[Key, Record]]:
    kept.sort(key=_key_of_pair, reverse=back)
    return kept[:want]


def _key_of_pair(pair: tuple[Key, Record]) -> Key:
    return pair[0]
