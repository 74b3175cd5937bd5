"""The programs of docs/examples do what the pages say, and pass the type checkers of their readers."""

from __future__ import annotations

import json
import signal
import sqlite3
import subprocess
import sys
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from tests.examples.programs import EXAMPLES, ROOT, environment, run

import tierfold

PROGRAMS = sorted(path for path in EXAMPLES.rglob("*.py"))
FENCED = "```text\n"

# --- types -------------------------------------------------------------------------------------------------------


@pytest.mark.timeout(120)
def test_examples_pass_mypy_in_strict_mode(tmp_path: Path) -> None:
    said = run("-m", "mypy", "--strict", f"--cache-dir={tmp_path}", EXAMPLES, where=ROOT)
    assert f"no issues found in {len(PROGRAMS)} source files" in said


@pytest.mark.timeout(120)
def test_examples_pass_pyright_in_strict_mode(tmp_path: Path) -> None:
    """Where the node of the wheel is missing, it would be fetched into the home directory; so there is none."""
    offline = {"HOME": str(tmp_path), "XDG_CACHE_HOME": str(tmp_path), "PYRIGHT_PYTHON_IGNORE_WARNINGS": "1"}
    command = [sys.executable, "-m", "pyright", "--outputjson", "--pythonpath", sys.executable]
    done = subprocess.run(command, cwd=ROOT, env=environment(**offline), capture_output=True, text=True, check=False)
    report = json.loads(done.stdout)
    assert report["generalDiagnostics"] == []
    assert report["summary"]["filesAnalyzed"] == len(PROGRAMS)
    assert list(tmp_path.iterdir()) == []


def test_pyright_finds_what_is_wrong(tmp_path: Path) -> None:
    """It reads the package as users have it: typed. Otherwise the test above would say nothing."""
    lines = [
        "import asyncio, tierfold",
        "",
        "async def main() -> None:",
        '    async with tierfold.open("memory:") as data:',
    ]
    wrong = [
        "        n: int = data.dirty or None",
        '        await data.repo("A").get(1)',
        "        await data.repo(5).get()",
    ]
    (tmp_path / "wrong.py").write_text("\n".join([*lines, *wrong, ""]))
    command = [sys.executable, "-m", "pyright", "--outputjson", "--pythonpath", sys.executable, str(tmp_path)]
    quiet = environment(PYRIGHT_PYTHON_IGNORE_WARNINGS="1")
    done = subprocess.run(command, cwd=tmp_path, env=quiet, capture_output=True, text=True, check=False)
    found = {item["range"]["start"]["line"] for item in json.loads(done.stdout)["generalDiagnostics"]}
    assert {4, 5, 6} <= found


# --- programs ----------------------------------------------------------------------------------------------------


def test_quickstart_prints_what_its_page_shows(tmp_path: Path) -> None:
    first, second = (part.partition("```")[0] for part in (ROOT / "docs/quickstart.md").read_text().split(FENCED)[1:3])
    assert run(EXAMPLES / "quickstart.py", where=tmp_path) == first
    assert run(EXAMPLES / "quickstart.py", where=tmp_path) == second


@pytest.mark.timeout(60)
@pytest.mark.parametrize("end", [signal.SIGTERM, signal.SIGINT], ids=["terminated", "interrupted"])
def test_the_logger_delivers_its_samples_and_closes_in_order(end: signal.Signals, tmp_path: Path) -> None:
    (tmp_path / "roof.celsius").write_text("21.5\n")
    command = [sys.executable, str(EXAMPLES / "edge_logger.py"), "roof.celsius", "lmdb:./near", "lmdb:./office"]
    logger = subprocess.Popen(command, cwd=tmp_path, env=environment(), stdout=subprocess.PIPE, text=True)
    assert logger.stdout is not None
    lines = iter(logger.stdout.readline, "")
    assert next(line for line in lines if "delivered" in line) == "21.5 delivered\n"
    logger.send_signal(end)
    rest = logger.communicate(timeout=30)[0]
    assert rest.endswith("closed; all is delivered\n")
    assert logger.returncode == 0
    near, office = (samples_in(tmp_path / name) for name in ("near", "office"))
    assert office == near
    assert {(sample["sensor"], sample["celsius"]) for sample in office} == {("roof", 21.5)}


def samples_in(store: Path) -> list[dict[str, Any]]:
    with tierfold.blocking.open(f"lmdb:{store}", prefix="plant") as data:
        return data.repo("Sample").query(sort=["id"]).all()


OLD_SAMPLES = """
from datetime import UTC, datetime, timedelta
import tierfold
from plant import Sample

now = datetime.now(UTC)
with tierfold.blocking.open("lmdb:./near", "lmdb:./office", prefix="plant") as data:
    for days in (0, 13, 15, 30):
        data.repo(Sample).save(Sample(sensor="roof", time=now - timedelta(days=days), celsius=1.5))
"""


