"""Partitions come down when they are first asked for, once, and together with what was written here meanwhile."""

from __future__ import annotations

from pathlib import Path

import anyio
import pytest
from core.tests.layer.remote import Remote
from core.tests.layer.waiting import until

import tierfold
from tierfold.testing.faults import Fault, FlakyStore, SlowStore

pytestmark = pytest.mark.anyio


class Thing(tierfold.Entity, partition="{site}"):
    site: str = "oslo"
    n: int = 0


async def filled(*sites: str, count: int = 5) -> Remote:
    """A remote tier with entities of several partitions."""
    remote = Remote()
    async with tierfold.open("memory:source", "remote:", plugins=[remote]) as data:
        things = [Thing(id=f"{site}.{n}", site=site, n=n) for site in sites for n in range(count)]
        await data.repo(Thing).save_many(things)
        assert (await data.sync_now()).verified is True
    remote.use(Fault())
    return remote


async def test_a_partition_comes_down_when_it_is_first_asked_for() -> None:
    remote = await filled("oslo", "rome")
    async with tierfold.open("memory:a", "remote:", plugins=[remote]) as data:
        store = data.tiers[0].store
        assert store is not None
        things = data.repo(Thing)
        found = await things.get("oslo.1")
        assert found is not None
        assert (found.n, found.version) == (1, 1)
        assert (await store.presence("app.oslo"), await store.presence("app.rome")) == ("present", "unknown")
        calls = len(remote.fault.calls)
        assert sorted(await things.get_many([f"oslo.{n}" for n in range(7)])) == [f"oslo.{n}" for n in range(5)]
        assert await things.get("oslo.none") is None
        assert len(remote.fault.calls) == calls


async def test_fifty_readers_bring_a_partition_down_once() -> None:
    remote = await filled("oslo")
    async with tierfold.open("memory:a", "remote:", plugins=[remote]) as data:
        found: list[Thing | None] = []

        async def read(number: int) -> None:
            found.append(await data.repo(Thing).get(f"oslo.{number % 5}"))

        async with anyio.create_task_group() as tasks:
            for number in range(50):
                tasks.start_soon(read, number)
        assert len(found) == 50
        assert None not in found
        assert remote.fault.calls.count("snapshot_page") == 1


async def test_different_partitions_come_down_side_by_side() -> None:
    remote = await filled("oslo", "rome")
    slow = SlowStore(only=["snapshot_page"])
    remote.use(slow)
    async with tierfold.open("memory:a", "remote:", plugins=[remote]) as data:
        slow.gate = anyio.Event()
        async with anyio.create_task_group() as tasks:
            for site in ("oslo", "rome"):
                tasks.start_soon(data.repo(Thing).get, f"{site}.1")
            await until(lambda: slow.calls.count("snapshot_page") == 2)
            slow.gate.set()


async def test_what_is_written_meanwhile_is_merged_and_never_overwritten() -> None:
    remote = await filled("oslo")
    slow = SlowStore(only=["snapshot_page"])
    remote.use(slow)
    async with tierfold.open("memory:a", "remote:", plugins=[remote]) as data:
        things = data.repo(Thing)
        slow.gate = anyio.Event()
        before = await things.save(Thing(id="oslo.0", n=100))
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(things.get, "oslo.1")
            await until(lambda: "snapshot_page" in slow.calls)
            meanwhile = await things.save(Thing(id="oslo.1", n=101))
            new = await things.save(Thing(id="oslo.new", n=102))
            slow.gate.set()
        found = {thing.id: thing for thing in await things.query(partitions=["oslo"]).all()}
        assert (found["oslo.0"], found["oslo.1"], found["oslo.new"]) == (before, meanwhile, new)
        assert sorted(found) == ["oslo.0", "oslo.1", "oslo.2", "oslo.3", "oslo.4", "oslo.new"]
        assert (await data.sync_now()).verified is True
        assert remote.store is not None
        arrived = remote.store.page(remote.store.segments()[0], None, 10)
        assert len(arrived) == 6


