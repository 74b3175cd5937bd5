"""Reconnecting: 100,000 records on both sides, 1 % changed on each while the link was cut; and with positions lost."""

from __future__ import annotations

import os
from contextlib import closing
from pathlib import Path
from statistics import median
from time import perf_counter
from typing import Final

from msgspec.structs import replace
from tests.bench.figure import Figure
from tests.bench.raw import fill
from tests.bench.samples import Sample, samples

import tierfold
from tierfold.layout import LINK_STATE_ROWS
from tierfold_lmdb.engine import LmdbEngine

__all__ = ["measure"]

_ROUNDS: Final = 5
_RECORDS: Final = 100_000
_CHANGED: Final = 1_000


async def measure(place: Path) -> list[Figure]:
    near, far = place / "near", place / "far"
    entities = samples(0, _RECORDS)
    async with tierfold.open(f"lmdb:{near}", f"lmdb:{far}") as data, tierfold.open(f"lmdb:{far}") as other:
        await fill(data.repo(Sample), entities)
        await data.sync_now()
        known = [await _reconnect(data, other, entities, number) for number in range(_ROUNDS)]
        lost = [await _reconnect(data, other, entities, number, near) for number in range(_ROUNDS)]
    return [
        _figure("1 % and 1 % of 100,000 records differ", known),
        _figure("the same, and the positions of both sides are lost", lost),
    ]


def _figure(what: str, rounds: list[tuple[float, int]]) -> Figure:
    megabytes = median(size for _, size in rounds) / 1e6
    return Figure(what, "ms", tuple(took * 1e3 for took, _ in rounds), None, f"{megabytes:.2f} MB of records cross")


async def _reconnect(
    data: tierfold.DataLayer,
    other: tierfold.DataLayer,
    entities: list[Sample],
    number: int,
    forgetful: Path | None = None,
) -> tuple[float, int]:
    """Seconds of the sync, and bytes of the records that crossed the link."""
    (link,) = data.links.values()
    link.pause()
    for first, layer in ((0, data), (_RECORDS // 2, other)):
        changed = entities[first + number :: _RECORDS // 2 // _CHANGED][:_CHANGED]
        for entity in changed:
            entity.value += 1
        await layer.repo(Sample).save_many(changed)
    if forgetful is not None:
        _forget_positions(forgetful)
    started = perf_counter()
    link.resume()
    report = await data.sync_now()
    took = perf_counter() - started
    (done,) = report.links.values()
    assert (done.verified, done.pulled, done.pushed) == (True, _CHANGED, _CHANGED), done
    return took, done.bytes


def _forget_positions(directory: Path) -> None:
    """Have the nearer store name points of the farther one's history that it never had, as after a lost file."""
    with closing(LmdbEngine(str(directory))) as engine:
        txn = engine.begin()
        for key, state in LINK_STATE_ROWS.rows(txn):
            strange = os.urandom(8) + bytes(8)
            LINK_STATE_ROWS.put(txn, replace(state, pulled=strange, seen=strange), key)
        txn.commit()
