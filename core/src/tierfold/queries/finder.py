"""The records that meet a condition, looked for in one tier.

Everything is read in short runs, with the event loop getting its turn in between: results are not of one snapshot, but
a record that meets the condition throughout is found exactly once.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Sequence
from typing import Final

from tierfold.abc.indexed import IndexedStore, IndexHit, IndexPath
from tierfold.abc.store import LocalStore
from tierfold.errors import QueryError
from tierfold.model import Record, SegmentName
from tierfold.wake import give_way
from tierfold.where.bounds import Range
from tierfold.where.order import Key
from tierfold.where.order_bytes import is_cut, value_of
from tierfold.where.spans import Span, rest_of

__all__ = ["Finder"]

_ROWS_AT_ONCE: Final = 2_000
_HITS_AT_ONCE: Final = 1_000


class Finder:
    """Looks for records of one type.

    Args:
        matches: Whether a record's content meets the condition.
        contains: Whether a segment is one of those that are asked about.

    Attributes:
        scanned: How many records it looked at.
    """

    def __init__(self, type: str, matches: Callable[[bytes], bool], contains: Callable[[SegmentName], bool]) -> None:
        self._type, self._matches, self._contains = type, matches, contains
        self.scanned = 0

    async def lying(
        self, store: LocalStore, segment: SegmentName, after: str | None, *, back: bool
    ) -> AsyncIterator[Record]:
        """Those of one segment as they lie, behind the id ``after``."""
        key: bytes | None = b"" if after is None else store.record_key(self._type, after)
        while key is not None:
            part = store.scan_live(segment, key, _ROWS_AT_ONCE, self._matches, back=back)
            self.scanned += part.rows
            for record in part.records:
                yield record
            key = part.after
            if key is not None:
                await give_way()

    async def indexed(
        self, store: IndexedStore, path: IndexPath, steps: Sequence[Span], *, exact: bool, first: int
    ) -> AsyncIterator[tuple[bytes, Record]]:
        """Those in parts of an index, in its order, each with its value as order bytes.

        Args:
            exact: All that is found there meets the condition.
            first: How many are likely wanted.
        """
        limit = min(max(first, 16), _HITS_AT_ONCE)
        todo = list(reversed(steps))
        while todo:
            step = todo.pop()
            hits = self._hits(store, path, step, limit)
            for hit in hits:
                if self._contains(hit.segment) and (exact or self._matches(hit.record.content)):
                    yield value_of(hit.key), hit.record
            if len(hits) == limit:
                last = hits[-1].key
                todo += reversed(rest_of(step, last, value_of(last)))
                limit = _HITS_AT_ONCE
                await give_way()

    def _hits(self, store: IndexedStore, path: IndexPath, step: Span, limit: int) -> Sequence[IndexHit]:
        hits = store.index_hits(self._type, path, step.low, step.high, limit, back=step.back, ids_back=step.ids_back)
        if hits is None:
            raise _dropped(path)
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
    ) -> AsyncIterator[Record]:
        """Like `indexed`, in the very order of ``key``: values too long for an index are ordered here."""
        alike: list[Record] = []
        shared = b""
        async for value, record in self.indexed(store, path, steps, exact=exact, first=first):
            if alike and value != shared:
                for each in sorted(alike, key=key, reverse=back):
                    yield each
                alike = []
            if is_cut(value):
                alike.append(record)
                shared = value
            else:
                yield record
        for each in sorted(alike, key=key, reverse=back):
            yield each

    def count(self, store: IndexedStore, path: IndexPath, ranges: Sequence[Range], limit: int | None = None) -> int:
        """How many entries of an index lie in ranges, counted up to ``limit`` in each."""
        total = 0
        for low, high in ranges:
            found = store.index_count(self._type, path, low, high, limit)
            if found is None:
                raise _dropped(path)
            total += found
        return total


def _dropped(path: IndexPath) -> QueryError:
    return QueryError(f"the index on {'.'.join(path)} was dropped while it was read; ask again")
