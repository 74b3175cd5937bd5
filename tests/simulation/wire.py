"""Link runs taken apart: every call that a run makes of a store becomes a request, which is answered, cut or lost."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Generator, Mapping
from typing import Any, Final, cast

from tests.simulation.tier import Tier

from tierfold.abc.syncable import NearerStore, SyncableStore
from tierfold.digest import Hasher
from tierfold.errors import PartitionUnavailableError, TierfoldError
from tierfold.kv.store import KvStore
from tierfold.link.partition import PartitionRun, Terms
from tierfold.link.report import RunReport
from tierfold.link.run import finish, plan
from tierfold.resolve import LWW

__all__ = ["Request", "Run"]

_HASHERS: Final[dict[str, Hasher]] = {}


def _hasher(type: str) -> Hasher:
    return _HASHERS.setdefault(type, Hasher(type))


class Request:
    """One call of a store, on its way.

    Attributes:
        process: Which of the tier's processes answers; None = the first of those that are up then.
        run: The run that asks, if one does.
    """

    def __init__(
        self,
        tier: Tier,
        method: str,
        arguments: tuple[Any, ...],
        run: Run | None = None,
        process: KvStore | None = None,
        keywords: Mapping[str, Any] = {},
    ) -> None:
        self.tier, self.method, self.arguments, self.keywords = tier, method, arguments, keywords
        self.run, self._process = run, process

    @property
    def store(self) -> KvStore:
        return self._process or self.tier.store

    def replaced(self, number: int, argument: Any) -> Request:
        """The same request with another argument."""
        arguments = (*self.arguments[:number], argument, *self.arguments[number + 1 :])
        return Request(self.tier, self.method, arguments, self.run, self._process, self.keywords)

    @property
    def crosses_the_link(self) -> bool:
        return self._process is None

    def __await__(self) -> Generator[Request, Any, Any]:
        return (yield self)

    def __str__(self) -> str:
        return f"{self.method} {self.tier.name}"


class _Wire:
    """Looks like a store to a run; makes a request of every call."""

    def __init__(self, run: Run, tier: Tier, process: KvStore | None) -> None:
        self._run, self._tier, self._process = run, tier, process

    def __getattr__(self, method: str) -> Callable[..., Awaitable[Any]]:
        async def call(*arguments: Any, **keywords: Any) -> Any:
            return await Request(self._tier, method, arguments, self._run, self._process, keywords)

        return call


class Run:
    """One run of a link, of one partition or of all that need it, from taking the lease to noting the feeds.

    Leases here last no time, so a later run takes over at once and fences this one off. Those of one holder share it: a
    layer syncs one partition while it brings down another one for a reader.

    Attributes:
        request: What the run waits for; None once it has ended.
        unknown: Partitions whose history the farther side said it does not know.
        refused: The farther side does not hold the partition: it has to bring it down first.
    """

    def __init__(self, near: Tier, process: KvStore, holder: bytes, page_bytes: int, partition: str | None) -> None:
        assert near.far is not None, "the root has no link"
        self.near, self.far, self.process, self.partition = near, near.far, process, partition
        self.holder, self._page_bytes = holder, page_bytes
        self.report: RunReport | None = None
        self.unknown: set[str] = set()
        self.refused: str | None = None
        self._steps = self._link()
        self.request: Request | None = None
        self._proceed(lambda: self._steps.send(None))

    def answer(self, value: Any) -> None:
        self._proceed(lambda: self._steps.send(value))

    def fail(self, error: TierfoldError) -> None:
        self._proceed(lambda: self._steps.throw(error))

    def cut(self) -> None:
        """The run ends here: its process died, or its connection."""
        self.request = None
        self._steps.close()

    def _proceed(self, go_on: Callable[[], Any]) -> None:
        try:
            self.request = cast(Request, go_on())
        except StopIteration:
            self.request = None
        except PartitionUnavailableError as error:
            self.request, self.refused = None, error.partition
        except TierfoldError:
            self.request = None

    # --- what the shell of links does ----------------------------------------------------------------------------

    async def _link(self) -> None:
        near = cast(NearerStore, _Wire(self, self.near, self.process))
        far = cast(SyncableStore, _Wire(self, self.far, None))
        link = f"{self.near.name}-{self.far.name}"
        lease = await near.lease(link, self.holder, 0)
        assert lease is not None
        noted = await near.attach(link, (await far.identity()).store, lease.token)
        own = (await near.identity()).store
        lease_s = None if self.near.durable else 3600
        terms = Terms(
            link,
            own,
            lease.token,
            lease_s,
            self._page_bytes,
            self.near.now_ms,
            lambda _: LWW,
            frozenset(),
            _hasher,
            _never_lost,
        )
        if self.partition is not None:
            self.report = await PartitionRun(near, far, self.partition, terms).run()
            return
        todo = await plan(near, far, terms, noted)
        report = RunReport()
        for partition in todo.partitions:
            report.add(await PartitionRun(near, far, partition, terms).run())
        await finish(near, far, terms, todo, report)
        self.report = report


async def _never_lost() -> None:
    """A simulated run takes its lease for one run, however long that takes."""
