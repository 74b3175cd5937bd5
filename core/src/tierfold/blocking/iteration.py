"""What is told of changes, as plain iterators."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import AbstractContextManager
from threading import Lock
from types import TracebackType
from typing import Final, Generic, Protocol, Self, TypeVar

from tierfold.arguments import check_seconds
from tierfold.blocking.calls import Calls
from tierfold.events import Subscription as AsyncSubscription
from tierfold.live.snapshot import Live as AsyncLive
from tierfold.live.snapshot import Snapshot

__all__ = ["Live", "Subscription"]

T = TypeVar("T")
T_co = TypeVar("T_co", covariant=True)

_LOOK_EVERY_S: Final = 0.1
"""How often commits of other processes are looked for, where no loop does it."""


class _Source(Protocol[T_co]):
    """An asynchronous iterator that can be closed."""

    async def __anext__(self) -> T_co: ...

    def close(self) -> None: ...

    @property
    def closed(self) -> bool: ...


class _Told(Iterator[T], AbstractContextManager["_Told[T]"], Generic[T]):
    """Used by one thread at a time; others may close it."""

    def __init__(self, source: _Source[T], calls: Calls, timeout_s: float | None) -> None:
        if timeout_s is not None:
            check_seconds(timeout_s, "timeout_s")
        self._source, self._calls, self._timeout_s = source, calls, timeout_s
        self._lock = Lock()

    @property
    def closed(self) -> bool:
        """Whether it was stopped, or the layer closed."""
        return self._source.closed

    def close(self) -> None:
        """Stop. What arrived before is still given; then the iteration ends. Idempotent, from any thread."""
        if not self._calls.are_inherited:
            self._source.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def __iter__(self) -> Self:
        return self

    def __next__(self) -> T:
        """Wait for the next one. After ``timeout_s`` without any the loop ends; it may be gone on with."""
        self._calls.refuse_inherited()
        deadline_s = None if self._timeout_s is None else time.monotonic() + self._timeout_s
        with self._lock:
            while True:
                left_s = None if deadline_s is None else max(0.0, deadline_s - time.monotonic())
                try:
                    return self._calls.run(_next(self._source), timeout_s=self._step(left_s))
                except StopAsyncIteration:
                    raise StopIteration from None
                except TimeoutError:
                    if left_s is not None and left_s <= _LOOK_EVERY_S:
                        raise StopIteration from None
                    self._look()

    def _step(self, left_s: float | None) -> float | None:
        if self._calls.look is None:
            return left_s
        return _LOOK_EVERY_S if left_s is None else min(left_s, _LOOK_EVERY_S)

    def _look(self) -> None:
        if self._calls.look is not None:
            self._calls.look()


async def _next(source: _Source[T]) -> T:
    return await source.__anext__()


class Subscription(_Told[T], Generic[T]):
    """Items in order, from the moment it was made; the oldest of more than 10,000 are lost."""

    def __init__(self, source: AsyncSubscription[T], calls: Calls, timeout_s: float | None) -> None:
        super().__init__(source, calls, timeout_s)
        self._subscription = source

    @property
    def lagged(self) -> int:
        """How many items were lost."""
        return self._subscription.lagged


class Live(_Told[Snapshot[T]], Generic[T]):
    """Snapshots: what is there now, and then what it becomes."""

    def __init__(self, source: AsyncLive[T], calls: Calls, timeout_s: float | None) -> None:
        super().__init__(source, calls, timeout_s)
