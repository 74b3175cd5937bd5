"""Single writes: how long one durable save takes, and how soon a link has carried it to the next tier."""

from __future__ import annotations

import os
from collections.abc import Sequence
from contextlib import closing
from pathlib import Path
from statistics import median, quantiles
from time import perf_counter
from typing import Final

import anyio
from tests.bench.figure import TIMES, Figure, ratios
from tests.bench.raw import open_raw
from tests.bench.samples import Quake, quakes

import tierfold
from tierfold.abc.store import LocalStore
from tierfold.model import Change

__all__ = ["measure"]

_ROUNDS: Final = 7
_SAVES: Final = 200


async def measure(place: Path) -> list[Figure]:
    return [await _single_saves(place), *await _live(place)]


async def _single_saves(place: Path) -> Figure:
    ours, raw = [], []
    async with tierfold.open(f"lmdb:{place}/ours") as data:
        with closing(open_raw(place / "raw")) as env:
            repo = data.repo(Quake)
            await repo.save(quakes(0, 1)[0])
            for number in range(_ROUNDS):
                took: tuple[list[float], list[float]] = [], []
                for entity in quakes(number * _SAVES, _SAVES):
                    started = perf_counter()
                    await repo.save(entity)
                    saved = perf_counter()
                    key, value = os.urandom(21), os.urandom(400)
                    begun = perf_counter()
                    with env.begin(write=True) as txn:
                        txn.put(key, value)
                    took[1].append(perf_counter() - begun)
                    took[0].append(saved - started)
                ours.append(median(took[0]))
                raw.append(median(took[1]))
    beside = f"{median(ours) * 1e3:.2f} / {median(raw) * 1e3:.2f} ms"
    return Figure("one durable `save` / one raw durable put", TIMES, ratios(ours, raw), None, beside)


async def _live(place: Path) -> list[Figure]:
    """From the call of `save` until the next tier has committed what it saved; no other writes meanwhile."""
    rounds: list[list[float]] = []
    async with tierfold.open(f"lmdb:{place}/near", f"lmdb:{place}/far") as data:
        repo = data.repo(Quake)
        far = data._tiers[1].store
        assert isinstance(far, LocalStore)
        arrivals = _Arrivals()
        far.listen(arrivals.hear)
        await repo.save(quakes(0, 1, net="ci")[0])
        await data.sync_now()
        for number in range(_ROUNDS):
            entities = quakes(number * _SAVES, _SAVES, net="ci")
            rounds += [[await _carried(repo, arrivals, each) for each in entities]]
    half = [median(took) * 1e3 for took in rounds]
    late = [quantiles(took, n=100)[98] * 1e3 for took in rounds]
    return [
        Figure("from `save` to its commit in the next tier, half of all", "ms", tuple(half)),
        Figure("the same, 99 % of all", "ms", tuple(late)),
    ]


class _Arrivals:
    """When the far store told of an id."""

    def __init__(self) -> None:
        self._at: dict[str, float] = {}
        self._news = anyio.Event()

    def hear(self, changes: Sequence[Change]) -> None:
        now = perf_counter()
        self._at.update((change.id, now) for change in changes)
        self._news.set()

    async def of(self, id: str) -> float:
        while id not in self._at:
            self._news = anyio.Event()
            await self._news.wait()
        return self._at[id]


async def _carried(repo: tierfold.Repository[Quake], arrivals: _Arrivals, entity: Quake) -> float:
    started = perf_counter()
    await repo.save(entity)
    arrived = await arrivals.of(entity.id)
    await anyio.sleep(0.02)  # the link rests a little after each run; a person's edits are farther apart
    return arrived - started
