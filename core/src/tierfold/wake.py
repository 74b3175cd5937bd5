"""How one thread wakes what waits in another's event loop. The only file that knows asyncio and trio by name.

Neither is imported before the caller's program did: where it is not imported, it does not run.
"""

from __future__ import annotations

import sys
from abc import ABC, abstractmethod
from collections.abc import Callable
from contextlib import suppress
from threading import Lock, get_ident
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from asyncio import AbstractEventLoop
    from asyncio import Future as AsyncioFuture

    from trio.lowlevel import TrioToken

__all__ = ["Home", "Signal", "Waiter", "current_home", "give_way"]


class Home(ABC):
    """A running event loop, as seen from other threads. Equal for equal loops."""

    @abstractmethod
    def call(self, function: Callable[[], object]) -> bool:
        """Have the loop run ``function`` soon, from any thread.

        Never raises; False when the loop has ended. A loop that ends before its turn comes drops the call.
        """

    @abstractmethod
    def waiter(self) -> Waiter:
        """Something for one task of this loop to wait for, once."""

    @abstractmethod
    async def give_way(self) -> None:
        """Let the loop's other tasks have their turn."""


class Waiter(ABC):
    """One task's wait, begun and ended in the thread of `home`."""

    home: Home
    thread: int

    @abstractmethod
    def wake(self) -> None:
        """End the wait. Harmless when it has ended, or was cancelled."""

    def wake_from_anywhere(self) -> None:
        """The same, from any thread. Never raises."""
        if self.thread == get_ident():
            with suppress(RuntimeError):  # the loop has ended, and nobody waits any more
                self.wake()
        else:
            self.home.call(self.wake)

    @abstractmethod
    async def wait(self) -> None:
        """Suspend until `wake`."""


async def give_way() -> None:
    """Let other tasks have their turn, in the middle of long work."""
    home = current_home()
    assert home is not None, "only a task of asyncio or trio can give way"
    await home.give_way()


def current_home() -> Home | None:
    """The event loop that runs in this thread, or None."""
    if "trio" in sys.modules:
        from trio.lowlevel import current_trio_token, in_trio_run

        if in_trio_run():
            return _TrioHome(current_trio_token())
    if "asyncio" in sys.modules:
        from asyncio import get_running_loop

        try:
            return _AsyncioHome(get_running_loop())
        except RuntimeError:
            return None
    return None


class Signal:
    """Says "look again" to one task, from any thread. Any number of `set` before a `wait` returns count as one."""

    __slots__ = ("_home", "_is_set", "_lock", "_waiter")

    def __init__(self) -> None:
        self._lock = Lock()
        self._is_set = False
        self._home: Home | None = None
        self._waiter: Waiter | None = None

    def set(self) -> None:
        """Let the waiting task go on, or not wait when it comes. Never raises, never blocks."""
        with self._lock:
            self._is_set = True
            waiter, self._waiter = self._waiter, None
        if waiter is not None:
            waiter.wake_from_anywhere()

    async def wait(self) -> None:
        """Return when `set` was called since the last return, without suspending if it already was.

        One task at a time, always of the same event loop. A cancelled wait leaves the signal as it is.
        """
        waiter = self._enter()
        if waiter is not None:
            try:
                await waiter.wait()
            finally:
                self._waiter = None
        self._is_set = False

    def _enter(self) -> Waiter | None:
        home = self._home = self._home or current_home()
        assert home is not None, "only a task of asyncio or trio can wait"
        with self._lock:
            assert self._waiter is None, "a signal wakes one task"
            if not self._is_set:
                self._waiter = home.waiter()
            return self._waiter


class _AsyncioHome(Home):
    def __init__(self, loop: AbstractEventLoop) -> None:
        self.loop = loop

    def __eq__(self, other: object) -> bool:
        return isinstance(other, _AsyncioHome) and other.loop is self.loop

    def __hash__(self) -> int:
        return hash(self.loop)

    def call(self, function: Callable[[], object]) -> bool:
        try:
            self.loop.call_soon_threadsafe(function)
        except RuntimeError:
            return False
        return True

    def waiter(self) -> Waiter:
        return _AsyncioWaiter(self)

    async def give_way(self) -> None:
        from asyncio import sleep

        await sleep(0)


class _AsyncioWaiter(Waiter):
    def __init__(self, home: _AsyncioHome) -> None:
        self.home = home
        self.thread = get_ident()
        self._future: AsyncioFuture[None] = home.loop.create_future()

    def wake(self) -> None:
        if not self._future.done():
            self._future.set_result(None)

    async def wait(self) -> None:
        await self._future


class _TrioHome(Home):
    def __init__(self, token: TrioToken) -> None:
        self.token = token

    def __eq__(self, other: object) -> bool:
        return isinstance(other, _TrioHome) and other.token is self.token

    def __hash__(self) -> int:
        return hash(self.token)

    def call(self, function: Callable[[], object]) -> bool:
        from trio import RunFinishedError

        try:
            self.token.run_sync_soon(function)
        except RunFinishedError:
            return False
        return True

    def waiter(self) -> Waiter:
        return _TrioWaiter(self)

    async def give_way(self) -> None:
        from trio.lowlevel import checkpoint

        await checkpoint()


class _TrioWaiter(Waiter):
    def __init__(self, home: _TrioHome) -> None:
        from trio import Event

        self.home = home
        self.thread = get_ident()
        self._event = Event()

    def wake(self) -> None:
        self._event.set()

    async def wait(self) -> None:
        await self._event.wait()
