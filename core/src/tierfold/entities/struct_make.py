"""Classes of msgspec."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Union, get_args

from msgspec import NODEFAULT, UnsetType
from msgspec.structs import FieldInfo, fields, force_setattr

from tierfold.entities.hints import annotations_of
from tierfold.entities.make import ClassField, Given, Make, arguments, default_of
from tierfold.entities.source import Source
from tierfold.errors import ConfigError

__all__ = ["StructMake"]


class StructMake(Make):
    """A ``msgspec.Struct``, frozen or not. Its ``rename`` says what its members are called; an unset field has none.

    Raises:
        ConfigError: Its own form is no map of its fields.
    """

    def __init__(self, cls: Any) -> None:  # noqa: ANN401 - a Struct
        super().__init__(cls)
        config = cls.__struct_config__
        if config.array_like:
            raise ConfigError(f"{cls.__qualname__}: array_like=True has no named members; documents are maps")
        if config.tag is not None:
            reason = f"the tag {config.tag_field!r} of a tagged Struct is no field, so it would not be stored"
            raise ConfigError(f"{cls.__qualname__}: {reason}; declare a field for it")
        self.is_frozen: bool = bool(config.frozen)
        self.is_read_back: bool = hasattr(cls, "__post_init__")

    def names(self) -> Sequence[str]:
        return list(self.cls.__struct_fields__)

    def fields(self) -> Sequence[ClassField]:
        annotations = annotations_of(self.cls)
        return [_field(info, annotations[info.name]) for info in fields(self.cls)]

    def put(self, entity: Any, name: str, value: object) -> None:  # noqa: ANN401 - a Struct
        force_setattr(entity, name, value)

    def making(self, source: Source, given: Sequence[Given]) -> list[str]:
        return [f"o = {source.once(self.cls, 'cls')}({arguments(given)})"]

    def setting(self, source: Source, name: str, value: str) -> str:
        if self.is_frozen:
            return f"{source.once(force_setattr, 'put')}(o, {name!r}, {value})"
        return f"o.{name} = {value}"


def _field(info: FieldInfo, annotation: Any) -> ClassField:  # noqa: ANN401 - annotations have no common type
    members = get_args(annotation)
    may_lack = UnsetType in members
    if may_lack:
        annotation = Union[tuple(member for member in members if member is not UnsetType)]  # noqa: UP007 - not known here
    return ClassField(
        name=info.name,
        stored=info.encode_name,
        annotation=annotation,
        argument=info.name,
        may_lack=may_lack,
        **default_of(info.default, info.default_factory, NODEFAULT),
    )
