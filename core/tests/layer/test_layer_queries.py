"""Queries by ids and partitions, in pages, over what is here and what can be reached."""

from __future__ import annotations

import random
from contextlib import nullcontext
from pathlib import Path

import anyio
import anyio.lowlevel
import pytest
from core.tests.layer.remote import Remote
from core.tests.layer.waiting import until

import tierfold
from tierfold import F
from tierfold.testing.faults import FlakyStore

pytestmark = pytest.mark.anyio


class Thing(tierfold.Entity, partition="{site}"):
    site: str
    n: int = 0


async def fill(data: tierfold.DataLayer, *sites: str, count: int = 10) -> list[Thing]:
    things = [Thing(id=f"{site}.{n}", site=site, n=n) for site in sites for n in range(count)]
    return await data.repo(Thing).save_many(things)


def ids(things: tierfold.Page[Thing] | list[Thing]) -> list[str]:
    return [thing.id for thing in things]


async def walk(query: tierfold.Query[Thing], size: int) -> list[list[str]]:
    pages = [await query.page(size=size)]
    while (after := pages[-1].next) is not None:
        pages.append(await query.page(after=after, size=size))
    return [ids(page) for page in pages]


async def test_all_entities_come_partition_by_partition_in_one_order() -> None:
    async with tierfold.open("memory:") as data:
        saved = await fill(data, "rome", "oslo")
        await data.repo("Other").save({"a": 1})
        found = await data.repo(Thing).query().all()
        assert sorted(ids(found)) == sorted(ids(saved))
        assert [thing.site for thing in found] == ["oslo"] * 10 + ["rome"] * 10
        assert await data.repo(Thing).query().all() == found
        assert [thing async for thing in data.repo(Thing).query()] == found


async def test_partitions_are_chosen_by_their_logical_keys() -> None:
    async with tierfold.open("memory:") as data:
        await fill(data, "oslo", "rome", "bern")
        things = data.repo(Thing)
        found = await things.query(partitions=["rome", "bern", "rome", "nowhere"]).all()
        assert {thing.site for thing in found} == {"rome", "bern"}
        assert len(found) == 20
        assert await things.query(partitions=[]).all() == []


async def test_ids_are_chosen_and_missing_ones_left_out() -> None:
    async with tierfold.open("memory:") as data:
        await fill(data, "oslo", "rome")
        things = data.repo(Thing)
        await things.delete("oslo.2")
        wanted = ["rome.1", "oslo.1", "oslo.1", "oslo.2", "oslo.none", "bern.1"]
        assert ids(await things.query(F.id.is_in(wanted), sort=["-id"]).all()) == ["rome.1", "oslo.1"]
        assert ids(await things.query(F.id.is_in(wanted), partitions=["rome"]).all()) == ["rome.1"]
        assert await walk(things.query(F.id.is_in([f"oslo.{n}" for n in range(5)]), sort=["id"]), 2) == [
            ["oslo.0", "oslo.1"],
            ["oslo.3", "oslo.4"],
        ]
        assert await things.query(F.id.is_in([])).all() == []


@pytest.mark.parametrize("size", [1, 3, 7, 20, 21, 1000])
async def test_pages_together_are_the_whole(size: int) -> None:
    async with tierfold.open("memory:") as data:
        await fill(data, "oslo", "rome")
        query = data.repo(Thing).query()
        pages = await walk(query, size)
        assert [id for page in pages for id in page] == ids(await query.all())
        assert all(len(page) == size for page in pages[:-1])
        assert 0 < len(pages[-1]) <= size


@pytest.mark.parametrize("limit", [1, 9, 10, 11, 20, 50])
async def test_a_limit_holds_over_all_pages(limit: int) -> None:
    async with tierfold.open("memory:") as data:
        await fill(data, "oslo", "rome")
        every = ids(await data.repo(Thing).query().all())
        query = data.repo(Thing).query(limit=limit)
        assert ids(await query.all()) == every[:limit]
        assert [id for page in await walk(query, 4) for id in page] == every[:limit]


async def test_a_smaller_limit_ends_the_pages_of_a_larger_one() -> None:
    async with tierfold.open("memory:") as data:
        await fill(data, "oslo")
        things = data.repo(Thing)
        larger = await things.query(limit=9).page(size=8)
        smaller = await things.query(limit=5).page(after=larger.next)
        assert (len(smaller), smaller.next) == (0, None)
        last = await things.query(limit=5).page(before=smaller.prev, size=2)
        assert (ids(last), last.next) == (ids(larger)[3:5], None)


async def test_a_page_before_which_nothing_is_left_leads_back() -> None:
    async with tierfold.open("memory:") as data:
        every = ids(await fill(data, "oslo"))
        things = data.repo(Thing)
        query = things.query(sort=["id"], limit=7)
        first = await query.page(size=3)
        behind = await query.page(after=first.next, size=3)
        for id in every[:3]:
            await things.delete(id)
        empty = await query.page(before=behind.prev, size=3)
        assert (len(empty), empty.prev) == (0, None)
        again = await query.page(after=empty.next, size=5)
        assert (ids(again), again.prev) == (every[3:8], None)
        rest = await query.page(after=again.next)
        assert (ids(rest), rest.next) == (every[8:], None)


