"""Memory: what reading 190,000 further entities through an open layer on LMDB adds to a process.

Run as a program it is that process: ``python -m tests.bench.memory DIRECTORY``.
"""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Final

import anyio
from tests.bench.figure import Figure
from tests.bench.raw import fill
from tests.bench.samples import Quake, quakes

import tierfold

__all__ = ["measure"]

_LIMIT_KB: Final = 256.0
_ROUNDS: Final = 5
_FEW: Final = 10_000
_MANY: Final = 200_000


async def measure(place: Path) -> list[Figure]:
    """The mapped file is not counted: the system takes its pages back when it needs them."""
    async with tierfold.open(f"lmdb:{place}/store") as data:
        await fill(data.repo(Quake), quakes(0, _MANY))
    grown = [_ask(place) for _ in range(_ROUNDS)]
    what = "memory added by reading 200,000 entities instead of 10,000"
    return [Figure(what, "kB", tuple(after - before for before, after in grown), _LIMIT_KB, f"of {grown[0][0]:.0f} kB")]


def _ask(place: Path) -> tuple[float, float]:
    command = [sys.executable, "-m", "tests.bench.memory", str(place)]
    before, after = subprocess.run(command, check=True, capture_output=True, text=True).stdout.split()
    return float(before), float(after)


async def _read(place: Path) -> None:
    async with tierfold.open(f"lmdb:{place}/store") as data:
        repo = data.repo(Quake)
        ids = [entity.id async for entity in repo.query()]
        assert len(ids) == _MANY
        for some in (ids[:_FEW], ids):
            for id in some:
                await repo.get(id)
            print(_anonymous_kb())


def _anonymous_kb() -> int:
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("RssAnon:"))


if __name__ == "__main__":
    anyio.run(_read, Path(sys.argv[1]))
