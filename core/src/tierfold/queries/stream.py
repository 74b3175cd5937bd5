"""A query's results one by one. An object, and no generator: who leaves the loop early leaves nothing to be closed."""

from __future__ import annotations

from collections import deque
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from typing import Generic, TypeVar

from tierfold.where.cursor import Cursor

__all__ = ["Stream"]

T = TypeVar("T")

Turn = Callable[[Cursor | None], Awaitable[tuple[Sequence[T], Cursor | None, Exception | None]]]
"""Behind a cursor: some entities, where to go on, and what is raised behind them."""


class Stream(AsyncIterator[T], Generic[T]):
    """Entities one by one, some of them read ahead. Used by one task."""

    def __init__(self, turn: Turn[T]) -> None:
        self._turn = turn
        self._ready: deque[T] = deque()
        self._start: Cursor | None = None
        self._error: Exception | None = None
        self._ended = False

    async def __anext__(self) -> T:
        while not self._ready:
            if self._error is not None:
                error, self._error, self._ended = self._error, None, True
                raise error
            if self._ended:
                raise StopAsyncIteration
            items, self._start, self._error = await self._turn(self._start)
            self._ready.extend(items)
            self._ended = self._start is None
        return self._ready.popleft()
