"""How one thread wakes what waits in another's event loop. The only file that knows asyncio and trio by name.

Neither is imported before the caller's program did: where it is not imported, it does not run. A thread without an
event loop can wait likewise, blocked, while it drives a coroutine.
"""

from __future__ import annotations

import sys
import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Coroutine, Generator
from queue import Empty, SimpleQueue
from threading import Lock, get_ident, local
from typing import TYPE_CHECKING, Any, Final, TypeVar

from tierfold.errors import BlockingCallError

if TYPE_CHECKING:
    from asyncio import AbstractEventLoop
    from asyncio import Future as AsyncioFuture

    from trio.lowlevel import TrioToken

__all__ = [
    "Home",
    "Signal",
    "Waiter",
    "current_home",
    "current_loop",
    "drive",
    "give_way",
    "refuse_in_loop",
    "wait_home",
]

T = TypeVar("T")

_LOADED: Final[Callable[[str], Any]] = sys.modules.get
"""A module, if the program imported it."""


class Home(ABC):
    """A running event loop, or a thread that drives a coroutine, as seen from other threads. Equal for equal ones.

    Attributes:
        lasts: Whether all waits of one task are in it, and not each in another one.
    """

    lasts = True

    @abstractmethod
    def call(self, function: Callable[[], object]) -> bool:
        """Have the loop run ``function`` soon, from any thread.

        Never raises; False when the loop has ended. A loop that ends before its turn comes drops the call.
        """

    @abstractmethod
    def waiter(self, *, for_news: bool = False) -> Waiter:
        """Something for one task of this loop to wait for, once.

        Args:
            for_news: It is no wait for the end of something that was begun; `drive` gives up only such waits.
        """

    @abstractmethod
    async def give_way(self) -> None:
        """Let the loop's other tasks have their turn."""


class Waiter(ABC):
    """One task's wait, begun and ended in the thread of `home`."""

    __slots__ = ("home", "thread")

    home: Home
    thread: int

    @abstractmethod
    def wake(self) -> None:
        """End the wait. Harmless when it has ended, or was cancelled."""

    def wake_from_anywhere(self) -> None:
        """The same, from any thread. Never raises."""
        if self.thread == get_ident():
            try:  # noqa: SIM105 - `suppress` takes as long as all the rest
                self.wake()
            except RuntimeError:  # the loop has ended, and nobody waits any more
                pass
        else:
            self.home.call(self.wake)

    @abstractmethod
    def __await__(self) -> Generator[Any, Any, None]:
        """Suspend until `wake`."""


async def give_way() -> None:
    """Let other tasks have their turn, in the middle of long work."""
    home = current_home()
    assert home is not None, "only a task of asyncio or trio can give way"
    await home.give_way()


def current_home() -> Home | None:
    """The event loop that runs in this thread, or what `drive` put in its place, or None."""
    return current_loop() or _DRIVEN.home


def wait_home() -> Home:
    """The same for who is going to wait there."""
    home = current_home()
    assert home is not None, "only a task of asyncio or trio, or what is driven, can wait"
    return home


def refuse_in_loop() -> None:
    """Called first by every blocking call, and therefore quick.

    Raises:
        BlockingCallError: An event loop runs in this thread.
    """
    try:
        asyncio = _LOADED("asyncio")
        if asyncio is not None and asyncio._get_running_loop() is not None:
            raise BlockingCallError(_IN_LOOP)
        trio = _LOADED("trio")
        if trio is not None and trio.lowlevel.in_trio_run():
            raise BlockingCallError(_IN_LOOP)
    except AttributeError:  # another thread is importing it just now
        return


def current_loop() -> Home | None:
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
        if self._is_set:  # nobody waits, and who comes looks again first
            return
        with self._lock:
            self._is_set = True
            waiter, self._waiter = self._waiter, None
        if waiter is not None:
            waiter.wake_from_anywhere()

    async def wait(self) -> None:
        """Return when `set` was called since the last return, without suspending if it already was.

        One task at a time, always of the same event loop, or any thread that drives. A cancelled wait leaves the signal
        as it is.
        """
        if not self._is_set:
            waiter = self._enter()
            try:
                if waiter is not None:
                    await waiter
            finally:
                self._waiter = None
        self._is_set = False

    def _enter(self) -> Waiter | None:
        home = self._home or wait_home()
        self._home = home if home.lasts else None
        waiter = home.waiter(for_news=True)
        with self._lock:
            assert self._waiter is None, "a signal wakes one task"
            if not self._is_set:
                self._waiter = waiter
            return self._waiter


