"""Tables for people: with rich on a terminal, if it is installed, else as aligned text."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from importlib.util import find_spec

import click

__all__ = ["print_table"]


def print_table(titles: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    """Print rows of text under titles. Off a terminal nothing is wrapped, cut or coloured."""
    lines = [[" ".join(cell.split()) for cell in row] for row in rows]
    if sys.stdout.isatty() and find_spec("rich"):
        _print_rich(titles, lines)
    else:
        _print_plain([titles, *lines])


def _print_plain(lines: Sequence[Sequence[str]]) -> None:
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    for line in lines:
        click.echo("  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip())


def _print_rich(titles: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    from rich.box import SIMPLE
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    table = Table(box=SIMPLE, pad_edge=False)
    for title in titles:
        table.add_column(title, overflow="fold")
    for row in rows:
        table.add_row(*map(Text, row))
    Console().print(table)