@pytest.mark.parametrize("limit", [None, 6, 50])
async def test_a_page_behind_which_nothing_is_left_leads_back(limit: int | None) -> None:
    async with tierfold.open("memory:") as data:
        every = ids(await fill(data, "oslo"))
        things = data.repo(Thing)
        query = things.query(sort=["id"], limit=limit)
        first = await query.page(size=5)
        for id in every[5:]:
            await things.delete(id)
        empty = await query.page(after=first.next, size=3)
        assert (len(empty), empty.next) == (0, None)
        late = [await things.save(Thing(site="oslo", id=f"oslo.late{number}")) for number in range(3)]
        left = [*every[:5], *ids(late)][:limit]
        last = await query.page(before=empty.prev, size=4)
        assert (ids(last), last.next) == (left[-4:], None)
        assert ids(await query.page(before=last.prev, size=4)) == left[-8:-4]


@pytest.mark.parametrize("sort", [[], ["id"]])
async def test_a_page_of_nothing_leads_nowhere(sort: list[str]) -> None:
    async with tierfold.open("memory:") as data:
        every = await fill(data, "oslo")
        things = data.repo(Thing)
        query = things.query(sort=sort)
        page = await query.page(size=5)
        for thing in every:
            await things.delete(thing.id)
        behind = await query.page(after=page.next)
        before = await query.page(before=behind.prev)
        assert [(len(each), each.next, each.prev) for each in (await query.page(), before)] == [(0, None, None)] * 2


async def test_a_page_is_a_sequence() -> None:
    async with tierfold.open("memory:") as data:
        await fill(data, "oslo")
        page = await data.repo(Thing).query().page(size=4)
        assert (len(page), page[0], list(page[1:]), page.complete, page.missing) == (
            4,
            page.items[0],
            list(page.items[1:]),
            True,
            (),
        )
        assert page.items[3] in page


@pytest.mark.parametrize("seed", range(5))
async def test_a_cursor_survives_inserts_and_deletes(seed: int) -> None:
    """What is there throughout is seen exactly once."""
    choose = random.Random(seed)
    async with tierfold.open("memory:") as data:
        things = data.repo(Thing)
        stays = {thing.id for thing in await fill(data, "bern", "oslo", "rome")}
        seen: list[str] = []
        after: str | None = None
        while True:
            page = await things.query().page(after=after, size=choose.randint(1, 5))
            seen += ids(page)
            if page.next is None:
                break
            after = page.next
            gone = {page.items[-1].id, choose.choice(sorted(stays))}
            stays -= gone
            for id in gone:
                await things.delete(id)
            await things.save(Thing(site=choose.choice(["bern", "oslo", "rome", "york"])))
        assert len(seen) == len(set(seen))
        assert stays <= set(seen)


@pytest.mark.parametrize("cursor", ["", "nonsense", "ä", "AAAA", "x" * 500])
async def test_what_is_no_cursor_is_an_error(cursor: str) -> None:
    async with tierfold.open("memory:") as data:
        with pytest.raises(tierfold.QueryError):
            await data.repo(Thing).query().page(after=cursor)


async def test_a_cursor_of_another_query_is_an_error() -> None:
    async with tierfold.open("memory:") as data:
        await fill(data, "oslo", "rome")
        things = data.repo(Thing)
        cursor = (await things.query(partitions=["oslo"]).page(size=2)).next
        assert cursor is not None
        for other in (
            things.query(),
            things.query(partitions=["oslo", "rome"]),
            things.query(F.id == "oslo.1", partitions=["oslo"]),
            things.query(partitions=["oslo"], sort=["n"]),
        ):
            with pytest.raises(tierfold.QueryError):
                await other.page(after=cursor)
        with pytest.raises(tierfold.QueryError):
            await data.repo("Other").query(partitions=["oslo"]).page(after=cursor)
        assert len(await things.query(partitions=["oslo", "oslo"]).page(after=cursor, size=100)) == 8


async def test_a_cursor_is_good_in_another_program(tmp_path: Path) -> None:
    url = f"lmdb:{tmp_path / 'a'}"
    async with tierfold.open(url) as data:
        await fill(data, "oslo")
        first = await data.repo(Thing).query().page(size=4)
    async with tierfold.open(url) as data:
        rest = await data.repo(Thing).query().page(after=first.next)
    assert sorted(ids(first) + ids(rest)) == sorted(f"oslo.{n}" for n in range(10))


@pytest.mark.parametrize("number", [0, -1])
async def test_a_query_gives_at_least_one_entity(number: int) -> None:
    async with tierfold.open("memory:") as data:
        await fill(data, "oslo")
        with pytest.raises(tierfold.QueryError):
            await data.repo(Thing).query(limit=number).all()
        with pytest.raises(tierfold.QueryError):
            await data.repo(Thing).query().page(size=number)


