"""The type of every public name is written down, so that all type checkers see the same one."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from tests.examples.programs import environment, run

_FEWEST_NAMES = {"tierfold": 3_000, "tierfold_lmdb": 50}
"""Fewer are found where something is wrong with the search."""


def completeness(package: str) -> dict[str, Any]:
    """What pyright says of every name in the package."""
    variables = {**os.environ, "PYRIGHT_PYTHON_IGNORE_WARNINGS": "1"}
    variables["PATH"] = f"{Path(sys.executable).parent}{os.pathsep}{variables['PATH']}"  # it looks for packages there
    command = [sys.executable, "-m", "pyright", "--verifytypes", package, "--ignoreexternal", "--outputjson"]
    done = subprocess.run(command, env=variables, capture_output=True, text=True, check=False)
    found: dict[str, Any] = json.loads(done.stdout)["typeCompleteness"]
    return found


@pytest.mark.timeout(120)
@pytest.mark.parametrize("package", sorted(_FEWEST_NAMES))
def test_all_public_names_have_written_types(package: str) -> None:
    found = completeness(package)
    public = [symbol for symbol in found["symbols"] if symbol["isExported"]]
    assert len(public) >= _FEWEST_NAMES[package]
    unwritten = {
        symbol["name"]: [said["message"] for said in symbol["diagnostics"] if said["severity"] == "error"]
        for symbol in public
        if symbol["isTypeAmbiguous"] or not symbol["isTypeKnown"]
    }
    assert unwritten == {}
    assert found["completenessScore"] == 1


CONDITIONS = """
# pyright: strict
import tierfold
from tierfold import F


def both(a: tierfold.Condition, b: tierfold.Condition) -> tierfold.Condition:
    return a & b


def strong(least: float, *nets: str) -> tierfold.Condition:
    found = both(F.mag >= least, F.place.exists() | (F.place != "Oslo"))
    return found & ~F.net.is_in(nets) if nets else found


async def count(quakes: tierfold.Repository[tierfold.Entity], where: tierfold.Where | None = None) -> int:
    return await quakes.query(where if where is not None else strong(5.0, "ci")).count()
"""


@pytest.mark.timeout(60)
def test_conditions_have_a_type_that_programs_can_name(tmp_path: Path) -> None:
    (tmp_path / "conditions.py").write_text(CONDITIONS)
    said = run("-m", "mypy", "--strict", f"--cache-dir={tmp_path}/cache", "conditions.py", where=tmp_path)
    assert "no issues found in 1 source file" in said
    command = [sys.executable, "-m", "pyright", "--outputjson", "--pythonpath", sys.executable, "conditions.py"]
    quiet = environment(PYRIGHT_PYTHON_IGNORE_WARNINGS="1")
    done = subprocess.run(command, cwd=tmp_path, env=quiet, capture_output=True, text=True, check=False)
    report = json.loads(done.stdout)
    assert (report["generalDiagnostics"], report["summary"]["filesAnalyzed"]) == ([], 1)
