"""What a link decides about one record, for every combination of what both sides hold."""

from __future__ import annotations

from typing import Final

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from tierfold.abc.syncable import Accept, Bury, ConflictEntry, Drop, Keep, NearRow, Offer, Step, Take
from tierfold.clock import day_of
from tierfold.link.decide import Decision, Situation, bury_stranger, decide, is_stranger
from tierfold.model import ABSENT, Digest, Record
from tierfold.resolve import lww
from tierfold.testing.fakes import START_MS
from tierfold.testing.samples import foreign, key_of

KEY: Final = key_of("oslo.1")
OLD, NEW, BASE = foreign("oslo.1"), foreign("oslo.1", b"new", ms=START_MS + 1), foreign("oslo.1", b"base", ms=1)
GONE: Final = foreign("oslo.1", None, ms=START_MS + 1)
TODAY: Final = day_of(OLD.stamp)
KNOWN: Final = Situation("up", 5, True, False, 0, "lww", lww)
UNKNOWN: Final = replace(KNOWN, known=False)
RESTORED: Final = replace(KNOWN, restored=True)
ABOVE: Final = replace(KNOWN, horizon=TODAY + 1)
"""The farther side has forgotten the deletes of the records' day."""


def clean(record: Record = OLD, **more: bool) -> NearRow:
    return NearRow(KEY, record, False, ABSENT, False, more.get("from_upstream", True), more.get("newer", False))


def dirty(record: Record = OLD, base: Record | None = None, **more: bool) -> NearRow:
    known = (base.hash, base.deleted) if base else (ABSENT, False)
    return NearRow(KEY, record, True, *known, False, more.get("newer", False))


def conflict(winner: Record | None, loser: Record, base: Digest = ABSENT, rule: str = "lww") -> ConflictEntry:
    return ConflictEntry(rule, "up", winner, loser, base, 5)


# --- both sides have the record ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("near", "far", "step"),
    [
        pytest.param(None, OLD, Take(OLD, ABSENT, KEY), id="new-here"),
        pytest.param(None, GONE, Take(GONE, ABSENT, KEY), id="a-delete-of-what-is-not-here"),
        pytest.param(clean(), NEW, Take(NEW, OLD.hash, KEY), id="fast-forward"),
        pytest.param(clean(NEW), OLD, Take(OLD, NEW.hash, KEY), id="fast-forward-to-an-older-stamp"),
        pytest.param(clean(), GONE, Take(GONE, OLD.hash, KEY), id="deleted-there"),
        pytest.param(clean(), OLD, None, id="the-same"),
        pytest.param(dirty(), OLD, Accept(KEY, OLD.hash, False), id="written-here-and-held-there"),
        pytest.param(dirty(GONE), GONE, Accept(KEY, GONE.hash, True), id="deleted-on-both-sides-alike"),
        pytest.param(dirty(NEW, OLD), OLD, None, id="edited-here-on-top-of-what-is-there"),
        pytest.param(clean(newer=True), NEW, None, id="a-page-older-than-the-copy-in-the-cache"),
    ],
)
def test_one_side_changed(near: NearRow | None, far: Record, step: Step | None) -> None:
    assert decide(near, far, KNOWN, KEY) == Decision(step)


def test_a_conflict_that_the_farther_side_wins() -> None:
    taken = Take(NEW, OLD.hash, KEY)
    assert decide(dirty(OLD, BASE), NEW, KNOWN) == Decision(taken, conflict(NEW, OLD, BASE.hash), settled=True)


def test_a_conflict_that_the_own_row_wins_is_pushed_on_top_of_what_is_there() -> None:
    kept = Keep(KEY, NEW.hash, OLD.hash, False, touch=False)
    assert decide(dirty(NEW, BASE), OLD, KNOWN) == Decision(kept, conflict(NEW, OLD, BASE.hash), settled=True)


def test_a_conflict_over_a_delete_keeps_the_delete_as_base() -> None:
    late = foreign("oslo.1", b"late", ms=START_MS + 2)
    kept = Keep(KEY, late.hash, GONE.hash, True, touch=False)
    assert decide(dirty(late), GONE, KNOWN) == Decision(kept, conflict(late, GONE), settled=True)


def test_a_dirty_row_newer_than_the_page_is_decided_all_the_same() -> None:
    assert decide(dirty(NEW, newer=True), OLD, KNOWN).conflict is not None


def test_while_history_is_unknown_a_clean_row_counts_as_changed() -> None:
    kept = Keep(KEY, NEW.hash, OLD.hash, False, touch=True)
    lost = conflict(NEW, OLD, rule="restored")
    assert decide(clean(NEW), OLD, UNKNOWN) == Decision(kept, lost, settled=True)
    taken = Take(NEW, OLD.hash, KEY)
    assert decide(clean(OLD), NEW, UNKNOWN) == Decision(taken, conflict(NEW, OLD, rule="restored"), settled=True)


@pytest.mark.parametrize("at", [UNKNOWN, RESTORED])
def test_conflicts_after_a_restore_are_logged_as_that(at: Situation) -> None:
    decision = decide(dirty(NEW, BASE), OLD, at)
    assert decision.conflict == conflict(NEW, OLD, BASE.hash, "restored")


# --- the farther side has none -----------------------------------------------------------------------------------


def test_missing_on_both_sides_is_nothing() -> None:
    assert decide(None, None, KNOWN) == Decision()


