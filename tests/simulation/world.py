"""A world of tiers: performs every request with the oracle watching, and can bring all tiers into agreement again."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import suppress
from random import Random
from typing import Any, Final

from tests.simulation.oracle import BrokenPromiseError, Oracle
from tests.simulation.tier import Moment, Tier, drive
from tests.simulation.wire import Request, Run

from tierfold.abc.syncable import Offer, Registered, Registration, Settlement
from tierfold.clock import DAY_MS
from tierfold.codec import encode
from tierfold.errors import PartitionUnavailableError, StaleWriteError, StoreError
from tierfold.kv.store import KvStore
from tierfold.model import ABSENT, ANY, Digest, Record, SegmentName, Write
from tierfold.records.session import WriteSession

__all__ = ["HOUR_MS", "World", "segment_of"]

HOUR_MS: Final = 3_600_000
MIN_TTL_S: Final = 86_400
PEER_TTL_S: Final = 6 * 86_400
_MOVES_ROWS: Final = frozenset({"settle", "apply", "write_through", "evict", "collect"})
_ENDLESS: Final = 5_000


def segment_of(id: str) -> SegmentName:
    """Ids are ``<partition>.<letter>``; the letter n is of a second entity type."""
    partition, _, letter = id.partition(".")
    return SegmentName("Note" if letter == "n" else "Sensor", partition)


class World:
    """Stores in a tree, the runs between them, and what the oracle thinks of it.

    Args:
        parents: For each tier the number of its upstream, None for the root.
        volatile: Numbers of tiers that lose their rows in a crash.
        page_bytes: About two records fit into 200.

    Attributes:
        runs: Under way, each waiting for the answer to one request.
        late: Requests that may still arrive although nobody waits for their answers.
        commits: Of all stores, those of taking a lease left out.
    """

    def __init__(
        self, random: Random, parents: Sequence[int | None], *, volatile: Sequence[int] = (), page_bytes: int = 200
    ) -> None:
        self.random, self.page_bytes = random, page_bytes
        self.moment = Moment(10 * DAY_MS)
        self.oracle = Oracle()
        self.tiers: list[Tier] = []
        for number, parent in enumerate(parents):
            far = None if parent is None else self.tiers[parent]
            self.tiers.append(Tier(f"T{number}", far, number not in volatile, self.moment, random))
        self.runs: list[Run] = []
        self.late: list[Request] = []
        self.commits = 0
        self.trace: list[str] = []
        self._held: dict[Tier, dict[str, Record]] = {tier: {} for tier in self.tiers}
        self._ever_held: dict[Tier, set[bytes]] = {tier: set() for tier in self.tiers}
        self._sent_elsewhere: dict[Tier, set[bytes]] = {tier: set() for tier in self.tiers}
        self._restored: set[Tier] = set()
        self._logged = dict.fromkeys(self.tiers, 0)
        self._numbers = 0

    @property
    def nearer(self) -> list[Tier]:
        """The tiers that have an upstream, from the root outwards."""
        return [tier for tier in self.tiers if tier.far is not None]

    @property
    def longest_path(self) -> int:
        """How many links lie between the two tiers that are furthest apart."""
        ways = [set(_way_up(tier)) for tier in self.tiers]
        return max(len(one ^ other) for one in ways for other in ways)

    def log(self, what: str) -> None:
        self.trace.append(what)

    # --- requests ------------------------------------------------------------------------------------------------

    def perform(self, request: Request) -> Any:
        """Have a store answer, and judge what became of its rows."""
        tier, before = request.tier, request.tier.commits()
        if request.method == "attach":
            self._notice_another_upstream(tier, request.arguments[1])
        try:
            answer = self.respond(request)
        except StoreError as error:
            self.log(f"  {request}: {error}")
            raise
        moved = tier.commits() - before
        if moved:
            self.commits += moved if request.method != "lease" else 0
            self._judge(request)
        self._listen(request, answer)
        return answer

    def _notice_another_upstream(self, tier: Tier, upstream: bytes) -> None:
        """What a tier sent to its upstream before will be offered to the new one, whatever became of it there."""
        with tier.store.snapshot() as reading:
            link = reading.link
        if link is not None and link.upstream not in (b"", upstream):
            self.log(f"  another upstream of {tier.name}")
            self._sent_elsewhere[tier] |= {record.hash for record in tier.held().values()}

    def respond(self, request: Request) -> Any:
        """Have a store answer. Negative controls lie here."""
        return drive(getattr(request.store, request.method)(*request.arguments, **request.keywords))

    def _see(self, tier: Tier, rows: dict[str, Record]) -> None:
        self._held[tier] = rows
        self._ever_held[tier].update(record.hash for record in rows.values())

    def _judge(self, request: Request) -> None:
        """Compare the rows with those before the request."""
        tier, method = request.tier, request.method
        before, after = self._held[tier], tier.held()
        self._see(tier, after)
        changed = {id for id in before.keys() | after.keys() if before.get(id) != after.get(id)}
        for id in changed & after.keys():
            self.oracle.note(after[id])
        if changed and method not in _MOVES_ROWS:
            raise BrokenPromiseError("moved rows", f"{request} changed {sorted(changed)}")
        decided = set(self._judge_conflicts(request, after)) if method == "settle" else set()
        for id in sorted(changed):
            old, new = before.get(id), after.get(id)
            self.log(f"  {request} {id}: {self._name(old)} -> {self._name(new)}")
            if method in ("settle", "apply") and id not in decided and old is not None:
                self._judge_link(request, old, new)
            elif method == "collect" and old is not None:
                tier.buried[id] = old.hash
                upstreams = [each for each in _farther(tier) if each in self._restored]
                held = (record.hash for each in upstreams for record in each.held().values())
                self.oracle.excuse_if_restored(old.hash, held)
                self.oracle.seen["collected"] += 1

    def _judge_conflicts(self, request: Request, after: dict[str, Record]) -> Iterator[str]:
        """What the conflict log says of this settlement: ids."""
        tier = request.tier
        for number, entry in drive(request.store.conflict_log(self._logged[tier], 1_000)):
            self._logged[tier] = number
            id = entry.loser.id
            self.oracle.decided(entry, after[id].hash if id in after else None, f"{tier.name} {id}")
            self.log(f"  conflict at {tier.name}: {entry.rule}, {id} {self._name(entry.loser)} loses")
            yield id

    def _judge_link(self, request: Request, old: Record, new: Record | None) -> None:
        where = f"{request} {old.id}"
        if new is None:
            self.oracle.dropped(old.hash, where)
            return
        horizons = [self._horizon(tier, old.id) for tier in (request.tier, request.tier.far) if tier is not None]
        self.oracle.fast_forwarded(old.hash, new.hash, where, max(horizons))

    def _name(self, record: Record | None) -> str:
        if record is None:
            return "-"
        return self.oracle.name(record.hash) + ("x" if record.deleted else "")

    @staticmethod
    def _horizon(tier: Tier, id: str) -> int:
        with tier.store.snapshot() as reading:
            state = reading.find(segment_of(id))
            return state.row.horizon if state else 0

    def _listen(self, request: Request, answer: Any) -> None:
        """Notice in passing what excuses stores later, and what happened at all."""
        run = request.run
        if isinstance(answer, Registered) and run is not None:
            self._hear_open(run, request.arguments[0], answer)
        elif request.method == "settle" and run is not None:
            self._hear_settlement(run, *request.arguments[:2])
        elif request.method == "apply" and run is not None:
            for push in request.arguments[1]:
                if push.expected == ABSENT and push.record.hash in self._sent_elsewhere[run.near]:
                    self.oracle.excuse_deletes_of(push.record.hash)
        elif request.method == "mark_gone_back":
            self.oracle.seen["gone back"] += 1
            self.log(f"  {request}")

    def _hear_open(self, run: Run, told: Registration, answer: Registered) -> None:
        for name, segment in answer.segments.items():
            if not segment.known and name in told.segments and told.segments[name].seen is not None:
                run.unknown.add(name.partition)
                self.oracle.seen["history unknown"] += 1
                self.log(f"  {run.far.name} does not know the history of {run.near.name}")

    def _hear_settlement(self, run: Run, segment: SegmentName, settlement: Settlement) -> None:
        for step in settlement.steps:
            self.oracle.seen[type(step).__name__] += 1
            if isinstance(step, Offer) and segment.partition in run.unknown:
                self.oracle.excuse_deletes_of(step.expected)

    # --- runs ----------------------------------------------------------------------------------------------------

    def start(self, near: Tier, partition: str | None = None, process: KvStore | None = None) -> Run:
        """Begin a run; it waits for the answer to its first request."""
        self._numbers += 1
        self.log(f"run {near.name} {partition or ''}")
        return Run(near, process or near.store, self._numbers.to_bytes(8, "big"), self.page_bytes, partition)

    def start_beside(self, run: Run, partition: str) -> Run:
        """Begin a run of another partition under the same lease."""
        self.log(f"run {run.near.name} {partition} beside {run.partition}")
        return Run(run.near, run.process, run.holder, self.page_bytes, partition)

    def step(self, run: Run) -> None:
        """Answer what the run waits for."""
        request = run.request
        assert request is not None, "the run has ended"
        try:
            answer = self.perform(request)
        except StoreError as error:
            run.fail(error)
        else:
            run.answer(answer)

    def finish(self, near: Tier, partition: str | None = None) -> Run:
        """A whole run without faults. A farther tier that does not hold a partition brings it down first."""
        run = self.start(near, partition)
        for _ in range(_ENDLESS):
            if run.request is None:
                break
            self.step(run)
        else:
            raise BrokenPromiseError("endless", f"{near.name} {partition}")
        if run.refused is not None and run.far.far is not None:
            self.finish(run.far, run.refused)
            return self.finish(near, partition)
        self._check_verdict(run)
        return run

    def _check_verdict(self, run: Run) -> None:
        if run.report is not None and run.report.verified and run.partition is not None:
            near, far = (_live(tier, run.partition) for tier in (run.near, run.far))
            if near != far:
                raise BrokenPromiseError("verified, but not equal", f"{run.near.name} {run.partition}")

    def deliver_late(self, request: Request) -> None:
        """A request arrives after its sender gave up."""
        self.log(f"late {request}")
        with suppress(StoreError):
            self.perform(request)

    def cut_runs(self, tier: Tier) -> None:
        """End every run that a process of the tier runs or answers."""
        for run in [run for run in self.runs if tier in (run.near, run.far)]:
            run.cut()
            self.runs.remove(run)

    # --- what happens to stores ----------------------------------------------------------------------------------

    def crash(self, tier: Tier) -> None:
        self.log(f"crash {tier.name}")
        self.cut_runs(tier)
        tier.crash()
        self._look_again(tier)

    def restore(self, tier: Tier, *, in_place: bool) -> None:
        self.log(f"restore {tier.name} {'in place' if in_place else 'as a copy'}")
        self.cut_runs(tier)
        # No connection outlives the restore of a store, so nothing that was sent to it before arrives.
        self.late = [request for request in self.late if request.tier is not tier]
        tier.restore(in_place=in_place)
        self._restored.add(tier)
        self._look_again(tier)

    def _look_again(self, tier: Tier) -> None:
        """The rows may be other ones now; what nobody holds any more is nobody's fault."""
        self._see(tier, tier.held())
        self._logged[tier] = max((number for number, _ in drive(tier.store.conflict_log(0, 10_000))), default=0)
        horizons = {
            id: max((self._horizon(each, id) for each in _farther(tier)), default=0) for id in self.oracle.ids()
        }
        delivered: set[bytes] = set().union(*(self._ever_held[each] for each in _farther(tier)))
        self.oracle.excuse_lost(self._everywhere(), horizons, delivered)

    def _everywhere(self) -> list[Digest]:
        return [record.hash for tier in self.tiers for record in tier.held().values()]

    def damage(self, tier: Tier, id: str) -> None:
        """A row is gone for no reason."""
        self.log(f"damage {tier.name} {id}")
        drive(tier.store.run(_Forget(id)))
        self._held[tier] = tier.held()

    def evict(self, near: Tier, partition: str) -> Request | None:
        """Let a partition go if the farther side could give it back; what unregisters it then, if anything."""
        far, view = near.far, drive(near.store.view(partition))
        assert far is not None
        if not view.generation or view.presence != "present" or drive(far.store.presence(partition)) != "present":
            return None
        known = [(name, each) for name, state in view.states.items() for each in (state.pulled, state.seen) if each]
        if not all(drive(far.store.knows(name, position)) for name, position in known):
            return None
        self.log(f"evict {near.name} {partition}")
        generation = self.perform(Request(near, "evict", (partition,)))
        if generation is None:
            return None
        return Request(far, "unregister", (drive(near.store.identity()).store, partition, generation))

    def collect(self, tier: Tier, partition: str) -> None:
        self.log(f"collect {tier.name} {partition}")
        ages = {"min_ttl_s": MIN_TTL_S, "peer_ttl_s": PEER_TTL_S}
        with suppress(PartitionUnavailableError):
            self.perform(Request(tier, "collect", (partition,), keywords=ages))

    # --- what users do -------------------------------------------------------------------------------------------

    def save(
        self, tier: Tier, id: str, *, delete: bool = False, expected: Digest = ANY, process: KvStore | None = None
    ) -> Record | None:
        """A user's write; None when it was refused or there was nothing to delete."""
        self._numbers += 1
        payload = None if delete else encode({"n": self._numbers})
        known = self._known_deletes(tier, id)
        try:
            commit = drive((process or tier.store).write([Write(segment_of(id), id, payload, expected=expected)]))
        except StaleWriteError:
            return None
        record, replaced = commit.written[0].record, commit.written[0].replaced
        self._see(tier, tier.held())
        if record is None:
            return None
        if expected != ANY and replaced != expected:
            raise BrokenPromiseError("lost update", f"{tier.name} {id}")
        self.oracle.saved(record, replaced, tier.name, [] if replaced else known)
        self.log(f"save {tier.name} {id}: {self.oracle.name(replaced)} -> {self._name(record)}")
        return record

    def save_through(self, cache: Tier, id: str, *, delete: bool = False, expected: Digest = ANY) -> None:
        """A write to a volatile tier: it is stored in the tier behind, and copied."""
        assert cache.far is not None
        before = cache.far.held().get(id)
        record = self.save(cache.far, id, delete=delete, expected=expected)
        if record is not None:
            copied = [(record, before.hash if before else Digest(b""))]
            self.perform(Request(cache, "write_through", (segment_of(id), copied)))

    def _known_deletes(self, tier: Tier, id: str) -> list[bytes]:
        """Deletes that the tier may know of although it holds no row."""
        buried: list[bytes] = [tier.buried[id]] if id in tier.buried else []
        if drive(tier.store.presence(segment_of(id).partition)) == "present":
            buried += self.oracle.deletes_below(id, self._horizon(tier, id))
        return buried

    # --- healing -------------------------------------------------------------------------------------------------

    def heal(self, partitions: Sequence[str]) -> None:
        """Faults end. All tiers agree within as many rounds as the longest path has links, then all falls silent."""
        self._calm_down()
        self.log("--- heal")
        for tier in self.nearer:
            self._hold(tier, partitions)
        # What no feed names, such as what a restored store lost or what was forgotten of an expired peer, is found by
        # its roots; all partitions are looked at only when there is nothing else to do.
        self._rounds(self.longest_path * (3 if self._restored or len(partitions) > 1 else 1))
        if not self._agrees():
            self._rounds(4)
            raise BrokenPromiseError(
                "slow" if self._agrees() else "diverged", str([_live(tier) for tier in self.tiers])
            )
        # What was agreed on has yet to be told along the path: positions, acknowledgements, and horizons, which are
        # looked at only when there is nothing else to do.
        told = self._rounds(self.longest_path + 2)
        commits = self.commits
        silent = self._rounds(1)
        if any(run.report is None or run.report.moved for run in told) or not self._agrees():
            raise BrokenPromiseError("not quiescent", str([run.report for run in told]))
        if self.commits != commits or not all(run.report is not None and run.report.verified for run in silent):
            raise BrokenPromiseError(
                "not silent", f"{self.commits - commits} commits, {[run.report for run in silent]}"
            )
        for tier in self.tiers:
            tier.check_sums()
            tier.check_indexes()
        self.oracle.check_acknowledged(self._everywhere())

    def settle_down(self, partitions: Sequence[str], online: Sequence[Tier] | None = None) -> None:
        """Bring all tiers into agreement, or those that are online, without judging how fast."""
        for run in self.runs:
            run.cut()
        self.runs.clear()
        tiers = self.nearer if online is None else online
        for tier in tiers:
            tier.paused = False
            self._hold(tier, partitions)
        for _ in range(self.longest_path):
            for tier in tiers:
                self.finish(tier)

    def connect(self, near: Tier) -> None:
        """Let a tier learn which store its upstream is, as a layer does when it opens."""
        run = self.start(near)
        while run.request is not None and run.request.method != "scope_root":
            self.step(run)
        run.cut()

    def _hold(self, tier: Tier, partitions: Sequence[str]) -> None:
        self.connect(tier)
        for partition in partitions:
            view = drive(tier.store.view(partition))
            if view.presence != "present" or not view.generation:
                self.finish(tier, partition)

    def _calm_down(self) -> None:
        if self.random.random() < 0.5:
            for request in self.late:
                self.deliver_late(request)
        for run in self.runs:
            run.cut()
        self.late.clear()
        self.runs.clear()
        for tier in self.tiers:
            tier.offset_ms, tier.paused = 0, False
        self.moment.ms += 3 * HOUR_MS

    def _rounds(self, count: int) -> list[Run]:
        runs = []
        for _ in range(count):
            order = self.nearer
            self.random.shuffle(order)
            runs += [self.finish(tier) for tier in order]
        return runs

    def _agrees(self) -> bool:
        first, *others = [_live(tier) for tier in self.tiers]
        return all(other == first for other in others)


class _Forget:
    def __init__(self, id: str) -> None:
        self._id = id

    def check(self, session: WriteSession) -> None: ...

    def put(self, session: WriteSession) -> None:
        state = session.segment(segment_of(self._id))
        key = state.hasher.key(self._id.encode())
        row = session.row(state, key)
        assert row is not None
        session.remove(state, key, row)


def _way_up(tier: Tier | None) -> list[Tier]:
    return [] if tier is None or tier.far is None else [tier, *_way_up(tier.far)]


def _farther(tier: Tier) -> list[Tier]:
    """The upstream, its upstream and so on."""
    return [] if tier.far is None else [tier.far, *_farther(tier.far)]


def _live(tier: Tier, partition: str = "") -> dict[str, Digest]:
    return {id: each.hash for id, each in tier.held().items() if id.startswith(partition) and not each.deleted}
