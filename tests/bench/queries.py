"""Queries: pages and counts by an index against a raw cursor, filters without one, and what an index costs writers."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Callable, Sequence
from contextlib import closing
from pathlib import Path
from random import Random
from statistics import median, quantiles
from struct import pack
from time import perf_counter, thread_time
from typing import Any, Final

import anyio
import lmdb
import msgspec
from tests.bench.figure import TIMES, Figure, ratios
from tests.bench.raw import fill, open_raw, open_twins
from tests.bench.samples import Quake, quakes
from tests.bench.save import BATCH, save_both

import tierfold
from tierfold import F

__all__ = ["Indexed", "indexed_quakes", "measure", "until_ready"]

_PAGE_LIMIT: Final = 2.5
_COUNT_LIMIT: Final = 1.5
_FILTER_LIMIT_US: Final = 1e6 / 150_000
_SAVE_LIMIT: Final = 3.5
_RECORDS: Final = 50_000
_ROUNDS: Final = 11
_PAGES: Final = 200
_PAGE: Final = 100


class Indexed(Quake, index=["mag"]):
    """The same with an index."""


class _Bare(Quake, name="Indexed"):
    """The same entities as a program knows them that declares no index."""


def indexed_quakes(first: int, count: int) -> list[Indexed]:
    """Earthquakes in their networks."""
    return [Indexed(**vars(quake)) for quake in quakes(first, count)]


async def until_ready(repo: tierfold.Repository[Any]) -> None:
    """Until the background has built what the class declares."""
    while [index.state for index in repo.indexes()] != ["ready"]:  # noqa: ASYNC110 - nobody tells
        await anyio.sleep(0.01)


async def measure(place: Path) -> list[Figure]:
    """Reading in thread time, for nothing is waited for; writing by the clock."""
    async with tierfold.open(f"lmdb:{place}/ours") as data:
        repo = data.repo(Indexed)
        entities = indexed_quakes(0, _RECORDS)
        await fill(repo, entities)
        await until_ready(repo)
        with closing(open_raw(place / "raw")) as env:
            raw = _Raw(env, entities)
            figures = [await _pages(repo, raw), await _counts(repo, raw), await _filters(repo)]
    return [*figures, await _saves(place / "saves"), *await _waits(place / "waits")]


class _Raw:
    """The same entities by id, and an index of them made by hand, in one environment."""

    def __init__(self, env: lmdb.Environment, entities: Sequence[Indexed]) -> None:
        self._env = env
        self._decode = msgspec.msgpack.Decoder(Indexed).decode
        encode = msgspec.msgpack.encode
        self.mags = sorted(entity.mag for entity in entities)
        with env.begin(write=True) as txn:
            for entity in entities:
                txn.put(b"r" + entity.id.encode(), encode(entity))
                txn.put(b"i" + _ordered(entity.mag) + entity.id.encode(), b"")

    def often(self) -> list[float]:
        """Magnitudes that more entities have than a page holds."""
        return [mag for mag in sorted(set(self.mags)) if self.at_least(mag) - self.at_least(mag + 1e-9) > _PAGE]

    def at_least(self, mag: float) -> int:
        return len(self.mags) - bisect_left(self.mags, mag)

    def page(self, mag: float) -> list[Indexed]:
        found: list[Indexed] = []
        prefix = b"i" + _ordered(mag)
        with self._env.begin() as txn, closing(txn.cursor()) as cursor:
            cursor.set_range(prefix)
            for key in cursor.iternext(keys=True, values=False):
                if not key.startswith(prefix) or len(found) == _PAGE:
                    break
                value = txn.get(b"r" + key[9:])
                assert value is not None
                found.append(self._decode(value))
        return found

    def count(self, mag: float) -> int:
        found = 0
        with self._env.begin() as txn, closing(txn.cursor()) as cursor:
            cursor.set_range(b"i" + _ordered(mag))
            for key in cursor.iternext(keys=True, values=False):
                if key[:1] != b"i":
                    break
                found += 1
        return found


def _ordered(mag: float) -> bytes:
    bits = int.from_bytes(pack(">d", mag + 0.0), "big")
    return (bits ^ (((1 << 64) - 1) if bits >> 63 else 1 << 63)).to_bytes(8, "big")


async def _pages(repo: tierfold.Repository[Indexed], raw: _Raw) -> Figure:
    often = raw.often()
    ours, theirs = [], []
    for seed in range(_ROUNDS):
        chosen = Random(seed).choices(often, k=_PAGES)
        first = await repo.query(F.mag == chosen[0]).page(size=_PAGE)
        assert [each.id for each in first] == [each.id for each in raw.page(chosen[0])]
        started = thread_time()
        for mag in chosen:
            await repo.query(F.mag == mag).page(size=_PAGE)
        ours.append((thread_time() - started) / _PAGES)
        started = thread_time()
        for mag in chosen:
            raw.page(mag)
        theirs.append((thread_time() - started) / _PAGES)
    beside = f"{median(ours) * 1e6:.0f} / {median(theirs) * 1e6:.0f} µs"
    what = "a page of 100 by an indexed value / raw cursor and decode"
    return Figure(what, TIMES, ratios(ours, theirs), _PAGE_LIMIT, beside)


async def _counts(repo: tierfold.Repository[Indexed], raw: _Raw) -> Figure:
    middle = raw.mags[_RECORDS // 2]
    ours, theirs = [], []
    found = raw.at_least(middle)
    for _ in range(_ROUNDS):
        started = thread_time()
        counted = await repo.query(F.mag >= middle).count()
        ours.append(thread_time() - started)
        started = thread_time()
        assert counted == raw.count(middle) == found
        theirs.append(thread_time() - started)
    beside = f"{median(ours) * 1e3:.2f} / {median(theirs) * 1e3:.2f} ms for {found:,}"
    return Figure("`count` by an index / counting with a raw cursor", TIMES, ratios(ours, theirs), _COUNT_LIMIT, beside)


async def _filters(repo: tierfold.Repository[Indexed]) -> Figure:
    query = repo.query(F.depth_km > 300)
    rounds = []
    found = await query.count()
    for _ in range(_ROUNDS):
        started = thread_time()
        await query.all()
        rounds.append((thread_time() - started) / _RECORDS * 1e6)
    beside = f"{1e6 / median(rounds):,.0f} records/s; {found} of {_RECORDS:,} meet the condition"
    return Figure("a filter without an index, for each record", "µs", tuple(rounds), _FILTER_LIMIT_US, beside)


async def _saves(place: Path) -> Figure:
    """Into a store that is not small: where it is, the work for a record is seven times a raw put without an index."""
    ours, raw = [], []
    async with open_twins(place, Indexed, 100_000, indexed_quakes) as twins:
        await until_ready(twins._repo)
        await save_both(twins, indexed_quakes(100_000, 1))
        for number in range(_ROUNDS):
            took = await save_both(twins, indexed_quakes(100_001 + number * BATCH, BATCH))
            ours.append(took[0])
            raw.append(took[1])
    beside = f"{median(ours) * 1e3:.1f} / {median(raw) * 1e3:.1f} ms"
    what = "`save_many` of 1,000 with an index into a store of 100,000 / raw puts"
    return Figure(what, TIMES, ratios(ours, raw), _SAVE_LIMIT, beside)


async def _waits(place: Path) -> list[Figure]:
    """How long a `save` takes while an index over 100,000 entities is built."""
    url = f"lmdb:{place}"
    async with tierfold.open(url) as data:
        await fill(data.repo(_Bare), [_Bare(**vars(each)) for each in quakes(0, 100_000)])
        quiet = await _timed(data, lambda number: number < 300)
        repo = data.repo(Indexed)
        started = perf_counter()
        busy = await _timed(data, lambda _: [index.state for index in repo.indexes()] != ["ready"])
        built_s = perf_counter() - started
    beside = f"{median(quiet) * 1e3:.2f} and {quantiles(quiet, n=100)[98] * 1e3:.2f} ms otherwise"
    said = f"built in {built_s:.1f} s beside {len(busy):,} saves; {beside}"
    return [
        Figure("a durable `save` while an index is built, half of all", "ms", (median(busy) * 1e3,), None, said),
        Figure("the same, 99 % of all", "ms", (quantiles(busy, n=100)[98] * 1e3,), None),
    ]


async def _timed(data: tierfold.DataLayer, goes_on: Callable[[int], bool]) -> list[float]:
    entities = data.repo(_Bare)
    took: list[float] = []
    while goes_on(len(took)):
        entity = _Bare(**vars(quakes(len(took), 1)[0]))
        started = perf_counter()
        await entities.save(entity)
        took.append(perf_counter() - started)
    return took
