"""The syntax tree of a condition on documents. `F` and Mango JSON are two spellings of it."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final, Literal, NoReturn

from msgspec import Struct

from tierfold.errors import QueryError

__all__ = [
    "EVERYTHING",
    "ORDERING",
    "Both",
    "Compare",
    "Either",
    "Exists",
    "Expression",
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


class Expression(Struct, frozen=True):
    """A condition that a document meets or not. Combine conditions with ``&``, ``|`` and ``~``."""

    def __and__(self, other: Expression) -> Expression:
        return Both((*_parts(self, Both), *_parts(other, Both)))

    def __or__(self, other: Expression) -> Expression:
        return Either((*_parts(self, Either), *_parts(other, Either)))

    def __invert__(self) -> Expression:
        return self.part if isinstance(self, Not) else Not(self)

    def __bool__(self) -> NoReturn:
        raise QueryError("a condition has no truth of its own: use &, | and ~ instead of and, or and not")


class Compare(Expression, frozen=True):
    """The value under ``path`` compared with ``value``, which is as documents store it.

    A missing member counts as None. Values of unlike types are never equal, and neither is less than the other; ints
    and floats are one type here, bools are another. ``in``: ``value`` is a list. ``contains``: the document has a list.
    """

    path: Path
    operator: Operator
    value: object


class Exists(Expression, frozen=True):
    """The document has a member under ``path``, be it None."""

    path: Path


class Both(Expression, frozen=True):
    """Every part holds; none = always."""

    parts: tuple[Expression, ...]


class Either(Expression, frozen=True):
    """One part holds at least; none = never."""

    parts: tuple[Expression, ...]


class Not(Expression, frozen=True):
    part: Expression


EVERYTHING = Both(())
"""The condition that every document meets."""


def _parts(expression: Expression, kind: type[Both] | type[Either]) -> tuple[Expression, ...]:
    return expression.parts if isinstance(expression, kind) else (expression,)


def paths_of(expression: Expression) -> Iterator[Path]:
    """Every path that the condition looks at; a path may come more than once."""
    match expression:
        case Compare(path=path) | Exists(path=path):
            yield path
        case Not(part=part):
            yield from paths_of(part)
        case _:
            assert isinstance(expression, Both | Either)
            for part in expression.parts:
                yield from paths_of(part)
