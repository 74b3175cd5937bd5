"""Observers and other processes: how soon they have what another program saves into the same LMDB store.

Run as a program it is that other program: ``python -m tests.bench.neighbours STORE``. For each line that it is given it
saves one entity with the time of day at which it began, by a clock that all processes share.
"""

from __future__ import annotations

import sys
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from random import Random
from statistics import median
from typing import Final

import anyio
from tests.bench.figure import Figure

import tierfold
from tierfold import blocking

__all__ = ["measure"]

_LIMIT_MS: Final = 150.0
_ROUNDS: Final = 5
_SAVES: Final = 20


class Note(tierfold.Entity):
    began_ns: int


async def measure(place: Path) -> list[Figure]:
    """At random distances, so that no phase of a watch is favoured; the slowest of each round counts."""
    slowest: list[float] = []
    usual: list[float] = []
    pauses = Random(1)
    async with (
        tierfold.open(f"lmdb:{place}") as data,
        _neighbour(place) as neighbour,
        data.repo(Note).observe_all() as live,
    ):
        await anext(live)
        for _ in range(_ROUNDS):
            took = []
            for _ in range(_SAVES):
                await anyio.sleep(pauses.random() * 0.2)
                took.append(await _told(live, neighbour))
            slowest.append(max(took))
            usual.append(median(took))
    beside = f"{median(usual):.0f} ms for half of them"
    what = f"from another process's `save` to an observer of the same LMDB store, slowest of {_SAVES}"
    return [Figure(what, "ms", tuple(slowest), _LIMIT_MS, beside)]


@asynccontextmanager
async def _neighbour(place: Path) -> AsyncIterator[anyio.abc.Process]:
    async with await anyio.open_process([sys.executable, "-m", __name__, str(place)], stderr=None) as process:
        assert process.stdout is not None
        await process.stdout.receive()  # it is ready
        yield process
        assert process.stdin is not None
        await process.stdin.aclose()
        await process.wait()


async def _told(live: tierfold.Live[list[Note]], neighbour: anyio.abc.Process) -> float:
    """Milliseconds until the observer has what the neighbour was told to save."""
    assert neighbour.stdin is not None
    await neighbour.stdin.send(b"\n")
    snapshot = await anext(live)
    return (time.monotonic_ns() - max(note.began_ns for note in snapshot.value)) / 1e6


def main(place: str) -> None:
    with blocking.open(f"lmdb:{place}") as data:
        notes = data.repo(Note)
        print("ready", flush=True)
        for _ in sys.stdin:
            notes.save(Note(began_ns=time.monotonic_ns()))


if __name__ == "__main__":
    main(sys.argv[1])