async def test_what_cannot_be_a_partition_is_an_error_and_what_cannot_be_an_id_is_nobodys() -> None:
    async with tierfold.open("memory:") as data:
        await fill(data, "oslo")
        with pytest.raises(tierfold.ValidationError):
            data.repo(Thing).query(partitions=["o slo"])
        assert await data.repo(Thing).query(F.id.is_in(["oslo", "", 7, None])).all() == []


# --- over several tiers ----------------------------------------------------------------------------------------------


async def test_a_query_brings_down_what_farther_tiers_have() -> None:
    remote = Remote()
    async with tierfold.open("memory:a", "remote:", plugins=[remote]) as data:
        await fill(data, "oslo", "rome")
        await data.sync_now()
    async with tierfold.open("memory:b", "remote:", plugins=[remote]) as data:
        page = await data.repo(Thing).query().page()
        assert (len(page), page.complete) == (20, True)
        assert await data.repo(Thing).query(partitions=["nowhere"]).all() == []


async def test_what_cannot_be_reached_is_named_and_own_writes_are_given_all_the_same() -> None:
    remote = Remote(FlakyStore())
    async with tierfold.open("memory:a", "remote:", plugins=[remote]) as data:
        await fill(data, "oslo", "rome", count=3)
        await data.sync_now()
    async with tierfold.open("memory:b", "remote:", plugins=[remote]) as data:
        things = data.repo(Thing)
        await things.query(partitions=["oslo"]).all()
        assert isinstance(remote.fault, FlakyStore)
        remote.fault.down = True
        own = await things.save(Thing(site="rome"))
        query = things.query(partitions=["oslo", "rome"])
        page = await query.page()
        assert (page.complete, page.missing) == (False, ("rome",))
        assert sorted(ids(page)) == sorted(["oslo.0", "oslo.1", "oslo.2", own.id])
        given = aiter(query)
        assert sorted([(await anext(given)).id for _ in page]) == sorted(ids(page))
        with pytest.raises(tierfold.PartitionUnavailableError, match="rome"):
            await anext(given)


@pytest.mark.parametrize("reachable", [True, False])
async def test_a_query_of_everything_is_incomplete_while_a_tier_cannot_be_asked(
    tmp_path: Path, reachable: bool
) -> None:
    """Nobody knows which partitions it has; what is here is given."""
    remote = Remote(FlakyStore(), reachable=reachable)
    async with tierfold.open(f"lmdb:{tmp_path / 'a'}", "remote:", plugins=[remote]) as data:
        await fill(data, "oslo", count=3)
        if reachable:
            await data.sync_now()
        assert isinstance(remote.fault, FlakyStore)
        remote.fault.down = True
        page = await data.repo(Thing).query().page()
        assert len(page) == 3
        assert not page.complete
        if reachable:
            assert page.missing == ()
            assert len(await data.repo(Thing).query().all()) == 3


# --- loops -----------------------------------------------------------------------------------------------------------


class Paid(tierfold.Entity, name="Paid", index=["pay"]):
    pay: int = 0


@pytest.mark.parametrize("in_transaction", [False, True])
@pytest.mark.parametrize("sort", [[], ["pay"], ["-pay"]])
async def test_a_loop_that_changes_what_it_goes_by_comes_to_each_entity_once(
    sort: list[str], in_transaction: bool
) -> None:
    async with tierfold.open("memory:") as data:
        paid = data.repo(Paid)
        await paid.save_many([Paid(pay=number) for number in range(1_500)])
        await until(lambda: [index.state for index in paid.indexes()] == ["ready"])
        times = 0
        async with data.transaction() if in_transaction else nullcontext():
            async for one in paid.query(F.pay >= -5_000, sort=sort):
                one.pay += -2_000 if sort == ["-pay"] else 2_000
                await paid.save(one)
                times += 1
        assert times == 1_500
        assert await paid.query((F.pay >= 2_000) | (F.pay < 0)).count() == 1_500


async def test_a_page_shows_what_moves_along_an_index_once() -> None:
    async with tierfold.open("memory:") as data:
        paid = data.repo(Paid)
        entities = await paid.save_many([Paid(pay=number) for number in range(3_000)])
        await until(lambda: [index.state for index in paid.indexes()] == ["ready"])

        async def move() -> None:
            for one in entities[:500]:
                one.pay += 10_000
                await paid.save(one)

        async with anyio.create_task_group() as tasks:
            tasks.start_soon(move)
            page = await paid.query(F.pay >= 0).page(size=5_000)
        assert len({one.id for one in page}) == len(page)


async def test_a_long_loop_lets_others_run() -> None:
    async with tierfold.open("memory:") as data:
        paid = data.repo(Paid)
        await paid.save_many([Paid(pay=number) for number in range(5_000)])
        turns = 0

        async def count_turns() -> None:
            nonlocal turns
            while True:
                turns += 1
                await anyio.lowlevel.checkpoint()

        async with anyio.create_task_group() as tasks:
            tasks.start_soon(count_turns)
            assert len(await paid.query().all()) == 5_000
            tasks.cancel_scope.cancel()
        assert turns > 10
