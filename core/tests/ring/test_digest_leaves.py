"""The digest tree: what is kept step by step equals what the rows add up to, for any history."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import pytest
from core.tests.ring.stage import SENSORS, Store
from hypothesis import given
from hypothesis import strategies as st

from tierfold.digest import MODULUS
from tierfold.errors import CorruptDataError
from tierfold.layout import LEAF, RECORD, end_of, open_row
from tierfold.records.leaves import LEAF_LIMIT, children, live_heads, prefix_range

SEGMENT: Final = b"\x00\x00\x00\x01"
ALL: Final = [f"oslo.{number}" for number in range(300)]


def heads_of(store: Store) -> list[tuple[bytes, bytes]]:
    """(record key, record hash) of the live rows, from the rows themselves."""
    with store.reading() as reading:
        rows = [(key, open_row(key, value)) for key, value in reading.txn.scan(RECORD, end_of(RECORD))]
    return [(key[5:], row.hash) for key, row in rows if not row.deleted]


def recomputed(heads: Sequence[tuple[bytes, bytes]], prefix: str) -> tuple[tuple[bytes, ...], int]:
    below = [(key.hex(), hash) for key, hash in heads if key.hex().startswith(prefix)]
    sums = [0] * 16
    for key, hash in below:
        sums[int(key[len(prefix)], 16)] += int.from_bytes(hash, "big")
    return tuple((total % MODULUS).to_bytes(16, "big")[-8:] for total in sums), len(below)


def check(store: Store) -> None:
    heads = heads_of(store)
    longest = heads[0][0].hex()[:20] if heads else "0123456789abcdef0123"
    with store.reading() as reading:
        state = reading.find(SENSORS)
        assert state is not None
        for depth in (0, 1, 2, 3, 16, 17, 20):
            prefix = longest[:depth]
            assert children(reading.txn, SEGMENT, prefix) == recomputed(heads, prefix)
        total = sum(int.from_bytes(hash, "big") for _, hash in heads) % MODULUS
        assert (int.from_bytes(state.row.live_sum, "big"), state.row.live) == (total, len(heads))


batches = st.lists(st.tuples(st.booleans(), st.integers(0, len(ALL)), st.integers(1, 120)), min_size=1, max_size=6)


@given(batches)
def test_sums_kept_step_by_step_are_those_of_the_rows(history: list[tuple[bool, int, int]]) -> None:
    """Batches of saves and deletes over up to 300 records, so that leaves split and run empty."""
    store = Store(1)
    for delete, start, count in history:
        store.save_many(ALL[start : start + count] or ALL[:1], None if delete else b"\xa0")
    store.save("oslo.0")
    check(store)


@given(st.lists(st.lists(st.tuples(st.booleans(), st.sampled_from(ALL[:8])), min_size=1), min_size=1, max_size=5))
def test_several_writes_to_one_record_in_one_transaction_add_up(groups: list[list[tuple[bool, str]]]) -> None:
    """Units of one group share a transaction, and its sums are written once."""
    store = Store(1)
    store.save("oslo.0")
    for group in groups:
        with store.writing() as session:
            for delete, id in group:
                state = session.segment(SENSORS)
                key = state.hasher.key(id.encode())
                old = session.row(state, key)
                if old is not None and delete:
                    session.remove(state, key, old)
                elif not delete:
                    record = Store(2).save(id, b"%d" % session.counters.next_seq)
                    session.put_many(state, [(key, old, record.content, record.hash, 0, b"", False)], "sync")
    store.save("oslo.0")
    check(store)


def leaves_of(store: Store) -> list[bytes]:
    with store.reading() as reading:
        return [key[5:] for key, _ in reading.txn.scan(LEAF, end_of(LEAF))]


def test_a_leaf_splits_above_64_records_and_its_parts_cover_it() -> None:
    store = Store(1)
    store.save_many(ALL[:LEAF_LIMIT])
    assert leaves_of(store) == [bytes(8)]
    store.save(ALL[LEAF_LIMIT])
    assert leaves_of(store) == [bytes([nibble << 4]) + bytes(7) for nibble in range(16)]
    check(store)


def test_a_first_batch_of_many_splits_at_once() -> None:
    store = Store(1)
    store.save_many(ALL)
    assert len(leaves_of(store)) >= 16
    check(store)


def test_leaves_cover_every_key_without_overlapping() -> None:
    store = Store(1)
    store.save_many(ALL)
    with store.reading() as reading:
        counts = [children(reading.txn, SEGMENT, f"{nibble:x}")[1] for nibble in range(16)]
    assert sum(counts) == len(ALL)


@pytest.mark.parametrize(
    ("prefix", "low", "high"),
    [
        ("", bytes(16), b"\xff" * 17),
        ("0", bytes(16), b"\x10" + bytes(15)),
        ("f", b"\xf0" + bytes(15), b"\xff" * 17),
        ("7f", b"\x7f" + bytes(15), b"\x80" + bytes(15)),
        ("ff", b"\xff" + bytes(15), b"\xff" * 17),
        ("12345678", b"\x12\x34\x56\x78" + bytes(12), b"\x12\x34\x56\x79" + bytes(12)),
    ],
)
def test_a_prefix_is_a_range_of_record_keys(prefix: str, low: bytes, high: bytes) -> None:
    assert prefix_range(prefix) == (low, high)


def test_heads_leave_tombstones_out() -> None:
    store = Store(1)
    store.save_many(ALL[:3])
    store.delete(ALL[1])
    with store.reading() as reading:
        heads = live_heads(reading.txn, SEGMENT, *prefix_range(""))
    assert heads == heads_of(store)
    assert len(heads) == 2


def test_a_missing_leaf_is_noticed_and_not_papered_over() -> None:
    store = Store(1)
    store.save_many(ALL)
    *_, (key, _) = heads_of(store)
    with store.writing() as session:
        leaf = session.txn.last(LEAF + SEGMENT, LEAF + SEGMENT + key[:8] + b"\x00")
        assert leaf is not None
        session.txn.delete(leaf[0])
    id = next(id for id in ALL if store.kv._opened.hasher("Sensor").key(id.encode()) == key)
    with pytest.raises(CorruptDataError, match="digest leaf"):
        store.save(id, b"\xa1x")
