"""The feed of changes: what it tells, in which order, and that it leaves nothing behind."""

from __future__ import annotations

import gc
from pathlib import Path

import anyio
import pytest

import tierfold

pytestmark = pytest.mark.anyio


class Thing(tierfold.Entity, partition="{site}"):
    site: str = "oslo"
    n: int = 0


async def take(events: tierfold.Subscription[tierfold.Change], count: int) -> list[tierfold.Change]:
    with anyio.fail_after(15):
        return [await anext(events) for _ in range(count)]


async def test_every_own_write_is_told_in_commit_order() -> None:
    async with tierfold.open("memory:") as data:
        things = data.repo(Thing)
        before = await things.save(Thing())
        async with data.events() as events:
            thing = await things.save(Thing())
            first = await things.meta(thing.id)
            thing.n = 1
            await things.save(thing)
            second = await things.meta(thing.id)
            await things.delete(before.id)
            await things.delete("oslo.none")
            changes = await take(events, 3)
        assert first is not None
        assert second is not None
        assert [(change.kind, change.id) for change in changes] == [
            ("saved", thing.id),
            ("saved", thing.id),
            ("deleted", before.id),
        ]
        assert [change.etag for change in changes[:2]] == [first.etag, second.etag]
        assert {(change.type, change.partition, change.origin) for change in changes} == {("Thing", "oslo", "local")}


async def test_an_event_is_out_before_the_call_that_made_it_returns(tmp_path: Path) -> None:
    async with tierfold.open(f"lmdb:{tmp_path / 'a'}") as data, data.events() as events:
        thing = await data.repo(Thing).save(Thing())
        with anyio.move_on_after(0):
            assert (await anext(events)).id == thing.id


async def test_what_is_told_can_be_read() -> None:
    """However fast the listener is."""
    async with tierfold.open("memory:") as data, data.events() as events:
        things = data.repo(Thing)
        wrong: list[tierfold.Change] = []

        async def follow() -> None:
            async for change in events:
                meta = await things.meta(change.id)
                if meta is None or meta.version < 1:
                    wrong.append(change)

        async with anyio.create_task_group() as tasks:
            tasks.start_soon(follow)
            for _ in range(5):
                await things.save(Thing())
            events.close()
        assert wrong == []


async def test_commits_of_another_program_are_told(tmp_path: Path) -> None:
    url = f"lmdb:{tmp_path / 'a'}"
    async with tierfold.open(url) as data, tierfold.open(url) as other, data.events() as events:
        theirs = await other.repo(Thing).save(Thing())
        (one,) = await take(events, 1)
        mine = await data.repo(Thing).save(Thing())
        await other.repo(Thing).delete(theirs.id)
        rest = await take(events, 2)
        assert [(change.kind, change.id) for change in (one, *rest)] == [
            ("saved", theirs.id),
            ("saved", mine.id),
            ("deleted", theirs.id),
        ]


async def test_what_came_by_a_link_says_so(tmp_path: Path) -> None:
    near, far = f"lmdb:{tmp_path / 'near'}", f"lmdb:{tmp_path / 'far'}"
    async with tierfold.open(far) as other:
        old = await other.repo(Thing).save(Thing())
        async with tierfold.open(near, far) as data, data.events() as events:
            assert await data.repo(Thing).get(old.id) is not None
            (hydrated,) = await take(events, 1)
            new = await other.repo(Thing).save(Thing())
            (synced,) = await take(events, 1)
            await other.repo(Thing).delete(old.id)
            (deleted,) = await take(events, 1)
            await data.repo(Thing).save(Thing(id=new.id))
            (local,) = await take(events, 1)
        assert [(change.kind, change.id, change.origin) for change in (hydrated, synced, deleted, local)] == [
            ("saved", old.id, "hydrate"),
            ("saved", new.id, "sync"),
            ("deleted", old.id, "sync"),
            ("saved", new.id, "local"),
        ]


# --- in front of a durable tier --------------------------------------------------------------------------------------


async def test_through_a_cache_every_write_is_told_once(tmp_path: Path) -> None:
    async with tierfold.open("memory:", f"lmdb:{tmp_path / 'a'}") as data, data.events() as events:
        things = data.repo(Thing)
        thing = await things.save(Thing())
        assert await things.get(thing.id) == thing
        await things.save(thing)
        await data.sync_now(timeout_s=15)
        await things.save(Thing(id="oslo.last"))
        changes = await take(events, 3)
        assert [change.id for change in changes] == [thing.id, thing.id, "oslo.last"]
        assert {change.origin for change in changes} == {"local"}


