"""The raw library at its best, beside a store of ours: an environment with the same flags that holds the same rows."""

from __future__ import annotations

import os
from collections.abc import AsyncGenerator, Callable, Sequence
from contextlib import asynccontextmanager, closing
from pathlib import Path
from random import Random
from time import perf_counter
from typing import Any, Final

import lmdb

import tierfold
from tierfold.layout import CHANGELOG, RECORD, SEGMENT_ROWS, end_of
from tierfold_lmdb.driver import open_driver
from tierfold_lmdb.engine import LmdbEngine
from tierfold_lmdb.options import LmdbOptions

__all__ = ["Twins", "fill", "open_raw", "open_twins"]

_FILL_AT_ONCE: Final = 10_000
_UNSAFE: Final = LmdbOptions(durability="unsafe_nosync")

Rows = list[tuple[bytes, bytes]]
Make = Callable[[int, int], Sequence[Any]]
"""(number of the first, how many) -> new entities."""


def open_raw(directory: Path, options: LmdbOptions | None = None) -> lmdb.Environment:
    """As a store of ours opens its file, which includes ``max_spare_txns=1``."""
    directory.mkdir(parents=True, exist_ok=True)
    return open_driver(directory, options or LmdbOptions())


async def fill(repo: tierfold.Repository[Any], entities: Sequence[Any]) -> None:
    """Save in batches that do not keep the writer for long."""
    for start in range(0, len(entities), _FILL_AT_ONCE):
        await repo.save_many(entities[start : start + _FILL_AT_ONCE])


class Twins:
    """One store of ours and one raw environment with the same record rows.

    The raw side gets them in random order, as records come whose keys are hashes.
    """

    def __init__(self, repo: tierfold.Repository[Any], engine: LmdbEngine, raw: lmdb.Environment) -> None:
        self._repo, self._engine, self._raw = repo, engine, raw
        self._random = Random(1)
        with engine.read() as (_, txn):
            self._seq = max((row.max_seq for _, row in SEGMENT_ROWS.rows(txn)), default=0)

    async def save(self, entities: Sequence[Any]) -> float:
        """Seconds of one `save_many`."""
        started = perf_counter()
        await self._repo.save_many(entities)
        return perf_counter() - started

    def put_same(self) -> float:
        """Seconds of one raw transaction that puts what was saved since the last time."""
        rows = self._rows_since()
        started = perf_counter()
        with self._raw.begin(write=True) as txn:
            for key, value in rows:
                txn.put(key, value)
        return perf_counter() - started

    def _rows_since(self) -> Rows:
        with self._engine.read() as (_, txn):
            rows: Rows = []
            seqs = [self._seq]
            for number, _ in SEGMENT_ROWS.rows(txn):
                log = CHANGELOG + number
                news = list(txn.scan(log + (self._seq + 1).to_bytes(8, "big"), end_of(log)))
                seqs += [int.from_bytes(entry[5:], "big") for entry, _ in news[-1:]]
                keys = [RECORD + number + key for _, key in news]
                rows += [(key, value) for key, value in zip(keys, txn.get_many(keys), strict=True) if value]
        self._seq = max(seqs)
        self._random.shuffle(rows)
        return rows


@asynccontextmanager
async def open_twins(directory: Path, entity: type[Any], held: int, make: Make) -> AsyncGenerator[Twins]:
    """A store that holds ``held`` entities, and its raw twin. Filled without waiting for the disk, then durable."""
    if held:
        async with _opened(directory, entity, _UNSAFE) as twins:
            for first in range(0, held, _FILL_AT_ONCE):
                await twins.save(make(first, min(_FILL_AT_ONCE, held - first)))
                twins.put_same()
        _flush(directory)
    async with _opened(directory, entity, LmdbOptions()) as twins:
        yield twins


def _flush(directory: Path) -> None:
    for data in directory.glob("*/data.mdb"):
        with data.open("rb") as file:
            os.fsync(file)


@asynccontextmanager
async def _opened(directory: Path, entity: type[Any], options: LmdbOptions) -> AsyncGenerator[Twins]:
    ours = f"{directory}/ours"
    async with tierfold.open(f"lmdb:{ours}?durability={options.durability}") as data:
        with closing(LmdbEngine(ours, options)) as engine, closing(open_raw(directory / "raw", options)) as raw:
            yield Twins(data.repo(entity), engine, raw)
