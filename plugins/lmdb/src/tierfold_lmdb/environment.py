"""One LMDB file opened in this process, shared by every engine on it.

Its `begin` is replaced while the map grows and in a forked child, so that the hottest call asks no questions.
"""

from __future__ import annotations

import ctypes
import os
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from threading import Event, Lock, get_ident
from typing import Any, Final, NoReturn, Protocol, cast

import lmdb

from tierfold.errors import StoreError, StoreForkedError, StoreFullError, StoreUnavailableError
from tierfold_lmdb.errors import mapped
from tierfold_lmdb.options import LmdbOptions

__all__ = ["Environment", "Growing", "Holder", "Shut"]

_TRIES: Final = 5
_STALE_CHECK_S: Final = 30.0
_QUIET_LIMIT_S: Final = 5.0
_QUIET_STEP_S: Final = 0.0005
_SHORT_WRITE_BYTES: Final = 1024**2
"""A disk with less room than this is what cut a write short."""


class Growing(Exception):  # noqa: N818 - never leaves this package
    """No transaction begins right now: the map is being replaced."""


class Holder(Protocol):
    """Who holds a transaction."""

    txn: lmdb.Transaction[bytes]


class Shut:
    """Stands where something usable was: each use raises ``error``."""

    def __init__(self, error: StoreError) -> None:
        self._error = error

    def __getattr__(self, _: str) -> NoReturn:
        _raise(self._error)


