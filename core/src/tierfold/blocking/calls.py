"""How blocking calls are made: the coroutine of the asynchronous layer is driven in the caller's thread."""

from __future__ import annotations

from collections.abc import Callable, Coroutine
from typing import Any, TypeVar

from tierfold.errors import StoreForkedError
from tierfold.kv.fork import watch_fork
from tierfold.wake import drive, refuse_in_loop

__all__ = ["Calls", "forked"]

T = TypeVar("T")


class Calls:
    """Makes the calls of one layer.

    Args:
        tend: Does what is due after calls, where no loop does it.
        look: Notices commits of other processes, likewise.

    Attributes:
        are_inherited: Whether this process was forked since the layer was opened.
    """

    are_inherited: bool = False

    def __init__(self, tend: Callable[[], None] | None = None, look: Callable[[], None] | None = None) -> None:
        self._tend = tend
        self.look = look
        watch_fork(self)

    def run(self, work: Coroutine[Any, Any, T], *, timeout_s: float | None = None) -> T:
        """Do it in this thread.

        Raises:
            BlockingCallError: An event loop runs in this thread.
            StoreForkedError: The layer was opened before this process was forked.
            TimeoutError: What it waits for did not come in time.
        """
        if self.are_inherited:
            work.close()
        self.refuse_inherited()
        return self.finish(work, timeout_s=timeout_s)

    def finish(self, work: Coroutine[Any, Any, T], *, timeout_s: float | None = None) -> T:
        """Likewise, but a forked child also does what needs no store: it ends what began before the fork."""
        try:
            done = drive(work, timeout_s=timeout_s)
            if self._tend is not None:
                self._tend()
        except StoreForkedError as error:
            raise forked(error) from None
        return done

    def at_once(self, work: Callable[[], T]) -> T:
        """Do what waits for nothing in this thread."""
        refuse_in_loop()
        self.refuse_inherited()
        return work()

    def refuse_inherited(self) -> None:
        """Called before any lock is taken: who would give it back may be in the parent process.

        Raises:
            StoreForkedError: The layer was opened before this process was forked.
        """
        if self.are_inherited:
            raise forked(StoreForkedError("the layer was opened before the fork and belongs to the parent process"))

    def after_fork(self) -> None:
        self.are_inherited, self._tend = True, None


def forked(error: StoreForkedError) -> StoreForkedError:
    """The error with what to do about it."""
    advice = "open it in each worker, in the server's `post_fork` hook or at the first request"
    return StoreForkedError(f"{error}; {advice}")
