"""What users read of a public object has a type that is written down, so that all type checkers see the same one."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

import tierfold
from tierfold import blocking


@pytest.fixture(scope="module")
def symbols() -> list[dict[str, Any]]:
    """What pyright says of every name in the package."""
    variables = {**os.environ, "PYRIGHT_PYTHON_IGNORE_WARNINGS": "1"}
    variables["PATH"] = f"{Path(sys.executable).parent}{os.pathsep}{variables['PATH']}"  # it looks for packages there
    command = [sys.executable, "-m", "pyright", "--verifytypes", "tierfold", "--ignoreexternal", "--outputjson"]
    done = subprocess.run(command, env=variables, capture_output=True, text=True, check=False)
    found: list[dict[str, Any]] = json.loads(done.stdout)["typeCompleteness"]["symbols"]
    return found


def public_classes(module: ModuleType) -> set[str]:
    values = (getattr(module, name) for name in module.__all__)
    return {f"{value.__module__}.{value.__qualname__}" for value in values if isinstance(value, type)}


@pytest.mark.timeout(120)
@pytest.mark.parametrize("module", [tierfold, blocking], ids=lambda module: str(module.__name__))
def test_members_of_public_classes_have_written_types(module: ModuleType, symbols: list[dict[str, Any]]) -> None:
    classes = public_classes(module)
    members = [symbol for symbol in symbols if symbol["name"].rpartition(".")[0] in classes]
    assert len(members) > 30
    unwritten = [
        symbol["name"]
        for symbol in members
        if any("missing type annotation" in said["message"] for said in symbol["diagnostics"])
    ]
    assert unwritten == []
