"""Several programs on one nearer store: one of them runs the link, and whoever it is may die or stall at any moment."""

from __future__ import annotations

import signal
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any, Final

import pytest
from tests.processes.programs import Holdings, Program, examine, url
from tests.processes.shared_clock import SharedClock

LEASE_MS: Final = 11_000
FENCED: Final = "another process runs this link now"
RAN_OUT: Final = "the lease of this link ran out"


class Office:
    """Programs on one nearer store, linked to a farther store that one more program writes to."""

    def __init__(self, directory: Path, clock: SharedClock, stack: ExitStack) -> None:
        self.near, self.far, self.clock = directory / "near", directory / "far", clock
        self._stack = stack

    def open(self, *, trapped: bool = False, interval: str | None = None) -> Program:
        """A program that can run the link; ``trapped`` ones can be frozen in the middle of a run."""
        scheme = "trapped" if trapped else "lmdb"
        far = {"url": url(self.far, scheme=scheme), "name": "far", "interval": interval}
        return self._stack.enter_context(Program(self.clock, url(self.near, scheme=scheme), far))

    def open_elsewhere(self) -> Program:
        """A program that knows the farther store only."""
        return self._stack.enter_context(Program(self.clock, url(self.far)))

    def agreed(self) -> Holdings:
        """The nearer store, which holds the same as the farther one."""
        near, far = examine(self.near), examine(self.far)
        assert near.content == far.content
        assert not near.dirty
        return near


@pytest.fixture
def office(tmp_path: Path, clock: SharedClock) -> Iterator[Office]:
    with ExitStack() as stack:
        yield Office(tmp_path, clock, stack)


def eventually(holds: Callable[[], bool], timeout_s: float = 10) -> None:
    deadline_s = time.monotonic() + timeout_s
    while not holds():
        assert time.monotonic() < deadline_s, "it did not come true"
        time.sleep(0.02)


def holders(*programs: Program) -> list[Program]:
    """Those that do not leave the link to another."""
    return [program for program in programs if program.ask("states") != ["elsewhere"]]


def slow(*calls: str) -> list[Any]:
    """Cases for `make prove`."""
    return [pytest.param(call, marks=pytest.mark.slow) for call in calls]


# --- one runs it, the others write and observe -------------------------------------------------------------------


def test_exactly_one_of_several_programs_runs_the_link_and_the_others_write_and_observe(office: Office) -> None:
    programs = [office.open() for _ in range(3)]
    elsewhere = office.open_elsewhere()
    elsewhere.ask("save", "oslo", "far", "far")
    for program in programs:
        program.ask("watch")
    for number, program in enumerate(programs):
        program.ask("save", "oslo", str(number), "near")
    eventually(lambda: len(holders(*programs)) == 1)
    for program in programs:
        program.sync_until_verified()
        assert program.ask("get", "oslo.far") == "far"
        program.wait_until(lambda program=program: len(program.events) >= 4)  # type: ignore[misc]
        assert {event[2] for event in program.events} == {"oslo.0", "oslo.1", "oslo.2", "oslo.far"}
    eventually(lambda: holders(*programs) == [programs[0]])
    assert office.agreed().texts() == {f"oslo.{number}": "near" for number in range(3)} | {"oslo.far": "far"}


def test_a_program_without_the_lease_brings_a_partition_down_by_reading_it(office: Office) -> None:
    holder, reader, elsewhere = office.open(), office.open(), office.open_elsewhere()
    eventually(lambda: holders(holder, reader) == [holder])
    elsewhere.ask("save", "bergen", "a", "far")
    assert reader.ask("get", "bergen.a") == "far"
    assert reader.ask("get", "bergen.b") is None
    assert reader.ask("get", "nowhere.a") is None
    assert examine(office.near).presence["app.bergen"] == "present"


