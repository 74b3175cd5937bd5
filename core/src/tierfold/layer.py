"""The data layer: opened tiers, the links between them, and repositories over them."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager, AsyncExitStack, suppress
from functools import partial
from typing import Any, Final, TypeVar, overload
from weakref import WeakSet

import anyio

from tierfold.abc.store import LocalStore
from tierfold.access import Access
from tierfold.arguments import check_seconds, given
from tierfold.catalog import Catalog
from tierfold.config import duration_s
from tierfold.errands import RunsErrands
from tierfold.errors import ConfigError, StoreClosedError, StoreError, TransactionError
from tierfold.events import Subscription
from tierfold.indexing import IndexKeeper
from tierfold.links.link import CONNECT_S, Link
from tierfold.links.named import NamedLinks
from tierfold.links.runner import LinkServices
from tierfold.live.hub import Hub
from tierfold.model import Change
from tierfold.repository import Repository
from tierfold.status import LinkReport, Status, SyncReport
from tierfold.supervisor import Supervisor
from tierfold.tiers import OpenTier
from tierfold.transactions.transaction import Block

__all__ = ["DataLayer"]

T = TypeVar("T")

_FIRST_RUNS_S: Final = 1.0
"""How long opening lets the first runs take. What is brought down later is not there yet when it returns."""
_LOOK_EVERY_S: Final = 0.1
"""How often commits of other processes are looked for, while somebody links or listens."""


class DataLayer:
    """Entities in a list of tiers. Made by `tierfold.open`; one event loop, any number of tasks."""

    def __init__(
        self,
        tiers: Sequence[OpenTier],
        catalog: Catalog,
        services: LinkServices,
        close_timeout_s: float,
    ) -> None:
        self._tiers = tiers
        self._services = services
        self._catalog = catalog
        self._close_timeout_s = close_timeout_s
        self._link_list = _links(tiers, services)
        self.links: Mapping[str, Link] = NamedLinks({link.name: link for link in self._link_list})
        self._access = Access(tiers, self._link_list, catalog.prefix)
        self._hub = Hub(lambda: self._access.nearest)
        self._indexes = IndexKeeper(self._access, services.holder)
        self._repositories: dict[object, Repository[Any]] = {}
        self._stop = anyio.Event()
        self._closed = False
        self._subscriptions: WeakSet[Subscription[Change]] = WeakSet()
        self._supervisor = Supervisor(self._work)

    def __repr__(self) -> str:
        tiers = " -> ".join(tier.name for tier in self._tiers)
        return f"<DataLayer {tiers}, {'closed' if self._closed else 'open'}>"

    # --- lifetime ------------------------------------------------------------------------------------------------

    async def start(self) -> None:
        """Open the nearest tier, and the others as far as they can be reached. Called by `tierfold.open`."""
        await self._supervisor.start()

    async def aclose(self, *, timeout_s: float | None = None) -> None:
        """Deliver what waits for delivery, as far as possible in ``timeout_s``, then close every tier. Idempotent.

        A tier that cannot be reached does not delay it longer; what was not delivered is kept and sent next time, and
        `dirty` goes on saying that there is some. Only what a volatile tier could not deliver is lost.

        Args:
            timeout_s: By default what `tierfold.open` was given.
        """
        if timeout_s is not None:
            check_seconds(timeout_s, "timeout_s")
        self._supervisor.require_home()
        if not self._closed:
            self._closed = True
            if timeout_s is not None:
                self._close_timeout_s = timeout_s
            self._stop.set()
        await self._supervisor.stop()

    async def leave(self) -> None:
        """Close, and end what `start` began, in the same task. Called by `tierfold.open`."""
        try:
            await self.aclose()
        finally:
            await self._supervisor.leave()

    async def _work(self, started: Callable[[], None]) -> None:
        async with AsyncExitStack() as stack:
            await stack.enter_async_context(self._tiers[0].opened(self._services.context))
            stack.callback(self._end_subscriptions)
            async with anyio.create_task_group() as tasks:
                for link in self._link_list:
                    tasks.start_soon(link.serve)
                tasks.start_soon(self._look)
                refusal = await self._first_look()
                if refusal is None:
                    tasks.start_soon(self._indexes.serve)
                    started()
                    await self._stop.wait()
                    await self._last_run()
                    with suppress(StoreError):
                        await self._indexes.release()
                tasks.cancel_scope.cancel()
            self._access.close()
            # Raised here, and not where it arose, for a task group would wrap it.
            if refusal is not None:
                raise refusal

    async def _first_look(self) -> ConfigError | None:
        """Wait until every link is connected or has failed, and a moment for the first runs over local tiers.

        Returns what contradicts itself, for waiting would not mend that.
        """
        with anyio.move_on_after(CONNECT_S):
            for link in self._link_list:
                await link.connected.wait()
            with anyio.move_on_after(_FIRST_RUNS_S):
                for link in self._link_list:
                    await link.attempted.wait()
        try:
            self._access.choose()
        except ConfigError as error:
            return error
        return next((link.refusal for link in self._link_list if link.refusal is not None), None)

    async def _last_run(self) -> None:
        with anyio.move_on_after(self._close_timeout_s):
            if self._link_list:
                await self._outwait_writes()
            for link in self._link_list:
                if link.dirty:
                    await link.sync()

    async def _outwait_writes(self) -> None:
        """Whose caller was cancelled may still be committed; an empty one is behind them."""
        for tier in self._tiers[:-1]:
            if isinstance(tier.store, LocalStore):
                with suppress(StoreError):
                    await tier.store.write(())

    async def _look(self) -> None:
        while True:
            await anyio.sleep(_LOOK_EVERY_S)
            self._indexes.look_again()
            if self._link_list or self._hub.is_busy or not all(each.closed for each in self._subscriptions):
                self.look()

    def look(self) -> None:
        """Notice commits of other processes."""
        for tier in self._tiers:
            with suppress(StoreError):  # whoever reads or links meets it, too, and says so
                tier.look()

    def _require_open(self) -> None:
        if self._closed:
            raise StoreClosedError("the data layer is closed")

    def send_errands(self, errands: RunsErrands) -> None:
        """From now on calls are also made in threads without an event loop; ``errands`` does what awaits links."""
        self._access.errands = errands

    @property
    def tiers(self) -> tuple[OpenTier, ...]:
        """The tiers, near to far: for commands of this package, which show what lies in the stores themselves."""
        return tuple(self._tiers)

    # --- repositories --------------------------------------------------------------------------------------------

    @overload
    def repo(self, entity: type[T]) -> Repository[T]: ...
    @overload
    def repo(self, entity: str) -> Repository[dict[str, Any]]: ...

    def repo(self, entity: type[T] | str) -> Repository[T] | Repository[dict[str, Any]]:
        """The repository of an entity class, or of raw documents of a type by its name. Made once per class.

        Raises:
            ConfigError: The class cannot be an entity type, or declares what the configuration file or the store's
                catalog contradicts; the message shows both sides.
        """
        self._require_open()
        if not isinstance(entity, type | str):
            raise ConfigError(f"repo takes an entity class or the name of an entity type, not {given(entity)}")
        known = self._repositories.get(entity)
        if known is None:
            kind = self._catalog.kind(entity, self._access.holder)
            known = self._repositories[entity] = Repository(kind, self._access, self._hub, self._indexes.look_again)
            if not isinstance(entity, str):
                self._indexes.want(kind.declaration.name, kind.declaration.index)
        return known

    def transaction(self) -> AbstractAsyncContextManager[None]:
        """A block whose writes are stored together at its end, in the nearest durable tier: all of them, or none.

        In this task, and in those that are started inside, every repository of this layer sees what was written so far.
        An exception that leaves the block discards it all. A block inside another one is part of that one. Farther
        tiers receive what was written record by record, partition by partition.

        System fields are filled in after the commit. Ids are assigned before, and stay when nothing was stored.

        Raises:
            StaleWriteError: At the end: somebody else changed in between what was created, deleted, modified or saved
                here with a condition.
            TransactionError: It was used after its end, or inside one of another layer.
        """
        self._require_open()
        return Block(self._access)

    def events(self) -> Subscription[Change]:
        """Every change of this prefix's entities in the tier that is written to, by whomever, in commit order.

        It begins now and ends with the layer. What it tells of can be read: caches are brought up to it first.

        Raises:
            StoreUnavailableError: The tier that is written to cannot be reached.
        """
        self._require_open()
        listen, named = self._access.writer.listen, self._catalog.named
        subscription: Subscription[Change] = Subscription(
            lambda push: listen(lambda changes: push([change for change in map(named, changes) if change is not None])),
            lambda change: self._access.catch_up(self._catalog.segment_of(change), change.id),
        )
        self._subscriptions.add(subscription)
        return subscription

    def _end_subscriptions(self) -> None:
        for subscription in list(self._subscriptions):
            subscription.close()
        self._hub.close()

    # --- sync and status -----------------------------------------------------------------------------------------

    @property
    def dirty(self) -> bool:
        """Whether rows wait for delivery: to a farther tier, or to a store that this layer was opened without.

        A closed layer says whether any was left undelivered.
        """
        return any(link.dirty for link in self._link_list) or self._access.waits_beyond

    def status(self) -> Status:
        """The state of every tier and link now. Reads local stores only."""
        links = {link.name: link.status for link in self._link_list}
        return Status(
            self._access.durable, self.dirty, tuple(tier.status() for tier in self._tiers), links, self._access.beyond
        )

    async def sync_now(self, link: str | None = None, *, timeout_s: float | None = None) -> SyncReport:
        """Run one link, or all of them until nothing moves any more.

        A tier that cannot be reached, or not in ``timeout_s``, stands in the report. One that does not become connected
        is waited for 3 s at most, another process that runs the link 10 s; what a connected tier does takes its time.

        Raises:
            ConfigError: There is no link of that name.
            TransactionError: A transaction is going on: what it wrote is not stored yet.
        """
        self._require_open()
        if self._access.transaction is not None:
            raise TransactionError("sync_now delivers what is stored; call it behind the transaction")
        if timeout_s is not None:
            check_seconds(timeout_s, "timeout_s")
        chosen = [self.links[link]] if link is not None else self._link_list
        if not chosen:
            return SyncReport({})
        report: SyncReport = await self._access.errands(partial(_sync, chosen, timeout_s))
        return report


async def _sync(chosen: Sequence[Link], timeout_s: float | None) -> SyncReport:
    reports: dict[str, LinkReport] = {}
    with anyio.move_on_after(timeout_s):
        for _ in range(len(chosen) + 1):
            if not await _round(chosen, reports):
                break
    late = LinkReport(None, f"no answer in {timeout_s} s")
    return SyncReport({each.name: reports.get(each.name, late) for each in chosen})


async def _round(links: Sequence[Link], reports: dict[str, LinkReport]) -> bool:
    """Run each link once, near to far; True when another round could move something."""
    moved = False
    for link in links:
        report = await link.sync()
        before = reports.get(link.name)
        reports[link.name] = report if before is None else before.followed_by(report)
        moved |= report.error is None and bool(report.pulled or report.pushed or report.verified is None)
    return moved and (len(links) > 1 or any(report.verified is None for report in reports.values()))


def _links(tiers: Sequence[OpenTier], services: LinkServices) -> list[Link]:
    links: list[Link] = []
    farther: Link | None = None
    for near, far in zip(reversed(tiers[:-1]), reversed(tiers[1:]), strict=True):
        interval_s = None if far.tier.interval is None else duration_s(far.tier.interval)
        farther = Link(near, far, interval_s, farther, services)
        links.append(farther)
    return links[::-1]
