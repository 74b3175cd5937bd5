"""Waiting for what happens in the background, without saying how long it takes."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

import anyio

__all__ = ["until"]

_STEP_S = 0.005


async def until(condition: Callable[[], Awaitable[bool]] | Callable[[], bool], *, within_s: float = 15) -> None:
    """Return once ``condition`` holds; `TimeoutError` when it does not in time."""
    with anyio.fail_after(within_s):
        while True:
            holds = condition()
            if holds if isinstance(holds, bool) else await holds:
                return
            await anyio.sleep(_STEP_S)
