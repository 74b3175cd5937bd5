"""What observers are given, and how they wait for it."""

from __future__ import annotations

import re
from abc import ABC, abstractmethod
from collections.abc import Awaitable, Coroutine, Sequence
from threading import Lock
from types import TracebackType
from typing import Any, Final, Generic, Literal, Self, TypeVar

from msgspec import Struct

from tierfold.abc.store import LocalStore, RecordChange
from tierfold.errors import QueryError
from tierfold.live.hub import Hub, Membership
from tierfold.model import Change, Record, SegmentName
from tierfold.transactions.transaction import CURRENT, outside
from tierfold.wake import Home, Waiter, wait_home

__all__ = ["Live", "Overflow", "Snapshot", "SnapshotState", "newest"]

T = TypeVar("T")

SnapshotState = Literal["loading", "ready", "stale"]
Overflow = str
"""``latest``, ``buffer(n)`` or ``error``."""

_BUFFER: Final = re.compile(r"buffer\((\d+)\)")
_ERROR_AFTER: Final = 1_000
_FORGET_AFTER: Final = 10_000
"""An observer with so many unseen changes reads all anew instead."""


class Snapshot(Struct, Generic[T], frozen=True):
    """What is observed, as of one commit.

    Attributes:
        value: Objects that several snapshots share as long as they do not change: copy before you change one.
        state: ``loading`` = what was asked for is still being brought down, ``stale`` = not all of it can be reached.
        pending: Whether changes of this tier wait for a farther one.
        lagged: How many commits this snapshot sums up beside the last one, because nobody took them in time.
        changes: What changed since the snapshot before; empty in the first one, and when all had to be read anew.
    """

    value: T
    state: SnapshotState = "ready"
    pending: bool = False
    lagged: int = 0
    changes: tuple[Change, ...] = ()


class _Sum(list[RecordChange]):
    """Several commits as one. Single ones are shared by all observers, and not to be changed."""


