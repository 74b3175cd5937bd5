"""What a condition compares with: values as documents store them."""

from __future__ import annotations

from collections.abc import Hashable
from datetime import time
from functools import cache
from typing import cast

from tierfold.codec import encode
from tierfold.entities.kinds import Kind
from tierfold.entities.source import Source
from tierfold.entities.values import scalar_kind
from tierfold.errors import QueryError, ValidationError
from tierfold.where.tree import ORDERING, Operator

__all__ = ["operand", "unordered"]

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
    if operator in ORDERING:
        _require_order(value, operator)
    return _stored(value, operator)


def _stored(value: object, operator: Operator) -> object:
    try:
        plain = _plain(value)
        encode({"value": plain})
    except ValidationError as error:
        raise QueryError(f"{operator}: {error.reason}") from error
    return plain


def _require_order(value: object, operator: Operator) -> None:
    match value:
        case list() | tuple():
            for item in value:
                _require_order(item, operator)
        case dict():
            _require_order(list(value.values()), operator)
        case time(tzinfo=zone) if zone is not None:
            raise QueryError(f"{operator}: {unordered('time with an offset')}")
    kind = _kind(cast("Hashable", type(value)))
    if kind is not None and kind.unordered is not None:
        raise QueryError(f"{operator}: {unordered(kind.unordered)}")


def unordered(type: str) -> str:
    """Why values of a type can be neither compared by order nor sorted by, and what to do instead."""
    return f"a {type} is stored as text, in another order than its own; keep an int, datetime or str beside it for that"


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
