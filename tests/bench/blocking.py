"""Reading one entity without an event loop: typed `get` against finding the record in the store and loading it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from random import Random
from statistics import median
from time import thread_time
from typing import Any, Final

import anyio
from tests.bench.figure import TIMES, Figure, ratios
from tests.bench.raw import Make
from tests.bench.samples import FullQuake, Quake, full_quakes, quakes

from tierfold import blocking
from tierfold.entities.adapter import adapter_for
from tierfold.model import Record, SegmentName
from tierfold.spi import LocalStore

__all__ = ["measure"]

_LIMIT: Final = 1.1
_RECORDS: Final = 20_000
_ROUNDS: Final = 11
_READS: Final = 10_000
_FILL_AT_ONCE: Final = 10_000


async def measure(place: Path) -> list[Figure]:
    """In a thread without a loop, as it is meant to be used."""
    small = await anyio.to_thread.run_sync(_compare, place / "small", Quake, quakes)
    full = await anyio.to_thread.run_sync(_compare, place / "full", FullQuake, full_quakes)
    return [
        _figure("blocking `get`, 10 fields / `store.find` and load", *small),
        _figure("blocking `get`, 30 fields / `store.find` and load", *full),
    ]


def _figure(what: str, ours: Sequence[float], direct: Sequence[float]) -> Figure:
    beside = f"{median(ours) * 1e6:.2f} / {median(direct) * 1e6:.2f} µs"
    return Figure(what, TIMES, ratios(ours, direct), _LIMIT, beside)


def _compare(place: Path, entity: type[Any], make: Make) -> tuple[list[float], list[float]]:
    """Seconds per read, of ours and direct, per round."""
    ours: list[float] = []
    direct: list[float] = []
    with blocking.open(f"lmdb:{place}") as data:
        repo = data.repo(entity)
        entities = make(0, _RECORDS)
        for start in range(0, _RECORDS, _FILL_AT_ONCE):
            repo.save_many(entities[start : start + _FILL_AT_ONCE])
        store = data.tiers[0].store
        assert isinstance(store, LocalStore)
        segments = {segment.partition: segment for segment in store.segments()}
        ids = [each.id for each in entities]
        load = adapter_for(entity).load
        for seed in range(_ROUNDS):
            chosen = Random(seed).sample(ids, _READS)
            ours.append(_read_ours(repo, chosen))
            direct.append(_read_direct(store, [(segments["app." + id.rpartition(".")[0]], id) for id in chosen], load))
    return ours, direct


def _read_ours(repo: blocking.Repository[Any], ids: Sequence[str]) -> float:
    get = repo.get
    started = thread_time()
    for id in ids:
        get(id)
    return (thread_time() - started) / len(ids)


def _read_direct(
    store: LocalStore, places: Sequence[tuple[SegmentName, str]], load: Callable[[Record], object]
) -> float:
    find = store.find
    started = thread_time()
    for segment, id in places:
        record = find(segment, id)
        assert record is not None
        load(record)
    return (thread_time() - started) / len(places)
