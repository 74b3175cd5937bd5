"""Which adapter serves which kind of class."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import is_dataclass
from typing import Any, Final, TypeVar, cast

from tierfold.entities.adaptation import EntityAdapter
from tierfold.entities.documents import document_adapter
from tierfold.entities.typed import typed_adapter
from tierfold.errors import ConfigError

__all__ = ["EntityAdapter", "adapter_for", "document_adapter"]

T = TypeVar("T")

_ATTRIBUTE: Final = "__tierfold_adapter__"
_KINDS_OF_CLASS: Final[tuple[tuple[Callable[[type], bool], Callable[[Any], EntityAdapter[Any]]], ...]] = (
    (is_dataclass, typed_adapter),
)
"""(whether it serves a class, what makes its adapter), the first that serves wins."""


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


def _build(cls: type) -> EntityAdapter[Any]:
    if isinstance(cls, type):
        for serves, make in _KINDS_OF_CLASS:
            if serves(cls):
                return make(cls)
    raise ConfigError(f"{cls!r} is no entity class: derive from tierfold.Entity, or use a dataclass with `id: str`")
