"""In which steps an index is read to give a query's order: which parts, and which way."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from msgspec import Struct

from tierfold.errors import QueryError
from tierfold.layout import end_of
from tierfold.where.bounds import Range
from tierfold.where.order import NONE
from tierfold.where.order_bytes import order_bytes, tag_of

__all__ = ["Span", "rest_of", "spans", "start_in"]

_NONES: Final[Range] = (tag_of(NONE), end_of(tag_of(NONE)))
_BEHIND_ID: Final = b"\x25"
"""Behind an id stands the number of a segment, whose first byte is less, or one more character, which is not."""


class Span(Struct, frozen=True):
    """Part of an index. ``back``: greater values first; ``ids_back``: greater ids first among equal values."""

    low: bytes
    high: bytes
    back: bool
    ids_back: bool


def spans(ranges: Sequence[Range], *, descending: bool, backward: bool) -> list[Span]:
    """The steps through ranges, which ascend.

    Args:
        descending: Greater values come first, but None still last.
        backward: From the end to the beginning.
    """
    back = descending != backward
    valued = [Span(low, min(high, _NONES[0]), back, backward) for low, high in ranges if low < _NONES[0]]
    nones = [Span(max(low, _NONES[0]), high, backward, backward) for low, high in ranges if high > _NONES[0]]
    ordered = [*(reversed(valued) if back else valued)]
    return [*nones, *ordered] if backward else [*ordered, *nones]


def start_in(steps: Sequence[Span], value: object, id: str) -> list[Span]:
    """What is left of steps behind the entity with this value and id.

    Entities whose value shares its key with others may come once more: compare them.

    Raises:
        QueryError: No step leads there.
    """
    key, exact = order_bytes(value)
    for number, step in enumerate(steps):
        if step.low <= key < step.high:
            return [*_behind(step, key, exact, id.encode()), *steps[number + 1 :]]
    raise QueryError("the cursor is of another query")


def _behind(step: Span, key: bytes, exact: bool, id: bytes) -> list[Span]:
    end = end_of(key)
    low, high = key, end
    if exact:
        low, high = (key, key + id) if step.ids_back else (key + id + _BEHIND_ID, end)
    equals = Span(low, high, step.ids_back, step.ids_back)
    others = (step.low, key) if step.back else (end, step.high)
    return [equals, Span(*others, step.back, step.ids_back)]


def rest_of(step: Span, last: bytes, value: bytes) -> list[Span]:
    """What is left of a step when it was read up to the key ``last``, which begins with ``value``."""
    if step.back == step.ids_back:
        low, high = (step.low, last) if step.back else (last + b"\x00", step.high)
        return [Span(low, high, step.back, step.ids_back)]
    end = end_of(value)
    low, high = (value, last) if step.ids_back else (last + b"\x00", end)
    others = (step.low, value) if step.back else (end, step.high)
    return [
        Span(max(low, step.low), min(high, step.high), step.ids_back, step.ids_back),
        Span(*others, step.back, step.ids_back),
    ]
