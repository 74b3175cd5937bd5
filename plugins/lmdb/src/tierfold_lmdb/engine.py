"""The engine on LMDB: one keyspace, short read transactions, at most one write transaction per process."""

from __future__ import annotations

import weakref
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager
from itertools import takewhile
from typing import Any, Final, cast

import lmdb

from tierfold.errors import StoreClosedError, StoreError
from tierfold.spi import DurableEngine, ReadTransaction, WriteTransaction
from tierfold_lmdb.environment import ENDED, Environment, Growing
from tierfold_lmdb.environments import ENVIRONMENTS
from tierfold_lmdb.options import LmdbOptions
from tierfold_lmdb.shut import Shut

__all__ = ["LmdbEngine"]

_CLOSED: Final = cast(Any, Shut(StoreClosedError("the LMDB store is closed")))


class LmdbEngine(DurableEngine):
    """The file in directory ``location``, created when missing. Several engines of one process share the open file."""

    def __init__(self, location: str, options: LmdbOptions | None = None) -> None:
        self._identity, self._environment = ENVIRONMENTS.enter(location, options or LmdbOptions())

    @property
    def place(self) -> str:
        device, inode = self._identity
        return f"{device}:{inode}"

    def fetch(self, key: bytes) -> tuple[int, bytes | None]:
        try:
            txn = self._environment.begin()
            found = txn.id(), txn.get(key)
            txn.abort()
        except (lmdb.Error, Growing):
            # The map was replaced underneath, or the slots of readers are used up: the longer way knows what to do.
            with self.read() as (number, view):
                return number, view.get(key)
        return found

    def transaction_id(self) -> int:
        with self.read() as (number, _):
            return number

    def read(self) -> AbstractContextManager[tuple[int, ReadTransaction]]:
        return _ReadBlock(self._environment)

    def begin(self) -> WriteTransaction:
        return _Write(self._environment)

    def make_room(self) -> bool:
        return self._environment.grow()

    def close(self) -> None:
        if self._environment is not _CLOSED:
            self._environment = _CLOSED
            ENVIRONMENTS.leave(self._identity)


class _Read(ReadTransaction):
    """Holds ``txn``; set when it begins."""

    txn: lmdb.Transaction[bytes]

    def __init__(self, environment: Environment) -> None:
        self._environment = environment

    def get(self, key: bytes) -> bytes | None:
        try:
            return self.txn.get(key)
        except lmdb.Error as error:
            raise self._environment.mapped(error) from error

    def get_many(self, keys: Sequence[bytes]) -> list[bytes | None]:
        get = self.txn.get
        try:
            return [get(key) for key in keys]
        except lmdb.Error as error:
            raise self._environment.mapped(error) from error

    def scan(self, low: bytes, high: bytes) -> Iterator[tuple[bytes, bytes]]:
        try:
            cursor = self.txn.cursor()
            if cursor.set_range(low):
                for pair in cursor.iternext():
                    if pair[0] >= high:
                        return
                    yield pair
        except lmdb.Error as error:
            raise self._environment.mapped(error) from error

    def scan_back(self, low: bytes, high: bytes) -> Iterator[tuple[bytes, bytes]]:
        try:
            cursor = self.txn.cursor()
            if cursor.prev() if cursor.set_range(high) else cursor.last():
                for pair in cursor.iterprev():
                    if pair[0] < low:
                        return
                    yield pair
        except lmdb.Error as error:
            raise self._environment.mapped(error) from error

    def count(self, low: bytes, high: bytes) -> int:
        try:
            cursor = self.txn.cursor()
            if not cursor.set_range(low):
                return 0
            return sum(1 for _ in takewhile(high.__gt__, cursor.iternext(keys=True, values=False)))
        except lmdb.Error as error:
            raise self._environment.mapped(error) from error

    def last(self, low: bytes, high: bytes) -> tuple[bytes, bytes] | None:
        try:
            cursor = self.txn.cursor()
            found = cursor.prev() if cursor.set_range(high) else cursor.last()
            return cursor.item() if found and cursor.key() >= low else None
        except lmdb.Error as error:
            raise self._environment.mapped(error) from error


class _ReadBlock(_Read, AbstractContextManager[tuple[int, ReadTransaction]]):
    """A read transaction for the length of a ``with`` block."""

    def __enter__(self) -> tuple[int, ReadTransaction]:
        self.txn = self._environment.hold(self)
        return self.txn.id(), self

    def __exit__(self, *_: object) -> None:
        self._environment.release(self)


class _Write(_Read, WriteTransaction):
    def __init__(self, environment: Environment) -> None:
        super().__init__(environment)
        self.txn = environment.hold_writing(self)
        self._number = self.txn.id()

    def id(self) -> int:
        return self._number

    def put(self, key: bytes, value: bytes) -> None:
        try:
            self.txn.put(key, value)
        except lmdb.Error as error:
            raise self._environment.mapped(error) from error

    def put_sorted(self, pairs: Sequence[tuple[bytes, bytes]]) -> None:
        try:
            self.txn.cursor().putmulti(pairs)
        except lmdb.Error as error:
            raise self._environment.mapped(error) from error

    def delete(self, key: bytes) -> None:
        try:
            self.txn.delete(key)
        except lmdb.Error as error:
            raise self._environment.mapped(error) from error

    def commit(self) -> None:
        self._refuse_elsewhere()
        try:
            self.txn.commit()
        except lmdb.Error as error:
            raise self._environment.mapped(error) from error
        self._environment.release_writing(self)

    def abort(self) -> None:
        self._refuse_elsewhere()
        # The driver's own abort waits for a moment in which no thread reads, which may never come. Freeing does not.
        txn = weakref.ref(self.txn)
        self.txn = ENDED
        held = txn()
        if held is not None:
            held.abort()
        self._environment.release_writing(self)

    def _refuse_elsewhere(self) -> None:
        # LMDB would report success and leave its lock to a thread that never gives it back: all writers would hang.
        if not self._environment.is_writer():
            raise StoreError("a write transaction is ended once, and on the thread that began it")
