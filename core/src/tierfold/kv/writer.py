"""Who runs units on an engine. Commits are delivered in order, and before any call that waited for one returns."""

from __future__ import annotations

import atexit
import logging
import time
from abc import ABC, abstractmethod
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from functools import partial
from queue import SimpleQueue
from threading import Event, Lock, Thread, get_ident
from typing import Any, Final, Generic

from tierfold.abc.engine import DurableEngine, Engine, WriteTransaction
from tierfold.errors import (
    BlockingCallError,
    StoreClosedError,
    StoreError,
    StoreForkedError,
    StoreFullError,
    StoreTimeoutError,
)
from tierfold.kv.fork import watch_fork
from tierfold.kv.unit import ResultT, SessionT, Ticket, Unit
from tierfold.wake import Home, Waiter, refuse_in_loop, wait_home

__all__ = ["InlineWriter", "Writer", "WriterThread", "start_writer"]

_GROUP_LIMIT_BYTES: Final = 4 * 1024 * 1024
_GROUP_LIMIT_S: Final = 0.05
_PAUSE_S: Final = 0.0002
"""After a full group, so that other processes get their turn."""

_log = logging.getLogger("tierfold.kv")


class Writer(ABC, Generic[SessionT]):
    """Runs units one after the other in write transactions of one engine.

    Args:
        engine: Only this writer begins write transactions of it.
        open_session: Wraps a transaction in what the units work with.
        deliver: Told of every session that was committed, one at a time and in the order of the commits, in whichever
            thread comes first. What it raises is logged.
    """

    def __init__(
        self,
        engine: Engine,
        open_session: Callable[[WriteTransaction], SessionT],
        deliver: Callable[[SessionT], None],
    ) -> None:
        self._engine = engine
        self._open_session = open_session
        self._deliver = deliver
        self._refusal: StoreError | None = None
        self._committed: deque[SessionT] = deque()
        self._delivering = Lock()
        self._deliverer = 0
        watch_fork(self)

    @abstractmethod
    def submit(self, unit: Unit[SessionT, ResultT]) -> Ticket[SessionT, ResultT]:
        """Have ``unit`` run, without waiting for it.

        Raises:
            StoreClosedError: After `close`; `StoreForkedError` in a forked child.
        """

    @abstractmethod
    async def run(self, unit: Unit[SessionT, ResultT]) -> ResultT:
        """Run ``unit`` and return once it is committed and delivered, or raise why it was not.

        A unit whose caller is cancelled before it has started does not run; later its commit stands.
        """

    @abstractmethod
    def run_blocking(self, unit: Unit[SessionT, ResultT], timeout_s: float | None = None) -> ResultT:
        """Like `run`, for threads without an event loop.

        Raises:
            BlockingCallError: In the thread of an event loop, or in a delivery.
            StoreTimeoutError: The unit was not done in time; if it had not started, it does not run.
        """

    @abstractmethod
    def close(self) -> None:
        """Run what was submitted, deliver it, and refuse everything later. Idempotent. The engine stays open."""

    def after_fork(self) -> None:
        """Refuse everything: the thread, and perhaps the holders of the locks, are in the parent."""
        self._refusal = StoreForkedError("the store belongs to the process that opened it, before the fork")

    def _admit(self) -> None:
        if self._refusal is not None:
            raise type(self._refusal)(*self._refusal.args)

    def _refuse_to_block(self) -> None:
        self._refuse_in_delivery()
        refuse_in_loop()

    def _refuse_in_delivery(self) -> None:
        if self._deliverer == get_ident():
            raise BlockingCallError("a delivery must not wait for the writer, which waits for it")

    def _transact(self, members: Callable[[SessionT], Iterable[Ticket[SessionT, Any]]]) -> None:
        """Run tickets in one transaction. Raises what is not the fault of a single unit, with nothing written."""
        txn = self._engine.begin()
        try:
            session = self._open_session(txn)
            accepted = [ticket for ticket in members(session) if ticket.attempt(session)]
            if accepted:
                session.flush()
                txn.commit()
        except BaseException:  # also an interrupt must not leave the transaction open
            txn.abort()
            raise
        if accepted:
            self._committed.append(session)
        else:
            txn.abort()

    def _run_alone(self, ticket: Ticket[SessionT, Any]) -> None:
        while True:
            try:
                return self._transact(lambda _: (ticket,))
            except StoreFullError as error:
                if self._make_room():
                    continue
                return ticket.fail(error)
            except Exception as error:  # noqa: BLE001 - the thread outlives whatever a unit raises
                return ticket.fail(error)

    def _make_room(self) -> bool:
        try:
            return self._engine.make_room()
        except StoreError:
            _log.exception("no room could be made")
            return False

    def _drain(self) -> None:
        """Deliver what was committed. Whoever returns from here knows that everything committed before is delivered."""
        if self._deliverer == get_ident():
            return
        with self._delivering:
            self._deliverer = get_ident()
            try:
                while self._committed:
                    self._deliver_one(self._committed.popleft())
            finally:
                self._deliverer = 0

    def _deliver_one(self, session: SessionT) -> None:
        try:
            self._deliver(session)
        except Exception:  # noqa: BLE001 - the commit stands, and others wait for it
            _log.exception("a commit could not be delivered")


