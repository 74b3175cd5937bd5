"""Templates of partitions and ids."""

from __future__ import annotations

import enum
from datetime import UTC, date, datetime, timedelta, timezone, tzinfo
from decimal import Decimal
from typing import Any
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tierfold.entities.ids import check_key
from tierfold.entities.templates import partition_template, suffix_template
from tierfold.errors import ConfigError, ValidationError


class Net(enum.StrEnum):
    CI = "ci"


class Level(enum.Enum):
    HIGH = 3


class Nowhere(tzinfo):
    def utcoffset(self, dt: datetime | None) -> None:
        return None

    def dst(self, dt: datetime | None) -> None:
        return None

    def tzname(self, dt: datetime | None) -> None:
        return None


NOON = datetime(2026, 11, 21, 12, 30, 5, 42, tzinfo=UTC)
EVERYTHING = "%Y-%m-%d_%H%M%S%f_%j_%G%V%u"

values = st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=10)


@pytest.mark.parametrize(
    ("value", "text"),
    [
        ("ci", "ci"),
        ("Oslo S.", "Oslo%20S%2E"),
        ("漢", "%E6%BC%A2"),
        (-12, "-12"),
        (2**63 - 1, "9223372036854775807"),
        (UUID(int=1), "00000000-0000-0000-0000-000000000001"),
        (date(2026, 1, 2), "2026-01-02"),
        (Net.CI, "ci"),
        (Level.HIGH, "3"),
    ],
    ids=repr,
)
def test_a_placeholder_takes_the_text_of_a_value(value: object, text: str) -> None:
    assert partition_template("Quake.{net}").render({"net": value, "other": 1}) == f"Quake.{text}"


def test_an_int_that_is_too_large_is_called_so() -> None:
    with pytest.raises(ValidationError, match="64 bits") as caught:
        partition_template("{n}").render({"n": 10**30})
    assert caught.value.path == "$.n"


@pytest.mark.parametrize(
    "value",
    [None, "", True, 1.5, Decimal(1), b"x", NOON, ["x"], 2**63, "\ud800"],
    ids=lambda value: type(value).__name__ + repr(value)[:9],
)
def test_a_value_without_a_text_of_its_own_is_refused_with_its_path(value: object) -> None:
    with pytest.raises(ValidationError) as caught:
        partition_template("{net}").render({"net": value})
    assert caught.value.path == "$.net"


def test_a_missing_field_is_refused_with_its_path() -> None:
    with pytest.raises(ValidationError, match="missing") as caught:
        partition_template("{net}.{site}").render({"net": "ci"})
    assert caught.value.path == "$.site"


@given(st.tuples(values, values), st.tuples(values, values))
def test_no_two_tuples_of_values_share_a_partition(one: tuple[str, str], other: tuple[str, str]) -> None:
    template = partition_template("x{a}y.{b}")
    keys = [template.render({"a": a, "b": b}) for a, b in (one, other)]
    assert (keys[0] == keys[1]) == (one == other)
    assert all(check_key(key) for key in keys)


def test_a_dot_in_a_value_is_no_separator() -> None:
    template = partition_template("{a}.{b}")
    assert template.render({"a": "a.b", "b": "c"}) != template.render({"a": "a", "b": "b.c"})


@pytest.mark.parametrize(
    "value",
    [
        NOON,
        NOON.astimezone(timezone(timedelta(hours=13))),
        "2026-11-21T12:30:05.000042Z",
        "2026-11-21T14:30:05.000042+02:00",
    ],
    ids=repr,
)
def test_a_format_takes_the_parts_of_a_time_in_utc(value: object) -> None:
    rendered = suffix_template(f"{{time:{EVERYTHING}}}").render({"time": value})
    assert rendered == "2026-11-21_123005000042_325_2026476"


@pytest.mark.parametrize("value", [date(2026, 11, 21), "2026-11-21"], ids=repr)
def test_a_format_takes_the_parts_of_a_date(value: object) -> None:
    assert partition_template("Quake.{time:%Y-%m}").render({"time": value}) == "Quake.2026-11"