def test_a_holder_that_rests_for_an_hour_hears_at_once_that_a_partition_is_wanted(office: Office) -> None:
    holder, reader, elsewhere = office.open(interval="1h"), office.open(interval="1h"), office.open_elsewhere()
    eventually(lambda: holders(holder, reader) == [holder])
    elsewhere.ask("save", "bergen", "a", "far")
    assert reader.ask("get", "bergen.a") == "far"
    assert reader.ask("get", "nowhere.a", timeout_s=5) is None


# --- the holder goes ---------------------------------------------------------------------------------------------


def test_a_holder_that_closes_hands_the_link_over_at_once(office: Office) -> None:
    holder, heir = office.open(), office.open()
    holder.ask("save", "oslo", "a", "1")
    holder.finish()
    heir.ask("save", "oslo", "b", "2")
    heir.sync_until_verified()
    assert heir.ask("states") != ["elsewhere"]
    assert office.agreed().texts() == {"oslo.a": "1", "oslo.b": "2"}


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM])
def test_when_the_holder_is_killed_another_takes_over_at_once(office: Office, number: signal.Signals) -> None:
    """Under a clock that stands still, its lease would never run out."""
    holder, heir, elsewhere = office.open(), office.open(), office.open_elsewhere()
    holder.ask("save", "oslo", "a", "1")
    holder.sync_until_verified()
    eventually(lambda: holders(holder, heir) == [holder])
    holder.end_by(number)
    heir.ask("save", "oslo", "b", "2")
    elsewhere.ask("save", "oslo", "c", "3")
    heir.sync_until_verified()
    assert heir.ask("states") != ["elsewhere"]
    assert office.agreed().texts() == {"oslo.a": "1", "oslo.b": "2", "oslo.c": "3"}


def test_a_program_that_starts_after_the_holder_was_killed_delivers_before_it_ends(office: Office) -> None:
    holder = office.open()
    holder.ask("save", "oslo", "a", "1")
    holder.ask("pause")
    holder.ask("save", "oslo", "b", "1")
    holder.kill()
    short = office.open()
    short.ask("save", "oslo", "c", "2")
    short.finish(timeout_s=4)
    assert office.agreed().texts() == {"oslo.a": "1", "oslo.b": "1", "oslo.c": "2"}


def test_a_reader_brings_its_partition_down_itself_when_the_holder_stalls(office: Office) -> None:
    holder, reader, elsewhere = office.open(trapped=True), office.open(), office.open_elsewhere()
    elsewhere.ask("save", "bergen", "a", "far")
    holder.begin("freeze")
    holder.wait_until_stopped()
    asked = reader.begin("get", "bergen.a")
    eventually(lambda: examine(office.near).presence.get("app.bergen") == "unknown")
    office.clock.move(LEASE_MS)
    assert reader.end(asked) == "far"
    eventually(lambda: holders(reader) == [reader])


# --- the holder stalls for longer than its lease -----------------------------------------------------------------


@pytest.mark.parametrize("call", ["changes", "apply", *slow("register", "near_rows", "roots", "acknowledge")])
def test_a_stalled_holder_is_fenced_off_and_writes_nothing(office: Office, call: str) -> None:
    """A stalled lease holder put an old page over an acknowledged write."""
    holder, heir, elsewhere = office.open(trapped=True), office.open(), office.open_elsewhere()
    elsewhere.ask("save", "oslo", "a", "old")
    holder.ask("save", "oslo", "b", "old")
    assert holder.ask("get", "oslo.a") == "old"
    holder.sync_until_verified()
    holder.ask("pause")
    elsewhere.ask("save", "oslo", "a", "newer")
    holder.ask("save", "oslo", "b", "newer")
    holder.ask("arm", call)
    holder.ask("resume")
    holder.wait_until_stopped()

    office.clock.move(LEASE_MS)
    heir.sync_until_verified()
    elsewhere.ask("save", "oslo", "a", "newest")
    heir.ask("save", "oslo", "b", "newest")
    heir.sync_until_verified()
    before = office.agreed()
    assert before.texts() == {"oslo.a": "newest", "oslo.b": "newest"}

    holder.go_on()
    holder.sync_until_verified(1)
    eventually(lambda: holders(holder, heir) == [heir])
    after = office.agreed()
    assert (after.content, after.states, after.presence) == (before.content, before.states, before.presence)
    assert after.conflicts == []
    holder.kill()
    # It notices at its next renewal, or else in the transaction; a run that finds others writing ends without a write.
    assert RAN_OUT in holder.complaints or FENCED in holder.complaints or call == "roots"


