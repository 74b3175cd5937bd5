"""Somebody else: a task that is in none of the test's transactions."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any

import anyio

__all__ = ["Do", "elsewhere"]

Work = Callable[[], Awaitable[Any]]
Do = Callable[[Work], Awaitable[Any]]


@asynccontextmanager
async def elsewhere() -> AsyncGenerator[Do]:
    """``await do(work)`` awaits ``work()`` in a task that was started here."""
    send, receive = anyio.create_memory_object_stream[tuple[Work, list[Any], anyio.Event]](1)

    async def serve() -> None:
        async for work, results, done in receive:
            results.append(await work())
            done.set()

    async def do(work: Work) -> object:
        results: list[object] = []
        done = anyio.Event()
        await send.send((work, results, done))
        await done.wait()
        return results[0]

    async with send, receive, anyio.create_task_group() as tasks:
        tasks.start_soon(serve)
        yield do
        tasks.cancel_scope.cancel()
