"""A farther store of which only the contract can be seen keeps it: suites ask for nothing but the contract."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from pathlib import Path

from tierfold.abc.store import EntityStore
from tierfold.abc.syncable import SyncableStore
from tierfold.kv.memory import MemoryEngine
from tierfold.kv.store import open_kv_store
from tierfold.model import Record
from tierfold.specs import OpenContext
from tierfold.testing.embedded import flip_bit
from tierfold.testing.faults import Fault, faulty
from tierfold.testing.syncables import SyncableStoreSuite


class TestWrappedStore(SyncableStoreSuite):
    @asynccontextmanager
    async def open_store(self, where: Path, context: OpenContext) -> AsyncGenerator[SyncableStore]:
        self.engine = MemoryEngine(str(where))
        async with open_kv_store(self.engine, context) as store:
            yield faulty(store, Fault())

    async def damage(self, store: EntityStore, record: Record) -> None:
        flip_bit(self.engine, record)
