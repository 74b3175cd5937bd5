"""The key strategies of the core."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from tierfold.abc.keys import KeyStrategy
from tierfold.builtin.strategies import STRATEGIES, DateStrategy, GlobalStrategy, TemplateStrategy
from tierfold.entities.rules import parse_rule
from tierfold.errors import ConfigError, ValidationError

FIELDS = {"net": "ci", "site": "a.b", "time": datetime(2026, 11, 21, tzinfo=UTC), "none": None}


@pytest.mark.parametrize(
    ("strategy", "rule", "fields", "key"),
    [
        (GlobalStrategy(), "global", (), "global"),
        (TemplateStrategy("{net}.{site}"), "{net}.{site}", ("net", "site"), "ci.a%2Eb"),
        (TemplateStrategy("config"), "template(config)", (), "config"),
        (DateStrategy("time"), "date(time, month)", ("time",), "Quake.2026-11"),
        (DateStrategy("time", "year"), "date(time, year)", ("time",), "Quake.2026"),
        (DateStrategy("time", "day"), "date(time, day)", ("time",), "Quake.2026-11-21"),
    ],
    ids=lambda value: getattr(value, "rule", None),
)
def test_a_strategy_computes_a_key_and_its_rule_makes_it_again(
    strategy: KeyStrategy, rule: str, fields: tuple[str, ...], key: str
) -> None:
    assert (strategy.rule, strategy.fields, strategy.partition_of("Quake", FIELDS)) == (rule, fields, key)
    name, options = parse_rule(rule)
    (spec,) = [spec for spec in STRATEGIES if spec.name == name]
    again = spec.make(*options)
    assert (again.rule, again.partition_of("Quake", FIELDS)) == (rule, key)


def test_the_date_strategy_keeps_types_apart() -> None:
    keys = {DateStrategy("time").partition_of(name, FIELDS) for name in ("Quake", "Sensor", "Sensor.2")}
    assert keys == {"Quake.2026-11", "Sensor.2026-11", "Sensor%2E2.2026-11"}


def test_the_date_strategy_refuses_an_unknown_unit() -> None:
    with pytest.raises(ConfigError, match="year, month, day, not 'week'"):
        DateStrategy("time", "week")


def test_a_strategy_refuses_a_field_without_a_value() -> None:
    with pytest.raises(ValidationError):
        DateStrategy("none").partition_of("Quake", FIELDS)


@pytest.mark.parametrize("rule", ["", "Date", "date(time", "date)", "a b", "date(time)x", "date(f(x))"])
def test_what_is_no_rule_is_refused(rule: str) -> None:
    with pytest.raises(ConfigError, match="neither a template"):
        parse_rule(rule)


def test_a_rule_may_have_no_options() -> None:
    assert [parse_rule(rule) for rule in ("date", "date()", "date(a,b )")] == [
        ("date", ()),
        ("date", ()),
        ("date", ("a", "b")),
    ]
