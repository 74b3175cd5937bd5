"""The annotations of classes, resolved."""

from __future__ import annotations

from dataclasses import InitVar
from typing import Annotated, Any, NewType, get_args, get_origin, get_type_hints

from tierfold.errors import ConfigError

__all__ = ["annotations_of", "unwrapped"]


def annotations_of(cls: type) -> dict[str, Any]:
    """The resolved annotations of a class and its bases.

    Raises:
        ConfigError: One cannot be resolved, or is an ``InitVar``, which would not be stored.
    """
    try:
        hints = get_type_hints(cls, include_extras=True)
    except (NameError, TypeError) as error:
        reason = f"{cls.__qualname__}: {error}; annotations may use only names that are defined at module level"
        raise ConfigError(reason) from error
    if any(isinstance(hint, InitVar) for hint in hints.values()):
        raise ConfigError(f"{cls.__qualname__}: an InitVar is not stored, so an object could not be read back")
    return hints


def unwrapped(annotation: Any) -> Any:  # noqa: ANN401 - annotations have no common type
    """What an annotation is without ``Annotated`` and ``NewType``."""
    while get_origin(annotation) is Annotated or isinstance(annotation, NewType):
        annotation = annotation.__supertype__ if isinstance(annotation, NewType) else get_args(annotation)[0]
    return annotation
