"""Where entities live: partitions, id templates, and moving from one to the other."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import pytest

import tierfold

pytestmark = pytest.mark.anyio


class Room(tierfold.Entity, partition="{site}.{room}"):
    site: str | None
    room: str
    name: str = ""


class Quake(tierfold.Entity, partition="{net}", id="{code}"):
    net: str
    code: str
    mag: float = 0.0


class Reading(tierfold.Entity, partition="date(time, day)"):
    time: datetime
    value: float = 0.0


class RoomOfLater(tierfold.Entity, name="Room", partition="{site}.{room}", schema=3):
    site: str | None
    room: str
    name: str = ""
    floor: int = 0


@tierfold.entity(partition="{site}")
@dataclass(frozen=True)
class Frozen:
    site: str
    id: str = ""
    name: str = ""


async def test_no_two_tuples_of_values_share_a_partition() -> None:
    async with tierfold.open("memory:") as data:
        rooms = data.repo(Room)
        pairs = [("a.b", "c"), ("a", "b.c"), ("a%2Eb", "c"), ("ä", "ö"), ("a b", "c/d")]
        saved = await rooms.save_many([Room(site=site, room=room) for site, room in pairs])
        keys = [room.id.rpartition(".")[0] for room in saved]
        assert keys[0] == "a%2Eb.c"
        assert len(set(keys)) == len(pairs)
        for room, key in zip(saved, keys, strict=True):
            assert await rooms.query(partitions=[key]).all() == [room]
            assert (await rooms.get(room.id)) == room


@pytest.mark.parametrize("site", ["", None])
async def test_a_partition_needs_its_values(site: str | None) -> None:
    async with tierfold.open("memory:") as data:
        with pytest.raises(tierfold.ValidationError) as error:
            await data.repo(Room).save(Room(site=site, room="x"))
        assert error.value.path == "$.site"


async def test_saving_a_changed_partition_is_refused_and_names_move() -> None:
    async with tierfold.open("memory:") as data:
        rooms = data.repo(Room)
        room = await rooms.save(Room(site="a", room="b"))
        room.site = "c"
        with pytest.raises(tierfold.ValidationError, match="move"):
            await rooms.save(room)
        assert (await rooms.query(partitions=["c.b"]).all(), len(await rooms.query().all())) == ([], 1)


async def test_an_id_of_another_partition_is_refused() -> None:
    async with tierfold.open("memory:") as data:
        with pytest.raises(tierfold.ValidationError, match=r"a\.c"):
            await data.repo(Room).save(Room(id="a.c.x", site="a", room="b"))


async def test_an_id_template_makes_repeated_imports_idempotent() -> None:
    async with tierfold.open("memory:") as data:
        quakes = data.repo(Quake)
        for _ in range(2):
            await quakes.save_many([Quake(net="ci", code=str(number)) for number in range(5)])
        found = await quakes.query().all()
        assert sorted(quake.id for quake in found) == [f"ci.{number}" for number in range(5)]
        assert {quake.version for quake in found} == {2}


async def test_saving_a_changed_field_of_the_id_is_refused_and_names_move() -> None:
    """Otherwise importing it again would make a second one."""
    async with tierfold.open("memory:") as data:
        quakes = data.repo(Quake)
        quake = await quakes.save(Quake(net="ci", code="1"))
        quake.code = "2"
        with pytest.raises(tierfold.ValidationError, match="move"):
            await quakes.save(quake)
        with pytest.raises(tierfold.ValidationError, match="move"):
            await quakes.modify("ci.1", lambda old: Quake(id=old.id, net="ci", code="2"))
        with pytest.raises(tierfold.ValidationError, match="move"):
            await data.repo("Quake").save({"id": "ci.1", "net": "ci", "code": "2"})
        assert [found.code for found in await quakes.query().all()] == ["1"]


async def test_a_move_within_the_partition_gives_the_id_that_the_fields_yield() -> None:
    async with tierfold.open("memory:") as data:
        quakes = data.repo(Quake)
        await quakes.save(Quake(net="ci", code="1", mag=2.0))
        moved = await quakes.move("ci.1", code="2")
        assert (moved.id, moved.mag, moved.version) == ("ci.2", 2.0, 1)
        assert await quakes.query().all() == [moved]
        again = await quakes.save(Quake(net="ci", code="2"))
        assert await quakes.query().all() == [again]


@pytest.mark.parametrize("code", ["", "a b", "x" * 65, "a.b", "ä"])
async def test_a_value_that_does_not_fit_an_id_is_refused_and_not_escaped(code: str) -> None:
    async with tierfold.open("memory:") as data:
        with pytest.raises(tierfold.ValidationError):
            await data.repo(Quake).save(Quake(net="ci", code=code))


async def test_a_strategy_by_name_places_by_calendar() -> None:
    async with tierfold.open("memory:") as data:
        moment = datetime(2026, 11, 21, 23, 30, tzinfo=UTC)
        reading = await data.repo(Reading).save(Reading(time=moment))
        assert reading.id.startswith("Reading.2026-11-21.")
        assert await data.repo(Reading).query(partitions=["Reading.2026-11-21"]).all() == [reading]


async def test_entities_of_different_prefixes_do_not_meet(tmp_path: Path) -> None:
    url = f"lmdb:{tmp_path / 'a'}"
    async with tierfold.open(url, prefix="one") as one, tierfold.open(url, prefix="two") as two:
        quake = await one.repo(Quake).save(Quake(net="ci", code="1"))
        assert await two.repo(Quake).get(quake.id) is None
        assert await two.repo(Quake).query().all() == []
        assert await one.repo(Quake).query().all() == [quake]


@pytest.mark.parametrize("prefix", ["", "a.b", "ä", "x" * 65])
async def test_an_unfit_prefix_is_refused_on_entry(prefix: str) -> None:
    with pytest.raises(tierfold.ConfigError):
        async with tierfold.open("memory:", prefix=prefix):
            pass


# --- move ------------------------------------------------------------------------------------------------------------


async def test_a_move_deletes_here_and_creates_there() -> None:
    async with tierfold.open("memory:") as data:
        rooms = data.repo(Room)
        old = await rooms.save(Room(site="a", room="b", name="n"))
        moved = await rooms.move(old.id, site="c")
        assert (moved.site, moved.room, moved.name) == ("c", "b", "n")
        assert moved.id == "c.b." + old.id.rpartition(".")[2]
        assert await rooms.get(old.id) is None
        assert await rooms.get(moved.id) == moved
        assert await rooms.query().all() == [moved]


async def test_a_move_within_the_partition_is_a_save() -> None:
    async with tierfold.open("memory:") as data:
        rooms = data.repo(Room)
        old = await rooms.save(Room(site="a", room="b"))
        moved = await rooms.move(old.id, name="other")
        assert (moved.id, moved.name, moved.version) == (old.id, "other", 2)


async def test_a_move_onto_a_taken_id_changes_nothing() -> None:
    async with tierfold.open("memory:") as data:
        quakes = data.repo(Quake)
        one, two = await quakes.save_many([Quake(net="ci", code="1"), Quake(net="nc", code="1")])
        with pytest.raises(tierfold.AlreadyExistsError):
            await quakes.move(one.id, net="nc")
        assert await quakes.get_many([one.id, two.id]) == {one.id: one, two.id: two}


async def test_a_move_of_nothing_is_an_error() -> None:
    async with tierfold.open("memory:") as data:
        with pytest.raises(tierfold.NotFoundError):
            await data.repo(Room).move("a.b.none", site="c")


async def test_a_move_names_fields_that_exist() -> None:
    async with tierfold.open("memory:") as data:
        room = await data.repo(Room).save(Room(site="a", room="b"))
        with pytest.raises(tierfold.ValidationError):
            await data.repo(Room).move(room.id, colour="red")


async def test_a_move_does_not_change_what_the_store_fills_in() -> None:
    async with tierfold.open("memory:") as data:
        room = await data.repo(Room).save(Room(site="a", room="b"))
        with pytest.raises(tierfold.ValidationError, match="version"):
            await data.repo(Room).move(room.id, site="c", version=7)


async def test_a_key_that_is_too_long_names_its_fields() -> None:
    async with tierfold.open("memory:") as data:
        with pytest.raises(tierfold.ValidationError, match="site, room"):
            await data.repo(Room).save(Room(site="s" * 200, room="r" * 100))
        with pytest.raises(tierfold.ValidationError) as error:
            await data.repo(Frozen).save(Frozen(site="s" * 300))
        assert error.value.path == "$.site"
        with pytest.raises(tierfold.ValidationError) as error:
            await data.repo(Room).get("a b.x")
        assert (error.value.path, error.value.id) == ("$.id", "a b.x")
        with pytest.raises(tierfold.ValidationError, match="'a b'") as error:
            data.repo(Room).query(partitions=["a b"])
        assert error.value.path == "$.partitions"


async def test_a_move_keeps_members_the_class_does_not_declare_and_the_higher_schema() -> None:
    async with tierfold.open("memory:") as data:
        room = await data.repo(RoomOfLater).save(RoomOfLater(site="a", room="b", floor=7))
        moved = await data.repo(Room).move(room.id, site="c")
        stored = await data.repo(RoomOfLater).get_stored(moved.id)
        assert stored is not None
        assert (stored.value.floor, stored.meta.schema) == (7, 3)


async def test_a_frozen_entity_is_moved() -> None:
    async with tierfold.open("memory:") as data:
        saved = await data.repo(Frozen).save(Frozen(site="a", name="n"))
        moved = await data.repo(Frozen).move(saved.id, site="b")
        assert (moved.site, moved.name) == ("b", "n")
        assert await data.repo(Frozen).query().all() == [moved]


async def test_a_move_is_atomic_in_one_store(tmp_path: Path) -> None:
    async with tierfold.open(f"lmdb:{tmp_path / 'a'}") as data, data.events() as events:
        rooms = data.repo(Room)
        room = await rooms.save(Room(site="a", room="b"))
        moved = await rooms.move(room.id, site="c")
        seen = [await anext(events) for _ in range(3)]
        assert {(change.kind, change.id) for change in seen[1:]} == {("deleted", room.id), ("saved", moved.id)}


async def test_a_repository_knows_the_partition_that_fields_yield() -> None:
    async with tierfold.open("memory:") as data:
        rooms = data.repo(Room)
        room = await rooms.save(Room(site="Acme & Co", room="a.b"))
        key = rooms.partition(site="Acme & Co", room="a.b")
        assert room.id.startswith(key + ".")
        assert await rooms.query(partitions=[key]).all() == [room]
        assert data.repo(Reading).partition(time=datetime(2026, 11, 21, 23, tzinfo=UTC)).endswith("2026-11-21")
        with pytest.raises(tierfold.ValidationError, match="made of site, room"):
            rooms.partition(site="oslo", room="1", floor=3)
        with pytest.raises(tierfold.ValidationError, match="missing"):
            rooms.partition(site="oslo")
        with pytest.raises(tierfold.ValidationError, match="made of no field"):
            data.repo("Undeclared").partition(n=1)