async def test_what_changes_at_the_farther_side_meanwhile_is_not_missed() -> None:
    """The changelog is read from the position before the snapshot."""
    remote = await filled("oslo", "rome")
    slow = SlowStore(only=["snapshot_page"])
    async with tierfold.open("memory:b", "remote:", plugins=[remote]) as other:
        await other.repo(Thing).get("oslo.1")
        other.links["remote"].pause()
        remote.use(slow)
        async with tierfold.open("memory:a", "remote:", plugins=[remote]) as data:
            slow.gate = anyio.Event()
            async with anyio.create_task_group() as tasks:
                tasks.start_soon(data.repo(Thing).get, "oslo.1")
                await until(lambda: "snapshot_page" in slow.calls)
                await other.repo(Thing).save(Thing(id="oslo.1", n=77))
                await other.repo(Thing).delete("oslo.2")
                other.links["remote"].resume()
                await other.sync_now()
                slow.gate.set()
            found = await data.repo(Thing).get("oslo.1")
            assert found is not None
            assert found.n == 77
            assert await data.repo(Thing).get("oslo.2") is None


async def test_a_reader_who_gives_up_leaves_the_partition_to_the_next_one() -> None:
    remote = await filled("oslo")
    slow = SlowStore(only=["snapshot_page"])
    remote.use(slow)
    async with tierfold.open("memory:a", "remote:", plugins=[remote]) as data:
        slow.gate = anyio.Event()
        with anyio.move_on_after(0.02):
            await data.repo(Thing).get("oslo.1")
        slow.gate.set()
        with anyio.fail_after(15):
            assert await data.repo(Thing).get("oslo.1") is not None


# --- absence ---------------------------------------------------------------------------------------------------------


async def test_a_partition_that_exists_nowhere_is_known_to_be_absent_and_asked_for_once() -> None:
    remote = await filled("oslo")
    async with tierfold.open("memory:a", "remote:", plugins=[remote]) as data:
        store = data.tiers[0].store
        assert store is not None
        things = data.repo(Thing)
        assert await things.get("bern.1") is None
        assert await store.presence("app.bern") == "absent"
        calls = len(remote.fault.calls)
        assert await things.get("bern.2") is None
        assert await things.delete("bern.1") is False
        assert await things.query(partitions=["bern"]).all() == []
        assert len(remote.fault.calls) == calls
        assert (await store.feed(None)).segments == ()
        assert remote.store is not None
        assert [segment.partition for segment in remote.store.segments()] == ["app.oslo"]


async def test_an_absent_partition_is_no_longer_absent_once_somebody_wrote_to_it() -> None:
    remote = await filled("oslo")
    async with (
        tierfold.open("memory:a", "remote:", plugins=[remote]) as data,
        tierfold.open("memory:b", "remote:", plugins=[remote]) as other,
    ):
        assert await data.repo(Thing).get("bern.1") is None
        theirs = await other.repo(Thing).save(Thing(id="bern.1", site="bern"))
        await other.sync_now()
        await data.sync_now()
        assert await data.repo(Thing).get("bern.1") == theirs
        assert await other.repo(Thing).get("york.1") is None
        mine = await other.repo(Thing).save(Thing(id="york.1", site="york"))
        assert await other.repo(Thing).get("york.1") == mine


async def test_reading_what_exists_nowhere_leaves_nothing_in_the_tiers_between(tmp_path: Path) -> None:
    async with tierfold.open("memory:a", f"lmdb:{tmp_path / 'b'}", f"lmdb:{tmp_path / 'c'}") as data:
        assert await data.repo(Thing).get("bern.1") is None
        middle = data.tiers[1].store
        farthest = data.tiers[2].store
        assert middle is not None
        assert farthest is not None
        assert await middle.presence("app.bern") == "absent"
        assert await farthest.peers() == []


# --- unreachable -----------------------------------------------------------------------------------------------------


