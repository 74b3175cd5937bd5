"""What the canonical form is, and what it refuses."""

from __future__ import annotations

import enum
from collections import OrderedDict
from datetime import UTC, datetime, timedelta, timezone, tzinfo
from decimal import Decimal
from math import copysign, inf, nan
from types import MappingProxyType
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tierfold.codec import DEPTH_LIMIT, check_canonical, decode, encode
from tierfold.errors import PayloadTooLargeError, ValidationError
from tierfold.testing.strategies import documents, scalars


class Colour(enum.StrEnum):
    RED = "red"


class LibraryTime(datetime):
    """What freezegun and pendulum do."""


class Nowhere(tzinfo):
    """A time zone that does not know its offset."""

    def utcoffset(self, dt: datetime | None) -> None:
        return None

    def dst(self, dt: datetime | None) -> None:
        return None

    def tzname(self, dt: datetime | None) -> None:
        return None


def maps(levels: int) -> dict[str, Any]:
    document: dict[str, Any] = {}
    for _ in range(levels - 1):
        document = {"a": document}
    return document


def lists(levels: int) -> dict[str, Any]:
    inner: list[Any] = []
    for _ in range(levels - 2):
        inner = [inner]
    return {"a": inner}


def test_keys_are_sorted_by_their_utf8_bytes_at_every_level() -> None:
    document = {"\U0001f600": 1, "\uffff": 2, "b": {"z": 1, "": 2}, "aa": 3, "a": 4, "Z": 5}
    assert list(decode(encode(document))) == ["Z", "a", "aa", "b", "\uffff", "\U0001f600"]
    assert encode({"b": {"z": 1, "": 2}}) == b"\x81\xa1b\x82\xa0\x02\xa1z\x01"


def test_the_order_of_insertion_makes_no_difference() -> None:
    assert encode({"a": 1, "b": {"c": 2, "d": 3}}) == encode({"b": {"d": 3, "c": 2}, "a": 1})


def test_an_int_and_the_float_of_the_same_value_stay_distinct() -> None:
    assert encode({"a": 1}) != encode({"a": 1.0})
    assert [type(value) for value in decode(encode({"a": 1, "b": 1.0})).values()] == [int, float]


def test_a_float_always_takes_64_bits() -> None:
    assert encode({"a": 0.5}) == b"\x81\xa1a\xcb" + bytes.fromhex("3fe0000000000000")


def test_minus_zero_is_stored_as_zero_and_the_argument_keeps_it() -> None:
    inner = {"b": -0.0}
    assert encode({"a": [inner], "c": -0.0}) == encode({"a": [{"b": 0.0}], "c": 0.0})
    assert copysign(1.0, inner["b"]) == -1.0


@pytest.mark.parametrize("value", [-(2**63), 2**63 - 1, 0, -1])
def test_the_bounds_of_64_bit_ints_are_stored(value: int) -> None:
    assert decode(encode({"a": value})) == {"a": value}


def test_a_datetime_is_stored_as_its_instant_in_utc() -> None:
    instant = datetime(2026, 11, 21, 10, 0, 0, 123456, tzinfo=UTC)
    elsewhere = instant.astimezone(timezone(timedelta(hours=5, minutes=30)))
    assert encode({"a": elsewhere}) == encode({"a": instant})
    stored = decode(encode({"a": elsewhere}))["a"]
    assert isinstance(stored, datetime)
    assert stored == instant
    assert stored.tzinfo is UTC


def test_a_datetime_of_a_subclass_is_stored_like_a_plain_one() -> None:
    plain = datetime(2026, 11, 21, tzinfo=UTC)
    assert encode({"a": [LibraryTime(2026, 11, 21, tzinfo=UTC)]}) == encode({"a": [plain]})


@pytest.mark.parametrize("moment", [datetime.min.replace(tzinfo=UTC), datetime.max.replace(tzinfo=UTC)], ids=str)
def test_the_first_and_last_moment_are_stored(moment: datetime) -> None:
    assert decode(encode({"a": moment})) == {"a": moment}


def test_any_mapping_may_be_the_document() -> None:
    assert encode(MappingProxyType({"b": 1, "a": 2})) == encode({"a": 2, "b": 1})


CANNOT: list[tuple[object, str, str]] = [
    (nan, "$.a[2].b", "NaN and infinity"),
    (-inf, "$.a[2].b", "NaN and infinity"),
    (2**63, "$.a[2].b", "64 bits"),
    (-(2**63) - 1, "$.a[2].b", "64 bits"),
    (datetime(2026, 11, 21), "$.a[2].b", "time zone"),
    (datetime(2026, 11, 21, tzinfo=Nowhere()), "$.a[2].b", "time zone"),
    (datetime.min.replace(tzinfo=timezone(timedelta(hours=1))), "$.a[2].b", "years 1 to 9999"),
    ("\ud800", "$.a[2].b", "lone surrogate"),
    ({"\udfff": 1}, "$.a[2].b['\\udfff']", "lone surrogate"),
    ({1: 2}, "$.a[2].b", "keys must be text, not int"),
    ({Colour.RED: 2}, "$.a[2].b", "keys must be text, not Colour"),
    ({None: 2, "x": -0.0}, "$.a[2].b", "keys must be text, not NoneType"),
    ({"x y": {1, 2}}, "$.a[2].b['x y']", "a set cannot"),
    ((1, 2), "$.a[2].b", "a tuple cannot"),
    (Decimal(1), "$.a[2].b", "a Decimal cannot"),
    (Colour.RED, "$.a[2].b", "a Colour cannot"),
    (bytearray(b"x"), "$.a[2].b", "a bytearray cannot"),
    (OrderedDict(x=1), "$.a[2].b", "a OrderedDict cannot"),
    (object(), "$.a[2].b", "a object cannot"),
    (1j, "$.a[2].b", "a complex cannot"),
]


