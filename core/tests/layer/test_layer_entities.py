"""Saving, finding and deleting entities, as a program does it."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import cast

import anyio
import pytest

import tierfold
from tierfold.testing.fakes import START_MS, FakeClock

pytestmark = pytest.mark.anyio

START = datetime.fromtimestamp(START_MS / 1000, UTC)


class Sensor(tierfold.Entity, partition="{site}"):
    site: str
    name: str = ""
    value: float | None = None


class Quake(tierfold.Entity, partition="{net}", id="{code}"):
    net: str
    code: str
    mag: float = 0.0


class Note(tierfold.Entity):
    text: str = ""


class Bag(tierfold.Entity):
    count: int = 0

    def __len__(self) -> int:
        return 0


@tierfold.entity(partition="{site}")
@dataclass(frozen=True)
class Frozen:
    site: str
    id: str = ""
    version: int = 0
    name: str = ""


class SensorOfLater(tierfold.Entity, name="Sensor", partition="{site}", schema=2):
    """The same entity type as a newer program declares it."""

    site: str
    name: str = ""
    value: float | None = None
    unit: str = "m"


async def test_a_saved_entity_is_found_with_its_system_fields() -> None:
    clock = FakeClock()
    async with tierfold.open("memory:", clock=clock) as data:
        sensors = data.repo(Sensor)
        sensor = Sensor(site="oslo", name="a", value=1.5)
        saved = await sensors.save(sensor)
        assert saved is sensor
        assert saved.id.startswith("oslo.")
        assert (saved.version, saved.created_at, saved.updated_at) == (1, START, START)
        clock.advance(s=5)
        saved.name = "b"
        await sensors.save(saved)
        found = await sensors.get(saved.id)
        assert found == saved
        assert found is not saved
        assert (found.version, found.created_at) == (2, START)
        assert (found.updated_at - START).total_seconds() == 5


async def test_what_does_not_exist_is_none() -> None:
    async with tierfold.open("memory:") as data:
        sensors = data.repo(Sensor)
        assert await sensors.get("oslo.nothing") is None
        assert await sensors.get_stored("oslo.nothing") is None
        assert await sensors.meta("oslo.nothing") is None
        assert await sensors.delete("oslo.nothing") is False


@pytest.mark.parametrize("id", ["", "oslo", ".x", "oslo.", "o slo.x"])
async def test_what_cannot_be_an_id_is_an_error(id: str) -> None:
    async with tierfold.open("memory:") as data:
        sensors = data.repo(Sensor)
        for call in (sensors.get, sensors.get_stored, sensors.meta, sensors.delete):
            with pytest.raises(tierfold.ValidationError):
                await call(id)


async def test_the_suffix_of_an_id_is_checked_in_a_partition_that_was_read_before() -> None:
    async with tierfold.open("memory:") as data:
        sensors = data.repo(Sensor)
        saved = await sensors.save(Sensor(site="oslo"))
        await sensors.get(saved.id)
        with pytest.raises(tierfold.ValidationError):
            await sensors.delete("oslo.no suffix")
        with pytest.raises(tierfold.ValidationError):
            await sensors.save(Sensor(id="oslo.no suffix", site="oslo"))


async def test_a_deleted_entity_is_gone_and_can_be_saved_again() -> None:
    async with tierfold.open("memory:") as data:
        sensors = data.repo(Sensor)
        saved = await sensors.save(Sensor(site="oslo"))
        assert await sensors.delete(saved.id) is True
        assert await sensors.get(saved.id) is None
        assert await sensors.delete(saved.id) is False
        again = await sensors.save(saved)
        assert await sensors.get(saved.id) == again


async def test_create_refuses_an_id_that_is_taken() -> None:
    async with tierfold.open("memory:") as data:
        sensors = data.repo(Sensor)
        created = await sensors.create(Sensor(id="oslo.a", site="oslo", name="first"))
        with pytest.raises(tierfold.AlreadyExistsError) as error:
            await sensors.create(Sensor(id="oslo.a", site="oslo", name="second"))
        assert (error.value.type, error.value.id) == ("Sensor", "oslo.a")
        assert await sensors.get("oslo.a") == created


async def test_of_concurrent_creates_one_wins() -> None:
    async with tierfold.open("memory:") as data:
        quakes = data.repo(Quake)
        lost: list[tierfold.AlreadyExistsError] = []

        async def create(mag: float) -> None:
            try:
                await quakes.create(Quake(net="ci", code="1", mag=mag))
            except tierfold.AlreadyExistsError as error:
                lost.append(error)

        async with anyio.create_task_group() as tasks:
            for mag in range(5):
                tasks.start_soon(create, float(mag))
        assert len(lost) == 4


async def test_the_id_is_assigned_before_the_write_so_a_repeated_save_makes_one(tmp_path: Path) -> None:
    async with tierfold.open(f"lmdb:{tmp_path / 'a'}?map_bytes=524288&max_map_bytes=524288") as data:
        sensors = data.repo(Sensor)
        sensor = Sensor(site="oslo", name="x" * 1_000_000)
        with pytest.raises(tierfold.StoreFullError):
            await sensors.save(sensor)
        id = sensor.id
        assert id.startswith("oslo.")
        sensor.name = "short"
        await sensors.save(sensor)
        assert [found.id async for found in sensors.query()] == [id]


@pytest.mark.parametrize("value", [cast(float, "much"), float("nan")])
async def test_what_is_refused_before_the_write_has_no_id_and_goes_anywhere(value: float) -> None:
    async with tierfold.open("memory:") as data:
        sensors = data.repo(Sensor)
        sensor = Sensor(site="oslo", value=value)
        for save in (sensors.save, sensors.create):
            with pytest.raises(tierfold.ValidationError):
                await save(sensor)
        assert sensor.id == ""
        sensor.site, sensor.value = "rome", 1.0
        assert (await sensors.save(sensor)).id.startswith("rome.")


async def test_of_a_batch_that_is_refused_none_has_an_id() -> None:
    async with tierfold.open("memory:") as data:
        good = [Sensor(site="oslo"), Sensor(site="rome")]
        for bad in (Sensor(site=""), Sensor(site="oslo", id="rome.x"), Sensor(site="oslo", name=cast(str, 5))):
            with pytest.raises(tierfold.ValidationError):
                await data.repo(Sensor).save_many([*good, bad])
            assert [sensor.id for sensor in good] == ["", ""]


def path_of(error: tierfold.TierfoldError) -> str:
    assert isinstance(error, tierfold.ValidationError | tierfold.PayloadTooLargeError)
    return error.path


@pytest.mark.parametrize(
    ("bad", "path"),
    [
        (Sensor(site="oslo", name=cast(str, 5)), "$[1].name"),
        (Sensor(site=""), "$[1].site"),
        (Sensor(site="oslo", id="rome.x"), "$[1].id"),
        (cast(Sensor, None), "$[1]"),
        (Sensor(site="oslo", name="x" * 2**20), "$[1]"),
    ],
    ids=["value", "partition", "id", "no entity", "size"],
)
async def test_of_a_batch_that_is_refused_the_error_names_the_entity(bad: Sensor, path: str) -> None:
    async with tierfold.open("memory:") as data:
        good = Sensor(site="oslo", id="oslo.a")
        with pytest.raises(tierfold.TierfoldError) as error:
            await data.repo(Sensor).save_many([good, bad, Sensor(site="")])
        assert path_of(error.value) == path
        assert f"`{path}`" in str(error.value)
        with pytest.raises(tierfold.TierfoldError) as error:
            await data.repo(Sensor).save(bad)
        assert path_of(error.value) == path.replace("[1]", "")


async def test_of_a_batch_with_a_template_the_error_names_the_entity() -> None:
    async with tierfold.open("memory:") as data:
        with pytest.raises(tierfold.ValidationError) as error:
            await data.repo(Quake).save_many([Quake(net="ci", code="a"), Quake(net="ci", code="")])
        assert error.value.path == "$[1].code"


async def test_a_frozen_class_gets_a_copy() -> None:
    async with tierfold.open("memory:") as data:
        given = Frozen(site="oslo", name="a")
        saved = await data.repo(Frozen).save(given)
        assert given.id == ""
        assert (saved.id != "", saved.version, saved.name) == (True, 1, "a")
        assert await data.repo(Frozen).get(saved.id) == saved


async def test_many_are_saved_in_one_batch_or_not_at_all() -> None:
    async with tierfold.open("memory:") as data:
        sensors = data.repo(Sensor)
        given = [Sensor(site=site, name=str(n)) for site in ("oslo", "rome") for n in range(3)]
        saved = await sensors.save_many(given)
        assert all(one is other for one, other in zip(saved, given, strict=True))
        assert len({sensor.id for sensor in saved}) == 6
        assert len(await sensors.query().all()) == 6
        bad = [Sensor(site="oslo", name="good"), Sensor(site="", name="bad")]
        with pytest.raises(tierfold.ValidationError):
            await sensors.save_many(bad)
        assert len(await sensors.query().all()) == 6
        assert await sensors.save_many([]) == []


async def test_one_entity_given_twice_is_saved_once() -> None:
    async with tierfold.open("memory:") as data:
        sensor = Sensor(site="oslo")
        saved = await data.repo(Sensor).save_many([sensor, sensor])
        assert saved[0] is saved[1] is sensor
        assert (sensor.version, len(await data.repo(Sensor).query().all())) == (1, 1)


async def test_many_are_found_in_the_order_asked_for() -> None:
    async with tierfold.open("memory:") as data:
        sensors = data.repo(Sensor)
        a, b, c = await sensors.save_many([Sensor(site="oslo"), Sensor(site="rome"), Sensor(site="oslo")])
        await sensors.delete(c.id)
        found = await sensors.get_many([b.id, "rome.none", c.id, a.id, b.id])
        assert list(found.items()) == [(b.id, b), (a.id, a)]
        assert await sensors.get_many([]) == {}


async def test_meta_says_what_the_store_knows() -> None:
    clock = FakeClock()
    async with tierfold.open("memory:", clock=clock) as data:
        notes = data.repo(Note)
        note = await notes.save(Note(text="a"))
        first = await notes.meta(note.id)
        clock.advance(s=1)
        await notes.save(note)
        stored = await notes.get_stored(note.id)
        assert first is not None
        assert stored is not None
        meta = stored.meta
        assert stored.value == note
        assert (meta.id, meta.type, meta.partition, meta.version, meta.schema) == (note.id, "Note", "global", 2, 1)
        assert (meta.created_at, meta.updated_at, meta.pending) == (note.created_at, note.updated_at, ())
        assert first.etag != meta.etag
        assert len(meta.etag) == 22


# --- compare and set -------------------------------------------------------------------------------------------------


async def test_if_match_saves_over_the_version_it_names_only() -> None:
    async with tierfold.open("memory:") as data:
        sensors = data.repo(Sensor)
        saved = await sensors.save(Sensor(site="oslo", name="a"))
        old = await sensors.meta(saved.id)
        assert old is not None
        other = Sensor(id=saved.id, site="oslo", name="b")
        await sensors.save(other, if_match=old.etag)
        saved.name = "late"
        with pytest.raises(tierfold.StaleWriteError) as error:
            await sensors.save(saved, if_match=old.etag)
        now = await sensors.meta(saved.id)
        assert now is not None
        assert (error.value.current, error.value.current_etag) == (other, now.etag)
        assert await sensors.get(saved.id) == other


async def test_if_match_notices_a_change_and_its_undoing() -> None:
    """ABA: the same content again is another version."""
    async with tierfold.open("memory:") as data:
        sensors = data.repo(Sensor)
        saved = await sensors.save(Sensor(site="oslo", name="a"))
        first = await sensors.meta(saved.id)
        assert first is not None
        for name in ("b", "a"):
            saved.name = name
            await sensors.save(saved)
        with pytest.raises(tierfold.StaleWriteError):
            await sensors.save(saved, if_match=first.etag)
        with pytest.raises(tierfold.StaleWriteError):
            await sensors.delete(saved.id, if_match=first.etag)


async def test_if_match_on_nothing_is_stale() -> None:
    async with tierfold.open("memory:") as data:
        sensors = data.repo(Sensor)
        saved = await sensors.save(Sensor(site="oslo"))
        meta = await sensors.meta(saved.id)
        assert meta is not None
        await sensors.delete(saved.id, if_match=meta.etag)
        for call in (
            sensors.save(saved, if_match=meta.etag),
            sensors.delete(saved.id, if_match=meta.etag),
            sensors.delete("oslo.none", if_match=meta.etag),
        ):
            with pytest.raises(tierfold.StaleWriteError) as error:
                await call
            assert (error.value.current, error.value.current_etag) == (None, None)


@pytest.mark.parametrize("etag", ["", "*", "short", "x" * 22 + "!", "ä" * 22, "y" * 40])
async def test_what_cannot_be_an_etag_is_an_error(etag: str) -> None:
    async with tierfold.open("memory:") as data:
        saved = await data.repo(Sensor).save(Sensor(site="oslo"))
        with pytest.raises(tierfold.ValidationError):
            await data.repo(Sensor).save(saved, if_match=etag)


async def test_an_etag_is_understood_as_http_quotes_it() -> None:
    async with tierfold.open("memory:") as data:
        saved = await data.repo(Sensor).save(Sensor(site="oslo"))
        meta = await data.repo(Sensor).meta(saved.id)
        assert meta is not None
        assert (await data.repo(Sensor).save(saved, if_match=f'"{meta.etag}"')).version == 2


# --- modify ----------------------------------------------------------------------------------------------------------


async def test_modify_loses_no_update_between_tasks(tmp_path: Path) -> None:
    async with tierfold.open(f"lmdb:{tmp_path / 'a'}") as data:
        sensors = data.repo(Sensor)
        saved = await sensors.save(Sensor(site="oslo", value=0.0))

        def increment(sensor: Sensor) -> None:
            sensor.value = (sensor.value or 0.0) + 1

        async with anyio.create_task_group() as tasks:
            for _ in range(10):
                tasks.start_soon(sensors.modify, saved.id, increment)
        found = await sensors.get(saved.id)
        assert found is not None
        assert (found.value, found.version) == (10.0, 11)


async def test_modify_saves_what_the_change_returns() -> None:
    async with tierfold.open("memory:") as data:
        saved = await data.repo(Frozen).save(Frozen(site="oslo", name="a"))
        done = await data.repo(Frozen).modify(saved.id, lambda old: Frozen(site="oslo", id=old.id, name=old.name + "b"))
        assert (done.name, done.version) == ("ab", 2)


async def test_modify_of_nothing_is_an_error() -> None:
    async with tierfold.open("memory:") as data:
        with pytest.raises(tierfold.NotFoundError):
            await data.repo(Sensor).modify("oslo.none", lambda sensor: None)


async def test_what_a_change_raises_comes_out_and_nothing_is_saved() -> None:
    async with tierfold.open("memory:") as data:
        sensors = data.repo(Sensor)
        saved = await sensors.save(Sensor(site="oslo"))

        def fail(sensor: Sensor) -> None:
            raise LookupError

        with pytest.raises(LookupError):
            await sensors.modify(saved.id, fail)
        assert await sensors.get(saved.id) == saved


@pytest.mark.parametrize(("id", "site"), [("oslo.other", "oslo"), ("", "oslo"), ("oslo.a", "rome")])
async def test_a_change_cannot_make_it_another_entity(id: str, site: str) -> None:
    async with tierfold.open("memory:") as data:
        sensors = data.repo(Sensor)
        await sensors.save(Sensor(id="oslo.a", site="oslo"))
        with anyio.fail_after(15), pytest.raises(tierfold.ValidationError):
            await sensors.modify("oslo.a", lambda _: Sensor(id=id, site=site))
        assert len(await sensors.query().all()) == 1


async def test_a_change_may_return_something_falsy() -> None:
    async with tierfold.open("memory:") as data:
        bag = await data.repo(Bag).save(Bag(count=1))
        assert (await data.repo(Bag).modify(bag.id, lambda old: Bag(id=old.id, count=2))).count == 2


# --- unknown members -------------------------------------------------------------------------------------------------


async def test_an_older_program_keeps_what_a_newer_one_stored(tmp_path: Path) -> None:
    url = f"lmdb:{tmp_path / 'a'}"
    async with tierfold.open(url) as data:
        saved = await data.repo(SensorOfLater).save(SensorOfLater(site="oslo", name="a", unit="km"))
    async with tierfold.open(url) as data:
        old = await data.repo(Sensor).get(saved.id)
        assert old is not None
        old.name = "b"
        await data.repo(Sensor).save(old)
    async with tierfold.open(url) as data:
        stored = await data.repo(SensorOfLater).get_stored(saved.id)
        assert stored is not None
        assert (stored.value.name, stored.value.unit, stored.meta.schema) == ("b", "km", 2)
