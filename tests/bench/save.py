"""Writing many entities: durable `save_many` against raw unsorted puts of the same rows in one durable transaction."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from statistics import median
from typing import Any, Final

from tests.bench.figure import TIMES, Figure, ratios
from tests.bench.raw import Make, Twins, open_twins
from tests.bench.samples import FullQuake, Quake, full_quakes, quakes

__all__ = ["BATCH", "in_one_partition", "measure", "save_both"]

_LIMIT: Final = 3.0
_ROUNDS: Final = 11
BATCH: Final = 1_000


def in_one_partition(first: int, count: int) -> Sequence[Quake]:
    return quakes(first, count, net="ci")


async def measure(place: Path) -> list[Figure]:
    """Stores of several sizes; one partition and many; small and large entities."""
    plain = in_one_partition
    return [
        await _compare(place / "fresh", "an empty store", Quake, 0, plain),
        await _compare(place / "small", "a store of 1,000", Quake, 1_000, plain),
        await _compare(place / "middle", "a store of 10,000", Quake, 10_000, plain),
        await _compare(place / "large", "a store of 100,000", Quake, 100_000, plain),
        await _compare(place / "many", "an empty store, 12 partitions", Quake, 0, quakes),
        await _compare(place / "full", "an empty store, 30 fields", FullQuake, 0, full_quakes),
    ]


async def _compare(place: Path, into: str, entity: type[Any], held: int, make: Make) -> Figure:
    ours, raw = [], []
    # A small store would grow by much from round to round, so each round has its own.
    stores, rounds = (1, _ROUNDS) if held >= 5 * BATCH * _ROUNDS else (_ROUNDS, 1)
    for store in range(stores):
        async with open_twins(place / str(store), entity, held, make) as twins:
            await save_both(twins, make(held, 1))
            for number in range(rounds):
                took = await save_both(twins, make(held + 1 + number * BATCH, BATCH))
                ours.append(took[0])
                raw.append(took[1])
    beside = f"{median(ours) * 1e3:.1f} / {median(raw) * 1e3:.1f} ms"
    return Figure(f"`save_many` of 1,000 into {into} / raw puts", TIMES, ratios(ours, raw), _LIMIT, beside)


async def save_both(twins: Twins, entities: Sequence[Any]) -> tuple[float, float]:
    """Seconds of ours and of raw for the same new rows."""
    return await twins.save(entities), twins.put_same()
