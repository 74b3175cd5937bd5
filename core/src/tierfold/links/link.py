"""One link as users see it: its task, pausing, requests for a run, and status."""

from __future__ import annotations

import logging
from contextlib import ExitStack, suppress
from typing import Final

import anyio
from msgspec.structs import replace

from tierfold.abc.store import LocalStore
from tierfold.abc.syncable import NearerStore, SyncableStore
from tierfold.errors import (
    ConfigError,
    LinkFencedError,
    PartitionUnavailableError,
    StoreClosedError,
    StoreError,
    StoreUnavailableError,
    TierfoldError,
)
from tierfold.link.report import RunReport
from tierfold.links.runner import LEASE_S, LinkServices, Runner
from tierfold.status import LinkActivity, LinkReport, LinkStatus
from tierfold.tiers import OpenTier
from tierfold.wake import Signal

__all__ = ["CONNECT_S", "LOCAL_INTERVAL_S", "REMOTE_INTERVAL_S", "Link"]

CONNECT_S: Final = 3.0
"""How long anybody waits for a farther tier that neither answers nor fails while it is connected."""

LOCAL_INTERVAL_S: Final = 2.0
REMOTE_INTERVAL_S: Final = 300.0

ELSEWHERE_S: Final = 10.0
_BACKOFF_FIRST_S: Final = 0.25
_BACKOFF_LAST_S: Final = 60.0
_GAP_S: Final = 0.005
"""At least between two runs, so that a busy writer's commits are carried in batches; a request need not wait."""
_BUSY_S: Final = 1.0
"""After a run that met somebody else's writes, or partitions that could not be had."""
_POLL_S: Final = 0.05

_ELSEWHERE: Final = "another process runs the link, and both sides still differ"

_log = logging.getLogger("tierfold.links")


class _Request:
    """Somebody waits for a run that begins after the request."""

    def __init__(self) -> None:
        self.done = anyio.Event()
        self.report = LinkReport(None, "the farther tier is not reached yet")

    def answer(self, report: LinkReport) -> None:
        self.report = report
        self.done.set()


