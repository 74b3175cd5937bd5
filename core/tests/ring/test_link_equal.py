"""When two segments hold the same, with horizons that differ and records that are held back."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

from hypothesis import given
from hypothesis import strategies as st

from tierfold.abc.syncable import SegmentRoots
from tierfold.clock import DAY_MS, day_of
from tierfold.digest import subtotal, sum_bytes
from tierfold.link.equal import Held, equal_roots
from tierfold.model import Position, Record
from tierfold.testing.samples import foreign

DAY: Final = 20_000


def of_day(day: int, number: int, payload: bytes | None = None) -> Record:
    return foreign(f"oslo.{number}", payload, ms=day * DAY_MS)


def roots(records: Iterable[Record], horizon: int = 0) -> SegmentRoots:
    """The roots a store with these rows gives: days below its horizon are left out."""
    held = list(records)
    days = {day_of(record.stamp) for record in held if record.deleted}
    return SegmentRoots(
        Position(b""),
        sum_bytes(subtotal(record.hash for record in held if not record.deleted)),
        sum(not record.deleted for record in held),
        {
            day: sum_bytes(subtotal(r.hash for r in held if r.deleted and day_of(r.stamp) == day))
            for day in days
            if day >= horizon
        },
        horizon,
    )


LIVE: Final = [of_day(DAY, number, b"live") for number in range(3)]
GONE: Final = [of_day(DAY + number, 10 + number) for number in range(3)]


def test_equal_content_is_equal() -> None:
    assert equal_roots(roots(LIVE + GONE), roots(LIVE + GONE))


def test_a_live_record_makes_the_difference() -> None:
    assert not equal_roots(roots(LIVE), roots(LIVE[1:]))


def test_a_delete_makes_the_difference() -> None:
    assert not equal_roots(roots(LIVE + GONE), roots(LIVE + GONE[1:]))
    assert not equal_roots(roots(LIVE), roots(LIVE + GONE[:1]))


def test_deletes_of_days_below_either_horizon_do_not_count() -> None:
    assert equal_roots(roots(LIVE + GONE), roots(LIVE + GONE[1:], horizon=DAY + 1))
    assert equal_roots(roots(LIVE + GONE[1:], horizon=DAY + 1), roots(LIVE + GONE))
    assert not equal_roots(roots(LIVE + GONE), roots(LIVE + GONE[2:], horizon=DAY + 1))


def test_a_held_record_is_left_out_with_what_is_there_under_its_id() -> None:
    ahead, current = of_day(DAY + 9, 0, b"ahead"), LIVE[0]
    own, theirs = roots([ahead, *LIVE[1:]]), roots(LIVE)
    assert not equal_roots(own, theirs)
    assert equal_roots(own, theirs, [Held(ahead, current)])
    assert equal_roots(own, roots(LIVE[1:]), [Held(ahead, None)])


def test_a_held_delete_is_left_out_of_its_day() -> None:
    ahead = of_day(DAY + 9, 0)
    assert equal_roots(roots([ahead, *LIVE[1:]]), roots(LIVE), [Held(ahead, LIVE[0])])
    assert equal_roots(roots([LIVE[0]]), roots([ahead]), [Held(LIVE[0], ahead)])


@given(st.sets(st.integers(0, 5)), st.sets(st.integers(0, 5)), st.integers(0, 3), st.integers(0, 3))
def test_equal_means_equal_content_above_both_horizons(own: set[int], other: set[int], low: int, high: int) -> None:
    everything = LIVE + GONE
    mine, theirs = ([everything[number] for number in sorted(some)] for some in (own, other))
    horizon = DAY + max(low, high)
    counting = [{r.hash for r in some if not r.deleted or day_of(r.stamp) >= horizon} for some in (mine, theirs)]
    assert equal_roots(roots(mine, DAY + low), roots(theirs, DAY + high)) == (counting[0] == counting[1])
