"""How a query is answered: by which index, in which order, and what remains to be checked."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from typing import Final

from msgspec import Struct

from tierfold.layout import end_of
from tierfold.where.bounds import Bounds, Range, bounds
from tierfold.where.order import BOOL, NONE
from tierfold.where.order_bytes import tag_of
from tierfold.where.sorting import SortField
from tierfold.where.tree import Condition, Path

__all__ = ["FEW", "WHOLE", "Plan", "choose", "scan_plan"]

WHOLE: Final[Range] = (tag_of(BOOL), end_of(tag_of(NONE)))
"""Every entry of an index."""
FEW: Final = 1_000
"""So many entries are sooner read and sorted than another index is gone through in order."""

Estimate = Callable[[Path, Sequence[Range]], int]
"""How many entries of an index lie in ranges; nobody needs to know more than that they are many."""


class Plan(Struct, frozen=True):
    """The way to a query's records.

    Attributes:
        index: Path of the index to read; None = go through all records.
        ranges: Parts of the index, ascending and apart.
        exact: What is found there needs no check.
        order: What the results are ordered by; empty = by partition and record key, as they lie.
        in_order: They are found in this order.
    """

    index: Path | None
    ranges: tuple[Range, ...]
    exact: bool
    order: tuple[SortField, ...]
    in_order: bool


def scan_plan(order: tuple[SortField, ...]) -> Plan:
    """Go through everything."""
    return Plan(None, (), exact=False, order=order, in_order=not order)


def choose(
    condition: Condition,
    order: tuple[SortField, ...],
    ready: Collection[Path],
    estimate: Estimate,
    *,
    may_order: bool,
) -> Plan:
    """The cheapest way.

    Args:
        ready: Paths of the indexes that can be read.
        may_order: Whether a query without an order may have that of an index.
    """
    found = {path: bounds(condition, path) for path in ready}
    bounded = {path: known for path, known in found.items() if known is not None}
    best = _narrowest(bounded, estimate)
    by_order = order[0].path if len(order) == 1 and order[0].path in found else None
    if best is not None and best != by_order and (by_order is None or _few(estimate, best, bounded[best])):
        return _unordered(best, bounded[best], order, may_order=may_order)
    if by_order is None:
        return scan_plan(order)
    known = bounded.get(by_order, Bounds((WHOLE,), exact=False))
    return Plan(by_order, known.ranges, known.exact, order, in_order=True)


def _narrowest(bounded: Mapping[Path, Bounds], estimate: Estimate) -> Path | None:
    if len(bounded) < 2:
        return next(iter(bounded), None)
    return min(bounded, key=lambda path: (estimate(path, bounded[path].ranges), path))


def _few(estimate: Estimate, path: Path, known: Bounds) -> bool:
    return estimate(path, known.ranges) <= FEW


def _unordered(path: Path, known: Bounds, order: tuple[SortField, ...], *, may_order: bool) -> Plan:
    if not order and may_order:
        return Plan(path, known.ranges, known.exact, (SortField(path),), in_order=True)
    return Plan(path, known.ranges, known.exact, order, in_order=False)
