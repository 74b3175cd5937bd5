"""Stores that fail or dawdle on purpose: a farther tier as bad networks and full disks make it."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Collection
from typing import Final, Literal, cast

import anyio

from tierfold.abc.syncable import SyncableStore
from tierfold.errors import StoreUnavailableError

__all__ = ["FailNthCall", "Fault", "FlakyStore", "SlowStore", "faulty"]


class Fault:
    """What happens around the calls of a store. Subclasses say what.

    Attributes:
        calls: Names of the methods that were called, in order.
    """

    def __init__(self) -> None:
        self.calls: list[str] = []

    async def before(self, name: str) -> None:
        """Runs before the store is asked. Raise = the request was lost."""

    async def after(self, name: str) -> None:
        """Runs before the answer is given. Raise = the answer was lost, but the store did what it was asked."""


class FlakyStore(Fault):
    """Cannot be reached while ``down`` is set.

    Args:
        only: Methods that fail; by default all.
    """

    def __init__(self, *, down: bool = False, only: Collection[str] = ()) -> None:
        super().__init__()
        self.down = down
        self._only = frozenset(only)

    async def before(self, name: str) -> None:
        if self.down and (not self._only or name in self._only):
            raise StoreUnavailableError(f"{name}: the store is down")


class SlowStore(Fault):
    """Answers after ``delay_s``; while `gate` is a fresh event, not before it is set."""

    def __init__(self, delay_s: float = 0.0, *, only: Collection[str] = ()) -> None:
        super().__init__()
        self.delay_s = delay_s
        self.gate: anyio.Event | None = None
        self._only = frozenset(only)

    async def after(self, name: str) -> None:
        if not self._only or name in self._only:
            await anyio.sleep(self.delay_s)
            if self.gate is not None:
                await self.gate.wait()


class FailNthCall(Fault):
    """Fails once, at the N-th call.

    Args:
        number: 1 = the first one.
        lost: ``request`` = the store was not asked, ``answer`` = it did what it was asked, and nobody learns of it.
        only: Methods that count; by default all.
    """

    def __init__(
        self, number: int, *, lost: Literal["request", "answer"] = "request", only: Collection[str] = ()
    ) -> None:
        super().__init__()
        self._left = number
        self._lost = lost
        self._only = frozenset(only)

    @property
    def happened(self) -> bool:
        """Whether the call was reached that fails."""
        return self._left <= 0

    async def before(self, name: str) -> None:
        if not self._only or name in self._only:
            self._left -= 1
            self._fail(name, "request")

    async def after(self, name: str) -> None:
        if not self._only or name in self._only:
            self._fail(name, "answer")

    def _fail(self, name: str, lost: str) -> None:
        if self._left == 0 and self._lost == lost:
            self._left = -1
            raise StoreUnavailableError(f"{name}: the {lost} was lost")


def faulty(store: SyncableStore, fault: Fault) -> SyncableStore:
    """The same store behind a fault; only what a farther tier is asked passes."""
    return _Wrapped(store, fault)


class _Wrapper:
    def __init__(self, store: SyncableStore, fault: Fault) -> None:
        self.store, self.fault = store, fault


def _passing(name: str) -> Callable[..., Awaitable[object]]:
    async def call(self: _Wrapper, *args: object, **options: object) -> object:
        self.fault.calls.append(name)
        await self.fault.before(name)
        answer: object = await getattr(self.store, name)(*args, **options)
        await self.fault.after(name)
        return answer

    return call


# Built from the contract, so that a method that is added to it passes, too.
_METHODS: Final = {name: _passing(name) for name in SyncableStore.__abstractmethods__}
_Wrapped = cast(Callable[[SyncableStore, Fault], SyncableStore], type("_Wrapped", (_Wrapper, SyncableStore), _METHODS))
