"""The task that a layer's background work lives in, so that a layer may be opened in one task and closed in another.

A task group held across a fixture's ``yield`` fails with "exit cancel scope in a different task"; therefore on asyncio
the work gets a task of its own. Trio has no such tasks, so there the layer is entered and left in one task.
"""

from __future__ import annotations

import sys
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING

import anyio
from anyio.abc import TaskGroup

from tierfold.errors import StoreError
from tierfold.wake import Home, current_home

if TYPE_CHECKING:
    from asyncio import Task

__all__ = ["Supervisor", "runs_on_asyncio"]


def runs_on_asyncio() -> bool:
    """Whether the running event loop is asyncio's."""
    if "asyncio" not in sys.modules:
        return False
    from asyncio import get_running_loop

    try:
        get_running_loop()
    except RuntimeError:
        return False
    return True


class Supervisor:
    """Runs ``work(started)`` from `start` until `stop`; ``work`` ends by itself once it is told to.

    What ``work`` raises before it calls ``started`` comes out of `start`, later out of `stop`.
    """

    def __init__(self, work: Callable[[Callable[[], None]], Awaitable[None]]) -> None:
        self._work = work
        self._ready = anyio.Event()
        self._ended = anyio.Event()
        self._started = False
        self._error: BaseException | None = None
        self._task: Task[None] | None = None
        self._group: TaskGroup | None = None
        self._home: Home | None = None

    async def start(self) -> None:
        """Return once the work has started, or raise why it could not."""
        self._home = current_home()
        if runs_on_asyncio():
            from asyncio import create_task

            self._task = create_task(self._run(), name="tierfold")
        else:
            self._group = anyio.create_task_group()
            await self._group.__aenter__()
            self._group.start_soon(self._run)
        try:
            await self._ready.wait()
        except BaseException:
            await self._abandon()
            raise
        if not self._started:
            try:
                await self.stop()
            finally:
                await self.leave()

    def require_home(self) -> None:
        """What waits for the work in another event loop would wait for ever.

        Raises:
            StoreError: It goes on in another one.
        """
        if not self._ended.is_set() and current_home() != self._home:
            raise StoreError("this layer was opened in another event loop, and is closed in that one")

    async def stop(self) -> None:
        """Wait for the end of the work, which was told to end. In any task, and as often as you like."""
        with anyio.CancelScope(shield=True):
            await self._ended.wait()
        if self._error is not None:
            raise self._error

    async def leave(self) -> None:
        """The last thing, in the task and the cancel scope that called `start`: scopes must nest."""
        if self._group is not None:
            group, self._group = self._group, None
            await group.__aexit__(None, None, None)

    def cancel(self) -> None:
        """End the work where it is."""
        if self._task is not None:
            self._task.cancel()
        if self._group is not None:
            self._group.cancel_scope.cancel()

    async def _abandon(self) -> None:
        self.cancel()
        with anyio.CancelScope(shield=True):
            await self._ended.wait()
        await self.leave()

    async def _run(self) -> None:
        try:
            await self._work(self._note_start)
        except Exception as error:  # noqa: BLE001 - kept for who started it
            self._error = error
        finally:
            self._ready.set()
            self._ended.set()

    def _note_start(self) -> None:
        self._started = True
        self._ready.set()
