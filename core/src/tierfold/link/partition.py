"""One run of a link over one partition: open, answer, hydrate or pull, push, verify. See core rule 6.

The run asks in this order because each step makes the next one safe: *open* closes batches that may still be under way
and tells whether either side went back in time; a lost answer is asked for before anything is decided on it; *pull*
before *push*, so that a conflict is decided here and pushed as a fast-forward; *verify* compares content, whatever the
positions say.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Awaitable, Callable, Iterable, Sequence
from typing import Final

from msgspec import Struct
from msgspec.structs import replace

from tierfold.abc.syncable import (
    Accept,
    Applied,
    LinkState,
    NearerStore,
    NearRow,
    NearView,
    PartitionMarks,
    PeerSegment,
    Push,
    PushOrigin,
    Registered,
    RegisteredSegment,
    Registration,
    SegmentRoots,
    Settlement,
    Step,
    SyncableStore,
    Take,
)
from tierfold.digest import Hasher, record_key
from tierfold.errors import CorruptDataError, PartitionUnavailableError
from tierfold.link.decide import Decision, Situation, bury_stranger, decide, is_stranger
from tierfold.link.descent import differing_keys
from tierfold.link.equal import Held, equal_roots
from tierfold.link.report import RunReport
from tierfold.model import Position, Record, SegmentName, StoreId
from tierfold.records.positions import BEGINNING
from tierfold.specs import ResolverSpec

__all__ = ["PartitionRun", "Terms"]

_PUSH_ROUNDS: Final = 3
"""How often the changelog's tail is read again for what was decided, or written, while it was pushed."""
_TRIES: Final = 3
"""How often one row is offered in a run."""
_ROWS_AT_ONCE: Final = 1_000


class Terms(Struct, frozen=True):
    """What a run is done under.

    Attributes:
        link: Name of the link; ``peer`` the nearer store's id at the farther one.
        token: Fencing token of the link lease.
        lease_s: Peer lease of a volatile nearer store; None for a durable one.
        page_bytes: How much one page or batch carries, roughly.
        refused: Entity types whose declarations disagree; their segments are left alone.
        renew: Awaited before every settlement, so that a long run keeps its lease; raises when that is lost.
    """

    link: str
    peer: StoreId
    token: int
    lease_s: int | None
    page_bytes: int
    now_ms: Callable[[], int]
    resolver: Callable[[str], ResolverSpec]
    refused: frozenset[str]
    hasher: Callable[[str], Hasher]
    renew: Callable[[], Awaitable[None]]


class _Segment:
    """A segment within a run: its link state as stored, and what is known of both sides."""

    def __init__(self, name: SegmentName, view: NearView, answer: RegisteredSegment) -> None:
        self.name = name
        self.state = view.states.get(name, LinkState())
        self.known = answer.known
        self.far = answer.roots
        self.far_at = answer.roots.position
        self.horizon = answer.roots.horizon
        self.own_at = view.roots[name].position if name in view.roots else BEGINNING
        self.settled: set[bytes] = set()
        self.held: dict[bytes, Held] = {}
        self.bad: set[bytes] = set()
        self.refused: Counter[bytes] = Counter()


