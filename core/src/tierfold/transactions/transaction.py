"""Transactions of a layer: begun by a block, seen by the task or thread that is in it, committed as one batch."""

from __future__ import annotations

from collections.abc import Callable, Coroutine, Sequence
from contextlib import AbstractAsyncContextManager
from contextvars import ContextVar
from types import TracebackType
from typing import Any, Final, Protocol, TypeVar

from tierfold.abc.store import LocalStore
from tierfold.catalog import require_agreement
from tierfold.entities.declaration import Declaration
from tierfold.errors import AlreadyExistsError, StaleWriteError, TransactionError
from tierfold.model import Commit, Record, SegmentName, Write
from tierfold.transactions.overlay import Overlay
from tierfold.transactions.pending import Pending

__all__ = ["CURRENT", "Block", "Transaction", "current_of", "outside"]

T = TypeVar("T")

_ENDED: Final = (
    "the transaction that this task was started in has ended; start the task outside of it, or give it one of its own"
)
_FAILED: Final = (
    "a block inside this transaction failed, so none of it is stored; let the error leave the outer block, too"
)


class Tiers(Protocol):
    """What transactions are of: the tiers of one layer."""

    @property
    def writer(self) -> LocalStore: ...

    async def write(self, writes: Sequence[Write]) -> Commit: ...

    async def declare(self, type: str, declaration: bytes) -> bytes: ...


class Transaction:
    """What one outermost block has written so far, and what is to be done once that is stored."""

    def __init__(self, tiers: Tiers) -> None:
        self.tiers = tiers
        self.has_ended: bool = False
        self.has_failed: bool = False
        self.pending: Pending = Pending()
        self._views: dict[LocalStore, Overlay] = {}
        self._loads: dict[str, Callable[[Record], object]] = {}
        self._callbacks: dict[Callable[[], None], None] = {}
        self._fills: list[tuple[SegmentName, str, Callable[[Record], object]]] = []

    def view(self, store: LocalStore) -> LocalStore:
        """A store as this transaction sees it."""
        known = self._views.get(store)
        if known is None:
            known = self._views[store] = Overlay(store, self.pending)
        return known

    def require_going_on(self) -> None:
        """
        Raises:
            TransactionError: It has ended, or a part of it failed.
        """
        if self.has_ended:
            raise TransactionError(_ENDED)
        if self.has_failed:
            raise TransactionError(_FAILED)

    def join(self, type: str, load: Callable[[Record], object], committed: Callable[[], None]) -> None:
        """A repository is about to write: how it makes entities of records, and what it does after the commit."""
        self._loads[type] = load
        self._callbacks[committed] = None

    def fill_later(self, segment: SegmentName, id: str, fill: Callable[[Record], object]) -> None:
        """Hand the record that is stored under an id at the end to ``fill``, unless it is deleted by then."""
        self._fills.append((segment, id, fill))

    async def end(self, stores: bool) -> None:
        """From now on nobody is in it. Store everything as one batch, or discard it.

        Raises:
            StaleWriteError: Somebody else wrote in between to what a condition of this transaction is about.
            TransactionError: It failed.
        """
        self.has_ended = True
        if stores and self.has_failed:
            raise TransactionError(_FAILED)
        writes = self.pending.writes() if stores else []
        if writes:
            await self._commit(writes)

    async def _commit(self, writes: Sequence[Write]) -> None:
        for type, ours in self.pending.declarations.items():
            stored = await self.tiers.declare(type, ours)
            require_agreement(Declaration.from_bytes(ours), Declaration.from_bytes(stored))
        try:
            commit = await self.tiers.write(writes)
        except (StaleWriteError, AlreadyExistsError) as error:
            raise self._conflict(error, writes) from None
        self._finish(writes, commit)

    def _conflict(self, error: StaleWriteError | AlreadyExistsError, writes: Sequence[Write]) -> StaleWriteError:
        """A create that lost is stale, too: the program looked before, and acted on it."""
        segment = next(each.segment for each in writes if (each.segment.type, each.id) == (error.type, error.id))
        current = self.tiers.writer.find_held(segment, error.id)
        if current is None or current.deleted:
            return StaleWriteError(error.type, error.id, None, None)
        return StaleWriteError(error.type, error.id, self._loads[error.type](current), current.etag)

    def _finish(self, writes: Sequence[Write], commit: Commit) -> None:
        for callback in self._callbacks:
            callback()
        stored = {(write.segment, write.id): done.record for write, done in zip(writes, commit.written, strict=True)}
        for segment, id, fill in self._fills:
            record = stored[segment, id]
            if record is not None and not record.deleted:
                fill(record)


CURRENT: Final[ContextVar[Transaction | None]] = ContextVar("tierfold transaction", default=None)
"""The one that was begun in this task or thread, or where this task was started. It may have ended."""


def current_of(tiers: Tiers, *, to_write: bool = False) -> Transaction | None:
    """The transaction of a layer that is going on in this task or thread.

    Raises:
        TransactionError: It has ended, or failed; or ``to_write`` and one of another layer is going on.
    """
    transaction = CURRENT.get()
    if transaction is None:
        return None
    if transaction.tiers is tiers:
        transaction.require_going_on()
        return transaction
    if to_write and not transaction.has_ended:
        raise TransactionError("a transaction of another layer is going on, and this write would be no part of it")
    return None


async def outside(work: Coroutine[Any, Any, T]) -> T:
    """Await ``work`` as if no transaction went on: it reads what is stored."""
    transaction = CURRENT.get()
    CURRENT.set(None)
    try:
        return await work
    finally:
        CURRENT.set(transaction)


class Block(AbstractAsyncContextManager[None]):
    """One ``async with data.transaction()``. It begins a transaction, or joins the one that is going on."""

    def __init__(self, tiers: Tiers) -> None:
        self._tiers = tiers
        self._outer: Transaction | None = None
        self._own: Transaction | None = None
        self._joined: Transaction | None = None

    async def __aenter__(self) -> None:
        if self._own is not None or self._joined is not None:
            raise TransactionError("this transaction was used before; call transaction() again")
        outer = CURRENT.get()
        if outer is not None and not outer.has_ended:
            self._joined = current_of(self._tiers, to_write=True)
        else:
            self._outer, self._own = outer, Transaction(self._tiers)
            CURRENT.set(self._own)

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._joined is not None and error is not None:
            self._joined.has_failed = True
        if self._own is None:
            return
        # Set, not reset by a token: a fixture may be left in another context than it was entered in.
        CURRENT.set(None)
        try:
            await self._own.end(error is None)
        finally:
            CURRENT.set(self._outer)
