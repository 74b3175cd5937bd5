"""What a document may hold. msgspec takes more (NaN, -0.0, 2**63, naive datetimes, sets), so this check runs first."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from math import copysign, isfinite
from typing import Any, Final

from tierfold.errors import ValidationError

__all__ = ["DEPTH_LIMIT", "INT_MAX", "INT_MIN", "is_exact", "member_path", "normalised"]

INT_MIN: Final = -(2**63)
INT_MAX: Final = 2**63 - 1
DEPTH_LIMIT: Final = 64
"""Maps and lists inside each other, the document itself counted."""

_ALWAYS_EXACT: Final = frozenset({str, bool, bytes, type(None)})
_ONLY_TEXT: Final = frozenset({str})


def is_exact(value: object, room: int = DEPTH_LIMIT) -> bool:
    """Whether a value is already in the form that is stored. False means look closer, not refuse.

    Lone surrogates are not looked for: the encoder refuses them.

    Args:
        room: How many levels of maps and lists the value may have.
    """
    return _are_exact((value,), room)


def _are_exact(values: Iterable[Any], room: int) -> bool:
    # One flat loop over the members of each container: a call for each member takes twice as long.
    for value in values:
        kind = type(value)
        if kind in _ALWAYS_EXACT:
            continue
        if kind is int:
            exact = INT_MIN <= value <= INT_MAX
        elif kind is float:
            exact = value * 0.0 == 0.0 and (value != 0.0 or copysign(1.0, value) > 0.0)
        elif kind is datetime:
            exact = value.tzinfo is UTC
        else:
            exact = room > 0 and _is_exact_container(value, kind, room - 1)
        if not exact:
            return False
    return True


def _is_exact_container(value: Iterable[Any], kind: type, room: int) -> bool:
    if kind is dict and isinstance(value, dict):
        return _ONLY_TEXT.issuperset(map(type, value)) and _are_exact(value.values(), room)
    return kind is list and _are_exact(value, room)


def normalised(value: object, path: str = "$", room: int = DEPTH_LIMIT) -> object:
    """A copy of a value in the form that is stored: no ``-0.0``, datetimes in UTC.

    Raises:
        ValidationError: The value, or one inside it, cannot be stored; ``path`` says which.
    """
    match value:
        case None | bool() | bytes() if type(value) in _ALWAYS_EXACT:
            return value
        case str() if type(value) is str:
            return _text(value, path)
        case int() if type(value) is int:
            return _integer(value, path)
        case float() if type(value) is float:
            return _number(value, path)
        case datetime():
            return _moment(value, path)
        case list() if type(value) is list:
            _descend(path, room)
            return [normalised(item, f"{path}[{index}]", room - 1) for index, item in enumerate(value)]
        case Mapping() if type(value) is dict or path == "$":
            _descend(path, room)
            return {_key(key, path): normalised(item, member_path(path, key), room - 1) for key, item in value.items()}
    raise ValidationError(f"a {type(value).__name__} cannot be stored", path=path)


def member_path(path: str, key: object) -> str:
    """The path of a map's member: ``$.a``, or ``$['a b']`` for a key that is no plain name."""
    return f"{path}.{key}" if isinstance(key, str) and key.isidentifier() else f"{path}[{key!r}]"


def _descend(path: str, room: int) -> None:
    if room <= 0:
        raise ValidationError(f"more than {DEPTH_LIMIT} levels of maps and lists", path=path)


def _key(key: object, path: str) -> str:
    if type(key) is not str:
        raise ValidationError(f"keys must be text, not {type(key).__name__}", path=path)
    return _text(key, member_path(path, key))


def _text(value: str, path: str) -> str:
    try:
        value.encode()
    except UnicodeEncodeError as error:
        raise ValidationError("text with a lone surrogate cannot be stored", path=path) from error
    return value


def _integer(value: int, path: str) -> int:
    if not INT_MIN <= value <= INT_MAX:
        raise ValidationError("an int must fit into 64 bits with sign", path=path)
    return value


def _number(value: float, path: str) -> float:
    if not isfinite(value):
        raise ValidationError("NaN and infinity cannot be stored", path=path)
    return value + 0.0  # turns -0.0 into 0.0 and leaves every other value alone


def _moment(value: datetime, path: str) -> datetime:
    if value.utcoffset() is None:
        raise ValidationError("a datetime needs a time zone", path=path)
    try:
        # Built anew because msgspec encodes only exact datetimes, and libraries subclass them.
        return datetime.fromtimestamp(0, UTC) + (value - datetime.fromtimestamp(0, UTC))
    except OverflowError as error:
        raise ValidationError("a datetime must lie in the years 1 to 9999 of UTC", path=path) from error
