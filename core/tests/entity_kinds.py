"""Every kind of class that can be an entity, made with the same fields."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import make_dataclass
from types import NoneType, new_class
from typing import Any, Final, TypedDict

import attrs
import msgspec
import pydantic
import pydantic.dataclasses

from tierfold.entities.entity import Entity
from tierfold.model import Digest, Record, pack_content

__all__ = ["BORN_MS", "KINDS", "Fields", "record", "value_of"]

BORN_MS: Final = 1_700_000_000_123

Fields = Mapping[str, Any]
"""Annotations by names. There is an ``id`` beside them."""

_MIXED: Final = pydantic.ConfigDict(arbitrary_types_allowed=True)
"""What pydantic wants before it lets in classes of attrs and msgspec."""


def _dataclass(fields: Fields, **options: Any) -> Any:
    return make_dataclass("Thing", [*fields.items(), ("id", str, "x.y")], **options)


def _attrs(fields: Fields, **options: Any) -> Any:
    # For attrs, a type that is None is none.
    attributes = {name: attrs.field(type=NoneType if each is None else each) for name, each in fields.items()}
    return attrs.make_class("Thing", {**attributes, "id": attrs.field(type=str, default="x.y")}, **options)


def _struct(fields: Fields, **options: Any) -> Any:
    return msgspec.defstruct("Thing", [*fields.items(), ("id", str, "x.y")], **options)


def _entity(fields: Fields) -> Any:
    annotations = {"id": str, **fields}
    return new_class("Thing", (Entity,), exec_body=lambda body: body.update(__annotations__=annotations, id="x.y"))


def _model(fields: Fields, config: pydantic.ConfigDict = _MIXED) -> Any:
    given: dict[str, Any] = {**{name: (each, ...) for name, each in fields.items()}, "id": (str, "x.y")}
    return pydantic.create_model("Thing", __config__=config, **given)


def _pydantic_dataclass(fields: Fields, **options: Any) -> Any:
    return pydantic.dataclasses.dataclass(_dataclass(fields, **options), config=_MIXED, **options)


def _typed_dict(fields: Fields) -> Any:
    make: Any = TypedDict
    return make("Thing", {**fields, "id": str})


KINDS: Final[Mapping[str, Callable[[Fields], Any]]] = {
    "Entity": _entity,
    "dataclass": _dataclass,
    "frozen dataclass with slots": lambda fields: _dataclass(fields, frozen=True, slots=True),
    "attrs": _attrs,
    "frozen attrs": lambda fields: _attrs(fields, frozen=True, slots=True),
    "Struct": _struct,
    "frozen Struct": lambda fields: _struct(fields, frozen=True),
    "pydantic model": _model,
    "frozen pydantic model": lambda fields: _model(
        fields, pydantic.ConfigDict(arbitrary_types_allowed=True, frozen=True)
    ),
    "pydantic dataclass": _pydantic_dataclass,
    "frozen pydantic dataclass": lambda fields: _pydantic_dataclass(fields, frozen=True),
    "TypedDict": _typed_dict,
}


def value_of(entity: Any, name: str) -> Any:
    """A field of an object of any of these classes."""
    return entity[name] if isinstance(entity, dict) else getattr(entity, name)


def record(payload: bytes, *, schema: int = 1, id: str = "x.y") -> Record:
    """A record that was written once."""
    stamp = BORN_MS.to_bytes(6) + b"\0\3nodenode"
    content = pack_content(stamp, stamp, False, schema, 5, id.encode(), payload)
    return Record("Thing", content, Digest(bytes(16)))
