"""Which make serves which class."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import is_dataclass
from typing import Any, Final

from msgspec import Struct

from tierfold.entities.attrs_make import AttrsMake
from tierfold.entities.dataclass_make import DataclassMake
from tierfold.entities.make import Make
from tierfold.entities.pydantic_make import PydanticDataclassMake, PydanticModelMake
from tierfold.entities.struct_make import StructMake
from tierfold.entities.typed_dict_make import TypedDictMake

__all__ = ["KINDS", "has_make", "make_of"]

KINDS: Final = "a dataclass, an attrs class, a msgspec.Struct, a pydantic model or a TypedDict"
"""What messages call the classes that are served."""


def make_of(cls: type) -> Make | None:
    """The make of a class, None when it is of no kind that can be stored.

    Raises:
        ConfigError: It is of such a kind, but not this class.
    """
    found = _find(cls)
    return None if found is None else found(cls)


def has_make(annotation: object) -> bool:
    """Whether an annotation is a class with fields."""
    return isinstance(annotation, type) and _find(annotation) is not None


def _find(cls: type) -> Callable[[Any], Make] | None:
    return next((make for serves, make in _MAKES if serves(cls)), None)


# Told by their marks, so that no library is imported for a program that does not use it.
_MAKES: Final[tuple[tuple[Callable[[type], bool], Callable[[Any], Make]], ...]] = (
    (lambda cls: hasattr(cls, "__pydantic_root_model__") and hasattr(cls, "model_config"), PydanticModelMake),
    (lambda cls: is_dataclass(cls) and hasattr(cls, "__is_pydantic_dataclass__"), PydanticDataclassMake),
    (is_dataclass, DataclassMake),
    (lambda cls: hasattr(cls, "__attrs_attrs__"), AttrsMake),
    (lambda cls: issubclass(cls, Struct), StructMake),
    (lambda cls: issubclass(cls, dict) and hasattr(cls, "__required_keys__"), TypedDictMake),
)
"""(whether it serves a class, what makes its make), the first that serves wins."""
