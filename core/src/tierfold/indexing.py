"""Keeps the indexes that this layer's classes declare: says that they are wanted, and builds and drops them."""

from __future__ import annotations

from typing import Final

import anyio

from tierfold.abc.indexed import IndexedStore, IndexPath
from tierfold.access import Access
from tierfold.errors import StoreError
from tierfold.wake import Signal, give_way

__all__ = ["IndexKeeper"]

_TTL_S: Final = 3600.0
"""What a program that was killed wanted is kept for so long."""
_AT_ONCE: Final = 500
"""Records per transaction of building: writers wait a few milliseconds for one."""
_AGAIN_S: Final = 1.0


class IndexKeeper:
    """One task of a layer. It begins with the first class that declares indexes over data that is there.

    Args:
        holder: Names this layer among those that want indexes.
    """

    def __init__(self, access: Access, holder: bytes) -> None:
        self._access, self._holder = access, holder
        self._wanted: dict[str, tuple[IndexPath, ...]] = {}
        self._held: set[str] = set()
        self._signal = Signal()

    def want(self, type: str, paths: tuple[str, ...]) -> None:
        """A class declares these indexes, and no others; of several classes of one type each has its own."""
        known = self._wanted.get(type)
        wanted = {*(known or ()), *[tuple(path.split(".")) for path in paths]}
        if known is None or wanted != set(known):
            self._wanted[type] = tuple(sorted(wanted))
            self._held.discard(type)
            self._signal.set()

    def look_again(self) -> None:
        """A type was written to for the first time."""
        if self._wanted.keys() - self._held:
            self._signal.set()

    async def serve(self) -> None:
        """Until cancelled."""
        renew_at_s = 0.0
        while True:
            if anyio.current_time() >= renew_at_s:
                self._held.clear()
                renew_at_s = anyio.current_time() + _TTL_S / 3
            try:
                await self._hold()
                await self._tend()
            except StoreError:  # whoever reads and writes meets it, too, and says so
                renew_at_s = min(renew_at_s, anyio.current_time() + _AGAIN_S)
            with anyio.move_on_after(renew_at_s - anyio.current_time()):
                await self._signal.wait()

    async def release(self) -> None:
        """The layer closes."""
        self._wanted.clear()
        store = self._access.nearest
        if self._held and isinstance(store, IndexedStore):
            await store.release_indexes(self._holder)

    async def _hold(self) -> None:
        store = self._access.nearest
        if isinstance(store, IndexedStore):
            for type in self._wanted.keys() - self._held:
                paths = self._wanted.get(type, ())
                # Nothing is written for a type that has no data; a type without indexes may have had some.
                if store.declared(type) is not None and (paths or store.indexes(type)):
                    self._held.add(type)
                    await store.hold_indexes(type, paths, self._holder, _TTL_S)

    async def _tend(self) -> None:
        store = self._access.nearest
        while self._held and isinstance(store, IndexedStore) and await store.tend_indexes(_AT_ONCE):
            await give_way()
