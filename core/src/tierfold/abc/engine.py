"""The engine seam: an ordered map of bytes to bytes with transactions. All record logic is written once above it."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager
from typing import Protocol

__all__ = ["DurableEngine", "Engine", "ReadTransaction", "WriteTransaction"]


class ReadTransaction(Protocol):
    """One consistent view. Short: never held across an ``await``, never handed to another thread."""

    def get(self, key: bytes) -> bytes | None:
        """E1: the value under ``key``, byte for byte as put, or None."""

    def get_many(self, keys: Sequence[bytes]) -> list[bytes | None]:
        """E17: what `get` answers for each key, in their order."""

    def scan(self, low: bytes, high: bytes) -> Iterator[tuple[bytes, bytes]]:
        """E2: every pair with ``low <= key < high``, ascending. Ends with the transaction; a put or delete in the same
        transaction invalidates it, so collect first."""

    def scan_back(self, low: bytes, high: bytes) -> Iterator[tuple[bytes, bytes]]:
        """E18: the same pairs as `scan`, descending."""

    def count(self, low: bytes, high: bytes) -> int:
        """E19: how many pairs `scan` gives, in a third of its time."""

    def last(self, low: bytes, high: bytes) -> tuple[bytes, bytes] | None:
        """E3: the pair with the greatest key in ``low <= key < high``, or None."""


class WriteTransaction(ReadTransaction, Protocol):
    """E4: sees its own writes; nobody else does before `commit`."""

    def id(self) -> int:
        """E5: what `Engine.transaction_id` says once this transaction is committed, if it wrote anything."""

    def put(self, key: bytes, value: bytes) -> None: ...

    def put_sorted(self, pairs: Sequence[tuple[bytes, bytes]]) -> None:
        """E6: put many whose keys ascend strictly; same effect as `put` for each, cheaper."""

    def delete(self, key: bytes) -> None:
        """E7: remove ``key``; nothing happens when it is missing."""

    def commit(self) -> None:
        """E8: all writes become visible at once, to every process, or an error is raised and none does."""

    def abort(self) -> None:
        """E9: none of the writes happened. Allowed once, also after a failed `commit`."""


class Engine(ABC):
    """An open ordered map. Reads may come from any thread; at most one thread writes.

    Keys have 1 to 511 bytes, values up to 2 GiB. Every method raises only errors of the `StoreError` tree; a driver's
    own exceptions are mapped in one table. After `close` each call raises `StoreClosedError`, after a fork in the
    child `StoreForkedError`.
    """

    @property
    @abstractmethod
    def place(self) -> str:
        """E10: names the physical place of the data. A copy of the files has another, the same files have the same."""

    @abstractmethod
    def fetch(self, key: bytes) -> tuple[int, bytes | None]:
        """E11: (transaction id, value or None) of one short read; the hottest call there is."""

    @abstractmethod
    def transaction_id(self) -> int:
        """E12: id of the last commit of any process. Every commit of every process that wrote anything changes it."""

    @abstractmethod
    def read(self) -> AbstractContextManager[tuple[int, ReadTransaction]]:
        """E13: a view for the length of a ``with`` block, and the id of the last commit it sees."""

    @abstractmethod
    def begin(self) -> WriteTransaction:
        """E14: wait for the writers of other processes, then begin the one write transaction.

        Begin, use and end it on one thread.
        """

    @abstractmethod
    def make_room(self) -> bool:
        """E15: called between transactions after a `StoreFullError`; True when it made room and a repeat may work."""

    @abstractmethod
    def close(self) -> None:
        """E16: idempotent; waits for nobody. A write transaction that is still open never happens, and holds up nobody
        who opens the same data again."""


class DurableEngine(Engine):
    """An engine whose content outlives the process. Its commits wait for a disk, so a dedicated thread makes them."""
