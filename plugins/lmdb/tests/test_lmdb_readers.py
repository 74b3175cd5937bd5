"""R8: the slots of readers that died are taken back when the file is opened, when they run out, and twice a minute."""

from __future__ import annotations

import signal
import subprocess
import sys
from pathlib import Path

import lmdb
import pytest

from tierfold.errors import StoreUnavailableError
from tierfold_lmdb.engine import LmdbEngine
from tierfold_lmdb.environment import Environment
from tierfold_lmdb.options import LmdbOptions

FEW = LmdbOptions(max_readers=4)

READ_AND_DIE = """
import lmdb, os, signal, sys
environment = lmdb.Environment(sys.argv[1], map_size=2**30)
readers = [environment.begin() for _ in range(int(sys.argv[2]))]
os.kill(os.getpid(), signal.SIGKILL)
"""


def die_reading(directory: Path, readers: int) -> None:
    command = [sys.executable, "-c", READ_AND_DIE, str(directory), str(readers)]
    assert subprocess.run(command, check=False).returncode == -signal.SIGKILL


def slots(environment: Environment) -> int:
    return len(environment._env.readers().splitlines()) - 1


class Clock:
    now_s = 0.0

    def __call__(self) -> float:
        return self.now_s


class Writer:
    txn: lmdb.Transaction[bytes]


def test_slots_used_up_by_dead_readers_are_taken_back(tmp_path: Path) -> None:
    engine = LmdbEngine(str(tmp_path), FEW)
    die_reading(tmp_path, 4)
    assert engine.fetch(b"a") == (0, None)
    engine.close()


def test_the_driver_itself_keeps_the_slots_of_dead_readers(tmp_path: Path) -> None:
    with lmdb.Environment(str(tmp_path), max_readers=4) as environment:
        die_reading(tmp_path, 4)
        for _ in range(3):
            with pytest.raises(lmdb.ReadersFullError):
                environment.begin()
        assert environment.reader_check() == 4


def test_slots_used_up_by_living_readers_are_an_error_that_can_pass(tmp_path: Path) -> None:
    engine = LmdbEngine(str(tmp_path), FEW)
    blocks = [engine.read() for _ in range(4)]
    for block in blocks:
        block.__enter__()
    with pytest.raises(StoreUnavailableError) as refused:
        engine.fetch(b"a")
    assert refused.value.transient
    for block in blocks:
        block.__exit__(None, None, None)
    assert engine.fetch(b"a") == (0, None)
    engine.close()


HOLD_OPEN = """
import lmdb, sys
environment = lmdb.Environment(sys.argv[1])
print(flush=True)
input()
"""


def test_opening_takes_back_the_slots_of_dead_readers(tmp_path: Path) -> None:
    command = [sys.executable, "-c", HOLD_OPEN, str(tmp_path)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as other:
        assert other.stdout
        other.stdout.readline()
        die_reading(tmp_path, 3)
        environment = Environment(tmp_path, LmdbOptions())
        assert slots(environment) <= 1
        environment.close()
        other.communicate(b"\n")


def test_a_writer_looks_for_dead_readers_twice_a_minute(tmp_path: Path) -> None:
    clock = Clock()
    environment = Environment(tmp_path, LmdbOptions(), clock)
    die_reading(tmp_path, 3)
    seen = []
    for clock.now_s in (29.0, 31.0):
        writer = Writer()
        writer.txn = environment.hold_writing(writer)
        writer.txn.abort()
        environment.release_writing(writer)
        seen.append(slots(environment))
    assert [seen[0] - seen[1], environment._env.reader_check()] == [3, 0]
    environment.close()
