"""Positions against a model of runs of a store: opened again, restored, written."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from tierfold.layout import SegmentRow, StoreRow
from tierfold.model import FeedToken, Position
from tierfold.records.positions import (
    BEGINNING,
    KEPT_INCARNATIONS,
    feed_token,
    knows,
    position_of,
    remembers,
    seq_of,
    token_seq,
)

NAMES = [bytes([65 + number]) * 8 for number in range(26)]


def store(*incarnations: tuple[bytes, int]) -> StoreRow:
    return StoreRow(1, b"store", b"node", "place", "hash", b"", incarnations)


ROW = SegmentRow("Sensor", "app.oslo")


def test_the_beginning_is_known_everywhere_above_no_floor() -> None:
    assert position_of(store(), 0) == BEGINNING
    assert knows(store(), 1, ROW, BEGINNING)
    assert knows(store(), 1, None, BEGINNING)
    assert not knows(store((NAMES[0], 1)), 9, SegmentRow("Sensor", "app.oslo", floor=3), BEGINNING)


def test_nothing_and_nonsense_are_not_known() -> None:
    assert not knows(store((NAMES[0], 1)), 9, ROW, None)
    assert not knows(store((NAMES[0], 1)), 9, ROW, Position(b"short"))
    assert not knows(store((NAMES[0], 1)), 9, ROW, Position(NAMES[1] + bytes(8)))


def test_a_position_carries_the_run_that_took_its_seq() -> None:
    opened_twice = store((NAMES[0], 1), (NAMES[1], 5))
    assert position_of(opened_twice, 4)[:8] == NAMES[0]
    assert position_of(opened_twice, 5)[:8] == NAMES[1]
    assert seq_of(position_of(opened_twice, 5)) == 5
    assert seq_of(None) == 0


def test_a_seq_from_before_all_remembered_runs_is_of_the_newest() -> None:
    """So that the position of a segment that nobody writes to is known for another thousand runs."""
    forgetful = store((NAMES[0], 7), (NAMES[1], 9))
    position = position_of(forgetful, 3)
    assert position[:8] == NAMES[1]
    assert knows(forgetful, 12, ROW, position)
    assert not knows(store((NAMES[0], 7)), 9, ROW, position)


def test_a_restored_store_does_not_know_what_its_file_does_not_hold() -> None:
    """The backup was taken at seq 4, the original went on to 6 in the same run; the restored one writes anew."""
    backup = store((NAMES[0], 1))
    lost = position_of(backup, 6)
    assert not knows(backup, 5, ROW, lost)
    written = store((NAMES[0], 1), (NAMES[1], 5))
    assert not knows(written, 9, ROW, lost)
    assert knows(written, 9, ROW, position_of(backup, 4))


def test_a_position_below_the_floor_is_not_known() -> None:
    raised = SegmentRow("Sensor", "app.oslo", floor=4)
    one_run = store((NAMES[0], 1))
    known = [knows(one_run, 9, raised, position_of(one_run, seq)) for seq in range(1, 9)]
    assert known == [False] * 3 + [True] * 5


def test_a_store_remembers_where_it_was_however_long_ago() -> None:
    """A program that is run every minute begins a new run each time; the oldest are forgotten after a thousand."""
    quiet = position_of(store((NAMES[0], 1)), 3)
    trimmed = store(*((b"%8d" % number, number + 2) for number in range(3, KEPT_INCARNATIONS + 3)))
    assert not knows(trimmed, 2_000, ROW, quiet)
    assert remembers(trimmed, 2_000, quiet)


def test_a_store_does_not_remember_what_it_lost() -> None:
    backup = store((NAMES[0], 1))
    lost = position_of(backup, 6)
    assert not remembers(backup, 5, lost)
    assert not remembers(store((NAMES[0], 1), (NAMES[1], 5)), 9, lost)
    assert not remembers(store(), 1, lost)
    assert not remembers(backup, 5, Position(b"short"))
    assert remembers(backup, 7, lost)


lives = st.lists(st.integers(0, 5), min_size=1, max_size=8)


@given(lives)
def test_a_store_that_was_never_restored_knows_every_position_it_gave(written: list[int]) -> None:
    """Opened again and again, with some writes in each run."""
    incarnations: tuple[tuple[bytes, int], ...] = ()
    next_seq, given_out = 1, [BEGINNING]
    for name, count in zip(NAMES, written, strict=False):
        if count:
            incarnations += ((name, next_seq),)
            given_out += [position_of(store(*incarnations), next_seq + number) for number in range(count)]
            next_seq += count
    assert all(knows(store(*incarnations), next_seq, ROW, position) for position in given_out)
    assert [seq_of(position) for position in given_out] == list(range(next_seq))


@given(st.integers(1, 5), st.integers(1, 5), st.integers(0, 5))
def test_a_backup_knows_its_own_past_and_nothing_of_the_other_future(before: int, lost: int, written: int) -> None:
    original = store((NAMES[0], 1))
    incarnations = ((NAMES[0], 1), (NAMES[1], before + 1)) if written else ((NAMES[0], 1),)
    restored = store(*incarnations)
    for seq in range(1, before + lost + 1):
        assert knows(restored, before + written + 1, ROW, position_of(original, seq)) == (seq <= before)


def test_a_feed_token_of_another_life_means_the_beginning() -> None:
    one_run = store((NAMES[0], 1))
    token = feed_token(one_run, 9)
    assert token_seq(one_run, 9, token) == 8
    assert token_seq(one_run, 9, None) == 0
    assert token_seq(store((NAMES[1], 1)), 9, token) == 0
    assert token_seq(one_run, 9, FeedToken(b"")) == 0
