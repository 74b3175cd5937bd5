"""Opening and closing: what is an error and when, in which tasks, and that nothing is left behind."""

from __future__ import annotations

from asyncio import create_task
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from threading import enumerate as threads

import anyio
import anyio.lowlevel
import anyio.to_thread
import pytest
from core.tests.layer.remote import NoOptions, Remote

import tierfold
from tierfold.abc.syncable import ScopeRoot
from tierfold.kv.memory import MemoryEngine
from tierfold.kv.store import KvStore
from tierfold.model import StoreId
from tierfold.spi import EntityStore, OpenContext, StoreSpec, hookimpl
from tierfold.testing import FakeClock, FlakyStore, SlowStore

pytestmark = pytest.mark.anyio


class Thing(tierfold.Entity, partition="{site}"):
    site: str = "oslo"
    n: int = 0


on_asyncio = pytest.mark.parametrize("anyio_backend", ["asyncio"])
on_trio = pytest.mark.parametrize("anyio_backend", ["trio"])


# --- errors arise on entry -------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "tiers",
    [
        (),
        ("nothing:",),
        ("no scheme",),
        ("memory:?colour=red",),
        ("lmdb:",),
        (tierfold.Tier("memory:", name="x"), tierfold.Tier("memory:", name="x")),
        ("memory:", tierfold.Tier("memory:", interval="soon")),
    ],
    ids=["none", "unknown scheme", "no url", "unknown option", "no location", "one name twice", "no duration"],
)
async def test_what_cannot_be_opened_is_an_error_on_entry(tiers: tuple[str | tierfold.Tier, ...]) -> None:
    opening = tierfold.open(*tiers)
    with pytest.raises(tierfold.TierfoldError):
        await opening.__aenter__()


