"""Work that belongs to one event loop, asked for by threads that have none."""

from __future__ import annotations

from collections import deque
from collections.abc import Awaitable, Callable
from typing import Any, Generic, TypeVar

import anyio

from tierfold.errors import StoreClosedError, StoreForkedError, TierfoldError
from tierfold.kv.fork import watch_fork
from tierfold.wake import Signal, Waiter, current_loop, wait_home

__all__ = ["Errands", "RunsErrands", "run_here"]

T = TypeVar("T")

Work = Callable[[], Awaitable[T]]
RunsErrands = Callable[[Work[Any]], Awaitable[Any]]


async def run_here(work: Work[T]) -> T:
    """For layers whose calls are all made in their own loop, or that have none."""
    return await work()


class _Errand(Generic[T]):
    """One piece of work, and the thread that waits for it."""

    def __init__(self, work: Work[T], waiter: Waiter) -> None:
        self._work, self._waiter = work, waiter
        self._scope: anyio.CancelScope | None = None
        self._is_cancelled = False
        self._results: list[T] = []
        self._error: Exception | None = StoreClosedError("the layer was closed")

    async def do(self) -> None:
        try:
            with anyio.CancelScope() as self._scope:
                if not self._is_cancelled:
                    self._results.append(await self._work())
        except Exception as error:  # noqa: BLE001 - it is for who asked
            self._error = error
        finally:
            self.answer()

    def answer(self) -> None:
        """Let the thread go on. Without a result, the layer was closed in between."""
        self._waiter.wake_from_anywhere()

    def cancel(self) -> None:
        """Nobody waits for it any more. Called in the loop."""
        self._is_cancelled = True
        if self._scope is not None:
            self._scope.cancel()

    def result(self) -> T:
        if self._results:
            return self._results[0]
        assert self._error is not None, "what was done has a result, or an error"
        raise self._error


class Errands:
    """`serve` is a task of the loop; `run` is called in any thread."""

    def __init__(self) -> None:
        self._signal = Signal()
        self._asked: deque[_Errand[Any]] = deque()
        self._refusal: TierfoldError | None = None
        self._home = current_loop()
        watch_fork(self)

    async def serve(self) -> None:
        """Until cancelled; then nobody waits any more."""
        try:
            async with anyio.create_task_group() as tasks:
                while True:
                    await self._signal.wait()
                    while self._asked:
                        tasks.start_soon(self._asked.popleft().do)
        finally:
            self._refusal = StoreClosedError("the layer is closed")
            while self._asked:
                self._asked.popleft().answer()

    async def run(self, work: Work[T]) -> T:
        """Await ``work()`` in the loop, wherever this is.

        Raises:
            StoreClosedError: The layer was closed before it was done.
        """
        if current_loop() == self._home:
            return await work()
        home = wait_home()
        self._admit()
        waiter = home.waiter()
        errand = _Errand(work, waiter)
        self._asked.append(errand)
        self._signal.set()
        try:
            if self._refusal is None:
                await waiter
        except BaseException:  # an interrupt, or it took too long
            if self._home is not None:
                self._home.call(errand.cancel)
            raise
        return errand.result()

    def _admit(self) -> None:
        if self._refusal is not None:
            raise type(self._refusal)(*self._refusal.args)

    def after_fork(self) -> None:
        """The loop is in the parent process."""
        self._refusal = StoreForkedError("the layer was opened before the fork and belongs to the parent process")