async def test_what_cannot_be_reached_is_an_error_and_own_unsent_writes_are_found() -> None:
    remote = await filled("oslo", "rome")
    flaky = FlakyStore()
    remote.use(flaky)
    async with tierfold.open("memory:a", "remote:", plugins=[remote]) as data:
        things = data.repo(Thing)
        await things.get("oslo.1")
        flaky.down = True
        assert await things.get("oslo.2") is not None
        mine = await things.save(Thing(id="rome.new", site="rome", n=9))
        assert await things.get("rome.new") == mine
        stored = await things.get_stored("rome.new")
        assert stored is not None
        assert (stored.value, stored.meta.pending) == (mine, ("remote",))
        assert await things.get_many(["rome.new", "oslo.1"]) == {"rome.new": mine, "oslo.1": await things.get("oslo.1")}
        with pytest.raises(tierfold.PartitionUnavailableError) as error:
            await things.get("rome.1")
        assert (error.value.transient, error.value.partition) == (True, "rome")
        with pytest.raises(tierfold.PartitionUnavailableError):
            await things.get_many(["rome.new", "rome.1"])
        with pytest.raises(tierfold.PartitionUnavailableError):
            await things.create(Thing(id="rome.1", site="rome"))
        assert (await things.modify("rome.new", lambda old: Thing(id=old.id, site="rome", n=10))).n == 10
        assert await things.delete("rome.new") is True
        assert await things.get("rome.new") is None
        flaky.down = False
        found = await things.get("rome.1")
        assert found is not None
        assert found.n == 1


async def test_an_edit_of_what_is_not_here_waits_for_its_partition() -> None:
    remote = await filled("oslo")
    flaky = FlakyStore()
    remote.use(flaky)
    async with tierfold.open("memory:a", "remote:", plugins=[remote]) as data:
        flaky.down = True
        mine = await data.repo(Thing).save(Thing(id="oslo.1", n=50))
        flaky.down = False
        assert (await data.sync_now()).verified is True
        assert await data.repo(Thing).get("oslo.1") == mine
        found = await data.repo(Thing).get("oslo.2")
        assert found is not None
        assert found.n == 2


async def test_a_layer_opened_without_the_tier_that_holds_a_partition_says_so(tmp_path: Path) -> None:
    remote = await filled("oslo", "rome")
    near = f"lmdb:{tmp_path / 'near'}"
    async with tierfold.open(near, "remote:", plugins=[remote]) as data:
        await data.repo(Thing).get("oslo.1")
    async with tierfold.open(near) as data:
        assert await data.repo(Thing).get("oslo.1") is not None
        with pytest.raises(tierfold.PartitionUnavailableError, match="opened without"):
            await data.repo(Thing).get("rome.1")
        mine = await data.repo(Thing).save(Thing(id="rome.1", site="rome", n=7))
        assert await data.repo(Thing).get("rome.1") == mine


async def test_partitions_come_down_through_every_tier(tmp_path: Path) -> None:
    remote = await filled("oslo")
    async with tierfold.open("memory:a", f"lmdb:{tmp_path / 'b'}", "remote:", plugins=[remote]) as data:
        found = await data.repo(Thing).get("oslo.1")
        assert found is not None
        remote.use(FlakyStore(down=True))
        assert await data.repo(Thing).get("oslo.2") is not None
    async with tierfold.open(f"lmdb:{tmp_path / 'b'}") as data:
        assert await data.repo(Thing).get("oslo.1") == found


async def test_hydration_is_the_same_whether_the_segments_are_many_or_large() -> None:
    remote = Remote()
    async with tierfold.open("memory:source", "remote:", plugins=[remote]) as data:
        for name in ("One", "Two", "Three"):
            raw = data.repo(name)
            await raw.save_many([{"text": "x" * 50_000, "n": n} for n in range(100)])
        assert (await data.sync_now()).verified is True
    async with tierfold.open("memory:a", "remote:", plugins=[remote]) as data:
        for name in ("One", "Two", "Three"):
            assert sorted(item["n"] for item in await data.repo(name).query().all()) == list(range(100))
