"""Conditions and orders as typed programs write them: by the names of fields, over every kind of class."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import UTC, date, datetime, time, timedelta
from decimal import Decimal
from enum import Enum
from pathlib import PurePosixPath
from typing import Any
from uuid import UUID

import msgspec
import pydantic
import pytest

import tierfold
from tierfold import F
from tierfold.testing.fakes import FakeClock

pytestmark = pytest.mark.anyio


class Colour(Enum):
    RED = "r"
    BLUE = "b"


class Depth(msgspec.Struct, rename="camel"):
    max_km: float = 0.0


@tierfold.entity(name="Thing", partition="{net}")
class Renamed(msgspec.Struct, rename="camel"):
    net: str
    event_code: str
    the_depth: Depth = msgspec.field(default_factory=Depth)
    more: dict[str, Any] = msgspec.field(default_factory=dict)
    id: str = ""


@tierfold.entity(name="Thing", partition="{net}")
class Aliased(pydantic.BaseModel):
    net: str
    code: str = pydantic.Field(alias="eventCode")
    dotted: int = pydantic.Field(default=0, alias="a.b")
    id: str = ""


class Nested(tierfold.Entity):
    by_name: dict[str, Depth]
    maybe: Depth | None = None


Wide = tierfold.entity()(msgspec.defstruct("Wide", [("id", str, ""), *((f"f{n}", int, 0) for n in range(20))]))


@tierfold.entity(partition="{site}")
@dataclass
class Typed:
    site: str
    owner: UUID | None = None
    colour: Colour = Colour.RED
    due: timedelta = timedelta()
    id: str = ""


def codes(things: Any) -> list[str]:
    return [thing.event_code for thing in things]


async def renamed(data: tierfold.DataLayer) -> tierfold.Repository[Renamed]:
    things = data.repo(Renamed)
    made = [Renamed("ci", code, Depth(km), {"x": {"y": code}}) for code, km in (("a", 3.0), ("b", 1.0), ("c", 2.0))]
    await things.save_many(made)
    return things


async def test_conditions_and_orders_take_the_names_of_attributes() -> None:
    async with tierfold.open("memory:") as data:
        things = await renamed(data)
        assert codes(await things.query(F.event_code == "b").all()) == ["b"]
        assert codes(await things.query(F.the_depth.max_km >= 2, sort=["-the_depth.max_km"]).all()) == ["a", "c"]
        assert codes(await things.query(F.more.x.y == "c").all()) == ["c"]
        others = things.query(~F.event_code.is_in(["a"]) & F.event_code.exists(), sort=["event_code"])
        assert codes(await others.all()) == ["b", "c"]


async def test_members_of_inner_classes_are_declared_too_and_keys_of_maps_are_not() -> None:
    async with tierfold.open("memory:") as data:
        things = await renamed(data)
        await things.save(Renamed("ci", "d", more={"a.b": {"c": 1}}))
        with pytest.raises(tierfold.QueryError, match=r"no field 'the_depth\.least_km'"):
            things.query(F.the_depth.least_km > 1)
        assert codes(await things.query(F.more["a.b"].c == 1).all()) == ["d"]


async def test_selectors_take_the_names_in_documents() -> None:
    async with tierfold.open("memory:") as data:
        things = await renamed(data)
        assert codes(await things.query({"eventCode": "b"}).all()) == ["b"]
        assert codes(await things.query({"theDepth.maxKm": {"$lt": 2}}).all()) == ["b"]
        assert await things.query({"event_code": "b"}).all() == []


async def test_aliases_are_the_names_in_documents() -> None:
    async with tierfold.open("memory:") as data:
        await renamed(data)
        things = data.repo(Aliased)
        assert [thing.code for thing in await things.query(F.code > "a", sort=["-code"]).all()] == ["c", "b"]


@pytest.mark.parametrize(
    "where", [F.nowhere == 1, F.code.deeper == 1, F.eventCode == "b", F.dotted == 0, F["a.b"] == 0]
)
async def test_what_the_class_does_not_declare_is_an_error(where: Any) -> None:
    """An alias with a dot could be taken for two names."""
    async with tierfold.open("memory:") as data:
        with pytest.raises(tierfold.QueryError, match="Thing has no field"):
            data.repo(Aliased).query(where)


@pytest.mark.parametrize("sort", [["nowhere"], ["-eventCode"], ["dotted"], ["code.deeper"]])
async def test_an_order_by_what_the_class_does_not_declare_is_an_error(sort: list[str]) -> None:
    async with tierfold.open("memory:") as data:
        with pytest.raises(tierfold.QueryError, match="Thing has no field"):
            data.repo(Aliased).query(sort=sort)


@pytest.mark.parametrize(
    ("cls", "where", "said"),
    [
        (Renamed, F.event_cod == "b", "'event_cod'; there are event_code, "),
        (Renamed, F.event_cod == "b", ", version"),
        (Renamed, F.eventCode == "b", "in Python it is 'event_code'"),
        (Renamed, F.the_depth.least_km > 1, "in 'the_depth' there are max_km"),
        (Renamed, F.the_depth.maxKm > 1, "in Python it is 'the_depth.max_km'"),
        (Renamed, F.net.length > 1, "'net' has no fields inside"),
        (Renamed, F.id.x == 1, "there are id, "),
        (Aliased, F.dotted == 0, "documents name it 'a.b'"),
        (Aliased, F["a.b"] == 0, "in Python it is 'dotted'"),
        (Nested, F.by_name.a.most_km > 1, "in 'by_name.a' there are max_km"),
        (Nested, F.maybe.most_km > 1, "in 'maybe' there are max_km"),
        (Wide, F.f3x == 1, "there are f3, "),
        (Wide, F.f3x == 1, " and 12 more"),
    ],
)
async def test_what_is_no_field_names_the_fields_there_are(cls: type, where: Any, said: str) -> None:
    async with tierfold.open("memory:") as data:
        with pytest.raises(tierfold.QueryError) as error:
            data.repo(cls).query(where)
        assert said in str(error.value)


@pytest.mark.parametrize(
    ("path", "said"),
    [
        ("evnt_code", "no field 'evnt_code' for its index; there are event_code, "),
        ("the_depth.least_km", "index 'the_depth.least_km' is no declared field; in 'the_depth' there are max_km"),
        ("the_depth.maxKm", "in Python it is 'the_depth.max_km'"),
    ],
)
async def test_what_is_no_field_for_an_index_names_the_fields_there_are(path: str, said: str) -> None:
    class Indexed(msgspec.Struct, rename="camel"):
        event_code: str
        the_depth: Depth
        id: str = ""

    async with tierfold.open("memory:") as data:
        with pytest.raises(tierfold.ConfigError) as error:
            data.repo(tierfold.entity(index=[path])(Indexed))
        assert said in str(error.value)


async def test_no_order_is_none() -> None:
    async with tierfold.open("memory:") as data:
        things = await renamed(data)
        unordered = await things.query(sort=None).page(size=1)
        assert len(await things.query().page(after=unordered.next)) == 2
        async with things.observe_all(sort=None) as live:
            assert len((await anext(aiter(live))).value) == 3


async def test_raw_repositories_take_any_name() -> None:
    names = ["a.b", "a b", 'a"b', "a\\b", "a\nb", "", "f0", "ä", "$a", "def"]
    async with tierfold.open("memory:") as data:
        things = data.repo("Any")
        saved = await things.save({name: number for number, name in enumerate(names)})
        for number, name in enumerate(names):
            assert await things.query((F[name] == number) & (F.id == saved["id"])).count() == 1
            assert await things.query(F[name] > number).count() == 0
        assert await things.query({"a\\.b": 0, "\\$a": 8}).count() == 1
        assert await things.query(F.nowhere.at.all.exists()).count() == 0


async def test_values_are_compared_in_their_stored_form() -> None:
    async with tierfold.open("memory:") as data:
        things = data.repo(Typed)
        owner = UUID(int=7)
        one = await things.save(Typed("oslo", owner, Colour.BLUE, timedelta(hours=1)))
        await things.save(Typed("oslo"))
        for where in (F.owner == owner, F.colour == Colour.BLUE, F.owner.is_in([owner]), F.due == timedelta(hours=1)):
            assert [thing.id for thing in await things.query(where).all()] == [one.id]


HERE = PurePosixPath("a")


class Money(msgspec.Struct, rename="camel"):
    the_amount: Decimal = Decimal(0)
    currency: str = "NOK"


@tierfold.entity(partition="{site}", index=["price", "paid.the_amount"])
@dataclass
class Bill:
    site: str
    price: Decimal | None = None
    paid: Money | None = None
    parts: dict[str, Decimal] = field(default_factory=dict)
    spans: list[tuple[str, timedelta]] = field(default_factory=list)
    file: PurePosixPath = HERE
    due: date = date.min
    at: time = time.min
    id: str = ""


@tierfold.entity()
class Host(pydantic.BaseModel):
    address: pydantic.IPvAnyAddress
    site: pydantic.HttpUrl
    seen: pydantic.AwareDatetime
    id: str = ""


UNORDERED = ["price", "paid.the_amount", "parts", "parts.tax", "spans", "file"]


@pytest.mark.parametrize("name", UNORDERED)
async def test_fields_whose_stored_values_have_another_order_are_no_order(name: str) -> None:
    async with tierfold.open("memory:") as data:
        bills = data.repo(Bill)
        for sort in ([name], [f"-{name}"], ["due", name]):
            with pytest.raises(tierfold.QueryError, match=f"{name}.*stored as text, in another order"):
                bills.query(sort=sort)


@pytest.mark.parametrize("name", UNORDERED)
async def test_they_are_not_more_or_less_than_anything(name: str) -> None:
    first, *rest = name.split(".")
    member = F[first]
    for part in rest:
        member = member[part]
    async with tierfold.open("memory:") as data:
        with pytest.raises(tierfold.QueryError, match=f"{name}.*stored as text, in another order"):
            data.repo(Bill).query(F.site.exists() & ~(member > 5))


async def test_such_fields_are_equal_to_what_is_written_alike() -> None:
    async with tierfold.open("memory:") as data:
        bills = data.repo(Bill)
        short, long = Decimal("1.5"), Decimal("1.50")
        one = Bill("oslo", short, Money(short), due=date(2026, 1, 1), at=time(9))
        await bills.save_many([one, Bill("oslo", long, Money(long), at=time(10), file=HERE / "b")])
        for where in (F.price == short, F.paid.the_amount.is_in([short]), F.file == HERE):
            assert await bills.query(where).all() == [one]
        assert await bills.query((F.due >= date(2026, 1, 1)) & (F.at < time(10)), sort=["due", "at"]).all() == [one]
        assert await data.repo("Bill").query({"price": {"$gte": "1.50"}}, sort=["price"]).count() == 1


async def test_of_pydantics_own_types_addresses_have_another_order() -> None:
    async with tierfold.open("memory:") as data:
        hosts = data.repo(Host)
        assert await hosts.query(sort=["site", "seen"]).all() == []
        with pytest.raises(tierfold.QueryError, match=r"address.*stored as text, in another order"):
            hosts.query(sort=["address"])


async def test_the_system_fields_can_be_asked_for_and_ordered_by() -> None:
    """Whether the class declares them or not."""
    clock = FakeClock()
    async with tierfold.open("memory:", clock=lambda: clock.now_ms) as data:
        things = data.repo(Typed)
        saved = []
        for _ in range(3):
            clock.advance(s=60)
            saved.append(await things.save(Typed("oslo")))
        clock.advance(s=60)
        await things.save(saved[0])
        noon = datetime.fromtimestamp(clock.now_ms / 1000, UTC)
        assert [each.id for each in await things.query(F.version == 2).all()] == [saved[0].id]
        assert [each.id for each in await things.query(sort=["-updated_at"]).all()] == [
            saved[0].id,
            saved[2].id,
            saved[1].id,
        ]
        early = things.query(F.created_at < noon - timedelta(seconds=90), sort=["-created_at"])
        assert [each.id for each in await early.all()] == [saved[1].id, saved[0].id]
        assert [each.id for each in await things.query(sort=["-id"]).all()] == sorted(
            (each.id for each in saved), reverse=True
        )
        assert await things.query({"id": {"$beginsWith": "oslo."}}).count() == 3


async def test_entities_that_do_not_fit_the_class_are_an_error_or_counted() -> None:
    async with tierfold.open("memory:") as data:
        await renamed(data)
        documents = data.repo("Thing")
        bad = await documents.save({"net": "ci", "eventCode": 7})
        things = data.repo(Renamed)
        with pytest.raises(tierfold.ValidationError, match=bad["id"]):
            await things.query().all()
        query = things.query(sort=["event_code"], on_invalid="skip")
        page = await query.page()
        assert (codes(page), page.skipped) == (["a", "b", "c"], 1)
        assert codes(await query.all()) == ["a", "b", "c"]
        assert [page.skipped for page in [await query.page(size=1)]] == [1]
        with pytest.raises(tierfold.QueryError):
            things.query(on_invalid="ignore")  # type: ignore[arg-type]


async def test_what_cannot_be_upgraded_is_an_error_or_counted() -> None:
    def upgrade(document: dict[str, Any]) -> dict[str, Any]:
        return {"site": document["site"], "size": int(document["n"])}

    class Old(tierfold.Entity, name="Sized", partition="{site}"):
        site: str
        n: str

    class New(tierfold.Entity, name="Sized", partition="{site}", schema=2, upgrade={1: upgrade}):
        site: str
        size: int

    async with tierfold.open("memory:") as data:
        await data.repo(Old).save_many([Old(site="oslo", n=n) for n in ("1", "2", "many")])
        sized = data.repo(New)
        with pytest.raises(tierfold.ValidationError):
            await sized.query(F.size >= 2).all()
        query = sized.query(F.size >= 2, on_invalid="skip")
        assert [each.size for each in await query.all()] == [2]
        page = await sized.query(on_invalid="skip", sort=["-size"]).page()
        assert ([each.size for each in page], page.skipped) == ([2, 1], 1)


async def test_a_condition_has_a_limited_depth() -> None:
    async with tierfold.open("memory:") as data:
        things = data.repo("Any")
        where = F.a == 1
        for number in range(70):
            where = (where | (F.b == number)) if number % 2 else (where & (F.b == number))
        with pytest.raises(tierfold.QueryError, match="64 levels"):
            things.query(where)
        wide = F.a == 0
        for number in range(3_000):
            wide = wide | (F.a == number)
        assert await things.query(wide).count() == 0


async def test_what_is_no_condition_is_refused() -> None:
    async with tierfold.open("memory:") as data:
        for where in ("a = 1", 5, ["a"], True):
            with pytest.raises(tierfold.QueryError):
                data.repo("Any").query(where)  # type: ignore[arg-type]


async def test_leaving_a_query_early_leaves_nothing_to_be_closed() -> None:
    """On trio a generator that nobody closes is a warning, which is an error here."""
    async with tierfold.open("memory:") as data:
        things = await renamed(data)
        async for _ in things.query():
            break
        given = aiter(things.query(sort=["event_code"]))
        assert (await anext(given)).event_code == "a"
