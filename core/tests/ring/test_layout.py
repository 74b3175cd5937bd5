"""Rows byte for byte. The golden files change only together with the format version."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final
from zlib import crc32

import pytest
from core.tests.ring.stage import Store
from hypothesis import given
from hypothesis import strategies as st
from msgspec import Struct
from msgspec.structs import replace

from tierfold import layout
from tierfold.errors import CorruptDataError, StoreFormatError
from tierfold.kv.memory import MemoryEngine
from tierfold.layout import (
    LOCAL_SIZE,
    RESIDUE,
    ConflictRow,
    Counters,
    IndexRow,
    LinkRow,
    LinkStateRow,
    PartitionRow,
    PeerRow,
    RegistrationRow,
    SegmentRow,
    StoreMemo,
    StoreRow,
    Table,
    TypeRow,
    end_of,
    name_key,
    open_row,
    pack_row,
    peek_row,
    seal,
    unseal,
)
from tierfold.model import SegmentName, pack_content

VECTORS: Final = Path(__file__).parent.parent / "vectors"
HASH: Final = bytes(range(16))
OTHER: Final = bytes(range(16, 32))
POSITION: Final = bytes(range(32, 48))
KEY: Final = bytes(range(48, 64))

SEGMENT_KEY = b"\x00\x00\x00\x02" + KEY
SAMPLES: Final[dict[str, tuple[bytes, Struct]]] = {
    "STORE_ROWS": (
        b"",
        StoreRow(1, HASH, OTHER[:8], "1f:22", "blake2b-128", b"", ((b"first...", 1), (b"second..", 300))),
    ),
    "COUNTER_ROWS": (b"", Counters(301, 1_800_000_000_000 << 16, 4, 3, 12, 2, 9, 5, 77)),
    "PARTITION_ROWS": (KEY, PartitionRow("app.oslo", "present", 3, True, True)),
    "SEGMENT_ROWS": (
        b"\x00\x00\x00\x02",
        SegmentRow("Sensor", "app.oslo", 70_000, 2, HASH, {20_833: (OTHER, 2)}, 300, 20_832, 299),
    ),
    "TYPE_ROWS": (KEY, TypeRow("Sensor", b'{"name":"Sensor"}')),
    "INDEX_ROWS": (
        b"\x00\x00\x00\x03",
        IndexRow("Sensor", ("a", "b"), "building", SEGMENT_KEY, {1: 5, 2: 70_000}, {HASH: 1_800_000_000_000}),
    ),
    "LINK_ROWS": (b"", LinkRow("up", HASH, 17, OTHER, 5, 1_800_000_010_000, POSITION, POSITION)),
    "LINK_STATE_ROWS": (
        b"\x00\x00\x00\x02",
        LinkStateRow(POSITION, POSITION, 299, 4, [(KEY, HASH, False), (HASH, OTHER, True)], 20_832, (POSITION, KEY)),
    ),
    "REGISTRATION_ROWS": (HASH + KEY, RegistrationRow("app.oslo", 3, 1_800_000_000_000, 3600, True)),
    "PEER_ROWS": (HASH + b"\x00\x00\x00\x02", PeerRow(299, 3, POSITION, 4, 5, [KEY, HASH])),
    "CONFLICT_ROWS": (
        (12).to_bytes(8, "big"),
        ConflictRow("Sensor", "lww", "up", 1_800_000_000_000, OTHER, (b"winner", HASH), (b"loser", OTHER)),
    ),
}


def golden(name: str) -> list[Any]:
    return [json.loads(line) for line in (VECTORS / name).read_text("utf-8").splitlines()]


def rows_of(engine: MemoryEngine) -> list[tuple[bytes, bytes]]:
    with engine.read() as (_, txn):
        return list(txn.scan(b"\x00", b"\xff"))


# --- golden rows -------------------------------------------------------------------------------------------------


def tables() -> Iterator[tuple[str, Table[Any]]]:
    yield from ((name, table) for name, table in vars(layout).items() if isinstance(table, Table))


def test_every_table_has_a_golden_row() -> None:
    assert {name for name, _ in tables()} == SAMPLES.keys() == {name for name, _, _ in golden("layout.jsonl")}


@pytest.mark.parametrize(("name", "key", "value"), golden("layout.jsonl"))
def test_rows_are_written_and_read_byte_for_byte(name: str, key: str, value: str) -> None:
    table, (where, row) = dict(tables())[name], SAMPLES[name]
    engine = MemoryEngine("golden")
    txn = engine.begin()
    table.put(txn, row, where)
    assert table.get(txn, where) == row
    assert table.rows(txn) == [(where, row)]
    txn.commit()
    assert rows_of(engine) == [(bytes.fromhex(key), bytes.fromhex(value))]


def told_store() -> Store:
    """New rows, a rewrite, deletes, two segments, and a digest leaf that has split."""
    store = Store(1)
    store.save_many([f"oslo.{number}" for number in range(70)])
    store.save("oslo.1", b"\xa1x")
    store.delete("oslo.2")
    store.save("rome.1", segment=SegmentName("Sensor", "app.rome"))
    store.save("oslo.n", segment=SegmentName("Note", "app.oslo"))
    return store


def test_a_whole_store_is_written_byte_for_byte() -> None:
    rows = [[key.hex(), value.hex()] for key, value in rows_of(told_store().engine)]
    assert rows == golden("store.jsonl")


# --- checksums ---------------------------------------------------------------------------------------------------


@given(st.binary(min_size=1, max_size=40), st.binary(max_size=200))
def test_key_and_value_of_a_row_leave_the_residue(key: bytes, body: bytes) -> None:
    sealed = seal(key, body)
    assert crc32(sealed, crc32(key)) == RESIDUE
    assert unseal(key, sealed) == body


def record_row() -> tuple[bytes, bytes]:
    key = b"\x20\x00\x00\x00\x01" + KEY
    content = pack_content(HASH, OTHER, False, 1, 2, b"oslo.1", b"\xa5hello")
    return key, pack_row(key, 7, 2, OTHER, True, HASH, content)


def flipped(data: bytes) -> Iterator[bytes]:
    for bit in range(8 * len(data)):
        yield bytes(byte ^ (1 << bit % 8 if at == bit // 8 else 0) for at, byte in enumerate(data))


def test_every_flipped_bit_of_a_record_row_is_noticed() -> None:
    key, value = record_row()
    for damaged in flipped(value):
        with pytest.raises(CorruptDataError):
            open_row(key, damaged)
        with pytest.raises(CorruptDataError):
            unseal(key, damaged)
    for misplaced in flipped(key):
        with pytest.raises(CorruptDataError):
            open_row(misplaced, value)


@pytest.mark.parametrize("length", range(8))
def test_a_row_cut_short_is_noticed(length: int) -> None:
    key, value = record_row()
    with pytest.raises(CorruptDataError):
        open_row(key, value[:length])


def test_a_row_of_another_shape_is_noticed() -> None:
    key = layout.LINK_ROWS.tag
    for body in (b"\x90", b"\x91\x01", b"no MessagePack"):
        with pytest.raises(CorruptDataError, match="not what its table holds"):
            layout.LINK_ROWS.open(key, seal(key, body))


# --- record rows -------------------------------------------------------------------------------------------------


@given(
    st.integers(0, 2**64 - 1),
    st.integers(0, 2**32 - 1),
    st.sampled_from([b"", OTHER, bytes(16)]),
    st.booleans(),
    st.booleans(),
    st.binary(max_size=60),
)
def test_a_record_row_comes_apart_as_it_was_packed(
    seq: int, via: int, base: bytes, base_deleted: bool, deleted: bool, payload: bytes
) -> None:
    key = b"\x20\x00\x00\x00\x01" + KEY
    content = pack_content(HASH, OTHER, deleted, 1, 2, b"oslo.1", payload)
    value = pack_row(key, seq, via, base, base_deleted, HASH, content)
    row = open_row(key, value)
    assert (row.seq, row.via, row.hash, row.content) == (seq, via, HASH, content)
    assert (row.base, row.base_deleted) == (base, base_deleted and base != b"")
    assert (row.deleted, row.stamp) == (deleted, HASH)
    peeked = peek_row(key, value)
    assert peeked == replace(row, content=content[:33])
    assert (peeked.deleted, peeked.stamp) == (deleted, HASH)
    assert value[LOCAL_SIZE:-4] == content


# --- keys --------------------------------------------------------------------------------------------------------


@given(st.binary(min_size=1, max_size=8).filter(lambda prefix: prefix.strip(b"\xff")), st.binary(max_size=8))
def test_the_end_of_a_prefix_is_the_first_key_behind_it(prefix: bytes, other: bytes) -> None:
    end = end_of(prefix)
    assert prefix < end
    assert (prefix <= other < end) == other.startswith(prefix)


@given(st.lists(st.text(max_size=6), min_size=1, max_size=3), st.lists(st.text(max_size=6), min_size=1, max_size=3))
def test_names_are_told_apart_whatever_their_parts(one: list[str], other: list[str]) -> None:
    assert (name_key(*one) == name_key(*other)) == (one == other)
    assert len(name_key(*one)) == 16


# --- the format version ------------------------------------------------------------------------------------------


def loaded(*rows: tuple[bytes, bytes]) -> StoreRow | None:
    engine = MemoryEngine("loaded")
    txn = engine.begin()
    for key, value in rows:
        txn.put(key, value)
    txn.commit()
    with engine.read() as (_, reading):
        return StoreMemo().load(reading)


def sealed_store(body: bytes) -> tuple[bytes, bytes]:
    return layout.STORE, seal(layout.STORE, body)


def test_an_empty_map_is_no_store_yet() -> None:
    assert loaded() is None


def test_a_map_of_somebody_else_is_refused() -> None:
    with pytest.raises(StoreFormatError, match="no Tierfold store"):
        loaded((b"\x41", b"their data"))


@pytest.mark.parametrize("body", [b"\x97\x02", b"\x97\x00", b"\x97", b""])
def test_another_format_version_is_refused_before_anything_else_is_read(body: bytes) -> None:
    with pytest.raises(StoreFormatError, match="format version"):
        loaded(sealed_store(body))


def test_a_damaged_store_row_is_noticed() -> None:
    key, value = sealed_store(b"\x97\x01")
    with pytest.raises(CorruptDataError):
        loaded((key, value))
    with pytest.raises(CorruptDataError):
        loaded((key, value[:-1] + b"\x00"))


def test_the_store_row_is_decoded_anew_only_when_it_changed() -> None:
    store, memo = Store(1), StoreMemo()
    with store.reading() as reading:
        first = memo.load(reading.txn)
        assert memo.load(reading.txn) is first
    store.save("oslo.1")
    with store.reading() as reading:
        second = memo.load(reading.txn)
    assert first is not None
    assert second is not None
    assert (len(first.incarnations), len(second.incarnations)) == (0, 1)