class Live(ABC, Generic[T]):
    """Snapshots: what is there when the first is asked for, then one for every commit that changes it, without a gap.

    For one task: iterate it, or use it as ``async with`` and iterate. Leaving the loop any way leaves nothing behind.
    """

    __slots__ = (
        "__weakref__",
        "_capacity",
        "_commits",
        "_fails",
        "_home",
        "_hub",
        "_lagged",
        "_membership",
        "_must_read",
        "_mutex",
        "_news",
        "_seen",
        "_unsorted",
        "_waiter",
        "closed",
    )

    def __init__(self, hub: Hub, overflow: Overflow) -> None:
        self._hub = hub
        self._membership: Membership | None = None
        self._capacity, self._fails = _policy(overflow)
        self._mutex = Lock()
        self._home: Home | None = None
        self._waiter: Waiter | None = None
        self._news: list[Sequence[RecordChange]] = []
        self._unsorted = 0
        self._commits: list[Sequence[RecordChange]] = []
        self._lagged: list[int] = []
        self._must_read = True
        self._seen = 0
        self.closed: bool = False

    # --- being told ----------------------------------------------------------------------------------------------

    def push(self, changes: Sequence[RecordChange]) -> None:
        """Take note of a commit. Called by the hub, in any thread, and therefore quick: no lock, nothing sorted."""
        self._news.append(changes)
        waiter = self._waiter
        if waiter is not None:
            self._waiter = None
            waiter.wake_from_anywhere()
        else:
            self._unsorted += len(changes)
            if self._unsorted > _FORGET_AFTER:
                self._sort_in()

    def _sort_in(self) -> None:
        """Put what came among the commits that wait, as many as the policy allows."""
        with self._mutex:
            self._unsorted = 0
            news = self._news[:]
            del self._news[: len(news)]  # others may append meanwhile
            for changes in news:
                if len(self._commits) < self._capacity:
                    self._commits.append(changes)
                    self._lagged.append(0)
                else:
                    self._sum_up(changes)

    def _sum_up(self, changes: Sequence[RecordChange]) -> None:
        """Make one of a commit and the newest that waits."""
        self._lagged[-1] += 1
        newest = self._commits[-1]
        if not isinstance(newest, _Sum):
            newest = self._commits[-1] = _Sum(newest)
        if len(newest) < _FORGET_AFTER:
            newest.extend(changes)
        else:
            self._must_read = True

    def close(self) -> None:
        """Stop. What was not taken yet is still given; then the iteration ends. Idempotent."""
        self.closed = True
        membership, self._membership = self._membership, None
        if membership is not None:
            self._hub.leave(membership)
        waiter, self._waiter = self._waiter, None
        if waiter is not None:
            waiter.wake_from_anywhere()

    def __del__(self) -> None:
        if self._membership is not None:
            self._hub.abandon(self._membership)

    # --- being asked ---------------------------------------------------------------------------------------------

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def __aiter__(self) -> Self:
        return self

    def __anext__(self) -> Coroutine[Any, Any, Snapshot[T]]:
        """The next snapshot.

        Raises:
            QueryError: With ``overflow="error"``, more than 1,000 commits were not taken in time.
            StoreClosedError: The layer was closed before the first one.
        """
        next = self._wait_for_next()
        return next if CURRENT.get() is None else outside(next)  # what is observed is what is stored

    async def _wait_for_next(self) -> Snapshot[T]:
        while True:
            if self._must_read and not self.closed:
                return await self._read_all()
            if self._news or self._commits:
                changes, lagged = self._pop()
                try:
                    snapshot = self._take(changes, lagged)
                except BaseException:  # it was followed half
                    self._must_read = True
                    raise
                if snapshot is not None:
                    return snapshot
            elif self.closed:
                raise StopAsyncIteration
            else:
                await self._wait()

    def _wait(self) -> Awaitable[None]:
        """For the next commit. Looks again once it can be woken: whoever came before that woke nobody."""
        home = self._home
        if home is None:
            home = wait_home()
            self._home = home if home.lasts else None
        waiter = self._waiter = home.waiter(for_news=True)
        if self._news or self._commits or self.closed:
            waiter.wake()
        return waiter

    async def _read_all(self) -> Snapshot[T]:
        """Joins first, so that nothing is missed; what comes twice is known by its seq."""
        if self._membership is None:
            self._membership = self._join()
            loading = self._loading()
            if loading is not None:
                return loading
        self._sort_in()
        self._check_pace()
        _, lagged = self._drain()
        self._must_read = False  # before reading: more than can be kept may come meanwhile
        try:
            return await self._read(lagged)
        except BaseException:
            self._must_read = True
            raise

    def _drain(self) -> tuple[list[Sequence[RecordChange]], int]:
        """Take all that was sorted in, and how many commits these were."""
        with self._mutex:
            commits, count = self._commits[:], sum(self._lagged) + len(self._commits)
            self._commits.clear()
            self._lagged.clear()
        return commits, count

    def _pop(self) -> tuple[Sequence[RecordChange], int]:
        """The commit that waits longest, and how many more it sums up."""
        if not self._commits and len(self._news) == 1:
            try:
                return self._news.pop(0), 0
            except IndexError:  # another thread sorts it in
                pass
        self._sort_in()
        self._check_pace()
        with self._mutex:
            return self._commits.pop(0), self._lagged.pop(0)

    def _check_pace(self) -> None:
        if self._fails and self._lagged and self._lagged[-1]:
            self.close()
            self._commits.clear()
            raise QueryError(f"the observer fell more than {self._capacity} commits behind")

    @abstractmethod
    def _join(self) -> Membership:
        """Have `push` called from now on."""

    @abstractmethod
    def _loading(self) -> Snapshot[T] | None:
        """What to give while everything is brought down; None when it is all here."""

    @abstractmethod
    async def _read(self, lagged: int) -> Snapshot[T]:
        """Read everything, and set `_seen` to the seq up to which nothing that comes is newer than that."""

    @abstractmethod
    def _take(self, changes: Sequence[RecordChange], lagged: int) -> Snapshot[T] | None:
        """Follow one commit; None when it does not concern what is observed, or all must be read anew."""


def newest(store: LocalStore, segment: SegmentName, id: str) -> tuple[int, Record | None]:
    """What is under an id, with the seq of the view in which that is so."""
    while True:
        seq = store.newest_seq()
        record = store.find_held(segment, id)
        if store.newest_seq() == seq:
            return seq, record


def _policy(overflow: Overflow) -> tuple[int, bool]:
    """How many commits wait, and whether more are an error."""
    if overflow == "latest":
        return 1, False
    if overflow == "error":
        return _ERROR_AFTER, True
    match = _BUFFER.fullmatch(overflow) if isinstance(overflow, str) else None
    if match is None or int(match[1]) < 1:
        raise QueryError(f"overflow is 'latest', 'buffer(n)' or 'error', not {overflow!r}")
    return int(match[1]), False
