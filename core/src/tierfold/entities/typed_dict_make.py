"""Typed dicts, of `typing` and of `typing_extensions`."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from types import SimpleNamespace
from typing import Any, Final, get_args, get_origin

from msgspec import UNSET

from tierfold.entities.hints import annotations_of
from tierfold.entities.make import MISSING, ClassField, Given, Make
from tierfold.entities.source import Source

__all__ = ["TypedDictMake"]

_QUALIFIERS: Final = frozenset({"Required", "NotRequired", "ReadOnly"})


class TypedDictMake(Make):
    """A ``TypedDict``. Its objects are dicts with no other members than the declared ones."""

    def __init__(self, cls: Any) -> None:  # noqa: ANN401 - a TypedDict
        super().__init__(cls)
        self._names = frozenset(cls.__annotations__)
        self.id_of: Callable[[Any], str] = lambda entity: entity.get("id", "")

    def names(self) -> Sequence[str]:
        return list(self.cls.__annotations__)

    def fields(self) -> Sequence[ClassField]:
        found = []
        for name, qualified in annotations_of(self.cls).items():
            annotation, qualifiers = _unqualified(qualified)
            # Of an annotation that was text when the class was made, `__required_keys__` does not know the qualifiers.
            lacks = name not in self.cls.__required_keys__ and "Required" not in qualifiers
            may_lack = lacks or "NotRequired" in qualifiers
            found.append(
                ClassField(name=name, stored=name, annotation=annotation, is_required=not may_lack, may_lack=may_lack)
            )
        return found

    def is_object(self, value: object) -> bool:
        return type(value) is dict

    def get(self, entity: Any, name: str) -> object:  # noqa: ANN401 - a dict
        return entity.get(name, MISSING)

    def fields_of(self, entity: Any, names: Sequence[str]) -> dict[str, object]:  # noqa: ANN401
        return {name: entity[name] for name in names if name in entity}

    def attributes(self, entity: Any, names: Sequence[str]) -> Any:  # noqa: ANN401
        return SimpleNamespace(**(dict.fromkeys(names, UNSET) | self.fields_of(entity, names)))

    def put(self, entity: Any, name: str, value: object) -> None:  # noqa: ANN401
        entity[name] = value

    def unknown(self, entity: Any) -> Sequence[str]:  # noqa: ANN401
        return [name for name in entity if name not in self._names]

    def guard(self, source: Source, value: str) -> str:
        return f"type({value}) is dict"

    def tests(self, source: Source) -> Sequence[str]:
        return [f"{source.once(self._names, 'names')}.issuperset(v)"]

    def reading(self, source: Source, field: ClassField) -> str:
        return f"v.get({field.name!r}, UNSET)" if field.may_lack else f"v[{field.name!r}]"

    def making(self, source: Source, given: Sequence[Given]) -> list[str]:
        there = ", ".join(f"{each.field.name!r}: {each.value}" for each in given if not each.lacking)
        perhaps = [each for each in given if each.lacking]
        setting = [f"if not ({each.lacking}): {self.setting(source, each.field.name, each.value)}" for each in perhaps]
        return [f"o = {{{there}}}", *setting]

    def setting(self, source: Source, name: str, value: str) -> str:
        return f"o[{name!r}] = {value}"


def _unqualified(annotation: Any) -> tuple[Any, set[str]]:  # noqa: ANN401 - annotations have no common type
    """An annotation without ``Required``, ``NotRequired`` and ``ReadOnly``, and which of them it had."""
    found: set[str] = set()
    while (name := getattr(get_origin(annotation), "_name", None)) in _QUALIFIERS:
        found.add(name)
        (annotation,) = get_args(annotation)
    return annotation, found
