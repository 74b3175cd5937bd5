"""Models and dataclasses of pydantic, which is never imported here: whoever has such a class has imported it."""

from __future__ import annotations

import re
import sys
from abc import abstractmethod
from collections.abc import Collection, Iterator, Mapping, Sequence
from enum import Enum
from functools import partial
from typing import Any, Final, get_args

from tierfold.codec import member_path
from tierfold.entities.foreign import ForeignKind
from tierfold.entities.kinds import Kind, LiteralKind
from tierfold.entities.make import ClassField, Given, Make, set_after
from tierfold.entities.source import Source
from tierfold.errors import ConfigError, ValidationError

__all__ = ["PydanticDataclassMake", "PydanticModelMake"]

_BY_NAME: Final = (2, 11)
"""The first version that validates by names whatever the aliases are."""
_WITH_VALUES: Final = frozenset({"assertion_error", "union_tag_invalid", "value_error"})
"""Errors whose messages may hold values of the document; so may those of kinds that pydantic itself does not know."""


class PydanticMake(Make):
    """What models and dataclasses have in common: pydantic validates on every save and on every read."""

    has_rules = True

    def __init__(self, cls: Any, config: Mapping[str, Any]) -> None:  # noqa: ANN401 - a class of pydantic
        super().__init__(cls)
        check_version(sys.modules["pydantic"].__version__)
        if config.get("extra") == "allow":
            reason = "extra='allow' has members without a type; declare them, or a field of type dict"
            raise ConfigError(f"{cls.__qualname__}: {reason}. What others store beside the fields is kept without it")
        self.is_frozen: bool = bool(config.get("frozen"))
        self._holds_enum_values = bool(config.get("use_enum_values"))
        self._stored: dict[str, str] = {}

    def names(self) -> Sequence[str]:
        return list(self.cls.__pydantic_fields__)

    def fields(self) -> Sequence[ClassField]:
        if not self.cls.__pydantic_complete__:
            self._complete()
        if not self.cls.__pydantic_complete__:
            reason = "annotations may use only names that are defined at module level"
            raise ConfigError(f"{self.cls.__qualname__} is not complete; {reason}")
        found = [self._field(name, info) for name, info in self.cls.__pydantic_fields__.items()]
        self._stored = {field.name: field.stored for field in found}
        return found

    @abstractmethod
    def _complete(self) -> None:
        """Resolve what the class could not resolve when it was made, if that is possible by now."""

    def _field(self, name: str, info: Any) -> ClassField:  # noqa: ANN401 - a FieldInfo
        required = bool(info.is_required())
        if info.exclude and required:
            raise ConfigError(f"field {name!r} of {self.cls.__qualname__} is excluded, so it needs a default")
        return ClassField(
            name=name,
            stored=info.serialization_alias or info.alias or name,
            annotation=info.annotation,
            argument="" if info.init is False else name,
            is_required=required,
            is_stored=not info.exclude,
        )

    def value_kind(self, source: Source, annotation: type, kind: Kind | None) -> Kind | None:
        if self._holds_enum_values and issubclass(annotation, Enum):
            return LiteralKind(source, tuple(member.value for member in annotation))
        if kind is None and hasattr(annotation, "__get_pydantic_core_schema__"):
            return ForeignKind(source, annotation)
        return kind

    def making(self, source: Source, given: Sequence[Given]) -> list[str]:
        taken = [each for each in given if each.field.argument]
        there = ", ".join(f"{each.field.name!r}: {each.value}" for each in taken if not each.lacking)
        validate = partial(self.cls.__pydantic_validator__.validate_python, by_alias=False, by_name=True)
        return [
            f"d = {{{there}}}",
            *(f"if not ({each.lacking}): d[{each.field.name!r}] = {each.value}" for each in taken if each.lacking),
            "try:",
            f"    o = {source.name(validate, 'validate')}(d)",
            f"except {source.once(sys.modules['pydantic'].ValidationError, 'refusal')} as error:",
            f"    raise {source.name(partial(refused, self._stored), 'refused')}(error) from error",
            *set_after(self, source, given),
        ]


class PydanticModelMake(PydanticMake):
    """A ``pydantic.BaseModel``, frozen or not. Its serialization alias, or else its alias, names the member.

    Raises:
        ConfigError: It is no map of declared fields.
    """

    def __init__(self, cls: Any) -> None:  # noqa: ANN401 - a model
        super().__init__(cls, cls.model_config)
        if cls.__pydantic_root_model__:
            raise ConfigError(f"{cls.__qualname__}: a RootModel has no named members; documents are maps")

    def _complete(self) -> None:
        self.cls.model_rebuild(raise_errors=False)

    def put(self, entity: Any, name: str, value: object) -> None:  # noqa: ANN401 - a model
        # Not by assignment, which a frozen model refuses, and another one may validate as the user's.
        entity.__dict__[name] = value
        entity.__pydantic_fields_set__.add(name)


class PydanticDataclassMake(PydanticMake):
    """A dataclass of ``pydantic.dataclasses``, frozen, slotted or not."""

    def __init__(self, cls: Any) -> None:  # noqa: ANN401 - such a dataclass
        super().__init__(cls, cls.__pydantic_config__)
        self.is_frozen: bool = self.is_frozen or bool(cls.__dataclass_params__.frozen)

    def _complete(self) -> None:
        sys.modules["pydantic.dataclasses"].rebuild_dataclass(self.cls, raise_errors=False)


def refused(stored: Mapping[str, str], error: Any) -> ValidationError:  # noqa: ANN401 - pydantic's, not imported
    """What pydantic says first, with the path in the document, and without the value.

    Args:
        stored: Names of members by names of fields.
    """
    first = error.errors(include_url=False, include_context=False)[0]
    kind, path = first["type"], "$"
    for part in first["loc"]:
        name = stored.get(part, part) if path == "$" else part
        path = f"{path}[{name}]" if isinstance(name, int) else member_path(path, name)
    known = get_args(sys.modules["pydantic_core"].core_schema.ErrorType)
    is_safe = kind in known and kind not in _WITH_VALUES
    reason = first["msg"] if is_safe else _without(first["input"], first["msg"], stored)
    return ValidationError(reason, path=path)


def _without(value: object, message: str, fields: Collection[str]) -> str:
    """The message with an ellipsis for each text or number inside the value that it names."""
    named = {text for text in map(str, _leaves(value)) if text and text in message and text not in fields}
    texts = "|".join(re.escape(text) for text in sorted(named, key=len, reverse=True))
    return re.sub(rf"(?<!\w)({texts})(?!\w)", "…", message) if texts else message


def _leaves(value: object) -> Iterator[object]:
    match value:
        case Mapping():
            for name, item in value.items():
                yield name
                yield from _leaves(item)
        case list() | tuple() | set() | frozenset():
            for item in value:
                yield from _leaves(item)
        case _:
            yield value


def check_version(version: str) -> None:
    """Refuse a pydantic that cannot do what is asked of it.

    Raises:
        ConfigError: It is too old.
    """
    if tuple(int(part) for part in version.split(".")[:2]) < _BY_NAME:
        raise ConfigError(f"pydantic 2.11 or newer is needed for its classes, not {version}")
