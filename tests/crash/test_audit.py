"""The audit of a store finds whatever is wrong with its rows; otherwise it would prove nothing."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import anyio
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.crash.audit import InconsistentError, check_store

from tierfold.codec import encode
from tierfold.errors import CorruptDataError, StoreFormatError
from tierfold.kv.memory import MemoryEngine
from tierfold.kv.store import KvStore
from tierfold.layout import COUNTER_ROWS, INDEX_ENTRY, INDEX_ROWS, LEAF, SEGMENT_ROWS, seal
from tierfold.model import SegmentName, Write
from tierfold.specs import OpenContext

DAY_MS = 86_400_000
SEGMENTS = [SegmentName("A", "app.x"), SegmentName("B", "app.x"), SegmentName("A", "app.y")]
Batch = list[tuple[int, int, int | None]]


@contextmanager
def filled(*batches: Batch, tended: int = 1_000) -> Iterator[MemoryEngine]:
    """An engine with a store of documents and tombstones, a day passing between two batches.

    Args:
        tended: So many records of its indexes are built behind each batch, while others are written.
    """
    engine = MemoryEngine("audited")
    now_ms = 1_700_000_000_000

    def clock() -> int:
        return now_ms

    store = KvStore(engine, OpenContext(clock, os.urandom))
    anyio.run(store.identify)
    anyio.run(store.hold_indexes, "A", [("n",)], b"one", 1.0)
    for batch in batches:
        now_ms += DAY_MS
        store.write_blocking([write_of(*cell) for cell in batch])
        anyio.run(store.hold_indexes, "B", [("n",)], b"one", 1.0)
        for _ in range(3):
            anyio.run(store.tend_indexes, tended)
    yield engine
    store.close()


def write_of(segment: int, number: int, content: int | None) -> Write:
    payload = None if content is None else encode({"n": content % 10})
    return Write(SEGMENTS[segment], f"{SEGMENTS[segment].partition[4:]}.{number}", payload)


def check(engine: MemoryEngine) -> int:
    """Number of records of a sound store."""
    store = KvStore(engine, OpenContext(lambda: 0, os.urandom))
    with store.snapshot() as reading:
        return sum(map(len, check_store(reading).values()))


FIRST: Batch = [(number % 3, number, number) for number in range(210)]
SECOND: Batch = [(number % 3, number, None) for number in range(0, 210, 7)]
THIRD: Batch = [(number % 3, number, -number) for number in range(0, 210, 5)]


def test_a_sound_store_passes() -> None:
    with filled(FIRST, SECOND, THIRD) as engine:
        assert check(engine) == 210


cells = st.tuples(st.integers(0, 2), st.integers(0, 199), st.none() | st.integers())


@given(st.lists(st.lists(cells, max_size=120), max_size=8))
def test_sums_and_logs_follow_from_the_records_after_any_history(batches: list[Batch]) -> None:
    with filled(*batches, tended=20) as engine:
        check(engine)


def damage(change: Callable[[bytes, bytes], bytes | None]) -> list[bytes]:
    """Change one row at a time; the keys of those whose damage nobody noticed."""
    unnoticed = []
    with filled(FIRST, SECOND) as engine:
        for key, value in list(engine.rows.scan(b"\x00", b"\xff")):
            changed = change(key, value)
            engine.rows.delete(key)
            if changed is not None:
                engine.rows.put(key, changed)
            try:
                check(engine)
            except (InconsistentError, CorruptDataError, StoreFormatError):
                pass
            else:
                unnoticed.append(key)
            engine.rows.put(key, value)
        assert check(engine) == 210
    return unnoticed


def test_every_missing_row_is_found() -> None:
    assert damage(lambda key, value: None) == []


@pytest.mark.parametrize("at", [0, -1])
def test_a_flipped_bit_is_found_in_every_row(at: int) -> None:
    def flip(key: bytes, value: bytes) -> bytes:
        changed = bytearray(value)
        changed[at] ^= 1
        return bytes(changed)

    assert damage(flip) == []


def lie(edit: Callable[[MemoryEngine], object]) -> str:
    """What is found when a row is wrong and its checksum right."""
    with filled(FIRST, SECOND) as engine:
        edit(engine)
        with pytest.raises(InconsistentError) as found:
            check(engine)
    return str(found.value)


def test_a_wrong_live_count_is_found() -> None:
    def edit(engine: MemoryEngine) -> None:
        txn = engine.begin()
        number, row = SEGMENT_ROWS.rows(txn)[0]
        row.live += 1
        SEGMENT_ROWS.put(txn, row, number)
        txn.commit()

    assert "live" in lie(edit)


def test_a_wrong_tombstone_sum_is_found() -> None:
    def edit(engine: MemoryEngine) -> None:
        txn = engine.begin()
        number, row = SEGMENT_ROWS.rows(txn)[0]
        row.tombstones = {day: (bytes(16), count) for day, (_, count) in row.tombstones.items()}
        SEGMENT_ROWS.put(txn, row, number)
        txn.commit()

    assert "tombstone sums" in lie(edit)


def test_a_wrong_leaf_is_found() -> None:
    def edit(engine: MemoryEngine) -> None:
        key, value = next(engine.rows.scan(LEAF, LEAF + b"\xff"))
        body = bytearray(value[:-4])
        body[5] ^= 1
        engine.rows.put(key, seal(key, bytes(body)))

    assert "leaf" in lie(edit)


@pytest.mark.parametrize("change", [-1, 1])
def test_a_wrong_count_of_index_entries_is_found(change: int) -> None:
    def edit(engine: MemoryEngine) -> None:
        txn = engine.begin()
        number, row = INDEX_ROWS.rows(txn)[0]
        row.entries[1] += change
        INDEX_ROWS.put(txn, row, number)
        txn.commit()

    assert "entries by schema" in lie(edit)


def test_an_index_entry_of_another_value_is_found() -> None:
    def edit(engine: MemoryEngine) -> None:
        key, value = next(engine.rows.scan(INDEX_ENTRY, INDEX_ENTRY + b"\xff"))
        engine.rows.delete(key)
        engine.rows.put(key[:10] + bytes((key[10] ^ 1,)) + key[11:], value)

    assert "entries without records" in lie(edit)


def test_a_counter_that_went_back_is_found() -> None:
    def edit(engine: MemoryEngine) -> None:
        txn = engine.begin()
        counters = COUNTER_ROWS.get(txn)
        assert counters is not None
        counters.next_seq, counters.high_water = 1, 0
        COUNTER_ROWS.put(txn, counters)
        txn.commit()

    assert "ahead of the clock" in lie(edit)
