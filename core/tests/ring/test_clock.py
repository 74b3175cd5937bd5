"""Readings of the clock: above everything seen, at least the wall time, in the order of their stamps."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from tierfold.clock import AHEAD_LIMIT_MS, DAY_MS, day_of, hlc_of, latest_stamp, ms_of, next_hlc, stamp_of

readings = st.integers(0, 2**63)
walls = st.integers(0, 2**47)
nodes = st.binary(min_size=8, max_size=8)


@given(readings, walls, readings)
def test_a_new_reading_is_above_all_that_was_seen_and_at_least_the_wall(seen: int, wall: int, replaced: int) -> None:
    reading = next_hlc(seen, wall, replaced)
    assert reading > seen
    assert reading > replaced
    assert reading >= wall << 16


def test_a_reading_is_the_wall_time_when_nothing_later_was_seen() -> None:
    assert next_hlc(5, 7) == 7 << 16


def test_writes_of_one_millisecond_count() -> None:
    assert next_hlc(7 << 16, 7) == (7 << 16) + 1


def test_a_counter_that_overflows_borrows_the_next_millisecond() -> None:
    assert next_hlc((7 << 16) + 0xFFFF, 7) == 8 << 16


@given(st.lists(st.tuples(st.booleans(), walls), min_size=2))
def test_processes_that_share_a_high_water_never_make_equal_readings(writes: list[tuple[bool, int]]) -> None:
    """Two programs on one store with clocks of their own, which may stand still or go back."""
    high_water, made = 0, []
    for _, wall in writes:
        high_water = next_hlc(high_water, wall)
        made.append(high_water)
    assert made == sorted(set(made))


@given(readings, readings, nodes, nodes)
def test_stamps_sort_as_their_readings_do(one: int, other: int, node: bytes, second_node: bytes) -> None:
    first, second = stamp_of(one, node), stamp_of(other, second_node)
    assert (first < second) == ((one, node) < (other, second_node))


@given(readings, nodes)
def test_a_stamp_can_be_read(reading: int, node: bytes) -> None:
    stamp = stamp_of(reading, node)
    assert len(stamp) == 16
    assert (hlc_of(stamp), stamp[8:]) == (reading, node)
    assert ms_of(stamp) == reading >> 16
    assert day_of(stamp) == (reading >> 16) // DAY_MS


@given(walls, readings, nodes)
def test_a_minute_ahead_is_let_in_and_a_millisecond_more_is_not(wall: int, seen: int, node: bytes) -> None:
    latest = latest_stamp(wall, seen)
    minute = max(wall, seen >> 16) + AHEAD_LIMIT_MS
    assert stamp_of(minute << 16 | 0xFFFF, node) <= latest
    assert stamp_of(minute + 1 << 16, node) > latest