async def test_what_another_program_changed_can_be_read_through_the_cache_once_it_is_told(tmp_path: Path) -> None:
    url = f"lmdb:{tmp_path / 'a'}"
    async with tierfold.open(url) as other, tierfold.open("memory:", url) as data, data.events() as events:
        things = data.repo(Thing)
        thing = await other.repo(Thing).save(Thing())
        await take(events, 1)
        assert await things.get(thing.id) == thing
        for n in range(1, 10):
            thing.n = n
            await other.repo(Thing).save(thing)
            (change,) = await take(events, 1)
            stored = await things.get_stored(thing.id)
            assert stored is not None
            assert (stored.value.n, stored.meta.etag) == (n, change.etag)
        new = await other.repo(Thing).save(Thing())
        await take(events, 1)
        assert await things.get(new.id) == new
        await other.repo(Thing).delete(thing.id)
        await take(events, 1)
        assert await things.get(thing.id) is None


async def test_own_writes_can_be_read_through_the_cache_once_they_are_told(tmp_path: Path) -> None:
    async with tierfold.open("memory:", f"lmdb:{tmp_path / 'a'}") as data, data.events() as events:
        things = data.repo(Thing)
        thing = await things.save(Thing())
        await things.get(thing.id)
        seen: list[tuple[str, str]] = []

        async def follow() -> None:
            async for change in events:
                meta = await things.meta(change.id)
                seen.append((change.etag, "" if meta is None else meta.etag))

        async with anyio.create_task_group() as tasks:
            tasks.start_soon(follow)
            for n in range(10):
                thing.n = n
                await things.save(thing)
                await anyio.wait_all_tasks_blocked()
            events.close()
        assert len(seen) == 11
        told = [etag for etag, _ in seen]
        assert all(read in told[number:] for number, (_, read) in enumerate(seen))


# --- subscriptions ---------------------------------------------------------------------------------------------------


async def test_several_listeners_hear_the_same() -> None:
    async with tierfold.open("memory:") as data, data.events() as one, data.events() as other:
        await data.repo(Thing).save_many([Thing() for _ in range(5)])
        assert await take(one, 5) == await take(other, 5)


async def test_a_listener_hears_only_what_comes_after_it() -> None:
    async with tierfold.open("memory:") as data:
        await data.repo(Thing).save(Thing())
        async with data.events() as events:
            thing = await data.repo(Thing).save(Thing())
            assert [change.id for change in await take(events, 1)] == [thing.id]


async def test_a_closed_subscription_gives_what_arrived_and_ends() -> None:
    async with tierfold.open("memory:") as data:
        events = data.events()
        await data.repo(Thing).save(Thing())
        events.close()
        events.close()
        await data.repo(Thing).save(Thing())
        with anyio.fail_after(15):
            assert len([change async for change in events]) == 1


async def test_closing_twice_leaves_the_others_listening(tmp_path: Path) -> None:
    url = f"lmdb:{tmp_path / 'a'}"
    async with tierfold.open(url) as data, tierfold.open(url) as other, data.events() as events:
        async with data.events() as gone:
            gone.close()
        gone.close()
        await other.repo(Thing).save(Thing())
        assert len(await take(events, 1)) == 1


async def test_breaking_out_of_the_loop_leaves_no_listener() -> None:
    async with tierfold.open("memory:") as data:
        (store,) = (tier.store for tier in data.tiers)
        told = store._told  # type: ignore[union-attr] # what is proven is that nothing is left in there
        await data.repo(Thing).save(Thing())

        async def until_first() -> None:
            async for _ in data.events():
                return

        async with anyio.create_task_group() as tasks:
            tasks.start_soon(until_first)
            await anyio.wait_all_tasks_blocked()
            assert len(told._listeners) == 1
            await data.repo(Thing).save(Thing())
        gc.collect()
        assert told._listeners == {}


async def test_a_cancelled_listener_is_forgotten_and_loses_nothing_before() -> None:
    async with tierfold.open("memory:") as data, data.events() as events:
        with anyio.move_on_after(0.01):
            await anext(events)
        thing = await data.repo(Thing).save(Thing())
        assert [change.id for change in await take(events, 1)] == [thing.id]


async def test_who_falls_behind_loses_the_oldest_and_is_told() -> None:
    async with tierfold.open("memory:") as data, data.events() as events:
        await data.repo(Thing).save_many([Thing() for _ in range(10_000)])
        last = await data.repo(Thing).save_many([Thing() for _ in range(5)])
        assert events.lagged == 5
        changes = await take(events, 10_000)
        assert {change.id for change in changes[-5:]} == {thing.id for thing in last}


async def test_listening_ends_with_the_layer() -> None:
    ended = anyio.Event()

    async def listen(events: tierfold.Subscription[tierfold.Change]) -> None:
        async for _ in events:
            pass
        ended.set()

    async with anyio.create_task_group() as tasks:
        async with tierfold.open("memory:") as data:
            tasks.start_soon(listen, data.events())
            await anyio.wait_all_tasks_blocked()
        with anyio.fail_after(15):
            await ended.wait()


async def test_a_closed_layer_has_no_events() -> None:
    async with tierfold.open("memory:") as data:
        pass
    with pytest.raises(tierfold.StoreClosedError):
        data.events()
