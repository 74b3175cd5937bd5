"""The adapters of classes."""

from __future__ import annotations

from typing import Final, TypeVar, cast

from tierfold.entities.adaptation import EntityAdapter
from tierfold.entities.documents import document_adapter
from tierfold.entities.makes import KINDS, make_of
from tierfold.entities.typed import typed_adapter
from tierfold.errors import ConfigError

__all__ = ["EntityAdapter", "adapter_for", "document_adapter"]

T = TypeVar("T")

_ATTRIBUTE: Final = "__tierfold_adapter__"


def adapter_for(cls: type[T]) -> EntityAdapter[T]:
    """The adapter of a class, built when first asked for and then kept by the class.

    Raises:
        ConfigError: The class cannot be an entity type; the message says why.
    """
    found = vars(cls).get(_ATTRIBUTE) if isinstance(cls, type) else None
    if found is None:
        found = _build(cls)
        setattr(cls, _ATTRIBUTE, found)
    return cast("EntityAdapter[T]", found)


def _build(cls: type[T]) -> EntityAdapter[T]:
    make = make_of(cls) if isinstance(cls, type) else None
    if make is None:
        raise ConfigError(f"{cls!r} is no entity class: derive from tierfold.Entity, or use {KINDS} with `id: str`")
    return typed_adapter(cls, make)
