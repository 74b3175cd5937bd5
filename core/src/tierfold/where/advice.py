"""What to ask for instead of a value that no document holds as it is."""

from __future__ import annotations

from collections.abc import Iterable

from tierfold.entities.makes import make_of
from tierfold.errors import ConfigError
from tierfold.where.field import Field
from tierfold.where.tree import Condition, Operator

__all__ = ["advice"]


def advice(field: str, operator: Operator, values: Iterable[object]) -> str:
    """What a message adds when one of the values was refused; empty when there is nothing to say.

    Args:
        field: The field that is compared, as programs write it.
    """
    return next(filter(None, (_advice(field, operator, value) for value in values)), "")


def _advice(field: str, operator: Operator, value: object) -> str:
    if isinstance(value, Condition | Field):
        return "a condition compares a member with a value"
    if operator == "contains":
        return ""
    if isinstance(value, set | frozenset):
        return f"ask for its items, as in {field}.contains(item)"
    member = _member_of(type(value))
    return f"compare its members, as in {field}.{member}" if member else ""


def _member_of(cls: type) -> str:
    """One member of the class's objects."""
    try:
        make = make_of(cls)
    except ConfigError:  # a class that cannot be stored anywhere
        return ""
    return "" if make is None else next(iter(make.names()), "")
