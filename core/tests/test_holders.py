"""Names of programs in link leases: only who has certainly ended is gone. With real processes, and on Linux."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Iterator

import pytest

from tierfold import holders
from tierfold.holders import is_gone, name_holder

NAME_ITSELF = """
import os, sys
from tierfold.holders import name_holder
print(name_holder(os.urandom).hex(), flush=True)
sys.stdin.read()
"""


class Other:
    """Another process, and how it is called."""

    def __init__(self) -> None:
        self.process = subprocess.Popen(
            [sys.executable, "-c", NAME_ITSELF], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
        assert self.process.stdout is not None
        self.name = bytes.fromhex(self.process.stdout.readline())

    def end(self, number: signal.Signals) -> None:
        """End it by a signal. Its parent, this process, does not wait for it."""
        self.process.send_signal(number)
        os.waitid(os.P_PID, self.process.pid, os.WEXITED | os.WNOWAIT)


@pytest.fixture
def other() -> Iterator[Other]:
    other = Other()
    with other.process:
        yield other
        other.process.kill()


def test_a_running_program_is_not_gone(other: Other) -> None:
    assert not is_gone(other.name)
    assert not is_gone(name_holder(os.urandom))


def test_a_program_that_is_stopped_is_not_gone(other: Other) -> None:
    other.process.send_signal(signal.SIGSTOP)
    os.waitid(os.P_PID, other.process.pid, os.WSTOPPED)
    assert not is_gone(other.name)


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM])
def test_a_program_ended_by_a_signal_is_gone_whether_its_parent_noticed_or_not(
    other: Other, number: signal.Signals
) -> None:
    other.end(number)
    assert is_gone(other.name)
    other.process.wait()
    assert is_gone(other.name)


def test_a_program_whose_number_another_one_has_now_is_gone() -> None:
    mine = name_holder(os.urandom)
    earlier = (int.from_bytes(mine[24:32], "big") - 1).to_bytes(8, "big")
    assert is_gone(mine[:24] + earlier + mine[32:])


@pytest.mark.parametrize("name", [b"", b"x" * 16, bytes(40)], ids=["none", "of another kind", "of another machine"])
def test_who_cannot_be_looked_for_is_not_gone(name: bytes) -> None:
    assert not is_gone(name)


def test_every_layer_of_a_process_has_a_name_of_its_own() -> None:
    assert len({name_holder(os.urandom) for _ in range(10)}) == 10


def test_without_a_proc_file_system_nobody_is_gone_and_names_are_random(
    other: Other, monkeypatch: pytest.MonkeyPatch
) -> None:
    other.end(signal.SIGKILL)
    monkeypatch.setattr(holders, "_place", lambda: None)
    assert not is_gone(other.name)
    assert len(name_holder(os.urandom)) == 16
