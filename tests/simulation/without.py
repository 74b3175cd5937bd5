"""Each rule of the links switched off: by a lie to a store or to a run, or by a naive decision in place of ours."""

from __future__ import annotations

from collections.abc import Callable
from itertools import count
from typing import Any, Final

import pytest
from msgspec.structs import replace
from tests.simulation.tier import drive
from tests.simulation.wire import Request
from tests.simulation.world import World

import tierfold.link.partition as running
from tierfold.abc.syncable import (
    Accept,
    Applied,
    Bury,
    Drop,
    NearRow,
    Registered,
    RegisteredSegment,
    Registration,
    SegmentRoots,
    Settlement,
    Step,
    Take,
)
from tierfold.clock import DAY_MS, latest_stamp
from tierfold.digest import Hasher
from tierfold.layout import PEER_ROWS, RegistrationRow
from tierfold.link.decide import Decision, Situation, decide
from tierfold.model import Record
from tierfold.records import applying, keeping, settling
from tierfold.records.keeping import CollectUnit
from tierfold.records.session import WriteSession
from tierfold.records.snapshot import SegmentState, Snapshot

__all__ = ["WITHOUT", "Off"]

Off = Callable[[pytest.MonkeyPatch], None]
Ask = Callable[[Request], Any]
Lie = Callable[[Request, Ask], Any]
_HONEST: Final = World.respond


def lying(method: str, lie: Lie) -> Off:
    """Every request of one kind (``*`` = of any) is answered by a liar, who may ask the store."""

    def respond(world: World, request: Request) -> Any:
        def ask(asked: Request) -> Any:
            return _HONEST(world, asked)

        return lie(request, ask) if method in ("*", request.method) else ask(request)

    return lambda patch: patch.setattr(World, "respond", respond)


def naive(target: object, name: str, function: Any) -> Off:
    """A function of ours is replaced by one that knows less."""
    return lambda patch: patch.setattr(target, name, function)


# --- lies about opens --------------------------------------------------------------------------------------------


def _of_every_segment(change: Callable[[RegisteredSegment], RegisteredSegment]) -> Lie:
    def lie(request: Request, ask: Ask) -> Registered:
        answer: Registered = ask(request)
        return replace(answer, segments={name: change(segment) for name, segment in answer.segments.items()})

    return lie


def _seen_is_not_told(request: Request, ask: Ask) -> Any:
    told: Registration = request.arguments[0]
    segments = {name: replace(each, seen=None) for name, each in told.segments.items()}
    return ask(request.replaced(0, replace(told, segments=segments)))


def _nothing_is_remembered(request: Request, ask: Ask) -> Registered:
    told: Registration = request.arguments[0]
    answer: Registered = ask(request)
    segments = {
        name: replace(each, remembered=None, batch=told.segments[name].batch if name in told.segments else 0)
        for name, each in answer.segments.items()
    }
    return replace(answer, segments=segments)


def _floors_are_forgetting(request: Request, ask: Ask) -> bool:
    (position,) = request.arguments
    return all(
        ask(Request(request.tier, "knows", (name, position), request.run)) for name in request.tier.store.segments()
    )


def _own_rows_are_left_out(request: Request, ask: Ask) -> Any:
    assert request.run is not None
    return ask(request.replaced(3, drive(request.run.process.identity()).store))


# --- lies about batches ------------------------------------------------------------------------------------------

_unheard_of = count(1_000_000)


def _numbers_do_not_count(request: Request, ask: Ask) -> Any:
    return ask(request.replaced(2, replace(request.arguments[2], batch=next(_unheard_of))))


def _deferred_is_accepted(request: Request, ask: Ask) -> Applied:
    applied: Applied = ask(request)
    return replace(applied, accepted=(*applied.accepted, *applied.deferred), deferred={})


def _a_tombstone_is_not_absence(request: Request, ask: Ask) -> Any:
    return ask(request.replaced(1, [replace(push, or_absent=False) for push in request.arguments[1]]))


# --- lies about transactions of the nearer store -----------------------------------------------------------------


def _settling(change: Callable[[Request, Settlement], Settlement]) -> Off:
    return lying("settle", lambda request, ask: ask(request.replaced(1, change(request, request.arguments[1]))))


def _held_now(request: Request) -> dict[bytes, Record]:
    key = Hasher(request.arguments[0].type).key
    return {key(id.encode()): record for id, record in request.tier.held().items()}


def _whatever_is_there_is_acknowledged(request: Request, asked: Settlement) -> Settlement:
    now = _held_now(request)
    steps = [replace(s, hash=now[s.key].hash) if isinstance(s, Accept) else s for s in asked.steps]
    return replace(asked, steps=tuple(steps))


def _what_changed_meanwhile_is_not_acknowledged(request: Request, asked: Settlement) -> Settlement:
    now = _held_now(request)
    steps = [s for s in asked.steps if not isinstance(s, Accept) or now[s.key].hash == s.hash]
    return replace(asked, steps=tuple(steps))


def _nothing_is_buried(_: Request, asked: Settlement) -> Settlement:
    steps: list[Step] = [Drop(s.key, s.expected) if isinstance(s, Bury) else s for s in asked.steps]
    return replace(asked, steps=tuple(steps))


def _hydration_leaves_the_horizon(_: Request, asked: Settlement) -> Settlement:
    return replace(asked, horizon=0) if asked.hydrating else asked


