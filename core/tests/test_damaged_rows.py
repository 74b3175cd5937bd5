"""A damaged record is named in every error about it, as far as it can be read, and its neighbours are untouched."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

import pytest
from core.tests.ring.stage import SENSORS, Store, drive

from tierfold.errors import CorruptDataError
from tierfold.layout import ID_START, RECORD
from tierfold.model import Write

ONE: Final = "oslo.1"
NAMED: Final = "Sensor 'oslo.1' in partition 'app.oslo' is damaged: row 20"


@pytest.fixture
def store() -> Store:
    store = Store(1)
    store.save_many([ONE, "oslo.2"])
    return store


def damage(store: Store, at: int) -> None:
    """Flip a bit of a row, behind the store's back."""
    with store.kv.snapshot() as reading:
        state = reading.find(SENSORS)
        assert state is not None
        key = RECORD + state.number + state.hasher.key(ONE.encode())
        value = bytearray(reading.txn.get(key) or b"")
    value[at] ^= 1
    txn = store.engine.begin()
    txn.put(key, bytes(value))
    txn.commit()


CALLS: Final[dict[str, Callable[[Store], object]]] = {
    "find": lambda store: store.kv.find(SENSORS, ONE),
    "find_held": lambda store: store.kv.find_held(SENSORS, ONE),
    "find_many": lambda store: store.kv.find_many(SENSORS, [ONE]),
    "page": lambda store: store.kv.page(SENSORS, None, 10),
    "page_held": lambda store: store.kv.page_held(SENSORS, None, 10),
    "save": lambda store: drive(store.kv.write([Write(SENSORS, ONE, b"\xa0")])),
    "save_blocking": lambda store: store.kv.write_blocking([Write(SENSORS, ONE, b"\xa0")]),
    "delete": lambda store: drive(store.kv.write([Write(SENSORS, ONE, None)])),
}


@pytest.mark.parametrize("call", CALLS)
def test_every_call_that_meets_a_damaged_record_names_it(store: Store, call: str) -> None:
    damage(store, -5)
    with pytest.raises(CorruptDataError) as raised:
        CALLS[call](store)
    error = raised.value
    assert (error.type, error.partition, error.id) == ("Sensor", "app.oslo", ONE)
    assert str(error).startswith(NAMED)
    assert str(error).endswith("fails its checksum")


@pytest.mark.parametrize("at", [ID_START, ID_START + 2, ID_START - 5], ids=["key", "suffix", "length"])
def test_an_id_that_is_damaged_itself_is_not_told(store: Store, at: int) -> None:
    damage(store, at)
    with pytest.raises(CorruptDataError, match=r"a record of Sensor in partition 'app.oslo' is damaged: row") as raised:
        store.kv.page(SENSORS, None, 10)
    assert raised.value.id is None


def test_other_records_of_its_partition_are_read_and_written(store: Store) -> None:
    damage(store, -5)
    store.save("oslo.2")
    assert list(store.kv.find_many(SENSORS, ["oslo.2"])) == ["oslo.2"]
