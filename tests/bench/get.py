"""Reading one entity: typed `await get` against `begin, get, abort` of py-lmdb and typed decoding of the same entity.

Neither side waits for anything, so the time of the thread is measured: other work of the machine does not count.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import closing
from pathlib import Path
from random import Random
from statistics import median
from time import thread_time
from typing import Any, Final

import lmdb
import msgspec
from tests.bench.figure import TIMES, Figure, ratios
from tests.bench.raw import Make, fill, open_raw
from tests.bench.samples import FullQuake, Quake, full_quakes, quakes

import tierfold

__all__ = ["measure"]

_LIMIT: Final = 2.0
_RECORDS: Final = 50_000
_ROUNDS: Final = 11
_READS: Final = 10_000


async def measure(place: Path) -> list[Figure]:
    """One tier; the same behind an upstream, where every read makes sure that its partition is held here."""
    small = await _compare(place / "small", Quake, quakes)
    full = await _compare(place / "full", FullQuake, full_quakes)
    linked = await _compare(place / "linked", Quake, quakes, far=f"lmdb:{place}/far")
    return [
        _figure("`await get`, 10 fields / raw get and decode", *small, limit=_LIMIT),
        _figure("`await get`, 30 fields / raw get and decode", *full, limit=_LIMIT),
        _figure("`await get` in front of an upstream, 10 fields / raw get and decode", *linked),
    ]


def _figure(what: str, ours: Sequence[float], raw: Sequence[float], limit: float | None = None) -> Figure:
    return Figure(what, TIMES, ratios(ours, raw), limit, f"{median(ours) * 1e6:.2f} / {median(raw) * 1e6:.2f} µs")


async def _compare(
    place: Path, entity: type[Any], make: Make, far: str | None = None
) -> tuple[list[float], list[float]]:
    """Seconds per read, of ours and raw, per round."""
    ours: list[float] = []
    raw: list[float] = []
    near = f"lmdb:{place}/ours"
    async with tierfold.open(near, far) if far else tierfold.open(near) as data:
        repo = data.repo(entity)
        entities = make(0, _RECORDS)
        await fill(repo, entities)
        if far:
            await data.sync_now()
        with closing(open_raw(place / "raw")) as env:
            _fill_raw(env, entities)
            ids = [each.id for each in entities]
            del entities
            decode = msgspec.msgpack.Decoder(entity).decode
            for seed in range(_ROUNDS):
                chosen = Random(seed).sample(ids, _READS)
                ours.append(await _read_ours(repo, chosen))
                raw.append(_read_raw(env, [id.encode() for id in chosen], decode))
    return ours, raw


def _fill_raw(env: lmdb.Environment, entities: Sequence[Any]) -> None:
    encode = msgspec.msgpack.encode
    with env.begin(write=True) as txn:
        for entity in entities:
            txn.put(entity.id.encode(), encode(entity))


async def _read_ours(repo: tierfold.Repository[Any], ids: Sequence[str]) -> float:
    get = repo.get
    started = thread_time()
    for id in ids:
        await get(id)
    return (thread_time() - started) / len(ids)


def _read_raw(env: lmdb.Environment, keys: Sequence[bytes], decode: Callable[[bytes], Any]) -> float:
    begin = env.begin
    started = thread_time()
    for key in keys:
        txn = begin()
        value = txn.get(key)
        txn.abort()
        assert value is not None
        decode(value)
    return (thread_time() - started) / len(keys)
