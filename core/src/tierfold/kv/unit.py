"""What the writer runs: a unit in a session, and the ticket that says what became of it."""

from __future__ import annotations

from threading import Event, Lock
from typing import Generic, Protocol, TypeVar

from tierfold.wake import Waiter

__all__ = ["Session", "Ticket", "Unit"]


class Session(Protocol):
    """One write transaction and what its units accumulate in it."""

    def flush(self) -> None:
        """Write what was accumulated; the commit follows."""

    @property
    def size_bytes(self) -> int:
        """How much the units wrote so far, roughly."""


SessionT_contra = TypeVar("SessionT_contra", contravariant=True)
SessionT = TypeVar("SessionT", bound=Session)
ResultT_co = TypeVar("ResultT_co", covariant=True)
ResultT = TypeVar("ResultT")


class Unit(Protocol[SessionT_contra, ResultT_co]):
    """One write, all of it or nothing. It can be run again from the start after an aborted attempt."""

    def check(self, session: SessionT_contra) -> None:
        """Raise to refuse. Sees the units before it in the same transaction; writes nothing."""

    def put(self, session: SessionT_contra) -> ResultT_co:
        """Write. Raises nothing of its own: an error of the engine aborts the whole transaction."""


class Ticket(Generic[SessionT, ResultT]):
    """One submitted unit. Started or withdrawn, never both; done once nobody can see it undone."""

    __slots__ = ("_claim", "_error", "_result", "_unit", "done", "waiter")

    def __init__(self, unit: Unit[SessionT, ResultT], waiter: Waiter | Event | None = None) -> None:
        self._unit = unit
        self._claim = Lock()
        self._result: ResultT
        self._error: Exception | None = None
        self.waiter: Waiter | Event | None = waiter
        self.done: bool = False

    def start(self) -> bool:
        """Take the unit to run it; False when it was withdrawn."""
        return self._claim.acquire(blocking=False)

    def withdraw(self) -> bool:
        """Take the unit back; False when it was started."""
        return self._claim.acquire(blocking=False)

    def attempt(self, session: SessionT) -> bool:
        """Run the unit; False when its check refused. What `put` raises goes through."""
        self._error = None
        try:
            self._unit.check(session)
        except Exception as error:  # noqa: BLE001 - whatever it is, it is for the caller alone
            self._error = error
            return False
        self._result = self._unit.put(session)
        return True

    def fail(self, error: Exception) -> None:
        """The unit did not happen, for this reason."""
        self._error = error

    def result(self) -> ResultT:
        """What `put` returned, or raise why it did not happen. Only of a ticket that is done."""
        assert self.done
        if self._error is not None:
            raise self._error
        return self._result
