"""A farther tier that a test has in its hands: a plugin object whose store can be cut, slowed and lost."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager

import anyio
from msgspec import Struct

from tierfold.errors import StoreUnavailableError
from tierfold.kv.memory import MemoryEngine
from tierfold.kv.store import KvStore
from tierfold.spi import EntityStore, OpenContext, StoreSpec, hookimpl
from tierfold.testing.faults import Fault, faulty

__all__ = ["Remote"]


class NoOptions(Struct, frozen=True):
    """``remote:`` has none."""


class _Now(Fault):
    """Whatever fault is in use now."""

    def __init__(self, fault: Fault) -> None:
        super().__init__()
        self.fault = fault

    async def before(self, name: str) -> None:
        self.fault.calls.append(name)
        await self.fault.before(name)

    async def after(self, name: str) -> None:
        await self.fault.after(name)


class Remote:
    """Provides ``remote:``. Its content outlives every layer that opens it, like that of a server.

    Attributes:
        fault: What happens around its calls.
        reachable: Whether it can be opened.
        gate: While it is there and not set, opening it hangs.
        opened: How often it was.
        runs: How often a link began a run with it.
    """

    def __init__(self, fault: Fault | None = None, *, reachable: bool = True) -> None:
        self.fault = fault or Fault()
        self._now = _Now(self.fault)
        self.reachable = reachable
        self.gate: anyio.Event | None = None
        self.opened = 0
        self.store: KvStore | None = None

    def use(self, fault: Fault) -> None:
        """From now on, calls meet this fault."""
        self.fault = self._now.fault = fault

    @property
    def runs(self) -> int:
        return self.fault.calls.count("declarations")

    @hookimpl
    def provide_stores(self) -> list[StoreSpec[NoOptions]]:
        return [StoreSpec("remote", self.open, NoOptions)]

    @asynccontextmanager
    async def open(self, location: str, options: NoOptions, context: OpenContext) -> AsyncGenerator[EntityStore]:
        if not self.reachable:
            raise StoreUnavailableError("the server does not answer")
        if self.gate is not None:
            await self.gate.wait()
        self.opened += 1
        if self.store is None:
            self.store = KvStore(MemoryEngine("server"), context)
            await self.store.identify()
        yield faulty(self.store, self._now)
