"""The adapter of classes, whatever their make."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from typing import Annotated, Any, Final, Generic, TypeVar

import msgspec
from msgspec import UNSET, Struct, UnsetType
from msgspec.msgpack import Decoder
from msgspec.structs import replace

from tierfold.codec import DEPTH_LIMIT, decode, encode, is_exact
from tierfold.entities.adaptation import READ_ERRORS, EntityAdapter, misread
from tierfold.entities.declaration import Declared, check_fields
from tierfold.entities.entity import declared_by
from tierfold.entities.generation import write_dump, write_fill, write_load
from tierfold.entities.hints import unwrapped
from tierfold.entities.kinds import FAST_LEVELS
from tierfold.entities.make import ClassField, Make
from tierfold.entities.naming import why_no_field
from tierfold.entities.shapes import Shapes, struct_field
from tierfold.entities.source import Source
from tierfold.entities.system import SYSTEM_FIELDS
from tierfold.entities.upgrading import Upgrades
from tierfold.errors import ConfigError, ValidationError
from tierfold.model import Record

__all__ = ["typed_adapter"]

T = TypeVar("T")

_SYSTEM_TYPES: Final[Mapping[str, type]] = {"id": str, "created_at": datetime, "updated_at": datetime, "version": int}
_AWARE: Final = Annotated[datetime, msgspec.Meta(tz=True)]


def typed_adapter(cls: type[T], make: Make) -> EntityAdapter[T]:
    """Compile the adapter of a class.

    Raises:
        ConfigError: The class cannot be an entity type: it has no ``id: str``, or a field whose values cannot be stored
            or could not be told apart when read.
    """
    declared = declared_by(cls)
    check_fields(declared, make.names())
    typed = _TypedClass(cls, make, declared.upgrades)
    return EntityAdapter(
        declared=typed.with_index(declared),
        dump=typed.dump_checked if typed.needs_checks else typed.dump,
        load=typed.load,
        fill=typed.fill,
        id_of=make.id_of,
        with_id=typed.with_id,
        with_fields=typed.with_fields,
        fields_of=make.fields_of,
        to_document=typed.to_document,
        from_document=typed.from_document,
        stored_name=typed.stored_name,
        fields_at=typed.fields_at,
        unordered=typed.unordered,
        names=frozenset(make.names()),
        merge=typed.merge,
        upgrade=declared.upgrades.upgraded if declared.upgrades.steps else None,
    )


class _TypedClass(Generic[T]):
    """A class, the functions generated for it, and what they fall back on."""

    def __init__(self, cls: type[T], make: Make, upgrades: Upgrades) -> None:
        self._make = make
        self._upgrades = upgrades
        fields = {field.name: field for field in make.fields()}
        system = [fields[name] for name in SYSTEM_FIELDS if name in fields]
        self._names = frozenset(fields)
        self._system = tuple(field.name for field in system)
        self._system_reader = _system_reader(cls, system)
        source = Source()
        self._shapes = Shapes(source, make, SYSTEM_FIELDS)
        self._shape = self._shapes.top
        self._read = _reading(cls, self._shape.reader)
        self._is_deep = self._shapes.is_recursive or self._shape.levels > FAST_LEVELS
        write_dump(source, self._shapes, self.dump_closely)
        older = (upgrades.schema, self._load_older) if upgrades.steps else None
        write_load(source, self._shape, system, self._read, older)
        write_fill(source, make, system)
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
                self._build(self._read(payload), self._make.attributes(entity, self._system))
            except READ_ERRORS as error:
                raise misread(error, self._id_of(entity)) from error
        return payload

    def dump_closely(self, entity: object) -> bytes:
        """Dump by the table of values, one value at a time."""
        try:
            return encode(self._shape.plain(entity, "$"), id=self._id_of(entity))
        except ValidationError as error:
            raise ValidationError(error.reason, path=error.path, id=self._id_of(entity)) from error
        except RecursionError as error:
            reason = f"more than {DEPTH_LIMIT} levels of maps and lists"
            raise ValidationError(reason, id=self._id_of(entity)) from error

    def _load_older(self, record: Record) -> T:
        loaded: T = self.load(self._upgrades.upgraded(record))
        return loaded

    def with_fields(self, entity: T, changed: Mapping[str, Any]) -> T:
        """A copy with some fields replaced. It is checked when it is saved."""
        unknown = changed.keys() - self._names
        if unknown:
            reason = f"{self._make.expected} has no field {', '.join(sorted(unknown))}"
            raise ValidationError(reason, id=self._id_of(entity))
        changing: T = self._make.copied(entity)
        for name, value in changed.items():
            self._make.put(changing, name, value)
        return changing

    def stored_name(self, path: str) -> str | None:
        """The path in documents of a path of attributes."""
        first, *rest = path.split(".")
        if first in SYSTEM_FIELDS:
            return first if first in self._names and not rest else None
        found = self._shape.follow([first, *rest])
        return None if found is None else ".".join(found[0])

    def unordered(self, path: str) -> str | None:
        """What of a path of attributes is stored as text in another order than its own."""
        found = self._shape.follow(path.split("."))
        return None if found is None else found[1].unordered

    def fields_at(self, path: Sequence[str]) -> Mapping[str, str]:
        """The fields under a path of attributes."""
        return self._shape.fields_at(path)

    def with_index(self, declared: Declared) -> Declared:
        """The declaration with the paths that its index list has in documents."""
        if not declared.index:
            return declared
        stored = [self.stored_name(path) for path in declared.index]
        for path, name in zip(declared.index, stored, strict=True):
            if name is None or name in SYSTEM_FIELDS:
                why = why_no_field(path.split("."), self.fields_at)
                reason = "is a system field, which no document has" if name else f"is no declared field; {why}"
                raise ConfigError(f"entity type {declared.declaration.name!r}: index {path!r} {reason}")
        index = tuple(name for name in stored if name is not None)
        return replace(declared, declaration=replace(declared.declaration, index=index))

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
        return {**self._make.fields_of(entity, self._system), **decode(payload)}

    def from_document(self, document: Mapping[str, Any]) -> T:
        """The object of a raw document, which is checked like a read."""
        payload = encode({name: value for name, value in document.items() if name not in SYSTEM_FIELDS})
        given = {name: document[name] for name in self._system if name in document}
        try:
            entity: T = self._build(self._read(payload), msgspec.convert(given, self._system_reader))
        except READ_ERRORS as error:
            raise misread(error) from error
        return entity

    def _id_of(self, entity: object) -> str | None:
        id = self._make.get(entity, "id") if self._make.is_object(entity) else None
        return id if isinstance(id, str) and id else None


def _reading(cls: type, reader: type[Struct]) -> Callable[[bytes], Struct]:
    try:
        return Decoder(reader).decode
    except TypeError as error:
        raise ConfigError(f"{cls.__qualname__}: {error}") from error


def _system_reader(cls: type, system: list[ClassField]) -> type[Struct]:
    specs = []
    for field in system:
        declared = _SYSTEM_TYPES[field.name]
        if unwrapped(field.annotation) is not declared:
            raise ConfigError(f"{cls.__qualname__}: {field.name!r} is a system field and must be a {declared.__name__}")
        shadow: Any = _AWARE if declared is datetime else declared
        if field.is_required or field.has_default:
            specs.append(struct_field(field.name, shadow, field))
        else:
            specs.append((field.name, shadow | UnsetType, UNSET))
    return msgspec.defstruct(cls.__name__, specs, kw_only=True)
