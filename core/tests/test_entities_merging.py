"""A typed save keeps what the class does not declare."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tierfold.codec import check_canonical, decode, encode
from tierfold.entities.adapter import adapter_for
from tierfold.entities.entity import Entity
from tierfold.model import Digest, Record, pack_content


@dataclass
class Inner:
    ratio: float = 0.0
    note: str = ""
    inner: Inner | None = None


class Thing(Entity):
    mag: float | None = None
    count: int = 0
    either: int | float = 0
    inner: Inner = field(default_factory=Inner)
    maybe: Inner | str | None = None
    inners: list[Inner] = field(default_factory=list)
    by_name: dict[str, Inner] = field(default_factory=dict)
    ratios: dict[str, float] = field(default_factory=dict)
    pair: tuple[float, Inner] | None = None
    free: Any = None


class Narrow(Entity):
    note: str = ""


def merged(stored: dict[str, Any], new: dict[str, Any], cls: type = Thing) -> dict[str, Any]:
    merge = adapter_for(cls).merge
    assert merge is not None
    payload = merge(encode(stored), encode(new))
    check_canonical(payload)
    return decode(payload)


NEW = {"mag": 2.0, "inner": {"ratio": 1.0, "note": "n", "inner": None}}


@pytest.mark.parametrize(
    ("stored", "new", "result"),
    [
        ({"felt": 5}, {"count": 1}, {"felt": 5, "count": 1}),
        ({"count": 5}, {"count": 1}, {"count": 1}),
        ({"inner": {"deep": {"x": [1]}, "note": "old"}}, NEW, {**NEW, "inner": {**NEW["inner"], "deep": {"x": [1]}}}),  # type: ignore[dict-item]
        (
            {"inner": {"inner": {"felt": 1}}},
            {"inner": {"ratio": 1.0, "note": "", "inner": {"ratio": 2.0}}},
            {"inner": {"ratio": 1.0, "note": "", "inner": {"ratio": 2.0, "felt": 1}}},
        ),
        ({"inner": {"felt": 1}}, {"inner": None}, {"inner": None}),
        ({"inner": 5}, {"inner": {"note": "n"}}, {"inner": {"note": "n"}}),
        ({"maybe": {"felt": 1}}, {"maybe": {"note": "n"}}, {"maybe": {"note": "n", "felt": 1}}),
        ({"maybe": {"felt": 1}}, {"maybe": "text"}, {"maybe": "text"}),
        ({"inners": [{"felt": 1}]}, {"inners": [{"note": "n"}]}, {"inners": [{"note": "n"}]}),
        (
            {"by_name": {"a": {"felt": 1}, "gone": {"felt": 2}}},
            {"by_name": {"a": {"note": "n"}, "b": {"note": "m"}}},
            {"by_name": {"a": {"note": "n", "felt": 1}, "b": {"note": "m"}}},
        ),
        ({"by_name": 5}, {"by_name": {"a": {"note": "n"}}}, {"by_name": {"a": {"note": "n"}}}),
        ({"pair": [2, {"felt": 1}]}, {"pair": [2.0, {"note": ""}]}, {"pair": [2.0, {"note": ""}]}),
        ({"free": {"felt": 1}}, {"free": {}}, {"free": {}}),
    ],
    ids=range(13),
)
def test_members_that_no_class_declares_stay_at_every_declared_level(
    stored: dict[str, Any], new: dict[str, Any], result: dict[str, Any]
) -> None:
    assert merged(stored, new) == result


@pytest.mark.parametrize(
    ("stored", "new", "result"),
    [
        ({"mag": 2}, {"mag": 2.0}, {"mag": 2}),
        ({"mag": 2}, {"mag": 2.5}, {"mag": 2.5}),
        ({"mag": 2}, {"mag": None}, {"mag": None}),
        ({"mag": 2**53 + 1}, {"mag": 2.0**53}, {"mag": 2.0**53}),
        ({"either": 2}, {"either": 2.0}, {"either": 2.0}),
        ({"free": 2}, {"free": 2.0}, {"free": 2.0}),
        ({"inner": {"ratio": 3}}, {"inner": {"ratio": 3.0}}, {"inner": {"ratio": 3}}),
        ({"ratios": {"a": 3, "b": 4}}, {"ratios": {"a": 3.0, "b": 5.0}}, {"ratios": {"a": 3, "b": 5.0}}),
    ],
    ids=range(8),
)
def test_an_unchanged_int_in_a_float_field_stays_an_int(
    stored: dict[str, Any], new: dict[str, Any], result: dict[str, Any]
) -> None:
    assert encode(merged(stored, new)) == encode(result)


def test_the_new_bytes_themselves_are_stored_when_nothing_is_to_be_kept() -> None:
    merge = adapter_for(Thing).merge
    assert merge is not None
    new = encode({"mag": 2.0, "count": 3})
    for stored in ({"mag": 2.0, "count": 3}, {"mag": 1.0}, {"mag": 1}, {"count": 7, "inner": {"note": ""}}):
        assert merge(encode(stored), new) is new


def test_a_class_without_anything_to_keep_still_keeps_unknown_members() -> None:
    assert merged({"note": "a", "felt": 1}, {"note": "b"}, Narrow) == {"note": "b", "felt": 1}
    assert merged({"note": "a"}, {"note": "b"}, Narrow) == {"note": "b"}


names = st.sampled_from(["mag", "inner", "by_name", "felt", "x"])
plain = st.recursive(
    st.none() | st.integers(0, 3) | st.sampled_from([0.0, 1.0, 2.5]) | st.text("ab", max_size=1),
    lambda inner: (
        st.lists(inner, max_size=2) | st.dictionaries(st.sampled_from(["a", "ratio", "felt"]), inner, max_size=3)
    ),
    max_leaves=6,
)
floats = st.none() | st.sampled_from([0.0, 1.0, 2.5])
inners = st.builds(Inner, st.sampled_from([0.0, 1.0]), st.text("ab", max_size=1))
things = st.builds(
    Thing,
    mag=floats,
    inner=inners,
    maybe=st.none() | inners,
    by_name=st.dictionaries(st.sampled_from(["a", "felt"]), inners, max_size=2),
)


@given(st.dictionaries(names, plain, max_size=5), things)
def test_a_merged_payload_reads_as_what_was_saved_and_loses_no_unknown_member(
    stored: dict[str, Any], thing: Thing
) -> None:
    adapter = adapter_for(Thing)
    assert adapter.merge is not None
    payload = adapter.merge(encode(stored), adapter.dump(thing))
    check_canonical(payload)
    stamp = bytes(16)
    loaded = adapter.load(Record("Thing", pack_content(stamp, stamp, False, 1, 0, b"", payload), Digest(stamp)))
    assert loaded == thing
    assert {name: decode(payload)[name] for name in ("felt", "x") if name in stored} == {
        name: value for name, value in stored.items() if name in ("felt", "x")
    }
    assert adapter.merge(payload, adapter.dump(loaded)) == payload
