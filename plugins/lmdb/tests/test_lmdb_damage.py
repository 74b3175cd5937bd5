"""R10: a bit that flips in the file is found by the checksum of its row, and nothing wrong is ever given out."""

from __future__ import annotations

import os
import random
from collections.abc import Callable, Iterator
from pathlib import Path

import anyio
import lmdb
import pytest

from tierfold.errors import CorruptDataError
from tierfold.kv.store import KvStore
from tierfold.layout import RECORD
from tierfold.testing import fake_context
from tierfold.testing.samples import OSLO, put
from tierfold_lmdb.engine import LmdbEngine

ID = "oslo.1"


class Disk:
    """A data file whose bits can be turned over while somebody has it mapped."""

    def __init__(self, directory: Path) -> None:
        self._file = os.open(directory / "data.mdb", os.O_RDWR)

    def place_of(self, value: bytes) -> range:
        """Where a value lies, which is there once."""
        content = os.pread(self._file, os.fstat(self._file).st_size, 0)
        assert content.count(value) == 1
        start = content.index(value)
        return range(8 * start, 8 * (start + len(value)))

    def flip(self, bit: int) -> None:
        at, mask = bit // 8, 1 << bit % 8
        (byte,) = os.pread(self._file, 1, at)
        os.pwrite(self._file, bytes([byte ^ mask]), at)

    def close(self) -> None:
        os.close(self._file)


@pytest.fixture
def store(tmp_path: Path) -> Iterator[KvStore]:
    store = KvStore(LmdbEngine(str(tmp_path)), fake_context())
    anyio.run(store.identify)
    yield store
    store.close()


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Disk]:
    (tmp_path / "data.mdb").touch(mode=0o600)
    disk = Disk(tmp_path)
    yield disk
    disk.close()


def outcome(read: Callable[[], object]) -> object:
    try:
        return read()
    except CorruptDataError:
        return CorruptDataError


@pytest.mark.timeout(60)
def test_whichever_bit_of_a_row_flips_nothing_wrong_is_given_out(store: KvStore, disk: Disk) -> None:
    store.write_blocking([put(ID, random.Random(1).randbytes(100)), put("oslo.2")])
    with store.snapshot() as reading:
        ((_, value),) = [row for row in reading.txn.scan(RECORD, RECORD + b"\xff") if ID.encode() in row[1]]
    whole = store.find(OSLO, ID)
    reads: list[Callable[[], object]] = [
        lambda: store.find(OSLO, ID),
        lambda: store.find_held(OSLO, ID),
        lambda: store.find_many(OSLO, [ID, "oslo.2"]),
        lambda: store.page(OSLO, None, 10),
    ]
    given_out: list[object] = []
    for bit in disk.place_of(value):
        disk.flip(bit)
        given_out += [found for read in reads if (found := outcome(read)) is not CorruptDataError]
        disk.flip(bit)
    assert given_out == []
    assert store.find(OSLO, ID) == whole is not None


def test_the_driver_itself_gives_out_what_the_disk_made_of_it(tmp_path: Path, disk: Disk) -> None:
    value = random.Random(1).randbytes(100)
    with lmdb.Environment(str(tmp_path)) as environment:
        with environment.begin(write=True) as txn:
            txn.put(b"a", value)
        for bit in disk.place_of(value):
            disk.flip(bit)
            with environment.begin() as txn:
                given = txn.get(b"a")
            assert given is not None
            assert given != value
            disk.flip(bit)
