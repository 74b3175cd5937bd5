"""One LMDB file opened in this process, shared by every engine on it.

Its `begin` is replaced while the map grows and in a forked child, so that the hottest call asks no questions.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from pathlib import Path
from threading import Event, Lock, get_ident
from typing import Any, Final, Protocol, cast

import lmdb

from tierfold.errors import StoreClosedError, StoreError, StoreForkedError, StoreFullError, StoreUnavailableError
from tierfold_lmdb.driver import free_bytes, open_driver
from tierfold_lmdb.errors import mapped
from tierfold_lmdb.options import LmdbOptions
from tierfold_lmdb.shut import Abandoned, Shut, never_free, refusing

__all__ = ["ENDED", "Environment", "Growing", "Holder"]

_TRIES: Final = 5
_STALE_CHECK_S: Final = 30.0
_QUIET_LIMIT_S: Final = 5.0
_QUIET_STEP_S: Final = 0.0005
_SHORT_WRITE_BYTES: Final = 1024**2
"""A disk with less room than this is what cut a write short."""


ENDED: Final = cast(Any, Shut(StoreClosedError("the transaction has ended")))


class Growing(Exception):  # noqa: N818 - never leaves this package
    """No transaction begins right now: the map is being replaced."""


class Holder(Protocol):
    """Who holds a transaction."""

    txn: lmdb.Transaction[bytes]


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
        self._map_is_full = False
        self._is_lost = False
        self._forked: StoreForkedError | None = None
        self._env = open_driver(directory, options)
        self._data = _watch(directory)
        self.begin: Callable[[], lmdb.Transaction[bytes]] = self._env.begin
        self._check_readers()

    # --- transactions --------------------------------------------------------------------------------------------

    def hold(self, holder: Holder) -> lmdb.Transaction[bytes]:
        """Begin the read transaction of ``holder``; the map does not change until `release`."""
        tries = 0
        while tries < _TRIES:
            self.holders.add(holder)
            try:
                return self.begin()
            except Growing:
                self.holders.discard(holder)
                self._outwait_growth()  # is not a try: a map that grows by doubling soon has its size
            except lmdb.Error as error:
                self.holders.discard(holder)
                self._recover(error)
                tries += 1
        raise StoreUnavailableError(f"the map of {self.directory} is replaced again and again")

    def release(self, holder: Holder) -> None:
        holder.txn.abort()
        holder.txn = ENDED  # the driver gives the reader's slot back when nobody refers to the transaction
        self.holders.discard(holder)

    def hold_writing(self, holder: Holder) -> lmdb.Transaction[bytes]:
        """Begin the write transaction of ``holder``, once no other thread or process has one."""
        if self._writer == get_ident():
            raise StoreError("this thread has a write transaction already")
        self._refuse_without_file()
        self._refuse_without_space()
        for _ in range(_TRIES):
            self._refuse_after_fork()
            self._writing.acquire()
            try:
                # Looked up only now: who had the lock before may have opened the file anew.
                if self._monotonic_s() - self._checked_at_s >= _STALE_CHECK_S:
                    self._check_readers()
                txn = self._env.begin(write=True)
            except lmdb.Error as error:
                self._writing.release()
                self._recover(error)
            else:
                self._writer = get_ident()
                self.holders.add(holder)
                return txn
        raise StoreUnavailableError(f"the map of {self.directory} is replaced again and again")

    def release_writing(self, holder: Holder) -> None:
        self.holders.discard(holder)
        self._writer = 0
        self._writing.release()

    def is_writer(self) -> bool:
        """Whether this thread has the write transaction, which only it may use and end."""
        return self._writer == get_ident()

    def mapped(self, error: lmdb.Error) -> StoreError:
        """Tierfold's error for ``error``."""
        if isinstance(error, lmdb.MapFullError):
            self._map_is_full = True
            limit = f"max_map_bytes={self.options.max_map_bytes}"
            return StoreFullError(f"the map of {self.directory} is full, and may grow to {limit}; give it more")
        return mapped(error, disk_is_full=free_bytes(self.directory) < _SHORT_WRITE_BYTES)

    # --- the map -------------------------------------------------------------------------------------------------

    def grow(self) -> bool:
        """After a full map: enlarge it. False when it may not grow, or was not what is full."""
        self._refuse_after_fork()
        was_full, self._map_is_full = self._map_is_full, False
        return was_full and self._when_quiet(self._enlarge)

    def _enlarge(self) -> bool:
        size = self._env.info()["map_size"]
        larger = min(2 * size, self.options.max_map_bytes)
        if larger > size:
            self._env.set_mapsize(larger)
        return larger > size

    def _adopt_size(self) -> bool:
        """Another process enlarged the map."""
        self._env.set_mapsize(0)
        return True

    def _reopen(self) -> bool:
        self._env.close()
        self._env = open_driver(self.directory, self.options)
        os.close(self._data)
        self._data = _watch(self.directory)
        return True

    def _when_quiet(self, change: Callable[[], bool]) -> bool:
        """Let no transaction begin, wait until none is open, and ``change`` the map. False when one did not end.

        A transaction that is open while the map changes would be lost, or end the process.
        """
        if not self._writing.acquire(timeout=_QUIET_LIMIT_S):
            return False
        try:
            self._steady.clear()
            self.begin = refusing(Growing())
            if not self._wait_until_quiet():
                return False
            # The driver gives up an environment whose map it could not change, and one that it could not open again.
            self._is_lost = True
            changed = change()
            self._is_lost = False
        except lmdb.Error as error:
            raise self.mapped(error) from error
        else:
            return changed
        finally:
            self.begin = self._env.begin
            self._steady.set()
            self._writing.release()

    def _wait_until_quiet(self) -> bool:
        deadline_s = self._monotonic_s() + _QUIET_LIMIT_S
        while self.holders or (not self._is_lost and self._has_reader()):
            if self._monotonic_s() >= deadline_s:
                return False
            time.sleep(_QUIET_STEP_S)
        return True

    def _has_reader(self) -> bool:
        """Whether the file's table of readers knows a live one of this process: pid, thread, and "-" when idle."""
        rows = [line.split() for line in self._env.readers().splitlines()[1:]]
        return any(row[0] == str(os.getpid()) and row[2] != "-" for row in rows if len(row) == 3)

    # --- troubles ------------------------------------------------------------------------------------------------

    def _outwait_growth(self) -> None:
        if not self._steady.wait(_QUIET_LIMIT_S):
            raise StoreUnavailableError(f"the map of {self.directory} is being replaced")

    def _recover(self, error: lmdb.Error) -> None:
        """Do what makes another try worthwhile, or raise."""
        if isinstance(error, lmdb.MapResizedError):
            helped = self._when_quiet(self._adopt_size)
        elif isinstance(error, lmdb.ReadersFullError):
            helped = self._check_readers() > 0
        else:
            # After a failed write of its meta page LMDB refuses everything, reading too, until the file is opened anew.
            lost = isinstance(error, lmdb.PanicError) or self._is_lost
            helped = lost and self._when_quiet(self._reopen)
        if not helped:
            raise self.mapped(error) from error

    def _check_readers(self) -> int:
        """Free the slots of readers that died; they would keep old pages from being used again."""
        self._checked_at_s = self._monotonic_s()
        return self._env.reader_check()

    def _refuse_without_file(self) -> None:
        """A file without a name goes on working, and is gone with the last process that has it open."""
        if os.fstat(self._data).st_nlink == 0:
            raise StoreUnavailableError(f"the data file of {self.directory} was deleted while it was open")

    def _refuse_after_fork(self) -> None:
        """Before waiting for a lock that may be held for ever: who would give it back is in the parent process."""
        if self._forked is not None:
            raise StoreForkedError(*self._forked.args)

    def _refuse_without_space(self) -> None:
        free = free_bytes(self.directory)
        if free < self.options.min_free_bytes:
            raise StoreFullError(
                f"the file system of {self.directory} has {free} bytes, writing needs {self.options.min_free_bytes}"
            )

    # --- end -----------------------------------------------------------------------------------------------------

    def close(self) -> None:
        self._env.close()
        os.close(self._data)

    def after_fork(self) -> None:
        """Make everything raise, and let nothing be freed: freeing would end the parent's transactions."""
        error = StoreForkedError(f"{self.directory} was opened before the fork and belongs to the parent process")
        for holder in self.holders:
            never_free(holder.txn)
            holder.txn = cast(Any, Abandoned(error))
        never_free(self._env)
        self._forked = error
        self._env = cast(Any, Shut(error))
        self.begin = refusing(error)


def _watch(directory: Path) -> int:
    """A descriptor of the data file, to ask about it and not about what has its name by then."""
    return os.open(directory / "data.mdb", os.O_RDONLY | os.O_CLOEXEC)
