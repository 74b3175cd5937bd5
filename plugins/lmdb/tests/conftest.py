"""What the tests of the LMDB plugin share: programs of their own, for what must happen in another process."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest


@pytest.fixture
def run_script() -> Callable[..., str]:
    """Run a program with ``sys.argv[1:]`` as given, and return what it printed."""

    def run(code: str, *arguments: str | Path, before: Sequence[str] = (), timeout_s: float = 15, **env: str) -> str:
        command = [*before, sys.executable, "-W", "ignore", "-c", code, *map(str, arguments)]
        done = subprocess.run(command, capture_output=True, text=True, timeout=timeout_s, check=False, env=env or None)
        assert done.returncode == 0, f"exit code {done.returncode}\n{done.stdout}\n{done.stderr}"
        return done.stdout

    return run