class InlineWriter(Writer[SessionT]):
    """For engines that do not wait for a disk: a unit runs at once, in the caller's thread."""

    def __init__(
        self,
        engine: Engine,
        open_session: Callable[[WriteTransaction], SessionT],
        deliver: Callable[[SessionT], None],
    ) -> None:
        super().__init__(engine, open_session, deliver)
        self._running = Lock()

    def submit(self, unit: Unit[SessionT, ResultT]) -> Ticket[SessionT, ResultT]:
        ticket = Ticket(unit)
        self._admit()
        with self._running:
            self._admit()
            self._run_alone(ticket)
        ticket.done = True
        self._drain()
        return ticket

    async def run(self, unit: Unit[SessionT, ResultT]) -> ResultT:
        return self.submit(unit).result()

    def run_blocking(self, unit: Unit[SessionT, ResultT], timeout_s: float | None = None) -> ResultT:
        self._refuse_to_block()
        return self.submit(unit).result()

    def close(self) -> None:
        if self._refusal is None:
            self._refuse_in_delivery()
            with self._running:
                self._refusal = StoreClosedError("the store is closed")
            self._drain()


class WriterThread(Writer[SessionT]):
    """For durable engines: one thread, which alone begins, uses and ends write transactions, and commits in groups."""

    def __init__(
        self,
        engine: Engine,
        open_session: Callable[[WriteTransaction], SessionT],
        deliver: Callable[[SessionT], None],
    ) -> None:
        super().__init__(engine, open_session, deliver)
        self._mutex = Lock()
        self._queue: SimpleQueue[Ticket[SessionT, Any] | None] = SimpleQueue()
        self._thread = Thread(target=self._work, name=f"tierfold-writer-{engine.place}", daemon=True)
        self._thread.start()
        atexit.register(self.close)

    def submit(self, unit: Unit[SessionT, ResultT]) -> Ticket[SessionT, ResultT]:
        return self._enqueue(Ticket(unit))

    async def run(self, unit: Unit[SessionT, ResultT]) -> ResultT:
        waiter = wait_home().waiter()
        ticket = self._enqueue(Ticket(unit, waiter))
        try:
            await waiter
        finally:
            ticket.withdraw()
        return ticket.result()

    def run_blocking(self, unit: Unit[SessionT, ResultT], timeout_s: float | None = None) -> ResultT:
        self._refuse_to_block()
        woken = Event()
        ticket = self._enqueue(Ticket(unit, woken))
        try:
            woken.wait(timeout_s)
        finally:  # also an interrupt ends the wait
            never = ticket.withdraw()
            if done := self._leave(ticket):
                self._drain()
        if not done:
            raise StoreTimeoutError(f"the write {'has not started' if never else 'goes on'} after {timeout_s} s")
        return ticket.result()

    def close(self) -> None:
        if isinstance(self._refusal, StoreForkedError):
            return
        self._refuse_in_delivery()
        with self._mutex:
            if self._refusal is None:
                self._refusal = StoreClosedError("the store is closed")
                self._queue.put(None)
        self._thread.join()
        self._drain()
        atexit.unregister(self.close)

    def _enqueue(self, ticket: Ticket[SessionT, ResultT]) -> Ticket[SessionT, ResultT]:
        self._admit()
        with self._mutex:
            self._admit()
            self._queue.put(ticket)
        return ticket

    def _leave(self, ticket: Ticket[SessionT, Any]) -> bool:
        """Whether the unit is done. If not, its commit is no longer this caller's to deliver."""
        with self._mutex:
            ticket.waiter = None
            return ticket.done

    def _work(self) -> None:
        while (ticket := self._queue.get()) is not None:
            if ticket.start():
                group = _Group(ticket, self._queue)
                self._run_group(group)
                if group.is_full:
                    time.sleep(_PAUSE_S)
                if group.saw_end:
                    return

    def _run_group(self, group: _Group[SessionT]) -> None:
        try:
            self._transact(group.members)
        except Exception:  # noqa: BLE001 - each unit meets its own error below
            # One unit spoiled the transaction, and the engine does not say which.
            for ticket in group.tickets:
                self._run_alone(ticket)
                self._announce([ticket])
        else:
            self._announce(group.tickets)

    def _announce(self, tickets: list[Ticket[SessionT, Any]]) -> None:
        """Wake those who wait for the tickets; whoever comes first delivers. If nobody is left to wake, do it here."""
        with self._mutex:
            waiting = [ticket.waiter for ticket in tickets]
            for ticket in tickets:
                ticket.done = True
        by_home: dict[Home, list[Waiter]] = {}
        woken = False
        for waiter in waiting:
            if isinstance(waiter, Event):
                waiter.set()
                woken = True
            elif waiter is not None:
                by_home.setdefault(waiter.home, []).append(waiter)
        for home, waiters in by_home.items():
            woken |= home.call(partial(self._arrive, waiters))
        if not woken:
            self._drain()

    def _arrive(self, waiters: list[Waiter]) -> None:
        self._drain()
        for waiter in waiters:
            waiter.wake()


class _Group(Generic[SessionT]):
    """The tickets of one transaction, taken from the queue while it runs."""

    def __init__(self, first: Ticket[SessionT, Any], queue: SimpleQueue[Ticket[SessionT, Any] | None]) -> None:
        self._queue = queue
        self.tickets = [first]
        self.is_full = False
        self.saw_end = False

    def members(self, session: SessionT) -> Iterator[Ticket[SessionT, Any]]:
        yield self.tickets[0]
        deadline_s = time.monotonic() + _GROUP_LIMIT_S
        while not self._queue.empty():
            self.is_full = session.size_bytes >= _GROUP_LIMIT_BYTES or time.monotonic() >= deadline_s
            if self.is_full:
                return
            ticket = self._queue.get()
            if ticket is None:
                self.saw_end = True
                return
            if ticket.start():
                self.tickets.append(ticket)
                yield ticket


def start_writer(
    engine: Engine,
    open_session: Callable[[WriteTransaction], SessionT],
    deliver: Callable[[SessionT], None],
) -> Writer[SessionT]:
    """The writer that suits ``engine``."""
    kind = WriterThread if isinstance(engine, DurableEngine) else InlineWriter
    return kind(engine, open_session, deliver)
