"""Growth: how much dearer a batch becomes from 1,000 to 1,000,000 records, against the same growth of raw puts."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from statistics import median
from typing import Final

from tests.bench.figure import TIMES, Figure
from tests.bench.raw import open_twins
from tests.bench.samples import Quake
from tests.bench.save import BATCH, in_one_partition, save_both

__all__ = ["measure"]

_LIMIT: Final = 1.3
_ROUNDS: Final = 9
_SMALL: Final = 1_000
_LARGE: Final = 1_000_000


async def measure(place: Path) -> list[Figure]:
    """Each round saves into a new small store and into the large one, and puts the same into their twins."""
    ours: list[float] = []
    raw: list[float] = []
    grown = []
    async with open_twins(place / "large", Quake, _LARGE, in_one_partition) as large:
        await save_both(large, in_one_partition(_LARGE, 1))
        for number in range(_ROUNDS):
            async with open_twins(place / str(number), Quake, _SMALL, in_one_partition) as small:
                await save_both(small, in_one_partition(_SMALL, 1))
                before = await save_both(small, in_one_partition(_SMALL + 1, BATCH))
                after = await save_both(large, in_one_partition(_LARGE + 1 + number * BATCH, BATCH))
            ours.append(after[0] / before[0])
            raw.append(after[1] / before[1])
            grown.append(after)
    beside = f"{median(ours):.2f} / {median(raw):.2f}, to {_ms(grown, 0)} / {_ms(grown, 1)} ms a batch"
    growth = tuple(one / other for one, other in zip(ours, raw, strict=True))
    what = "growth of `save_many` of 1,000 from 10^3 to 10^6 records / growth of raw puts"
    return [Figure(what, TIMES, growth, _LIMIT, beside)]


def _ms(pairs: Sequence[tuple[float, float]], side: int) -> str:
    return f"{median(pair[side] for pair in pairs) * 1e3:.1f}"
