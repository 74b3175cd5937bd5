"""Documents, conditions, and what the conditions mean: written again, slowly and from the words of the documents."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any, Final

from hypothesis import strategies as st

from tierfold.codec import encode
from tierfold.digest import Hasher
from tierfold.model import Record, pack_content
from tierfold.where.tree import Both, Compare, Condition, Either, Exists, Not

__all__ = ["NAMES", "conditions", "documents", "find", "holds", "is_before", "is_equal", "record", "values"]

NAMES: Final = ["a", "b", "id", "a b"]
_TYPES: Final[list[Any]] = [bool, (int, float), str, datetime, bytes, list, dict]

_moments = st.datetimes(datetime(1, 1, 2), datetime(9999, 12, 30)).map(lambda at: at.replace(tzinfo=UTC))
_numbers = st.one_of(
    st.integers(-3, 3),
    st.sampled_from([-1.5, -0.0, 0.5, 1.0, 2.0, 1e300, -1e300, 5e-324]),
    st.integers(-(2**63), 2**63 - 1),
    st.sampled_from([2**53, 2**53 + 1, float(2**53), 2**63 - 1, float(2**63), -(2**63)]),
    st.floats(allow_nan=False, allow_infinity=False).map(lambda number: number + 0.0),
)
_texts = st.one_of(
    st.text("ab\x00\x01\xff", max_size=4),
    st.sampled_from(
        ["a" * 127, "a" * 128, "a" * 129, "a" * 127 + "\x00", "a" * 127 + "\x00b", "é" * 64, "é" * 64 + "a"]
    ),
)
_scalars = st.one_of(
    st.none(), st.booleans(), _numbers, _texts, _moments, st.binary(max_size=3), st.just(b"\x00" * 65), st.just(b"\xff")
)
values = st.recursive(
    _scalars,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(["a", "b"]), inner, max_size=2),
    max_leaves=4,
)
documents = st.dictionaries(st.sampled_from(["a", "b", "a b"]), values, max_size=3)
_paths = st.sampled_from([("a",), ("b",), ("a", "b"), ("a b",), ("b", "a", "b"), ("id",)])


def _compares(path: tuple[str, ...]) -> st.SearchStrategy[Condition]:
    return st.one_of(
        st.builds(Compare, st.just(path), st.sampled_from(["eq", "lt", "lte", "gt", "gte", "contains"]), values),
        st.builds(Compare, st.just(path), st.just("in"), st.lists(values, max_size=3)),
        st.builds(Compare, st.just(path), st.just("startswith"), _texts),
        st.just(Exists(path)),
    )


conditions: st.SearchStrategy[Condition] = st.recursive(
    _paths.flatmap(_compares),
    lambda inner: st.one_of(
        st.builds(Not, inner),
        st.lists(inner, max_size=3).map(lambda parts: Both(tuple(parts))),
        st.lists(inner, max_size=3).map(lambda parts: Either(tuple(parts))),
    ),
    max_leaves=4,
)


def record(document: Mapping[str, Any], id: str = "oslo.1") -> Record:
    content = pack_content(b"s" * 16, b"b" * 16, False, 1, 1, id.encode(), encode(document))
    return Hasher("Thing").record(content)


# --- the oracle --------------------------------------------------------------------------------------------------


def _type_of(value: object) -> int:
    found = [number for number, type in enumerate(_TYPES) if isinstance(value, type)]
    return found[0] if found else len(_TYPES)


def is_equal(one: Any, other: Any) -> bool:
    if _type_of(one) != _type_of(other):
        return False
    if isinstance(one, list):
        return len(one) == len(other) and all(is_equal(a, b) for a, b in zip(one, other, strict=True))
    if isinstance(one, dict):
        return one.keys() == other.keys() and all(is_equal(one[name], other[name]) for name in one)
    return bool(one == other)


def is_before(one: Any, other: Any) -> bool:
    """The order of all values; None is behind everything."""
    if _type_of(one) != _type_of(other):
        return _type_of(one) < _type_of(other)
    if one is None:
        return False
    if isinstance(one, dict):
        one, other = ([part for pair in sorted(each.items()) for part in pair] for each in (one, other))
    if isinstance(one, list):
        for a, b in zip(one, other, strict=False):
            if not is_equal(a, b):
                return is_before(a, b)
        return len(one) < len(other)
    return bool(one < other)


def find(document: Any, path: tuple[str, ...]) -> tuple[bool, Any]:
    """(there is something under the path, what)."""
    for name in path:
        if not isinstance(document, dict) or name not in document:
            return False, None
        document = document[name]
    return True, document


def holds(condition: Condition, document: Mapping[str, Any]) -> bool:
    match condition:
        case Both():
            return all(holds(part, document) for part in condition.parts)
        case Either():
            return any(holds(part, document) for part in condition.parts)
        case Not():
            return not holds(condition.part, document)
        case Exists():
            return find(document, condition.path)[0]
    assert isinstance(condition, Compare)
    return _compare(condition, find(document, condition.path)[1])


def _compare(condition: Compare, found: Any) -> bool:
    wanted: Any = condition.value
    match condition.operator:
        case "eq":
            return is_equal(found, wanted)
        case "in":
            return any(is_equal(found, each) for each in wanted)
        case "startswith":
            return isinstance(found, str) and found[: len(wanted)] == wanted
        case "contains":
            return isinstance(found, list) and any(is_equal(each, wanted) for each in found)
    return (
        _type_of(found) == _type_of(wanted)
        and {
            "lt": is_before(found, wanted),
            "gt": is_before(wanted, found),
            "lte": not is_before(wanted, found),
            "gte": not is_before(found, wanted),
        }[condition.operator]
    )
