"""The programs of docs/examples, started as their readers start them."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO

__all__ = ["EXAMPLES", "ROOT", "environment", "run", "serving"]

ROOT = Path(__file__).parent.parent.parent
EXAMPLES = ROOT / "docs/examples"


def environment(**more: str) -> dict[str, str]:
    """Variables of a program that finds the examples, as in their directory, and works in another one."""
    return {**os.environ, "PYTHONPATH": str(EXAMPLES), "PYTHONUNBUFFERED": "1", **more}


def run(*arguments: str | Path, where: Path, **more: str) -> str:
    """What a program says that succeeds."""
    command = [sys.executable, *map(str, arguments)]
    done = subprocess.run(command, cwd=where, env=environment(**more), capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@contextmanager
def serving(*arguments: str, where: Path, workers: int = 1, **more: str) -> Iterator[str]:
    """The url of a server, from when its workers say that they are there; at the end it is terminated."""
    command = [sys.executable, "-m", *arguments]
    with (where / "server.log").open("w+") as log:
        server = subprocess.Popen(
            command, cwd=where, env=environment(**more), stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
        )
        assert server.stdout is not None
        try:
            yield _url(server.stdout, log, workers)
        finally:
            server.terminate()
            log.write(server.communicate(timeout=15)[0])


def _url(said: IO[str], log: IO[str], workers: int) -> str:
    url = ""
    for line in said:
        log.write(line)
        found = re.search(r"http://127\.0\.0\.1:\d+", line)
        url = found[0] if found else url
        workers -= "startup complete" in line or "Quit the server" in line
        if url and not workers:
            return url
    log.seek(0)
    raise AssertionError(f"the server ended:\n{log.read()}")
