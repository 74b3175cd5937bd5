"""The table of values that convert in typed classes. Raw documents hold only what is stored, and do not convert.

========================  ==========================================================================================
declared as               stored as
========================  ==========================================================================================
str, bool, None, bytes    itself; of a subclass, the plain value
int                       int of 64 bits; a bool is refused
float                     float; an int that is exactly a float, as that float
datetime                  timestamp in µs; aware, comes back in UTC
UUID                      text, small letters with hyphens
Decimal                   text with every digit, so 1.5 is not 1.50; NaN and infinity are refused
date                      text, ``2026-11-21``
time                      text, ``10:00:00.000001``, with ``Z`` or ``+02:00`` when it has an offset of whole minutes
timedelta                 text, a duration of ISO 8601 in days and seconds, ``P1DT2.5S``
Enum                      its value; all members are text or all ints; flags are refused
Path, PurePath            text with forward slashes
list[T], tuple[T, ...]    list; so is ``tuple[A, B]``
set[T], frozenset[T]      list in the order of the items' canonical bytes
dict[str, T]              map
class with fields         map of its fields
Literal                   itself
Union[A, B]               as the member; members must be told apart by how they are stored
Any                       itself: whatever a raw document may hold
type of pydantic's own    in pydantic's classes, as it writes it into JSON; secrets are refused
========================  ==========================================================================================

A datetime, date or Decimal is also read from what other programs may have stored for it: ISO text, a number.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import date, datetime, time, timedelta
from decimal import Decimal
from enum import Enum, Flag
from pathlib import PurePath
from types import NoneType
from typing import Annotated, Any, Final
from uuid import UUID

import msgspec
from msgspec import Struct

from tierfold.codec import INT_MAX
from tierfold.entities.kinds import Kind, unexpected
from tierfold.entities.source import Source
from tierfold.errors import ValidationError

__all__ = ["scalar_kind"]


class Row(Struct, frozen=True):
    """One row of the table. In its pieces of source, ``{v}`` is the value and ``{T}`` its declared type.

    Attributes:
        convert: (value of the right type, path) -> what is stored.
        guard: Source: whether it is such a value.
        test: Source: whether it is one that is stored as ``form`` says; by default ``guard``.
        takes: Types of the values that convert; by default the declared one.
        refuses: Types among them that do not.
        shadow: How the decoder reads it; by default as the declared type.
        is_ordered: Whether what is stored has the order of the values themselves.
    """

    convert: Callable[[Any, str], object]
    guard: str = "type({v}) is {T}"
    test: str = ""
    form: str = "{v}"
    restore: str = "{v}"
    shadow_guard: str = "type({v}) is {T}"
    takes: tuple[type, ...] = ()
    refuses: tuple[type, ...] = ()
    shadow: Any = None
    is_ordered: bool = True


class ScalarKind(Kind):
    """A value without parts."""

    def __init__(self, source: Source, type: type, row: Row) -> None:
        self.expected: str = "None" if type is NoneType else type.__name__
        self.unordered: str | None = None if row.is_ordered else type.__name__
        self._row = row
        self._declared = type
        self._type = source.name(type, "type")

    def _stored_as(self) -> Any:  # noqa: ANN401 - annotations have no common type
        return self._declared if self._row.shadow is None else self._row.shadow

    def guard(self, value: str) -> str:
        return self._written(self._row.guard, value)

    def test(self, value: str) -> str:
        return self._written(self._row.test or self._row.guard, value)

    def form(self, value: str) -> str:
        return self._written(self._row.form, value)

    def shadow_guard(self, shadow: str) -> str:
        return self._written(self._row.shadow_guard, shadow)

    def restore(self, shadow: str) -> str:
        return self._written(self._row.restore, shadow)

    def plain(self, value: object, path: str) -> object:
        if not isinstance(value, self._row.takes or self._declared) or isinstance(value, self._row.refuses):
            raise unexpected(self.expected, value, path)
        return self._row.convert(value, path)

    def _written(self, source: str, value: str) -> str:
        return source.format(v=value, T=self._type)


class FloatKind(ScalarKind):
    """``float``, which takes ints, too."""

    keeps = True

    def keep(self, stored: object, new: object) -> object:
        """An int that another program stored stays one as long as its value does."""
        return stored if type(stored) is int and type(new) is float and stored == new else new


def scalar_kind(source: Source, annotation: type, *, beside_int: bool) -> Kind | None:
    """The kind of a type from the table, or None.

    Args:
        beside_int: It is in a union with int, so that a float takes no ints.
    """
    if annotation is float:
        return ScalarKind(source, float, _FLOAT_BESIDE_INT) if beside_int else FloatKind(source, float, _FLOAT)
    row = _ROWS.get(annotation)
    if row is None and issubclass(annotation, PurePath):
        row = _PATH
    if row is None and issubclass(annotation, Enum) and not issubclass(annotation, Flag):
        row = _ENUM
    return None if row is None else ScalarKind(source, annotation, row)


def _float(value: float, path: str) -> float:
    if isinstance(value, int) and not -(2**53) <= value <= 2**53:
        raise ValidationError("an int beyond 2**53 is not exactly a float", path=path)
    return float(value)


def _decimal(value: Decimal, path: str) -> str:
    if not value.is_finite():
        raise ValidationError("NaN and infinity cannot be stored", path=path)
    return str(value)


def _time(value: time, path: str) -> object:
    offset = value.utcoffset()
    if (value.tzinfo is not None and offset is None) or (offset is not None and offset % timedelta(minutes=1)):
        raise ValidationError("the offset of a time must be fixed, in whole minutes", path=path)
    return msgspec.to_builtins(time(value.hour, value.minute, value.second, value.microsecond, value.tzinfo))


_FLOAT: Final = Row(
    _float,
    guard="type({v}) is float or type({v}) is int",
    test="(type({v}) is float or type({v}) is int and -(2**53) <= {v} <= 2**53) and {v} * 0.0 == 0.0",
    form="{v} + 0.0",
    takes=(float, int),
    refuses=(bool,),
)
_FLOAT_BESIDE_INT: Final = Row(
    lambda value, path: float(value), test="type({v}) is float and {v} * 0.0 == 0.0", form="{v} + 0.0"
)
_ENUM: Final = Row(lambda value, path: value.value)
_PATH: Final = Row(
    lambda value, path: value.as_posix(),
    guard="isinstance({v}, {T})",
    form="{v}.as_posix()",
    restore="{T}({v})",
    shadow_guard="type({v}) is str",
    shadow=str,
    is_ordered=False,
)
_ROWS: Final[Mapping[type, Row]] = {
    str: Row(lambda value, path: str.__str__(value)),
    bool: Row(lambda value, path: value),
    NoneType: Row(lambda value, path: None, guard="{v} is None"),
    bytes: Row(lambda value, path: bytes(value)),
    # Below -2**63 the encoder itself refuses.
    int: Row(lambda value, path: int(value), test=f"type({{v}}) is int and {{v}} <= {INT_MAX}", refuses=(bool,)),
    datetime: Row(
        lambda value, path: value,
        test="type({v}) is {T} and {v}.tzinfo is UTC",
        shadow=Annotated[datetime, msgspec.Meta(tz=True)],
    ),
    UUID: Row(lambda value, path: str(value)),
    Decimal: Row(_decimal, test="type({v}) is {T} and {v}.is_finite()", is_ordered=False),
    date: Row(lambda value, path: date(value.year, value.month, value.day).isoformat(), refuses=(datetime,)),
    time: Row(_time, test="type({v}) is {T} and ({v}.tzinfo is None or {v}.tzinfo is UTC)"),
    timedelta: Row(
        lambda value, path: msgspec.to_builtins(timedelta(value.days, value.seconds, value.microseconds)),
        is_ordered=False,
    ),
}
