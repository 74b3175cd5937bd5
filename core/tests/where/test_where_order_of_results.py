"""Sorting, cursors, and the steps through an index."""

from __future__ import annotations

from base64 import urlsafe_b64encode
from typing import Any

import pytest
from core.tests.where.documents import record
from msgspec import UNSET

from tierfold.errors import QueryError
from tierfold.where.bounds import Bounds, bounds
from tierfold.where.cursor import Cursor, edge_cursor, open_cursor, seal_cursor
from tierfold.where.field import F
from tierfold.where.lens import Lens
from tierfold.where.order_bytes import order_bytes, prefix_bytes, value_of
from tierfold.where.plan import WHOLE, choose, scan_plan
from tierfold.where.sorting import SortField, parse_sort
from tierfold.where.spans import Span, rest_of, spans, start_in
from tierfold.where.tree import EVERYTHING, Compare


def key(value: object) -> bytes:
    return order_bytes(value)[0]


# --- sorting ---------------------------------------------------------------------------------------------------------


def test_fields_to_sort_by_are_paths_with_a_direction() -> None:
    assert parse_sort(["-mag", "a.b"]) == (SortField(("mag",), True), SortField(("a", "b")))
    assert [str(field) for field in parse_sort(["-mag", "a.b"])] == ["-mag", "a.b"]


@pytest.mark.parametrize("fields", [["a", "-a"], [""], ["-"], ["a..b"], ["a", "a"]])
def test_what_names_no_field_or_one_twice_is_refused(fields: list[str]) -> None:
    with pytest.raises(QueryError, match="sort"):
        parse_sort(fields)


# --- views -----------------------------------------------------------------------------------------------------------


def test_a_view_finds_nested_members_and_says_what_is_not_there() -> None:
    lens = Lens([("a", "b", "c"), ("x",)])
    deep, absent = lens.value(("a", "b", "c")), lens.value(("x",))
    assert deep(lens.view(record({"a": {"b": {"c": 5}}}).content)) == 5
    others: list[dict[str, object]] = [{"a": {"b": 5}}, {"a": {"b": {}}}, {"a": []}, {}]
    for document in others:
        view = lens.view(record(document).content)
        assert deep(view) is UNSET
        assert absent(view) is UNSET


def test_a_view_has_the_system_fields() -> None:
    lens = Lens([("id",), ("version",), ("a",)])
    view = lens.view(record({"a": 1}, "oslo.7").content)
    assert [lens.value((name,))(view) for name in ("id", "version", "a")] == ["oslo.7", 1, 1]


def test_a_view_may_be_of_another_payload_than_the_record_has() -> None:
    lens = Lens([("a",)], lambda content: record({"a": content[45]}).payload)
    assert lens.value(("a",))(lens.view(record({"a": 1}).content)) == record({}).content[45]


# --- cursors ---------------------------------------------------------------------------------------------------------

CURSOR = Cursor(b"12345678", (SortField(("mag",), descending=True),), (5.5,), "oslo", "oslo.1", 9)


def test_a_cursor_comes_back_as_it_was() -> None:
    assert open_cursor(seal_cursor(CURSOR), b"12345678") == CURSOR


def test_a_cursor_of_an_edge_comes_back_too() -> None:
    edge = edge_cursor(b"12345678", CURSOR.order, 9)
    assert edge.is_edge
    assert not CURSOR.is_edge
    assert open_cursor(seal_cursor(edge), b"12345678") == edge


DEEP = urlsafe_b64encode(b"\x96\xc4\x00\x90" + b"\x91" * 10_000).decode()


@pytest.mark.parametrize("text", ["", "x", "?", "é", "gA", seal_cursor(CURSOR)[:-4], DEEP], ids=range(7))
def test_what_is_no_cursor_is_refused(text: str) -> None:
    with pytest.raises(QueryError, match="none of this"):
        open_cursor(text, b"12345678")


def test_a_cursor_of_another_query_is_refused() -> None:
    with pytest.raises(QueryError, match="another"):
        open_cursor(seal_cursor(CURSOR), b"87654321")


# --- bounds ----------------------------------------------------------------------------------------------------------


def after(data: bytes) -> bytes:
    return data[:-1] + bytes((data[-1] + 1,))


@pytest.mark.parametrize(
    ("condition", "expected"),
    [
        (F.a == 5, Bounds(((key(5), after(key(5))),), True)),
        ((F.a == 5) & (F.b == 1), Bounds(((key(5), after(key(5))),), False)),
        ((F.a > 5) & (F.a <= 7), Bounds(((after(key(5)), after(key(7))),), True)),
        ((F.a == 5) & (F.a == 6), Bounds((), True)),
        ((F.a == 5) | (F.a == 6), Bounds(((key(5), after(key(5))), (key(6), after(key(6)))), True)),
        (F.a.is_in([5, 5]), Bounds(((key(5), after(key(5))),), True)),
        (F.a.is_in([]), Bounds((), True)),
        (F.a.startswith("Os"), Bounds(((prefix_bytes("Os")[0], after(prefix_bytes("Os")[0])),), True)),
        (F.a > None, Bounds((), True)),
        (F.a >= None, Bounds(((key(None), after(key(None))),), True)),
        (F.a == "x" * 500, Bounds(((key("x" * 500), after(key("x" * 500))),), False)),
        ((F.a == 5) | (F.b == 6), None),
        (~(F.a == 5), None),
        (F.a.contains(5), None),
        (F.a.exists(), None),
        (F.b == 5, None),
        (EVERYTHING, None),
    ],
)
def test_bounds_say_where_documents_can_be(condition: Any, expected: Bounds | None) -> None:
    assert bounds(condition, ("a",)) == expected


