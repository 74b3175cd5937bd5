"""The type of every public name is written down, so that all type checkers see the same one."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

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
