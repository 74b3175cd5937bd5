"""Measure what the documents promise: ``python -m tests.bench [NAME…]``, which is what ``make bench`` does.

Without names everything is measured and the figures go into ``docs/performance.md``. Ends with 1 when a bar is missed.
"""

from __future__ import annotations

import gc
import sys
import tempfile
from collections.abc import Awaitable, Callable, Mapping
from pathlib import Path
from typing import Final

import anyio
from tests.bench import (
    blocking,
    differing,
    first_sync,
    get,
    growth,
    imports,
    latency,
    live,
    memory,
    neighbours,
    no_op,
    others,
    queries,
    save,
)
from tests.bench.figure import Figure
from tests.bench.report import machine, table, write_page

_BARS: Final[Mapping[str, Callable[[Path], Awaitable[list[Figure]]]]] = {
    "get": get.measure,
    "blocking": blocking.measure,
    "save": save.measure,
    "growth": growth.measure,
    "first_sync": first_sync.measure,
    "no_op": no_op.measure,
    "imports": imports.measure,
    "memory": memory.measure,
    "latency": latency.measure,
    "differing": differing.measure,
    "live": live.measure,
    "neighbours": neighbours.measure,
    "queries": queries.measure,
    "others": others.measure,
}


def main(names: list[str]) -> int:
    unknown = set(names) - _BARS.keys()
    if unknown:
        print(f"no such bar: {', '.join(sorted(unknown))}; there are {', '.join(_BARS)}", file=sys.stderr)
        return 2
    figures: list[Figure] = []
    with tempfile.TemporaryDirectory(prefix="tierfold-bench-") as place:
        said = machine(Path(place))
        print(said)
        for name in names or _BARS:
            print(f"{name} …", file=sys.stderr)
            figures += _measure(name, Path(place))
    text = table(figures)
    print(text)
    if not names:
        write_page(said, text)
    return int(any(figure.is_missed for figure in figures))


def _measure(name: str, place: Path) -> list[Figure]:
    own = place / name
    own.mkdir()
    gc.collect()  # so that one bar's garbage is not collected in the time of the next
    return anyio.run(_BARS[name], own)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
