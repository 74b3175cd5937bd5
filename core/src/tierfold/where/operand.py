"""What a condition compares with: values as documents store them."""

from __future__ import annotations

from collections.abc import Hashable
from functools import cache
from typing import cast

from tierfold.codec import encode
from tierfold.entities.kinds import Kind
from tierfold.entities.source import Source
from tierfold.entities.values import scalar_kind
from tierfold.errors import QueryError, ValidationError
from tierfold.where.tree import Operator

__all__ = ["operand"]

_PLAIN = frozenset({str, int, float, bool, type(None)})


def operand(operator: Operator, value: object) -> object:
    """The stored form of a value that a condition names.

    Raises:
        QueryError: No document can hold such a value, or the operator cannot compare with it.
    """
    if operator == "in":
        if not isinstance(value, list):
            raise QueryError("in: a list is needed")
        return [_stored(item, operator) for item in value]
    if operator == "startswith" and not isinstance(value, str):
        raise QueryError(f"startswith: text is needed, not {type(value).__name__}")
    return _stored(value, operator)


def _stored(value: object, operator: Operator) -> object:
    try:
        plain = _plain(value)
        encode({"value": plain})
    except ValidationError as error:
        raise QueryError(f"{operator}: {error.reason}") from error
    return plain


def _plain(value: object) -> object:
    match value:
        case list() | tuple():
            return [_plain(item) for item in value]
        case dict():
            return {name: _plain(item) for name, item in value.items()}
    if type(value) in _PLAIN:
        return value
    kind = _kind(cast("Hashable", type(value)))
    return value if kind is None else kind.plain(value, "$")


@cache
def _kind(declared: Hashable) -> Kind | None:
    return scalar_kind(Source(), cast("type", declared), beside_int=False)