class Environment:
    """The open file, its transactions, and what is done about a full map, lost readers and a fork.

    Args:
        directory: Exists, and is known to be whole and local.
        monotonic_s: Seconds since any moment.
    """

    def __init__(
        self, directory: Path, options: LmdbOptions, monotonic_s: Callable[[], float] = time.monotonic
    ) -> None:
        self.directory = directory
        self.options = options
        self.users = 0
        self.holders: set[Holder] = set()
        self._monotonic_s = monotonic_s
        self._writing = Lock()
        self._writer = 0
        self._steady = Event()
        self._steady.set()
        self._map_bytes = options.map_bytes
        self._map_is_full = False
        self._env = self._open()
        self.begin: Callable[[], lmdb.Transaction[bytes]] = self._env.begin
        self._check_readers()

    # --- transactions --------------------------------------------------------------------------------------------

    def hold(self, holder: Holder) -> lmdb.Transaction[bytes]:
        """Begin the read transaction of ``holder``; the map does not change until `release`."""
        for _ in range(_TRIES):
            self.holders.add(holder)
            try:
                return self.begin()
            except (lmdb.Error, Growing) as error:
                self.holders.discard(holder)
                self._recover(error)
        raise StoreUnavailableError(f"{self.directory} is being enlarged again and again")

    def release(self, holder: Holder) -> None:
        holder.txn.abort()
        self.holders.discard(holder)

    def hold_writing(self, holder: Holder) -> lmdb.Transaction[bytes]:
        """Begin the write transaction of ``holder``, once no other thread or process has one."""
        begin = self._env.begin
        if self._writer == get_ident():
            raise StoreError("this thread has a write transaction already")
        self._refuse_without_space()
        if self._monotonic_s() - self._checked_at_s >= _STALE_CHECK_S:
            self._check_readers()
        for _ in range(_TRIES):
            self._writing.acquire()
            try:
                txn = begin(write=True)
            except lmdb.Error as error:
                self._writing.release()
                self._recover(error)
            else:
                self._writer = get_ident()
                self.holders.add(holder)
                return txn
        raise StoreUnavailableError(f"{self.directory} is being enlarged again and again")

    def release_writing(self, holder: Holder) -> None:
        self.holders.discard(holder)
        self._writer = 0
        self._writing.release()

    def is_writer(self) -> bool:
        """Whether this thread has the write transaction, which only it may use and end."""
        return self._writer == get_ident()

    def mapped(self, error: lmdb.Error) -> StoreError:
        """Tierfold's error for ``error``."""
        self._map_is_full |= isinstance(error, lmdb.MapFullError)
        return mapped(error, disk_is_full=_free_bytes(self.directory) < _SHORT_WRITE_BYTES)

    # --- the map -------------------------------------------------------------------------------------------------

    def grow(self) -> bool:
        """After a full map: enlarge it. False when it may not grow, or was not what is full."""
        was_full, self._map_is_full = self._map_is_full, False
        size = min(2 * self._map_bytes, self.options.max_map_bytes)
        if not was_full or size <= self._map_bytes or not self._replace_map(size):
            return False
        self._map_bytes = size
        return True

    def _replace_map(self, size: int) -> bool:
        """Let no transaction begin, wait until none is open, and map ``size`` bytes; 0 means as many as others did.

        A transaction that is open while the map changes would be lost, or end the process.
        """
        if not self._writing.acquire(timeout=_QUIET_LIMIT_S):
            return False
        try:
            self._steady.clear()
            self.begin = partial(_raise, Growing())
            if not self._wait_until_quiet():
                return False
            self._env.set_mapsize(size)
            return True
        finally:
            self.begin = self._env.begin
            self._steady.set()
            self._writing.release()

    def _wait_until_quiet(self) -> bool:
        deadline_s = self._monotonic_s() + _QUIET_LIMIT_S
        while self.holders or self._has_reader():
            if self._monotonic_s() >= deadline_s:
                return False
            time.sleep(_QUIET_STEP_S)
        return True

    def _has_reader(self) -> bool:
        """Whether the file's table of readers knows a live one of this process: pid, thread, and "-" when idle."""
        rows = [line.split() for line in self._env.readers().splitlines()[1:]]
        return any(row[0] == str(os.getpid()) and row[2] != "-" for row in rows if len(row) == 3)

    # --- troubles ------------------------------------------------------------------------------------------------

    def _recover(self, error: Exception) -> None:
        """Do what makes another try worthwhile, or raise."""
        if isinstance(error, Growing):
            self._steady.wait(_QUIET_LIMIT_S)
        elif isinstance(error, lmdb.MapResizedError):
            self._adopt_growth()
        elif isinstance(error, lmdb.ReadersFullError):
            if not self._check_readers():
                raise self.mapped(error) from error
        elif isinstance(error, lmdb.Error):
            raise self.mapped(error) from error

    def _adopt_growth(self) -> None:
        if not self._replace_map(0):
            raise StoreUnavailableError(f"{self.directory} was enlarged elsewhere, and a transaction here does not end")
        self._map_bytes = self._env.info()["map_size"]

    def _check_readers(self) -> int:
        """Free the slots of readers that died; they would keep old pages from being used again."""
        self._checked_at_s = self._monotonic_s()
        return self._env.reader_check()

    def _refuse_without_space(self) -> None:
        free = _free_bytes(self.directory)
        if free < self.options.min_free_bytes:
            raise StoreFullError(
                f"the file system of {self.directory} has {free} bytes, writing needs {self.options.min_free_bytes}"
            )

    # --- beginning and end ---------------------------------------------------------------------------------------

    def _open(self) -> lmdb.Environment:
        durability = self.options.durability
        settings: dict[str, Any] = {
            "map_size": self.options.map_bytes,
            "metasync": durability == "durable",
            "sync": durability != "unsafe_nosync",
            "mode": 0o600,
            "create": False,
            "max_readers": self.options.max_readers,
            "max_spare_txns": 1,
        }
        if hasattr(lmdb.Environment, "lib_version"):
            # Otherwise a variable of the process decides the format of new files.
            settings["lib_version"] = 0
        return lmdb.Environment(str(self.directory), **settings)

    def close(self) -> None:
        self._env.close()

    def after_fork(self) -> None:
        """Make everything raise, and let nothing be freed: freeing would end the parent's transactions."""
        error = StoreForkedError(f"{self.directory} was opened before the fork and belongs to the parent process")
        for holder in self.holders:
            _never_free(holder.txn)
            holder.txn = cast(Any, _Forgotten(error))
        _never_free(self._env)
        self._env = cast(Any, Shut(error))
        self.begin = partial(_raise, error)


class _Forgotten(Shut):
    """A transaction of the parent. Ending it here does nothing."""

    def abort(self) -> None: ...


def _raise(error: Exception) -> NoReturn:
    raise type(error)(*error.args)


def _free_bytes(directory: Path) -> int:
    state = os.statvfs(directory)
    return state.f_bavail * state.f_frsize


def _never_free(held: object) -> None:
    ctypes.pythonapi.Py_IncRef(ctypes.py_object(held))