class PartitionRun:
    """Brings one partition of two stores into agreement. Use once.

    Args:
        insist: Look for what differs even while others write: they have for so long that a loss could hide behind them.
    """

    def __init__(
        self, near: NearerStore, far: SyncableStore, partition: str, terms: Terms, *, insist: bool = False
    ) -> None:
        self._near, self._far, self._partition, self._terms = near, far, partition, terms
        self._insist = insist
        self._segments: dict[SegmentName, _Segment] = {}
        self._restored = False
        self._generation = 0
        self.report: RunReport = RunReport(partitions=1)

    async def run(self) -> RunReport:
        """Do everything the partition needs.

        Raises:
            PartitionUnavailableError: The farther side does not hold the partition now.
            LinkFencedError: Another process runs the link.
        """
        view = await self._near.view(self._partition)
        hydrate = view.presence != "present"
        await self._open(view, hydrate)
        if hydrate:
            await self._hydrate()
        elif await self._is_equal_already():
            return self.report
        for segment in list(self._segments.values()):
            await self._pull(segment)
            await self._push(segment)
        await self._verify()
        return self.report

    # --- open ----------------------------------------------------------------------------------------------------

    async def _open(self, view: NearView, hydrate: bool) -> None:
        self._generation = view.generation
        if hydrate and not self._can_resume(view):
            await self._begin_generation(self._generation + 1)
        answer = await self._register(view)
        if answer.generation > self._generation:
            # This store was restored from before a later hydration, whose registration would refuse all it sends.
            await self._begin_generation(answer.generation + 1)
            answer = await self._register(view)
        self._restored = view.gone_back or await self._notice_going_back(view, answer)
        for name, far in answer.segments.items():
            segment = self._segments[name] = _Segment(name, view, far)
            segment.known |= segment.state.pulled is None and segment.state.seen is None
            await self._answer_outstanding(segment, far)

    async def _begin_generation(self, generation: int) -> None:
        self._generation = generation
        marks = PartitionMarks(generation=generation)
        await self._near.mark_partition(self._partition, marks, self._terms.token)

    @staticmethod
    def _can_resume(view: NearView) -> bool:
        return view.generation > 0 and any(state.resume is not None for state in view.states.values())

    async def _register(self, view: NearView) -> Registered:
        told = {
            name: PeerSegment(state.pulled, state.seen, view.roots[name].position, state.batch)
            for name, state in view.states.items()
            if name.type not in self._terms.refused
        }
        terms = self._terms
        answer = await self._far.register(
            Registration(terms.peer, self._partition, self._generation, told, terms.lease_s)
        )
        accepted = {name: far for name, far in answer.segments.items() if name.type not in terms.refused}
        return Registered(accepted, answer.generation)

    async def _notice_going_back(self, view: NearView, answer: Registered) -> bool:
        """The farther side remembers of us what we do not know: this store was restored from a backup."""
        for name, far in answer.segments.items():
            batch = view.states[name].batch if name in view.states else 0
            forgotten = far.remembered is not None and not await self._near.remembers(far.remembered)
            if forgotten or far.batch > batch:
                await self._near.mark_gone_back(self._terms.token)
                return True
        return False

    async def _answer_outstanding(self, segment: _Segment, far: RegisteredSegment) -> None:
        """Act on the answer to a batch whose first answer was lost, and on unknown history.

        What was accepted is noted together with a position that only a store that has accepted it knows.
        """
        state = segment.state
        accepted = set(far.accepted or ()) if not self._restored else set()
        steps = tuple(Accept(key, hash, deleted) for key, hash, deleted in state.outstanding if key in accepted)
        raise_floor = not segment.known and state.pulled is not None
        seen = far.roots.position if steps else state.seen
        segment.state = replace(state, seen=seen, batch=max(state.batch, far.batch), outstanding=())
        if segment.state != state or raise_floor:
            await self._settle(segment, Settlement(steps, segment.state, raise_floor=raise_floor))

    # --- deciding ------------------------------------------------------------------------------------------------

    def _situation(self, segment: _Segment) -> Situation:
        resolver = self._terms.resolver(segment.name.type)
        return Situation(
            self._terms.link,
            self._terms.now_ms(),
            segment.known,
            self._restored,
            segment.horizon,
            resolver.name,
            resolver.resolve,
        )

    async def _settle(self, segment: _Segment, settlement: Settlement) -> tuple[bytes, ...]:
        await self._terms.renew()
        settled = await self._near.settle(segment.name, settlement, self._terms.token)
        segment.own_at = settled.position
        return settled.refused

    async def _decide_all(
        self,
        segment: _Segment,
        found: dict[bytes, Record | None],
        asked_at: Position,
        state: LinkState,
        *,
        hydrating: bool = False,
        extra: Sequence[Step] = (),
    ) -> None:
        """Decide records and carry it out together with the link state.

        A row that changed while it was decided is decided again; the link state goes with the first settlement.
        """
        at = self._situation(segment)
        settlement = Settlement(tuple(extra), state, hydrating=hydrating)
        while True:
            answer = await self._near.near_rows(segment.name, list(found), asked_at)
            self._leave_out(segment, answer.damaged, "nearer")
            found = {key: record for key, record in found.items() if key not in answer.damaged}
            near = {row.key: row for row in answer.rows}
            decisions = {key: decide(near.get(key), record, at, key) for key, record in found.items()}
            raises = hydrating or any(d.raises_horizon for d in decisions.values())
            steps = (*settlement.steps, *[d.step for d in decisions.values() if d.step is not None])
            conflicts = tuple((key, d.conflict) for key, d in decisions.items() if d.conflict)
            if not steps and settlement.state is None:
                return
            horizon = segment.horizon if raises else 0
            refused = await self._settle(
                segment, replace(settlement, steps=steps, conflicts=conflicts, horizon=horizon)
            )
            self._count(segment, decisions, refused)
            segment.state = state
            found = {key: found[key] for key in refused}
            if not found:
                return
            settlement = Settlement(hydrating=hydrating)

    def _count(self, segment: _Segment, decisions: dict[bytes, Decision], refused: Iterable[bytes]) -> None:
        stays = set(refused)
        done = {key: decision for key, decision in decisions.items() if key not in stays}
        self.report.pulled += sum([type(decision.step) is Take for decision in done.values()])
        self.report.conflicts += sum([decision.conflict is not None for decision in done.values()])
        segment.settled.update(key for key, decision in done.items() if decision.settled)

    # --- hydrate and pull ----------------------------------------------------------------------------------------

    async def _hydrate(self) -> None:
        """Bring every segment down in key order, and what changed meanwhile; only then the partition can be read."""
        for segment in self._segments.values():
            await self._hydrate_segment(segment)
            await self._read_changes(segment)
        marks = PartitionMarks(presence="present")
        await self._near.mark_partition(self._partition, marks, self._terms.token)
        self.report.hydrated += 1

    def _leave_out(self, segment: _Segment, damaged: Iterable[bytes], side: str) -> None:
        """Rows that fail their checksum are reported, and the rest goes on; the segment is not verified with them."""
        for key in damaged:
            if key not in segment.bad:
                segment.bad.add(key)
                self.report.bad.append((segment.name.type, key.hex(), f"its row in the {side} store is damaged"))

    async def _hydrate_segment(self, segment: _Segment) -> None:
        begun, after = segment.state.resume or (segment.far.position, b"")
        more = True
        while more:
            asked_at = segment.own_at
            page = await self._far.snapshot_page(segment.name, after, self._terms.page_bytes)
            if page.damaged:
                # Once the partition is present, what is not in it is known not to exist.
                raise CorruptDataError(f"{segment.name.type} {page.damaged[0].hex()} is damaged in the farther store")
            after, more = page.after, page.more
            state = replace(segment.state, seen=page.position, resume=(begun, after))
            if not more:
                state = replace(state, pulled=begun, resume=None)
            await self._take(segment, page.records, asked_at, state, hydrating=True)

    async def _take(
        self, segment: _Segment, records: Sequence[Record], asked_at: Position, state: LinkState, *, hydrating: bool
    ) -> None:
        hasher = self._terms.hasher
        found: dict[bytes, Record | None] = {record_key(record, hasher): record for record in records}
        self.report.carry(records)
        await self._decide_all(segment, found, asked_at, state, hydrating=hydrating)

    async def _pull(self, segment: _Segment) -> None:
        """Read what changed at the farther side since the last time; compare all where its history is unknown."""
        if not segment.known:
            await self._descend(segment, segment.far, learn=True)
            return
        if (segment.state.pulled != segment.far.position or self._restored) and not self.report.hydrated:
            await self._read_changes(segment)

    async def _read_changes(self, segment: _Segment) -> None:
        echo = None if self._restored else self._terms.peer
        more = True
        while more:
            asked_at = await self._own_position(segment)
            page = await self._far.changes(segment.name, segment.state.pulled, self._terms.page_bytes, echo)
            self._leave_out(segment, page.damaged, "farther")
            more = page.more
            segment.far_at = page.position
            # A page ends at a position that may be older than what was seen; only the last one is the newest of all.
            seen = segment.state.seen if more else page.position
            state = replace(segment.state, pulled=page.position, seen=seen)
            if page.records:
                await self._take(segment, page.records, asked_at, state, hydrating=False)
            segment.state = state

    async def _own_position(self, segment: _Segment) -> Position:
        return (await self._near.near_rows(segment.name, (), BEGINNING)).position

    async def _descend(self, segment: _Segment, theirs: SegmentRoots, *, learn: bool) -> None:
        """Compare digests and decide every record that differs. ``learn``: afterwards the farther history is known.

        Whether a missing record was deleted is judged by the horizon read together with its absence: the farther side
        may have dropped it in the middle of this run.
        """
        self.report.descended += 1
        own = (await self._near.view(self._partition)).roots.get(segment.name, SegmentRoots(BEGINNING))
        found = await differing_keys(self._near, self._far, segment.name, own, theirs)
        segment.horizon = max(segment.horizon, found.horizon)
        segment.far_at = found.position
        for start in range(0, len(found.keys), _ROWS_AT_ONCE):
            asked_at = await self._own_position(segment)
            some = found.keys[start : start + _ROWS_AT_ONCE]
            rows = await self._far.rows(segment.name, some)
            self._leave_out(segment, rows.damaged, "farther")
            self.report.carry(rows.records.values())
            segment.far_at = rows.position
            state = replace(segment.state, seen=rows.position)
            there = {key: rows.records.get(key) for key in some if key not in rows.damaged}
            await self._decide_all(segment, there, asked_at, state)
        if learn:
            segment.known = True
            segment.state = replace(segment.state, pulled=theirs.position, seen=segment.far_at)
            await self._settle(segment, Settlement(state=segment.state))

    # --- push ----------------------------------------------------------------------------------------------------

    async def _push(self, segment: _Segment) -> None:
        """Deliver dirty rows in commit order. What is refused is decided and pushed again, a few times."""
        for _ in range(_PUSH_ROUNDS):
            until = await self._own_position(segment)
            refusals = 0
            while True:
                given_up = (key for key, times in segment.refused.items() if times >= _TRIES)
                skip = frozenset((*segment.held, *segment.bad, *given_up))
                found = await self._near.dirty_rows(segment.name, self._terms.page_bytes, until, skip)
                self._leave_out(segment, found.damaged, "nearer")
                if not found.rows:
                    break
                rows = await self._without_strangers(segment, found.rows)
                refusals += await self._send(segment, rows) if rows else 0
            if not refusals and until == await self._own_position(segment):
                return

    async def _without_strangers(self, segment: _Segment, rows: Sequence[NearRow]) -> tuple[NearRow, ...]:
        if not self._restored:
            return tuple(rows)
        at = self._situation(segment)
        strangers = [row for row in rows if row.key not in segment.settled and is_stranger(row, at)]
        decisions = {row.key: bury_stranger(row, at) for row in strangers}
        if decisions:
            steps = tuple(decision.step for decision in decisions.values() if decision.step is not None)
            conflicts = tuple((key, d.conflict) for key, d in decisions.items() if d.conflict)
            refused = await self._settle(segment, Settlement(steps, segment.state, conflicts=conflicts))
            self._count(segment, decisions, refused)
        return tuple(row for row in rows if row.key not in decisions)

    async def _send(self, segment: _Segment, rows: Sequence[NearRow]) -> int:
        """Send one batch, numbered and noted durably before it leaves. Returns how many rows were refused."""
        number = segment.state.batch + 1
        sent = tuple((row.key, row.record.hash, row.record.deleted) for row in rows)
        segment.state = replace(segment.state, batch=number, outstanding=sent)
        await self._settle(segment, Settlement(state=segment.state))
        asked_at = segment.own_at
        pushes = [Push(row.record, row.base, row.base_deleted) for row in rows]
        self.report.carry([push.record for push in pushes])
        origin = PushOrigin(self._terms.peer, self._generation, number, asked_at)
        applied = await self._far.apply(segment.name, pushes, origin)
        if applied.closed:
            raise PartitionUnavailableError(self._partition, "the farther side closed this run's batches")
        await self._settle_answer(segment, rows, applied, asked_at)
        return len(applied.refused)

    async def _settle_answer(
        self, segment: _Segment, rows: Sequence[NearRow], applied: Applied, asked_at: Position
    ) -> None:
        by_key = {row.key: row for row in rows}
        accepted = [_accept(by_key[key]) for key in applied.accepted if key in by_key]
        for key, (_, current) in applied.deferred.items():
            segment.held[key] = Held(by_key[key].record, current)
            self.report.deferred.append((segment.name.type, by_key[key].record.id))
        for key, reason in applied.bad.items():
            segment.bad.add(key)
            self.report.bad.append((segment.name.type, by_key[key].record.id, reason))
        self.report.carry([current for current in applied.refused.values() if current is not None])
        segment.refused.update(applied.refused.keys())
        self.report.pushed += len(accepted)
        segment.far_at = applied.position
        state = replace(segment.state, outstanding=(), seen=applied.position)
        await self._decide_all(segment, dict(applied.refused), asked_at, state, extra=accepted)

    # --- verify --------------------------------------------------------------------------------------------------

    async def _is_equal_already(self) -> bool:
        """Whether the open's answer shows that there is nothing to do."""
        view = await self._near.view(self._partition)
        if view.dirty or not all(self._equal(segment, view, segment.far) for segment in self._segments.values()):
            return False
        for segment in self._segments.values():
            await self._agree(segment, view, segment.far)
        await self._clear_mark()
        return True

    async def _verify(self) -> None:
        """Compare content; on a difference that nobody's present writing explains, descend and compare again.

        To descend while others write is safe, for the records it finds are decided like any other, and finds some that
        were written only now.
        """
        unequal, busy = await self._compare()
        if unequal and (not busy or self._insist):
            for segment, theirs in unequal:
                await self._descend(segment, theirs, learn=False)
                await self._push(segment)
            unequal, busy = await self._compare()
        held = any(segment.held for segment in self._segments.values())
        if busy or (held and not unequal):
            self.report.verified = None
        elif unequal:
            self.report.verified = False
        else:
            await self._clear_mark()

    async def _compare(self) -> tuple[list[tuple[_Segment, SegmentRoots]], bool]:
        """Agree on the equal segments; return the others, and whether someone else is writing.

        Rows to deliver that were not held back came after the last look at the changelog's tail.
        """
        roots = (await self._far.roots(self._partition)).segments
        view = await self._near.view(self._partition)
        unequal: list[tuple[_Segment, SegmentRoots]] = []
        names = {name for name in (*roots, *view.roots) if name.type not in self._terms.refused}
        busy = not names <= self._segments.keys()
        for segment in self._segments.values():
            theirs = roots.get(segment.name, SegmentRoots(BEGINNING))
            if self._equal(segment, view, theirs):
                await self._agree(segment, view, theirs)
            else:
                unequal.append((segment, theirs))
                own_at = view.roots[segment.name].position if segment.name in view.roots else BEGINNING
                waiting = segment.name in view.dirty and not (segment.held or segment.bad)
                busy |= waiting or theirs.position != segment.far_at or own_at != segment.own_at
        return unequal, busy

    @staticmethod
    def _equal(segment: _Segment, view: NearView, theirs: SegmentRoots) -> bool:
        own = view.roots.get(segment.name, SegmentRoots(BEGINNING))
        return not segment.bad and equal_roots(own, theirs, segment.held.values())

    async def _agree(self, segment: _Segment, view: NearView, theirs: SegmentRoots) -> None:
        """Both sides hold the same: note it here, then tell the farther side, which waits for it to collect."""
        own_at = view.roots[segment.name].position if segment.name in view.roots else BEGINNING
        state = replace(
            segment.state,
            pulled=theirs.position,
            seen=theirs.position,
            outstanding=(),
            far_horizon=max(segment.state.far_horizon, theirs.horizon),
        )
        if state != view.states.get(segment.name) or segment.name in view.dirty:
            settlement = Settlement(
                state=state, verified_at=own_at, keep_dirty=frozenset(segment.held), horizon=theirs.horizon
            )
            await self._settle(segment, settlement)
        segment.state = state
        await self._far.acknowledge(self._terms.peer, self._generation, segment.name, theirs.position, own_at)

    async def _clear_mark(self) -> None:
        if self._restored:
            await self._near.mark_partition(self._partition, PartitionMarks(gone_back=False), self._terms.token)


def _accept(row: NearRow) -> Accept:
    return Accept(row.key, row.record.hash, row.record.deleted, row.seq)
