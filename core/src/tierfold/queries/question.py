"""What a query asks: checked, with paths as documents hold them, and named so that cursors can tell it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from hashlib import blake2b
from typing import Any, Final

import msgspec
from msgspec import Struct
from msgspec.structs import replace

from tierfold.arguments import check_at_least_one, given, listed_texts
from tierfold.catalog import EntityKind
from tierfold.entities.ids import check_key
from tierfold.entities.naming import why_no_field
from tierfold.entities.system import SYSTEM_FIELDS
from tierfold.errors import QueryError
from tierfold.where.mango import from_mango, to_mango
from tierfold.where.operand import unordered
from tierfold.where.sorting import SortField, parse_sort
from tierfold.where.tree import EVERYTHING, ORDERING, Both, Compare, Condition, Either, Exists, Not, Path

__all__ = ["Question", "Where", "ask", "ids_in"]

_DEPTH_LIMIT: Final = 64
_ANY_KEY: Final = "*"
"""No class has a field of this name."""
Where = Condition | Mapping[str, Any]
"""A condition, from `F` or in Mango JSON."""


class Question(Struct, frozen=True):
    """A query's arguments.

    Attributes:
        partitions: Logical keys, ascending; None = all.
        digest: Tells it from every other question.
    """

    type: str
    prefix: str
    condition: Condition
    partitions: tuple[str, ...] | None
    order: tuple[SortField, ...]
    limit: int | None
    digest: bytes


def ask(
    kind: EntityKind,
    where: Where | None,
    partitions: Iterable[str] | None,
    sort: Sequence[str] | None,
    limit: int | None,
) -> Question:
    """
    Raises:
        QueryError: Something of it makes no sense for the type.
        ValidationError: A partition is no logical key.
    """
    if limit is not None:
        check_at_least_one(limit, "limit")
    keys = None if partitions is None else listed_texts(partitions, "partitions")
    checked = None if keys is None else tuple(sorted({check_key(key, "$.partitions") for key in keys}))
    stored = _Names(kind)
    condition = stored.condition(where)
    order = tuple(stored.field(field) for field in parse_sort(() if sort is None else listed_texts(sort, "sort")))
    type, prefix = kind.declaration.name, kind.prefix
    said = (type, prefix, to_mango(condition), checked, order)
    return Question(type, prefix, condition, checked, order, limit, _digest(said))


def _digest(said: object) -> bytes:
    return blake2b(msgspec.msgpack.encode(said, order="deterministic"), digest_size=8).digest()


class _Names:
    """Paths of attributes, as they are written with `F` and in ``sort``, become paths of documents."""

    def __init__(self, kind: EntityKind) -> None:
        self._type = kind.declaration.name
        self._stored_name, self._fields_at = kind.adapter.stored_name, kind.adapter.fields_at
        self._unordered = kind.adapter.unordered
        self._is_raw = kind.adapter.names is None

    def condition(self, where: Where | None) -> Condition:
        if where is None:
            return EVERYTHING
        if isinstance(where, Condition):
            return self._stored(where, _DEPTH_LIMIT)
        if isinstance(where, Mapping):
            return from_mango(where)
        raise QueryError(f"where takes a condition such as F.mag >= 5, or a Mango selector, not {given(where)}")

    def field(self, field: SortField) -> SortField:
        return replace(field, path=self._path(field.path, ordering=True))

    def _stored(self, condition: Condition, room: int) -> Condition:
        if room <= 0:
            raise QueryError(f"a condition has at most {_DEPTH_LIMIT} levels")
        match condition:
            case Compare(path=path, operator=operator):
                return replace(condition, path=self._path(path, ordering=operator in ORDERING))
            case Exists(path=path):
                return replace(condition, path=self._path(path))
            case Not(part=part):
                return Not(self._stored(part, room - 1))
            case Both(parts=parts):
                return Both(tuple([self._stored(part, room - 1) for part in parts]))
            case Either(parts=parts):
                return Either(tuple([self._stored(part, room - 1) for part in parts]))
        raise QueryError(f"where takes conditions of this library, not {given(condition)}")

    def _path(self, path: Path, *, ordering: bool = False) -> Path:
        """Names are asked for joined by dots; one with a dot, which only a key of a map can be, keeps its place."""
        if self._is_raw or (len(path) == 1 and path[0] in SYSTEM_FIELDS):
            return path
        said, asked = ".".join(path), ".".join(_ANY_KEY if "." in name else name for name in path)
        found = self._stored_name(asked)
        if found is None:
            why = why_no_field(path, self._fields_at, SYSTEM_FIELDS)
            raise QueryError(f"{self._type} has no field {said!r}; {why}")
        type = self._unordered(asked) if ordering else None
        if type is not None:
            raise QueryError(f"{self._type}.{said}: {unordered(type)}")
        return tuple(ours if "." in ours else name for ours, name in zip(path, found.split("."), strict=True))


def ids_in(condition: Condition) -> list[str] | None:
    """The only ids that can meet a condition, when it names them."""
    match condition:
        case Compare(path=("id",), operator="eq", value=str(id)):
            return [id]
        case Compare(path=("id",), operator="in", value=list(ids)):
            return [id for id in ids if isinstance(id, str)]
        case Both(parts=parts):
            return next((found for found in map(ids_in, parts) if found is not None), None)
    return None
