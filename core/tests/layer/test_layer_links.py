"""Links between tiers: when they run, what they report, pausing, and several programs on one store."""

from __future__ import annotations

from pathlib import Path

import anyio
import anyio.lowlevel
import pytest
from core.tests.layer.remote import Remote
from core.tests.layer.waiting import until

import tierfold
from tierfold.abc.store import LocalStore
from tierfold.abc.syncable import NearerStore
from tierfold.model import SegmentName
from tierfold.testing import FakeClock, SlowStore

pytestmark = pytest.mark.anyio


class Thing(tierfold.Entity, partition="{site}"):
    site: str = "oslo"
    n: int = 0


class Note(tierfold.Entity):
    text: str = ""


def stores(data: tierfold.DataLayer) -> list[NearerStore]:
    found = [tier.store for tier in data.tiers]
    assert all(isinstance(store, NearerStore) for store in found)
    return [store for store in found if isinstance(store, NearerStore)]


async def roots(data: tierfold.DataLayer) -> list[bytes]:
    """The roots of all tiers, over what they hold."""
    return [(await store.own_root()).root for store in stores(data)]


# --- runs ------------------------------------------------------------------------------------------------------------


async def test_a_save_reaches_the_farther_tier_by_itself() -> None:
    async with tierfold.open("memory:a", "memory:b") as data:
        things = data.repo(Thing)
        await things.save(Thing(id="oslo.0"))
        await data.sync_now()
        data.links["b"].pause()
        saved = await things.save(Thing())
        assert data.dirty
        meta = await things.meta(saved.id)
        assert meta is not None
        assert meta.pending == ("b",)
        data.links["b"].resume()
        await until(lambda: not data.dirty)
        meta = await things.meta(saved.id)
        assert meta is not None
        assert meta.pending == ()
        assert len(set(await roots(data))) == 1


