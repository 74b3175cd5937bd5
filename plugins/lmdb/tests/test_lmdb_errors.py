"""R7 and the table of errors: nothing of the driver's comes out."""

from __future__ import annotations

import errno
from pathlib import Path

import lmdb
import pytest

from tierfold.errors import (
    CorruptDataError,
    StoreClosedError,
    StoreError,
    StoreFormatError,
    StoreFullError,
    StoreUnavailableError,
)
from tierfold_lmdb.engine import LmdbEngine
from tierfold_lmdb.errors import mapped


def driver_error(kind: type[lmdb.Error], code: int = -1) -> lmdb.Error:
    error = kind("what happened")
    error.code = code  # type: ignore[misc] # as the driver sets it
    return error


@pytest.mark.parametrize(
    ("kind", "ours"),
    [
        (lmdb.MapFullError, StoreFullError),
        (lmdb.TxnFullError, StoreFullError),
        (lmdb.DiskError, StoreFullError),
        (lmdb.ReadersFullError, StoreUnavailableError),
        (lmdb.MapResizedError, StoreUnavailableError),
        (lmdb.LockError, StoreUnavailableError),
        (lmdb.MemoryError, StoreUnavailableError),
        (lmdb.PanicError, StoreUnavailableError),
        (lmdb.CorruptedError, CorruptDataError),
        (lmdb.PageNotFoundError, CorruptDataError),
        (lmdb.VersionMismatchError, StoreFormatError),
        (lmdb.InvalidError, StoreFormatError),
        (lmdb.BadValsizeError, StoreError),
    ],
    ids=lambda kind: kind.__name__,
)
def test_each_error_of_the_driver_has_one_of_ours(kind: type[lmdb.Error], ours: type[StoreError]) -> None:
    assert type(mapped(driver_error(kind))) is ours


@pytest.mark.parametrize(
    ("code", "disk_is_full", "ours"),
    [
        (errno.EIO, False, StoreUnavailableError),
        (errno.EIO, True, StoreFullError),
        (errno.EDQUOT, False, StoreFullError),
        (errno.EFBIG, False, StoreFullError),
        (0, False, StoreClosedError),
        (errno.EINVAL, True, StoreError),
    ],
)
def test_an_error_without_a_class_goes_by_its_code(code: int, disk_is_full: bool, ours: type[StoreError]) -> None:
    assert type(mapped(driver_error(lmdb.Error, code), disk_is_full=disk_is_full)) is ours


def test_what_the_driver_said_is_kept_as_the_cause(tmp_path: Path) -> None:
    engine = LmdbEngine(str(tmp_path))
    txn = engine.begin()
    with pytest.raises(StoreError, match="MDB_BAD_VALSIZE") as refused:
        txn.put(b"x" * 512, b"")
    assert isinstance(refused.value.__cause__, lmdb.BadValsizeError)
    txn.abort()
    engine.close()


def test_a_page_that_is_damaged_is_corrupt_data(tmp_path: Path) -> None:
    engine = LmdbEngine(str(tmp_path))
    txn = engine.begin()
    for number in range(2000):
        txn.put(b"%06d" % number, b"x" * 100)
    txn.commit()
    engine.close()
    with (tmp_path / "data.mdb").open("r+b") as data:
        for page in range(2, data.seek(0, 2) // 4096):
            data.seek(page * 4096 + 8)
            data.write(b"\xff" * 4)
    engine = LmdbEngine(str(tmp_path))
    with pytest.raises(StoreError) as refused, engine.read() as (_, view):
        list(view.scan(b"", b"\xff"))
    assert type(refused.value) is CorruptDataError
    engine.close()
