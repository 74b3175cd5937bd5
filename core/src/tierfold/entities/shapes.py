"""How the objects of a class are packed for the encoder, and restored from what the decoder made.

Between an object and its bytes stands a Struct for each direction, because msgspec writes and reads Structs two to
three times faster than other classes: a writer with the members in canonical order, and a reader with the defaults.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import Any, Final

import msgspec
from msgspec import NODEFAULT, UNSET, Struct, UnsetType

from tierfold.codec import member_path
from tierfold.entities.adaptation import READ_ERRORS, misread
from tierfold.entities.annotations import Kinds
from tierfold.entities.kinds import Kind, unexpected
from tierfold.entities.make import MISSING, ClassField, Given, Make
from tierfold.entities.makes import make_of
from tierfold.entities.source import Source
from tierfold.errors import ConfigError, ValidationError

__all__ = ["Shape", "Shapes", "struct_field"]

_KEPT_TYPES: Final = frozenset({int, dict})
"""Types of stored values that a kind may keep: ints of float fields, and maps with members that no class declares."""


class Member(Struct, frozen=True):
    """One stored field.

    Attributes:
        code: Its name in the Structs, where its own could clash.
    """

    field: ClassField
    code: str
    kind: Kind

    @property
    def name(self) -> str:
        return self.field.stored

    @property
    def is_restored(self) -> bool:
        return self.kind.restore("v") != "v"

    @property
    def may_be_unset(self) -> bool:
        """Whether the reader itself has no default: it is the user's value, or the constructor's, not the decoder's."""
        return not self.field.is_required and (self.is_restored or not self.field.has_default)

    @property
    def source_name(self) -> str:
        return f"s.{self.code}"


