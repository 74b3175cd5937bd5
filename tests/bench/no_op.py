"""Nothing to do: `sync_now` over two LMDB stores that hold the same 100,000 records in twelve partitions."""

from __future__ import annotations

from pathlib import Path
from time import perf_counter
from typing import Final

from tests.bench.figure import Figure
from tests.bench.raw import fill
from tests.bench.samples import Quake, quakes

import tierfold

__all__ = ["measure"]

_LIMIT_MS: Final = 10.0
_ROUNDS: Final = 51
_RECORDS: Final = 100_000


async def measure(place: Path) -> list[Figure]:
    async with tierfold.open(f"lmdb:{place}/near", f"lmdb:{place}/far") as data:
        await fill(data.repo(Quake), quakes(0, _RECORDS))
        report = await data.sync_now()
        assert report.verified, report
        await data.sync_now()  # takes note of the first one's own commits
        took = []
        for _ in range(_ROUNDS):
            started = perf_counter()
            await data.sync_now()
            took.append((perf_counter() - started) * 1e3)
    return [Figure("`sync_now` with nothing to do, 100,000 records", "ms", tuple(took), _LIMIT_MS)]