# --- naive decisions ---------------------------------------------------------------------------------------------

Near = NearRow | None
Far = Record | None


def _deciding(decision: Callable[[Near, Far, Situation, bytes], Decision]) -> Off:
    return naive(running, "decide", decision)


def _what_is_missing_was_deleted(near: Near, far: Far, at: Situation, key: bytes) -> Decision:
    return decide(near, far, replace(at, horizon=10**6), key)


def _what_is_missing_is_offered(near: Near, far: Far, at: Situation, key: bytes) -> Decision:
    return decide(near, far, replace(at, horizon=0), key)


def _nobody_else_is_told_of_drops(near: Near, far: Far, at: Situation, key: bytes) -> Decision:
    return replace(decide(near, far, at, key), raises_horizon=False)


def _a_page_is_always_news(near: Near, far: Far, at: Situation, key: bytes) -> Decision:
    return decide(None if near is None else replace(near, newer=False), far, at, key)


def _the_newer_stamp_wins(near: Near, far: Far, at: Situation, key: bytes) -> Decision:
    if near is None or far is None or near.record.hash == far.hash:
        return decide(near, far, at, key)
    return Decision(Take(far, near.record.hash, key)) if far.stamp > near.record.stamp else Decision()


def _whatever_comes_is_taken(near: Near, far: Far, at: Situation, key: bytes) -> Decision:
    return decide(near, far, at, key) if near is None or far is None else Decision(Take(far, near.record.hash, key))


# --- naive stores ------------------------------------------------------------------------------------------------


def _presence_is_checked_once(request: Request, ask: Ask) -> Any:
    with pytest.MonkeyPatch.context() as patch:
        if request.method != "register":
            patch.setattr(Snapshot, "require_present", lambda *_: None)
        return ask(request)


def _another_upstream_is_nobodys_business(request: Request, ask: Ask) -> Any:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(WriteSession, "raise_floor", lambda *_: None)
        return ask(request)


def _any_registration_is_meant(request: Request, ask: Ask) -> None:
    for generation in range(10):
        ask(request.replaced(2, generation))


def _dirty_tombstones_are_collected(request: Request, ask: Ask) -> Any:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(WriteSession, "is_dirty", lambda *_: False)
        return ask(request)


def _acknowledged_ever(session: WriteSession, peer: bytes, _: RegistrationRow, state: SegmentState) -> int:
    row = PEER_ROWS.get(session.txn, peer + state.number)
    return row.acknowledged if row else -1


def _is_old(unit: CollectUnit, session: WriteSession, _: SegmentState, day: int) -> bool:
    return (day + 1) * DAY_MS + unit._min_ttl_ms <= session.opened.wall_ms()


def _equal_live_sums(own: SegmentRoots, theirs: SegmentRoots, _: object) -> bool:
    return own.live == theirs.live


WITHOUT: Final[dict[str, Off]] = {
    "seen": lying("register", _seen_is_not_told),
    "unknown history": lying("register", _of_every_segment(lambda each: replace(each, known=True))),
    "raised floors": _settling(lambda _, asked: replace(asked, raise_floor=False)),
    "raised floors under another upstream": lying("attach", _another_upstream_is_nobodys_business),
    "what is remembered of peers": lying("register", _nothing_is_remembered),
    "marking a copy": naive(keeping, "mark_all_gone_back", lambda _: None),
    "telling floors from going back": lying("remembers", _floors_are_forgetting),
    "own rows after going back": lying("changes", _own_rows_are_left_out),
    "newer generations": lying("register", lambda request, ask: replace(ask(request), generation=0)),
    "kept answers": lying("register", _of_every_segment(lambda each: replace(each, accepted=None))),
    "batch numbers": lying("apply", _numbers_do_not_count),
    "acknowledgement by hash": _settling(_whatever_is_there_is_acknowledged),
    "acknowledged bases": _settling(_what_changed_meanwhile_is_not_acknowledged),
    "deferring": lying("apply", _deferred_is_accepted),
    "the high-water of the clock": naive(applying, "latest_stamp", lambda wall, _: latest_stamp(wall, 0)),
    "absent base tombstones": lying("apply", _a_tombstone_is_not_absence),
    "fencing": naive(settling, "require_lease", lambda *_: None),
    "presence in every request": lying("*", _presence_is_checked_once),
    "pages that are too old": _deciding(_a_page_is_always_news),
    "conflicts by base": _deciding(_the_newer_stamp_wins),
    "merging hydration": _deciding(_whatever_comes_is_taken),
    "horizons": _deciding(_what_is_missing_is_offered),
    "dropping only below the horizon": _deciding(_what_is_missing_was_deleted),
    "drops that raise the horizon": _deciding(_nobody_else_is_told_of_drops),
    "hydration that raises the horizon": _settling(_hydration_leaves_the_horizon),
    "fresh tombstones": _settling(_nothing_is_buried),
    "acknowledgements of this registration": naive(keeping, "acknowledged_by", _acknowledged_ever),
    "unregistering by generation": lying("unregister", _any_registration_is_meant),
    "keeping dirty tombstones": lying("collect", _dirty_tombstones_are_collected),
    "collecting from the root outwards": naive(CollectUnit, "_is_old", _is_old),
    "absence below the horizon": naive(applying, "visible", lambda *_: True),
    "tombstone sums": naive(running, "equal_roots", _equal_live_sums),
}
