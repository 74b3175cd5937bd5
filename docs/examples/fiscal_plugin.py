"""A plugin with one key strategy: partitions by fiscal year, as `fiscal(day, 4)` in declarations."""

from collections.abc import Mapping
from datetime import date

import tierfold
from tierfold import KeyStrategySpec, hookimpl
from tierfold.spi import ConfigError, KeyStrategy, ValidationError


class FiscalYear(KeyStrategy):
    """``fiscal(day, 4)``: partitions such as ``FY2026``, which begins in April, by the field ``day``."""

    def __init__(self, field: str, first_month: str = "1") -> None:
        if not first_month.isdecimal() or not 1 <= int(first_month) <= 12:
            raise ConfigError(f"a fiscal year begins in a month from 1 to 12, not in {first_month!r}")
        self._field, self._first_month = field, int(first_month)

    @property
    def rule(self) -> str:
        return f"fiscal({self._field}, {self._first_month})"

    @property
    def fields(self) -> tuple[str, ...]:
        return (self._field,)

    def partition_of(self, type_name: str, fields: Mapping[str, object]) -> str:
        value = fields.get(self._field)
        try:  # the field of an entity is a date, the member of its document is a text
            day = value if isinstance(value, date) else date.fromisoformat(str(value))
        except ValueError:
            raise ValidationError("a fiscal year is found by a date", path=f"$.{self._field}") from None
        return f"FY{day.year if day.month >= self._first_month else day.year - 1:04d}"


class Fiscal:
    @hookimpl
    def provide_key_strategies(self) -> list[KeyStrategySpec]:
        return [KeyStrategySpec("fiscal", FiscalYear)]


class Invoice(tierfold.Entity, partition="fiscal(day, 4)", id="{number}"):
    number: str
    day: date
    cents: int