def test_ranges_that_touch_are_one() -> None:
    found = bounds((F.a < 5) | (F.a >= 5), ("a",))
    assert found is not None
    assert len(found.ranges) == 1


# --- plans -----------------------------------------------------------------------------------------------------------


def test_an_index_that_narrows_is_read() -> None:
    plan = choose(F.a == 1, (), {("a",)}, lambda *_: 10, may_order=True)
    assert (plan.index, plan.exact, plan.order, plan.in_order) == (("a",), True, (SortField(("a",)),), True)
    again = choose(F.a == 1, (), {("a",)}, lambda *_: 10, may_order=False)
    assert (again.index, again.order, again.in_order) == (("a",), (), False)


def test_the_narrowest_of_several_indexes_is_read() -> None:
    sizes: dict[tuple[str, ...], int] = {("a",): 500, ("b",): 5}
    plan = choose((F.a == 1) & (F.b == 1), (), sizes, lambda path, _: sizes[path], may_order=True)
    assert plan.index == ("b",)


@pytest.mark.parametrize(("few", "index", "in_order"), [(10, ("a",), False), (5_000, ("m",), True)])
def test_few_are_sorted_and_many_are_read_in_order(few: int, index: tuple[str, ...], in_order: bool) -> None:
    order = (SortField(("m",), True),)
    plan = choose(F.a == 1, order, {("a",), ("m",)}, lambda *_: few, may_order=True)
    assert (plan.index, plan.order, plan.in_order) == (index, order, in_order)


def test_an_index_gives_the_order_of_all() -> None:
    plan = choose(EVERYTHING, (SortField(("m",)),), {("m",)}, lambda *_: 0, may_order=True)
    assert (plan.index, plan.ranges, plan.exact, plan.in_order) == (("m",), (WHOLE,), False, True)


def test_without_an_index_everything_is_gone_through() -> None:
    for order in ((), (SortField(("m",)),), (SortField(("a",)), SortField(("m",)))):
        assert choose(F.b == 1, order, {("x",)}, lambda *_: 0, may_order=True) == scan_plan(order)


# --- steps -----------------------------------------------------------------------------------------------------------

LOW, NONES = WHOLE[0], (key(None), after(key(None)))


@pytest.mark.parametrize(
    ("descending", "backward", "expected"),
    [
        (False, False, [Span(LOW, NONES[0], False, False), Span(*NONES, False, False)]),
        (False, True, [Span(*NONES, True, True), Span(LOW, NONES[0], True, True)]),
        (True, False, [Span(LOW, NONES[0], True, False), Span(*NONES, False, False)]),
        (True, True, [Span(*NONES, True, True), Span(LOW, NONES[0], False, True)]),
    ],
)
def test_none_is_last_whichever_way_an_index_is_read(descending: bool, backward: bool, expected: list[Span]) -> None:
    assert spans([WHOLE], descending=descending, backward=backward) == expected


def test_a_start_that_no_step_leads_to_is_refused() -> None:
    with pytest.raises(QueryError):
        start_in([Span(key(1), key(2), False, False)], 5, "oslo.1")


def test_a_start_among_cut_values_begins_with_all_that_share_its_key() -> None:
    long = "x" * 500
    (first, second) = start_in([Span(*WHOLE, False, False)], long, "oslo.1")
    assert (first.low, first.high) == (key(long), after(key(long)))
    assert (second.low, second.high) == (after(key(long)), WHOLE[1])


@pytest.mark.parametrize("back", [False, True])
@pytest.mark.parametrize("ids_back", [False, True])
def test_the_rest_of_a_step_is_what_was_not_read(back: bool, ids_back: bool) -> None:
    step = Span(key(1), after(key(9)), back, ids_back)
    last = key(5) + b"oslo.5" + b"\x00\x00\x00\x01"
    keys = [key(value) + id + b"\x00\x00\x00\x01" for value in (1, 5, 9) for id in (b"oslo.4", b"oslo.5", b"oslo.6")]
    ordered = sorted(keys, key=lambda k: k[len(value_of(k)) :], reverse=ids_back)
    ordered = sorted(ordered, key=value_of, reverse=back)
    rest = rest_of(step, last, key(5))
    left = [k for k in keys if any(one.low <= k < one.high for one in rest)]
    assert sorted(left) == sorted(ordered[ordered.index(last) + 1 :])


def test_a_comparison_keeps_its_path() -> None:
    assert Compare(("a",), "eq", 1) != Compare(("b",), "eq", 1)
