"""The volatile engine: one sorted map in this process. Its reads are no snapshot across calls, only within a block."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager
from threading import RLock
from types import TracebackType
from typing import Final, NoReturn, cast

from tierfold.abc.engine import Engine, ReadTransaction, WriteTransaction
from tierfold.errors import StoreClosedError, StoreError, StoreForkedError
from tierfold.kv.fork import watch_fork
from tierfold.kv.sorted_map import SortedMap

__all__ = ["MemoryEngine"]

_KEY_LIMIT_BYTES: Final = 511


class MemoryEngine(Engine):
    """An ordered map in memory. One lock, held for every read block and write transaction, keeps threads apart.

    Args:
        name: The `place`; random, because two memory engines are never the same data.
    """

    def __init__(self, name: str) -> None:
        self._place = name
        self._gate: AbstractContextManager[object] = RLock()
        self.rows: SortedMap = SortedMap()
        self.commits = 0
        watch_fork(self)

    @property
    def place(self) -> str:
        return self._place

    def fetch(self, key: bytes) -> tuple[int, bytes | None]:
        with self._gate:
            return self.commits, self.rows.get(key)

    def transaction_id(self) -> int:
        with self._gate:
            return self.commits

    def read(self) -> AbstractContextManager[tuple[int, ReadTransaction]]:
        return _ReadBlock(self, self._gate)

    def begin(self) -> WriteTransaction:
        gate = self._gate
        gate.__enter__()
        return _Write(self, gate)

    def make_room(self) -> bool:
        return False

    def close(self) -> None:
        self._gate = _Shut(StoreClosedError("the memory store is closed"))

    def after_fork(self) -> None:
        self._gate = _Shut(StoreForkedError("the memory store belongs to the process that opened it, before the fork"))


class _Shut(AbstractContextManager[object]):
    """Stands where the lock was, so that an open engine need not ask on every call whether it is one."""

    def __init__(self, error: StoreError) -> None:
        self._error = error

    def __enter__(self) -> NoReturn:
        raise type(self._error)(*self._error.args)

    def __exit__(self, *_: object) -> None: ...


class _Ended:
    """Stands where the rows were once a transaction has ended."""

    def __getattr__(self, _: str) -> NoReturn:
        raise StoreClosedError("the transaction has ended")


_ENDED: Final = cast(SortedMap, _Ended())


class _Read(ReadTransaction):
    def __init__(self, rows: SortedMap) -> None:
        self._rows = rows

    def get(self, key: bytes) -> bytes | None:
        return self._rows.get(key)

    def get_many(self, keys: Sequence[bytes]) -> list[bytes | None]:
        get = self._rows.get
        return [get(key) for key in keys]

    def scan(self, low: bytes, high: bytes) -> Iterator[tuple[bytes, bytes]]:
        for pair in self._rows.scan(low, high):
            yield pair
            if self._rows is _ENDED:
                raise StoreClosedError("the transaction has ended")

    def scan_back(self, low: bytes, high: bytes) -> Iterator[tuple[bytes, bytes]]:
        for pair in self._rows.scan_back(low, high):
            yield pair
            if self._rows is _ENDED:
                raise StoreClosedError("the transaction has ended")

    def count(self, low: bytes, high: bytes) -> int:
        return self._rows.count(low, high)

    def last(self, low: bytes, high: bytes) -> tuple[bytes, bytes] | None:
        return self._rows.last(low, high)

    def end(self) -> None:
        self._rows = _ENDED


class _ReadBlock(AbstractContextManager[tuple[int, ReadTransaction]]):
    def __init__(self, engine: MemoryEngine, gate: AbstractContextManager[object]) -> None:
        self._engine = engine
        self._gate = gate
        self._view = _Read(engine.rows)

    def __enter__(self) -> tuple[int, ReadTransaction]:
        self._gate.__enter__()
        return self._engine.commits, self._view

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._view.end()
        self._gate.__exit__(kind, error, trace)


class _Write(_Read, WriteTransaction):
    """Writes in place and remembers what it replaced."""

    def __init__(self, engine: MemoryEngine, gate: AbstractContextManager[object]) -> None:
        super().__init__(engine.rows)
        self._engine = engine
        self._gate = gate
        self._replaced: dict[bytes, bytes | None] = {}

    def id(self) -> int:
        return self._engine.commits + 1

    def put(self, key: bytes, value: bytes) -> None:
        if not 0 < len(key) <= _KEY_LIMIT_BYTES:
            raise StoreError(f"a key has {len(key)} bytes, 1 to {_KEY_LIMIT_BYTES} are possible")
        replaced = self._rows.put(key, value)
        self._replaced.setdefault(key, replaced)

    def put_sorted(self, pairs: Sequence[tuple[bytes, bytes]]) -> None:
        for key, value in pairs:
            self.put(key, value)

    def delete(self, key: bytes) -> None:
        removed = self._rows.delete(key)
        if removed is not None:
            self._replaced.setdefault(key, removed)

    def commit(self) -> None:
        # A transaction that wrote nothing is no commit: whoever polls the number would look for changes in vain.
        self._engine.commits += bool(self._replaced)
        self._leave()

    def abort(self) -> None:
        rows = self._rows
        for key, value in self._replaced.items():
            if value is None:
                rows.delete(key)
            else:
                rows.put(key, value)
        self._leave()

    def _leave(self) -> None:
        self.end()
        self._gate.__exit__(None, None, None)
