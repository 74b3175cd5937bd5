"""The data layer, used from threads without an event loop."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import AbstractAsyncContextManager, AbstractContextManager
from types import TracebackType
from typing import Any, TypeVar, overload

from tierfold.blocking.calls import Calls
from tierfold.blocking.home import LayerHome
from tierfold.blocking.iteration import Subscription
from tierfold.blocking.repository import Repository
from tierfold.links.link import Link as AsyncLink
from tierfold.links.named import NamedLinks
from tierfold.model import Change
from tierfold.repository import Repository as AsyncRepository
from tierfold.status import LinkStatus, Status, SyncReport
from tierfold.tiers import OpenTier

__all__ = ["DataLayer", "Link"]

T = TypeVar("T")


class Link:
    """The link between two neighbouring tiers."""

    def __init__(self, link: AsyncLink, calls: Calls) -> None:
        self._link, self._calls = link, calls
        self.name: str = link.name

    def __repr__(self) -> str:
        return repr(self._link)

    @property
    def status(self) -> LinkStatus:
        """The link now."""
        return self._calls.at_once(lambda: self._link.status)

    @property
    def dirty(self) -> bool:
        """Whether rows of the nearer tier wait for delivery; while that is not open, whether they did at the end."""
        return self._calls.at_once(lambda: self._link.dirty)

    def pause(self) -> None:
        """Start no further run and bring nothing down. A run under way ends as usual."""
        self._calls.at_once(self._link.pause)

    def resume(self) -> None:
        """Undo `pause`; a run follows at once."""
        self._calls.at_once(self._link.resume)


class DataLayer:
    """Entities in a list of tiers. Made by `tierfold.blocking.open`; any number of threads."""

    def __init__(self, home: LayerHome) -> None:
        self._home, self._layer, self._calls = home, home.layer, home.calls
        links = {name: Link(link, self._calls) for name, link in self._layer.links.items()}
        self.links: Mapping[str, Link] = NamedLinks(links)
        self._repositories: dict[object, Repository[Any]] = {}

    def __repr__(self) -> str:
        return repr(self._layer)

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

        async def make() -> AsyncRepository[Any]:
            return self._layer.repo(entity)

        made = self._calls.run(make())
        known = self._repositories.get(entity)
        return known or self._repositories.setdefault(entity, Repository(made, self._calls))

    @property
    def tiers(self) -> tuple[OpenTier, ...]:
        """The tiers, near to far: for commands of this package, which show what lies in the stores themselves."""
        return self._layer.tiers

    def transaction(self) -> AbstractContextManager[None]:
        """A block whose writes are stored together at its end, in the nearest durable tier: all of them, or none.

        In this thread every repository of this layer sees what was written so far. An exception that leaves the block
        discards it all. A block inside another one is part of that one. Farther tiers receive what was written record
        by record, partition by partition.

        System fields are filled in after the commit. Ids are assigned before, and stay when nothing was stored.

        Raises:
            StaleWriteError: At the end: somebody else changed in between what was created, deleted, modified or saved
                here with a condition.
            TransactionError: It was used after its end, or inside one of another layer.
        """
        return _Block(self._calls.at_once(self._layer.transaction), self._calls)

    def events(self, *, timeout_s: float | None = None) -> Subscription[Change]:
        """Every change of this prefix's entities in the tier that is written to, by whomever, in commit order.

        It begins now and ends with the layer. What it tells of can be read: caches are brought up to it first.

        Args:
            timeout_s: After so long without a change a loop ends; None = it goes on until the layer is closed.

        Raises:
            StoreUnavailableError: The tier that is written to cannot be reached.
        """
        return Subscription(self._calls.at_once(self._layer.events), self._calls, timeout_s)

    @property
    def dirty(self) -> bool:
        """Whether rows wait for delivery: to a farther tier, or to a store that this layer was opened without.

        A closed layer says whether any was left undelivered.
        """
        return self._calls.at_once(lambda: self._layer.dirty)

    def status(self) -> Status:
        """The state of every tier and link now. Reads local stores only."""
        return self._calls.at_once(self._layer.status)

    def sync_now(self, link: str | None = None, *, timeout_s: float | None = None) -> SyncReport:
        """Run one link, or all of them until nothing moves any more.

        A tier that cannot be reached, or not in ``timeout_s``, stands in the report. One that does not become connected
        is waited for 3 s at most, another process that runs the link 10 s; what a connected tier does takes its time.

        Raises:
            ConfigError: There is no link of that name.
            TransactionError: A transaction is going on: what it wrote is not stored yet.
        """
        return self._calls.run(self._layer.sync_now(link, timeout_s=timeout_s))

    def close(self, *, timeout_s: float | None = None) -> None:
        """Deliver what waits for delivery, as far as possible in ``timeout_s``, then close every tier. Idempotent.

        A tier that cannot be reached does not delay it longer; what was not delivered is kept and sent next time, and
        `dirty` goes on saying that there is some. Only what a volatile tier could not deliver is lost.

        Args:
            timeout_s: By default what `open` was given.
        """
        self._home.close(timeout_s)


class _Block(AbstractContextManager[None]):
    """One ``with data.transaction()``."""

    def __init__(self, block: AbstractAsyncContextManager[None], calls: Calls) -> None:
        self._block, self._calls = block, calls

    def __enter__(self) -> None:
        self._calls.run(_entered(self._block))

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._calls.finish(_left(self._block, kind, error, trace))


async def _entered(block: AbstractAsyncContextManager[None]) -> None:
    await block.__aenter__()


async def _left(
    block: AbstractAsyncContextManager[None],
    kind: type[BaseException] | None,
    error: BaseException | None,
    trace: TracebackType | None,
) -> None:
    await block.__aexit__(kind, error, trace)
