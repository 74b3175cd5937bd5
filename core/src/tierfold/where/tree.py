"""The syntax tree of a condition on documents. `F` and Mango JSON are two spellings of it."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final, Literal, NoReturn

from msgspec import Struct

from tierfold.errors import QueryError

__all__ = [
    "BRACKETS",
    "EVERYTHING",
    "ORDERING",
    "Both",
    "Compare",
    "Condition",
    "Either",
    "Exists",
    "Not",
    "Operator",
    "Path",
    "paths_of",
]

Path = tuple[str, ...]
"""Members from the document's top down to a value."""
Operator = Literal["eq", "lt", "lte", "gt", "gte", "in", "startswith", "contains"]
ORDERING: Final = frozenset({"lt", "lte", "gt", "gte"})
"""Operators that ask which of two values comes first."""

BRACKETS: Final = "put each comparison in brackets, as in (F.n > 1) & (F.n < 3)"
"""What to do about ``&`` and ``|``, which bind more closely than comparisons."""


class Condition(Struct, frozen=True):
    """A condition that a document meets or not. Combine conditions with ``&``, ``|`` and ``~``."""

    def __and__(self, other: Condition) -> Condition:
        return Both((*_parts(self, Both), *_parts(other, Both)))

    def __or__(self, other: Condition) -> Condition:
        return Either((*_parts(self, Either), *_parts(other, Either)))

    def __invert__(self) -> Condition:
        return self.part if isinstance(self, Not) else Not(self)

    def __bool__(self) -> NoReturn:
        raise QueryError(
            "a condition has no truth of its own: use &, | and ~ instead of and, or and not,"
            " and two conditions instead of a chain"
        )


class Compare(Condition, frozen=True):
    """The value under ``path`` compared with ``value``, which is as documents store it.

    A missing member counts as None. Values of unlike types are never equal, and neither is less than the other; ints
    and floats are one type here, bools are another. ``in``: ``value`` is a list. ``contains``: the document has a list.
    """

    path: Path
    operator: Operator
    value: object


class Exists(Condition, frozen=True):
    """The document has a member under ``path``, be it None."""

    path: Path


class Both(Condition, frozen=True):
    """Every part holds; none = always."""

    parts: tuple[Condition, ...]


class Either(Condition, frozen=True):
    """One part holds at least; none = never."""

    parts: tuple[Condition, ...]


class Not(Condition, frozen=True):
    part: Condition


EVERYTHING = Both(())
"""The condition that every document meets."""


def _parts(condition: Condition, kind: type[Both] | type[Either]) -> tuple[Condition, ...]:
    if not isinstance(condition, Condition):
        raise QueryError(f"& and | join conditions; {condition!r} is none: {BRACKETS}")
    return condition.parts if isinstance(condition, kind) else (condition,)


def paths_of(condition: Condition) -> Iterator[Path]:
    """Every path that the condition looks at; a path may come more than once."""
    match condition:
        case Compare(path=path) | Exists(path=path):
            yield path
        case Not(part=part):
            yield from paths_of(part)
        case _:
            assert isinstance(condition, Both | Either)
            for part in condition.parts:
                yield from paths_of(part)
