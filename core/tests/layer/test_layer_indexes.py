"""Indexes as a data layer keeps them: built and dropped in the background, and who is told why not."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import anyio
import pytest
from core.tests.layer.remote import Remote
from core.tests.layer.waiting import until

import tierfold
from tierfold import F

pytestmark = pytest.mark.anyio


class Bare(tierfold.Entity, name="Thing", partition="{site}"):
    site: str = "oslo"
    n: int = 0
    text: str = ""


class ByN(tierfold.Entity, name="Thing", partition="{site}", index=["n"]):
    site: str = "oslo"
    n: int = 0


class ByText(tierfold.Entity, name="Thing", partition="{site}", index=["text"]):
    site: str = "oslo"
    text: str = ""


def states(things: tierfold.Repository[Any]) -> dict[str, str]:
    return {".".join(index.path): index.state for index in things.indexes()}


async def ready(things: tierfold.Repository[Any], *paths: str) -> None:
    await until(lambda: states(things) == dict.fromkeys(paths, "ready"))


async def fill(data: tierfold.DataLayer, numbers: Sequence[int], site: str = "oslo") -> None:
    await data.repo(Bare).save_many([Bare(site=site, n=n, text=str(n % 10)) for n in numbers])


async def test_what_a_class_declares_is_built_over_what_is_there() -> None:
    async with tierfold.open("memory:") as data:
        await fill(data, range(1_200))
        things = data.repo(ByN)
        await ready(things, "n")
        assert [index.entries for index in things.indexes()] == [{1: 1_200}]
        assert (await things.query(F.n == 7).explain()).index == "n"


async def test_what_a_class_declares_is_shown_before_it_is_begun() -> None:
    async with tierfold.open("memory:") as data:
        things = data.repo(ByN)
        assert states(things) == {"n": "declared"}
        await things.save(ByN(n=1))
        warning = (await things.query(F.n == 1).explain()).warning
        assert warning is None or "the index on n is" in warning
        assert not await things.query(F.n == 7).count()
        await until(lambda: states(things) == {"n": "ready"})


async def test_what_a_class_declares_is_built_when_its_first_entity_comes() -> None:
    async with tierfold.open("memory:") as data:
        things = data.repo(ByN)
        await things.save(ByN(n=1))
        await ready(things, "n")
        await things.save(ByN(n=2))
        assert [index.entries for index in things.indexes()] == [{1: 2}]


async def test_nothing_is_written_for_a_type_without_data_or_by_a_raw_repository(tmp_path: Path) -> None:
    url = f"lmdb:{tmp_path / 'a'}"
    async with tierfold.open(url) as data:
        await fill(data, range(3))
    before = (tmp_path / "a" / "data.mdb").read_bytes()
    async with tierfold.open(url) as data:

        class Other(tierfold.Entity, index=["n"]):
            n: int = 0

        assert await data.repo(Other).query(F.n == 1).all() == []
        assert len(await data.repo("Thing").query(F.n >= 0).all()) == 3
        await anyio.sleep(0.3)  # several looks of the background
        assert states(data.repo(Other)) == {"n": "declared"}
    assert (tmp_path / "a" / "data.mdb").read_bytes() == before


async def test_what_a_class_no_longer_declares_is_dropped(tmp_path: Path) -> None:
    url = f"lmdb:{tmp_path / 'a'}"
    async with tierfold.open(url) as data:
        await fill(data, range(20))
        await ready(data.repo(ByN), "n")
    async with tierfold.open(url) as data:
        await ready(data.repo(ByText), "text")
        assert (await data.repo(ByText).query(F.text == "3").explain()).index == "text"
    async with tierfold.open(url) as data:
        await until(lambda: not data.repo(Bare).indexes())


async def test_a_raw_repository_drops_nothing(tmp_path: Path) -> None:
    url = f"lmdb:{tmp_path / 'a'}"
    async with tierfold.open(url) as data:
        await fill(data, range(20))
        await ready(data.repo(ByN), "n")
    async with tierfold.open(url) as data:
        documents = data.repo("Thing")
        await documents.save({"site": "oslo", "n": 100})
        assert (await documents.query(F.n == 100).explain()).index == "n"
        assert states(documents) == {"n": "ready"}


async def test_several_classes_of_one_type_have_all_their_indexes() -> None:
    async with tierfold.open("memory:") as data:
        await fill(data, range(20))
        await ready(data.repo(ByN), "n")
        await ready(data.repo(ByText), "n", "text")


async def test_two_layers_on_one_store_have_the_indexes_of_both(tmp_path: Path) -> None:
    url = f"lmdb:{tmp_path / 'a'}"
    async with tierfold.open(url) as one:
        await fill(one, range(20))
        await ready(one.repo(ByN), "n")
        async with tierfold.open(url) as other:
            await ready(other.repo(ByText), "n", "text")
            assert states(one.repo(ByN)) == {"n": "ready", "text": "ready"}


async def test_writers_go_on_while_an_index_is_built() -> None:
    async with tierfold.open("memory:") as data:
        await fill(data, range(3_000))
        things, bare = data.repo(ByN), data.repo(Bare)
        changed = 0
        while states(things) != {"n": "ready"}:
            await bare.save(Bare(n=-1))
            changed += 1
            await anyio.lowlevel.checkpoint()
        query = things.query(F.n == -1)
        assert (await query.explain()).index == "n"
        assert await query.count() == changed


async def test_a_query_goes_on_when_its_index_is_dropped_between_two_pages() -> None:
    async with tierfold.open("memory:") as data:
        await fill(data, range(50))
        things = data.repo(ByN)
        await ready(things, "n")
        query = things.query(F.n >= 10, sort=["-n"])
        first = await query.page(size=10)
        store: Any = data.tiers[0].store
        await store.hold_indexes("Thing", [], data._services.holder, 1.0)
        rest = await query.page(size=100, after=first.next)
        assert [thing.n for thing in (*first, *rest)] == list(range(49, 9, -1))


async def test_a_query_goes_on_when_its_index_is_dropped_while_it_reads() -> None:
    async with tierfold.open("memory:") as data:
        await fill(data, range(3_000))
        things = data.repo(ByN)
        await ready(things, "n")
        store: Any = data.tiers[0].store
        async with anyio.create_task_group() as tasks:
            for query in (things.query(F.n >= 0, sort=["n"]), things.query(F.n >= 0)):
                tasks.start_soon(_complete, query, 3_000)
            tasks.start_soon(_count, data.repo(Bare).query((F.n >= 0) & (F.text >= "")), 3_000)
            await anyio.lowlevel.checkpoint()
            await store.hold_indexes("Thing", [], data._services.holder, 1.0)


async def _count(query: tierfold.Query[Any], count: int) -> None:
    assert await query.count() == count


async def _complete(query: tierfold.Query[Any], count: int) -> None:
    page = await query.page(size=10_000)
    assert len({thing.id for thing in page}) == len(page) == count


# --- explanations ----------------------------------------------------------------------------------------------------


async def explained(things: tierfold.Repository[Any], *arguments: Any, **keywords: Any) -> tuple[Any, ...]:
    said = await things.query(*arguments, **keywords).explain()
    return said.index, said.order, said.scanned, said.returned


async def test_it_is_explained_how_a_query_is_answered() -> None:
    async with tierfold.open("memory:") as data:
        await fill(data, range(100))
        things, bare = data.repo(ByN), data.repo(Bare)
        await ready(things, "n")
        assert await explained(things) == (None, "stored", 100, 100)
        assert await explained(things, F.n < 10) == ("n", "index", 10, 10)
        assert await explained(things, F.n < 10, sort=["-n"]) == ("n", "index", 10, 10)
        assert await explained(things, sort=["-n"], limit=5) == ("n", "index", 16, 5)
        assert await explained(bare, (F.n < 10) & (F.text == "3")) == ("n", "index", 10, 1)
        assert await explained(bare, F.n < 10, sort=["text"]) == ("n", "sorted", 10, 10)
        assert await explained(bare, F.text == "3") == (None, "stored", 100, 10)
        assert await explained(bare, sort=["text"]) == (None, "sorted", 100, 100)
        assert await explained(things, F.id == "oslo.x") == ("id", "sorted", 1, 0)


async def test_it_is_said_what_would_be_faster() -> None:
    async with tierfold.open("memory:") as data:
        await fill(data, range(3))
        bare = data.repo(Bare)
        assert (await bare.query().explain()).warning is None
        assert (await bare.query(F.id == "oslo.x").explain()).warning is None
        said = await bare.query(F.n == 1).explain()
        assert said.warning == "a full scan: declare an index on a field of the condition or the order"
        assert str(said) == f"full scan, stored: 3 scanned, 1 returned; {said.warning}"
        assert str(await bare.query().explain()) == "full scan, stored: 3 scanned, 3 returned"


async def test_it_is_said_that_an_index_is_not_ready() -> None:
    async with tierfold.open("memory:") as data:
        await fill(data, range(3))
        store: Any = data.tiers[0].store
        await store.hold_indexes("Thing", [("n",)], b"somebody", 100.0)
        said = await data.repo(Bare).query(F.n == 1).explain()
        assert said.warning == "a full scan: the index on n is still being built"
        assert "declare an index" in str((await data.repo(Bare).query(F.text == "1").explain()).warning)


async def test_it_is_said_that_an_index_needs_every_partition_here() -> None:
    remote = Remote()
    async with tierfold.open("memory:a", "remote:", plugins=[remote]) as data:
        await fill(data, range(5), "rome")
        await data.sync_now()
    async with tierfold.open("memory:b", "remote:", plugins=[remote]) as data:
        await fill(data, range(5), "oslo")
        things = data.repo(ByN)
        await ready(things, "n")
        query = things.query(F.n == 1)
        assert (len(await query.all()), (await query.explain()).index) == (2, "n")


# --- several tiers ---------------------------------------------------------------------------------------------------


async def test_what_comes_from_a_farther_tier_is_in_the_index(tmp_path: Path) -> None:
    near, far = f"lmdb:{tmp_path / 'near'}", f"lmdb:{tmp_path / 'far'}"
    async with tierfold.open(far) as data:
        await fill(data, range(50), "oslo")
        await fill(data, range(50), "rome")
    async with tierfold.open(near, far) as data:
        things = data.repo(ByN)
        await things.save(ByN(site="bern", n=7))
        await ready(things, "n")
        query = things.query(F.n == 7)
        assert {thing.site for thing in await query.all()} == {"bern", "oslo", "rome"}
        assert (await query.explain()).index == "n"
        moved = await things.move((await query.all())[0].id, site="york")
        assert moved.site == "york"
        await things.delete(moved.id)
        assert await query.count() == 2
        assert (await data.sync_now()).verified
        assert [sum(index.entries.values()) for index in things.indexes()] == [100]