@pytest.mark.parametrize("written", ["near", *slow("far")])
def test_a_holder_that_stalls_between_its_renewal_and_the_transaction_is_refused_in_the_transaction(
    office: Office, written: str
) -> None:
    """A late settlement of its own set the batch number back: the store then took itself for a restored one."""
    holder, heir, elsewhere = office.open(trapped=True), office.open(), office.open_elsewhere()
    holder.ask("save", "oslo", "a", "old")
    holder.sync_until_verified()
    holder.ask("pause")
    (holder if written == "near" else elsewhere).ask("save", "oslo", "a", "newer")
    holder.ask("arm", "before settle")
    holder.ask("resume")
    holder.wait_until_stopped()

    office.clock.move(LEASE_MS)
    heir.sync_until_verified()
    for text in ("newer still", "newest"):
        heir.ask("save", "oslo", "a", text)
        elsewhere.ask("save", "oslo", "b", text)
        heir.sync_until_verified()
    before, remembered = office.agreed(), examine(office.far).peers

    holder.go_on()
    holder.sync_until_verified(1)
    after = office.agreed()
    assert (after.content, after.states, after.presence) == (before.content, before.states, before.presence)
    assert (after.gone_back, after.conflicts, examine(office.far).peers) == (set(), [], remembered)
    holder.kill()
    assert FENCED in holder.complaints


@pytest.mark.parametrize("call", ["snapshot_page", *slow("register", "settle")])
def test_a_reader_who_is_fenced_off_while_bringing_a_partition_down_gets_it_from_the_new_holder(
    office: Office, call: str
) -> None:
    holder, heir, elsewhere = office.open(trapped=True), office.open(), office.open_elsewhere()
    elsewhere.ask("save", "bergen", "a", "far")
    holder.ask("arm", call)
    asked = holder.begin("get", "bergen.nobody")
    holder.wait_until_stopped()
    office.clock.move(LEASE_MS)
    assert heir.ask("get", "bergen.a") == "far"
    holder.go_on()
    assert holder.end(asked) is None
    assert holder.ask("get", "bergen.a") == "far"
    assert office.agreed().texts() == {"bergen.a": "far"}


def test_a_batch_that_a_stalled_holder_sends_late_is_refused_whole(office: Office) -> None:
    """It had numbered its batch and not sent it; the next holder closed it, delivered, and the user went on editing."""
    holder, heir = office.open(trapped=True), office.open()
    holder.ask("save", "oslo", "a", "1")
    holder.sync_until_verified()
    holder.ask("pause")
    holder.ask("save", "oslo", "a", "2")
    holder.ask("save", "oslo", "b", "2")
    holder.ask("arm", "settle")
    holder.ask("resume")
    holder.wait_until_stopped()
    assert [len(state.outstanding) for state in examine(office.near).states.values()] == [2]

    office.clock.move(LEASE_MS)
    heir.sync_until_verified()
    heir.ask("save", "oslo", "a", "3")
    heir.ask("delete", "oslo.b")
    heir.sync_until_verified()
    before, remembered = office.agreed(), examine(office.far).peers

    holder.go_on()
    holder.sync_until_verified(1)
    after = office.agreed()
    assert examine(office.far).peers == remembered
    assert after.texts() == {"oslo.a": "3"}
    assert (after.content, after.states) == (before.content, before.states)
    assert after.conflicts == []
