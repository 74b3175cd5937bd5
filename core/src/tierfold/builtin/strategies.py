"""The key strategies that come with the core: one partition for all, templates, and calendar partitions."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from tierfold.abc.keys import KeyStrategy
from tierfold.entities.ids import GLOBAL_KEY, escape
from tierfold.entities.rules import GLOBAL_RULE
from tierfold.entities.templates import partition_template
from tierfold.errors import ConfigError
from tierfold.specs import KeyStrategySpec

__all__ = ["STRATEGIES", "DateStrategy", "GlobalStrategy", "TemplateStrategy"]

_FORMATS: Final = {"year": "%Y", "month": "%Y-%m", "day": "%Y-%m-%d"}


class GlobalStrategy(KeyStrategy):
    """Everything in the partition ``global``."""

    @property
    def rule(self) -> str:
        return GLOBAL_RULE

    @property
    def fields(self) -> tuple[str, ...]:
        return ()

    def partition_of(self, type_name: str, fields: Mapping[str, object]) -> str:
        return GLOBAL_KEY


class TemplateStrategy(KeyStrategy):
    """What a template such as ``{site}.{room}`` yields; entities of different types share partitions."""

    def __init__(self, text: str) -> None:
        self._template = partition_template(text)

    @property
    def rule(self) -> str:
        text = self._template.text
        return text if "{" in text else f"template({text})"

    @property
    def fields(self) -> tuple[str, ...]:
        return self._template.fields

    def partition_of(self, type_name: str, fields: Mapping[str, object]) -> str:
        return self._template.render(fields)


class DateStrategy(KeyStrategy):
    """One partition for each type and year, month or day of a field: ``Sensor.2026-11``.

    The field holds an aware datetime (its UTC day counts), a date, or ISO text of either.
    """

    def __init__(self, field: str, unit: str = "month") -> None:
        if unit not in _FORMATS:
            raise ConfigError(f"the strategy 'date' knows {', '.join(_FORMATS)}, not {unit!r}")
        self._unit = unit
        self._template = partition_template(f"{{{field}:{_FORMATS[unit]}}}")

    @property
    def rule(self) -> str:
        return f"date({self._template.fields[0]}, {self._unit})"

    @property
    def fields(self) -> tuple[str, ...]:
        return self._template.fields

    def partition_of(self, type_name: str, fields: Mapping[str, object]) -> str:
        return f"{escape(type_name)}.{self._template.render(fields)}"


STRATEGIES: Final = (
    KeyStrategySpec("global", GlobalStrategy),
    KeyStrategySpec("template", TemplateStrategy),
    KeyStrategySpec("date", DateStrategy),
)