class _AsyncioHome(Home):
    def __init__(self, loop: AbstractEventLoop) -> None:
        self.loop = loop
        self.thread: int = get_ident()
        self.create_future: Callable[[], AsyncioFuture[None]] = loop.create_future

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

    def waiter(self, *, for_news: bool = False) -> Waiter:
        return _AsyncioWaiter(self)

    async def give_way(self) -> None:
        from asyncio import sleep

        await sleep(0)


class _AsyncioWaiter(Waiter):
    __slots__ = ("_future",)

    def __init__(self, home: _AsyncioHome) -> None:
        self.home: _AsyncioHome = home
        self.thread: int = home.thread
        self._future: AsyncioFuture[None] = home.create_future()

    def wake(self) -> None:
        if not self._future.done():
            self._future.set_result(None)

    def wake_from_anywhere(self) -> None:  # in one call: observers are woken ten thousand times a second
        if self.thread != get_ident():
            self.home.call(self.wake)
        elif not self._future.done():
            try:  # noqa: SIM105 - `suppress` takes as long as all the rest
                self._future.set_result(None)
            except RuntimeError:
                pass

    def __await__(self) -> Generator[Any, Any, None]:
        return self._future.__await__()


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

    def waiter(self, *, for_news: bool = False) -> Waiter:
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

    def __await__(self) -> Generator[Any, Any, None]:
        return self._event.wait().__await__()


# --- threads without an event loop -------------------------------------------------------------------------------

_IN_LOOP: Final = "a blocking call would stop the event loop of this thread; use the asynchronous layer in it"


def drive(work: Coroutine[Any, Any, T], *, timeout_s: float | None = None) -> T:
    """Run a coroutine in this thread, without an event loop. Where it waits for other threads, this one is blocked.

    Args:
        timeout_s: How long a `Signal` is waited for.

    Raises:
        BlockingCallError: An event loop runs in this thread, or the coroutine needs one.
        TimeoutError: The signal did not come in time.
    """
    if current_loop() is not None:
        work.close()
        raise BlockingCallError(_IN_LOOP)
    outer, home = _DRIVEN.home, _ThreadHome(timeout_s)
    _DRIVEN.home = home
    try:
        work.send(None)
    except StopIteration as done:
        result: T = done.value
        return result
    finally:
        _DRIVEN.home = outer
        home.end()
    work.close()
    raise BlockingCallError("this waits for an event loop, and none runs in this thread")


class _ThreadHome(Home):
    """One `drive`. Calls run in its thread while it waits."""

    lasts = False

    def __init__(self, timeout_s: float | None) -> None:
        self._deadline_s = None if timeout_s is None else time.monotonic() + timeout_s
        self._lock = Lock()
        self._has_ended = False
        self._calls: SimpleQueue[Callable[[], object]] = SimpleQueue()

    def call(self, function: Callable[[], object]) -> bool:
        with self._lock:
            if not self._has_ended:
                self._calls.put(function)
            return not self._has_ended

    def waiter(self, *, for_news: bool = False) -> Waiter:
        return _ThreadWaiter(self, self._deadline_s if for_news else None)

    async def give_way(self) -> None:
        """There are no other tasks; other threads have their turn anyway."""

    def run_next(self, deadline_s: float | None) -> None:
        """Wait for a call, and run it."""
        left_s = None if deadline_s is None else max(0.0, deadline_s - time.monotonic())
        try:
            call = self._calls.get(timeout=left_s)
        except Empty:
            raise TimeoutError from None
        call()

    def end(self) -> None:
        """Take no more calls. Those that came are run: they may deliver what others wait for."""
        with self._lock:
            self._has_ended = True
        while not self._calls.empty():
            self._calls.get()()


class _ThreadWaiter(Waiter):
    def __init__(self, home: _ThreadHome, deadline_s: float | None) -> None:
        self.home: _ThreadHome = home
        self.thread = get_ident()
        self._deadline_s = deadline_s
        self._woken = False

    def wake(self) -> None:
        self._woken = True

    def __await__(self) -> Generator[Any, Any, None]:
        while not self._woken:
            self.home.run_next(self._deadline_s)
        yield from ()


class _Driven(local):
    """What this thread drives."""

    home: _ThreadHome | None = None


_DRIVEN: Final = _Driven()
