"""One measured figure: what was measured, its value in every round, and the bar it is held against."""

from __future__ import annotations

from collections.abc import Sequence
from statistics import median
from typing import Final

from msgspec import Struct

__all__ = ["TIMES", "Figure", "ratios"]

TIMES: Final = "\N{MULTIPLICATION SIGN}"
"""Unit of a ratio of times: 2 of it take twice as long."""


class Figure(Struct, frozen=True):
    """One line of the table. The median counts.

    Attributes:
        what: What is measured, or compared with what.
        values: One per round.
        limit: The bar; None = only reported.
        beside: What helps to read the figure, such as the two times of a ratio.
    """

    what: str
    unit: str
    values: tuple[float, ...]
    limit: float | None = None
    beside: str = ""

    @property
    def middle(self) -> float:
        return median(self.values)

    @property
    def is_missed(self) -> bool:
        return self.limit is not None and self.middle > self.limit


def ratios(ours: Sequence[float], raw: Sequence[float]) -> tuple[float, ...]:
    """Round by round, so that a machine that changes its speed changes both sides of each ratio."""
    return tuple(one / other for one, other in zip(ours, raw, strict=True))