@pytest.mark.parametrize(
    ("value", "path", "reason"), CANNOT, ids=[f"{row[2]}-{number}" for number, row in enumerate(CANNOT)]
)
def test_what_cannot_be_stored_is_refused_with_its_path(value: object, path: str, reason: str) -> None:
    with pytest.raises(ValidationError, match=reason) as caught:
        encode({"a": [0, 1, {"b": value}]}, id="x.y")
    assert (caught.value.path, caught.value.id) == (path, "x.y")


@pytest.mark.parametrize("shape", [maps, lists])
def test_64_levels_are_stored_and_65_are_refused(shape: Any) -> None:
    deepest = shape(DEPTH_LIMIT)
    assert decode(encode(deepest)) == deepest
    with pytest.raises(ValidationError, match="64 levels") as caught:
        encode(shape(DEPTH_LIMIT + 1))
    assert caught.value.path.count("a") + caught.value.path.count("[") == DEPTH_LIMIT


def test_a_document_that_holds_itself_is_refused() -> None:
    document: dict[str, Any] = {}
    document["a"] = document
    with pytest.raises(ValidationError, match="64 levels"):
        encode(document)


def test_a_document_over_the_limit_names_both_sizes() -> None:
    assert len(encode({"a": "x" * 95}, limit_bytes=100)) == 100
    with pytest.raises(PayloadTooLargeError) as caught:
        encode({"a": "x" * 96}, limit_bytes=100, id="x.y")
    assert (caught.value.size_bytes, caught.value.limit_bytes, caught.value.id) == (101, 100, "x.y")


def test_the_default_limit_is_one_mebibyte() -> None:
    with pytest.raises(PayloadTooLargeError):
        encode({"a": b"x" * 2**20})


FOREIGN = {
    "unsorted keys": "82a162 01a161 02",
    "repeated key": "82a161 01a161 02",
    "long int": "81a161 cc01",
    "long text": "81d90161 01",
    "32-bit float": "81a161 ca3f000000",
    "minus zero": "81a161 cb8000000000000000",
    "NaN": "81a161 cb7ff8000000000000",
    "unsigned beyond 63 bits": "81a161 cf8000000000000000",
    "foreign extension": "81a161 d40501",
    "long timestamp": "81a161 d7ff0000000000000005",
    "nanoseconds": "81a161 d7ff0000000400000005",
    "key that is no text": "8101 02",
    "nested key that is no text": "81a161 8101 02",
    "no map": "9101",
    "nothing": "",
    "cut off": "81a161",
    "trailing byte": "8000",
    "invalid UTF-8": "81a161 a1ff",
    "unused opcode": "81a161 c1",
    "far timestamp": "81a161 c70cff 00000000 4000000000000000",
    "deep": "81a161" + "91" * 5000 + "01",
}


@pytest.mark.parametrize("hexadecimal", FOREIGN.values(), ids=FOREIGN)
def test_bytes_that_are_not_canonical_are_refused(hexadecimal: str) -> None:
    with pytest.raises(ValidationError):
        check_canonical(bytes.fromhex(hexadecimal))


def test_foreign_bytes_over_the_limit_are_refused_before_they_are_read() -> None:
    with pytest.raises(PayloadTooLargeError):
        check_canonical(b"\xff" * 101, limit_bytes=100)


def test_decode_refuses_what_is_no_document() -> None:
    with pytest.raises(ValidationError, match="no document"):
        decode(b"\xa1a")


@given(documents())
def test_a_document_comes_back_as_it_was(document: dict[str, Any]) -> None:
    assert decode(encode(document)) == document


@given(documents())
def test_encoding_what_was_decoded_gives_the_same_bytes(document: dict[str, Any]) -> None:
    data = encode(document)
    assert encode(decode(data)) == data
    check_canonical(data)


@given(documents())
def test_any_other_order_of_members_is_not_canonical(document: dict[str, Any]) -> None:
    data = encode(document)
    reversed_ = msgspec.msgpack.encode(dict(reversed(decode(data).items())))
    if reversed_ != data:
        with pytest.raises(ValidationError, match="not in canonical form"):
            check_canonical(reversed_)


@given(
    st.recursive(
        scalars() | st.floats() | st.integers() | st.text(),
        lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    )
)
def test_everything_is_either_stored_exactly_or_refused_with_a_path(value: Any) -> None:
    try:
        stored = decode(encode({"a": value}))
    except ValidationError as error:
        stored = {"a": value if error.path.startswith("$.a") else None}
    assert stored == {"a": value}
