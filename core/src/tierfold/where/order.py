"""The one order of all values that documents hold.

bools < numbers < texts < datetimes < bytes < lists < maps < None. Ints and floats are ordered together by their exact
value, texts by code point, lists and maps member by member. A missing member counts as None.
"""

from __future__ import annotations

from datetime import datetime
from typing import Any, Final

__all__ = ["BOOL", "BYTES", "LIST", "MAP", "MOMENT", "NONE", "NUMBER", "TEXT", "Key", "order_key", "rank_of"]

Key = tuple[Any, ...]
"""Compares with every other key."""

BOOL, NUMBER, TEXT, MOMENT, BYTES, LIST, MAP, NONE = range(8)

_RANKS: Final[dict[type, int]] = {
    bool: BOOL,
    int: NUMBER,
    float: NUMBER,
    str: TEXT,
    datetime: MOMENT,
    bytes: BYTES,
    list: LIST,
    dict: MAP,
}


def rank_of(value: object) -> int:
    """Which type a value counts as; what is nothing else counts as missing."""
    return _RANKS.get(type(value), NONE)


def order_key(value: object) -> Key:
    """Equal for equal values, less for lesser ones."""
    rank = rank_of(value)
    if rank == LIST:
        return (rank, tuple([order_key(item) for item in value]))  # type: ignore[attr-defined]
    if rank == MAP:
        return (rank, tuple(sorted([(name, order_key(item)) for name, item in value.items()])))  # type: ignore[attr-defined]
    return (rank, value) if rank != NONE else (rank,)
