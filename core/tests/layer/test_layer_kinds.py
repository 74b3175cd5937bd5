"""Every kind of class in a data layer."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, NotRequired, TypedDict

import attrs
import msgspec
import pydantic
import pytest
from core.tests.entity_kinds import KINDS, value_of
from core.tests.layer.test_layer_failures import Rules

import tierfold
from tierfold.entities.declaration import Declaration
from tierfold.entities.entity import entity

pytestmark = pytest.mark.anyio

FIELDS = {"site": str, "note": str}


def declared(kind: str, **keywords: Any) -> Any:
    system = {} if kind == "Entity" else {"version": int}
    return entity(**{"name": "Thing", "partition": "{site}", **keywords})(KINDS[kind]({**FIELDS, **system}))


def new(cls: Any, note: str, **fields: Any) -> Any:
    return cls(**{"site": "oslo", "note": note, "id": "", "version": 0, **fields})


@pytest.mark.parametrize("kind", KINDS)
async def test_an_entity_of_every_kind_is_saved_found_modified_moved_and_deleted(kind: str) -> None:
    cls = declared(kind)

    def shout(thing: Any) -> Any:
        return new(cls, value_of(thing, "note").upper(), id=value_of(thing, "id"))

    async with tierfold.open("memory:") as data:
        things = data.repo(cls)
        made = new(cls, "a")
        saved = await things.save(made)
        id = value_of(saved, "id")
        assert (id.partition(".")[0], value_of(saved, "version")) == ("oslo", 1)
        assert (saved is made) == ("frozen" not in kind)
        assert await things.get(id) == saved
        changed = await things.modify(id, shout)
        assert (value_of(changed, "note"), value_of(changed, "version")) == ("A", 2)
        moved = await things.move(id, site="bergen")
        assert value_of(moved, "id").startswith("bergen.")
        assert await things.get(id) is None
        with pytest.raises(tierfold.ValidationError, match="only `move` changes"):
            await things.save(new(cls, "b", id=value_of(moved, "id")))
        assert await things.delete(value_of(moved, "id"))


@pytest.mark.parametrize("kind", KINDS)
async def test_a_save_keeps_what_the_class_does_not_know(kind: str) -> None:
    cls = declared(kind)
    async with tierfold.open("memory:") as data:
        things = data.repo(cls)
        saved = await things.save(new(cls, "a"))
        documents = data.repo("Thing")
        document = await documents.get(value_of(saved, "id"))
        assert document is not None
        await documents.save({**document, "felt": {"x": [1]}})
        found = await things.get(document["id"])
        assert found is not None
        await things.save(found)
        again = await documents.get(document["id"])
        assert again is not None
        assert (again["felt"], again["note"], again["version"]) == ({"x": [1]}, "a", 3)


@pytest.mark.parametrize("kind", KINDS)
async def test_all_kinds_of_one_name_share_the_same_entities(kind: str) -> None:
    async with tierfold.open("memory:") as data:
        struct = declared("Struct")
        saved = await data.repo(struct).save(new(struct, "a"))
        found = await data.repo(declared(kind)).get(saved.id)
        assert found is not None
        assert value_of(found, "note") == "a"


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(
    ("keywords", "ours", "theirs"),
    [
        ({"partition": "{note}"}, "'{note}' in the code", "'{site}' in the store's catalog"),
        ({"id": "{note}"}, "'{note}' in the code", "None in the store's catalog"),
        ({"conflict": "of-mine"}, "'of-mine version 1' in the code", "'lww version 1' in the store's catalog"),
    ],
    ids=["partition", "id", "resolver"],
)
async def test_a_class_of_every_kind_that_contradicts_the_catalog_is_refused_with_both_sides(
    kind: str, keywords: dict[str, str], ours: str, theirs: str
) -> None:
    async with tierfold.open("memory:", plugins=[Rules()]) as data:
        thing = declared("Entity")
        await data.repo(thing).save(new(thing, "a"))
        with pytest.raises(tierfold.ConfigError) as caught:
            data.repo(declared(kind, **keywords))
        assert ours in str(caught.value)
        assert theirs in str(caught.value)


async def test_the_index_list_stands_in_the_catalog_and_a_changed_one_is_no_disagreement() -> None:
    one, other = declared("Struct", index=["note"]), declared("pydantic model", index=["site"])
    async with tierfold.open("memory:") as data:
        await data.repo(one).save(new(one, "a"))
        await data.repo(other).save(new(other, "b"))
        (tier,) = data.tiers
        assert tier.store is not None
        stored = (await tier.store.declarations())["Thing"]
        assert Declaration.from_bytes(stored).index == ("note",)


# --- documents -------------------------------------------------------------------------------------------------------


@tierfold.entity(partition="{net}")
class Shake(msgspec.Struct, rename="camel"):
    net: str
    depth_km: float = 0.0
    id: str = ""


@tierfold.entity(name="Shake", partition="{net}")
class ShakeModel(pydantic.BaseModel):
    net: str
    depth_km: float = pydantic.Field(default=0.0, alias="depthKm", ge=0)
    id: str = ""


@tierfold.entity()
class Sensor(TypedDict):
    id: str
    name: str
    celsius: NotRequired[float]


@tierfold.entity()
@attrs.frozen
class Reading:
    celsius: float = attrs.field(validator=attrs.validators.ge(-273.15))
    id: str = ""


@tierfold.entity()
@dataclass
class Station:
    sensors: list[Sensor]
    last: Reading | None = None
    id: str = ""


async def test_other_programs_read_documents_by_their_own_names() -> None:
    async with tierfold.open("memory:") as data:
        saved = await data.repo(Shake).save(Shake(net="ci", depth_km=2.5))
        document = await data.repo("Shake").get(saved.id)
        assert document is not None
        assert document["depthKm"] == 2.5
        model = await data.repo(ShakeModel).get(saved.id)
        assert model == ShakeModel(net="ci", depthKm=2.5, id=saved.id)


async def test_a_stored_document_that_a_validator_refuses_is_an_error_that_names_it() -> None:
    async with tierfold.open("memory:") as data:
        await data.repo(Shake).save(Shake(net="ci", depth_km=-1.0, id="ci.x"))
        with pytest.raises(tierfold.ValidationError, match="greater than or equal to 0") as caught:
            await data.repo(ShakeModel).get("ci.x")
        assert (caught.value.path, caught.value.id) == ("$.depthKm", "ci.x")


async def test_a_typed_dict_is_saved_and_comes_back_as_a_dict() -> None:
    async with tierfold.open("memory:") as data:
        sensors = data.repo(Sensor)
        sensor: Sensor = {"id": "", "name": "roof"}
        assert await sensors.save(sensor) is sensor
        assert await sensors.get(sensor["id"]) == {"id": sensor["id"], "name": "roof"}


async def test_kinds_of_classes_mix() -> None:
    async with tierfold.open("memory:") as data:
        stations = data.repo(Station)
        saved = await stations.save(Station([{"id": "1", "name": "roof"}], Reading(4.5)))
        assert await stations.get(saved.id) == saved
