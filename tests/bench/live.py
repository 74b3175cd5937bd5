"""Observers: what a commit costs the one who makes it, and how soon those who wait have it."""

from __future__ import annotations

from pathlib import Path
from statistics import median
from time import perf_counter
from typing import Final

import anyio
from tests.bench.figure import Figure
from tests.bench.samples import Quake, quakes

import tierfold
from tierfold.abc.store import RecordChange
from tierfold.model import SegmentName

__all__ = ["measure"]

_OBSERVERS: Final = 10
_COMMITS: Final = 1_000
_ROUNDS: Final = 7
_ENQUEUED_US: Final = 5.0
_DELIVERED_US: Final = 40.0


async def measure(place: Path) -> list[Figure]:
    """On the memory store, so that no disk is measured."""
    async with tierfold.open("memory:") as data:
        saved = await data.repo(Quake).save_many(quakes(0, 100, net="ci"))
        return [await _enqueued(data, saved[0]), await _delivered(data, saved[0])]


async def _enqueued(data: tierfold.DataLayer, quake: Quake) -> Figure:
    segment = SegmentName("Quake", "app.ci")
    record = data._access.reader.find_held(segment, quake.id)
    assert record is not None
    commit = [RecordChange("saved", segment, record, "local", 2**40)]
    rounds = []
    for _ in range(_ROUNDS):
        lives = [data.repo(Quake).observe_all(limit=20) for _ in range(_OBSERVERS)]
        for live in lives:
            await anext(live)
        started = perf_counter()
        for _ in range(_COMMITS):
            data._hub._tell(commit)
        rounds.append((perf_counter() - started) / _COMMITS * 1e6)
        for live in lives:
            live.close()
    return Figure("a change handed to 10 observers of a query", "µs", tuple(rounds), _ENQUEUED_US)


async def _delivered(data: tierfold.DataLayer, quake: Quake) -> Figure:
    """From the telling of a commit until the last of ten tasks has its snapshot; the save itself is left out."""
    segment = SegmentName("Quake", "app.ci")
    record = data._access.reader.find_held(segment, quake.id)
    assert record is not None
    commit = [RecordChange("saved", segment, record, "local", 2**40)]
    arrived = 0
    all_there = anyio.Event()

    async def watch() -> None:
        nonlocal arrived
        async for _ in data.repo(Quake).observe(quake.id):
            arrived += 1
            if arrived % _OBSERVERS == 0:
                all_there.set()

    rounds = []
    async with anyio.create_task_group() as tasks:
        for _ in range(_OBSERVERS):
            tasks.start_soon(watch)
        await all_there.wait()
        for _ in range(_ROUNDS):
            took = []
            for _ in range(_COMMITS):
                all_there = anyio.Event()
                started = perf_counter()
                data._hub._tell(commit)
                await all_there.wait()
                took.append((perf_counter() - started) * 1e6)
            rounds.append(median(took))
        tasks.cancel_scope.cancel()
    return Figure("a change delivered to 10 tasks that await an entity", "µs", tuple(rounds), _DELIVERED_US)
