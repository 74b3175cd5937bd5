"""A query's results one by one. An object, and no generator: who leaves the loop early leaves nothing to be closed.

Results are read in turns, and who is given some may change them, so that they would be found again farther on. So ids
are remembered of what was given out while something was written, and not given out again. The loop that changes what
it loops over is the Halloween problem of databases.
"""

from __future__ import annotations

from collections import deque
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Sequence
from typing import Generic, TypeVar

from tierfold.wake import give_way
from tierfold.where.cursor import Cursor

__all__ = ["Stream"]

T = TypeVar("T")

Turn = Callable[[Cursor | None], Awaitable[tuple[Sequence[T], Cursor | None, Exception | None]]]
"""Behind a cursor: some entities, where to go on, and what is raised behind them."""


class Stream(AsyncIterator[T], Generic[T]):
    """Entities one by one, some of them read ahead. Used by one task.

    Args:
        newest_seq: Another number as soon as something was written.
    """

    def __init__(self, turn: Turn[T], id_of: Callable[[T], str], newest_seq: Callable[[], int]) -> None:
        self._turn, self._id_of, self._newest_seq = turn, id_of, newest_seq
        self._seq: int | None = None
        self._last: list[str] = []
        self._given: set[str] = set()
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
            if self._start is not None:
                await give_way()  # what is here is read without waiting, so a long loop would let nobody else run
            items, self._start, self._error = await self._turn(self._start)
            self._ready.extend(self._unseen(items))
            self._ended = self._start is None
        return self._ready.popleft()

    def _unseen(self, items: Sequence[T]) -> Iterable[T]:
        """Those that were not given out before."""
        seq = self._newest_seq()
        if self._seq is not None and seq != self._seq:
            self._given.update(self._last)
        found = {self._id_of(item): item for item in items}
        self._seq, self._last = seq, list(found)
        return (item for id, item in found.items() if id not in self._given)
