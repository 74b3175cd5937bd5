"""Runs of one link between two open stores: lease, declarations, the run itself, and single partitions on demand."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import asynccontextmanager
from math import inf
from typing import Final

import anyio
from msgspec import Struct

from tierfold.abc.syncable import LinkLease, NearerStore, PartitionMarks, SyncableStore
from tierfold.digest import Hasher
from tierfold.entities.declaration import DEFAULT_RESOLVER, Declaration, disagreements
from tierfold.errors import ConfigError, CorruptDataError, LinkFencedError, PartitionUnavailableError, PluginError
from tierfold.link.partition import PartitionRun, Terms
from tierfold.link.report import RunReport
from tierfold.link.run import finish, plan
from tierfold.model import FeedToken, StoreId
from tierfold.specs import OpenContext, ResolverSpec
from tierfold.together import together

__all__ = ["LinkServices", "Runner"]

LEASE_S: Final = 10.0
PEER_LEASE_S: Final = 3600
_BUSY_LIMIT_MS: Final = 60_000
"""A partition that others wrote to in every run for so long is compared in spite of them."""
_PAGE_BYTES: Final = 4 * 1024 * 1024
"""Of the pages under way together."""
_AT_ONCE: Final = 32
"""Partitions whose runs are under way together: the stores commit in groups, and small runs are mostly commits."""

Prepare = Callable[[str, bool], Awaitable[None]]


class LinkServices(Struct, frozen=True):
    """What a layer hands to its links.

    Attributes:
        holder: Names this layer in link leases.
        resolver: A resolver by its registered name.
        hasher: The hasher of an entity type.
    """

    context: OpenContext
    holder: bytes
    resolver: Callable[[str], ResolverSpec]
    hasher: Callable[[str], Hasher]


class Runner:
    """Works on two open stores, for as long as both are open.

    Args:
        prepare: Has the farther tier bring a partition down from its own upstream, and keep it even when it is empty.
    """

    def __init__(
        self, name: str, near: NearerStore, far: SyncableStore, prepare: Prepare, services: LinkServices
    ) -> None:
        self._name, self._near, self._far, self._prepare, self._services = name, near, far, prepare, services
        self._link = ""
        self._lease: LinkLease | None = None
        self._noted: FeedToken | None = None
        self._shared: set[tuple[str, bytes]] = set()
        self._locks: dict[str, anyio.Lock] = {}
        self._noting = anyio.Lock()
        self._busy_since_ms: dict[str, int] = {}
        self._resolvers: dict[str, str] = {}
        self.refused: dict[str, str] = {}

    # --- lease ---------------------------------------------------------------------------------------------------

    async def hold(self) -> bool:
        """Take or renew the link lease; False while another process holds it."""
        lease, now_ms = self._lease, self._services.context.clock()
        if lease is not None and now_ms < lease.until_ms - LEASE_S * 500:
            return True
        upstream = await self._find_upstream()
        # By the upstream and not by the name of its tier, which is each program's own.
        self._link = upstream.hex()
        taken = await self._near.lease(self._link, self._services.holder, LEASE_S)
        if taken is not None and (lease is None or lease.token != taken.token):
            self._noted = await self._near.attach(self._link, upstream, taken.token)
        self._lease = taken
        return taken is not None

    async def _find_upstream(self) -> StoreId:
        upstream = (await self._far.identity()).store
        if upstream == (await self._near.identity()).store:
            raise ConfigError(f"tier {self._name!r} is the same store as the one in front of it")
        return upstream

    async def release(self) -> None:
        """Let another process have the link at once."""
        if self._lease is not None:
            self._lease = None
            await self._near.release(self._link, self._services.holder)

    def lose_lease(self) -> None:
        """Another process fenced this one off; ask again."""
        self._lease = None

    async def is_equal(self) -> bool:
        """Whether both sides hold the same and nothing waits; for who does not hold the lease."""
        peer = (await self._near.identity()).store
        theirs, own = await self._far.scope_root(peer), await self._near.own_root()
        return theirs.root == own.root and not self._near.has_pending()

    async def _terms(self, page_bytes: int = _PAGE_BYTES) -> Terms:
        if self._lease is None:
            raise LinkFencedError("the lease of this link passed to another process")
        own = await self._near.identity()
        return Terms(
            self._name,
            own.store,
            self._lease.token,
            None if own.durable else PEER_LEASE_S,
            page_bytes,
            self._services.context.clock,
            self._resolver,
            frozenset(self.refused),
            self._services.hasher,
            self._renew,
        )

    def _resolver(self, type: str) -> ResolverSpec:
        return self._services.resolver(self._resolvers.get(type, DEFAULT_RESOLVER))

    # --- runs ----------------------------------------------------------------------------------------------------

    async def run(self) -> RunReport:
        """Bring all present partitions into agreement.

        Raises:
            LinkFencedError: The lease passed to another process; the next run asks for it again.
            StoreError: The farther store failed; what was done so far stands.
        """
        await self._share_declarations()
        todo = await plan(self._near, self._far, await self._terms(), self._noted)
        terms = await self._terms(_PAGE_BYTES // min(_AT_ONCE, max(1, len(todo.partitions))))
        report = RunReport()
        at_once = min(_AT_ONCE, len(todo.partitions))
        for done in await together(lambda name: self._run_partition(name, terms), todo.partitions, at_once=at_once):
            report.add(done)
        for type, reason in self.refused.items():
            report.failed[type] = reason
        if todo.partitions or todo.far_token != self._noted:
            async with self._noting:
                self._noted = await finish(self._near, self._far, terms, todo, report) or self._noted
        return report

    async def _run_partition(self, partition: str, terms: Terms) -> RunReport:
        """Run one partition; what is wrong with it alone does not keep the others."""
        async with self._alone(partition):
            try:
                report = await self._attempt(partition, terms)
            except PartitionUnavailableError as error:
                report = RunReport(verified=None, failed={partition: str(error)})
            except CorruptDataError as error:
                report = RunReport(verified=False, failed={partition: str(error)})
        if report.verified is None:
            self._busy_since_ms.setdefault(partition, self._services.context.clock())
        else:
            self._busy_since_ms.pop(partition, None)
        return report

    async def _attempt(self, partition: str, terms: Terms) -> RunReport:
        await self._renew()
        insist = self._services.context.clock() - self._busy_since_ms.get(partition, inf) > _BUSY_LIMIT_MS
        try:
            return await PartitionRun(self._near, self._far, partition, terms, insist=insist).run()
        except PartitionUnavailableError:
            if await self._far.presence(partition) == "present":
                raise
        await self._prepare(partition, True)
        return await PartitionRun(self._near, self._far, partition, terms, insist=insist).run()

    async def _renew(self) -> None:
        if not await self.hold():
            raise LinkFencedError("the lease of this link ran out")

    def is_at(self, partition: str) -> bool:
        """Whether a run over the partition is under way, or waits for one."""
        return partition in self._locks

    async def refresh(self, partition: str) -> None:
        """Run one partition, after the run under way. The lease is held."""
        await self._run_partition(partition, await self._terms())

    async def hydrate(self, partition: str, *, keep: bool = False) -> None:
        """Bring one partition down, or learn that the farther tier has none of that name. The lease is held.

        Args:
            keep: Hold it even when it is empty, for somebody nearer is about to write to it.
        """
        async with self._alone(partition):
            view = await self._near.view(partition)
            if view.presence == "present":
                return
            keep = keep or bool(view.roots)
            if await self._far.presence(partition) != "present":
                await self._prepare(partition, keep)
            await self._share_declarations()
            terms = await self._terms()
            if not keep and await self._mark_absent(partition, terms):
                return
            await self._attempt(partition, terms)

    async def _mark_absent(self, partition: str, terms: Terms) -> bool:
        """Note that the farther tier has no such partition, if so.

        A run must not note in between that it has read the feed: it may have named what was created since.
        """
        async with self._noting:
            if not await self._is_absent(partition):
                return False
            await self._near.mark_partition(partition, PartitionMarks(presence="absent"), terms.token)
            return True

    async def _is_absent(self, partition: str) -> bool:
        return await self._far.presence(partition) == "absent" or not (await self._far.roots(partition)).segments

    @asynccontextmanager
    async def _alone(self, partition: str) -> AsyncGenerator[None]:
        """One run at a time over a partition: a reader's hydration and the link's own run must not mix."""
        lock = self._locks.setdefault(partition, anyio.Lock())
        try:
            async with lock:
                yield
        finally:
            if not lock.locked():
                self._locks.pop(partition, None)

    # --- declarations --------------------------------------------------------------------------------------------

    async def _share_declarations(self) -> None:
        """Both sides keep the same declarations; a type on which they disagree is refused and the rest goes on."""
        for type, own in (await self._near.declarations()).items():
            if (type, own) not in self._shared:
                self._compare(type, own, await self._far.declare(type, own))
                self._shared.add((type, own))
        for type, theirs in (await self._far.declarations()).items():
            if (type, theirs) not in self._shared and type not in self.refused:
                self._compare(type, await self._near.declare(type, theirs), theirs)
                self._shared.add((type, theirs))

    def _compare(self, type: str, own: bytes, theirs: bytes) -> None:
        mine = Declaration.from_bytes(own)
        self._resolvers[type] = mine.resolver
        said = disagreements(
            mine,
            Declaration.from_bytes(theirs),
            one_is="the nearer tier",
            other_is=f"tier {self._name!r}",
        )
        try:
            version = self._services.resolver(mine.resolver).version
        except PluginError as error:
            said.append(str(error))
        else:
            if version != mine.resolver_version:
                here = f"version {version} in this program"
                said.append(f"rule {mine.resolver!r} is {here} and {mine.resolver_version} in the catalog")
        if said:
            self.refused[type] = f"entity type {type!r} is not synced: {'; '.join(said)}"
