"""Subscriptions: async iterators fed from any thread, which leave nothing behind when their user does."""

from __future__ import annotations

from collections import deque
from collections.abc import Awaitable, Callable, Sequence
from types import TracebackType
from typing import Final, Generic, Self, TypeVar
from weakref import WeakMethod

from tierfold.wake import Signal

__all__ = ["BUFFER_LIMIT", "Subscription"]

T = TypeVar("T")

BUFFER_LIMIT: Final = 10_000


class Subscription(Generic[T]):
    """Items in order, from the moment it was made. For one task: iterate it, or use it as ``async with`` and iterate.

    A subscriber that falls more than 10,000 items behind loses the oldest ones; ``lagged`` counts them.
    """

    def __init__(
        self,
        subscribe: Callable[[Callable[[Sequence[T]], None]], Callable[[], None]],
        prepare: Callable[[T], Awaitable[None]] | None = None,
    ) -> None:
        """``prepare`` is awaited before an item is given out."""
        self._items: deque[T] = deque(maxlen=BUFFER_LIMIT)
        self._prepare = prepare
        self._signal = Signal()
        self._leave: Callable[[], None] = _nothing
        self.closed: bool = False
        self.lagged: int = 0
        push = WeakMethod(self._push)  # a subscription that its user forgets must not be kept by who feeds it

        def receive(items: Sequence[T]) -> None:
            alive = push()
            if alive is not None:
                alive(items)

        self._leave = subscribe(receive)

    def _push(self, items: Sequence[T]) -> None:
        self.lagged += max(0, len(self._items) + len(items) - BUFFER_LIMIT)
        self._items.extend(items)
        self._signal.set()

    def close(self) -> None:
        """Stop receiving. Items that arrived before are still delivered; then the iteration ends. Idempotent."""
        if not self.closed:
            self.closed = True
            self._leave()
            self._signal.set()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> T:
        while True:
            while not self._items:
                if self.closed:
                    raise StopAsyncIteration
                await self._signal.wait()
            item = self._items[0]
            if self._prepare is not None:
                await self._prepare(item)
            # It stays in the buffer meanwhile: a cancelled wait loses nothing, and what overflows is gone for good.
            if self._items and self._items[0] is item:
                return self._items.popleft()

    def __del__(self) -> None:
        if not self.closed:
            self._leave()


def _nothing() -> None:
    """Nobody feeds a subscription that could not be made."""
