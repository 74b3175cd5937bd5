"""Importing: a process that imports tierfold against one that does nothing.

The processor's time is measured, which on a machine without other work is how long one waits for it.
"""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from resource import RUSAGE_CHILDREN, getrusage
from typing import Final

from tests.bench.figure import Figure

__all__ = ["measure"]

_LIMIT_MS: Final = 80.0
_ROUNDS: Final = 15
_UNWANTED: Final = ("stevedore", "pluggy", "click", "asyncio", "anyio", "trio", "lmdb", "rich")
_PROGRAMS: Final = {
    "`import tierfold`": "import tierfold",
    "`import tierfold; tierfold.Entity`": "import tierfold; tierfold.Entity",
}


async def measure(place: Path) -> list[Figure]:
    return [_figure(what, program, place) for what, program in _PROGRAMS.items()]


def _figure(what: str, program: str, place: Path) -> Figure:
    took = []
    for _ in range(_ROUNDS):
        empty_s = _run("pass", place)
        took.append((_run(program, place) - empty_s) * 1e3)
    return Figure(f"{what}, beyond an empty interpreter", "ms", tuple(took), _LIMIT_MS, _loads(program, place))


def _run(program: str, place: Path) -> float:
    before = getrusage(RUSAGE_CHILDREN)
    subprocess.run([sys.executable, "-c", program], cwd=place, check=True)
    after = getrusage(RUSAGE_CHILDREN)
    return after.ru_utime - before.ru_utime + after.ru_stime - before.ru_stime


def _loads(program: str, place: Path) -> str:
    """Which modules it brings that nobody asked for."""
    code = f"{program}; import sys; print(*[name for name in {_UNWANTED!r} if name in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], cwd=place, check=True, capture_output=True, text=True)
    return f"loads {', '.join(done.stdout.split()) or 'neither event loop, plugin machinery nor driver'}"
