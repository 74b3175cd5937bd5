"""A volatile tier in front of a durable one: what is acknowledged is durable, and what was written can be read."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from pathlib import Path

import anyio
import anyio.lowlevel
import pytest
from core.tests.layer.remote import NoOptions, Remote
from core.tests.layer.waiting import until

import tierfold
from tierfold.kv.memory import MemoryEngine
from tierfold.kv.store import KvStore
from tierfold.spi import (
    Changes,
    EntityStore,
    Identity,
    OpenContext,
    Position,
    Scan,
    SegmentName,
    StoreId,
    StoreSpec,
    hookimpl,
)
from tierfold.testing.faults import FlakyStore

pytestmark = pytest.mark.anyio


class Thing(tierfold.Entity, partition="{site}"):
    site: str = "oslo"
    n: int = 0


async def test_what_is_acknowledged_is_in_the_durable_tier(tmp_path: Path) -> None:
    url = f"lmdb:{tmp_path / 'a'}"
    async with tierfold.open("memory:", url) as data, tierfold.open(url) as disk:
        things, on_disk = data.repo(Thing), disk.repo(Thing)
        data.links["lmdb"].pause()
        one, two = await things.save_many([Thing(site="oslo"), Thing(site="rome")])
        assert await on_disk.get_many([one.id, two.id]) == {one.id: one, two.id: two}
        one.n = 1
        await things.save(one)
        assert await on_disk.get(one.id) == one
        await things.delete(two.id)
        assert await on_disk.get(two.id) is None
        assert not data.dirty
        meta = await on_disk.meta(one.id)
        assert meta is not None
        assert meta.pending == ()


async def test_every_write_can_be_read_at_once_through_the_cache(tmp_path: Path) -> None:
    async with tierfold.open("memory:", f"lmdb:{tmp_path / 'a'}") as data:
        things = data.repo(Thing)
        thing = await things.save(Thing())
        assert await things.get(thing.id) == thing
        for n in range(20):
            thing.n = n
            await things.save(thing)
            assert await things.get(thing.id) == thing
        moved = await things.move(thing.id, site="rome")
        assert (await things.get(thing.id), await things.get(moved.id)) == (None, moved)
        assert (await things.modify(moved.id, lambda old: Thing(id=old.id, site="rome", n=5))).n == 5
        meta = await things.meta(moved.id)
        assert meta is not None
        await things.delete(moved.id, if_match=meta.etag)
        assert await things.get(moved.id) is None
        assert await things.query().all() == []


async def test_writers_and_readers_of_one_program_agree_while_a_partition_comes_down(tmp_path: Path) -> None:
    """Every save can be read by who made it, whatever the cache does meanwhile."""
    url = f"lmdb:{tmp_path / 'a'}"
    async with tierfold.open(url) as disk:
        await disk.repo(Thing).save_many([Thing(id=f"oslo.{n}") for n in range(300)])
    async with tierfold.open("memory:", url) as data:
        things = data.repo(Thing)
        stale: list[tuple[int, int]] = []

        async def write(number: int) -> None:
            for n in range(1, 15):
                await things.save(Thing(id=f"oslo.{number}", n=n))
                found = await things.get(f"oslo.{number}")
                if found is None or found.n != n:
                    stale.append((n, -1 if found is None else found.n))

        async with anyio.create_task_group() as tasks:
            for number in range(5):
                tasks.start_soon(write, number)
        assert stale == []


async def test_a_cache_follows_what_other_programs_write(tmp_path: Path) -> None:
    url = f"lmdb:{tmp_path / 'a'}"
    async with tierfold.open("memory:", url) as data, tierfold.open(url) as other:
        thing = await data.repo(Thing).save(Thing())
        await data.repo(Thing).get(thing.id)
        for n in range(1, 4):
            await other.repo(Thing).save(Thing(id=thing.id, n=n))

            async def arrived(n: int = n) -> bool:
                found = await data.repo(Thing).get(thing.id)
                return found is not None and found.n == n

            await until(arrived)


async def test_compare_and_set_looks_at_the_durable_tier_and_not_at_the_cache(tmp_path: Path) -> None:
    url = f"lmdb:{tmp_path / 'a'}"
    async with tierfold.open("memory:", url) as data, tierfold.open(url) as other:
        things = data.repo(Thing)
        thing = await things.save(Thing())
        meta = await things.meta(thing.id)
        assert meta is not None
        data.links["lmdb"].pause()
        theirs = await other.repo(Thing).save(Thing(id=thing.id, n=7))
        with pytest.raises(tierfold.StaleWriteError) as error:
            await things.save(thing, if_match=meta.etag)
        assert error.value.current == theirs
        assert (await things.modify(thing.id, lambda old: Thing(id=old.id, n=old.n + 1))).n == 8
        with pytest.raises(tierfold.AlreadyExistsError):
            await things.create(Thing(id=thing.id))


async def test_a_durable_tier_that_is_missing_refuses_writes_until_it_is_there(tmp_path: Path) -> None:
    file = tmp_path / "a"
    file.write_text("in the way")
    async with tierfold.open("memory:", f"lmdb:{file}") as data:
        things = data.repo(Thing)
        thing = Thing()
        with pytest.raises(tierfold.StoreUnavailableError) as error:
            await things.save(thing)
        assert error.value.transient
        with pytest.raises(tierfold.StoreUnavailableError):
            data.events()
        with pytest.raises(tierfold.PartitionUnavailableError):
            await things.get("oslo.1")
        page = await things.query().page()
        assert (page.complete, len(page)) == (False, 0)
        file.unlink()
        await data.sync_now(timeout_s=15)
        saved = await things.save(thing)
        assert await things.get(saved.id) == saved
        assert await things.query().all() == [saved]


async def test_writes_behind_are_acknowledged_at_once_and_delivered_later(tmp_path: Path) -> None:
    url = f"lmdb:{tmp_path / 'a'}"
    async with tierfold.open(tierfold.Tier("memory:", writes="behind"), tierfold.Tier(url, name="disk")) as data:
        assert not data.status().durable
        data.links["disk"].pause()
        saved = await data.repo(Thing).save(Thing())
        meta = await data.repo(Thing).meta(saved.id)
        assert meta is not None
        assert meta.pending == ("disk",)
        assert data.dirty
        data.links["disk"].resume()
        await until(lambda: not data.dirty)
        last = await data.repo(Thing).save(Thing())
    async with tierfold.open(url) as data:
        assert await data.repo(Thing).get_many([saved.id, last.id]) == {saved.id: saved, last.id: last}


async def test_two_caches_in_front_of_one_disk(tmp_path: Path) -> None:
    async with tierfold.open("memory:a", "memory:b", f"lmdb:{tmp_path / 'c'}") as data:
        things = data.repo(Thing)
        thing = await things.save(Thing())
        assert await things.get(thing.id) == thing
        for n in range(5):
            thing.n = n
            await things.save(thing)
            assert await things.get(thing.id) == thing
        report = await data.sync_now()
        assert report.verified is True
        roots = [(await tier.store.own_root()).root for tier in data.tiers]  # type: ignore[union-attr]
        assert len(set(roots)) == 1


async def test_behind_a_cache_own_writes_are_found_while_the_farthest_tier_is_cut_off(tmp_path: Path) -> None:
    """They wait in the durable tier for a partition that nobody could bring down."""
    remote = Remote(FlakyStore())
    async with tierfold.open("memory:", f"lmdb:{tmp_path / 'a'}", "remote:", plugins=[remote]) as data:
        await data.sync_now()
        assert isinstance(remote.fault, FlakyStore)
        remote.fault.down = True
        things = data.repo(Thing)
        saved = await things.save(Thing())
        assert await things.get(saved.id) == saved
        page = await things.query(partitions=["oslo"]).page()
        assert (list(page), page.missing) == ([saved], ("oslo",))
        assert (await things.modify(saved.id, lambda old: Thing(id=old.id, n=3))).n == 3
        remote.fault.down = False
        assert (await data.sync_now(timeout_s=15)).verified is True
        meta = await things.meta(saved.id)
        assert meta is not None
        assert meta.pending == ()


async def test_a_cancelled_save_that_was_committed_can_be_read_through_the_cache(tmp_path: Path) -> None:
    url = f"lmdb:{tmp_path / 'a'}"
    async with tierfold.open("memory:", url) as data, tierfold.open(url) as disk:
        things = data.repo(Thing)
        await things.save(Thing(id="oslo.1"))
        await things.get("oslo.1")
        for n in range(1, 15):
            async with anyio.create_task_group() as tasks:
                tasks.start_soon(things.save, Thing(id="oslo.1", n=n))
                for _ in range(n % 5):
                    await anyio.lowlevel.checkpoint()
                tasks.cancel_scope.cancel()

            async def agree() -> bool:
                return await things.get("oslo.1") == await disk.repo(Thing).get("oslo.1")

            await until(agree)


async def test_memory_in_front_of_disk_does_not_outgrow_what_is_read(tmp_path: Path) -> None:
    """Only partitions that were asked for are held."""
    url = f"lmdb:{tmp_path / 'a'}"
    async with tierfold.open(url) as disk:
        await disk.repo(Thing).save_many([Thing(site=f"s{n}") for n in range(50)])
    async with tierfold.open("memory:", url) as data:
        await data.repo(Thing).query(partitions=["s1"]).all()
        await data.sync_now()
        store = data.tiers[0].store
        assert store is not None
        assert [segment.partition for segment in (await store.feed(None)).segments] == ["app.s1"]


class GatedDisk:
    """Provides ``disk:``, a local tier that counts as durable and can be stopped in the middle of an answer."""

    def __init__(self) -> None:
        self.store: GatedStore | None = None

    @hookimpl
    def provide_stores(self) -> list[StoreSpec[NoOptions]]:
        return [StoreSpec("disk", self.open, NoOptions)]

    @asynccontextmanager
    async def open(self, location: str, options: NoOptions, context: OpenContext) -> AsyncGenerator[EntityStore]:
        self.store = GatedStore(MemoryEngine("disk"), context)
        await self.store.identify()
        yield self.store


class GatedStore(KvStore):
    """Stops before or behind the calls named in `gates`, each once, until the event is set; `stopped` says where."""

    def __init__(self, engine: MemoryEngine, context: OpenContext) -> None:
        super().__init__(engine, context)
        self.gates: dict[str, anyio.Event] = {}
        self.stopped: set[str] = set()

    async def identity(self) -> Identity:
        return Identity((await super().identity()).store, durable=True)

    async def snapshot_page(self, segment: SegmentName, after: bytes, limit_bytes: int) -> Scan:
        page = await super().snapshot_page(segment, after, limit_bytes)
        await self.stop("behind snapshot_page")
        return page

    async def changes(
        self, segment: SegmentName, after: Position | None, limit_bytes: int, echo: StoreId | None
    ) -> Changes:
        await self.stop("before changes")
        changes = await super().changes(segment, after, limit_bytes, echo)
        await self.stop("behind changes")
        return changes

    async def stop(self, where: str) -> None:
        gate = self.gates.get(where)
        if gate is not None:
            self.stopped.add(where)
            await gate.wait()


@pytest.mark.parametrize("where", ["behind snapshot_page", "before changes", "behind changes"])
async def test_a_save_while_its_partition_comes_down_can_be_read_by_who_made_it(where: str) -> None:
    disk = GatedDisk()
    async with tierfold.open("memory:", "disk:", plugins=[disk]) as data:
        things = data.repo(Thing)
        store = disk.store
        assert store is not None
        await things.save(Thing(id="oslo.1", n=1))
        for gate in ("behind snapshot_page", "before changes", "behind changes"):
            store.gates[gate] = anyio.Event()
            if gate != where:
                store.gates[gate].set()
        seen: list[int] = []

        async def save_and_read() -> None:
            await things.save(Thing(id="oslo.1", n=2))
            found = await things.get("oslo.1")
            seen.append(-1 if found is None else found.n)

        async with anyio.create_task_group() as tasks:
            tasks.start_soon(things.get, "oslo.1")
            await until(lambda: where in store.stopped)
            tasks.start_soon(save_and_read)
            await anyio.wait_all_tasks_blocked()
            store.gates[where].set()
        assert seen == [2]


async def test_nobody_reads_a_partition_before_all_of_it_is_here() -> None:
    """The changelog behind the snapshot belongs to it."""
    disk = GatedDisk()
    async with tierfold.open("memory:", "disk:", plugins=[disk]) as data:
        things = data.repo(Thing)
        store = disk.store
        assert store is not None
        await things.save(Thing(id="oslo.1", n=1))
        store.gates = {"behind snapshot_page": anyio.Event(), "before changes": anyio.Event()}
        seen: list[int] = []

        async def read() -> None:
            found = await things.get("oslo.1")
            seen.append(-1 if found is None else found.n)

        async with anyio.create_task_group() as tasks:
            tasks.start_soon(read)
            await until(lambda: "behind snapshot_page" in store.stopped)
            async with anyio.create_task_group() as writing:
                writing.start_soon(things.save, Thing(id="oslo.1", n=2))
                await anyio.wait_all_tasks_blocked()
                store.gates["behind snapshot_page"].set()
                await until(lambda: "before changes" in store.stopped)
                tasks.start_soon(read)
                await anyio.wait_all_tasks_blocked()
                store.gates["before changes"].set()
        assert seen == [2, 2]
