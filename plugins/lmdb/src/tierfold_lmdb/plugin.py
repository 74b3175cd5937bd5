"""What this distribution contributes: the store ``lmdb:``. The driver is imported when the first one is opened."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager

from tierfold.spi import EntityStore, OpenContext, StoreSpec, hookimpl
from tierfold_lmdb.options import LmdbOptions

__all__ = ["LmdbOptions", "provide_stores"]


@asynccontextmanager
async def open_lmdb(location: str, options: LmdbOptions, context: OpenContext) -> AsyncGenerator[EntityStore]:
    """Open the store in the directory ``location``, creating it when nothing is there."""
    from tierfold.kv.store import open_kv_store
    from tierfold_lmdb.engine import LmdbEngine

    async with open_kv_store(LmdbEngine(location, options), context) as store:
        yield store


@hookimpl
def provide_stores() -> list[StoreSpec[LmdbOptions]]:
    return [StoreSpec("lmdb", open_lmdb, LmdbOptions, summary="On this machine's disk, shared by its processes")]
