"""Keeps the indexes that this layer's classes declare: says that they are wanted, builds, drops and shows them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import anyio

from tierfold.abc.indexed import IndexedStore, IndexPath, IndexStatus
from tierfold.abc.store import LocalStore
from tierfold.access import Access
from tierfold.entities.declaration import Declaration
from tierfold.errors import StoreError
from tierfold.wake import Signal, give_way

__all__ = ["RENEW_S", "IndexKeeper", "statuses"]

_TTL_S: Final = 3600.0
"""What a program that was killed wanted is kept for so long."""
RENEW_S: Final = _TTL_S / 3
_AT_ONCE: Final = 500
"""Records per transaction of building: writers wait a few milliseconds for one."""
_AGAIN_S: Final = 1.0


def statuses(store: LocalStore, declaration: Declaration) -> Sequence[IndexStatus]:
    """The indexes that a store has of a type, and those that a class declares and that it has not begun yet."""
    if not isinstance(store, IndexedStore):
        return ()
    known = store.indexes(declaration.name)
    begun = {status.path for status in known if status.state != "dropping"}
    wanted = map(_path, declaration.index)
    return (*known, *(IndexStatus(path, "declared", {}) for path in wanted if path not in begun))


def _path(written: str) -> IndexPath:
    return tuple(written.split("."))


class IndexKeeper:
    """One task of a layer. It begins with the first class that declares indexes over data that is there.

    Args:
        holder: Names this layer among those that want indexes.

    Attributes:
        is_due: Whether something may have to be wanted that was not yet.
    """

    def __init__(self, access: Access, holder: bytes) -> None:
        self._access, self._holder = access, holder
        self._wanted: dict[str, tuple[IndexPath, ...]] = {}
        self._held: set[str] = set()
        self._signal = Signal()
        self.is_due: bool = False

    def want(self, type: str, paths: tuple[str, ...]) -> None:
        """A class declares these indexes, and no others; of several classes of one type each has its own."""
        known = self._wanted.get(type)
        wanted = {*(known or ()), *map(_path, paths)}
        if known is None or wanted != set(known):
            self._wanted[type] = tuple(sorted(wanted))
            self._held.discard(type)
            self._wake()

    def look_again(self) -> None:
        """A type was written to for the first time."""
        if self._wanted.keys() - self._held:
            self._wake()

    def _wake(self) -> None:
        self.is_due = True
        self._signal.set()

    async def serve(self) -> None:
        """Until cancelled."""
        renew_at_s = 0.0
        while True:
            if anyio.current_time() >= renew_at_s:
                self._held.clear()
                renew_at_s = anyio.current_time() + RENEW_S
            try:
                await self._hold()
                await self._tend()
            except StoreError:  # whoever reads and writes meets it, too, and says so
                renew_at_s = min(renew_at_s, anyio.current_time() + _AGAIN_S)
            with anyio.move_on_after(renew_at_s - anyio.current_time()):
                await self._signal.wait()

    async def begin(self) -> bool:
        """For layers whose calls do it in passing: say what is wanted, build a first part. Whether there is more."""
        self.is_due = False
        await self._hold()
        store = self._access.nearest
        return bool(self._held) and isinstance(store, IndexedStore) and await store.tend_indexes(_AT_ONCE)

    async def finish(self) -> None:
        """Build what is left."""
        await self._tend()

    def renew(self) -> None:
        """Say anew what is wanted, which is forgotten after an hour."""
        self._held.clear()
        self.is_due = bool(self._wanted)

    async def release(self) -> None:
        """The layer closes."""
        self._wanted.clear()
        store = self._access.nearest
        if self._held and isinstance(store, IndexedStore):
            self._held.clear()
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
