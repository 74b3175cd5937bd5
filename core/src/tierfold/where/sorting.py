"""The order of a query's results, as keys that compare in Python.

The first field is primary, ``-`` turns a field round, None is last either way, and the id decides between equals.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import total_ordering
from typing import Any

from msgspec import Struct

from tierfold.errors import QueryError
from tierfold.where.order import NONE, Key, order_key
from tierfold.where.tree import Path

__all__ = ["SortField", "parse_sort", "sort_part"]


class SortField(Struct, frozen=True, array_like=True):
    """One field to order by."""

    path: Path
    descending: bool = False

    def __str__(self) -> str:
        return "-" * self.descending + ".".join(self.path)


def parse_sort(fields: Sequence[str]) -> tuple[SortField, ...]:
    """``"-mag"``, ``"a.b"``.

    Raises:
        QueryError: A field is named twice, or has no name.
    """
    if isinstance(fields, str):
        raise QueryError(f"sort: a list of fields is needed, such as [{fields!r}]")
    parsed = tuple(SortField(tuple(text.removeprefix("-").split(".")), text.startswith("-")) for text in fields)
    for field in parsed:
        if not all(field.path):
            raise QueryError(f"sort: {str(field)!r} names no field")
    if len({field.path for field in parsed}) < len(parsed):
        raise QueryError("sort: a field is named twice")
    return parsed


def sort_part(value: object, descending: bool) -> tuple[Any, ...]:
    """One field's part of the key."""
    key = order_key(value)
    return (0, _Reversed(key) if descending else key) if key[0] != NONE else (1,)


@total_ordering
class _Reversed:
    __slots__ = ("_key",)

    def __init__(self, key: Key) -> None:
        self._key = key

    def __eq__(self, other: object) -> bool:
        return isinstance(other, _Reversed) and self._key == other._key

    def __lt__(self, other: _Reversed) -> bool:
        return other._key < self._key

    def __hash__(self) -> int:
        return hash(self._key)
