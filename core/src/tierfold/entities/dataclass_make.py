"""Dataclasses, of which `tierfold.Entity` is one."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import MISSING, fields
from typing import Any

from tierfold.entities.hints import annotations_of
from tierfold.entities.make import ClassField, Given, Make, default_of
from tierfold.entities.source import Source

__all__ = ["DataclassMake"]


class DataclassMake(Make):
    """A dataclass, frozen, slotted or not. Objects are made without ``__init__``; ``__post_init__`` runs."""

    def __init__(self, cls: Any) -> None:  # noqa: ANN401 - a dataclass
        super().__init__(cls)
        self.is_frozen: bool = bool(cls.__dataclass_params__.frozen)
        self.is_read_back: bool = hasattr(cls, "__post_init__")

    def names(self) -> Sequence[str]:
        return [item.name for item in fields(self.cls)]

    def fields(self) -> Sequence[ClassField]:
        annotations = annotations_of(self.cls)
        return [
            ClassField(
                name=item.name,
                stored=item.name,
                annotation=annotations[item.name],
                **default_of(item.default, item.default_factory, MISSING),
            )
            for item in fields(self.cls)
        ]

    def making(self, source: Source, given: Sequence[Given]) -> list[str]:
        made = f"o = {source.once(object.__new__, 'new')}({source.once(self.cls, 'cls')})"
        lines = [made, *(self.setting(source, each.field.name, each.value) for each in given)]
        return [*lines, "o.__post_init__()"] if self.is_read_back else lines

    def setting(self, source: Source, name: str, value: str) -> str:
        if self.is_frozen:
            return f"{source.once(object.__setattr__, 'put')}(o, {name!r}, {value})"
        return f"o.{name} = {value}"
