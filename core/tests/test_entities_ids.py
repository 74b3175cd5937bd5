"""Ids, logical keys, entity keys and prefixes."""

from __future__ import annotations

import re
from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tierfold.entities.ids import (
    KEY_LIMIT,
    SUFFIX_LENGTH,
    check_key,
    check_prefix,
    check_suffix,
    entity_key,
    escape,
    logical_key,
    new_suffixes,
    split_id,
)
from tierfold.errors import ConfigError, ValidationError

encodable = st.text(st.characters(exclude_categories=["Cs"]))


def test_an_id_splits_at_its_last_dot() -> None:
    assert split_id("Sensor.2026-11.a_b-C") == ("Sensor.2026-11", "a_b-C")


@pytest.mark.parametrize(
    "id", ["", "x", ".x", "a.", "a..b", "a.b c", "a.b%20", "ä.b", "a/b.c", f"a.{'x' * 65}", f"{'k' * 256}.x"]
)
def test_what_is_no_id_is_refused(id: str) -> None:
    with pytest.raises(ValidationError, match="an id is") as caught:
        split_id(id)
    assert caught.value.path == "$.id"


def test_a_random_suffix_has_21_symbols_and_comes_from_one_draw() -> None:
    draws: list[int] = []

    def draw(count: int) -> bytes:
        draws.append(count)
        return Random(1).randbytes(count)

    suffixes = new_suffixes(3, draw)
    assert draws == [3 * SUFFIX_LENGTH]
    assert len(set(suffixes)) == 3
    assert all(re.fullmatch("[A-Za-z0-9_-]{21}", suffix) for suffix in suffixes)


def test_every_symbol_of_a_suffix_is_equally_likely() -> None:
    symbols = "".join(new_suffixes(256, lambda count: bytes(number % 256 for number in range(count))))
    assert {symbols.count(symbol) for symbol in set(symbols)} == {256 * SUFFIX_LENGTH // 64}
    assert len(set(symbols)) == 64


def test_escaping_leaves_safe_text_alone_and_writes_the_rest_as_utf8() -> None:
    assert [escape(text) for text in ("Az09", "a_b-c", "a.b", "a b%", "ø", "²")] == [
        "Az09",
        "a_b-c",
        "a%2Eb",
        "a%20b%25",
        "%C3%B8",
        "%C2%B2",
    ]


@given(encodable, encodable)
def test_different_texts_stay_different_when_escaped(one: str, other: str) -> None:
    assert (escape(one) == escape(other)) == (one == other)


@given(encodable.filter(bool))
def test_escaped_text_is_one_segment_of_a_logical_key(text: str) -> None:
    escaped = escape(text)
    assert re.fullmatch("[A-Za-z0-9_%-]+", escaped)


@pytest.mark.parametrize("key", ["global", "a.b", "Sensor.2026-11", "a%2Eb", "x" * KEY_LIMIT])
def test_a_logical_key_is_returned(key: str) -> None:
    assert check_key(key) == key


@pytest.mark.parametrize("key", ["", ".", "a.", ".a", "a..b", "a b", "ä", "x" * (KEY_LIMIT + 1)])
def test_what_is_no_logical_key_is_refused(key: str) -> None:
    with pytest.raises(ValidationError, match="a logical key has"):
        check_key(key)


def test_what_is_no_suffix_is_refused() -> None:
    assert check_suffix("x" * 64) == "x" * 64
    with pytest.raises(ValidationError, match="suffix") as caught:
        check_suffix("a.b", "$.sensor")
    assert caught.value.path == "$.sensor"


@pytest.mark.parametrize("prefix", ["", "a.b", "ä", "x" * 65])
def test_a_prefix_that_could_be_taken_for_another_is_refused(prefix: str) -> None:
    with pytest.raises(ConfigError, match="prefix"):
        check_prefix(prefix)


def test_an_entity_key_is_prefix_and_logical_key() -> None:
    assert entity_key(check_prefix("app"), "Sensor.2026") == "app.Sensor.2026"
    assert logical_key("app", "app.Sensor.2026") == "Sensor.2026"


@pytest.mark.parametrize("name", ["apple.x", "app", "other.app.x"])
def test_an_entity_key_of_another_prefix_has_no_logical_key_here(name: str) -> None:
    assert logical_key("app", name) is None


def test_an_entity_where_its_id_should_be_is_told_apart() -> None:
    class Thing:
        id = "a.b"

    with pytest.raises(ValidationError, match="not `Thing`; pass its `id`"):
        split_id(Thing())  # type: ignore[arg-type]
    with pytest.raises(ValidationError, match="not `int`") as caught:
        split_id(5)  # type: ignore[arg-type]
    assert "pass" not in str(caught.value)
