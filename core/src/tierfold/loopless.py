"""A layer of one tier that no event loop serves: whatever it does, the threads that call it do."""

from __future__ import annotations

import time
from contextlib import AsyncExitStack, suppress
from threading import Lock, Thread

from tierfold.arguments import check_seconds
from tierfold.errors import StoreError
from tierfold.indexing import RENEW_S
from tierfold.layer import DataLayer
from tierfold.wake import drive

__all__ = ["LooplessLayer"]


class LooplessLayer(DataLayer):
    """Its coroutines are driven, and wait for nothing but the store's writer. Any number of threads."""

    _stack: AsyncExitStack
    _builder: Thread | None = None
    _renew_at_s = 0.0

    async def start(self) -> None:
        self._tending = Lock()
        self._renew_at_s = time.monotonic() + RENEW_S
        async with AsyncExitStack() as stack:
            await stack.enter_async_context(self._tiers[0].opened(self._services.context))
            self._access.choose()
            self._stack = stack.pop_all()

    async def aclose(self, *, timeout_s: float | None = None) -> None:
        if timeout_s is not None:
            check_seconds(timeout_s, "timeout_s")
        with self._tending:
            was_closed, self._closed = self._closed, True
        if was_closed:
            return
        self._end_subscriptions()
        with suppress(StoreError):
            await self._indexes.release()
        if self._builder is not None:
            self._builder.join()
        self._access.close()
        await self._stack.aclose()

    async def leave(self) -> None:
        await self.aclose()

    def tend(self) -> None:
        """Called after other calls: begin building indexes where that is due, and have a thread go on with long ones.

        Errors are left to whoever reads and writes: they meet them, too.
        """
        if time.monotonic() >= self._renew_at_s:
            self._renew_at_s = time.monotonic() + RENEW_S
            self._indexes.renew()
        if self._indexes.is_due and not self._closed:
            with suppress(StoreError):
                if drive(self._indexes.begin()):
                    self._build()

    def _build(self) -> None:
        with self._tending:
            if not self._closed and (self._builder is None or not self._builder.is_alive()):
                self._builder = Thread(target=self._finish, name="tierfold-indexes", daemon=True)
                self._builder.start()

    def _finish(self) -> None:
        with suppress(StoreError):
            drive(self._indexes.finish())
