"""`F` and Mango JSON spell the same conditions; what makes no sense is refused where it is written."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta, timezone
from decimal import Decimal
from enum import Enum, IntEnum
from pathlib import PurePosixPath
from typing import Any
from uuid import UUID

import msgspec
import pytest

from tierfold.errors import QueryError
from tierfold.where.field import F
from tierfold.where.mango import from_mango, to_mango
from tierfold.where.order import order_key
from tierfold.where.tree import EVERYTHING, Both, Compare, Condition, Either, Exists, Not, paths_of

AT = datetime(2026, 11, 21, 10, tzinfo=UTC)
ID = UUID("12345678-1234-5678-1234-567812345678")


class Net(Enum):
    CI = "ci"


class Level(IntEnum):
    HIGH = 10
    LOW = 9


def compare(operator: Any, value: object, *path: str) -> Compare:
    return Compare(path or ("a",), operator, value)


# --- both spellings --------------------------------------------------------------------------------------------------

B_BELOW_3 = compare("lt", 3, "b")
SPELLINGS: list[tuple[Condition, dict[str, Any], Condition]] = [
    (F.a == 1, {"a": 1}, compare("eq", 1)),
    (F.a == None, {"a": None}, compare("eq", None)),  # noqa: E711 - a field compares with None like with any value
    (F.a != 1, {"a": {"$ne": 1}}, Not(compare("eq", 1))),
    (F.a < 1, {"a": {"$lt": 1}}, compare("lt", 1)),
    (F.a <= 1, {"a": {"$lte": 1}}, compare("lte", 1)),
    (F.a > 1, {"a": {"$gt": 1}}, compare("gt", 1)),
    (F.a >= 1, {"a": {"$gte": 1}}, compare("gte", 1)),
    (F.a.is_in([1, "x"]), {"a": {"$in": [1, "x"]}}, compare("in", [1, "x"])),
    (F.a.is_in({"c", "a", "b"}), {"a": {"$in": ["a", "b", "c"]}}, compare("in", ["a", "b", "c"])),
    (~F.a.is_in((1,)), {"a": {"$nin": (1,)}}, Not(compare("in", [1]))),
    (F.a.startswith("x"), {"a": {"$beginsWith": "x"}}, compare("startswith", "x")),
    (F.a.contains("x"), {"a": {"$all": ["x"]}}, compare("contains", "x")),
    (F.a.exists(), {"a": {"$exists": True}}, Exists(("a",))),
    (~F.a.exists(), {"a": {"$exists": False}}, Not(Exists(("a",)))),
    (F.a.b == 1, {"a.b": 1}, compare("eq", 1, "a", "b")),
    (F.a.b == 1, {"a": {"b": 1}}, compare("eq", 1, "a", "b")),
    (F["a b"]["c.d"] == 1, {"a b.c\\.d": 1}, compare("eq", 1, "a b", "c.d")),
    (F["$x"] == 1, {"\\$x": 1}, compare("eq", 1, "$x")),
    (F["x\\"] == 1, {"x\\\\": 1}, compare("eq", 1, "x\\")),
    (F.a == {}, {"a": {}}, compare("eq", {})),
    (F.a == {"b": 1}, {"a": {"$eq": {"b": 1}}}, compare("eq", {"b": 1})),
    (F.a == AT, {"a": {"$date": "2026-11-21T11:00:00+01:00"}}, compare("eq", AT)),
    (F.a == b"\x00", {"a": {"$base64": "AA=="}}, compare("eq", b"\x00")),
    (F.a.is_in([AT]), {"a": {"$in": [{"$date": "2026-11-21T10:00:00Z"}]}}, compare("in", [AT])),
    ((F.a > 1) & (F.a < 3), {"a": {"$gt": 1, "$lt": 3}}, Both((compare("gt", 1), compare("lt", 3)))),
    (
        (F.a > 1) & (F.b < 3),
        {"$and": [{"a": {"$gt": 1}}, {"b": {"$lt": 3}}]},
        Both((compare("gt", 1), compare("lt", 3, "b"))),
    ),
    ((F.a == 1) | (F.b == 2), {"$or": [{"a": 1}, {"b": 2}]}, Either((compare("eq", 1), compare("eq", 2, "b")))),
    (
        ~((F.a == 1) | (F.b == 2)),
        {"$nor": [{"a": 1}, {"b": 2}]},
        Not(Either((compare("eq", 1), compare("eq", 2, "b")))),
    ),
    (~(F.a == 1), {"$not": {"a": 1}}, Not(compare("eq", 1))),
    (~(F.a > 1), {"a": {"$not": {"$gt": 1}}}, Not(compare("gt", 1))),
    (~~(F.a == 1), {"a": 1}, compare("eq", 1)),
    (EVERYTHING, {}, Both(())),
    (
        (F.a == 1) & (F.b == 1) & (F.c == 1),
        {"a": 1, "b": 1, "c": 1},
        Both(tuple(compare("eq", 1, name) for name in "abc")),
    ),
]


@pytest.mark.parametrize(("written", "selector", "condition"), SPELLINGS, ids=range(len(SPELLINGS)))
def test_both_spellings_are_one_tree(written: Condition, selector: dict[str, Any], condition: Condition) -> None:
    assert written == condition
    assert from_mango(selector) == condition
    assert from_mango(to_mango(condition)) == condition


# --- values ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("value", "stored"),
    [
        (ID, str(ID)),
        (Net.CI, "ci"),
        (Decimal("1.50"), "1.50"),
        (date(2026, 11, 21), "2026-11-21"),
        (timedelta(seconds=1), "PT1S"),
        (PurePosixPath("a/b"), "a/b"),
        (AT.astimezone(timezone(timedelta(hours=1))), AT),
        ([Net.CI, {"a": ID}], ["ci", {"a": str(ID)}]),
        ((1, 2), [1, 2]),
    ],
)
def test_values_are_compared_as_they_are_stored(value: object, stored: object) -> None:
    assert (F.a == value) == compare("eq", stored)


@pytest.mark.parametrize(
    "write",
    [
        lambda: F.a == float("nan"),  # noqa: PLW0177 - it is the point
        lambda: F.a == 2**64,
        lambda: F.a > 2**70,
        lambda: F.a < float("inf"),
        lambda: F.a == datetime(2026, 11, 21),
        lambda: F.a == object(),
        lambda: F.a == "\ud800",
        lambda: F.a.is_in([{1}]),
        lambda: F.a.startswith(1),  # type: ignore[arg-type]
        lambda: F[1],  # type: ignore[index]
        lambda: F.a[1],  # type: ignore[index]
    ],
    ids=range(11),
)
def test_what_no_document_holds_cannot_be_asked_for(write: Callable[[], object]) -> None:
    with pytest.raises(QueryError):
        write()


@pytest.mark.parametrize(
    "value",
    [
        Decimal(5),
        timedelta(1),
        PurePosixPath("a"),
        time(10, tzinfo=UTC),
        [1, Decimal(5)],
        {"a": (timedelta(1),)},
    ],
    ids=repr,
)
@pytest.mark.parametrize("operator", ["$lt", "$lte", "$gt", "$gte"])
def test_values_whose_text_has_another_order_cannot_be_more_or_less(operator: str, value: object) -> None:
    with pytest.raises(QueryError, match="stored as text, in another order"):
        from_mango({"a": {operator: value}})


@pytest.mark.parametrize(
    ("less", "more"),
    [
        (date(999, 12, 31), date(2026, 1, 1)),
        (time(9, 59, 59, 999_999), time(10)),
        (time(10), time(10, 0, 0, 1)),
        (time(10, 0, 0, 99_999), time(10, 0, 0, 100_000)),
        (UUID(int=9), UUID(int=10)),
        (UUID(int=2**127 - 1), UUID(int=2**127)),
        (Level.LOW, Level.HIGH),
    ],
    ids=repr,
)
def test_other_values_are_stored_in_their_own_order(less: object, more: object) -> None:
    low, high = F.a < less, F.a < more
    assert isinstance(low, Compare)
    assert isinstance(high, Compare)
    assert order_key(low.value) < order_key(high.value)


# --- selectors that are none -----------------------------------------------------------------------------------------


def nested(levels: int) -> dict[str, Any]:
    selector: dict[str, Any] = {"a": 1}
    for _ in range(levels):
        selector = {"$not": selector}
    return selector


@pytest.mark.parametrize(
    ("selector", "said"),
    [
        ({"a": {"$near": 1}}, "no operator $near"),
        ({"$eq": 1}, "needs a member"),
        ({"$where": 1}, "needs a member"),
        ({"$or": {"a": 1}}, "a list is needed"),
        ({"$and": "a"}, "a list is needed"),
        ({"$or": ["a"]}, "a selector is a map"),
        ({"$not": 1}, "a selector is a map"),
        ({"a": {"$in": 5}}, "a list is needed"),
        ({"a": {"$all": 5}}, "a list is needed"),
        ({"a": {"$exists": 1}}, "true or false"),
        ({1: 2}, "named by text"),
        ({"a": {"$date": "yesterday"}}, "$date"),
        ({"a": {"$date": "2026-11-21T10:00:00"}}, "time zone"),
        ({"a": {"$date": 5}}, "$date"),
        ({"a": {"$base64": "?"}}, "$base64"),
        (nested(70), "64 levels"),
    ],
)
def test_a_selector_that_is_none_is_refused(selector: Any, said: str) -> None:
    with pytest.raises(QueryError) as error:
        from_mango(selector)
    assert said in str(error.value)


# --- what fields are not ---------------------------------------------------------------------------------------------


def test_a_condition_and_a_field_have_no_truth() -> None:
    for thing in (F.a == 1, F.a, ~F.a.exists()):
        with pytest.raises(QueryError, match="no truth"):
            bool(thing)
    with pytest.raises(TypeError):
        1 in F.a  # type: ignore[operator]  # noqa: B015
    with pytest.raises(TypeError):
        hash(F.a)
    with pytest.raises(AttributeError):
        F.__nothing__  # noqa: B018 - it is the point
    with pytest.raises(AttributeError):
        F.a.__nothing__  # noqa: B018 - it is the point


def test_fields_are_shown_as_they_are_written() -> None:
    assert repr(F) == "F"
    assert repr(F.a.b) == "F.a.b"
    assert repr(F["a b"].c) == "F['a b'].c"


def test_every_path_of_a_condition_is_named() -> None:
    condition = (F.a.b == 1) & ~F.c.exists() | (F.d > 1)
    assert list(paths_of(condition)) == [("a", "b"), ("c",), ("d",)]


# --- what to write instead -------------------------------------------------------------------------------------------


@dataclass
class Geo:
    lat: float
    lon: float


class Packed(msgspec.Struct, array_like=True):
    """It has no named members, so no field can hold it."""

    lat: float


@pytest.mark.parametrize(
    ("write", "said"),
    [
        (lambda: F.geo == Geo(1, 2), "a Geo cannot be stored; compare its members, as in F.geo.lat"),
        (lambda: F.geo.is_in([None, Geo(1, 2)]), "compare its members, as in F.geo.lat"),
        (lambda: F.tags == {"a"}, "a set cannot be stored; ask for its items, as in F.tags.contains(item)"),
        (lambda: F.a == (F.b == 1), "compares a member with a value"),
        (lambda: F.a == F.b, "compares a member with a value"),
        (lambda: F.geo == Packed(1), "a Packed cannot be stored"),
        (lambda: F.tags.contains({1}), "a set cannot be stored"),
        (lambda: F.a.like("x"), "no operator 'like'; there are ==, !=, <,"),  # type: ignore[operator]
        (lambda: F.a > 1 & F.a < 3, "F.a is none: put each comparison in brackets"),  # type: ignore[operator]
        (lambda: F.a == "x" | F.b == "y", "F.b is none: put each comparison in brackets"),  # type: ignore[operator]
        (lambda: (F.a > 1) & F.a, "F.a is none: put each comparison in brackets"),  # type: ignore[operator]
        (lambda: F.a | (F.a > 1), "F.a is none: put each comparison in brackets"),  # type: ignore[operator]
        (lambda: ~F.a, "F.a is none: put each comparison in brackets"),  # type: ignore[operator]
        (lambda: 1 < F.a < 3, "two conditions instead of a chain"),
        (lambda: F.a.is_in("abc"), "F.a.is_in(['abc'])"),
        (lambda: F.a.is_in(b"abc"), "F.a.is_in([b'abc'])"),
        (lambda: F.a.is_in(5), "`int`"),  # type: ignore[arg-type]
    ],
    ids=range(17),
)
def test_what_cannot_be_written_names_what_can(write: Callable[[], object], said: str) -> None:
    with pytest.raises(QueryError) as error:
        write()
    assert said in str(error.value)
