"""What the core itself contributes: the memory store, key strategies, and the resolver `lww`."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager

from msgspec import Struct

from tierfold.builtin.strategies import STRATEGIES
from tierfold.resolve import LWW
from tierfold.spi import EntityStore, KeyStrategySpec, OpenContext, ResolverSpec, StoreSpec, hookimpl

__all__ = ["MemoryOptions", "provide_conflict_resolvers", "provide_key_strategies", "provide_stores"]


class MemoryOptions(Struct, frozen=True):
    """`memory:` has no options."""


@asynccontextmanager
async def open_memory(location: str, options: MemoryOptions, context: OpenContext) -> AsyncGenerator[EntityStore]:
    """Open a store of its own, empty; the location is for people."""
    from tierfold.kv.memory import MemoryEngine
    from tierfold.kv.store import open_kv_store

    async with open_kv_store(MemoryEngine(context.random_bytes(16).hex()), context) as store:
        yield store


@hookimpl
def provide_stores() -> list[StoreSpec[MemoryOptions]]:
    return [StoreSpec("memory", open_memory, MemoryOptions, summary="In this process; forgotten when it ends")]


@hookimpl
def provide_key_strategies() -> tuple[KeyStrategySpec, ...]:
    return STRATEGIES


@hookimpl
def provide_conflict_resolvers() -> list[ResolverSpec]:
    return [LWW]
