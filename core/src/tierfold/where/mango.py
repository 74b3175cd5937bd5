"""Conditions as JSON, in the selector language of CouchDB's Mango.

``{"mag": {"$gte": 5}, "place": {"$beginsWith": "Oslo"}}``: members are joined by "and", a map without operators
descends, and a dot does, too (``"a.b"``; a dot within a name is written ``\\.``). Operators: ``$eq $ne $lt $lte $gt
$gte $in $nin $beginsWith $all $exists $not $and $or $nor``. Bytes and datetimes, which JSON lacks, are
``{"$date": "2026-11-21T10:00:00Z"}`` and ``{"$base64": "…"}``, or Python's own objects.
"""

from __future__ import annotations

import re
from base64 import b64decode, b64encode
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from typing import Any, Final, assert_never, cast

from tierfold.errors import QueryError
from tierfold.where.operand import operand
from tierfold.where.tree import EVERYTHING, Both, Compare, Condition, Either, Exists, Not, Operator, Path

__all__ = ["from_mango", "to_mango"]

_COMPARISONS: Final[Mapping[str, Operator]] = {
    "$eq": "eq",
    "$lt": "lt",
    "$lte": "lte",
    "$gt": "gt",
    "$gte": "gte",
    "$in": "in",
    "$beginsWith": "startswith",
}
_NAMES: Final[Mapping[Operator, str]] = {operator: name for name, operator in _COMPARISONS.items()}
_TO_ESCAPE: Final = re.compile(r"^\$|[\\.]")
_DEPTH_LIMIT: Final = 64

Selector = Mapping[str, Any]


def from_mango(selector: Selector) -> Condition:
    """The condition of a selector.

    Raises:
        QueryError: It is none; the message says where.
    """
    return _joined(_selector((), selector, _DEPTH_LIMIT))


def _joined(parts: list[Condition]) -> Condition:
    return parts[0] if len(parts) == 1 else Both(tuple(parts)) if parts else EVERYTHING


def _selector(path: Path, selector: object, room: int) -> list[Condition]:
    if not isinstance(selector, Mapping):
        raise QueryError(f"a selector is a map, not {selector!r}")
    if room <= 0:
        raise QueryError(f"a selector has at most {_DEPTH_LIMIT} levels")
    parts: list[Condition] = []
    for name, value in selector.items():
        if not isinstance(name, str):
            raise QueryError(f"a selector's members are named by text, not by {name!r}")
        parts += _operator(path, name, value, room) if name.startswith("$") else _member(path, name, value, room)
    return parts


def _member(path: Path, name: str, value: object, room: int) -> list[Condition]:
    path = (*path, *_split(name))
    if isinstance(value, Mapping) and not _is_literal(value):
        return _selector(path, value, room - 1) if value else [Compare(path, "eq", {})]
    return [_comparison(path, "$eq", value)]


def _split(dotted: str) -> Path:
    """``a.b`` is two names; a backslash takes the character behind it as it is."""
    names = [""]
    characters = iter(dotted)
    for character in characters:
        if character == ".":
            names.append("")
        else:
            names[-1] += next(characters, "\\") if character == "\\" else character
    return tuple(names)


def _operator(path: Path, name: str, value: object, room: int) -> list[Condition]:
    combine = _COMBINATIONS.get(name)
    if combine is not None:
        return [combine(tuple(_joined(_selector(path, part, room - 1)) for part in _list(name, value)))]
    if name == "$not":
        return [~_joined(_selector(path, value, room - 1))]
    if not path:
        raise QueryError(f"{name} needs a member to look at")
    return _condition(path, name, value)


def _condition(path: Path, name: str, value: object) -> list[Condition]:
    match name:
        case "$ne":
            return [~_comparison(path, "$eq", value)]
        case "$nin":
            return [~_comparison(path, "$in", value)]
        case "$all":
            items = _list(name, value)
            return [Compare(path, "contains", operand("contains", _literal(item))) for item in items]
        case "$exists":
            if not isinstance(value, bool):
                raise QueryError("$exists: true or false is needed")
            return [Exists(path) if value else Not(Exists(path))]
    return [_comparison(path, name, value)]


def _list(name: str, value: object) -> list[object]:
    if not isinstance(value, list | tuple):
        raise QueryError(f"{name}: a list is needed, not {value!r}")
    return list(value)


_COMBINATIONS: Final[Mapping[str, Callable[[tuple[Condition, ...]], Condition]]] = {
    "$and": Both,
    "$or": Either,
    "$nor": lambda parts: Not(Either(parts)),
}


def _comparison(path: Path, name: str, value: object) -> Compare:
    operator = _COMPARISONS.get(name)
    if operator is None:
        known = sorted((*_COMPARISONS, *_COMBINATIONS, "$ne", "$nin", "$all", "$exists", "$not"))
        raise QueryError(f"there is no operator {name}; there are {', '.join(known)}")
    if operator == "in" and isinstance(value, tuple):
        value = list(value)
    return Compare(path, operator, operand(operator, _literal(value)))


def _is_literal(value: Mapping[Any, Any]) -> bool:
    return len(value) == 1 and next(iter(value)) in _LITERALS


def _literal(value: object) -> object:
    """A value, with what JSON lacks made of how it is written there."""
    if isinstance(value, Mapping):
        if _is_literal(value):
            ((name, text),) = value.items()
            try:
                return _LITERALS[name](text)
            except (TypeError, ValueError, AttributeError) as error:
                raise QueryError(f"{name}: {text!r} is none") from error
        return {name: _literal(item) for name, item in value.items()}
    return [_literal(item) for item in value] if isinstance(value, list) else value


def _moment(text: str) -> datetime:
    moment = datetime.fromisoformat(text)
    if moment.utcoffset() is None:
        raise QueryError(f"$date: {text!r} needs a time zone")
    return moment.astimezone(UTC)


_LITERALS: Final[Mapping[str, Callable[[Any], object]]] = {
    "$date": _moment,
    "$base64": lambda text: b64decode(text, validate=True),
}


# --- and back ----------------------------------------------------------------------------------------------------


def to_mango(condition: Condition) -> dict[str, Any]:
    """The selector of a condition, fit for JSON. `from_mango` makes a condition with the same meaning of it."""
    match condition:
        case Compare(path=path, operator="contains", value=value):
            return {_dotted(path): {"$all": [_written(value)]}}
        case Compare(path=path, operator=operator, value=value):
            return {_dotted(path): {_NAMES[operator]: _written(value)}}
        case Exists(path=path):
            return {_dotted(path): {"$exists": True}}
        case Not(part=part):
            return {"$not": to_mango(part)}
        case Both(parts=parts):
            return {"$and": [to_mango(part) for part in parts]} if parts else {}
        case Either(parts=parts):
            return {"$or": [to_mango(part) for part in parts]}
    assert_never(cast("Any", condition))


def _dotted(path: Path) -> str:
    return ".".join(_TO_ESCAPE.sub(lambda match: "\\" + match[0], name) for name in path)


def _written(value: object) -> object:
    match value:
        case datetime():
            return {"$date": value.isoformat()}
        case bytes():
            return {"$base64": b64encode(value).decode()}
        case list():
            return [_written(item) for item in value]
        case dict():
            return {name: _written(item) for name, item in value.items()}
    return value
