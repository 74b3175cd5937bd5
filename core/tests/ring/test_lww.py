"""Last writer wins: the seed's table, and the laws of a least upper bound."""

from __future__ import annotations

from itertools import permutations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tierfold.digest import Hasher
from tierfold.model import Record, pack_content
from tierfold.resolve import LWW, lww

HASHER = Hasher("Sensor")
LOW, HIGH = b"node   1", b"node   2"


def version(ms: int, payload: bytes | None, node: bytes = LOW, *, counter: int = 0, number: int = 1) -> Record:
    """A live version, or a tombstone when there is no payload."""
    stamp = (ms << 16 | counter).to_bytes(8, "big") + node
    return HASHER.record(pack_content(stamp, stamp, payload is None, 1, number, b"oslo.1", payload or b""))


@pytest.mark.parametrize(
    ("winner", "loser"),
    [
        pytest.param(version(2, b"new"), version(1, b"old"), id="live-newer-than-live"),
        pytest.param(version(2, b"new"), version(1, None), id="live-newer-than-tombstone"),
        pytest.param(version(2, None), version(1, b"old"), id="tombstone-newer-than-live"),
        pytest.param(version(1, None), version(1, b"live"), id="on-equal-time-the-delete-wins"),
        pytest.param(version(1, None, LOW), version(1, b"live", HIGH), id="the-delete-wins-over-a-larger-node"),
        pytest.param(version(2, None), version(1, None), id="tombstone-newer-than-tombstone"),
        pytest.param(version(1, b"live", HIGH), version(1, b"x", LOW), id="on-equal-time-the-larger-node-wins"),
        pytest.param(version(1, b"b"), version(1, b"a"), id="of-equal-stamps-the-larger-payload-wins"),
        pytest.param(version(1, b"a", counter=1), version(1, b"b"), id="the-counter-is-part-of-the-time"),
        pytest.param(version(1, b"a", counter=1), version(1, None), id="a-later-count-wins-over-a-delete"),
        pytest.param(version(1, b"a", number=2), version(1, b"a", number=1), id="nothing-is-left-undecided"),
    ],
)
def test_the_winner_is_the_same_from_both_sides(winner: Record, loser: Record) -> None:
    assert lww(winner, loser) is winner
    assert lww(loser, winner) is winner


def test_more_edits_do_not_win_over_a_later_one() -> None:
    """The version counts for people; it decides nothing."""
    assert lww(version(1, b"a", number=50), version(2, b"b", number=2)).payload == b"b"


versions = st.builds(
    version,
    st.integers(0, 3),
    st.none() | st.sampled_from([b"", b"a", b"b", b"ab"]),
    st.sampled_from([LOW, HIGH]),
    counter=st.integers(0, 1),
    number=st.integers(1, 3),
)


@given(versions, versions)
def test_the_order_of_the_two_does_not_matter(one: Record, other: Record) -> None:
    assert lww(one, other) == lww(other, one)


@given(versions, versions, versions)
def test_neither_does_the_order_of_merging(one: Record, two: Record, three: Record) -> None:
    assert lww(lww(one, two), three) == lww(one, lww(two, three))


@given(versions)
def test_a_version_merged_with_itself_stays(one: Record) -> None:
    assert lww(one, one) is one


@given(versions, versions)
def test_a_merge_absorbs_what_it_was_made_of(one: Record, other: Record) -> None:
    merged = lww(one, other)
    assert lww(merged, one) == lww(merged, other) == merged


@given(versions, st.none() | st.binary(max_size=3), st.integers(1, 3))
def test_a_local_save_wins_over_what_it_replaced(old: Record, payload: bytes | None, later: int) -> None:
    """Its reading of the clock is above the old one's, whatever the node."""
    reading = int.from_bytes(old.stamp[:8], "big") + later
    saved = version(reading >> 16, payload, LOW, counter=reading & 0xFFFF, number=old.version + 1)
    assert lww(old, saved) == saved


@given(st.lists(versions, min_size=3, max_size=3))
def test_three_replicas_that_merge_in_any_order_agree(replicas: list[Record]) -> None:
    merged = {lww(lww(a, b), c).hash for a, b, c in permutations(replicas)}
    assert len(merged) == 1


def test_it_is_a_join_with_a_version_of_its_own() -> None:
    assert (LWW.name, LWW.version, LWW.kind, LWW.resolve) == ("lww", 1, "join", lww)