async def test_a_nearest_tier_that_cannot_be_opened_is_an_error_on_entry(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(tierfold.StoreUnavailableError, match="directory"):
        async with tierfold.open(f"lmdb:{tmp_path / 'file'}"):
            pass


@pytest.mark.parametrize("far", ["lmdb:", "lmdb:{folder}/far?map_bytes=-5", "lmdb:{folder}/far?max_readers=0"])
async def test_what_is_wrong_with_the_url_of_a_farther_tier_is_an_error_on_entry(tmp_path: Path, far: str) -> None:
    with anyio.fail_after(15), pytest.raises(tierfold.ConfigError):
        async with tierfold.open("memory:", far.format(folder=tmp_path)):
            pass
    assert not (tmp_path / "far").exists()


async def test_a_farther_tier_that_can_never_be_opened_is_an_error_on_entry() -> None:
    class Never(Remote):
        @asynccontextmanager
        async def open(self, location: str, options: NoOptions, context: OpenContext) -> AsyncGenerator[EntityStore]:
            raise tierfold.ConfigError("of no use")
            yield

    with anyio.fail_after(15), pytest.raises(tierfold.ConfigError, match="of no use"):
        async with tierfold.open("memory:", "remote:", plugins=[Never()]):
            pass


async def test_a_nearest_tier_must_be_local() -> None:
    with pytest.raises(tierfold.ConfigError, match="nearest"):
        async with tierfold.open("remote:", plugins=[Remote()]):
            pass


async def test_a_tier_in_the_middle_must_be_able_to_have_an_upstream(tmp_path: Path) -> None:
    with pytest.raises(tierfold.ConfigError, match="nearer side"):
        async with tierfold.open(f"lmdb:{tmp_path / 'a'}", "remote:", "memory:", plugins=[Remote()]):
            pass


async def test_a_second_upstream_is_an_error_on_entry_while_the_first_is_in_use(tmp_path: Path) -> None:
    near, one, other = (f"lmdb:{tmp_path / name}" for name in ("near", "one", "other"))
    async with tierfold.open(near, one):
        with pytest.raises(tierfold.ConfigError, match="second upstream"):
            async with tierfold.open(near, other):
                pass
        async with tierfold.open(near, tierfold.Tier(one, name="another name")) as data:
            assert (await data.sync_now(timeout_s=15)).ok
    async with tierfold.open(near, other) as data:
        assert (await data.sync_now(timeout_s=15)).ok


async def test_two_tiers_on_one_store_are_an_error_on_entry(tmp_path: Path) -> None:
    url = f"lmdb:{tmp_path / 'a'}"
    with pytest.raises(tierfold.ConfigError, match="same store"):
        async with tierfold.open(url, url):
            pass


async def test_tiers_both_in_code_and_in_a_file_are_an_error_on_entry(tmp_path: Path) -> None:
    path = tmp_path / "tierfold.toml"
    path.write_text('[[tiers]]\nurl = "memory:"\n')
    for opening in (tierfold.open("memory:", config=path), tierfold.open(prefix="x", config=path)):
        with pytest.raises(tierfold.ConfigError, match="not in both"):
            await opening.__aenter__()


async def test_a_configuration_file_names_tiers_prefix_and_options(tmp_path: Path) -> None:
    path = tmp_path / "tierfold.toml"
    path.write_text(
        f"""
prefix = "mine"
[[tiers]]
url = "memory:cache"
[[tiers]]
url = "lmdb:{tmp_path / "data"}?durability=relaxed"
name = "disk"
interval = "1h"
"""
    )
    async with tierfold.open(config=str(path)) as data:
        saved = await data.repo(Thing).save(Thing())
        assert [(tier.name, tier.scheme) for tier in data.status().tiers] == [("cache", "memory"), ("disk", "lmdb")]
    async with tierfold.open(f"lmdb:{tmp_path / 'data'}", prefix="mine") as data:
        assert await data.repo(Thing).get(saved.id) == saved


async def test_a_plugin_of_the_hosts_that_breaks_the_contract_is_an_error_on_entry() -> None:
    class Wrong:
        @hookimpl
        def provide_nothing(self) -> list[str]:
            return []

    with pytest.raises(tierfold.PluginContractError, match="provide_nothing"):
        async with tierfold.open("memory:", plugins=[Wrong()]):
            pass


async def test_a_store_that_does_not_work_on_this_event_loop_is_refused_early(anyio_backend_name: str) -> None:
    class OneLoop(Remote):
        @hookimpl
        def provide_stores(self) -> list[StoreSpec[NoOptions]]:
            return [StoreSpec("remote", self.open, NoOptions, async_backends=("asyncio",))]

    opening = tierfold.open("memory:", "remote:", plugins=[OneLoop()])
    if anyio_backend_name == "asyncio":
        async with opening:
            pass
    else:
        with pytest.raises(tierfold.ConfigError, match="asyncio"):
            await opening.__aenter__()


async def test_a_durable_tier_that_must_be_waited_for_has_to_be_local() -> None:
    """Behind a cache; the way out is named."""

    class Durable(Remote):
        @asynccontextmanager
        async def open(self, location: str, options: NoOptions, context: OpenContext) -> AsyncIterator[EntityStore]:
            async with super().open(location, options, context) as store:
                identity = await store.identity()  # type: ignore[attr-defined]

                async def durable() -> object:
                    return type(identity)(identity.store, durable=True)

                store.identity = durable  # type: ignore[attr-defined]
                yield store

    with pytest.raises(tierfold.ConfigError, match="behind"):
        async with tierfold.open("memory:", "remote:", plugins=[Durable()]):
            pass
    async with tierfold.open(tierfold.Tier("memory:", writes="behind"), "remote:", plugins=[Durable()]) as data:
        await data.repo(Thing).save(Thing())
        assert not data.status().durable


async def test_opening_does_not_wait_for_all_that_the_first_run_has_to_carry(tmp_path: Path) -> None:
    """It knows that the tier can be linked; the rest goes on in the background."""
    gate = anyio.Event()

    class Busy(KvStore):
        async def scope_root(self, peer: StoreId) -> ScopeRoot:
            await gate.wait()
            return await super().scope_root(peer)

    class Far:
        @hookimpl
        def provide_stores(self) -> list[StoreSpec[NoOptions]]:
            return [StoreSpec("busy", self.open, NoOptions)]

        @asynccontextmanager
        async def open(self, location: str, options: NoOptions, context: OpenContext) -> AsyncIterator[EntityStore]:
            store = Busy(MemoryEngine("busy"), context)
            await store.identify()
            yield store

    with anyio.fail_after(15):
        began_s = anyio.current_time()
        async with tierfold.open(f"lmdb:{tmp_path / 'a'}", "busy:", plugins=[Far()]) as data:
            assert anyio.current_time() - began_s < 3
            assert data.links["busy"].status.state == "running"
            await data.repo(Thing).save(Thing())
            gate.set()
            assert (await data.sync_now()).verified is True


async def test_an_opening_is_used_once() -> None:
    opening = tierfold.open("memory:")
    async with opening:
        pass
    with pytest.raises(tierfold.ConfigError, match="again"):
        await opening.__aenter__()


async def test_a_failed_opening_leaves_nothing_open(tmp_path: Path) -> None:
    before = threads()
    for _ in range(3):
        with pytest.raises(tierfold.ConfigError):
            async with tierfold.open(f"lmdb:{tmp_path / 'a'}", f"lmdb:{tmp_path / 'a'}"):
                pass
    assert [thread for thread in threads() if thread not in before and "tierfold" in thread.name] == []
    async with tierfold.open(f"lmdb:{tmp_path / 'a'}?map_bytes=1048576"):
        pass


# --- tasks -----------------------------------------------------------------------------------------------------------


@on_asyncio
async def test_a_layer_can_be_awaited_and_closed() -> None:
    data = await tierfold.open("memory:")
    saved = await data.repo(Thing).save(Thing())
    assert await data.repo(Thing).get(saved.id) == saved
    await data.aclose()
    with pytest.raises(tierfold.StoreClosedError):
        data.repo(Thing)


@on_trio
async def test_awaiting_is_refused_on_trio() -> None:
    with pytest.raises(tierfold.ConfigError, match="async with"):
        await tierfold.open("memory:")


@on_asyncio
async def test_a_layer_is_entered_and_left_in_different_tasks() -> None:
    opening = tierfold.open("memory:a", "memory:b")
    data = await create_task(opening.__aenter__())
    saved = await create_task(data.repo(Thing).save(Thing()))
    assert (await create_task(data.sync_now())).verified is True
    assert await data.repo(Thing).get(saved.id) == saved
    await create_task(opening.__aexit__(None, None, None))


@pytest.fixture
async def data() -> AsyncIterator[tierfold.DataLayer]:
    async with tierfold.open("memory:near", "memory:far", clock=FakeClock(), seed=1) as data:
        yield data


async def test_a_layer_can_live_in_a_fixture_under_a_clock_that_stands_still(data: tierfold.DataLayer) -> None:
    data.links["far"].pause()
    saved = await data.repo(Thing).save(Thing())
    assert data.dirty
    data.links["far"].resume()
    assert (await data.sync_now()).verified
    assert not data.dirty
    assert await data.repo(Thing).get(saved.id) == saved


async def test_a_cancelled_opening_leaves_nothing_open(tmp_path: Path) -> None:
    slow = SlowStore()
    slow.gate = anyio.Event()
    with anyio.move_on_after(0.1) as limit:
        async with tierfold.open(f"lmdb:{tmp_path / 'a'}", "remote:", plugins=[Remote(slow)]):
            pytest.fail("it could not be entered")
    assert limit.cancelled_caught
    async with tierfold.open(f"lmdb:{tmp_path / 'a'}?map_bytes=1048576"):
        pass


async def test_a_cancelled_block_closes_the_layer(tmp_path: Path) -> None:
    with anyio.CancelScope() as scope:
        async with tierfold.open(f"lmdb:{tmp_path / 'a'}") as data:
            saved = await data.repo(Thing).save(Thing())
            scope.cancel()
            await anyio.sleep_forever()
    async with tierfold.open(f"lmdb:{tmp_path / 'a'}?map_bytes=1048576") as data:
        assert await data.repo(Thing).get(saved.id) == saved


async def test_what_the_block_raises_comes_out_as_it_is() -> None:
    with pytest.raises(LookupError, match="mine"):
        async with tierfold.open("memory:a", "memory:b"):
            raise LookupError("mine")


async def test_a_cancelled_save_is_stored_or_not_and_the_next_one_works(tmp_path: Path) -> None:
    async with tierfold.open(f"lmdb:{tmp_path / 'a'}") as data:
        things = data.repo(Thing)
        await things.save(Thing(id="oslo.a"))

        async def save(n: int) -> None:
            await things.save_many([Thing(id=f"oslo.{letter}", n=n) for letter in "abc"])

        for n in range(20):
            async with anyio.create_task_group() as tasks:
                tasks.start_soon(save, n)
                for _ in range(n % 4):
                    await anyio.lowlevel.checkpoint()
                tasks.cancel_scope.cancel()
            found = await things.get_many([f"oslo.{letter}" for letter in "abc"])
            assert len({thing.n for thing in found.values()}) == 1
        await save(100)
        assert {thing.n for thing in await things.query().all()} == {100}


async def test_two_layers_share_one_file_in_one_process(tmp_path: Path) -> None:
    url = f"lmdb:{tmp_path / 'a'}"
    async with tierfold.open(url) as one, tierfold.open(url) as other:
        mine, theirs = await one.repo(Thing).save(Thing()), await other.repo(Thing).save(Thing())
        assert await one.repo(Thing).get(theirs.id) == theirs
        assert await other.repo(Thing).get(mine.id) == mine
        one_more = await one.repo(Thing).modify(theirs.id, lambda thing: Thing(id=thing.id, n=5))
    async with tierfold.open(url) as data:
        assert await data.repo(Thing).get(theirs.id) == one_more


async def test_a_seed_makes_ids_repeatable_and_stores_none_the_same() -> None:
    ids, stores = [], set()
    for _ in range(2):
        async with tierfold.open("memory:a", "memory:b", seed=5) as data:
            ids.append([(await data.repo(Thing).save(Thing())).id for _ in range(3)])
            for tier in data.tiers:
                assert tier.store is not None
                stores.add((await tier.store.identity()).store)
    assert ids[0] == ids[1]
    assert len(set(ids[0])) == 3
    assert len(stores) == 4


# --- closing ---------------------------------------------------------------------------------------------------------


async def test_closing_twice_is_harmless(tmp_path: Path) -> None:
    async with tierfold.open(f"lmdb:{tmp_path / 'a'}") as data:
        await data.aclose()
        await data.aclose()
    await data.aclose()


async def test_a_layer_is_not_closed_from_another_event_loop(anyio_backend_name: str) -> None:
    """Who waited there for the end of its work waited for ever."""
    async with tierfold.open("memory:") as data:

        def close() -> None:
            with pytest.raises(tierfold.StoreError, match="opened in another event loop"):
                anyio.run(data.aclose, backend=anyio_backend_name)

        await anyio.to_thread.run_sync(close)
        assert await data.repo("Thing").save({"n": 1})


@on_asyncio
async def test_who_closes_second_waits_for_the_end_too(tmp_path: Path) -> None:
    data = await tierfold.open(f"lmdb:{tmp_path / 'a'}", f"lmdb:{tmp_path / 'b'}")
    await data.repo(Thing).save(Thing())
    closed: list[bool] = []

    async def close() -> None:
        await data.aclose()
        closed.append(all(tier.store is None for tier in data.tiers))

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(close)
        tasks.start_soon(close)
    assert closed == [True, True]


async def test_a_closed_layer_refuses_and_still_tells_its_status(tmp_path: Path) -> None:
    async with tierfold.open(f"lmdb:{tmp_path / 'a'}", f"lmdb:{tmp_path / 'b'}") as data:
        things = data.repo(Thing)
        saved = await things.save(Thing())
    for call in (things.get, things.delete, things.meta):
        with pytest.raises(tierfold.StoreClosedError):
            await call(saved.id)
    for save in (things.save(saved), things.query().all(), data.sync_now()):
        with pytest.raises(tierfold.StoreClosedError):
            await save
    status = data.status()
    assert [tier.open for tier in status.tiers] == [False, False]
    assert {link.state for link in status.links.values()} == {"closed"}


async def test_closing_delivers_what_waits(tmp_path: Path) -> None:
    near, far = f"lmdb:{tmp_path / 'near'}", f"lmdb:{tmp_path / 'far'}"
    async with tierfold.open(near, tierfold.Tier(far, name="far", interval="1h")) as data:
        saved = await data.repo(Thing).save_many([Thing(n=n) for n in range(100)])
    async with tierfold.open(far) as data:
        assert await data.repo(Thing).get_many([thing.id for thing in saved]) == {thing.id: thing for thing in saved}


async def test_closing_delivers_along_a_chain(tmp_path: Path) -> None:
    urls = [f"lmdb:{tmp_path / name}" for name in ("a", "b", "c")]
    async with tierfold.open(*urls) as data:
        saved = await data.repo(Thing).save(Thing())
    async with tierfold.open(urls[2]) as data:
        assert await data.repo(Thing).get(saved.id) == saved


@pytest.mark.parametrize("kind", ["unreachable", "failing", "hanging"])
async def test_a_farther_tier_that_does_not_answer_delays_closing_no_longer_than_allowed(
    tmp_path: Path, kind: str
) -> None:
    slow, flaky = SlowStore(), FlakyStore()
    remote = Remote(slow if kind == "hanging" else flaky)
    with anyio.fail_after(15):
        async with tierfold.open(f"lmdb:{tmp_path / 'a'}", "remote:", plugins=[remote], close_timeout_s=0.3) as data:
            if kind == "hanging":
                slow.gate = anyio.Event()
            flaky.down = True
            saved = await data.repo(Thing).save(Thing())
            began_s = anyio.current_time()
        assert anyio.current_time() - began_s < 4
    async with tierfold.open(f"lmdb:{tmp_path / 'a'}") as data:
        assert await data.repo(Thing).get(saved.id) == saved


async def test_a_closed_layer_still_says_that_something_was_not_delivered(tmp_path: Path) -> None:
    near, far = f"lmdb:{tmp_path / 'a'}", Remote(reachable=False)
    async with tierfold.open(near, "remote:", plugins=[far], close_timeout_s=0.1) as data:
        await data.repo(Thing).save(Thing())
        assert data.dirty
    assert data.dirty
    assert data.status().dirty
    assert data.status().links["remote"].dirty
    far.reachable = True
    async with tierfold.open(near, "remote:", plugins=[far]) as data:
        pass
    assert not data.dirty


async def test_a_closed_layer_says_what_the_middle_of_a_chain_did_not_deliver(tmp_path: Path) -> None:
    tiers = (f"lmdb:{tmp_path / 'a'}", tierfold.Tier(f"lmdb:{tmp_path / 'b'}", name="middle"), "remote:")
    far = Remote()
    async with tierfold.open(*tiers, plugins=[far]) as data:
        thing = await data.repo(Thing).save(Thing())
        await data.sync_now(timeout_s=15)
    far.reachable = False
    async with tierfold.open(*tiers, plugins=[far], close_timeout_s=0.1) as data:
        await data.repo(Thing).save(thing)
        await data.sync_now("middle", timeout_s=15)
    assert (data.links["middle"].dirty, data.links["remote"].dirty) == (False, True)


async def test_a_time_limit_can_be_given_when_closing(tmp_path: Path) -> None:
    slow = SlowStore()
    async with tierfold.open(f"lmdb:{tmp_path / 'a'}", "remote:", plugins=[Remote(slow)], close_timeout_s=60) as data:
        slow.gate = anyio.Event()
        await data.repo(Thing).save(Thing())
        with anyio.fail_after(15):
            await data.aclose(timeout_s=0.1)


# --- status ----------------------------------------------------------------------------------------------------------


async def test_the_status_says_whether_saves_outlive_the_process(tmp_path: Path) -> None:
    disk = f"lmdb:{tmp_path / 'a'}"
    layers = {
        ("memory:a", "memory:b"): False,
        (disk,): True,
        ("memory:", disk): True,
        (tierfold.Tier("memory:", writes="behind"), disk): False,
    }
    for tiers, durable in layers.items():
        async with tierfold.open(*tiers) as data:
            assert data.status().durable is durable


async def test_the_status_names_tiers_and_links(tmp_path: Path) -> None:
    async with tierfold.open("memory:cache", f"lmdb:{tmp_path / 'a'}", f"lmdb:{tmp_path / 'b'}") as data:
        status = data.status()
        assert [(tier.name, tier.scheme, tier.open, tier.durable) for tier in status.tiers] == [
            ("cache", "memory", True, False),
            ("lmdb", "lmdb", True, True),
            ("lmdb-2", "lmdb", True, True),
        ]
        assert list(status.links) == list(data.links) == ["lmdb", "lmdb-2"]
        assert not status.dirty


async def test_what_a_program_holds_says_in_a_debugger_what_it_is() -> None:
    near = tierfold.Tier("memory:near", writes="behind")
    async with tierfold.open(near, "remote:", plugins=[Remote(reachable=False)], close_timeout_s=0.1) as data:
        things = data.repo(Thing)
        await things.save_many([Thing(n=n) for n in range(3)])
        query = things.query(partitions=["oslo"], limit=2)
        page = await query.page(size=1)
        shown = [
            repr(each) for each in (data, data.links["remote"], things, query, things.query(tierfold.F.id == "oslo.x"))
        ]
        assert shown == [
            "<DataLayer near -> remote, open>",
            "<Link near -> remote, failing: the server does not answer>",
            "<Repository of Thing, partition '{site}'>",
            "<Query of Thing, partitions oslo, limit 2>",
            "<Query of Thing, where {'id': {'$eq': 'oslo.x'}}>",
        ]
        assert repr(page) == "<Page of 1, more behind it, missing oslo>"
        assert repr(await things.query().page()).startswith("<Page of 3, the last, missing")
    assert repr(data) == "<DataLayer near -> remote, closed>"