class Shape:
    """The stored fields of one class, in canonical order.

    Attributes:
        pack: Name of the function object -> writer, which raises `NotExact`.
        restore: Name of the function reader -> object.
        reader_name: Name of ``reader`` in the source.
        reader: What the decoder makes.
        levels: See `Kind.levels`.
    """

    reader: type[Struct]
    levels: int = 0

    def __init__(self, source: Source, make: Make) -> None:
        self._source = source
        self.make: Make = make
        self.pack: str = source.reserve("pack")
        self.restore: str = source.reserve("restore")
        self.reader_name: str = source.reserve("reader")
        self._remake = source.reserve("remake")
        self.members: list[Member] = []
        self._fields: Sequence[ClassField] = ()

    def add_members(self, kinds: Kinds, omitted: Collection[str]) -> None:
        """Find the kinds of all stored fields but the omitted ones."""
        self._fields = self.make.fields()
        stored = [field for field in self._fields if field.is_stored and field.name not in omitted]
        self._check_names([field.stored for field in stored], omitted)
        for field in sorted(stored, key=lambda field: field.stored.encode()):
            try:
                kind = kinds.of_field(field.annotation, self.make)
            except ConfigError as error:
                raise ConfigError(f"field {field.name!r} of {self.make.cls.__qualname__}: {error}") from error
            self.members.append(Member(field, f"m{len(self.members)}", kind))
        self.levels = 1 + max((member.kind.levels for member in self.members), default=0)
        self._names = {member.name for member in self.members}
        self._keeping = [member for member in self.members if member.kind.keeps]
        self._by_field = {member.field.name: member for member in self.members}

    def _check_names(self, names: list[str], omitted: Collection[str]) -> None:
        for name in names:
            if names.count(name) > 1:
                raise ConfigError(f"{self.make.cls.__qualname__}: two fields are stored as {name!r}")
            if name in omitted:
                raise ConfigError(f"{self.make.cls.__qualname__}: a field is stored as {name!r}, a system field")

    def define(self) -> None:
        """Make writer and reader, the latter still without annotations."""
        rename = {member.code: member.name for member in self.members}
        name = self.make.cls.__name__
        specs = [
            (member.code, Any, UNSET) if member.may_be_unset else struct_field(member.code, Any, member.field)
            for member in self.members
        ]
        self.reader = msgspec.defstruct(name, specs, rename=rename, kw_only=True, gc=False)
        self._source.bind(self.reader_name, self.reader)
        writer = msgspec.defstruct(name, [member.code for member in self.members], rename=rename, gc=False)
        self._writer_name = self._source.name(writer, "writer")
        if self.make.has_rules:
            given = [Given(field, self.make.reading(self._source, field)) for field in self._fields]
            self._source.define(self._remake, "v", [*self.make.making(self._source, given), "return o"])

    def define_nested(self) -> None:
        """Write the functions for objects inside others. Those of an entity are part of its dump and load."""
        self._source.define(self.pack, "v", [*self.packing(), "return packed"])
        self._source.define(self.restore, "s", [*self.restoring(), "return o"])

    def annotate(self) -> None:
        """Tell the reader its types, once all readers exist that they may name."""
        for member in self.members:
            shadow = member.kind.shadow
            self.reader.__annotations__[member.code] = shadow | UnsetType if member.may_be_unset else shadow

    def guard(self, value: str) -> str:
        """Source: whether the value is an object of the class."""
        return self.make.guard(self._source, value)

    def packing(self) -> list[str]:
        """Source that makes the writer ``packed`` of the object ``v``."""
        tests = [*self.make.tests(self._source), *(_if_there(member, _test(member)) for member in self.members)]
        needed = [f"({test})" for test in tests if test != "True"]
        return [
            *([f"v = {self._remake}(v)"] if self.make.has_rules else []),
            *(f"{member.code} = {self.make.reading(self._source, member.field)}" for member in self.members),
            *([f"if not ({' and '.join(needed)}): raise NotExact"] if needed else []),
            f"packed = {self._writer_name}({', '.join(_form(member) for member in self.members)})",
        ]

    def restoring(self, system: Sequence[Given] = ()) -> list[str]:
        """Source that makes the object ``o`` of the reader ``s`` and of its system fields."""
        lines: list[str] = []
        given = [*system]
        for member in self.members:
            value = member.kind.restore(member.source_name)
            if member.kind.inside is not None:
                lines += self._locating(member, value)
                value = f"r{member.code}"
            given.append(self._given(member, value))
        return [*lines, *self.make.making(self._source, given)]

    def _locating(self, member: Member, value: str) -> list[str]:
        """Source that restores ``value``, and says where it is when a class inside it refuses it."""
        path = self._source.name(member_path("$", member.name) + str(member.kind.inside), "path")
        there = f" if {member.source_name} is not UNSET else None" if member.may_be_unset else ""
        return [
            "try:",
            f"    r{member.code} = {value}{there}",
            f"except {self._source.once(READ_ERRORS, 'errors')} as error:",
            f"    raise {self._source.once(misread, 'misread')}(error, at={path}) from error",
        ]

    def _given(self, member: Member, value: str) -> Given:
        field, unset = member.field, f"{member.source_name} is UNSET"
        if not member.may_be_unset:
            return Given(field, value)
        if not field.has_default:
            return Given(field, value, unset)
        if field.default is not MISSING:
            default = self._source.name(field.default, "default")
        else:
            default = self._source.name(field.default_factory, "make_default") + "()"
        return Given(field, f"{default} if {unset} else {value}")

    def plain(self, value: object, path: str) -> dict[str, object]:
        """See `Kind.plain`."""
        if not self.make.is_object(value):
            raise unexpected(self.make.expected, value, path)
        self._check_members(value, path)
        if self.make.has_rules:
            try:
                value = self._source.object(self._remake)(value)
            except READ_ERRORS as error:
                raise misread(error, at=path) from error
        document = {}
        for member in self.members:
            found = self.make.get(value, member.field.name)
            if found is not MISSING and not (member.field.may_lack and found is UNSET):
                document[member.name] = member.kind.plain(found, member_path(path, member.name))
        return document

    def _check_members(self, value: Any, path: str) -> None:  # noqa: ANN401 - an object of the class
        for name in self.make.unknown(value):
            raise ValidationError(f"{self.make.expected} has no such member", path=member_path(path, name))
        for member in self.members:
            if not member.field.may_lack and self.make.get(value, member.field.name) is MISSING:
                raise ValidationError("the field has no value", path=member_path(path, member.name))

    def follow(self, path: Sequence[str]) -> tuple[list[str], Kind] | None:
        """See `Kind.follow`. The path is not empty."""
        member = self._by_field.get(path[0])
        found = None if member is None or "." in member.name else member.kind.follow(path[1:])
        return None if member is None or found is None else ([member.name, *found[0]], found[1])

    def fields_at(self, path: Sequence[str]) -> Mapping[str, str]:
        """See `FieldsAt`."""
        if not path:
            return {member.field.name: member.name for member in self.members}
        member = self._by_field.get(path[0])
        return {} if member is None else member.kind.fields_at(path[1:])

    def may_keep(self, stored: Mapping[str, object]) -> bool:
        """Whether `kept` may find something to keep. Quick, and never wrongly False."""
        if not self._names.issuperset(stored):
            return True
        return any(type(stored.get(member.name)) in _KEPT_TYPES for member in self._keeping)

    def kept(self, stored: Mapping[str, object], new: dict[str, object]) -> dict[str, object]:
        """See `Kind.keep`: members that the class does not declare stay. Returns ``new`` itself if nothing does."""
        kept = {name: item for name, item in stored.items() if name not in self._names}
        for member in self._keeping:
            if member.name in stored and member.name in new:
                item = member.kind.keep(stored[member.name], new[member.name])
                if item is not new[member.name]:
                    kept[member.name] = item
        return new | kept if kept else new


