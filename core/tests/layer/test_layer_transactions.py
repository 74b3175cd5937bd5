"""Transactions: own writes are seen, one commit and one emission, all or nothing, conflicts with others."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import anyio
import pytest
from core.tests.layer.elsewhere import elsewhere
from core.tests.layer.waiting import until
from hypothesis import given
from hypothesis import strategies as st

import tierfold
from tierfold import F
from tierfold.errors import TransactionError
from tierfold.spi import LocalStore

pytestmark = pytest.mark.anyio


class Thing(tierfold.Entity, partition="{site}", index=["n"]):
    site: str = "oslo"
    n: int = 0


class Owner(tierfold.Entity):
    things: list[str]


@tierfold.entity()
@dataclass(frozen=True)
class Fixed:
    id: str
    n: int = 0
    version: int = 0


class Stop(Exception):  # noqa: N818 - the program's own
    pass


# --- what is seen inside -----------------------------------------------------------------------------------------


async def test_every_way_of_reading_sees_own_writes(tmp_path: Path) -> None:
    async with tierfold.open(f"lmdb:{tmp_path / 'a'}") as data:
        things = data.repo(Thing)
        kept, gone, changed = await things.save_many(Thing(n=number) for number in range(3))
        before = await things.meta(changed.id)
        async with data.transaction():
            new = await things.save(Thing(n=10))
            changed.n = 20
            await things.save(changed)
            assert await things.delete(gone.id)
            assert await things.get(new.id) == new
            assert await things.get(changed.id) == changed
            assert await things.get(gone.id) is None
            assert list(await things.get_many([kept.id, gone.id, new.id])) == [kept.id, new.id]
            stored = await things.get_stored(changed.id)
            assert stored is not None
            assert before is not None
            assert (stored.value, stored.meta.etag == before.etag) == (changed, False)
            assert await things.meta(gone.id) is None
            assert not await things.delete(gone.id)
            assert {thing.n async for thing in things.query()} == {0, 10, 20}
            assert [thing.n for thing in await things.query(F.n >= 10, sort=["-n"]).all()] == [20, 10]
            assert await things.query(F.n >= 10).count() == 2
            assert await things.query(F.id == new.id).first() == new
            assert (await data.repo("Thing").get(new.id) or {})["n"] == 10
        assert {thing.n async for thing in things.query()} == {0, 10, 20}


async def test_pages_go_through_stored_and_own_entities_once_and_in_order() -> None:
    async with tierfold.open("memory:") as data:
        things = data.repo(Thing)
        stored = await things.save_many(Thing(n=number) for number in range(30))
        async with data.transaction():
            await things.save_many(Thing(n=number) for number in range(100, 130))
            await things.delete(stored[7].id)
            expected = sorted([*range(7), *range(8, 30), *range(100, 130)])
            found: list[int] = []
            after = None
            while page := await things.query(sort=["n"]).page(after=after, size=7):
                found += [thing.n for thing in page]
                if (after := page.next) is None:
                    break
            assert found == expected
            inside = await things.query().all()
            last = await things.query().page(size=60)
            assert list(last) == inside
            assert last.next is None
        assert [thing.id for thing in await things.query().all()] == [thing.id for thing in inside]


async def test_nobody_else_sees_anything_before_the_end(tmp_path: Path) -> None:
    url = f"lmdb:{tmp_path / 'a'}"
    async with tierfold.open(url) as data, tierfold.open(url) as other, elsewhere() as do:
        async with data.transaction():
            thing = await data.repo(Thing).save(Thing())
            assert await do(lambda: data.repo(Thing).get(thing.id)) is None
            assert await do(data.repo(Thing).query().all) == []
            assert await other.repo(Thing).get(thing.id) is None
        assert await other.repo(Thing).get(thing.id) == thing


async def test_tasks_started_inside_are_part_of_it() -> None:
    async with tierfold.open("memory:") as data:
        things = data.repo(Thing)

        async def save(number: int) -> None:
            await things.save(Thing(n=number))

        async with data.transaction(), anyio.create_task_group() as tasks:
            tasks.start_soon(save, 1)
            tasks.start_soon(save, 2)
            await until(lambda: _count_is(things, 2))
            assert data.status().durable is False
        assert await things.query().count() == 2


async def _count_is(things: tierfold.Repository[Thing], count: int) -> bool:
    return await things.query().count() == count


# --- the end -----------------------------------------------------------------------------------------------------


async def test_system_fields_are_filled_in_at_the_end() -> None:
    async with tierfold.open("memory:") as data:
        things = data.repo(Thing)
        async with data.transaction():
            thing = await things.save(Thing())
            assert thing.id
            assert (thing.version, thing.created_at) == (0, tierfold.EPOCH)
            raw = await data.repo("Raw").save({"a": 1})
        assert (thing.version, raw["version"]) == (1, 1)
        assert thing.created_at > tierfold.EPOCH
        assert await things.get(thing.id) == thing
        assert await data.repo("Raw").get(raw["id"]) == raw


async def test_a_frozen_entity_keeps_the_system_fields_that_it_had() -> None:
    async with tierfold.open("memory:") as data:
        fixed = data.repo(Fixed)
        async with data.transaction():
            saved = await fixed.save(Fixed("", 1))
        assert saved.id
        assert saved.version == 0
        assert await fixed.get(saved.id) == Fixed(saved.id, 1, 1)


async def test_everything_is_one_commit(tmp_path: Path) -> None:
    """One version per entity however often it was saved, and one emission to whoever listens."""
    async with tierfold.open(f"lmdb:{tmp_path / 'a'}") as data:
        told: list[int] = []
        store = data.tiers[0].store
        assert isinstance(store, LocalStore)
        await data.repo(Thing).save(Thing())
        leave = store.listen(lambda changes: told.append(len(changes)))
        async with data.transaction():
            things = [await data.repo(Thing).save(Thing(n=number)) for number in range(3)]
            things[0].n = 9
            await data.repo(Thing).save(things[0])
            await data.repo(Owner).save(Owner(things=[thing.id for thing in things]))
            assert told == []
        assert told == [4]
        leave()
        assert things[0].version == 1


async def test_an_empty_transaction_commits_nothing() -> None:
    async with tierfold.open("memory:") as data:
        store = data.tiers[0].store
        assert isinstance(store, LocalStore)
        told: list[object] = []
        store.listen(told.append)
        async with data.transaction():
            assert await data.repo(Thing).get("oslo.a") is None
        assert told == []


async def test_any_exception_discards_everything() -> None:
    async with tierfold.open("memory:") as data:
        things = data.repo(Thing)
        old = await things.save(Thing(n=1))
        new = Thing()

        async def block() -> None:
            async with data.transaction():
                await things.save(new)
                await things.delete(old.id)
                await data.repo(Owner).save(Owner(things=[]))
                raise Stop

        with pytest.raises(Stop):
            await block()
        assert await things.query().all() == [old]
        assert await data.repo(Owner).query().count() == 0
        store = data.tiers[0].store
        assert isinstance(store, LocalStore)
        assert store.declared("Owner") is None
        assert new.id  # assigned before the write, so that repeating it makes no second one
        assert new.version == 0
        await things.save(new)
        assert new.version == 1


async def test_a_cancelled_block_stores_nothing() -> None:
    async with tierfold.open("memory:") as data:
        things = data.repo(Thing)
        with anyio.CancelScope() as scope:
            async with data.transaction():
                await things.save(Thing())
                scope.cancel()
                await anyio.sleep_forever()
        assert await things.query().count() == 0


async def test_a_refused_write_leaves_the_others() -> None:
    async with tierfold.open("memory:") as data:
        things = data.repo(Thing)
        old = await things.save(Thing(id="oslo.a"))
        async with data.transaction():
            await things.save(Thing(id="oslo.b"))
            with pytest.raises(tierfold.AlreadyExistsError):
                await things.create(Thing(id="oslo.b"))
            with pytest.raises(tierfold.AlreadyExistsError):
                await things.create(Thing(id="oslo.a"))
            with pytest.raises(tierfold.ValidationError):
                await things.save_many([Thing(id="oslo.c"), Thing(id="rome.c", site="oslo")])
        assert {thing.id for thing in await things.query().all()} == {old.id, "oslo.b"}


# --- nesting and misuse ------------------------------------------------------------------------------------------


async def test_a_block_inside_another_is_part_of_it() -> None:
    async with tierfold.open("memory:") as data:
        things = data.repo(Thing)

        async def block() -> None:
            async with data.transaction():
                async with data.transaction():
                    await things.save(Thing())
                assert await things.query().count() == 1
                raise Stop

        with pytest.raises(Stop):
            await block()
        assert await things.query().count() == 0


async def test_a_failed_block_inside_another_fails_the_whole() -> None:
    async with tierfold.open("memory:") as data:
        things = data.repo(Thing)

        async def block() -> None:
            async with data.transaction():
                with suppress(Stop):
                    async with data.transaction():
                        await things.save(Thing())
                        raise Stop

        with pytest.raises(TransactionError, match="a block inside"):
            await block()
        assert await things.query().count() == 0


async def test_a_task_that_outlives_it_is_refused() -> None:
    async with tierfold.open("memory:") as data:
        things = data.repo(Thing)
        ended = anyio.Event()
        refused: list[str] = []

        async def linger() -> None:
            await ended.wait()
            with pytest.raises(TransactionError, match="has ended"):
                await things.save(Thing())
            with pytest.raises(TransactionError, match="has ended"):
                await things.get("oslo.a")
            with pytest.raises(TransactionError, match="has ended"):
                await things.query().count()
            refused.append("refused")
            async with data.transaction():  # one of its own is none of the old one's business
                await things.save(Thing(id="oslo.mine"))

        async with anyio.create_task_group() as tasks:
            async with data.transaction():
                tasks.start_soon(linger)
                await things.save(Thing())
            ended.set()
        assert refused
        assert await things.get("oslo.mine") is not None


async def test_what_cannot_be_part_of_it_is_refused() -> None:
    async with tierfold.open("memory:") as data, tierfold.open("memory:") as other:
        theirs = await other.repo(Thing).save(Thing())
        block = data.transaction()
        async with block:
            await data.repo(Thing).save(Thing())
            assert await other.repo(Thing).get(theirs.id) == theirs
            with pytest.raises(TransactionError, match="another layer"):
                await other.repo(Thing).save(theirs)
            with pytest.raises(TransactionError, match="another layer"):
                async with other.transaction():
                    pass
            with pytest.raises(TransactionError, match="sync_now"):
                await data.sync_now()
        with pytest.raises(TransactionError, match="used before"):
            async with block:
                pass
        assert await data.repo(Thing).query().count() == 1
        assert await other.repo(Thing).query().count() == 1


async def test_a_closed_layer_begins_none() -> None:
    async with tierfold.open("memory:") as data:
        pass
    with pytest.raises(tierfold.StoreClosedError):
        data.transaction()


# --- others ------------------------------------------------------------------------------------------------------


async def _modify(data: tierfold.DataLayer, id: str) -> None:
    await data.repo(Thing).modify(id, lambda thing: setattr(thing, "n", 5))


async def _save_matched(data: tierfold.DataLayer, id: str) -> None:
    stored = await data.repo(Thing).get_stored(id)
    assert stored is not None
    await data.repo(Thing).save(stored.value, if_match=stored.meta.etag)


async def _delete_matched(data: tierfold.DataLayer, id: str) -> None:
    meta = await data.repo(Thing).meta(id)
    assert meta is not None
    await data.repo(Thing).delete(id, if_match=meta.etag)


async def _move(data: tierfold.DataLayer, id: str) -> None:
    await data.repo(Thing).move(id, site="rome")


async def _save_and_modify_the_document(data: tierfold.DataLayer, id: str) -> None:
    """What the typed save kept of the stored document is read, and written by the other one."""
    await data.repo(Thing).save(Thing(id=id, n=6))
    await data.repo("Thing").modify(id, lambda document: document | {"n": 7})


@pytest.mark.parametrize("act", [_modify, _save_matched, _delete_matched, _move, _save_and_modify_the_document])
async def test_a_conflicting_write_in_between_is_stale(
    act: Callable[[tierfold.DataLayer, str], Awaitable[None]], tmp_path: Path
) -> None:
    url = f"lmdb:{tmp_path / 'a'}"
    async with tierfold.open(url) as data, tierfold.open(url) as other, elsewhere() as do:
        things = data.repo(Thing)
        thing = await things.save(Thing())
        theirs = Thing(id=thing.id, n=77)

        async def block() -> None:
            async with data.transaction():
                await act(data, thing.id)
                await things.save(Thing(id="oslo.new"))
                await do(lambda: other.repo(Thing).save(theirs))

        with pytest.raises(tierfold.StaleWriteError) as raised:
            await block()
        assert isinstance(raised.value.current, Thing | dict)
        assert await things.query().all() == [theirs]


async def test_a_create_that_lost_is_stale_at_the_end() -> None:
    async with tierfold.open("memory:") as data, elsewhere() as do:
        things = data.repo(Thing)
        theirs = Thing(id="oslo.a", n=2)

        async def block() -> None:
            async with data.transaction():
                await things.create(Thing(id="oslo.a", n=1))
                await do(lambda: things.save(theirs))

        with pytest.raises(tierfold.StaleWriteError) as raised:
            await block()
        assert raised.value.current == theirs


async def test_what_was_deleted_by_others_is_stale_without_a_current_one() -> None:
    async with tierfold.open("memory:") as data, elsewhere() as do:
        thing = await data.repo(Thing).save(Thing())

        async def block() -> None:
            async with data.transaction():
                await _modify(data, thing.id)
                await do(lambda: data.repo(Thing).delete(thing.id))

        with pytest.raises(tierfold.StaleWriteError) as raised:
            await block()
        assert (raised.value.current, raised.value.current_etag) == (None, None)


async def test_writes_without_a_condition_win_over_others_and_keep_what_they_do_not_know() -> None:
    async with tierfold.open("memory:") as data, elsewhere() as do:
        things = data.repo(Thing)
        thing, gone = await things.save_many([Thing(n=1), Thing(n=1)])
        raw = data.repo("Thing")
        async with data.transaction():
            thing.n = 2
            await things.save(thing)
            thing.n = 3
            await things.save(thing)
            await things.delete(gone.id)
            for id in (thing.id, gone.id):
                await do(partial(raw.modify, id, lambda document: document | {"n": 9, "note": "theirs"}))
        stored = await raw.get(thing.id)
        assert stored is not None
        assert (stored["n"], stored["note"]) == (3, "theirs")
        assert await raw.get(gone.id) is None


async def test_others_may_write_what_was_only_read() -> None:
    async with tierfold.open("memory:") as data, elsewhere() as do:
        things = data.repo(Thing)
        thing = await things.save(Thing())
        async with data.transaction():
            await things.get(thing.id)
            await things.save(Thing())
            await do(lambda: things.modify(thing.id, lambda read: setattr(read, "n", 4)))
            seen = await things.get(thing.id)
            assert seen is not None
            assert seen.n == 4


async def test_caches_in_front_have_it_at_the_end(tmp_path: Path) -> None:
    async with tierfold.open("memory:", f"lmdb:{tmp_path / 'a'}") as data:
        things = data.repo(Thing)
        old = await things.save(Thing(n=1))
        async with data.transaction():
            new = await things.save(Thing(n=2))
            await things.delete(old.id)
            assert [thing.id for thing in await things.query().all()] == [new.id]
            assert await things.get(new.id) == new
        assert await things.get(new.id) == new
        assert await things.get(old.id) is None


async def test_observers_see_what_is_stored_in_one_emission() -> None:
    async with tierfold.open("memory:") as data:
        things = data.repo(Thing)
        observer = things.observe_all()
        async with data.transaction():
            await things.save_many([Thing(n=1), Thing(n=2)])
            assert (await anext(observer)).value == []
            await things.save(Thing(n=3))
        snapshot = await anext(observer)
        assert sorted(thing.n for thing in snapshot.value) == [1, 2, 3]
        assert len(snapshot.changes) == 3
        assert snapshot.lagged == 0


# --- the same as without -----------------------------------------------------------------------------------------

IDS = st.sampled_from(["oslo.a", "oslo.b"])
NUMBERS = st.integers(0, 3)


def _note(name: str, number: int) -> Callable[[dict[str, Any]], dict[str, Any]]:
    return lambda document: document | {f"{name}{number}": number}


async def _matched(data: tierfold.DataLayer, thing: Thing) -> object:
    meta = await data.repo(Thing).meta(thing.id)
    return (await data.repo(Thing).save(thing, if_match=meta.etag if meta else None)).n


async def _overwritten(data: tierfold.DataLayer, id: str, number: int) -> object:
    return (await data.repo("Thing").save({"id": id, "site": "oslo", f"extra{number}": number}))["site"]


STEP: dict[str, Callable[[tierfold.DataLayer, str, int], Awaitable[object]]] = {
    "save": lambda data, id, n: data.repo(Thing).save(Thing(id=id, n=n)),
    "create": lambda data, id, n: data.repo(Thing).create(Thing(id=id, n=n)),
    "overwrite": _overwritten,
    "modify": lambda data, id, n: data.repo(Thing).modify(id, lambda thing: setattr(thing, "n", n)),
    "note": lambda data, id, n: data.repo("Thing").modify(id, _note("note", n)),
    "delete": lambda data, id, n: data.repo(Thing).delete(id),
    "move": lambda data, id, n: data.repo(Thing).move(id, n=n),
    "matched": lambda data, id, n: _matched(data, Thing(id=id, n=n)),
    "stale": lambda data, id, n: data.repo(Thing).save(Thing(id=id, n=n), if_match="A" * 22),
}
STEPS = st.lists(st.tuples(st.sampled_from([*STEP]), IDS, NUMBERS), max_size=8)


async def _tried(data: tierfold.DataLayer, step: tuple[str, str, int]) -> object:
    try:
        done = await STEP[step[0]](data, *step[1:])
    except (tierfold.StoreError, tierfold.NotFoundError) as error:
        done = type(error)
    return done.n if isinstance(done, Thing) else None if isinstance(done, dict) else done, await _documents(data)


async def _documents(data: tierfold.DataLayer) -> list[dict[str, Any]]:
    found = await data.repo("Thing").query(sort=["id"]).all()
    return [
        {name: value for name, value in each.items() if name not in ("created_at", "updated_at", "version")}
        for each in found
    ]


@given(before=STEPS, steps=STEPS)
async def test_a_transaction_does_what_its_writes_do_one_by_one(
    before: list[tuple[str, str, int]], steps: list[tuple[str, str, int]]
) -> None:
    async with tierfold.open("memory:") as one_by_one, tierfold.open("memory:") as together:
        for data in (one_by_one, together):  # so that documents of the type are known to have a partition
            await data.repo(Thing).save(Thing(id="oslo.z"))
        for step in before:
            await _tried(one_by_one, step)
            await _tried(together, step)
        expected = [await _tried(one_by_one, step) for step in steps]
        async with together.transaction():
            assert [await _tried(together, step) for step in steps] == expected
        assert await _documents(together) == await _documents(one_by_one)
