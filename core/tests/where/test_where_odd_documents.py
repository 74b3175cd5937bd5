"""Names, values and rows out of the ordinary."""

from __future__ import annotations

from typing import Any

import pytest
from core.tests.ring.stage import PARTITION, SENSORS, Store, drive, link
from core.tests.where.documents import record
from msgspec import UNSET

from tierfold.abc.syncable import PartitionMarks, Settlement, Take
from tierfold.codec import encode
from tierfold.errors import CorruptDataError, QueryError
from tierfold.layout import INDEX_ROWS, SEGMENT_ROWS
from tierfold.model import ABSENT, pack_content
from tierfold.where.cursor import Cursor, open_cursor, seal_cursor
from tierfold.where.field import F
from tierfold.where.lens import Lens
from tierfold.where.matching import matcher
from tierfold.where.order_bytes import order_bytes
from tierfold.where.plan import WHOLE
from tierfold.where.sorting import SortField, parse_sort, sort_part
from tierfold.where.tree import Condition, paths_of

ODD = 'a"b\\c\n'


def meets(condition: Condition, document: dict[str, Any]) -> bool:
    lens = Lens(paths_of(condition))
    return matcher(condition, lens)(lens.view(record(document).content))


def test_a_member_may_have_any_name() -> None:
    assert meets(F[ODD] == 1, {ODD: 1, "b": 2})
    assert not meets(F[ODD] == 1, {"b": 2})
    assert meets((F[ODD] == 1) & (F.b == 2), {ODD: 1, "b": 2})


def test_what_is_no_document_has_no_members() -> None:
    content = pack_content(b"s" * 16, b"b" * 16, False, 1, 1, b"oslo.1", b"\xc1")
    for lens in (Lens([("a",)]), Lens([("a",)], lambda content: content[57:])):
        assert lens.value(("a",))(lens.view(content)) is UNSET
    seen = Lens([("a",)], lambda _: encode({"a": 5}))
    assert seen.value(("a",))(seen.view(content)) == 5


@pytest.mark.parametrize(
    ("condition", "document", "expected"),
    [
        (F.a == [1, "x"], {"a": [1.0, "x"]}, True),
        (F.a == [1], {"a": [True]}, False),
        (F.a == {"b": None}, {"a": {"b": None}}, True),
        (F.a == {"b": None}, {"a": {}}, False),
        (F.a < [2], {"a": [1, 9]}, True),
        (F.a < [2], {"a": 1}, False),
        (F.a == None, {}, True),  # noqa: E711 - a field compares with None like with any value
        (F.a < None, {}, False),
        (F.a <= None, {}, True),
        (F.a == True, {"a": 1}, False),  # noqa: E712 - likewise
    ],
    ids=range(10),
)
def test_values_compare_by_type_and_content(condition: Condition, document: dict[str, Any], expected: bool) -> None:
    assert meets(condition, document) is expected


def test_a_text_is_no_list_of_fields() -> None:
    with pytest.raises(QueryError, match="a list of fields"):
        parse_sort("mag")


def test_keys_turned_round_are_equal_where_the_values_are() -> None:
    assert sort_part(5, descending=True) == sort_part(5.0, descending=True) != sort_part(6, descending=True)
    assert len({sort_part(5, descending=True), sort_part(5.0, descending=True)}) == 1
    assert sort_part(6, descending=True) < sort_part(5, descending=True)


@pytest.mark.parametrize(
    "damaged",
    [
        Cursor(b"12345678", (SortField(("a",)),), (), "oslo", "oslo.1", 0),
        Cursor(b"12345678", (SortField(()),), (5,), "oslo", "oslo.1", 0),
        Cursor(b"12345678", (), (), "oslo", "oslo.1", -1),
        Cursor(b"12345678", (), (), "oslo", "é", 0),
        Cursor(b"12345678", (), (), "oslo", "rome.1", 0),
        Cursor(b"12345678", (SortField(("a",)),), ({1: 2, "a": 3},), "oslo", "oslo.1", 0),
        Cursor(b"12345678", (SortField(("a",)),), (2**63,), "oslo", "oslo.1", 0),
        Cursor(b"12345678", (SortField(("a",)),), (5,), "", "", 0),
        Cursor(b"12345678", (), (), "oslo", "", 0),
    ],
    ids=range(9),
)
def test_a_cursor_that_contradicts_itself_is_refused(damaged: Cursor) -> None:
    with pytest.raises(QueryError, match="damaged"):
        open_cursor(seal_cursor(damaged), b"12345678")


# --- rows that contradict each other ---------------------------------------------------------------------------------


@pytest.fixture
def store() -> Store:
    store = Store(1)
    store.save("oslo.1", encode({"a": 1}))
    drive(store.kv.hold_indexes("Sensor", [("a",)], b"me", 60))
    while drive(store.kv.tend_indexes(100)):
        pass
    return store


def hits(store: Store) -> list[str]:
    found = store.kv.index_hits("Sensor", ("a",), *WHOLE, 10, back=False, ids_back=False)
    assert found is not None
    return [hit.record.id for hit in found]


def test_an_index_entry_of_a_segment_that_is_gone_is_noticed(store: Store) -> None:
    assert hits(store) == ["oslo.1"]
    with store.writing() as session:
        SEGMENT_ROWS.delete(session.txn, b"\x00\x00\x00\x01")
    with pytest.raises(CorruptDataError, match="no row"):
        hits(store)


def test_an_index_without_its_row_is_noticed(store: Store) -> None:
    assert hits(store) == ["oslo.1"]
    txn = store.engine.begin()
    ((number, _),) = INDEX_ROWS.rows(txn)
    INDEX_ROWS.delete(txn, number)
    txn.commit()
    with pytest.raises(CorruptDataError, match="no row"):
        store.save("oslo.2", encode({"a": 2}))


def test_rows_that_are_let_go_leave_the_index() -> None:
    store, far = Store(1), Store(2)
    token = link(store, far)
    one = far.save("oslo.1", encode({"a": 1}))
    drive(store.kv.hold_indexes("Sensor", [("a",)], b"me", 60))
    drive(store.kv.tend_indexes(100))
    drive(store.kv.settle(SENSORS, Settlement((Take(one, ABSENT),)), token))
    drive(store.kv.mark_partition(PARTITION, PartitionMarks(presence="present", generation=1), token))
    assert hits(store) == ["oslo.1"]
    assert drive(store.kv.evict(PARTITION)) == 1
    assert hits(store) == []
    assert [status.entries for status in store.kv.indexes("Sensor")] == [{}]


def test_an_entry_moves_with_the_value(store: Store) -> None:
    store.save("oslo.1", encode({"a": 7}))
    low, _ = order_bytes(7)
    assert store.kv.index_count("Sensor", ("a",), low, low + b"\xff") == 1
    assert store.kv.index_count("Sensor", ("a",), *WHOLE) == 1
