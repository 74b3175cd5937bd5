"""Queries over the entities of one type."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Sequence
from typing import Final, Generic, Literal, TypeVar

from tierfold.access import Access
from tierfold.arguments import check_at_least_one, given
from tierfold.catalog import EntityKind
from tierfold.errors import QueryError, ValidationError
from tierfold.live.hub import Hub
from tierfold.live.query import LiveQuery
from tierfold.live.snapshot import Live, Overflow
from tierfold.model import Record
from tierfold.queries.explanation import Explanation
from tierfold.queries.page import Page
from tierfold.queries.question import Question
from tierfold.queries.search import Search
from tierfold.queries.stream import Stream
from tierfold.where.cursor import Cursor, open_cursor, seal_cursor
from tierfold.where.mango import to_mango
from tierfold.where.tree import EVERYTHING

__all__ = ["OnInvalid", "Query"]

T = TypeVar("T")

DEFAULT_PAGE: Final = 256
_SORTED_AT_ONCE: Final = 10_000
"""What one pass over all records collects, when results have to be sorted to be streamed."""

OnInvalid = Literal["raise", "skip"]


class Query(Generic[T]):
    """A question that was not asked yet. Iterate it, or ask for pages; each use asks anew.

    Entities come in the order asked for, None last and ties by id. Without one they come as the way to them gives them,
    the same way for all pages that follow from each other.
    """

    def __init__(
        self, kind: EntityKind, access: Access, hub: Hub, question: Question, on_invalid: OnInvalid = "raise"
    ) -> None:
        if on_invalid not in ("raise", "skip"):
            raise QueryError(f"on_invalid is 'raise' or 'skip', not {on_invalid!r}")
        self._kind, self._access, self._hub, self._question = kind, access, hub, question
        self._load: Callable[[Record], T] = kind.adapter.load
        self._skips = on_invalid == "skip"

    def __repr__(self) -> str:
        asked = self._question
        said = [f"<Query of {asked.type}"]
        if asked.condition != EVERYTHING:
            said.append(f"where {to_mango(asked.condition)}")
        if asked.partitions is not None:
            said.append(f"partitions {', '.join(asked.partitions)}")
        if asked.order:
            said.append(f"sort {', '.join(map(str, asked.order))}")
        if asked.limit is not None:
            said.append(f"limit {asked.limit}")
        return ", ".join(said) + ">"

    def __aiter__(self) -> AsyncIterator[T]:
        """Stream in bounded memory. Nothing is given twice, not even what is changed in the loop and found again.

        Raises:
            PartitionUnavailableError: A partition cannot be reached; what came before it was given.
        """
        return Stream(self._turn, self._kind.adapter.id_of, self._newest_seq)

    def _newest_seq(self) -> int:
        return self._access.reader.newest_seq()

    async def _turn(self, start: Cursor | None) -> tuple[Sequence[T], Cursor | None, Exception | None]:
        """Some entities of a stream, where it goes on, and what must be raised behind them."""
        search = self._search()
        plan = await search.plan(start)
        page = await self._page(search, start, DEFAULT_PAGE if plan.in_order else _SORTED_AT_ONCE, back=False)
        error = next(iter(search.scope.missing.values()), None)
        return page.items, None if page.next is None else open_cursor(page.next, self._question.digest), error

    async def all(self) -> list[T]:
        """Every entity at once."""
        return [item async for item in self]

    async def first(self) -> T | None:
        """The first entity, None when there is none."""
        page = await self.page(size=1)
        return page.items[0] if page.items else None

    async def count(self) -> int:
        """How many entities meet the condition, whatever the limit.

        Raises:
            PartitionUnavailableError: A partition cannot be reached.
        """
        search = self._search()
        found = await search.count()
        for error in search.scope.missing.values():
            raise error
        return found

    async def page(self, *, after: str | None = None, before: str | None = None, size: int = DEFAULT_PAGE) -> Page[T]:
        """Entities behind a cursor, or those just before one, at most ``size``.

        Raises:
            QueryError: The cursor is of another query or none at all, both are given, or ``size`` is less than one.
        """
        check_at_least_one(size, "size")
        if after is not None and before is not None:
            raise QueryError("a page is behind one cursor or before one, not both")
        text = after if before is None else before
        if text is not None and not isinstance(text, str):
            raise QueryError(f"a cursor is the text that `Page.next` gives, not {given(text)}")
        start = None if text is None else open_cursor(text, self._question.digest)
        return await self._page(self._search(), start, size, back=before is not None)

    async def explain(self) -> Explanation:
        """How the query is answered. It is run for that, up to its limit."""
        search, start = self._search(), None
        plan, hindrance = await search.plan(None), search.hindrance
        scanned = returned = 0
        while True:
            page = await self._page(search, start, _SORTED_AT_ONCE, back=False)
            scanned, returned = scanned + search.scanned, returned + len(page)
            if page.next is None:
                break
            start = open_cursor(page.next, self._question.digest)
            search = self._search()
        index = "id" if search.ids is not None else None if plan.index is None else ".".join(plan.index)
        order = "sorted" if not plan.in_order else "stored" if index is None else "index"
        is_scan = index is None and (self._question.condition != EVERYTHING or bool(plan.order))
        return Explanation(index, order, scanned, returned, f"a full scan: {hindrance or _ADVICE}" if is_scan else None)

    def observe(self, *, overflow: Overflow = "latest") -> Live[list[T]]:
        """The results now, and again after every commit that changes them.

        Args:
            overflow: What becomes of commits that nobody takes in time: ``latest`` = they are summed up in one
                snapshot, ``buffer(n)`` = only what is more than n, ``error`` = more than 1,000 end it.
        """
        return LiveQuery(self._kind, self._access, self._hub, self._question, overflow, skips=self._skips)

    def _search(self) -> Search:
        return Search(self._kind, self._access, self._question, skips=self._skips)

    async def _page(self, search: Search, start: Cursor | None, size: int, *, back: bool) -> Page[T]:
        """The page behind ``start``, or before it."""
        records, offset, more = await (self._before(search, start, size) if back else self._behind(search, start, size))
        items, skipped = self._loaded(records)
        previous, next = self._ways(search, start, records, offset, more=more, back=back)
        return Page(
            items,
            next=next,
            prev=previous,
            missing=sorted(search.scope.missing),
            complete=search.scope.is_complete,
            skipped=skipped,
        )

    async def _behind(self, search: Search, start: Cursor | None, size: int) -> tuple[list[Record], int, bool]:
        """Records, how many results were before them, and whether there are more behind them."""
        limit = self._question.limit
        offset = 0 if start is None or start.is_edge else start.offset + 1
        room = size if limit is None else max(0, min(size, limit - offset))
        found = await search.find(start, room + 1, back=False)
        return found[:room], offset, len(found) > room and offset + room != limit

    async def _before(self, search: Search, start: Cursor | None, size: int) -> tuple[list[Record], int, bool]:
        """Records, how many results were before them, and whether there are any."""
        limit = self._question.limit
        assert start is not None, "nothing is before no cursor"
        if start.is_edge and limit is not None:  # what is the last within the limit is known only from the beginning
            found = await search.find(start, limit, back=False)
            offset = max(0, len(found) - size)
            return found[offset:], offset, offset > 0
        found = await search.find(start, size + 1, back=True)
        more = len(found) > size
        records = found[:size][::-1]
        return records, max(0, start.offset - len(records)) if more else 0, more

    def _ways(
        self, search: Search, start: Cursor | None, records: Sequence[Record], offset: int, *, more: bool, back: bool
    ) -> tuple[str | None, str | None]:
        """Cursors to what is before a page, and to what is behind it."""
        digest, is_whole = self._question.digest, start is None or start.is_edge
        if not records:
            way = None if is_whole else seal_cursor(search.order.edge(digest, offset))
            return (None, way) if back else (way, None)
        first, last = records[0], records[-1]
        has_previous, has_next = (more, not is_whole) if back else (not is_whole, more)
        return (
            seal_cursor(search.order.cursor(digest, first, offset)) if has_previous else None,
            seal_cursor(search.order.cursor(digest, last, offset + len(records) - 1)) if has_next else None,
        )

    def _loaded(self, records: Sequence[Record]) -> tuple[list[T], int]:
        if not self._skips:
            return list(map(self._load, records)), 0
        items: list[T] = []
        for record in records:
            try:
                items.append(self._load(record))
            except ValidationError:
                continue
        return items, len(records) - len(items)


_ADVICE: Final = "declare an index on a field of the condition or the order"
