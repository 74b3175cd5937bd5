"""What is handed in by mistake is a typed error that says what was expected and what came."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any, cast

import pytest

import tierfold

pytestmark = pytest.mark.anyio


class Event(tierfold.Entity, partition="{site}"):
    site: str
    n: int = 0


class Other(tierfold.Entity):
    n: int = 0


class Near(tierfold.Entity, partition="{site}"):
    site: str = "oslo"
    n: int = 0


Call = Callable[[Any], Awaitable[object]]


WRONG: Mapping[str, tuple[Call, str]] = {
    "ids as text": (lambda events: events.get_many("oslo.x"), "['oslo.x']"),
    "no ids": (lambda events: events.get_many(None), "`NoneType`"),
    "None among ids": (lambda events: events.get_many([None]), "`NoneType`"),
    "one entity for many": (lambda events: events.save_many(Event(site="x")), "`Event`"),
    "no entities": (lambda events: events.save_many(None), "`NoneType`"),
    "a document for many": (lambda events: events.save_many({"site": "x"}), "`str`"),
    "a number as etag": (lambda events: events.save(Event(site="x"), if_match=3), "`int`"),
    "a number as etag of a delete": (lambda events: events.delete("x.y", if_match=3), "`int`"),
    "no change": (lambda events: events.modify("oslo.a", None), "`NoneType`"),
    "a change that gives a number": (lambda events: events.modify("oslo.a", lambda event: 5), "`int`"),
}


async def later(event: Event) -> None:
    event.n = 1


@pytest.mark.parametrize(
    "value", [None, 5, {"site": "x"}, [Event(site="x")], Event, Near, Near(), Other(), "x"], ids=repr
)
@pytest.mark.parametrize("method", ["save", "create"])
async def test_what_is_no_object_of_the_class_is_not_saved(value: Any, method: str) -> None:
    async with tierfold.open("memory:") as data:
        with pytest.raises(tierfold.ValidationError, match="Expected `Event`, got"):
            await getattr(data.repo(Event), method)(value)
    assert (Event.id, Near.id) == ("", "")


@pytest.mark.parametrize("value", [None, 5, Event(site="x"), [{}], MappingProxyType({})])
async def test_what_is_no_document_is_not_saved_raw(value: Any) -> None:
    async with tierfold.open("memory:") as data:
        for save in (data.repo("Event").save, data.repo("Event").create):
            with pytest.raises(tierfold.ValidationError, match="Expected `dict`, got"):
                await save(value)


async def test_what_is_no_entity_has_no_document() -> None:
    async with tierfold.open("memory:") as data:
        for repository in (data.repo(Event), data.repo("Event")):
            with pytest.raises(tierfold.ValidationError, match="Expected"):
                repository.dump(cast(Any, 5))


@pytest.mark.parametrize("id", [None, 5, b"oslo.x", Event(site="x", id="x.y"), Event, ["oslo.x"]])
@pytest.mark.parametrize("method", ["get", "get_stored", "meta", "delete", "move"])
async def test_what_is_no_text_is_no_id(method: str, id: Any) -> None:
    async with tierfold.open("memory:") as data:
        with pytest.raises(tierfold.ValidationError, match="an id is `str`, not"):
            await getattr(data.repo(Event), method)(id)


async def test_an_entity_in_place_of_its_id_is_told_apart() -> None:
    async with tierfold.open("memory:") as data:
        event = await data.repo(Event).save(Event(site="x"))
        with pytest.raises(tierfold.ValidationError, match="`Event`; pass its `id`"):
            await data.repo(Event).delete(event)  # type: ignore[arg-type]


@pytest.mark.parametrize("method", ["get", "get_stored", "meta", "delete"])
async def test_an_id_that_cannot_be_encoded_is_none(method: str) -> None:
    async with tierfold.open("memory:") as data:
        events = data.repo(Event)
        await events.save(Event(site="oslo"))
        with pytest.raises(tierfold.ValidationError):
            await getattr(events, method)("oslo.\ud800")
        with pytest.raises(tierfold.ValidationError):
            await events.get_many(["oslo.\ud800"])


@pytest.mark.parametrize(("call", "expected"), WRONG.values(), ids=WRONG)
async def test_arguments_of_other_kinds_are_named(call: Call, expected: str) -> None:
    async with tierfold.open("memory:") as data:
        events = data.repo(Event)
        await events.save(Event(site="oslo", id="oslo.a"))
        with pytest.raises(tierfold.ValidationError) as error:
            await call(events)
        assert expected in str(error.value)
        assert len(await events.query().all()) == 1


async def test_a_change_cannot_be_a_coroutine_function() -> None:
    """And its coroutine is closed: Python would warn, which the tests make an error."""
    async with tierfold.open("memory:") as data:
        event = await data.repo(Event).save(Event(site="oslo"))
        with pytest.raises(tierfold.ValidationError, match="coroutine function"):
            await data.repo(Event).modify(event.id, later)  # type: ignore[arg-type]
        assert await data.repo(Event).get(event.id) == event


@pytest.mark.parametrize("doc", [None, 5, [("site", "x")], Event(site="x")])
async def test_what_is_no_mapping_is_not_loaded(doc: Any) -> None:
    async with tierfold.open("memory:") as data:
        for events in (data.repo(Event), data.repo("Event")):
            with pytest.raises(tierfold.ValidationError):
                events.load(doc)


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        ({"partitions": "oslo"}, "['oslo']"),
        ({"partitions": 5}, "`int`"),
        ({"partitions": [5]}, "`int`"),
        ({"sort": "site"}, "['site']"),
        ({"sort": [None]}, "`NoneType`"),
        ({"where": 5}, "`int`"),
        ({"limit": "5"}, "`str`"),
        ({"limit": True}, "`bool`"),
    ],
)
async def test_a_query_of_other_kinds_is_refused_at_once(arguments: Any, expected: str) -> None:
    async with tierfold.open("memory:") as data:
        with pytest.raises(tierfold.QueryError) as error:
            data.repo(Event).query(**arguments)
        assert expected in str(error.value)


@pytest.mark.parametrize("arguments", [{"after": 5}, {"size": "5"}])
async def test_a_page_of_other_kinds_is_refused(arguments: Any) -> None:
    async with tierfold.open("memory:") as data:
        with pytest.raises(tierfold.QueryError):
            await data.repo(Event).query().page(**arguments)


@pytest.mark.parametrize("entity", [5, None, Event(site="x"), [Event], list[Event], {}])
async def test_a_repository_is_of_a_class_or_a_name(entity: Any) -> None:
    async with tierfold.open("memory:") as data:
        with pytest.raises(tierfold.ConfigError, match="takes an entity class"):
            data.repo(entity)


@pytest.mark.parametrize(
    ("tiers", "options", "expected"),
    [
        ((None,), {}, "`NoneType`"),
        ((Path("x"),), {}, "lmdb:x"),
        ((["memory:"],), {}, "`list`"),
        (("memory:",), {"prefix": 5}, "prefix"),
        ((), {"config": 5}, "config"),
        (("memory:",), {"close_timeout_s": "a"}, "close_timeout_s"),
        (("memory:",), {"close_timeout_s": float("nan")}, "close_timeout_s"),
        (("memory:",), {"close_timeout_s": -1}, "close_timeout_s"),
        (("memory:",), {"clock": 5}, "clock"),
        (("memory:",), {"seed": "x"}, "seed"),
        (("memory:",), {"plugins": [5]}, "`int`"),
        (("memory:",), {"plugins": 5}, "plugins"),
        (("memory:",), {"plugins": "lmdb"}, "plugins"),
        (("memory:",), {"plugins": ["lmdb"]}, "`str`"),
        ((tierfold.Tier("memory:", writes="lazy"),), {}, "through, behind"),  # type: ignore[arg-type]
        ((tierfold.Tier("memory:", name=""),), {}, "name"),
        ((tierfold.Tier("memory:", name=5),), {}, "name"),  # type: ignore[arg-type]
        ((tierfold.Tier(5),), {}, "url"),  # type: ignore[arg-type]
        (("memory:", tierfold.Tier("memory:", interval="0s")), {}, "interval"),
        (("memory:", tierfold.Tier("memory:", interval="soon")), {}, "interval"),
    ],
)
async def test_what_open_cannot_use_is_named_on_entry(tiers: Any, options: Any, expected: str) -> None:
    opening = tierfold.open(*tiers, **options)
    with pytest.raises(tierfold.ConfigError) as error:
        await opening.__aenter__()
    assert expected in str(error.value)


async def test_a_limit_of_time_is_a_number() -> None:
    async with tierfold.open("memory:a", "memory:b") as data:
        with pytest.raises(tierfold.ConfigError, match="timeout_s"):
            await data.sync_now(timeout_s="a")  # type: ignore[arg-type]
        with pytest.raises(tierfold.ConfigError, match="timeout_s"):
            await data.aclose(timeout_s="a")  # type: ignore[arg-type]
        assert (await data.sync_now()).ok
