"""Conditions mean the same as functions, as index ranges and as JSON."""

from __future__ import annotations

import json
from typing import Any

import pytest
from core.tests.where.documents import conditions, documents, holds, is_before, is_equal, record, values
from hypothesis import given

from tierfold.where.bounds import bounds
from tierfold.where.lens import Lens
from tierfold.where.mango import from_mango, to_mango
from tierfold.where.matching import matcher
from tierfold.where.order import order_key
from tierfold.where.order_bytes import order_bytes
from tierfold.where.tree import Condition, Path, paths_of


@given(conditions, documents)
def test_a_condition_holds_where_its_words_say_so(condition: Condition, document: dict[str, Any]) -> None:
    lens = Lens(paths_of(condition))
    view = lens.view(record(document).content)
    view = lens.view(record(document).content)
    assert matcher(condition, lens)(view) == holds(condition, {**document, "id": "oslo.1"})


@given(values, values)
def test_keys_are_ordered_as_the_values_are(one: Any, other: Any) -> None:
    assert (order_key(one) < order_key(other)) == is_before(one, other)
    assert (order_key(one) == order_key(other)) == is_equal(one, other)


@given(values, values)
def test_order_bytes_are_ordered_as_the_values_are(one: Any, other: Any) -> None:
    (a, a_is_exact), (b, b_is_exact) = order_bytes(one), order_bytes(other)
    if a_is_exact or b_is_exact:
        assert (a < b) == is_before(one, other)
        assert (a == b) == is_equal(one, other)
    elif is_before(one, other):
        assert a <= b
    assert a == b or not a.startswith(b)


@given(conditions, documents)
@pytest.mark.parametrize("path", [("a",), ("b",), ("a", "b")])
def test_no_document_that_meets_a_condition_lies_outside_its_bounds(
    path: Path, condition: Condition, document: dict[str, Any]
) -> None:
    found = bounds(condition, path)
    if found is None:
        return
    value: Any = document
    for name in path:
        value = value.get(name) if isinstance(value, dict) else None
    key, _ = order_bytes(value)
    inside = any(low <= key + b"id" < high for low, high in found.ranges)
    meets = holds(condition, {**document, "id": "oslo.1"})
    assert inside or not meets
    if found.exact:
        assert inside == meets


@given(conditions, documents)
def test_a_condition_survives_json(condition: Condition, document: dict[str, Any]) -> None:
    again = from_mango(json.loads(json.dumps(to_mango(condition))))
    whole = {**document, "id": "oslo.1"}
    assert holds(again, whole) == holds(condition, whole)
