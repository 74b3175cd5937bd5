"""The ordered map under the memory engine, against a plain dict."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from tierfold.kv.sorted_map import SortedMap

Changes = list[tuple[bytes, bytes | None]]

keys = st.binary(min_size=1, max_size=3)
steps = st.lists(st.tuples(keys, st.none() | st.binary(max_size=2)), max_size=200)


def fill(changes: Changes) -> tuple[SortedMap, dict[bytes, bytes]]:
    rows, model = SortedMap(), dict[bytes, bytes]()
    for key, value in changes:
        if value is None:
            assert rows.delete(key) == model.pop(key, None)
        else:
            assert rows.put(key, value) == model.get(key)
            model[key] = value
    return rows, model


@given(steps, keys, keys)
def test_a_scan_is_the_sorted_range_of_a_dict(changes: Changes, low: bytes, high: bytes) -> None:
    rows, model = fill(changes)
    expected = [(key, model[key]) for key in sorted(model) if low <= key < high]
    assert list(rows.scan(low, high)) == expected
    assert rows.last(low, high) == (expected[-1] if expected else None)


@given(steps)
def test_every_key_is_found_by_hash_and_by_order(changes: Changes) -> None:
    rows, model = fill(changes)
    assert len(rows) == len(model)
    assert {key: rows.get(key) for key in model} == model
    assert list(rows.scan(b"", b"\xff" * 4)) == sorted(model.items())


def test_many_chunks_stay_in_order_while_keys_come_and_go() -> None:
    names = [(number * 7919 % 20_000).to_bytes(2, "big") for number in range(20_000)]
    rows, model = fill([(name, name) for name in names])
    assert list(rows.scan(b"\x00", b"\xff\xff\xff")) == sorted(model.items())
    for number, name in enumerate(names):
        if number % 16:
            rows.delete(name)
            del model[name]
    assert list(rows.scan(b"\x00", b"\xff\xff\xff")) == sorted(model.items())
    assert rows.last(b"\x00", b"\x10\x00") == max(pair for pair in model.items() if pair[0] < b"\x10\x00")


def test_removing_every_key_leaves_an_empty_map() -> None:
    names = [number.to_bytes(2, "big") for number in range(3000)]
    rows, _ = fill([(name, b"") for name in names] + [(name, None) for name in reversed(names)])
    assert (len(rows), list(rows.scan(b"", b"\xff\xff\xff")), rows.last(b"", b"\xff\xff\xff")) == (0, [], None)
