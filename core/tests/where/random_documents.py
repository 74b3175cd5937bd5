"""Random documents and conditions from small stocks of values, so that many meet and many are alike."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from functools import cmp_to_key
from random import Random
from typing import Any, Final

from core.tests.where.documents import find, holds, is_before, is_equal
from msgspec import Struct

from tierfold.where.tree import Both, Compare, Condition, Either, Exists, Not, Operator, Path

__all__ = ["FIELDS", "Sort", "condition", "document", "expected", "sort_of"]

LONG: Final = "a" * 128
NOON: Final = datetime(2026, 11, 21, 12, tzinfo=UTC)
STOCK: Final[list[Any]] = [
    *(None, None, True, False, 0, 1, 1.0, -1, 2, 2.5, -2.5, 2**53, 2**53 + 1, float(2**53), 2**63 - 1, -(2**63)),
    *("", "a", "ab", "b", "\x00", "a\x00", "a\x00b", "é", LONG[:-1], LONG, LONG + "a", LONG + "b", LONG + "\x00"),
    *("a" * 127 + "\x00a", "a" * 127 + "é"),
    *(NOON, NOON + timedelta(microseconds=1), NOON - timedelta(days=4_000_000 // 24)),
    *(b"", b"\x00", b"\xff", b"x" * 200, b"x" * 200 + b"y"),
    *([], [1], [1, 2], ["a"], [None], [[1]], [LONG + "a"], [LONG + "b"], {}, {"d": 1}, {"d": LONG + "a"}, {"d": {}}),
]
PATHS: Final[list[Path]] = [("a",), ("a",), ("b",), ("b",), ("c", "d"), ("c",), ("c", "d", "e"), ("site",)]
SYSTEM: Final[list[Path]] = [("id",), ("version",), ("created_at",), ("updated_at",)]
FIELDS: Final[list[Path]] = [("a",), ("a",), ("b",), ("b",), ("c", "d"), ("c",), ("id",), ("version",), ("site",)]
ORDERED: Final[list[Operator]] = ["lt", "lte", "gt", "gte"]


class Sort(Struct, frozen=True):
    path: Path
    descending: bool

    def __str__(self) -> str:
        return "-" * self.descending + ".".join(self.path)


def document(random: Random) -> dict[str, Any]:
    """Members ``a`` and ``b`` of any type, and a map ``c``; each may be missing."""
    made: dict[str, Any] = {}
    for name in "ab":
        if random.random() < 0.85:
            made[name] = random.choice(STOCK)
    if random.random() < 0.8:
        made["c"] = random.choice([{}, {"d": random.choice(STOCK)}, {"d": {"e": 1}}, None, 7])
    return made


def condition(random: Random, documents: list[dict[str, Any]], depth: int = 0) -> Condition:
    """A condition on members, some of whose values some document has."""
    if depth < 3 and random.random() < 0.45:
        parts = tuple(condition(random, documents, depth + 1) for _ in range(random.randint(0 if depth else 1, 3)))
        return random.choice([Both(parts), Either(parts), Not(parts[0]) if parts else Not(Both(()))])
    return _compare(random, documents)


def _compare(random: Random, documents: list[dict[str, Any]]) -> Condition:
    path = random.choice(PATHS if random.random() < 0.85 else SYSTEM)
    match random.randrange(7):
        case 0:
            return Exists(path)
        case 1:
            texts = ["", "a", "a\x00", LONG[:-1], LONG, LONG + "a", "oslo", "é"]
            return Compare(path, "startswith", random.choice(texts))
        case 2:
            return Compare(path, "in", [_value(random, path, documents) for _ in range(random.randint(0, 4))])
        case 3:
            return Compare(path, "contains", random.choice([1, 1.0, "a", None, [1], LONG + "a"]))
        case 4:
            return Compare(path, "eq", _value(random, path, documents))
    return Compare(path, random.choice(ORDERED), _value(random, path, documents))


def _value(random: Random, path: Path, documents: list[dict[str, Any]]) -> object:
    if documents and random.random() < 0.5:
        there, value = find(random.choice(documents), path)
        if there:
            return value
    return random.choice(STOCK)


def sort_of(random: Random) -> list[Sort]:
    """No field, one, or several."""
    paths = list(dict.fromkeys(random.choice(FIELDS) for _ in range(random.choice([0, 1, 1, 1, 2, 3]))))
    return [Sort(path, random.random() < 0.5) for path in paths]


def expected(documents: list[dict[str, Any]], condition: Condition, sort: list[Sort]) -> list[dict[str, Any]]:
    """The documents that meet a condition, in their order."""

    def compare(one: dict[str, Any], other: dict[str, Any]) -> int:
        for field in sort:
            a, b = find(one, field.path)[1], find(other, field.path)[1]
            if not is_equal(a, b):
                if a is None or b is None:
                    return 1 if a is None else -1
                return -1 if is_before(a, b) != field.descending else 1
        return -1 if one["id"] < other["id"] else 1

    return sorted((each for each in documents if holds(condition, each)), key=cmp_to_key(compare))
