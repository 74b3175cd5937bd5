"""A descent finds the records that differ, all of them and no others."""

from __future__ import annotations

from collections.abc import Sequence
from typing import cast

import pytest
from core.tests.ring.stage import PARTITION, SENSORS, Hooked, Store, drive, run
from hypothesis import given
from hypothesis import strategies as st

from tierfold.abc.syncable import SegmentRoots, SyncableStore
from tierfold.link.descent import differing_keys
from tierfold.records.positions import BEGINNING

MANY = [f"oslo.{number}" for number in range(700)]


def pair(ids: Sequence[str]) -> tuple[Store, Store]:
    """Two stores that hold the same records."""
    near, far = Store(1), Store(2)
    if ids:
        far.save_many(list(ids))
    run(near, far)
    assert near.held() == far.held()
    return near, far


def roots(store: Store) -> SegmentRoots:
    return drive(store.kv.view(PARTITION)).roots.get(SENSORS, SegmentRoots(BEGINNING))


def descend(near: Store, far: Store, over: Hooked | None = None) -> list[bytes]:
    farther = cast(SyncableStore, over or far.kv)
    return drive(differing_keys(near.kv, farther, SENSORS, roots(near), roots(far))).keys


def differing(near: Store, far: Store) -> list[bytes]:
    one, other = near.held(), far.held()
    hasher = near.kv._opened.hasher("Sensor")
    return sorted(hasher.key(id.encode()) for id in one.keys() | other.keys() if one.get(id) != other.get(id))


def test_equal_stores_need_no_request() -> None:
    near, far = pair(MANY[:10])
    asked = Hooked(far.kv)
    assert descend(near, far, asked) == []
    assert asked.calls == []


@pytest.mark.parametrize("count", [1, 64, 65, 256, 257, 700])
def test_one_record_is_found_among_many(count: int) -> None:
    near, far = pair(MANY[:count])
    far.save(MANY[count // 2], b"\xa1x")
    assert descend(near, far) == differing(near, far)


def test_nothing_is_found_where_nothing_differs_any_more() -> None:
    """The roots were read before the far side changed back to what is here."""
    near, far = pair(MANY[:3])
    theirs = roots(far)
    far.save(MANY[0], b"\xa1x")
    assert drive(differing_keys(near.kv, far.kv, SENSORS, roots(near), theirs)).keys == []


def test_everything_differs_from_a_segment_that_is_not_there() -> None:
    near, far = Store(1), Store(2)
    run(near, far)
    far.save_many(MANY)
    assert descend(near, far) == differing(near, far)


mixed = st.lists(st.tuples(st.sampled_from(["far", "near", "delete far", "delete near"]), st.sampled_from(MANY)))


@given(st.integers(0, 400), mixed)
def test_whatever_differs_is_found(count: int, changes: list[tuple[str, str]]) -> None:
    near, far = pair(MANY[:count])
    for what, id in changes:
        store = near if "near" in what else far
        store.save_many([id], None if "delete" in what else what.encode())
    assert descend(near, far) == differing(near, far)


def test_it_costs_few_requests_and_tells_the_horizon() -> None:
    near, far = pair(MANY)
    far.save(MANY[0], b"\xa1x")
    far.delete(MANY[1])
    asked = Hooked(far.kv)
    farther = cast(SyncableStore, asked)
    found = drive(differing_keys(near.kv, farther, SENSORS, roots(near), roots(far)))
    assert (len(found.keys), found.horizon) == (2, 0)
    assert asked.calls == ["leaves", "leaves", "heads"]
