"""The one table from the driver's errors to Tierfold's."""

from __future__ import annotations

import errno
from typing import Final

import lmdb

from tierfold.errors import (
    CorruptDataError,
    StoreClosedError,
    StoreError,
    StoreFormatError,
    StoreFullError,
    StoreUnavailableError,
)

__all__ = ["mapped"]

_BY_CLASS: Final[tuple[tuple[type[lmdb.Error], type[StoreError]], ...]] = (
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
)
_BY_CODE: Final[dict[int, type[StoreError]]] = {
    0: StoreClosedError,  # the driver's own "closed/deleted/dropped object"
    errno.EIO: StoreUnavailableError,
    errno.EACCES: StoreUnavailableError,
    errno.EPERM: StoreUnavailableError,
    errno.EROFS: StoreUnavailableError,
    errno.EFBIG: StoreFullError,
    errno.EDQUOT: StoreFullError,
}


def mapped(error: lmdb.Error, *, disk_is_full: bool = False) -> StoreError:
    """The error to raise instead of ``error``.

    Args:
        disk_is_full: What the file system says of itself; the driver reports a short write as a plain I/O error.
    """
    if error.code == errno.EIO and disk_is_full:
        return StoreFullError(f"the disk is full ({error})")
    for driver, ours in _BY_CLASS:
        if isinstance(error, driver):
            return ours(str(error))
    return _BY_CODE.get(error.code, StoreError)(str(error))