def test_a_year_always_has_four_digits() -> None:
    assert partition_template("{time:%Y.%G}").render({"time": date(7, 6, 5)}) == "0007.0007"


@pytest.mark.parametrize(
    ("value", "reason"),
    [
        (datetime(2026, 11, 21), "needs a time zone"),
        ("2026-11-21T12:00:00", "needs a time zone"),
        (datetime(2026, 11, 21, tzinfo=Nowhere()), "needs a time zone"),
        (datetime.min.replace(tzinfo=timezone(timedelta(hours=1))), "years 1 to 9999"),
        (date(2026, 11, 21), "no time of day"),
        ("yesterday", "no ISO date"),
        (1517966773840, "int is no time"),
        (None, "NoneType is no time"),
    ],
    ids=repr,
)
def test_what_is_no_point_in_time_is_refused(value: object, reason: str) -> None:
    with pytest.raises(ValidationError, match=reason) as caught:
        partition_template("{time:%H}").render({"time": value})
    assert caught.value.path == "$.time"


@pytest.mark.parametrize(
    "text",
    [
        "{a}{b}",
        "{a}-{b}",
        "{a}.x.{b}_{c}",
        "{a",
        "a}",
        "{}",
        "{0}",
        "{a.b}",
        "{a[0]}",
        "{a!r}",
        "{a:x}",
        "{a:%B}",
        "{a:%}",
        "{a:%Y %m}",
        "{{a}}",
        "x y.{a}",
        "{a}.",
        ".{a}",
        "{a}..{b}",
        "é{a}",
        "",
        "100%{a}",
    ],
)
def test_a_partition_template_that_could_mislead_is_refused(text: str) -> None:
    with pytest.raises(ConfigError, match="template"):
        partition_template(text)


@pytest.mark.parametrize("text", ["{a:%Y}{b}", "{a:%Y%m}-{b}.{c:%d}", "global", "x.{a}"])
def test_texts_of_fixed_width_need_no_dot_between_them(text: str) -> None:
    assert partition_template(text).text == text


def test_a_template_names_each_field_once() -> None:
    assert partition_template("{a}.{b:%Y}.{b:%m}.{a}").fields == ("a", "b")


def test_a_key_that_gets_too_long_is_refused() -> None:
    with pytest.raises(ValidationError, match="1 to 255"):
        partition_template("{a}").render({"a": "x" * 256})


@pytest.mark.parametrize("value", ["a.b", "a b", "é", "x" * 65, "\ud800", ""])
def test_a_suffix_is_never_escaped(value: str) -> None:
    with pytest.raises(ValidationError) as caught:
        suffix_template("{code}").render({"code": value})
    assert caught.value.path == "$.code"


def test_a_suffix_that_would_have_to_be_escaped_says_what_to_do() -> None:
    with pytest.raises(ValidationError, match=r"not 'a b'; a template of an id escapes nothing.* name a field"):
        suffix_template("{code}").render({"code": "a b"})
    with pytest.raises(ValidationError) as missing:
        suffix_template("{code}").render({"code": ""})
    assert "escapes" not in str(missing.value)


def test_a_suffix_that_gets_too_long_is_refused() -> None:
    with pytest.raises(ValidationError, match="suffix"):
        suffix_template("{a}-{b}").render({"a": "x" * 40, "b": "y" * 40})


@pytest.mark.parametrize("text", ["{a}.{b}", "a b", "", "x" * 65])
def test_a_suffix_template_with_other_symbols_is_refused(text: str) -> None:
    with pytest.raises(ConfigError, match="suffix"):
        suffix_template(text)


def test_a_suffix_joins_sensor_and_time_as_the_edge_logger_does() -> None:
    template = suffix_template("{sensor}-{time:%H%M%S%f}")
    fields: dict[str, Any] = {"sensor": "roof", "time": "2026-11-21T10:00:00Z", "value": 21.5}
    assert template.render(fields) == "roof-100000000000"
