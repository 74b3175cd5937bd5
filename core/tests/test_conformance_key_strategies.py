"""The key strategies of the core keep the contract, and a careless one does not."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC, date, datetime, timedelta

import pytest

from tierfold.abc.keys import KeyStrategy
from tierfold.builtin.strategies import DateStrategy, GlobalStrategy, TemplateStrategy
from tierfold.errors import ValidationError
from tierfold.specs import KeyStrategySpec
from tierfold.testing.keys import KeyStrategySuite

LAST = datetime(2026, 11, 30, 23, 59, 59, 999999, tzinfo=UTC)


class TestGlobalStrategy(KeyStrategySuite):
    def spec(self) -> KeyStrategySpec:
        return KeyStrategySpec("global", GlobalStrategy)

    def options(self) -> tuple[str, ...]:
        return ()

    def different(self) -> Sequence[Mapping[str, object]]:
        return [{"site": "oslo"}]


class TestTemplateStrategy(KeyStrategySuite):
    def spec(self) -> KeyStrategySpec:
        return KeyStrategySpec("template", TemplateStrategy)

    def options(self) -> tuple[str, ...]:
        return ("x{site}.{room}.{time:%Y-%m}",)

    def different(self) -> Sequence[Mapping[str, object]]:
        return [
            {"site": "a.b", "room": "c", "time": LAST},
            {"site": "a", "room": "b.c", "time": LAST},
            {"site": "a%2Eb", "room": "c", "time": LAST},
            {"site": "a", "room": 7, "time": LAST},
            {"site": "a", "room": 7, "time": LAST + timedelta(microseconds=1)},
            {"site": "A", "room": 7, "time": LAST},
        ]


class TestConstantTemplate(TestGlobalStrategy):
    def spec(self) -> KeyStrategySpec:
        return KeyStrategySpec("template", TemplateStrategy)

    def options(self) -> tuple[str, ...]:
        return ("config",)


class TestDateStrategy(KeyStrategySuite):
    def spec(self) -> KeyStrategySpec:
        return KeyStrategySpec("date", DateStrategy)

    def options(self) -> tuple[str, ...]:
        return ("time", "day")

    def different(self) -> Sequence[Mapping[str, object]]:
        return [{"time": LAST}, {"time": LAST + timedelta(microseconds=1)}, {"time": date(2026, 11, 29)}]


class Careless(KeyStrategy):
    """Joins what it is given, in local time."""

    def __init__(self, *fields: str) -> None:
        self._fields = fields

    @property
    def rule(self) -> str:
        return "careless"

    @property
    def fields(self) -> tuple[str, ...]:
        return self._fields

    def partition_of(self, type_name: str, fields: Mapping[str, object]) -> str:
        values = [fields.get(name) for name in self._fields]
        texts = [value.astimezone().strftime("%H") if isinstance(value, datetime) else str(value) for value in values]
        return ".".join(texts)


class CarelessSuite(KeyStrategySuite):
    def spec(self) -> KeyStrategySpec:
        return KeyStrategySpec("careless", Careless)

    def options(self) -> tuple[str, ...]:
        return ("site", "room", "time")

    def different(self) -> Sequence[Mapping[str, object]]:
        return [{"site": "a.b", "room": "c", "time": LAST}, {"site": "a", "room": "b.c", "time": LAST}]


@pytest.mark.parametrize(
    ("test", "error"),
    [
        ("test_different_fields_have_different_keys", AssertionError),
        ("test_a_separator_in_a_value_separates_nothing", AssertionError),
        ("test_a_key_is_a_logical_key_whatever_the_values", ValidationError),
        ("test_a_field_without_a_value_is_refused_with_its_path", pytest.fail.Exception),
        ("test_its_rule_makes_it_again", AssertionError),
    ],
)
def test_the_suite_catches_a_strategy_that_only_joins_its_values(test: str, error: type[BaseException]) -> None:
    with pytest.raises(error):
        getattr(CarelessSuite(), test)(Careless("site", "room", "time"))


def test_the_suite_catches_a_strategy_that_depends_on_the_time_zone(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(AssertionError):
        CarelessSuite().test_the_same_fields_have_the_same_key_in_another_time_zone(Careless("time"), monkeypatch)
