"""Whether the fields that a declaration's templates read can have a text at all, as far as their annotations say."""

from __future__ import annotations

from datetime import datetime, time, timedelta
from decimal import Decimal
from enum import Enum
from types import NoneType, UnionType
from typing import Any, Final, Union, get_args, get_origin
from uuid import UUID

from tierfold.entities.declaration import Declaration
from tierfold.entities.hints import annotations_of, unwrapped
from tierfold.entities.rules import parse_rule
from tierfold.entities.templates import Template, partition_template, suffix_template
from tierfold.errors import ConfigError

__all__ = ["check_placeholders"]

_NEITHER: Final = (bool, float, bytes, Decimal, time, timedelta, list, dict, set, frozenset, tuple, NoneType)
_NO_TEXT: Final = (*_NEITHER, datetime)
_NO_TIME: Final = (*_NEITHER, int, UUID)


def check_placeholders(declaration: Declaration, cls: type) -> None:
    """Refuse templates that no object of the class could fill in. What annotations do not tell is found at the save.

    Raises:
        ConfigError: Names the field, and its type.
    """
    templates = _templates(declaration)
    if not templates:
        return
    try:
        annotations = annotations_of(cls)
    except ConfigError:  # names that are defined below the class; whoever needs them asks again
        return
    for template in templates:
        for names, unfit, why in (
            (template.texts, _NO_TEXT, "has no text of its own"),
            (template.times, _NO_TIME, "is no time, so it takes no format"),
        ):
            for name in names:
                if _is_always(annotations.get(name), unfit):
                    raise _error(declaration, name, annotations[name], why, template)


def _templates(declaration: Declaration) -> list[Template]:
    name, options = parse_rule(declaration.partition)
    templates = [partition_template(options[0])] if name == "template" and options else []
    return templates if declaration.id is None else [*templates, suffix_template(declaration.id)]


def _is_always(annotation: Any, kinds: tuple[type, ...]) -> bool:  # noqa: ANN401 - annotations have no common type
    """Whether every value of an annotation is of one of these types."""
    bare = unwrapped(annotation)
    if get_origin(bare) in (Union, UnionType):
        return all(_is_always(member, kinds) for member in get_args(bare))
    kind = get_origin(bare) or bare
    return isinstance(kind, type) and not issubclass(kind, Enum) and issubclass(kind, kinds)


def _error(declaration: Declaration, name: str, annotation: Any, why: str, template: Template) -> ConfigError:  # noqa: ANN401
    bare = unwrapped(annotation)
    kind = bare.__name__ if isinstance(bare, type) else str(bare)
    hint = f"; give it a format, as in '{{{name}:%Y-%m}}'" if bare is datetime else ""
    said = f"field {name!r} of template {template.text!r} is `{kind}`, which {why}{hint}"
    return ConfigError(f"entity type {declaration.name!r}: {said}")