def _test(member: Member) -> str:
    return member.kind.test(member.code)


def _if_there(member: Member, test: str) -> str:
    return f"{member.code} is UNSET or ({test})" if member.field.may_lack and test != "True" else test


def _form(member: Member) -> str:
    form = member.kind.form(member.code)
    # The encoder leaves members out that are unset.
    return f"({member.code} if {member.code} is UNSET else {form})" if member.field.may_lack else form


def struct_field(name: str, annotation: Any, field: ClassField) -> tuple[str, Any, Any]:  # noqa: ANN401
    """The specification of a Struct's field with the default of a class's field, if it has one."""
    if field.default_factory is not MISSING:
        return name, annotation, msgspec.field(default_factory=field.default_factory)
    return name, annotation, NODEFAULT if field.default is MISSING else field.default


class NestedKind(Kind):
    """An object inside an entity, stored as a map. Its members that its class does not declare stay, too."""

    keeps = True
    inside: str | None = ""

    def __init__(self, shape: Shape) -> None:
        self._shape = shape
        self.expected: str = shape.make.expected
        self.levels: int = shape.levels

    def _stored_as(self) -> Any:  # noqa: ANN401 - annotations have no common type
        return self._shape.reader

    def guard(self, value: str) -> str:
        return self._shape.guard(value)

    def form(self, value: str) -> str:
        return f"{self._shape.pack}({value})"

    def shadow_guard(self, shadow: str) -> str:
        return f"type({shadow}) is {self._shape.reader_name}"

    def restore(self, shadow: str) -> str:
        return f"{self._shape.restore}({shadow})"

    def plain(self, value: object, path: str) -> object:
        return self._shape.plain(value, path)

    def keep(self, stored: object, new: object) -> object:
        return self._shape.kept(stored, new) if isinstance(stored, dict) and isinstance(new, dict) else new

    def follow(self, rest: Sequence[str]) -> tuple[list[str], Kind] | None:
        return self._shape.follow(rest) if rest else ([], self)

    def fields_at(self, path: Sequence[str]) -> Mapping[str, str]:
        return self._shape.fields_at(path)


class Shapes:
    """The shapes of an entity class and of all classes inside it.

    Attributes:
        is_recursive: Whether a class can hold itself, so that objects can be nested without limit.
    """

    def __init__(self, source: Source, make: Make, omitted: Collection[str]) -> None:
        self.is_recursive: bool = False
        self._source = source
        self._kinds = Kinds(source, self._nested)
        self._by_class: dict[type, Shape] = {}
        self._unfinished: set[type] = set()
        self.top: Shape = Shape(source, make)
        self.top.add_members(self._kinds, omitted)
        self._finish()

    @property
    def have_rules(self) -> bool:
        """Whether a class may change or refuse the values of an object that is saved."""
        return any(shape.make.has_rules for shape in self._all)

    @property
    def need_reading(self) -> bool:
        """Whether only reading an object back shows that it is valid."""
        return self._kinds.constrained or any(shape.make.is_read_back for shape in self._all)

    @property
    def _all(self) -> list[Shape]:
        return [self.top, *self._by_class.values()]

    def _nested(self, cls: type) -> Kind:
        if cls not in self._by_class:
            make = make_of(cls)
            assert make is not None, "only classes with a make are nested"
            self._by_class[cls] = Shape(self._source, make)
            self._unfinished.add(cls)
            self._by_class[cls].add_members(self._kinds, ())
            self._unfinished.remove(cls)
        self.is_recursive |= cls in self._unfinished
        return NestedKind(self._by_class[cls])

    def _finish(self) -> None:
        for shape in self._all:
            shape.define()
        for shape in self._by_class.values():
            shape.define_nested()
        for shape in self._all:
            shape.annotate()
