"""The main job as a newcomer runs it, and that it fails when anything is not as it must be."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

PROGRAM = "from tierfold.cli import main; main(['demo', '--headless'])"

# Click's own echo is replaced, so that something happens at one line of the transcript, while the demo waits for it.
AT_A_LINE = """
import subprocess, sys
import click
echo = click.echo
def echo_and_act(message=None, **options):
    echo(message, **options)
    if message.strip().startswith({line!r}):
        subprocess.run([sys.executable, "-c", {act!r}], check=True)
click.echo = echo_and_act
"""
CHANGE = """
import asyncio, glob, tierfold
(store,) = glob.glob({tmp!r} + "/tierfold-demo-*/{store}")
async def change():
    async with tierfold.open("lmdb:" + store, prefix="demo") as data:
        await data.repo("Quake").modify("us.us1000cfn6", lambda quake: {{**quake, "mag": 9.9}})
asyncio.run(change())
"""
DAMAGE = """
import glob
(file,) = glob.glob({tmp!r} + "/tierfold-demo-*/{store}/data.mdb")
with open(file, "r+b") as data:
    whole = data.read()
    at = whole.find(b"21km NNE of Hualian")
    while at >= 0:
        data.seek(at)
        data.write(b"22km")
        at = whole.find(b"21km NNE of Hualian", at + 1)
"""


def run(tmp_path: Path, before: str = "") -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, "TMPDIR": str(tmp_path)}
    command = [sys.executable, "-c", before + PROGRAM]
    return subprocess.run(
        command, cwd=tmp_path, env=environment, capture_output=True, text=True, check=False, timeout=15
    )


def run_sabotaged(tmp_path: Path, line: str, act: str, store: str) -> subprocess.CompletedProcess[str]:
    return run(tmp_path, AT_A_LINE.format(line=line, act=act.format(tmp=str(tmp_path), store=store)))


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory: pytest.TempPathFactory) -> tuple[subprocess.CompletedProcess[str], Path]:
    """A run of the demo, and the directory that its temporary files were in."""
    tmp_path = tmp_path_factory.mktemp("demo")
    return run(tmp_path), tmp_path


def test_demo_folds_shares_and_reconciles_the_real_data_set(
    undisturbed: tuple[subprocess.CompletedProcess[str], Path],
) -> None:
    done, _ = undisturbed
    assert (done.returncode, done.stderr) == (0, "")
    assert len(re.findall(r"1,707 records in [\d.]+ s, [\d,]+ a second", done.stdout)) == 3
    decisions = re.findall(r"rule lww, .*\n +winner  program [12] at .*\n +loser   program [12] at", done.stdout)
    assert len(decisions) == 5
    roots = re.findall(r"^ +(?:near 1|shared|near 2) +([0-9a-f]{32})  1,704 records$", done.stdout, re.MULTILINE)
    assert len(roots) == 3
    assert len(set(roots)) == 1
    assert re.search(r"^Done in [\d.]+ s: everything is equal\.$", done.stdout, re.MULTILINE)


def test_demo_leaves_no_files_behind(undisturbed: tuple[subprocess.CompletedProcess[str], Path]) -> None:
    done, tmp_path = undisturbed
    assert done.returncode == 0
    assert list(tmp_path.iterdir()) == []


def test_demo_fails_when_another_program_changes_the_shared_store(tmp_path: Path) -> None:
    done = run_sabotaged(tmp_path, "5. The links are opened", CHANGE, "shared")
    assert done.returncode == 1
    for program in (1, 2):
        assert f"DIFFERENCE: near {program}, us.us1000cfn6: mag is 9.9, should be 6.1" in done.stdout
    assert done.stdout.endswith(": 2 DIFFERENCES.\n")


def test_demo_fails_when_a_near_store_no_longer_holds_what_the_others_hold(tmp_path: Path) -> None:
    done = run_sabotaged(tmp_path, "6. The conflict logs", CHANGE, "near-1")
    assert done.returncode == 1
    assert "DIFFERENCE: near 1 and shared hold different records of Quake demo.us" in done.stdout
    assert "DIFFERENCE: near 1, us.us1000cfn6: mag is 9.9, should be 6.1" in done.stdout


def test_demo_fails_when_a_file_is_damaged(tmp_path: Path) -> None:
    done = run_sabotaged(tmp_path, "8. Both programs read", DAMAGE, "near-2")
    assert done.returncode == 1
    assert "Error: the second process: CorruptDataError: " in done.stderr


@pytest.mark.parametrize("option", [[], ["--headless"]], ids=["plain", "headless"])
def test_without_the_plugin_demo_prints_the_line_that_installs_it(option: list[str], tmp_path: Path) -> None:
    without = """
import importlib.metadata
installed = importlib.metadata.entry_points
importlib.metadata.entry_points = lambda **chosen: [point for point in installed(**chosen) if point.name != "lmdb"]
"""
    program = f"from tierfold.cli import main; main(['demo', *{option}])"
    command = [sys.executable, "-c", without + program]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (1, "pip install tierfold-lmdb\n")
