"""The records that meet a condition, looked for in one tier.

Everything is read in short runs, with the event loop getting its turn in between: results are not of one snapshot. A
record that stays as it is and meets the condition is found exactly once; one whose value in the index that is read
changes meanwhile may be found twice, or not at all.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, Callable, Sequence
from contextlib import aclosing
from functools import cached_property
from typing import Final

from tierfold.abc.indexed import IndexedStore, IndexHit, IndexPath
from tierfold.abc.store import LocalStore
from tierfold.model import Record, SegmentName
from tierfold.wake import give_way
from tierfold.where.bounds import Range
from tierfold.where.order import Key
from tierfold.where.order_bytes import is_cut, value_of
from tierfold.where.spans import Span, rest_of

__all__ = ["Finder", "IndexDroppedError"]

_ROWS_AT_ONCE: Final = 2_000
_HITS_AT_ONCE: Final = 1_000
_FEWEST_AT_ONCE: Final = 16
_NO_VALUE: Final = b"\xff"
"""What no order bytes begin with."""


class IndexDroppedError(Exception):
    """An index was dropped while it was read: search anew. Never an error for users."""


class Finder:
    """Looks for records of one type.

    Args:
        make_matches: Makes `matches`.
        contains: Whether a segment is one of those that are asked about.

    Attributes:
        scanned: How many records it looked at.
    """

    def __init__(
        self, type: str, make_matches: Callable[[], Callable[[bytes], bool]], contains: Callable[[SegmentName], bool]
    ) -> None:
        self._type, self._make_matches, self._contains = type, make_matches, contains
        self.scanned: int = 0

    @cached_property
    def matches(self) -> Callable[[bytes], bool]:
        """Whether a record's content meets the condition. Made when an index does not say so."""
        return self._make_matches()

    async def lying(
        self, store: LocalStore, segment: SegmentName, after: str | None, *, first: int, back: bool
    ) -> AsyncGenerator[Sequence[Record]]:
        """Those of one segment as they lie, behind the id ``after``, in runs. ``first``: how many are likely wanted."""
        key: bytes | None = b"" if after is None else store.record_key(self._type, after)
        limit = min(max(first, _FEWEST_AT_ONCE), _ROWS_AT_ONCE)
        while key is not None:
            part = store.scan_live(segment, key, limit, self.matches, back=back)
            self.scanned += part.rows
            key, limit = part.after, _ROWS_AT_ONCE
            if part.records:
                yield part.records
            if key is not None:
                await give_way()

    async def indexed(
        self, store: IndexedStore, path: IndexPath, steps: Sequence[Span], *, exact: bool, first: int
    ) -> AsyncGenerator[Sequence[IndexHit]]:
        """Hits on those in parts of an index, in its order, in runs.

        Args:
            exact: All that is found there meets the condition.
            first: How many are likely wanted.
        """
        limit = min(max(first, _FEWEST_AT_ONCE), _HITS_AT_ONCE)
        todo = list(reversed(steps))
        while todo:
            step = todo.pop()
            hits = self._hits(store, path, step, limit)
            found = self._asked_about(hits)
            if not exact:
                found = [hit for hit in found if self.matches(hit.record.content)]
            if len(hits) == limit:
                last = hits[-1].key
                todo += reversed(rest_of(step, last, value_of(last)))
                limit = _HITS_AT_ONCE
            if found:
                yield found
            if todo:
                await give_way()

    def _asked_about(self, hits: Sequence[IndexHit]) -> list[IndexHit]:
        """Those of the segments that are asked about. Neighbours are often of one."""
        found: list[IndexHit] = []
        last: SegmentName | None = None
        is_asked = False
        for hit in hits:
            if hit.segment is not last:
                last = hit.segment
                is_asked = self._contains(last)
            if is_asked:
                found.append(hit)
        return found

    def _hits(self, store: IndexedStore, path: IndexPath, step: Span, limit: int) -> Sequence[IndexHit]:
        hits = store.index_hits(self._type, path, step.low, step.high, limit, back=step.back, ids_back=step.ids_back)
        if hits is None:
            raise IndexDroppedError
        self.scanned += len(hits)
        return hits

    async def ordered(
        self,
        store: IndexedStore,
        path: IndexPath,
        steps: Sequence[Span],
        key: Callable[[Record], Key],
        *,
        exact: bool,
        first: int,
        back: bool,
    ) -> AsyncGenerator[Sequence[Record]]:
        """Like `indexed`, in the very order of ``key``: values too long for an index are ordered here."""
        alike: list[Record] = []
        value, is_shared = _NO_VALUE, False
        async with aclosing(self.indexed(store, path, steps, exact=exact, first=first)) as runs:
            async for hits in runs:
                run: list[Record] = []
                for hit in hits:
                    if not hit.key.startswith(value):  # no value begins like another one
                        value = value_of(hit.key)
                        is_shared = is_cut(value)
                        run += sorted(alike, key=key, reverse=back)
                        alike = []
                    (alike if is_shared else run).append(hit.record)
                if run:
                    yield run
        if alike:
            yield sorted(alike, key=key, reverse=back)

    def count(self, store: IndexedStore, path: IndexPath, ranges: Sequence[Range], limit: int | None = None) -> int:
        """How many entries of an index lie in ranges, counted up to ``limit`` in each."""
        total = 0
        for low, high in ranges:
            found = store.index_count(self._type, path, low, high, limit)
            if found is None:
                raise IndexDroppedError
            total += found
        return total
