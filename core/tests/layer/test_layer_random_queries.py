"""Whole queries give what a loop over all documents gives: conditions, order, limits, pages both ways, counts."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import AsyncGenerator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from random import Random
from typing import Any, Final

import pytest
from core.tests.layer.waiting import until
from core.tests.where.documents import holds
from core.tests.where.random_documents import Sort, condition, document, expected, sort_of

import tierfold
from tierfold.where.mango import to_mango
from tierfold.where.tree import EVERYTHING, Condition

pytestmark = pytest.mark.anyio

SITES: Final = ["oslo", "oslo-1", "os lo", "rome"]
Document = dict[str, Any]
Raw = tierfold.Repository[Document]


class Plain(tierfold.Entity, name="Thing", partition="{site}"):
    site: str


class Indexed(tierfold.Entity, name="Thing", partition="{site}", index=["a", "b", "c.d"]):
    site: str
    a: Any = None
    b: Any = None
    c: dict[str, Any] | None = None


class Scene:
    """A repository and, beside it, what is in it."""

    def __init__(self, things: Raw, random: Random) -> None:
        self.things, self.random = things, random
        self.documents: dict[str, Document] = {}
        self._made = 0

    @property
    def all(self) -> list[Document]:
        return list(self.documents.values())

    async def add(self, count: int) -> None:
        made = [{**document(self.random), "site": self.random.choice(SITES), "id": self._id()} for _ in range(count)]
        for each in made:
            each["id"] = each["site"].replace(" ", "%20") + each["id"]
        for saved in await self.things.save_many(made):
            self.documents[saved["id"]] = saved

    def _id(self) -> str:
        """Ids of several lengths, in an order of their own, some of which others begin with."""
        self._made += 1
        return f".{self.random.choice('Az-_9')}{self._made % 7}{'-' * (self._made % 3)}{self._made}"

    async def change(self) -> set[str]:
        """Add some, delete some, change some; the ids of those that are no more what they were."""
        await self.add(self.random.randint(0, 4))
        touched = set(self.random.sample(sorted(self.documents), min(4, len(self.documents))))
        for number, id in enumerate(sorted(touched)):
            old = self.documents.pop(id)
            if number % 2:
                await self.things.delete(id)
            else:
                kept = {name: old[name] for name in ("id", "site")}
                self.documents[id] = await self.things.save({**document(self.random), **kept})
        return touched


@asynccontextmanager
async def scene(url: str, cls: type[tierfold.Entity], random: Random) -> AsyncGenerator[Scene]:
    """Some documents under two prefixes, where the store is one that outlives a layer."""
    async with AsyncExitStack() as stack:
        data = await stack.enter_async_context(tierfold.open(url))
        if url.startswith("lmdb"):
            foreign = await stack.enter_async_context(tierfold.open(url, prefix="other"))
            foreign.repo(cls)
            await foreign.repo(cls).save(cls(site="rome"))  # type: ignore[call-arg]
            await Scene(foreign.repo("Thing"), Random(1)).add(20)
        typed = data.repo(cls)
        first = await typed.save(cls(site="oslo"))  # type: ignore[call-arg]
        await typed.delete(first.id)
        indexes = len(["a", "b", "c.d"]) if cls is Indexed else 0
        await until(lambda: [index.state for index in typed.indexes()] == ["ready"] * indexes)
        made = Scene(data.repo("Thing"), random)
        await made.add(30)
        yield made


# --- comparing -------------------------------------------------------------------------------------------------------


def said(where: Condition, sort: list[Sort], limit: int | None) -> str:
    return f"{to_mango(where)} sort {[str(field) for field in sort]} limit {limit}"


class Case:
    """A query and what it must give."""

    def __init__(self, scene: Scene) -> None:
        random = self.random = scene.random
        self.where = condition(random, scene.all)
        self.sort = sort_of(random)
        self.limit = random.choice([None, None, 1, 3, 7, 1_000])
        partitions = random.choice([None, None, None, ["oslo"], ["os%20lo", "rome", "nowhere"]])
        chosen = [each for each in scene.all if partitions is None or each["site"].replace(" ", "%20") in partitions]
        self.every = expected(chosen, self.where, self.sort)
        self.query = scene.things.query(
            self.where if random.random() < 0.5 else to_mango(self.where),
            partitions=partitions,
            sort=[str(field) for field in self.sort],
            limit=self.limit,
        )
        self.name = f"{said(self.where, self.sort, self.limit)} partitions {partitions}"

    async def check(self) -> None:
        found = await self.query.all()
        assert await self.query.count() == len(self.every), self.name
        if self.sort:
            assert found == self.every[: self.limit], self.name
        else:
            assert all(each in self.every for each in found), self.name
            assert len({each["id"] for each in found}) == len(found) == len(self.every[: self.limit]), self.name
        first = await self.query.first()
        assert first == (found[0] if found else None), self.name
        await self.check_pages(found)
        explained = await self.query.explain()
        assert explained.returned == len(found), self.name

    async def check_pages(self, found: list[Document]) -> None:
        """Walk to and fro."""
        size = self.random.choice([1, 2, 3, 5, 100])
        page = await self.query.page(size=size)
        at = 0
        for _ in range(12):
            end = min(at + size, len(found))
            assert list(page) == found[at:end], self.name
            assert (page.next is None) == (end == len(found)), self.name
            assert (page.prev is None) == (at == 0), self.name
            size = self.random.choice([1, 2, 3, 5, 100])
            if page.next is not None and (page.prev is None or self.random.random() < 0.7):
                page, at = await self.query.page(after=page.next, size=size), end
            elif page.prev is not None:
                start = max(0, at - size)
                page, size, at = await self.query.page(before=page.prev, size=size), at - start, start
            else:
                return


def seeds(short: int, long: int) -> list[Any]:
    """Few, and many for the long proof. ``TIERFOLD_SEED`` begins elsewhere."""
    start = int(os.environ.get("TIERFOLD_SEED", "0"))
    quick = [pytest.param(start + number, id=f"seed {start + number}") for number in range(short)]
    slow = [
        pytest.param(start + number, id=f"seed {start + number}", marks=pytest.mark.prove)
        for number in range(short, long)
    ]
    return quick + slow


STORES: Final = ["memory", "lmdb"]
CLASSES: Final[Mapping[str, type[tierfold.Entity]]] = {"scan": Plain, "indexes": Indexed}


@pytest.mark.parametrize("seed", seeds(1, 25))
@pytest.mark.parametrize("way", CLASSES)
@pytest.mark.parametrize("store", STORES)
async def test_queries_give_what_a_loop_over_all_documents_gives(
    store: str, way: str, seed: int, tmp_path: Path
) -> None:
    """30 documents and more, 10 conditions: 300 cases."""
    url = "memory:" if store == "memory" else f"lmdb:{tmp_path / 'a'}"
    async with scene(url, CLASSES[way], Random(seed)) as made:
        for _ in range(10):
            await Case(made).check()
            await made.change()


@pytest.mark.parametrize("seed", seeds(1, 15))
@pytest.mark.parametrize("way", CLASSES)
@pytest.mark.parametrize("store", STORES)
@pytest.mark.parametrize("back", [False, True], ids=["forward", "backward"])
async def test_what_is_there_throughout_is_seen_once_while_others_come_and_go(
    back: bool, store: str, way: str, seed: int, tmp_path: Path
) -> None:
    url = "memory:" if store == "memory" else f"lmdb:{tmp_path / 'a'}"
    async with scene(url, CLASSES[way], Random(1_000 + seed)) as made:
        for _ in range(4):
            await walk(made, back=back)


async def walk(made: Scene, *, back: bool) -> None:
    random = made.random
    where, sort = condition(random, made.all), sort_of(random)
    query = made.things.query(where, sort=[str(field) for field in sort])
    name = said(where, sort, None)
    stays = {each["id"] for each in made.all if holds(where, each)}
    seen: list[str] = []
    page = await (last_page(query) if back else query.page(size=random.randint(1, 5)))
    while True:
        seen += [each["id"] for each in (reversed(page.items) if back else page.items)]
        cursor = page.prev if back else page.next
        if cursor is None:
            break
        stays -= await made.change()
        size = random.randint(1, 5)
        page = await (query.page(before=cursor, size=size) if back else query.page(after=cursor, size=size))
    times = Counter(seen)
    assert [(id, times[id]) for id in stays if times[id] != 1] == [], name


@pytest.mark.parametrize("seed", seeds(1, 15))
@pytest.mark.parametrize("way", CLASSES)
@pytest.mark.parametrize("store", STORES)
async def test_whoever_turns_pages_while_others_delete_never_gets_stuck(
    store: str, way: str, seed: int, tmp_path: Path
) -> None:
    url = "memory:" if store == "memory" else f"lmdb:{tmp_path / 'a'}"
    async with scene(url, CLASSES[way], Random(2_000 + seed)) as made:
        for _ in range(8):
            await Turning(made).turn()


class Turning:
    """Pages to and fro, with much deleted in between, often all on one side."""

    def __init__(self, made: Scene) -> None:
        self.made, self.random = made, made.random
        self.where, self.sort = EVERYTHING, sort_of(made.random)
        self.limit = made.random.choice([None, None, 5, 12])
        fields = [str(field) for field in self.sort]
        self.query = made.things.query(self.where, sort=fields, limit=self.limit)
        self.name = said(self.where, self.sort, self.limit)

    async def turn(self) -> None:
        size = self.random.choice([1, 3, 8])
        page, ahead = await self.query.page(size=size), 0
        for _ in range(12):
            self.check(page)
            if page.prev is None:
                ahead = 0
            ahead += len(page)
            await self.delete(page)
            await self.made.add(self.random.choice([0, 0, 3]))
            if page.next is not None and (page.prev is None or self.random.random() < 0.5):
                page = await self.query.page(after=page.next, size=size)
                assert page.prev is None or self.limit is None or ahead + len(page) <= self.limit, self.name
            elif page.prev is not None:
                page, ahead = await self.query.page(before=page.prev, size=size), 0
            else:
                page, ahead = await self.query.page(size=size), 0

    def check(self, page: tierfold.Page[Document]) -> None:
        """Whatever there is on a side, there is a cursor to it."""
        every = [each["id"] for each in expected(self.made.all, self.where, self.sort)]
        if page and self.sort:
            assert page.prev is not None or every[0] == page[0]["id"], self.name
            assert page.next is not None or self.limit is not None or every[-1] == page[-1]["id"], self.name
        elif not page:
            assert (page.next is None) or (page.prev is None), self.name
            assert (page.next or page.prev) is not None or not every, self.name

    async def delete(self, page: tierfold.Page[Document]) -> None:
        every = [each["id"] for each in expected(self.made.all, self.where, self.sort)]
        some = [id for id in every if self.random.random() < 0.1]
        if page and self.sort and self.random.random() < 0.4:
            start, end = every.index(page[0]["id"]), every.index(page[-1]["id"]) + 1
            some = self.random.choice([every[:start], every[end:], every[:end], every[start:]])
        for id in some:
            del self.made.documents[id]
            await self.made.things.delete(id)


async def last_page(query: tierfold.Query[Document]) -> tierfold.Page[Document]:
    """The last entity."""
    page = await query.page(size=1)
    while page.next is not None:
        page = await query.page(after=page.next, size=1)
    return page
