"""R2, R3: one thread begins, uses and ends a write transaction; what it was given is on disk when the program ends."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from subprocess import TimeoutExpired
from threading import Event, Lock, Thread
from typing import Any, cast

import pytest

from tierfold.errors import StoreError
from tierfold.spi import WriteTransaction
from tierfold_lmdb.engine import LmdbEngine


@pytest.fixture
def engine(tmp_path: Path) -> Iterator[LmdbEngine]:
    engine = LmdbEngine(str(tmp_path))
    yield engine
    engine.close()


@pytest.mark.parametrize("end", ["commit", "abort"])
def test_a_transaction_cannot_be_ended_on_another_thread(engine: LmdbEngine, end: str) -> None:
    txn = engine.begin()
    txn.put(b"a", b"1")
    refused: list[StoreError] = []

    def end_it() -> None:
        try:
            getattr(txn, end)()
        except StoreError as error:
            refused.append(error)

    thread = Thread(target=end_it)
    thread.start()
    thread.join()
    assert len(refused) == 1
    txn.commit()
    assert engine.fetch(b"a") == (1, b"1")


# A lock that another thread was to give back is never given back: the third begin waits for ever.
ENDED_ELSEWHERE = """
import lmdb, sys, threading
environment = lmdb.Environment(sys.argv[1])
done = threading.Event()
transactions = []
def begin():
    transactions.append(environment.begin(write=True))
    done.set()
    threading.Event().wait(60)
threading.Thread(target=begin, daemon=True).start()
done.wait()
transactions[0].commit()
for _ in range(2):
    environment.begin(write=True).commit()
"""


def test_with_the_driver_alone_ending_elsewhere_stops_every_writer(
    tmp_path: Path, run_script: Callable[..., str]
) -> None:
    with pytest.raises(TimeoutExpired):
        run_script(ENDED_ELSEWHERE, tmp_path, timeout_s=1)


def test_a_thread_cannot_wait_for_its_own_transaction(engine: LmdbEngine) -> None:
    txn = engine.begin()
    with pytest.raises(StoreError, match="already"):
        engine.begin()
    txn.abort()
    engine.begin().abort()


def test_two_engines_on_a_file_take_turns(engine: LmdbEngine, tmp_path: Path) -> None:
    other = LmdbEngine(str(tmp_path))
    txn = engine.begin()
    begun = Event()
    later: list[WriteTransaction] = []

    def begin() -> None:
        later.append(other.begin())
        begun.set()
        later[0].commit()

    thread = Thread(target=begin)
    thread.start()
    assert not begun.wait(0.05)
    txn.commit()
    thread.join(10)
    assert begun.is_set()
    other.close()


class AskedFor:
    """A lock that tells when somebody wants it."""

    def __init__(self) -> None:
        self._lock = Lock()
        self.wanted = Event()

    def acquire(self, *, timeout: float = -1) -> bool:
        self.wanted.set()
        return self._lock.acquire(timeout=timeout)

    def release(self) -> None:
        self._lock.release()


def test_who_waits_to_write_while_the_file_is_opened_anew_writes_to_the_new_opening(
    engine: LmdbEngine, tmp_path: Path
) -> None:
    """The waiting one once met the closed environment and reported a closed store."""
    other, environment = LmdbEngine(str(tmp_path)), engine._environment
    environment._writing = cast(Any, lock := AskedFor())
    outcome: list[object] = []

    def write() -> None:
        try:
            txn = other.begin()
            txn.put(b"a", b"1")
            txn.commit()
        except StoreError as error:
            outcome.append(error)

    thread = Thread(target=write)

    def open_anew() -> bool:
        lock.wanted.clear()
        thread.start()
        lock.wanted.wait(10)
        return environment._reopen()

    assert environment._when_quiet(open_anew)
    thread.join(10)
    assert (outcome, engine.fetch(b"a")) == ([], (1, b"1"))
    other.close()


def test_an_abort_does_not_wait_for_threads_that_read(engine: LmdbEngine) -> None:
    done = Event()

    def look() -> None:
        while not done.is_set():
            with engine.read() as (_, view):
                for number in range(50):
                    view.get(b"%d" % number)

    readers = [Thread(target=look) for _ in range(6)]
    for reader in readers:
        reader.start()
    try:
        for _ in range(10):
            txn = engine.begin()
            txn.put(b"a", b"1")
            txn.abort()
    finally:
        done.set()
        for reader in readers:
            reader.join()
    assert engine.fetch(b"a") == (0, None)


SUBMIT_AND_EXIT = """
import sys
from tierfold.kv.writer import WriterThread
from tierfold_lmdb.engine import LmdbEngine

class Rows:
    size_bytes = 0
    def __init__(self, txn): self.txn = txn
    def flush(self): pass

class Put:
    def __init__(self, key): self.key = key
    def check(self, session): pass
    def put(self, session): session.txn.put(self.key, b"x" * 1000)

writer = WriterThread(LmdbEngine(sys.argv[1]), Rows, lambda session: None)
for number in range(2000):
    writer.submit(Put(b"%04d" % number))
"""


@pytest.mark.parametrize("ending", ["", "sys.exit(0)", "raise SystemExit"])
def test_what_was_submitted_is_written_when_the_program_ends(
    tmp_path: Path, run_script: Callable[..., str], ending: str
) -> None:
    run_script(SUBMIT_AND_EXIT + ending, tmp_path)
    engine = LmdbEngine(str(tmp_path))
    with engine.read() as (_, view):
        assert sum(1 for _ in view.scan(b"", b"\xff")) == 2000
    engine.close()
