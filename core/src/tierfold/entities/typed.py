"""The adapter of dataclasses, of which `tierfold.Entity` is one."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from copy import copy
from dataclasses import Field, fields
from datetime import datetime
from operator import attrgetter
from typing import Annotated, Any, Final, Generic, TypeVar, cast

import msgspec
from msgspec import Struct
from msgspec.msgpack import Decoder

from tierfold.codec import DEPTH_LIMIT, decode, encode, is_exact
from tierfold.entities.adaptation import READ_ERRORS, EntityAdapter, misread
from tierfold.entities.annotations import annotations_of, unwrapped
from tierfold.entities.declaration import check_fields
from tierfold.entities.entity import declared_by
from tierfold.entities.generation import write_dump, write_fill, write_load
from tierfold.entities.kinds import FAST_LEVELS
from tierfold.entities.shapes import Shapes, struct_field
from tierfold.entities.source import Source
from tierfold.entities.system import SYSTEM_FIELDS
from tierfold.errors import ConfigError, ValidationError

__all__ = ["typed_adapter"]

T = TypeVar("T")

_SYSTEM_TYPES: Final[Mapping[str, type]] = {"id": str, "created_at": datetime, "updated_at": datetime, "version": int}
_AWARE: Final = Annotated[datetime, msgspec.Meta(tz=True)]


def typed_adapter(cls: type[T]) -> EntityAdapter[T]:
    """Compile the adapter of a dataclass.

    Raises:
        ConfigError: The class cannot be an entity type: it has no ``id: str``, or a field whose values cannot be stored
            or could not be told apart when read.
    """
    declared = declared_by(cls)
    own = {item.name: item for item in fields(cast(Any, cls))}
    check_fields(declared, own)
    typed = _TypedClass(cls, [own[name] for name in SYSTEM_FIELDS if name in own])
    return EntityAdapter(
        declared=declared,
        dump=typed.dump_checked if typed.needs_checks else typed.dump,
        load=typed.load,
        fill=typed.fill,
        id_of=attrgetter("id"),
        with_id=typed.with_id,
        with_fields=typed.with_fields,
        fields_of=lambda entity, names: {name: getattr(entity, name) for name in names},
        to_document=typed.to_document,
        from_document=typed.from_document,
        names=frozenset(own),
        merge=typed.merge,
    )


class _TypedClass(Generic[T]):
    """A dataclass, the functions generated for it, and what they fall back on."""

    def __init__(self, cls: type[T], system: list[Field[Any]]) -> None:
        self._cls = cls
        self._system = [item.name for item in system]
        self._system_reader = _system_reader(cls, system)
        source = Source()
        self._shapes = Shapes(source, cls, SYSTEM_FIELDS)
        self._shape = self._shapes.top
        self._read = _reading(cls, self._shape.reader)
        self._is_deep = self._shapes.is_recursive or self._shape.levels > FAST_LEVELS
        write_dump(source, self._shape, self.dump_closely)
        write_load(source, self._shape, self._system, self._read)
        write_fill(source, self._shape, self._system)
        functions = source.compile(cls.__qualname__)
        self.dump = functions["dump"]
        self.load = functions["load"]
        self.fill = functions["fill"]
        self.with_id = functions["with_id"]
        self._build = functions["build"]

    @property
    def needs_checks(self) -> bool:
        """Whether `dump` does not yet show that the object can be stored and read back."""
        return self._is_deep or self._shapes.need_reading

    def dump_checked(self, entity: T) -> bytes:
        """Dump, and also check what only the whole document, or reading it back, shows."""
        payload: bytes = self.dump(entity)
        if self._is_deep and not is_exact(decode(payload)):
            payload = self.dump_closely(entity)
        if self._shapes.need_reading:
            try:
                self._build(self._read(payload), entity)
            except READ_ERRORS as error:
                raise misread(error, _id_of(entity)) from error
        return payload

    def dump_closely(self, entity: object) -> bytes:
        """Dump by the table of values, one value at a time."""
        try:
            return encode(self._shape.plain(entity, "$"), id=_id_of(entity))
        except ValidationError as error:
            raise ValidationError(error.reason, path=error.path, id=_id_of(entity)) from error
        except RecursionError as error:
            reason = f"more than {DEPTH_LIMIT} levels of maps and lists"
            raise ValidationError(reason, id=_id_of(entity)) from error

    def with_fields(self, entity: T, changed: Mapping[str, Any]) -> T:
        """A copy with some fields replaced. It is checked when it is saved."""
        unknown = changed.keys() - {item.name for item in fields(cast(Any, self._cls))}
        if unknown:
            raise ValidationError(f"{self._cls.__name__} has no field {', '.join(sorted(unknown))}", id=_id_of(entity))
        changing = copy(entity)
        for name, value in changed.items():
            object.__setattr__(changing, name, value)  # also in a frozen class: nobody has seen the copy yet
        return changing

    def merge(self, stored: bytes, new: bytes) -> bytes:
        """The new payload, with what the class does not know of the stored one."""
        if stored == new:
            return new
        old = decode(stored)
        if not self._shape.may_keep(old):
            return new
        document = decode(new)
        kept = self._shape.kept(old, document)
        return new if kept is document else encode(kept)

    def to_document(self, entity: T) -> dict[str, Any]:
        """The raw document of an object, which is checked like a save."""
        payload = self.dump_checked(entity)
        return {name: getattr(entity, name) for name in self._system} | decode(payload)

    def from_document(self, document: Mapping[str, Any]) -> T:
        """The object of a raw document, which is checked like a read."""
        payload = encode({name: value for name, value in document.items() if name not in SYSTEM_FIELDS})
        given = {name: document[name] for name in self._system if name in document}
        try:
            entity: T = self._build(self._read(payload), msgspec.convert(given, self._system_reader))
        except READ_ERRORS as error:
            raise misread(error) from error
        return entity


def _reading(cls: type, reader: type[Struct]) -> Callable[[bytes], Struct]:
    try:
        return Decoder(reader).decode
    except TypeError as error:
        raise ConfigError(f"{cls.__qualname__}: {error}") from error


def _system_reader(cls: type, system: list[Field[Any]]) -> type[Struct]:
    annotations = annotations_of(cls)
    for item in system:
        declared = _SYSTEM_TYPES[item.name]
        if unwrapped(annotations[item.name]) is not declared:
            raise ConfigError(f"{cls.__qualname__}: {item.name!r} is a system field and must be a {declared.__name__}")
    shadows = {**_SYSTEM_TYPES, "created_at": _AWARE, "updated_at": _AWARE}
    specs = [struct_field(item.name, shadows[item.name], item) for item in system]
    return msgspec.defstruct(cls.__name__, specs, kw_only=True)


def _id_of(entity: object) -> str | None:
    id = getattr(entity, "id", None)
    return id if isinstance(id, str) and id else None
