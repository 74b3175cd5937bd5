"""What a condition says of one path: ranges of an index outside which no document can meet it."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import cast

from msgspec import Struct

from tierfold.layout import end_of
from tierfold.where.order import NONE, rank_of
from tierfold.where.order_bytes import order_bytes, prefix_bytes, tag_of
from tierfold.where.tree import Both, Compare, Condition, Either, Path

__all__ = ["Bounds", "Range", "bounds"]

Range = tuple[bytes, bytes]
"""Of order bytes: the low end belongs to it, the high end does not."""


class Bounds(Struct, frozen=True):
    """Ranges, ascending and apart. ``exact``: every document inside them meets the condition."""

    ranges: tuple[Range, ...]
    exact: bool


def bounds(condition: Condition, path: Path) -> Bounds | None:
    """Where documents that meet the condition are in an index on ``path``; None = the condition does not say."""
    match condition:
        case Compare(path=where) if where == path and condition.operator != "contains":
            return _compared(condition)
        case Both(parts=parts):
            return _both([bounds(part, path) for part in parts])
        case Either(parts=parts):
            found = [bounds(part, path) for part in parts]
            known = [each for each in found if each is not None]
            return _either(known) if len(known) == len(found) else None
    return None


def _both(found: Sequence[Bounds | None]) -> Bounds | None:
    known = [each for each in found if each is not None]
    if not known:
        return None
    ranges: Sequence[Range] = known[0].ranges
    for other in known[1:]:
        ranges = _common(ranges, other.ranges)
    return Bounds(tuple(ranges), len(known) == len(found) and all(each.exact for each in known))


def _either(found: Sequence[Bounds]) -> Bounds:
    return Bounds(_united(one for each in found for one in each.ranges), all(each.exact for each in found))


def _compared(at: Compare) -> Bounds:
    if at.operator == "in":
        return _either([_equal(item) for item in cast("list[object]", at.value)])
    if at.operator == "startswith":
        prefix, exact = prefix_bytes(cast("str", at.value))
        return Bounds(((prefix, end_of(prefix)),), exact)
    if at.operator == "eq" or rank_of(at.value) == NONE:
        return _equal(at.value) if at.operator in ("eq", "lte", "gte") else Bounds((), exact=True)
    return _ordered(at)


def _equal(value: object) -> Bounds:
    low, exact = order_bytes(value)
    return Bounds(((low, end_of(low)),), exact)


def _ordered(at: Compare) -> Bounds:
    """Values of one type, on one side of another one. Where that was cut, those that share its key may be meant."""
    key, exact = order_bytes(at.value)
    tag = tag_of(rank_of(at.value))
    behind = end_of(key)
    ends = {
        "lt": (tag, key if exact else behind),
        "lte": (tag, behind),
        "gt": (behind if exact else key, end_of(tag)),
        "gte": (key, end_of(tag)),
    }
    return Bounds((ends[at.operator],), exact)


def _common(one: Sequence[Range], other: Sequence[Range]) -> Sequence[Range]:
    pairs = ((max(a[0], b[0]), min(a[1], b[1])) for a in one for b in other)
    return [pair for pair in pairs if pair[0] < pair[1]]


def _united(ranges: Iterable[Range]) -> tuple[Range, ...]:
    united: list[Range] = []
    for low, high in sorted(ranges):
        if united and low <= united[-1][1]:
            united[-1] = (united[-1][0], max(high, united[-1][1]))
        else:
            united.append((low, high))
    return tuple(united)
