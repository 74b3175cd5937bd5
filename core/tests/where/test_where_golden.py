"""Order bytes and selectors are kept on disks and sent to other programs: these never change."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest

from tierfold import F
from tierfold.where.mango import from_mango, to_mango
from tierfold.where.order_bytes import is_cut, order_bytes, prefix_bytes, value_of
from tierfold.where.tree import Condition

BYTES: dict[str, tuple[Any, str]] = {
    "False": (False, "10 00"),
    "True": (True, "10 01"),
    "0": (0, "20 8000000000000000 8000"),
    "0.0": (0.0, "20 8000000000000000 8000"),
    "1": (1, "20 bff0000000000000 8000"),
    "-1": (-1, "20 400fffffffffffff 8000"),
    "2.5": (2.5, "20 c004000000000000 8000"),
    "2^53": (2**53, "20 c340000000000000 8000"),
    "2^53 + 1": (2**53 + 1, "20 c340000000000000 8001"),
    "2^53 + 3": (2**53 + 3, "20 c340000000000002 7fff"),
    "2^63 - 1": (2**63 - 1, "20 c3e0000000000000 7fff"),
    "-2^63": (-(2**63), "20 3c1fffffffffffff 8000"),
    "no text": ("", "30 0000"),
    "text": ("ab", "30 6162 0000"),
    "text with a zero": ("a\x00b", "30 61 00ff 62 0000"),
    "long text": ("a" * 129, "30" + "61" * 128 + "0001"),
    "text of 128 bytes": ("a" * 128, "30" + "61" * 128 + "0000"),
    "text cut before an escape": ("a" * 127 + "\x00", "30" + "61" * 127 + "0001"),
    "text cut within a character": ("a" * 127 + "\xe9", "30" + "61" * 127 + "c3" + "0001"),
    "the epoch": (datetime(1970, 1, 1, tzinfo=UTC), "40 8000000000000000"),
    "a microsecond before": (datetime(1969, 12, 31, 23, 59, 59, 999_999, UTC), "40 7fffffffffffffff"),
    "bytes": (b"\x01\x00", "50 01 00ff 0000"),
    "no list": ([], "60 0000"),
    "list": ([True, "a"], "60 1001 3061 00ff00ff 0000"),
    "map": ({"b": 1, "a": None}, "70 3061 00ff00ff 80 3062 00ff00ff 20 bff0" + "00ff" * 6 + "80 00ff 0000"),
    "list with what is cut": (["a" * 129, 1], "60 30" + "61" * 127 + "0001"),
    "None": (None, "80"),
}


@pytest.mark.parametrize("name", BYTES)
def test_a_value_has_these_order_bytes(name: str) -> None:
    value, written = BYTES[name]
    data, exact = order_bytes(value)
    assert data == bytes.fromhex(written)
    assert exact != is_cut(data)
    assert value_of(data + b"oslo.1\x00\x00\x00\x01") == data


@pytest.mark.parametrize(
    ("text", "written", "exact"),
    [
        ("", "30", True),
        ("a\x00", "30 61 00ff", True),
        ("a" * 128, "30" + "61" * 128, True),
        ("a" * 129, "30" + "61" * 128, False),
        ("a" * 127 + "\x00", "30" + "61" * 127, False),
    ],
)
def test_a_beginning_has_these_order_bytes(text: str, written: str, exact: bool) -> None:
    assert prefix_bytes(text) == (bytes.fromhex(written), exact)


SELECTORS: dict[str, tuple[Condition, dict[str, Any]]] = {
    "eq": (F.a == 1, {"a": {"$eq": 1}}),
    "ne": (F.a != None, {"$not": {"a": {"$eq": None}}}),  # noqa: E711 - a condition
    "lt": (F.a < 1, {"a": {"$lt": 1}}),
    "lte": (F.a <= 1.5, {"a": {"$lte": 1.5}}),
    "gt": (F.a > "x", {"a": {"$gt": "x"}}),
    "gte": (F.a >= True, {"a": {"$gte": True}}),
    "in": (F.a.is_in([1, None]), {"a": {"$in": [1, None]}}),
    "startswith": (F.a.startswith("x"), {"a": {"$beginsWith": "x"}}),
    "contains": (F.a.contains({"b": 1}), {"a": {"$all": [{"b": 1}]}}),
    "exists": (F.a.exists(), {"a": {"$exists": True}}),
    "and": ((F.a == 1) & (F.b == 2), {"$and": [{"a": {"$eq": 1}}, {"b": {"$eq": 2}}]}),
    "or": ((F.a == 1) | (F.b == 2), {"$or": [{"a": {"$eq": 1}}, {"b": {"$eq": 2}}]}),
    "path": (F.a.b["c.d"]["$e"]["f\\"] == 1, {"a.b.c\\.d.\\$e.f\\\\": {"$eq": 1}}),
    "date": (F.a == datetime(2026, 11, 21, tzinfo=UTC), {"a": {"$eq": {"$date": "2026-11-21T00:00:00+00:00"}}}),
    "bytes": (F.a == b"\x00\xff", {"a": {"$eq": {"$base64": "AP8="}}}),
}


@pytest.mark.parametrize("name", SELECTORS)
def test_a_condition_has_this_selector_which_means_it(name: str) -> None:
    condition, selector = SELECTORS[name]
    assert to_mango(condition) == selector
    assert from_mango(selector) == condition
