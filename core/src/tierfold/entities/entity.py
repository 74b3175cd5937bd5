"""How users declare entity types: by deriving from `Entity`, or with `entity` on a class of their own."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field, fields
from datetime import datetime
from typing import Final, Never, TypeVar, dataclass_transform

from tierfold.abc.keys import KeyStrategy
from tierfold.entities.declaration import Declared, Keywords, check_fields, declare
from tierfold.entities.makes import KINDS, make_of
from tierfold.entities.placeholders import check_placeholders
from tierfold.entities.system import EPOCH
from tierfold.entities.upgrading import Upgrade
from tierfold.errors import ConfigError

__all__ = ["EPOCH", "Entity", "declared_by", "entity"]

T = TypeVar("T")

_ATTRIBUTE: Final = "__tierfold__"
_KEYWORDS: Final = "name, partition, id, conflict, schema, upgrade, index"


@dataclass_transform(kw_only_default=True, field_specifiers=(field,))
@dataclass(kw_only=True)
class Entity:
    """Base of entity classes. Each subclass becomes a keyword-only dataclass by itself; do not decorate it again.

    The class statement takes the keywords of `entity`. A subclass of an entity class takes over its partition, id
    template, rule for conflicts and index unless it names others; its name, schema and upgrades are its own.

    Attributes:
        id: Empty = new; the first save assigns it.
        version: For people; never compare it to decide anything, compare etags.
    """

    id: str = ""
    created_at: datetime = EPOCH
    updated_at: datetime = EPOCH
    version: int = 0

    def __init_subclass__(
        cls,
        *,
        name: str | None = None,
        partition: str | KeyStrategy | None = None,
        id: str | None = None,
        conflict: str | None = None,
        schema: int = 1,
        upgrade: Mapping[int, Upgrade] | None = None,
        index: Sequence[str] | None = None,
        **unknown: Never,
    ) -> None:
        super().__init_subclass__()
        _refuse(cls, unknown)
        dataclass(kw_only=True)(cls)
        said = Keywords(
            name=name, partition=partition, id=id, conflict=conflict, schema=schema, upgrade=upgrade, index=index
        )
        _attach(cls, said, [item.name for item in fields(cls)])


def entity(
    *without_parentheses: Never,
    name: str | None = None,
    partition: str | KeyStrategy | None = None,
    id: str | None = None,
    conflict: str | None = None,
    schema: int = 1,
    upgrade: Mapping[int, Upgrade] | None = None,
    index: Sequence[str] | None = None,
    **unknown: Never,
) -> Callable[[type[T]], type[T]]:
    """Declare a class as an entity type: a dataclass, attrs class, msgspec.Struct, pydantic class or TypedDict.

    Goes above the decorator that makes the class. It must have ``id: str``; ``created_at``, ``updated_at`` and
    ``version`` are filled in where it has them.

    Args:
        name: Name of the entity type, by default the class's.
        partition: A template such as ``"{site}"``, the name of a registered key strategy, or a key strategy; by
            default all entities are in one partition, ``global``.
        id: Template of the id's suffix, which makes repeated imports idempotent; by default it is random.
        conflict: Registered name of the rule for conflicts; by default the newest write wins.
        schema: Number of this version of the class.
        upgrade: ``{1: function}``: makes raw documents of schema 1 those of schema 2, and so on. The functions are
            pure; what they return is read, and only stored when the entity is saved.
        index: Paths of fields, as ``["mag", "place.name"]``.

    Raises:
        ConfigError: Something in the declaration cannot be.
    """
    said = Keywords(
        name=name, partition=partition, id=id, conflict=conflict, schema=schema, upgrade=upgrade, index=index
    )

    if without_parentheses:
        raise ConfigError("entity takes keywords; write `@tierfold.entity()` with parentheses above the class")

    def decorate(cls: type[T]) -> type[T]:
        _refuse(cls, unknown)
        make = make_of(cls)
        if make is None:
            raise ConfigError(
                f"{cls.__qualname__} is not {KINDS}; put `@entity(…)` above the decorator that makes it one"
            )
        _attach(cls, said, make.names())
        return cls

    return decorate


def declared_by(cls: type) -> Declared:
    """The declaration of a class; a class without one has that of its base class, under its own name.

    Raises:
        ConfigError: The class cannot be an entity type.
    """
    found = vars(cls).get(_ATTRIBUTE)
    return found if isinstance(found, Declared) else _declared(cls, Keywords())


def _declared(cls: type, said: Keywords) -> Declared:
    inherited = getattr(cls, _ATTRIBUTE, None)
    name = cls.__name__ if said.name is None else said.name
    return declare(name, said.beside(inherited if isinstance(inherited, Declared) else None))


def _attach(cls: type, said: Keywords, names: Collection[str]) -> None:
    declared = _declared(cls, said)
    check_fields(declared, names)
    check_placeholders(declared.declaration, cls)
    setattr(cls, _ATTRIBUTE, declared)


def _refuse(cls: type, unknown: dict[str, Never]) -> None:
    if unknown:
        raise ConfigError(f"{cls.__qualname__}: {', '.join(unknown)} is unknown; an entity type takes {_KEYWORDS}")
