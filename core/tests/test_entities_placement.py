"""Ids of new entities, and the check of those that have one."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from random import Random
from typing import Any

import pytest

from tierfold.abc.keys import KeyStrategy
from tierfold.builtin.strategies import DateStrategy, GlobalStrategy, TemplateStrategy
from tierfold.entities.adapter import adapter_for, document_adapter
from tierfold.entities.declaration import Keywords, declare
from tierfold.entities.entity import Entity, entity
from tierfold.entities.placement import Placement
from tierfold.errors import ConfigError, ValidationError
from tierfold.model import SegmentName


class Quake(Entity, partition="{net}"):
    net: str | int | None


class Sample(Entity, partition="Sample.{time:%Y-%m-%d}", id="{sensor}-{time:%H%M%S%f}"):
    sensor: str
    time: str


@entity(partition="{site}.{room}")
@dataclass(frozen=True)
class Door:
    site: str
    room: int
    id: str = ""


def placement(cls: type, strategy: KeyStrategy, seed: int = 1) -> Placement[Any]:
    return Placement(adapter_for(cls), strategy, "app", Random(seed).randbytes)


def quakes() -> Placement[Quake]:
    return placement(Quake, TemplateStrategy("{net}"))


def test_a_new_entity_gets_its_logical_key_and_a_random_suffix() -> None:
    quake = Quake(net="c i")
    ((placed, id, segment),) = quakes().place([quake])
    assert placed is quake
    assert quake.id == id
    assert re.fullmatch(r"c%20i\.[A-Za-z0-9_-]{21}", id)
    assert segment == SegmentName("Quake", "app.c%20i")


def test_a_template_yields_the_suffix_so_that_repeating_makes_no_second() -> None:
    place = placement(Sample, TemplateStrategy("Sample.{time:%Y-%m-%d}")).place
    ids = [place([Sample(sensor="roof", time="2026-11-21T10:00:00Z")])[0][1] for _ in range(2)]
    assert ids == ["Sample.2026-11-21.roof-100000000000"] * 2


def test_a_frozen_entity_gets_its_id_in_a_copy() -> None:
    door = Door("oslo", 7)
    ((placed, id, segment),) = placement(Door, TemplateStrategy("{site}.{room}")).place([door])
    assert (door.id, placed) == ("", Door("oslo", 7, id))
    assert segment == SegmentName("Door", "app.oslo.7")


def test_a_batch_keeps_its_order_and_an_entity_given_twice_has_one_id() -> None:
    new, old = Quake(net="ci"), Quake(net="us", id="us.old")
    ids = [id for _, id, _ in quakes().place([new, old, new, Quake(net="ci")])]
    assert ids[1] == "us.old"
    assert ids[0] == ids[2] == new.id != ids[3]


def test_suffixes_of_a_batch_come_from_one_draw_and_none_when_nothing_is_new() -> None:
    draws: list[int] = []

    def draw(count: int) -> bytes:
        draws.append(count)
        return bytes(count)

    Placement(adapter_for(Quake), TemplateStrategy("{net}"), "app", draw).place([Quake(net="a"), Quake(net="b")])
    Placement(adapter_for(Quake), TemplateStrategy("{net}"), "app", draw).place([Quake(net="a", id="a.b")])
    assert draws == [42]


@pytest.mark.parametrize("id", ["us.x", "ci.y.x"])
def test_an_id_that_names_another_partition_is_refused_and_move_is_named(id: str) -> None:
    with pytest.raises(ValidationError, match="only `move` changes") as caught:
        quakes().place([Quake(net="ci", id=id)])
    assert (caught.value.path, caught.value.id) == ("$.id", id)


@pytest.mark.parametrize("id", ["x", "ci.", "ci.a b", 5, None])
def test_what_is_no_id_is_refused(id: Any) -> None:
    with pytest.raises(ValidationError) as caught:
        quakes().place([Quake(net="ci", id=id)])
    assert caught.value.path == "$.id"


def test_an_id_that_its_template_does_not_yield_is_refused_and_move_is_named() -> None:
    sample = Sample(id="Sample.2026-11-21.roof-1", sensor="roof", time="2026-11-21T10:00:00Z")
    place = placement(Sample, TemplateStrategy("Sample.{time:%Y-%m-%d}"))
    with pytest.raises(ValidationError, match=r"the fields yield 'roof-100000000000'; only `move`") as caught:
        place.place([sample])
    assert (caught.value.path, caught.value.id) == ("$.id", sample.id)
    sample.id = place.id_of(sample, "1")
    assert [id for _, id, _ in place.place([sample])] == ["Sample.2026-11-21.roof-100000000000"]


def test_without_a_template_an_id_keeps_its_suffix_wherever_the_entity_goes() -> None:
    assert quakes().id_of(Quake(net="us", id="ci.1"), "1") == "us.1"


def test_when_one_of_a_batch_is_refused_none_has_got_an_id() -> None:
    first, last = Quake(net="ci"), Quake(net="ci", id="us.x")
    with pytest.raises(ValidationError):
        quakes().place([first, last])
    assert first.id == ""


@pytest.mark.parametrize("net", [None, ""])
def test_an_entity_without_a_partition_is_refused(net: str | None) -> None:
    with pytest.raises(ValidationError) as caught:
        quakes().key_of(Quake(net=net))
    assert caught.value.path == "$.net"


def test_a_key_is_worked_out_for_each_value_and_not_taken_from_a_like_one() -> None:
    place = quakes()
    assert [place.key_of(Quake(net=net)) for net in ("1", 1, "1", "ci")] == ["1", "1", "1", "ci"]
    with pytest.raises(ValidationError):
        place.key_of(Quake(net=True))


def test_raw_documents_are_placed_like_objects() -> None:
    adapter = document_adapter(declare("Sample", Keywords(partition="date(time)")))
    place = Placement(adapter, DateStrategy("time"), "app", Random(1).randbytes)
    document = {"time": datetime(2026, 11, 21, tzinfo=UTC)}
    ((placed, id, segment),) = place.place([document])
    assert placed is document
    assert document["id"] == id
    assert id.startswith("Sample.2026-11.")
    assert segment == SegmentName("Sample", "app.Sample.2026-11")


def test_the_segment_can_be_read_from_the_id() -> None:
    place = placement(Quake, GlobalStrategy())
    assert place.segment_of_id("a.b.c") == SegmentName("Quake", "app.a.b")
    assert place.segment_of("global") == SegmentName("Quake", "app.global")


@pytest.mark.parametrize("id", ["", "x", "a b.c", "..c", 5, b"a.c", None])
def test_what_cannot_be_an_id_has_no_segment(id: Any) -> None:
    with pytest.raises(ValidationError) as caught:
        quakes().segment_of_id(id)
    assert caught.value.path == "$.id"


def test_a_strategy_that_yields_no_logical_key_is_refused() -> None:
    class Careless(GlobalStrategy):
        def partition_of(self, type_name: str, fields: Mapping[str, object]) -> str:
            return "a..b"

    with pytest.raises(ValidationError, match=r"a logical key has .*'a\.\.b' \(made of no field\)"):
        placement(Quake, Careless()).key_of(Quake(net="ci"))


def test_a_key_that_is_too_long_names_the_field_that_made_it() -> None:
    with pytest.raises(ValidationError, match="not 300, as 'xxx") as caught:
        quakes().key_of(Quake(net="x" * 300))
    assert caught.value.path == "$.net"


def test_a_prefix_with_a_dot_is_refused() -> None:
    with pytest.raises(ConfigError, match="prefix"):
        Placement(adapter_for(Quake), GlobalStrategy(), "a.b", Random(1).randbytes)
