"""How users declare entity types: by deriving from `Entity`, or with `entity` on a class of their own."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, fields, is_dataclass
from datetime import datetime
from typing import Final, Never, TypeVar, dataclass_transform

from tierfold.abc.keys import KeyStrategy
from tierfold.entities.declaration import Declared, check_fields, declare
from tierfold.entities.placeholders import check_placeholders
from tierfold.entities.system import EPOCH
from tierfold.errors import ConfigError

__all__ = ["EPOCH", "Entity", "declared_by", "entity"]

T = TypeVar("T")

_ATTRIBUTE: Final = "__tierfold__"
_KEYWORDS: Final = "name, partition, id, conflict, schema"


@dataclass_transform(kw_only_default=True, field_specifiers=(field,))
@dataclass(kw_only=True)
class Entity:
    """Base of entity classes. Each subclass becomes a keyword-only dataclass by itself; do not decorate it again.

    The class statement takes the keywords of `entity`. A subclass of an entity class takes over its partition, id
    template and rule for conflicts unless it names others; its name and schema are its own.

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
        **unknown: Never,
    ) -> None:
        super().__init_subclass__()
        _refuse(cls, unknown)
        dataclass(kw_only=True)(cls)
        _attach(cls, name, partition, id, conflict, schema)


def entity(
    *without_parentheses: Never,
    name: str | None = None,
    partition: str | KeyStrategy | None = None,
    id: str | None = None,
    conflict: str | None = None,
    schema: int = 1,
    **unknown: Never,
) -> Callable[[type[T]], type[T]]:
    """Declare a dataclass, also a frozen or slotted one, as an entity type. Goes above ``@dataclass``.

    The class must have ``id: str``; ``created_at``, ``updated_at`` and ``version`` are filled in where it has them.

    Args:
        name: Name of the entity type, by default the class's.
        partition: A template such as ``"{site}"``, the name of a registered key strategy, or a key strategy; by
            default all entities are in one partition, ``global``.
        id: Template of the id's suffix, which makes repeated imports idempotent; by default it is random.
        conflict: Registered name of the rule for conflicts; by default the newest write wins.
        schema: Number of this version of the class.

    Raises:
        ConfigError: Something in the declaration cannot be.
    """

    if without_parentheses:
        raise ConfigError("entity takes keywords; write `@tierfold.entity()` with parentheses above the class")

    def decorate(cls: type[T]) -> type[T]:
        _refuse(cls, unknown)
        if not is_dataclass(cls):
            raise ConfigError(f"{cls.__qualname__} is no dataclass; put `@entity(…)` above `@dataclass`")
        _attach(cls, name, partition, id, conflict, schema)
        return cls

    return decorate


def declared_by(cls: type) -> Declared:
    """The declaration of a class; a class without one has that of its base class, under its own name.

    Raises:
        ConfigError: The class cannot be an entity type.
    """
    found = vars(cls).get(_ATTRIBUTE)
    return found if isinstance(found, Declared) else _declared(cls, cls.__name__, None, None, None, 1)


def _declared(
    cls: type, name: str, partition: str | KeyStrategy | None, id: str | None, conflict: str | None, schema: int
) -> Declared:
    inherited = getattr(cls, _ATTRIBUTE, None)
    if isinstance(inherited, Declared):
        partition = partition if partition is not None else inherited.strategy or inherited.declaration.partition
        id = id if id is not None else inherited.declaration.id
        conflict = conflict if conflict is not None else inherited.declaration.resolver
    return declare(name, partition=partition, id=id, conflict=conflict, schema=schema)


def _attach(
    cls: type, name: str | None, partition: str | KeyStrategy | None, id: str | None, conflict: str | None, schema: int
) -> None:
    declared = _declared(cls, cls.__name__ if name is None else name, partition, id, conflict, schema)
    check_fields(declared, [item.name for item in fields(cls)])
    check_placeholders(declared.declaration, cls)
    setattr(cls, _ATTRIBUTE, declared)


def _refuse(cls: type, unknown: dict[str, Never]) -> None:
    if unknown:
        raise ConfigError(f"{cls.__qualname__}: {', '.join(unknown)} is unknown; an entity type takes {_KEYWORDS}")