@pytest.mark.parametrize(
    ("near", "at", "decision"),
    [
        pytest.param(clean(), ABOVE, Decision(Drop(KEY, OLD.hash), raises_horizon=True), id="deleted-and-forgotten"),
        pytest.param(clean(), KNOWN, Decision(Offer(KEY, OLD.hash), settled=True), id="lost-there"),
        pytest.param(
            clean(), replace(ABOVE, known=False), Decision(Offer(KEY, OLD.hash), settled=True), id="perhaps-forgotten"
        ),
        pytest.param(
            dirty(NEW, OLD),
            KNOWN,
            Decision(Bury(KEY, NEW.hash), conflict(None, NEW, OLD.hash, "deleted-upstream"), settled=True),
            id="edited-here-and-deleted-there",
        ),
        pytest.param(dirty(NEW, OLD), UNKNOWN, Decision(Offer(KEY, NEW.hash), settled=True), id="edited-perhaps-lost"),
        pytest.param(dirty(), ABOVE, Decision(), id="new-here-however-old"),
        pytest.param(dirty(NEW, GONE), ABOVE, Decision(), id="created-anew-over-a-forgotten-delete"),
        pytest.param(
            dirty(),
            replace(ABOVE, restored=True),
            Decision(Bury(KEY, OLD.hash), conflict(None, OLD, rule="restored"), settled=True),
            id="from-before-the-restore",
        ),
        pytest.param(dirty(), RESTORED, Decision(), id="restored-but-no-delete-was-forgotten"),
        pytest.param(clean(GONE), KNOWN, Decision(Offer(KEY, GONE.hash), settled=True), id="a-delete-lost-there"),
        pytest.param(clean(GONE), ABOVE, Decision(), id="a-delete-forgotten-there"),
        pytest.param(dirty(GONE), KNOWN, Decision(), id="a-delete-to-be-pushed"),
        pytest.param(dirty(GONE), ABOVE, Decision(Accept(KEY, GONE.hash, True)), id="a-delete-of-a-forgotten-day"),
        pytest.param(
            dirty(GONE, OLD), KNOWN, Decision(Offer(KEY, GONE.hash), settled=True), id="a-delete-of-what-is-lost"
        ),
    ],
)
def test_missing_there(near: NearRow, at: Situation, decision: Decision) -> None:
    assert decide(near, None, at, KEY) == decision


# --- strangers ---------------------------------------------------------------------------------------------------

BACK: Final = replace(ABOVE, restored=True)


@pytest.mark.parametrize(
    ("row", "at", "stranger"),
    [
        pytest.param(dirty(), BACK, True, id="never-sent-as-far-as-the-backup-knows"),
        pytest.param(dirty(), ABOVE, False, id="of-a-store-that-never-went-back"),
        pytest.param(dirty(), RESTORED, False, id="of-a-day-that-is-remembered"),
        pytest.param(dirty(NEW, OLD), BACK, False, id="with-a-base"),
        pytest.param(dirty(OLD, GONE), BACK, True, id="created-anew-over-a-tombstone"),
        pytest.param(dirty(GONE), BACK, False, id="a-delete"),
    ],
)
def test_strangers_are_rows_that_may_have_been_deleted_and_forgotten(
    row: NearRow, at: Situation, stranger: bool
) -> None:
    assert is_stranger(row, at) == stranger


def test_a_stranger_is_buried_and_remembered() -> None:
    buried = Decision(Bury(KEY, OLD.hash), conflict(None, OLD, rule="restored"), settled=True)
    assert bury_stranger(dirty(), BACK) == buried


# --- whatever the combination ------------------------------------------------------------------------------------

records = st.sampled_from([OLD, NEW, BASE, GONE, foreign("oslo.1", None, ms=1)])
rows = st.builds(
    lambda record, is_dirty, base, newer: dirty(record, base, newer=newer) if is_dirty else clean(record, newer=newer),
    records,
    st.booleans(),
    st.none() | records,
    st.booleans(),
)
situations = st.builds(
    lambda known, restored, horizon: replace(KNOWN, known=known, restored=restored, horizon=horizon),
    st.booleans(),
    st.booleans(),
    st.sampled_from([0, TODAY, TODAY + 1]),
)


@given(rows, st.none() | records, situations)
def test_a_step_expects_the_row_it_was_decided_on(near: NearRow, far: Record | None, at: Situation) -> None:
    step = decide(near, far, at, KEY).step
    assert step is None or isinstance(step, Accept) or step.expected == near.record.hash


@given(rows, st.none() | records, situations)
def test_a_version_that_others_may_lack_is_lost_only_with_an_entry(
    near: NearRow, far: Record | None, at: Situation
) -> None:
    """What was changed here, and what is here while history is unknown, stays, is logged, or is held there, too."""
    decision = decide(near, far, at, KEY)
    at_risk = near.dirty or not at.known
    if at_risk and isinstance(decision.step, Take | Drop | Bury):
        assert decision.conflict is not None
        assert decision.conflict.loser == near.record


@given(rows, records, situations)
def test_a_conflict_needs_changes_on_both_sides(near: NearRow, far: Record, at: Situation) -> None:
    if decide(near, far, at, KEY).conflict is not None:
        assert far.hash not in (near.record.hash, near.base if near.dirty else None)
        assert near.dirty or not at.known
