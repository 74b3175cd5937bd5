"""The table of figures, as text for the terminal and as the marked block of ``docs/performance.md``."""

from __future__ import annotations

import os
import platform
from collections.abc import Sequence
from pathlib import Path
from typing import Final

import lmdb
from tests.bench.figure import Figure

from tierfold_lmdb.mounts import file_system_of

__all__ = ["machine", "table", "write_page"]

_PAGE: Final = Path(__file__).parents[2] / "docs" / "performance.md"
_START: Final = "<!-- bench:start -->\n"
_END: Final = "<!-- bench:end -->"
_HEAD: Final = ("", "min", "median", "max", "bar", "")


def machine(directory: Path) -> str:
    """What the figures depend on, and whether the machine had other work."""
    mounts = Path("/proc/self/mountinfo")
    file_system = file_system_of(str(directory.resolve()), mounts.read_text()) if mounts.exists() else None
    load = os.getloadavg()[0]
    busy = "; **the machine has other work, so only ratios mean much**" if load > 1 else ""
    return (
        f"{os.cpu_count()} cores, {platform.machine()}, {platform.system()}, {file_system or 'unknown file system'},"
        f" {platform.python_implementation()} {platform.python_version()}, py-lmdb {lmdb.__version__} with LMDB"
        f" {'.'.join(map(str, lmdb.version()))}; load average before {load:.1f}{busy}"
    )


def table(figures: Sequence[Figure]) -> str:
    """A Markdown table whose columns also line up on a terminal. A missed bar is marked."""
    rows = [_HEAD, *map(_row, figures)]
    widths = [max(len(row[column]) for row in rows) for column in range(len(_HEAD))]
    rule = ["-" * widths[0], *("-" * (width - 1) + ":" for width in widths[1:5]), "-" * max(widths[5], 3)]
    lines = [_line(rows[0], widths), "| " + " | ".join(rule) + " |", *(_line(row, widths) for row in rows[1:])]
    return "\n".join(lines)


def write_page(machine: str, text: str) -> None:
    """Put the figures where the page of documents has its mark; nothing else of it changes."""
    page = _PAGE.read_text()
    before, _, rest = page.partition(_START)
    _, _, after = rest.partition(_END)
    _PAGE.write_text(f"{before}{_START}{machine[0].upper()}{machine[1:]}.\n\n{text}\n{_END}{after}")


def _row(figure: Figure) -> tuple[str, ...]:
    low, middle, high = min(figure.values), figure.middle, max(figure.values)
    bar = "" if figure.limit is None else f"≤ {figure.limit:g} {figure.unit}"
    marked = f"**{_number(middle)}**" if figure.is_missed else _number(middle)
    return figure.what, _number(low), f"{marked} {figure.unit}", _number(high), bar, figure.beside


def _number(value: float) -> str:
    return f"{value:.0f}" if abs(value) >= 100 else f"{value:.1f}" if abs(value) >= 10 else f"{value:.2f}"


def _line(row: Sequence[str], widths: Sequence[int]) -> str:
    cells = [f"{row[0]:<{widths[0]}}", *(f"{row[column]:>{widths[column]}}" for column in range(1, 5))]
    return "| " + " | ".join([*cells, f"{row[5]:<{widths[5]}}"]) + " |"