async def test_one_save_causes_one_run_that_moves_something_and_then_silence(tmp_path: Path) -> None:
    async with tierfold.open(f"lmdb:{tmp_path / 'a'}", tierfold.Tier(f"lmdb:{tmp_path / 'b'}", name="b")) as data:
        await data.repo(Thing).save(Thing(id="oslo.0"))
        await data.sync_now()
        moving: list[tierfold.LinkReport] = []
        feeds: list[list[object]] = []
        last = data.links["b"].status.last
        await data.repo(Thing).save(Thing(id="oslo.1"))
        with anyio.move_on_after(0.5):
            while True:
                report = data.links["b"].status.last
                if report is not None and report is not last and (report.pushed or report.pulled):
                    moving.append(report)
                last = report
                feeds.append([(await store.feed(None)).token for store in stores(data)])
                await anyio.lowlevel.checkpoint()
        assert [(report.pushed, report.pulled, report.verified) for report in moving] == [(1, 0, True)]
        assert feeds[-1] == feeds[len(feeds) // 2]


async def test_nothing_runs_while_nothing_happens() -> None:
    remote = Remote()
    async with tierfold.open("memory:a", tierfold.Tier("remote:", interval="1h"), plugins=[remote]) as data:
        await data.repo(Thing).save(Thing())
        await data.sync_now()
        await anyio.sleep(0.05)
        before = len(remote.fault.calls)
        await anyio.sleep(0.2)
        assert len(remote.fault.calls) == before


async def test_a_busy_writers_commits_are_carried_in_batches() -> None:
    remote = Remote()
    async with tierfold.open("memory:a", "remote:", plugins=[remote]) as data:
        await data.sync_now()
        before = remote.runs
        for n in range(200):
            await data.repo(Thing).save(Thing(n=n))
            await anyio.lowlevel.checkpoint()
        await until(lambda: not data.dirty)
        assert remote.store is not None
        assert len(remote.store.segments()) == 1
        assert remote.runs - before < 100


async def test_the_interval_of_a_link_is_kept() -> None:
    remote = Remote()
    async with tierfold.open("memory:a", tierfold.Tier("remote:", interval="50ms"), plugins=[remote]) as data:
        await data.sync_now()
        before = remote.runs
        await until(lambda: remote.runs >= before + 3)


async def test_a_sync_says_what_it_did() -> None:
    remote = Remote()
    async with tierfold.open("memory:a", "remote:", plugins=[remote]) as one:
        one.links["remote"].pause()
        async with tierfold.open("memory:b", "remote:", plugins=[remote]) as other:
            theirs = await other.repo(Thing).save(Thing(id="oslo.1", n=1))
            first = await other.sync_now()
            other.links["remote"].pause()
            one.links["remote"].resume()
            assert await one.repo(Thing).get("oslo.1") == theirs
            await one.repo(Thing).save(Thing(id="oslo.2"))
            second = await one.sync_now()
            other.links["remote"].resume()
            third = await other.sync_now()
            fourth = await other.sync_now()
        reports = [report.links["remote"] for report in (first, third, fourth)]
        assert [(report.pushed, report.pulled, report.conflicts) for report in reports] == [
            (1, 0, 0),
            (0, 1, 0),
            (0, 0, 0),
        ]
        assert all(report.ok and report.verified is True for report in (first, second, third, fourth))
        assert reports[0].bytes > 50
        assert reports[2].bytes == 0
        assert reports[0].duration_s > 0


async def test_a_sync_of_one_link_leaves_the_others() -> None:
    async with tierfold.open("memory:a", "memory:b", "memory:c") as data:
        data.links["c"].pause()
        await data.repo(Note).save(Note())
        report = await data.sync_now("b")
        assert list(report.links) == ["b"]
        data.links["c"].resume()


async def test_a_link_that_is_not_there_is_an_error() -> None:
    async with tierfold.open("memory:a", "memory:b") as data:
        with pytest.raises(tierfold.ConfigError, match="'x'"):
            await data.sync_now("x")


async def test_a_layer_without_links_is_in_sync() -> None:
    async with tierfold.open("memory:a") as data:
        report = await data.sync_now()
        assert (report.ok, report.verified, dict(report.links), data.dirty) == (True, True, {}, False)


async def test_a_sync_runs_along_a_chain_and_back_until_nothing_moves(tmp_path: Path) -> None:
    far = f"lmdb:{tmp_path / 'far'}"
    async with tierfold.open("memory:a", "memory:b", far) as one, tierfold.open("memory:c", "memory:d", far) as other:
        mine = await one.repo(Thing).save(Thing(id="oslo.1"))
        assert (await one.sync_now(timeout_s=15)).verified is True
        theirs = await other.repo(Thing).save(Thing(id="oslo.2"))
        assert (await other.sync_now(timeout_s=15)).verified is True
        assert (await one.sync_now(timeout_s=15)).verified is True
        assert await one.repo(Thing).get("oslo.2") == theirs
        assert await other.repo(Thing).get("oslo.1") == mine
        assert len({*await roots(one), *await roots(other)}) == 1


async def test_a_sync_of_a_chain_brings_down_what_the_farthest_tier_got_from_elsewhere() -> None:
    remote = Remote()
    far = tierfold.Tier("remote:", interval="1h")
    async with (
        tierfold.open("memory:a", "memory:b", far, plugins=[remote]) as data,
        tierfold.open("memory:c", far, plugins=[remote]) as other,
    ):
        await data.repo(Thing).save(Thing(id="oslo.1"))
        await data.sync_now()
        theirs = await other.repo(Thing).save(Thing(id="oslo.2"))
        await other.sync_now()
        await data.sync_now()
        # Not what the report counts: the runs that the store in the middle wakes may have brought it down before.
        nearest = data.tiers[0].store
        assert isinstance(nearest, LocalStore)
        assert nearest.find(SegmentName("Thing", "app.oslo"), "oslo.2") is not None
        assert await data.repo(Thing).get("oslo.2") == theirs


async def test_a_sync_with_nothing_to_do_is_one_run() -> None:
    remote = Remote()
    async with tierfold.open("memory:a", tierfold.Tier("remote:", interval="1h"), plugins=[remote]) as data:
        await data.repo(Thing).save(Thing())
        await data.sync_now()
        before = remote.runs
        await data.sync_now()
        assert remote.runs == before + 1
        assert not data.links["remote"].is_at("app.oslo")


async def test_what_is_deferred_is_reported_and_not_tried_without_rest() -> None:
    """Stamps too far ahead of the farther tier's clock wait for their time."""
    clock, remote = FakeClock(), Remote()
    far = tierfold.Tier("remote:", interval="1h")
    async with tierfold.open("memory:a", far, plugins=[remote], clock=clock):
        pass
    async with tierfold.open("memory:b", far, plugins=[remote], clock=FakeClock(clock() + 300_000)) as data:
        saved = await data.repo(Thing).save(Thing())
        report = await data.sync_now()
        assert (report.ok, report.verified, data.dirty) == (True, None, True)
        assert report.links["remote"].deferred == (("Thing", saved.id),)
        before = remote.runs
        await anyio.sleep(0.2)
        assert remote.runs - before <= 1
        clock.advance(s=300)
        report = await data.sync_now()
        assert (report.verified, data.dirty) == (True, False)


async def test_a_chain_carries_an_edit_that_was_made_while_it_was_cut() -> None:
    async with tierfold.open("memory:a", "memory:b", "memory:c") as data:
        saved = await data.repo(Thing).save(Thing())
        await data.sync_now()
        data.links["c"].pause()
        saved.n = 1
        await data.repo(Thing).save(saved)
        await data.sync_now()
        meta = await data.repo(Thing).meta(saved.id)
        assert meta is not None
        assert meta.pending == ("c",)
        assert data.dirty
        data.links["c"].resume()
        await until(lambda: not data.dirty)
        assert len(set(await roots(data))) == 1


# --- conflicts -------------------------------------------------------------------------------------------------------


async def test_of_two_edits_the_newer_one_stays_on_both_sides_and_the_other_is_logged(tmp_path: Path) -> None:
    near, far, clock = f"lmdb:{tmp_path / 'near'}", f"lmdb:{tmp_path / 'far'}", FakeClock()
    async with tierfold.open(near, far, clock=clock) as data, tierfold.open(far, clock=clock) as other:
        await data.repo(Thing).save(Thing(id="oslo.1", n=0))
        await data.sync_now()
        (link,) = data.links.values()
        link.pause()
        await data.repo(Thing).save(Thing(id="oslo.1", n=1))
        clock.advance(ms=1)
        newer = await other.repo(Thing).save(Thing(id="oslo.1", n=2))
        link.resume()
        report = await data.sync_now()
        await data.sync_now()
        assert report.verified is True
        assert await data.repo(Thing).get("oslo.1") == newer
        assert await other.repo(Thing).get("oslo.1") == newer
        ((_, entry),) = await stores(data)[0].conflict_log(0, 10)
        assert (entry.rule, entry.link, entry.loser.id) == ("lww", link.name, "oslo.1")


async def test_fifty_edits_while_cut_are_no_conflict(tmp_path: Path) -> None:
    near, far = f"lmdb:{tmp_path / 'near'}", f"lmdb:{tmp_path / 'far'}"
    async with tierfold.open(near, far) as data:
        await data.repo(Thing).save(Thing(id="oslo.1"))
        await data.sync_now()
        (link,) = data.links.values()
        link.pause()
        for n in range(50):
            await data.repo(Thing).save(Thing(id="oslo.1", n=n))
        await data.repo(Thing).delete("oslo.1")
        await data.repo(Thing).save(Thing(id="oslo.1", n=99))
        link.resume()
        report = await data.sync_now()
        assert (report.verified, report.links[link.name].conflicts) == (True, 0)
    async with tierfold.open(far) as other:
        found = await other.repo(Thing).get("oslo.1")
        assert found is not None
        assert (found.n, found.version) == (99, 53)


# --- pausing ---------------------------------------------------------------------------------------------------------


async def test_a_paused_link_moves_nothing_until_it_is_resumed() -> None:
    remote = Remote()
    async with tierfold.open("memory:a", "remote:", plugins=[remote]) as data:
        await data.sync_now()
        link = data.links["remote"]
        link.pause()
        before = len(remote.fault.calls)
        await data.repo(Thing).save(Thing(id="oslo.1"))
        report = await data.sync_now()
        assert (report.ok, report.verified) == (False, None)
        assert "paused" in (report.links["remote"].error or "")
        assert (link.status.state, link.status.dirty, data.dirty) == ("paused", True, True)
        with pytest.raises(tierfold.PartitionUnavailableError, match="paused"):
            await data.repo(Thing).get("rome.1")
        await anyio.sleep(0.05)
        assert len(remote.fault.calls) == before
        link.resume()
        await until(lambda: not data.dirty)
        assert link.status.state in ("idle", "running")


async def test_a_run_under_way_ends_as_usual_when_its_link_is_paused() -> None:
    slow = SlowStore(only=["apply"])
    remote = Remote(slow)
    async with tierfold.open("memory:a", "remote:", plugins=[remote]) as data:
        await data.sync_now()
        slow.gate = anyio.Event()
        await data.repo(Thing).save(Thing())
        await until(lambda: "apply" in slow.calls)
        data.links["remote"].pause()
        slow.gate.set()
        await until(lambda: not data.dirty)


async def test_a_layer_is_closed_while_its_link_is_paused(tmp_path: Path) -> None:
    near, far = f"lmdb:{tmp_path / 'near'}", f"lmdb:{tmp_path / 'far'}"
    async with tierfold.open(near, far) as data:
        (link,) = data.links.values()
        link.pause()
        saved = await data.repo(Thing).save(Thing())
    async with tierfold.open(near, far) as data:
        assert await data.repo(Thing).get(saved.id) == saved
        assert (await data.sync_now()).verified is True


async def test_a_save_that_was_cancelled_too_late_is_carried_before_the_layer_is_closed(tmp_path: Path) -> None:
    near, far = f"lmdb:{tmp_path / 'near'}", f"lmdb:{tmp_path / 'far'}"
    for number in range(40):  # whether it is too late is up to the writer's thread
        async with tierfold.open(near, far) as data, anyio.create_task_group() as tasks:
            await data.sync_now()
            tasks.start_soon(data.repo(Thing).save, Thing(id=f"oslo.{number}"))
            for _ in range(number % 8):
                await anyio.lowlevel.checkpoint()
            tasks.cancel_scope.cancel()
        assert not data.dirty


async def test_a_link_that_there_is_not_is_an_error_that_names_those_there_are() -> None:
    async with tierfold.open("memory:a", "memory:b") as data:
        with pytest.raises(tierfold.ConfigError, match=r"no link 'typo'; there are b"):
            data.links["typo"]
        with pytest.raises(KeyError, match="there are b"):
            await data.sync_now("typo")


# --- status ----------------------------------------------------------------------------------------------------------


async def test_the_state_of_a_link_can_be_watched() -> None:
    slow = SlowStore(only=["scope_root"])
    remote = Remote(slow, reachable=False)
    async with tierfold.open("memory:a", "remote:", plugins=[remote]) as data:
        link = data.links["remote"]
        states = [link.status.state]
        assert "does not answer" in (link.status.error or "")
        remote.reachable = True
        slow.gate = anyio.Event()
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(data.sync_now)
            await until(lambda: "scope_root" in slow.calls)
            states.append(link.status.state)
            slow.gate.set()
        states.append(link.status.state)
        assert (link.status.error, link.status.last is not None) == (None, True)
        link.pause()
        states.append(link.status.state)
    states.append(link.status.state)
    assert states == ["failing", "running", "idle", "paused", "closed"]


# --- several programs ------------------------------------------------------------------------------------------------


async def test_one_program_runs_a_link_and_the_others_write(tmp_path: Path) -> None:
    tiers = f"lmdb:{tmp_path / 'near'}", f"lmdb:{tmp_path / 'far'}"
    async with tierfold.open(*tiers) as one:
        async with tierfold.open(*tiers) as other, tierfold.open(tiers[1]) as far:
            await until(lambda: next(iter(other.links.values())).status.state == "elsewhere")
            saved = await other.repo(Thing).save(Thing())
            async with far.events() as events:
                await until(lambda: not other.dirty)
                assert await far.repo(Thing).get(saved.id) == saved
                again = await far.repo(Thing).save(saved)
                await anext(events)
                report = await other.sync_now(timeout_s=15)
                assert report.verified is True
                assert await other.repo(Thing).get(saved.id) == again
        await one.repo(Thing).save(Thing())


@pytest.mark.parametrize("anyio_backend", ["asyncio"])
async def test_a_sync_says_that_another_program_runs_the_link_and_has_not_delivered(tmp_path: Path) -> None:
    """For it waits ten seconds, under a clock that stands still."""
    tiers, clock = (f"lmdb:{tmp_path / 'near'}", f"lmdb:{tmp_path / 'far'}"), FakeClock()
    async with tierfold.open(*tiers, clock=clock) as one, tierfold.open(*tiers, clock=clock) as other:
        next(iter(one.links.values())).pause()
        await other.repo(Thing).save(Thing())
        with anyio.fail_after(15):
            began_s = anyio.current_time()
            report = await other.sync_now()
            took_s = anyio.current_time() - began_s
        (link,) = report.links.values()
        await other.aclose(timeout_s=0)
        assert (report.ok, link.verified) == (False, None)
        assert "another process runs the link" in (link.error or "")
        assert 0 < took_s - link.duration_s < 1


async def test_a_program_takes_a_link_over_as_soon_as_the_other_closes(tmp_path: Path) -> None:
    tiers = f"lmdb:{tmp_path / 'near'}", f"lmdb:{tmp_path / 'far'}"
    async with tierfold.open(*tiers) as one, tierfold.open(*tiers) as other:
        await one.aclose()
        with anyio.fail_after(15):
            await other.repo(Thing).save(Thing())
            assert (await other.sync_now()).verified is True
        assert next(iter(other.links.values())).status.state == "idle"


async def test_who_waits_for_a_sync_takes_the_link_over_when_it_becomes_free(tmp_path: Path) -> None:
    tiers = f"lmdb:{tmp_path / 'near'}", f"lmdb:{tmp_path / 'far'}"
    async with tierfold.open(*tiers) as one, tierfold.open(*tiers) as other:
        next(iter(one.links.values())).pause()
        await other.repo(Thing).save(Thing())
        reports: list[tierfold.SyncReport] = []

        async def sync() -> None:
            reports.append(await other.sync_now())

        with anyio.fail_after(15):
            async with anyio.create_task_group() as tasks:
                tasks.start_soon(sync)
                await anyio.wait_all_tasks_blocked()
                await one.aclose()
        assert [report.verified for report in reports] == [True]


async def test_an_interval_of_next_to_nothing_does_not_run_without_rest() -> None:
    remote = Remote()
    async with tierfold.open("memory:a", tierfold.Tier("remote:", interval="0.001ms"), plugins=[remote]) as data:
        await data.sync_now()
        before = remote.runs
        await anyio.sleep(0.1)
        assert remote.runs - before <= 25


async def test_who_does_not_run_the_link_hydrates_all_the_same(tmp_path: Path) -> None:
    tiers = f"lmdb:{tmp_path / 'near'}", f"lmdb:{tmp_path / 'far'}"
    async with tierfold.open(tiers[1]) as far:
        saved = await far.repo(Thing).save(Thing())
        async with tierfold.open(*tiers), tierfold.open(*tiers) as other:
            assert next(iter(other.links.values())).status.state == "elsewhere"
            with anyio.fail_after(15):
                assert await other.repo(Thing).get(saved.id) == saved
                assert await other.repo(Thing).get("rome.none") is None


async def test_several_tiers_of_their_own_share_a_farther_one(tmp_path: Path) -> None:
    far = f"lmdb:{tmp_path / 'far'}"
    async with tierfold.open("memory:a", far) as one, tierfold.open("memory:b", far) as other:
        saved = await one.repo(Thing).save(Thing())
        assert await other.repo(Thing).get(saved.id) == saved
        saved.n = 5
        await one.repo(Thing).save(saved)

        async def arrived() -> bool:
            found = await other.repo(Thing).get(saved.id)
            return found is not None and found.n == 5

        await until(arrived)


async def test_a_chain_and_its_end_may_name_the_same_tiers_differently(tmp_path: Path) -> None:
    """The link between two stores is the same, whatever each program calls it."""
    urls = [f"lmdb:{tmp_path / name}" for name in ("a", "b", "c")]
    async with tierfold.open(*urls) as chain, tierfold.open(*urls[1:]) as end:
        saved = await end.repo(Thing).save(Thing())
        assert (await end.sync_now(timeout_s=15)).ok
        assert await chain.repo(Thing).get(saved.id) == saved
        await chain.repo(Thing).save(saved)
        assert (await chain.sync_now(timeout_s=15)).ok


# --- opened without a farther tier -----------------------------------------------------------------------------------


async def test_who_opens_a_store_without_its_upstream_is_told_what_waits_for_that(tmp_path: Path) -> None:
    near, far = (f"lmdb:{tmp_path / name}" for name in ("near", "far"))
    async with tierfold.open(near, far) as data:
        clean = await data.repo(Thing).save(Thing())
        assert (await data.sync_now()).verified is True
        assert data.status().beyond is None
    async with tierfold.open(near) as data:
        things = data.repo(Thing)
        before = data.dirty
        saved = await things.save(Thing())
        pending = {each.id: await things.meta(each.id) for each in (clean, saved)}
        beyond = data.status().beyond
        assert beyond is not None
        assert (before, data.dirty, data.status().dirty) == (False, True, True)
        assert [meta and meta.pending for meta in pending.values()] == [(), (beyond,)]
    async with tierfold.open(near, far) as data:
        assert (await data.sync_now()).verified is True
        assert not data.dirty


async def test_an_unknown_partition_of_such_a_store_has_one_name_and_one_reason(tmp_path: Path) -> None:
    near, far = (f"lmdb:{tmp_path / name}" for name in ("near", "far"))
    async with tierfold.open(near, far) as data:
        await data.repo(Thing).save(Thing())
        await data.sync_now()
    async with tierfold.open(near) as data:
        errors = []
        for read in (data.repo(Thing).get("rome.1"), data.repo(Thing).query(partitions=["rome"]).all()):
            with pytest.raises(tierfold.PartitionUnavailableError) as raised:
                await read
            errors.append(raised.value)
        assert [error.partition for error in errors] == ["rome", "rome"]
        assert [str(error) for error in errors] == [
            "partition 'rome' is not here and this layer was opened without the tier that holds it"
        ] * 2
