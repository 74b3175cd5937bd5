"""How blocking calls are made: the coroutine of the asynchronous layer is driven in the caller's thread."""

from __future__ import annotations

from collections.abc import Callable, Coroutine
from typing import Any, TypeVar

from tierfold.errors import StoreForkedError
from tierfold.wake import drive, refuse_in_loop

__all__ = ["Calls", "forked"]

T = TypeVar("T")


class Calls:
    """Makes the calls of one layer.

    Args:
        tend: Does what is due after calls, where no loop does it.
        look: Notices commits of other processes, likewise.
    """

    def __init__(self, tend: Callable[[], None] | None = None, look: Callable[[], None] | None = None) -> None:
        self._tend = tend
        self.look = look

    def run(self, work: Coroutine[Any, Any, T], *, timeout_s: float | None = None) -> T:
        """Do it in this thread.

        Raises:
            BlockingCallError: An event loop runs in this thread.
            StoreForkedError: The layer was opened before this process was forked.
            TimeoutError: What it waits for did not come in time.
        """
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
        try:
            return work()
        except StoreForkedError as error:
            raise forked(error) from None


def forked(error: StoreForkedError) -> StoreForkedError:
    """The error with what to do about it."""
    advice = "open it in each worker, in the server's `post_fork` hook or at the first request"
    return StoreForkedError(f"{error}; {advice}")
