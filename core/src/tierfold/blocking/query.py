"""Queries, asked from threads without an event loop."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from typing import Generic, TypeVar

from tierfold.blocking.calls import Calls
from tierfold.blocking.iteration import Live
from tierfold.live.snapshot import Overflow
from tierfold.queries.explanation import Explanation
from tierfold.queries.page import Page
from tierfold.queries.query import DEFAULT_PAGE
from tierfold.queries.query import Query as AsyncQuery

__all__ = ["Query"]

T = TypeVar("T")


class Query(Generic[T]):
    """A question that was not asked yet. Iterate it, or ask for pages; each use asks anew. See `tierfold.Query`."""

    def __init__(self, query: AsyncQuery[T], calls: Calls) -> None:
        self._query, self._calls = query, calls

    def __repr__(self) -> str:
        return repr(self._query)

    def __iter__(self) -> Iterator[T]:
        """Stream in bounded memory.

        Raises:
            PartitionUnavailableError: A partition cannot be reached; what came before it was given.
        """
        return _Results(aiter(self._query), self._calls)

    def all(self) -> list[T]:
        """Every entity at once."""
        return self._calls.run(self._query.all())

    def first(self) -> T | None:
        """The first entity, None when there is none."""
        return self._calls.run(self._query.first())

    def count(self) -> int:
        """How many entities meet the condition, whatever the limit.

        Raises:
            PartitionUnavailableError: A partition cannot be reached.
        """
        return self._calls.run(self._query.count())

    def page(self, *, after: str | None = None, before: str | None = None, size: int = DEFAULT_PAGE) -> Page[T]:
        """Entities behind a cursor, or those just before one, at most ``size``.

        Raises:
            QueryError: The cursor is of another query or none at all, both are given, or ``size`` is less than one.
        """
        return self._calls.run(self._query.page(after=after, before=before, size=size))

    def explain(self) -> Explanation:
        """How the query is answered. It is run for that, up to its limit."""
        return self._calls.run(self._query.explain())

    def observe(self, *, overflow: Overflow = "latest", timeout_s: float | None = None) -> Live[list[T]]:
        """The results now, and again after every commit that changes them.

        Args:
            overflow: What becomes of commits that nobody takes in time: ``latest`` = they are summed up in one
                snapshot, ``buffer(n)`` = only what is more than n, ``error`` = more than 1,000 end it.
            timeout_s: After so long without a snapshot a loop ends; None = it goes on until the layer is closed.
        """
        return self._calls.at_once(lambda: Live(self._query.observe(overflow=overflow), self._calls, timeout_s))


class _Results(Iterator[T], Generic[T]):
    """Used by one thread at a time."""

    def __init__(self, results: AsyncIterator[T], calls: Calls) -> None:
        self._results, self._calls = results, calls

    def __next__(self) -> T:
        try:
            return self._calls.run(_next(self._results))
        except StopAsyncIteration:
            raise StopIteration from None


async def _next(results: AsyncIterator[T]) -> T:
    return await anext(results)
