"""The same queries on libraries that people would otherwise take: SQLite with JSON, TinyDB and diskcache.

Each keeps the same documents in its usual way, on this disk; results are typed objects everywhere. The ratio says how
many times longer than here it takes.
"""

from __future__ import annotations

import sqlite3
from abc import ABC, abstractmethod
from collections.abc import Awaitable, Callable, Iterable, Sequence
from contextlib import closing
from itertools import islice
from pathlib import Path
from random import Random
from statistics import median
from time import perf_counter
from typing import Any, Final

import diskcache  # type: ignore[import-untyped]
import msgspec
import tinydb
from tests.bench.figure import TIMES, Figure, ratios
from tests.bench.queries import Indexed, indexed_quakes, until_ready
from tests.bench.raw import fill

import tierfold
from tierfold import F

__all__ = ["measure"]

_RECORDS: Final = 10_000
_ROUNDS: Final = 5
_QUESTIONS: Final = 10
"""So many of a kind are asked together: what is asked once after something else finds no cache warm."""
_PAGE: Final = 100
_DEEP_KM: Final = 300.0


class Other(ABC):
    """A library with the documents in it."""

    name: str

    @abstractmethod
    def page(self, mag: float) -> list[Indexed]:
        """Up to 100 entities of a magnitude."""

    @abstractmethod
    def count(self, mag: float) -> int:
        """How many have this magnitude at least."""

    @abstractmethod
    def deep(self) -> list[Indexed]:
        """Those below 300 km, for which there is no index."""


class Sqlite(Other):
    """A table of JSON texts with an index on an expression."""

    name = "SQLite"

    def __init__(self, place: Path, documents: Iterable[dict[str, Any]]) -> None:
        self._decode = msgspec.json.Decoder(Indexed).decode
        self._connection = sqlite3.connect(place / "quakes.db")
        self._connection.execute("CREATE TABLE quakes (id TEXT PRIMARY KEY, document TEXT) WITHOUT ROWID")
        self._connection.execute("CREATE INDEX by_mag ON quakes (json_extract(document, '$.mag'))")
        rows = [(each["id"], msgspec.json.encode(each).decode()) for each in documents]
        with self._connection:
            self._connection.executemany("INSERT INTO quakes VALUES (?, ?)", rows)

    def close(self) -> None:
        self._connection.close()

    def page(self, mag: float) -> list[Indexed]:
        where = "json_extract(document, '$.mag') = ?"
        rows = self._connection.execute(f"SELECT document FROM quakes WHERE {where} LIMIT {_PAGE}", (mag,))
        return [self._decode(document) for (document,) in rows]

    def count(self, mag: float) -> int:
        where = "json_extract(document, '$.mag') >= ?"
        (found,) = self._connection.execute(f"SELECT count(*) FROM quakes WHERE {where}", (mag,)).fetchone()
        return int(found)

    def deep(self) -> list[Indexed]:
        where = "json_extract(document, '$.depth_km') > ?"
        rows = self._connection.execute(f"SELECT document FROM quakes WHERE {where}", (_DEEP_KM,))
        return [self._decode(document) for (document,) in rows]


class TinyDb(Other):
    """One JSON file, read again for every query; what it remembers of queries is left out."""

    name = "TinyDB"

    def __init__(self, place: Path, documents: Iterable[dict[str, Any]]) -> None:
        self._table = tinydb.TinyDB(place / "quakes.json").table("quakes", cache_size=0)
        self._table.insert_multiple(documents)

    def page(self, mag: float) -> list[Indexed]:
        return _typed(self._table.search(tinydb.where("mag") == mag)[:_PAGE])

    def count(self, mag: float) -> int:
        return int(self._table.count(tinydb.where("mag") >= mag))

    def deep(self) -> list[Indexed]:
        return _typed(self._table.search(tinydb.where("depth_km") > _DEEP_KM))


class DiskCache(Other):
    """It has no queries: a loop over all values."""

    name = "diskcache"

    def __init__(self, place: Path, documents: Iterable[dict[str, Any]]) -> None:
        self._cache = diskcache.Cache(place / "quakes")
        with self._cache.transact():
            for each in documents:
                self._cache[each["id"]] = each

    def _all(self) -> Iterable[dict[str, Any]]:
        return (self._cache[id] for id in self._cache)

    def page(self, mag: float) -> list[Indexed]:
        return _typed(islice((each for each in self._all() if each["mag"] == mag), _PAGE))

    def count(self, mag: float) -> int:
        return sum(each["mag"] >= mag for each in self._all())

    def deep(self) -> list[Indexed]:
        return _typed(each for each in self._all() if each["depth_km"] > _DEEP_KM)


def _typed(documents: Iterable[dict[str, Any]]) -> list[Indexed]:
    return msgspec.convert(list(map(dict, documents)), list[Indexed])


async def measure(place: Path) -> list[Figure]:
    """Round by round: ours, then each of the others."""
    async with tierfold.open(f"lmdb:{place}/ours") as data:
        repo = data.repo(Indexed)
        entities = indexed_quakes(0, _RECORDS)
        await fill(repo, entities)
        await until_ready(repo)
        times = dict.fromkeys(("created_at", "updated_at"), "2026-11-21T12:00:00Z")
        documents = [{**vars(each), **times} for each in entities]
        with closing(Sqlite(place, documents)) as sqlite:
            others = [sqlite, TinyDb(place, documents), DiskCache(place, documents)]
            return await _compare(repo, others, _chosen(entities))


def _chosen(entities: Sequence[Indexed]) -> list[list[float]]:
    """For each round, magnitudes that more entities have than a page holds."""
    mags = [entity.mag for entity in entities]
    often = sorted({mag for mag in mags if mags.count(mag) >= _PAGE})
    return [Random(seed).choices(often, k=_QUESTIONS) for seed in range(_ROUNDS)]


async def _compare(
    repo: tierfold.Repository[Indexed], others: Sequence[Other], rounds: Sequence[Sequence[float]]
) -> list[Figure]:
    figures: list[Figure] = []
    questions: dict[str, tuple[Callable[[float], Awaitable[Any]], Callable[[Other, float], Any]]] = {
        "a page of 100 by an indexed value": (
            lambda mag: repo.query(F.mag == mag).page(size=_PAGE),
            lambda other, mag: other.page(mag),
        ),
        "`count` by an index": (lambda mag: repo.query(F.mag >= mag).count(), lambda other, mag: other.count(mag)),
        "a filter without an index": (
            lambda _: repo.query(F.depth_km > _DEEP_KM).all(),
            lambda other, _: other.deep(),
        ),
    }
    for what, (ask, ask_other) in questions.items():
        ours: list[float] = []
        theirs: dict[str, list[float]] = {other.name: [] for other in others}
        for mags in rounds:
            started = perf_counter()
            answers = [await ask(mag) for mag in mags]
            ours.append((perf_counter() - started) / _QUESTIONS)
            for other in others:
                started = perf_counter()
                told = [ask_other(other, mag) for mag in mags]
                theirs[other.name].append((perf_counter() - started) / _QUESTIONS)
                assert list(map(_size, told)) == list(map(_size, answers))
        for name, took in theirs.items():
            beside = f"{median(took) * 1e3:.2f} / {median(ours) * 1e3:.2f} ms"
            figures.append(Figure(f"{what} of 10,000: {name} / here", TIMES, ratios(took, ours), None, beside))
    return figures


def _size(answer: Any) -> int:
    return answer if isinstance(answer, int) else len(answer)