@pytest.mark.timeout(60)
def test_the_nightly_job_removes_old_samples_everywhere(tmp_path: Path) -> None:
    run("-c", OLD_SAMPLES, where=tmp_path)
    tiers = ["lmdb:./near", "lmdb:./office"]
    assert run(EXAMPLES / "nightly.py", *tiers, where=tmp_path) == "2 samples removed\n"
    assert len(samples_in(tmp_path / "office")) == 2


def test_the_nightly_job_says_when_the_office_did_not_hear_of_it(tmp_path: Path) -> None:
    (tmp_path / "office").touch()
    command = [sys.executable, str(EXAMPLES / "nightly.py"), "lmdb:./near", "lmdb:./office"]
    done = subprocess.run(command, cwd=tmp_path, env=environment(), capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (75, "0 samples removed\n")
    assert "it will hear of it next time" in done.stderr


def test_an_import_that_is_repeated_doubles_nothing(tmp_path: Path) -> None:
    with closing(sqlite3.connect(tmp_path / "old.db")) as old, old:
        old.execute("create table quake (net text, code text, mag real)")
        quakes = [("ci", f"a{number}", number % 10 or None) for number in range(2500)]
        old.executemany("insert into quake values (?, ?, ?)", quakes)
    for _ in range(2):
        said = run(EXAMPLES / "import_quakes.py", "old.db", "lmdb:./quakes", where=tmp_path)
        assert said == "2500 earthquakes, 1250 of them strong\n"


OLD_READINGS = """
import tierfold


class Reading(tierfold.Entity, partition="{site}"):
    site: str
    temp: float | None = None


with tierfold.blocking.open("lmdb:./readings") as data:
    data.repo(Reading).save_many(Reading(site="oslo", temp=temp) for temp in (32.0, 212.0, None))
"""


def test_readings_of_the_first_version_are_upgraded_once(tmp_path: Path) -> None:
    run("-c", OLD_READINGS, where=tmp_path)
    said = [run(EXAMPLES / "upgrade_readings.py", "lmdb:./readings", where=tmp_path) for _ in range(2)]
    assert said == ["3 of 3 readings upgraded\n", "0 of 3 readings upgraded\n"]
    with tierfold.blocking.open(f"lmdb:{tmp_path / 'readings'}") as data:
        stored = data.repo("Reading").query(sort=["celsius"]).all()
    assert [(document["celsius"], document["room"]) for document in stored] == [
        (0.0, "unknown"),
        (100.0, "unknown"),
        (None, "unknown"),
    ]
    assert not any("temp" in document for document in stored)


PUMPS = """
import tierfold
from tablet import Pump

with tierfold.blocking.open("lmdb:./office") as data:
    data.repo(Pump).save_many(Pump(site=site, serial=serial) for site in ("oslo", "bergen") for serial in "ab")
"""


@pytest.mark.timeout(60)
def test_a_tablet_shows_what_it_brought_along(tmp_path: Path) -> None:
    run("-c", PUMPS, where=tmp_path)
    tablet = EXAMPLES / "tablet.py"
    said = run(tablet, "oslo", "--", "lmdb:./tablet", "lmdb:./office", where=tmp_path)
    assert said == "oslo: a running, b running\n2 pumps; nothing is missing\n"
    said = run(tablet, "oslo", "bergen", "--", "lmdb:./tablet", where=tmp_path)
    assert said == "oslo: a running, b running\nbergen: not on this tablet\n2 pumps; missing: bergen\n"


# --- tests of programs -------------------------------------------------------------------------------------------

PYTEST = ("-m", "pytest", "-q", "-p", "no:cacheprovider", "-p", "no:randomly")
UNDER_ANYIO = ("-p", "no:asyncio", "-o", "anyio_mode=auto")
UNDER_ASYNCIO = ("-p", "no:anyio", "-o", "asyncio_mode=auto", "-o", "asyncio_default_fixture_loop_scope=function")


@pytest.mark.timeout(120)
@pytest.mark.parametrize(
    ("options", "passed"), [(UNDER_ANYIO, 22), (UNDER_ASYNCIO, 16)], ids=["anyio", "pytest-asyncio"]
)
def test_tests_of_programs_pass(options: tuple[str, ...], passed: int, tmp_path: Path) -> None:
    """In a directory of their own, without the configuration of this one."""
    for path in EXAMPLES.glob("*.py"):
        (tmp_path / path.name).write_text(path.read_text())
    said = run(*PYTEST, *options, "--rootdir=.", "-c", "/dev/null", ".", where=tmp_path)
    assert f"{passed} passed" in said


def test_a_test_of_a_program_can_fail(tmp_path: Path) -> None:
    for name in ("alarms.py", "test_alarms.py"):
        (tmp_path / name).write_text((EXAMPLES / name).read_text().replace("alarm.seen_by or by", "alarm.seen_by"))
    command = [sys.executable, *PYTEST, *UNDER_ANYIO, "--rootdir=.", "-c", "/dev/null", "."]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert "test_the_oldest_unseen_alarm_comes_first" in done.stdout
    assert done.returncode == 1
