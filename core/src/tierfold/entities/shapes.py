"""How the objects of a dataclass are packed for the encoder, and restored from what the decoder made.

Between an object and its bytes stands a Struct for each direction, because msgspec writes and reads Structs two to
three times faster than dataclasses: a writer with the members in canonical order, and a reader with the defaults.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import MISSING, Field, fields
from typing import Any, Final

import msgspec
from msgspec import NODEFAULT, UNSET, Struct, UnsetType

from tierfold.codec import member_path
from tierfold.entities.annotations import Kinds, annotations_of
from tierfold.entities.kinds import Kind, unexpected
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

    name: str
    code: str
    kind: Kind
    field: Field[Any]

    @property
    def has_default(self) -> bool:
        return self.field.default is not MISSING or self.field.default_factory is not MISSING

    @property
    def is_restored(self) -> bool:
        return self.kind.restore("v") != "v"


class Shape:
    """The stored fields of one dataclass, in canonical order.

    Attributes:
        cls_name: The class's name in the source.
        pack: Name of the function object -> writer, which raises `NotExact`.
        restore: Name of the function reader -> object.
        reader_name: Name of ``reader`` in the source.
        reader: What the decoder makes.
        levels: See `Kind.levels`.
    """

    reader: type[Struct]
    levels: int = 0

    def __init__(self, source: Source, cls: Any) -> None:  # noqa: ANN401 - a dataclass
        self._source = source
        self.cls = cls
        self.cls_name = source.name(cls, "cls")
        self.pack = source.reserve("pack")
        self.restore = source.reserve("restore")
        self.reader_name = source.reserve("reader")
        self._put = source.name(object.__setattr__, "put")
        self.members: list[Member] = []

    @property
    def is_frozen(self) -> bool:
        return bool(self.cls.__dataclass_params__.frozen)

    @property
    def has_post_init(self) -> bool:
        return hasattr(self.cls, "__post_init__")

    def add_members(self, kinds: Kinds, omitted: Collection[str]) -> None:
        """Find the kinds of all fields but the omitted ones."""
        annotations = annotations_of(self.cls)
        for item in sorted(fields(self.cls), key=lambda item: item.name.encode()):
            if item.name not in omitted:
                try:
                    kind = kinds.of(annotations[item.name])
                except ConfigError as error:
                    raise ConfigError(f"field {item.name!r} of {self.cls.__qualname__}: {error}") from error
                self.members.append(Member(item.name, f"m{len(self.members)}", kind, item))
        self.levels = 1 + max((member.kind.levels for member in self.members), default=0)
        self._names = {member.name for member in self.members}
        self._keeping = [member for member in self.members if member.kind.keeps]

    def define(self) -> None:
        """Write the functions and make the reader, still without annotations."""
        rename = {member.code: member.name for member in self.members}
        name = self.cls.__name__
        # A default is the user's value, not what the decoder makes: where the two differ, `restoring` supplies it.
        specs = [
            (member.code, Any, UNSET)
            if member.has_default and member.is_restored
            else struct_field(member.code, Any, member.field)
            for member in self.members
        ]
        self.reader = msgspec.defstruct(name, specs, rename=rename, kw_only=True, gc=False)
        self._source.bind(self.reader_name, self.reader)
        writer = msgspec.defstruct(name, [member.code for member in self.members], rename=rename, gc=False)
        self._writer_name = self._source.name(writer, "writer")
        self._source.define(self.pack, "v", [*self.packing(), "return packed"])
        self._source.define(self.restore, "s", [*self.restoring(), "return o"])

    def annotate(self) -> None:
        """Tell the reader its types, once all readers exist that they may name."""
        for member in self.members:
            shadow = member.kind.shadow
            unset = member.has_default and member.is_restored
            self.reader.__annotations__[member.code] = shadow | UnsetType if unset else shadow

    def packing(self) -> list[str]:
        """Source that makes the writer ``packed`` of the object ``v``."""
        tests = [member.kind.test(member.code) for member in self.members]
        needed = [f"({test})" for test in tests if test != "True"]
        return [
            *(f"{member.code} = v.{member.name}" for member in self.members),
            *([f"if not ({' and '.join(needed)}): raise NotExact"] if needed else []),
            f"packed = {self._writer_name}({', '.join(member.kind.form(member.code) for member in self.members)})",
        ]

    def restoring(self, setting: Sequence[str] = ()) -> list[str]:
        """Source that makes the object ``o`` of the reader ``s``, and runs ``setting`` before its ``__post_init__``."""
        made = [f"o = {self._source.name(object.__new__, 'new')}({self.cls_name})"]
        made += [self.setting(member.name, self._restored(member)) for member in self.members]
        made += setting
        return [*made, "o.__post_init__()"] if self.has_post_init else made

    def _restored(self, member: Member) -> str:
        value = member.kind.restore(f"s.{member.code}")
        if not (member.has_default and member.is_restored):
            return value
        unset = self._source.name(UNSET, "unset")
        if member.field.default is not MISSING:
            default = self._source.name(member.field.default, "default")
        else:
            default = self._source.name(member.field.default_factory, "make_default") + "()"
        return f"{default} if s.{member.code} is {unset} else {value}"

    def setting(self, name: str, value: str) -> str:
        """Source that sets a field of ``o``."""
        return f"{self._put}(o, {name!r}, {value})" if self.is_frozen else f"o.{name} = {value}"

    def plain(self, value: object, path: str) -> dict[str, object]:
        """See `Kind.plain`."""
        if type(value) is not self.cls:
            raise unexpected(self.cls.__name__, value, path)
        document = {}
        for member in self.members:
            at = member_path(path, member.name)
            if not hasattr(value, member.name):
                raise ValidationError("the field has no value", path=at)
            document[member.name] = member.kind.plain(getattr(value, member.name), at)
        return document

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


def struct_field(name: str, annotation: Any, field: Field[Any]) -> tuple[str, Any, Any]:  # noqa: ANN401
    """The specification of a Struct's field with the default of a dataclass's field, if it has one."""
    if field.default_factory is not MISSING:
        return name, annotation, msgspec.field(default_factory=field.default_factory)
    return name, annotation, NODEFAULT if field.default is MISSING else field.default


class NestedKind(Kind):
    """A dataclass inside an entity, stored as a map. Its members that it does not declare stay, too."""

    keeps = True

    def __init__(self, shape: Shape) -> None:
        self._shape = shape
        self.expected = shape.cls.__name__
        self.levels = shape.levels

    def _stored_as(self) -> Any:  # noqa: ANN401 - annotations have no common type
        return self._shape.reader

    def guard(self, value: str) -> str:
        return f"type({value}) is {self._shape.cls_name}"

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


class Shapes:
    """The shapes of an entity class and of all dataclasses inside it.

    Attributes:
        is_recursive: Whether a class can hold itself, so that objects can be nested without limit.
    """

    def __init__(self, source: Source, cls: type, omitted: Collection[str]) -> None:
        self.is_recursive = False
        self._source = source
        self._kinds = Kinds(source, self._nested)
        self._by_class: dict[type, Shape] = {}
        self._unfinished: set[type] = set()
        self.top = Shape(source, cls)
        self.top.add_members(self._kinds, omitted)
        self._finish()

    @property
    def need_reading(self) -> bool:
        """Whether only reading an object back shows that it is valid."""
        return self._kinds.constrained or any(shape.has_post_init for shape in [self.top, *self._by_class.values()])

    def _nested(self, cls: type) -> Kind:
        if cls not in self._by_class:
            self._by_class[cls] = Shape(self._source, cls)
            self._unfinished.add(cls)
            self._by_class[cls].add_members(self._kinds, ())
            self._unfinished.remove(cls)
        self.is_recursive |= cls in self._unfinished
        return NestedKind(self._by_class[cls])

    def _finish(self) -> None:
        shapes = [self.top, *self._by_class.values()]
        for shape in shapes:
            shape.define()
        for shape in shapes:
            shape.annotate()