class Link:
    """The link between two neighbouring tiers. One task serves it; runs happen one at a time.

    Attributes:
        connected: Set once the farther tier is reached (and a local one's lease was asked for), or after a failure.
        attempted: Set after the first run, or after a failure; with a remote tier, once that is reached.
        refusal: What waiting would not mend, found before it was connected.
    """

    def __init__(
        self, near: OpenTier, far: OpenTier, interval_s: float | None, farther: Link | None, services: LinkServices
    ) -> None:
        """``interval_s`` None: by what kind of tier the farther one turns out to be."""
        self.name: str = far.name
        self._near, self._far, self._farther, self._services = near, far, farther, services
        self._given_interval_s = interval_s
        self._interval_s = LOCAL_INTERVAL_S if interval_s is None else max(interval_s, _GAP_S)
        self._wake = Signal()
        self._requests: list[_Request] = []
        self._runner: Runner | None = None
        self.connected: anyio.Event = anyio.Event()
        self.attempted: anyio.Event = anyio.Event()
        self.refusal: ConfigError | None = None
        self._paused = self._running = self._elsewhere = self._closed = self._hurry = False
        self._failures = 0
        self._error: str | None = None
        self._last: LinkReport | None = None

    def __repr__(self) -> str:
        return f"<Link {self._near.name} -> {self.name}, {self._state()}{f': {self._error}' if self._error else ''}>"

    # --- what users see ------------------------------------------------------------------------------------------

    @property
    def status(self) -> LinkStatus:
        return LinkStatus(self.name, self._state(), self.dirty, self._error, self._last)

    @property
    def dirty(self) -> bool:
        """Whether rows of the nearer tier wait for delivery; while that is not open, whether they did at the end."""
        return self._near.has_pending()

    def pause(self) -> None:
        """Start no further run and bring nothing down. A run under way ends as usual."""
        self._paused = True

    def resume(self) -> None:
        """Undo `pause`; a run follows at once."""
        self._paused = False
        self.hurry()

    def hurry(self) -> None:
        """Have the next attempt or run happen now, whatever it waits for."""
        self._hurry = True
        self._wake.set()

    def _state(self) -> LinkActivity:
        if self._closed:
            return "closed"
        if self._paused:
            return "paused"
        if self._running:
            return "running"
        if self._error is not None:
            return "failing"
        if self._runner is None:
            return "connecting"
        return "elsewhere" if self._elsewhere else "idle"

    async def sync(self) -> LinkReport:
        """Have a run happen now and report it; returns at once while the link is paused.

        A farther tier that is not connected and does not become so in `CONNECT_S` is not waited for.
        """
        if self._closed:
            return LinkReport(None, "the link is closed")
        if self._paused:
            return LinkReport(None, "the link is paused")
        request = _Request()
        self._requests.append(request)
        self._wake.set()
        with anyio.move_on_after(CONNECT_S):
            await request.done.wait()
        if self._runner is not None:
            await request.done.wait()
        return request.report

    # --- hydration -----------------------------------------------------------------------------------------------

    async def hydrate(self, partition: str, keep: bool = False) -> None:
        """Bring a partition down from the farther tier, or learn that there is none of that name.

        Args:
            keep: Hold it even when it is empty, for somebody nearer is about to write to it.

        Raises:
            PartitionUnavailableError: The farther tier cannot be reached now.
        """
        runner = self._runner
        if self._paused or runner is None:
            reason = "its link is paused" if self._paused else self._error or "the farther tier is not reached yet"
            raise PartitionUnavailableError(partition, reason)
        try:
            if await runner.hold() or await self._wait_elsewhere(runner, partition, keep):
                await self._hydrate(runner, partition, keep)
        except PartitionUnavailableError:
            raise
        except (StoreUnavailableError, LinkFencedError) as error:
            raise PartitionUnavailableError(partition, str(error)) from error

    async def _hydrate(self, runner: Runner, partition: str, keep: bool) -> None:
        """Another process that takes the link over in the middle of it goes on with it."""
        try:
            await runner.hydrate(partition, keep=keep)
        except LinkFencedError:
            runner.lose_lease()
            if await self._wait_elsewhere(runner, partition, keep):
                await runner.hydrate(partition, keep=keep)

    async def _wait_elsewhere(self, runner: Runner, partition: str, keep: bool) -> bool:
        """Ask the process that runs the link, and wait; True when the lease came to this one meanwhile."""
        near = self._near.near
        await near.want(partition)
        with anyio.move_on_after(ELSEWHERE_S):
            while await near.presence(partition) not in ("present", "present" if keep else "absent"):
                await anyio.sleep(_POLL_S)
                if await runner.hold():
                    return True
            return False
        reason = f"the process that runs its link has not brought it in {ELSEWHERE_S:g} s"
        raise PartitionUnavailableError(partition, reason)

    def is_at(self, partition: str) -> bool:
        """Whether a run over the partition is under way in this program."""
        return self._runner is not None and self._runner.is_at(partition)

    async def refresh(self, partition: str) -> None:
        """Pull one partition now, for a cache that is behind; what prevents it is left to the link's own runs."""
        runner = self._runner
        if runner is None or self._paused:
            return
        try:
            if await runner.hold():
                await runner.refresh(partition)
        except TierfoldError as error:
            self._fail(error)

    async def _prepare(self, partition: str, keep: bool) -> None:
        """Have the farther tier bring the partition down first, when it has a link of its own in this layer."""
        if self._farther is None:
            raise PartitionUnavailableError(partition, f"tier {self._far.name!r} does not hold it")
        await self._farther.hydrate(partition, keep)

    # --- the task ------------------------------------------------------------------------------------------------

    async def serve(self) -> None:
        """Connect, run when there is a reason to, and connect again after a failure; ends when cancelled."""
        try:
            while True:
                try:
                    near = await self._open_near()
                    async with self._far.opened(self._services.context) as far:
                        await self._serve_connected(near, far)
                except ConfigError as error:
                    self._refuse(error)
                    self._fail(error)
                except TierfoldError as error:
                    self._fail(error)
                except Exception as error:  # noqa: BLE001 - a plugin's mistake must not end the layer
                    _log.exception("link %s", self.name)
                    self._fail(StoreUnavailableError(f"{type(error).__name__}: {error}"))
                self._answer(LinkReport(None, self._error))
                await self._rest(self._backoff_s())
        finally:
            self._closed = True
            self._answer(LinkReport(None, "the link was closed"))

    async def _open_near(self) -> NearerStore:
        await self._near.tried.wait()
        near = self._near.near
        near.expect_upstream()
        return near

    async def _serve_connected(self, near: NearerStore, far: SyncableStore) -> None:
        runner = self._runner = Runner(self.name, near, far, self._prepare, self._services)
        self._note_kind(isinstance(far, LocalStore))
        if self._farther is not None:
            self._farther.hurry()
        with ExitStack() as stack:
            for store in (near, far):
                if isinstance(store, LocalStore):
                    stack.callback(store.notify(self._wake.set))
            try:
                while True:
                    await self._rest(await self._turn(runner))
            finally:
                self._runner = None
                with anyio.CancelScope(shield=True), anyio.move_on_after(2), suppress(StoreError):
                    await runner.release()

    def _note_kind(self, is_local: bool) -> None:
        """Nobody waits for a remote tier's first run, and it is asked less often."""
        if not is_local:
            self.connected.set()
            self.attempted.set()
        if self._given_interval_s is None:
            self._interval_s = LOCAL_INTERVAL_S if is_local else REMOTE_INTERVAL_S

    async def _turn(self, runner: Runner) -> float:
        """One run, if it may be, for everybody who asked before it began; returns how long to rest."""
        asked, self._requests = self._requests, []
        self._running = not self._paused
        try:
            report, rest_s = await self._run_guarded(runner, bool(asked))
        except BaseException:
            self._requests += asked
            raise
        finally:
            self._running = False
        self.attempted.set()
        for request in asked:
            request.answer(report)
        return rest_s

    async def _run_guarded(self, runner: Runner, asked: bool) -> tuple[LinkReport, float]:
        """One run. A store that failed is asked again later; one that is closed has to be opened again."""
        if self._paused:
            return LinkReport(None, "the link is paused"), self._interval_s
        try:
            return await self._run(runner, asked)
        except StoreClosedError:
            raise
        except TierfoldError as error:
            if isinstance(error, LinkFencedError):
                runner.lose_lease()
            if isinstance(error, ConfigError):
                self._refuse(error)
            self._fail(error)
            return LinkReport(None, str(error)), self._backoff_s()

    async def _run(self, runner: Runner, asked: bool) -> tuple[LinkReport, float]:
        started_s = anyio.current_time()
        self._elsewhere = not await runner.hold()
        self.connected.set()
        if self._elsewhere:
            report = await self._compare_elsewhere(runner, asked)
            if self._elsewhere:
                return replace(report, duration_s=anyio.current_time() - started_s), min(self._interval_s, LEASE_S)
        done = await runner.run()
        report = _public(done, anyio.current_time() - started_s)
        self._error, self._last, self._failures = report.error, report, 0
        return report, self._rest_after(done)

    def _rest_after(self, done: RunReport) -> float:
        """What could not be had, or was written meanwhile, is soon looked for again; the rest of the link went on."""
        if done.failed:
            return min(_BUSY_S, self._interval_s)
        if done.verified is None and not done.deferred and not done.bad:
            return _GAP_S if done.moved else min(_BUSY_S, self._interval_s)
        return self._interval_s

    async def _compare_elsewhere(self, runner: Runner, asked: bool) -> LinkReport:
        """Another process runs the link: watch it until both sides hold the same, if somebody asked, or it lets go."""
        self._error, self._failures = None, 0
        with anyio.move_on_after(ELSEWHERE_S if asked else 0):
            while self._elsewhere:
                if await runner.is_equal():
                    return LinkReport(True)
                await anyio.sleep(_POLL_S)
                self._elsewhere = not await runner.hold()
        return LinkReport(None, _ELSEWHERE)

    def _fail(self, error: TierfoldError) -> None:
        self._failures += 1
        if self._error != str(error):
            _log.warning("link %s: %s", self.name, error)
        self._error = str(error)
        self.connected.set()
        self.attempted.set()

    def _refuse(self, error: ConfigError) -> None:
        """These two tiers cannot be linked, or the farther one not be opened as it is written; opening says so."""
        if not self.connected.is_set():
            self.refusal = error

    def _backoff_s(self) -> float:
        """Full jitter: anything up to the doubled limit, so that many clients do not come back together."""
        limit_s = min(_BACKOFF_LAST_S, _BACKOFF_FIRST_S * 2.0 ** min(self._failures, 16))
        drawn = int.from_bytes(self._services.context.random_bytes(4), "big") / 2**32
        return limit_s * drawn

    async def _rest(self, rest_s: float) -> None:
        """Wait for the next reason to run. After a failure, new writes are no reason to hurry; a request is."""
        earliest_s = anyio.current_time() + _GAP_S
        with anyio.move_on_after(rest_s):
            while not self._requests and not self._hurry:
                await self._wake.wait()
                if not self._failures:
                    await self._until(earliest_s)
                    break
        self._hurry = False

    async def _until(self, earliest_s: float) -> None:
        """Let commits gather, unless somebody waits for a run."""
        with anyio.move_on_after(earliest_s - anyio.current_time()):
            while not self._requests and not self._hurry:
                await self._wake.wait()

    def _answer(self, report: LinkReport) -> None:
        asked, self._requests = self._requests, []
        for request in asked:
            request.answer(report)


def _public(done: RunReport, duration_s: float) -> LinkReport:
    failed = "; ".join(f"{name}: {reason}" for name, reason in done.failed.items())
    return LinkReport(
        None if done.failed and done.verified else done.verified,  # what was left out was not compared
        failed or None,
        done.pulled,
        done.pushed,
        done.conflicts,
        done.record_bytes,
        duration_s,
        tuple(done.deferred),
        tuple(done.bad),
    )
