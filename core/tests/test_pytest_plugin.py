"""What a plugin author sees of the conformance kit in pytest, each time in a process of its own."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

import tierfold.testing
from tierfold.testing.suite import deviation, deviation_of

TESTS = """
from pathlib import Path
from tierfold.kv.memory import MemoryEngine
from tierfold.testing.embedded import EmbeddedStoreSuite
from tierfold.testing.engines import EngineSuite
from tierfold.testing.suite import deviation

class TestEngine(EngineSuite):
    def open_engine(self, where: Path) -> MemoryEngine:
        return MemoryEngine(str(where))

    @deviation(reason="this engine keeps no long keys")
    def test_the_shortest_and_the_longest_key_can_be_used(self) -> None: ...

class TestStore(EmbeddedStoreSuite):
    def open_engine(self, where: Path) -> MemoryEngine:
        return MemoryEngine("always the same")

class Forgetful(MemoryEngine):
    def fetch(self, key: bytes):
        return self.commits, None

class TestForgetful(EngineSuite):
    def open_engine(self, where: Path) -> Forgetful:
        return Forgetful(str(where))
"""


def run_pytest(folder: Path, *options: str) -> str:
    (folder / "test_mine.py").write_text(TESTS)
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:randomly", "-p", "no:cacheprovider", *options]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=60, check=False)
    return done.stdout + done.stderr


def test_a_suite_runs_in_a_project_of_its_own(tmp_path: Path) -> None:
    shown = run_pytest(tmp_path, "-k", "TestStore and (scan or lease)")
    assert " passed" in shown
    assert "failed" not in shown


def test_deviations_are_listed_with_their_reasons(tmp_path: Path) -> None:
    shown = run_pytest(tmp_path, "-k", "TestEngine and longest")
    assert "deviations from conformance suites" in shown
    assert "longest_key_can_be_used: this engine keeps no long keys" in shown


def test_no_list_is_shown_without_deviations(tmp_path: Path) -> None:
    assert "deviations" not in run_pytest(tmp_path, "-k", "TestStore and scan_of_nothing")


def test_a_failing_assertion_of_a_suite_shows_its_values(tmp_path: Path) -> None:
    shown = run_pytest(tmp_path, "-k", "TestForgetful and fetch_is_a_read")
    assert "1 failed" in shown
    assert "At index 0 diff: (1, None) != (1, b'1')" in shown


def test_a_deviation_tells_its_reason() -> None:
    @deviation(reason="why")
    def marked() -> None: ...

    assert (deviation_of(marked), deviation_of(print)) == ("why", None)


def test_every_public_name_of_the_kit_exists() -> None:
    assert all(getattr(tierfold.testing, name) is not None for name in dir(tierfold.testing))
    with pytest.raises(AttributeError, match="NoSuchSuite"):
        _ = tierfold.testing.NoSuchSuite


def test_a_fake_brings_no_suite_along() -> None:
    code = "import sys; from tierfold.testing import FakeClock; print('hypothesis' in sys.modules, FakeClock().now_ms)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=True)
    assert done.stdout.startswith("False ")
