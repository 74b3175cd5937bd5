"""Several awaits at a time, whose errors stay what they are: a task group of its own would wrap them."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable
from typing import TypeVar

import anyio

from tierfold.errors import TierfoldError
from tierfold.wake import current_loop

__all__ = ["together"]

T = TypeVar("T")
R = TypeVar("R")


async def together(work: Callable[[T], Awaitable[R]], items: Iterable[T], *, at_once: int) -> list[R]:
    """What ``work`` returns for each item, in the order in which they end.

    Raises:
        TierfoldError: The first that any of them raised. Nothing is begun after it; what was under way ends as usual.
    """
    waiting = iter(items)
    done: list[R] = []
    failures: list[TierfoldError] = []

    async def work_on() -> None:
        for item in waiting:
            try:
                done.append(await work(item))
            except TierfoldError as error:
                failures.append(error)
            if failures:
                return

    if current_loop() is None:  # one after the other: there are no tasks
        await work_on()
    else:
        async with anyio.create_task_group() as tasks:
            for _ in range(at_once):
                tasks.start_soon(work_on)
    if failures:
        raise failures[0]
    return done
