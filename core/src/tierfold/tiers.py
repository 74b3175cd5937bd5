"""The opened tiers of a layer, near to far."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager, suppress

import anyio

from tierfold.abc.store import EntityStore, LocalStore
from tierfold.abc.syncable import NearerStore, SyncableStore
from tierfold.config import Tier
from tierfold.dsn import Dsn
from tierfold.errors import ConfigError, StoreError, StoreUnavailableError
from tierfold.specs import OpenContext
from tierfold.status import TierStatus

__all__ = ["OpenTier", "name_tiers"]


class OpenTier:
    """One store of the list.

    Attributes:
        store: None until it is opened, and again after it was lost.
        durable: None as long as it never was open.
        tried: Set once it was opened, or could not be.
    """

    def __init__(self, name: str, tier: Tier, dsn: Dsn) -> None:
        self.name: str = name
        self.tier: Tier = tier
        self.dsn: Dsn = dsn
        self.store: SyncableStore | None = None
        self.durable: bool | None = None
        self.tried: anyio.Event = anyio.Event()
        self._had_pending = False

    @asynccontextmanager
    async def opened(self, context: OpenContext) -> AsyncIterator[SyncableStore]:
        """Hold the store open for the length of the block.

        Raises:
            StoreError: It cannot be opened now, or at all.
        """
        async with AsyncExitStack() as stack:
            try:
                manager = self.dsn.spec.open(self.dsn.location, self.dsn.options, context)
                store = _syncable(self.name, await stack.enter_async_context(manager))
                self.durable = (await store.identity()).durable
                self.store = store
            finally:
                self.tried.set()
            try:
                yield store
            finally:
                with suppress(StoreError):  # a store that does not answer any more leaves what it said last
                    self.has_pending()
                self.store = None

    def has_pending(self) -> bool:
        """Whether rows wait for delivery to the next tier; while the store is not open, whether they did at the end."""
        if isinstance(self.store, NearerStore):
            self._had_pending = self.store.has_pending()
        return self._had_pending

    def status(self) -> TierStatus:
        """The tier now."""
        ahead_s = self.store.clock_ahead_ms() / 1000 if isinstance(self.store, LocalStore) else None
        return TierStatus(self.name, self.dsn.scheme, self.store is not None, self.durable, ahead_s)

    def look(self) -> None:
        """Notice commits of other processes, where the store can tell."""
        if isinstance(self.store, LocalStore):
            self.store.look()

    @property
    def near(self) -> NearerStore:
        """The store as the nearer side of a link.

        Raises:
            StoreUnavailableError: It is not open now.
        """
        if self.store is None:
            raise StoreUnavailableError(f"tier {self.name!r} cannot be reached")
        if not isinstance(self.store, NearerStore):
            raise ConfigError(f"tier {self.name!r} ({self.dsn.scheme}:) cannot be the nearer side of a link")
        return self.store


def _syncable(name: str, store: EntityStore) -> SyncableStore:
    if not isinstance(store, SyncableStore):
        raise ConfigError(f"tier {name!r}: this kind of store cannot be a tier")
    return store


def name_tiers(tiers: Sequence[Tier], dsns: Sequence[Dsn]) -> list[OpenTier]:
    """Give every tier its name: the one written, else a memory tier's location, else the scheme, numbered if need be.

    Raises:
        ConfigError: No tier, or a name given twice.
    """
    if not tiers:
        raise ConfigError("a layer needs at least one tier, such as open('lmdb:./data')")
    names: list[str] = []
    for tier, dsn in zip(tiers, dsns, strict=True):
        names.append(tier.name or _default_name(dsn, names))
    for name in names:
        if names.count(name) > 1:
            raise ConfigError(f"two tiers are named {name!r}; give each its own name")
    return [OpenTier(name, tier, dsn) for name, tier, dsn in zip(names, tiers, dsns, strict=True)]


def _default_name(dsn: Dsn, taken: Sequence[str]) -> str:
    wanted = dsn.location if dsn.scheme == "memory" and dsn.location else dsn.scheme
    number, name = 2, wanted
    while name in taken:
        name, number = f"{wanted}-{number}", number + 1
    return name
