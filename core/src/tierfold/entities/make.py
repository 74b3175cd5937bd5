"""The makes of classes: how objects of a class are taken apart for storage, and made again.

A make writes source for one kind of class (dataclass, attrs, …). In it ``v`` is an object that is saved and ``o`` one
that is made.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from copy import copy
from operator import attrgetter
from typing import TYPE_CHECKING, Any, Final

from msgspec import Struct

from tierfold.entities.source import Source

if TYPE_CHECKING:
    from tierfold.entities.kinds import Kind

__all__ = ["MISSING", "ClassField", "Given", "Make", "arguments", "default_of", "set_after"]

MISSING: Final = object()
"""In place of a default or of a value: there is none."""


class ClassField(Struct, frozen=True, kw_only=True):
    """One field of a class.

    Attributes:
        stored: Name of its member in the document: the class's own wire name.
        argument: Name by which the class's constructor takes it; empty = it does not.
        is_required: A document must have it.
        default: What a missing member becomes.
        default_factory: What makes it; without both, the class's own constructor does.
        may_lack: An object need not have it.
        is_stored: It has a member at all.
    """

    name: str
    stored: str
    annotation: Any
    argument: str = ""
    is_required: bool = True
    default: Any = MISSING
    default_factory: Any = MISSING
    may_lack: bool = False
    is_stored: bool = True

    @property
    def has_default(self) -> bool:
        """Whether a missing member is supplied by us, not by the class."""
        return self.default is not MISSING or self.default_factory is not MISSING


class Given(Struct, frozen=True):
    """A field's value while an object is made, as source.

    Attributes:
        lacking: Whether there is none, and the class itself supplies its default; empty = there always is one.
    """

    field: ClassField
    value: str
    lacking: str = ""


class Make(ABC):
    """One class, as far as it matters what kind of class it is.

    Making one resolves no annotations, so that it can be done while the module of the class is still running.

    Attributes:
        expected: What messages call its objects.
        id_of: The id of an object.
        is_frozen: System fields are set in a copy.
        has_rules: Making an object can change or refuse its values, so a save makes a copy first and stores that.
        is_read_back: Making an object can refuse its values, which a save finds out by reading what it stored.
    """

    is_frozen: bool = False
    has_rules: bool = False
    is_read_back: bool = False
    expected: str

    def __init__(self, cls: Any) -> None:  # noqa: ANN401 - a class of any kind
        self.cls = cls
        self.expected = cls.__name__
        self.id_of: Callable[[Any], str] = attrgetter("id")

    @abstractmethod
    def names(self) -> Sequence[str]:
        """The names of all fields."""

    @abstractmethod
    def fields(self) -> Sequence[ClassField]:
        """All fields, with resolved annotations.

        Raises:
            ConfigError: One cannot be resolved, or stored.
        """

    def value_kind(self, source: Source, annotation: type, kind: Kind | None) -> Kind | None:
        """The kind of a type in a field of this class.

        Args:
            kind: What the table of values says; None = the type is not in it.
        """
        return kind

    # --- Python ------------------------------------------------------------------------------------------------------

    def is_object(self, value: object) -> bool:
        return type(value) is self.cls

    def get(self, entity: Any, name: str) -> object:  # noqa: ANN401 - an object of the class
        return getattr(entity, name, MISSING)

    def fields_of(self, entity: Any, names: Sequence[str]) -> dict[str, object]:  # noqa: ANN401
        """The named fields, of those that an object need not have the ones that it has."""
        return {name: getattr(entity, name) for name in names}

    def attributes(self, entity: Any, names: Sequence[str]) -> Any:  # noqa: ANN401
        """Something that has the named fields as attributes."""
        return entity

    def put(self, entity: Any, name: str, value: object) -> None:  # noqa: ANN401
        """Set a field, also of a frozen object: a copy that nobody has seen yet."""
        object.__setattr__(entity, name, value)

    def copied(self, entity: Any) -> Any:  # noqa: ANN401
        """A copy whose fields may be put."""
        return copy(entity)

    def unknown(self, entity: Any) -> Sequence[str]:  # noqa: ANN401
        """What an object has beside the fields, and would lose."""
        return ()

    # --- source ------------------------------------------------------------------------------------------------------

    def guard(self, source: Source, value: str) -> str:
        """Whether a value is an object of the class."""
        return f"type({value}) is {source.once(self.cls, 'cls')}"

    def tests(self, source: Source) -> Sequence[str]:
        """What else must hold of the object ``v`` as a whole."""
        return ()

    def reading(self, source: Source, field: ClassField) -> str:
        """The field's value in ``v``."""
        return f"v.{field.name}"

    @abstractmethod
    def making(self, source: Source, given: Sequence[Given]) -> list[str]:
        """Lines that make ``o``."""

    def setting(self, source: Source, name: str, value: str) -> str:
        """The line that sets a field of ``o``."""
        return f"{source.once(self.put, 'put')}(o, {name!r}, {value})"

    def copying(self, source: Source) -> list[str]:
        """Lines that make ``o`` an object whose fields may be set."""
        return [f"o = {source.once(self.copied, 'copied')}(o)"] if self.is_frozen else []


def arguments(given: Sequence[Given], positional: int = 0) -> str:
    """Source of the arguments of a constructor.

    Args:
        positional: How many of the fields that it takes are given by their places, which is quicker.
    """
    taken = [each for each in given if each.field.argument]
    return ", ".join([*(each.value for each in taken[:positional]), *map(_argument, taken[positional:])])


def _argument(each: Given) -> str:
    name = each.field.argument
    if each.lacking:
        return f"**({{}} if {each.lacking} else {{{name!r}: {each.value}}})"
    return f"{name}={each.value}"


def set_after(make: Make, source: Source, given: Sequence[Given]) -> list[str]:
    """Lines that set what the constructor does not take."""
    lines = []
    for each in given:
        if not each.field.argument:
            setting = make.setting(source, each.field.name, each.value)
            lines.append(f"if not ({each.lacking}): {setting}" if each.lacking else setting)
    return lines


def default_of(default: object, factory: object, none: object) -> Mapping[str, Any]:
    """The members of a `ClassField` that say how a missing member is supplied; ``none`` marks the absence of either."""
    if factory is not none:
        return {"is_required": False, "default_factory": factory}
    return {} if default is none else {"is_required": False, "default": default}
