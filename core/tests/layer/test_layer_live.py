"""Observing: what is there now, then one snapshot for every commit that changes it, and nothing left behind."""

from __future__ import annotations

import gc
import tracemalloc
from collections.abc import AsyncGenerator, Callable
from contextlib import aclosing
from random import Random
from threading import Thread
from typing import Any

import anyio
import anyio.lowlevel
import pytest
from core.tests.layer.remote import Remote
from core.tests.layer.waiting import until

import tierfold
from tierfold import F
from tierfold.abc.store import RecordChange
from tierfold.model import SegmentName

pytestmark = pytest.mark.anyio


class Quake(tierfold.Entity, partition="{net}"):
    net: str = "ci"
    mag: float | None = None
    place: str = ""


class Other(tierfold.Entity):
    n: int = 0


Data = tierfold.DataLayer


@pytest.fixture
async def data() -> AsyncGenerator[Data]:
    async with tierfold.open("memory:", seed=1) as data:
        yield data


def mags(snapshot: tierfold.Snapshot[list[Quake]]) -> list[float | None]:
    return [quake.mag for quake in snapshot.value]


async def is_silent(live: tierfold.Live[Any]) -> bool:
    """Whether nothing waits to be taken."""
    with anyio.move_on_after(0.02):
        await anext(live)
        return False
    return True


def is_observed(data: Data) -> bool:
    return data._hub.is_busy


# --- one entity ------------------------------------------------------------------------------------------------------


async def test_an_entity_is_given_at_once_and_after_every_commit(data: Data) -> None:
    quakes = data.repo(Quake)
    quake = await quakes.save(Quake(mag=1.0))
    live = quakes.observe(quake.id)
    first = await anext(live)
    assert (first.value, first.state, first.changes) == (quake, "ready", ())
    quake.mag = 2.0
    await quakes.save(quake)
    second = await anext(live)
    assert second.value == quake
    assert [(change.kind, change.id, change.partition, change.origin) for change in second.changes] == [
        ("saved", quake.id, "ci", "local")
    ]
    await quakes.delete(quake.id)
    third = await anext(live)
    assert (third.value, third.changes[0].kind) == (None, "deleted")


async def test_an_entity_may_come_into_being_later(data: Data) -> None:
    live = data.repo(Quake).observe("ci.1")
    assert (await anext(live)).value is None
    await data.repo(Quake).save(Quake(id="ci.1", mag=3))
    value = (await anext(live)).value
    assert value is not None
    assert value.mag == 3


async def test_other_entities_say_nothing_to_its_observer(data: Data) -> None:
    live = data.repo(Quake).observe("ci.1")
    await anext(live)
    await data.repo(Quake).save(Quake(id="ci.2"))
    await data.repo(Other).save(Other())
    assert await is_silent(live)


async def test_what_is_no_id_cannot_be_observed(data: Data) -> None:
    with pytest.raises(tierfold.ValidationError):
        data.repo(Quake).observe("nothing")


# --- queries ---------------------------------------------------------------------------------------------------------


async def test_a_commit_is_one_snapshot(data: Data) -> None:
    quakes = data.repo(Quake)
    live = quakes.observe_all(F.mag >= 3, sort=["-mag"])
    assert mags(await anext(live)) == []
    await quakes.save_many([Quake(mag=mag) for mag in (1.0, 3.0, 5.0, 4.0)])
    snapshot = await anext(live)
    assert mags(snapshot) == [5.0, 4.0, 3.0]
    assert len(snapshot.changes) == 3
    assert await is_silent(live)


async def test_a_change_in_and_out_of_the_condition_is_followed(data: Data) -> None:
    quakes = data.repo(Quake)
    quake = await quakes.save(Quake(mag=1.0))
    live = quakes.observe_all(F.mag >= 3)
    assert mags(await anext(live)) == []
    quake.mag = 4.0
    await quakes.save(quake)
    assert mags(await anext(live)) == [4.0]
    quake.mag = 2.0
    await quakes.save(quake)
    snapshot = await anext(live)
    assert mags(snapshot) == []
    assert [change.id for change in snapshot.changes] == [quake.id]
    quake.mag = 1.0
    await quakes.save(quake)
    assert await is_silent(live)


async def test_nothing_is_missed_between_the_first_snapshot_and_the_changes(data: Data) -> None:
    """What is committed while the first one is read comes in it or behind it."""
    quakes = data.repo(Quake)
    await quakes.save_many([Quake(mag=float(number)) for number in range(5_000)])
    seen: list[int] = []

    async def write() -> None:
        for number in range(20):
            await quakes.save(Quake(id=f"ci.new{number}", mag=-1.0))
            await anyio.lowlevel.checkpoint()

    async def watch() -> None:
        async for snapshot in quakes.observe_all(F.place == ""):
            seen.append(len(snapshot.value))
            if seen[-1] == 5_020:
                return

    with anyio.fail_after(20):
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(watch)
            tasks.start_soon(write)
    assert seen == sorted(seen)


@pytest.mark.parametrize("limit", [None, 3, 10])
@pytest.mark.parametrize("sort", [[], ["-mag"], ["place", "mag"]], ids=["none", "one", "two"])
async def test_after_any_changes_the_snapshot_is_what_the_query_gives(
    data: Data, sort: list[str], limit: int | None
) -> None:
    random = Random(f"{sort}{limit}")
    quakes = data.repo(Quake)
    query = quakes.query(F.mag >= 2, sort=sort or ["id"], limit=limit)
    live = query.observe()
    await anext(live)
    for _ in range(150):
        id = f"{random.choice(['ci', 'us'])}.{random.randrange(30)}"
        if random.random() < 0.3:
            changed = await quakes.delete(id)
        else:
            mag = random.choice([None, 1.0, 2.0, 3.0, 4.0])
            await quakes.save(Quake(id=id, net=id[:2], mag=mag, place=random.choice("ab")))
            changed = True
        if changed and random.random() < 0.8:
            await take_all(live)
    expected = await query.all()
    await quakes.save(Quake(id="ci.last", mag=9.0))
    last = await drained(live)
    assert last.value == await query.all()
    assert expected


class Ranked(tierfold.Entity, name="Ranked", index=["rank"]):
    rank: float = 0.0


@pytest.mark.parametrize("limit", [None, 40])
async def test_what_moves_while_all_is_read_is_shown_once(limit: int | None) -> None:
    """An index of three thousand is read in several looks; what moves ahead meanwhile is found in two of them."""
    async with tierfold.open("memory:") as data:
        ranked = data.repo(Ranked)
        entities = await ranked.save_many([Ranked(rank=float(n)) for n in range(3_000)])
        await until(lambda: [index.state for index in ranked.indexes()] == ["ready"])
        query = ranked.query(F.rank >= 0, sort=["-rank"], limit=limit)
        live = query.observe()

        async def move() -> None:
            for number, entity in enumerate(entities[-30:]):
                entity.rank = float(number % 7)
                await ranked.save(entity)
                await anyio.lowlevel.checkpoint()

        async with anyio.create_task_group() as tasks:
            tasks.start_soon(move)
            first = (await anext(live)).value
        assert len({entity.id for entity in first}) == len(first)
        entities[100].rank = 5_000.0
        await ranked.save(entities[100])
        assert [entity.id for entity in (await anext(live)).value] == [entity.id for entity in await query.all()]


@pytest.mark.parametrize("of", ["entity", "query"])
async def test_no_snapshot_is_older_than_the_one_before(data: Data, of: str) -> None:
    """What was committed while all was read was read already, or is newer: it takes nothing back."""
    quakes = data.repo(Quake)
    await quakes.save_many([Quake(mag=float(n)) for n in range(6_000)])
    lowest = await quakes.save(Quake(id="ci.lowest", mag=-1.0))
    seen: list[float | None] = []

    async def watch() -> None:
        if of == "entity":
            live = quakes.observe(lowest.id, overflow="buffer(10)")
            while True:
                one = (await anext(live)).value
                seen.append(0.0 if one is None else one.mag)
        three = quakes.query(sort=["mag"], limit=3).observe(overflow="buffer(10)")
        while True:
            seen.append((await anext(three)).value[0].mag)

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(watch)
        await anyio.lowlevel.checkpoint()
        for mag in (-2.0, -3.0, -4.0):
            lowest.mag = mag
            await quakes.save(lowest)
        await quakes.delete(lowest.id)
        await until(lambda: seen[-1:] == [0.0])
        for _ in range(30):  # what would come after it
            await anyio.lowlevel.checkpoint()
        tasks.cancel_scope.cancel()
    assert seen == [mag for mag in (-1.0, -2.0, -3.0, -4.0, 0.0) if mag in seen]


class Text(tierfold.Entity, name="Numbered"):
    text: str = ""


def numbered(document: dict[str, Any]) -> dict[str, Any]:
    return {"number": int(document["text"])}


class Numbered(tierfold.Entity, name="Numbered", schema=2, upgrade={1: numbered}):
    number: int = 0


async def test_a_commit_that_cannot_be_followed_is_not_followed_half(data: Data) -> None:
    numbers, texts = data.repo(Numbered), data.repo(Text)
    await numbers.save(Numbered(number=1))
    query = numbers.query(F.number >= 0, sort=["number"])
    live = query.observe()
    await anext(live)
    _, bad, _ = await texts.save_many([Text(text="5"), Text(text="no number"), Text(text="6")])
    for _ in range(2):
        with pytest.raises(tierfold.ValidationError, match=bad.id):
            await anext(live)
    await texts.delete(bad.id)
    assert [each.number for each in (await anext(live)).value] == [1, 5, 6]


async def take_all(live: tierfold.Live[Any]) -> None:
    """Take what waits, which may be nothing that matters."""
    with anyio.move_on_after(0.001):
        while live._news or live._commits:
            await anext(live)


async def drained(live: tierfold.Live[list[Quake]]) -> tierfold.Snapshot[list[Quake]]:
    snapshot = await anext(live)
    while live._news or live._commits:
        snapshot = await anext(live)
    return snapshot


async def test_a_change_does_not_search_again_unless_too_many_results_went(
    data: Data, monkeypatch: pytest.MonkeyPatch
) -> None:
    quakes = data.repo(Quake)
    await quakes.save_many([Quake(id=f"ci.{number}", mag=float(number)) for number in range(100)])
    scans: list[object] = []
    store = data._access.reader
    scan = store.scan_live

    def counted(*args: Any, **more: Any) -> object:
        scans.append(args)
        return scan(*args, **more)

    monkeypatch.setattr(store, "scan_live", counted)
    live = quakes.observe_all(sort=["-mag"], limit=5)
    assert mags(await anext(live)) == [99.0, 98.0, 97.0, 96.0, 95.0]
    first = len(scans)
    for number in range(50):
        await quakes.save(Quake(id=f"ci.new{number}", mag=100.0 + number))
        await anext(live)
    for number in range(10):
        await quakes.delete(f"ci.new{number + 40}")
        await anext(live)
    assert len(scans) == first
    for number in range(40):
        await quakes.delete(f"ci.new{number}")
    assert mags(await drained(live)) == [99.0, 98.0, 97.0, 96.0, 95.0]
    assert len(scans) > first


# --- overflow --------------------------------------------------------------------------------------------------------


async def write_some(data: Data, count: int = 5) -> None:
    for number in range(count):
        await data.repo(Quake).save(Quake(id="ci.1", mag=float(number)))


async def test_the_latest_snapshot_sums_up_what_was_not_taken(data: Data) -> None:
    live = data.repo(Quake).observe_all()
    await anext(live)
    await write_some(data)
    snapshot = await anext(live)
    assert (mags(snapshot), snapshot.lagged, len(snapshot.changes)) == ([4.0], 4, 5)
    assert await is_silent(live)


async def test_a_buffer_keeps_single_commits_and_sums_up_the_rest(data: Data) -> None:
    live = data.repo(Quake).observe("ci.1", overflow="buffer(3)")
    await anext(live)
    await write_some(data)
    taken = [await anext(live) for _ in range(3)]
    assert [snapshot.value and snapshot.value.mag for snapshot in taken] == [0.0, 1.0, 4.0]
    assert [snapshot.lagged for snapshot in taken] == [0, 0, 2]


async def test_falling_too_far_behind_can_be_an_error(data: Data) -> None:
    live = data.repo(Quake).observe_all(overflow="error")
    await anext(live)
    await write_some(data, 1_001)
    with pytest.raises(tierfold.QueryError, match="1000 commits behind"):
        await anext(live)
    assert not is_observed(data)
    with pytest.raises(StopAsyncIteration):
        await anext(live)


async def test_who_takes_nothing_keeps_little_and_misses_nothing(data: Data) -> None:
    quakes = data.repo(Quake)
    live, strict = quakes.observe_all(), quakes.observe_all(overflow="error")
    await anext(live), await anext(strict)
    for number in range(30):
        await quakes.save_many([Quake(id=f"ci.{index}", mag=float(number)) for index in range(1_000)])
    assert sum(len(changes) for changes in (*live._news, *live._commits)) < 22_000
    snapshot = await anext(live)
    assert (set(mags(snapshot)), len(snapshot.value), snapshot.changes) == ({29.0}, 1_000, ())
    assert (await anext(strict)).lagged == 0  # thirty commits are not too many
    assert await is_silent(live)


@pytest.mark.parametrize(("overflow", "size"), [("latest", 1), ("latest", 3_000), ("buffer(20)", 300)])
async def test_nothing_is_lost_that_another_thread_tells_while_one_takes(data: Data, overflow: str, size: int) -> None:
    saved = await data.repo(Quake).save(Quake(mag=1.0))
    segment = SegmentName("Quake", "app.ci")
    record = data._access.reader.find_held(segment, saved.id)
    assert record is not None
    live = data.repo(Quake).observe(saved.id, overflow=overflow)
    await anext(live)
    commit = [RecordChange("saved", segment, record, "local", 2**40)] * size

    def tell() -> None:
        for _ in range(3_000):
            live.push(commit)

    teller = Thread(target=tell)
    teller.start()
    told = 0
    with anyio.fail_after(20):
        while told < 3_000:
            snapshot = await anext(live)
            told += snapshot.lagged + bool(snapshot.changes)
    teller.join()
    assert told == 3_000


@pytest.mark.parametrize("overflow", ["newest", "buffer", "buffer(0)", "buffer(-1)", "", None, 3])
def test_other_policies_are_refused(overflow: Any) -> None:
    from tierfold.live.snapshot import _policy

    with pytest.raises(tierfold.QueryError, match="overflow"):
        _policy(overflow)


# --- leaving ---------------------------------------------------------------------------------------------------------


async def leave_by_break(live: tierfold.Live[Any]) -> None:
    async for _ in live:
        break


async def leave_by_exception(live: tierfold.Live[Any]) -> None:
    with pytest.raises(ZeroDivisionError):  # noqa: PT012 - the loop is what is left
        async for _ in live:
            raise ZeroDivisionError


async def leave_by_cancellation(live: tierfold.Live[Any]) -> None:
    with anyio.move_on_after(0.01):
        async for _ in live:
            pass


async def leave_by_context(live: tierfold.Live[Any]) -> None:
    async with live:
        await anext(live)


@pytest.mark.parametrize("leave", [leave_by_break, leave_by_exception, leave_by_cancellation, leave_by_context])
@pytest.mark.parametrize("observe", ["one", "all"])
async def test_leaving_leaves_nothing_behind(data: Data, leave: Callable[[Any], Any], observe: str) -> None:
    quakes = data.repo(Quake)
    await leave(quakes.observe("ci.1") if observe == "one" else quakes.observe_all(F.mag > 1))
    await anyio.lowlevel.checkpoint()  # until then, the loop itself keeps a cancellation and what it went through
    gc.collect()
    assert not is_observed(data)


async def test_an_observer_is_forgotten_where_the_collector_finds_it_while_others_join(data: Data) -> None:
    """It once waited there for a lock that its own thread held."""
    live = data.repo(Quake).observe("ci.1")
    await anext(live)
    cycle: list[Any] = [live]
    cycle.append(cycle)
    del live, cycle

    def collect() -> None:
        with data._hub._lock:
            gc.collect()

    collecting = Thread(target=collect, daemon=True)
    collecting.start()
    collecting.join(10)
    assert not collecting.is_alive()
    assert not is_observed(data)


async def test_an_observer_of_partitions_hears_of_no_others(data: Data) -> None:
    quakes = data.repo(Quake)
    live = quakes.observe_all(partitions=["ci", "us"])
    await anext(live)
    await quakes.save(Quake(net="ak"))
    assert not live._news
    await quakes.save_many([Quake(net="ci"), Quake(net="us"), Quake(net="ak"), Quake(net="ci")])
    assert len(live._news) == 1
    snapshot = await anext(live)
    assert sorted(change.partition for change in snapshot.changes) == ["ci", "ci", "us"]


async def test_what_was_never_iterated_observes_nothing(data: Data) -> None:
    live = data.repo(Quake).observe_all()
    assert not is_observed(data)
    live.close()
    with pytest.raises(StopAsyncIteration):
        await anext(live)


async def test_closing_the_layer_ends_every_observation() -> None:
    async with tierfold.open("memory:") as data:
        live = data.repo(Quake).observe_all()
        await anext(live)
        late = data.repo(Quake).observe("ci.1")
    with pytest.raises(StopAsyncIteration):
        await anext(live)
    with pytest.raises(tierfold.StoreClosedError):
        await anext(late)


async def test_ten_thousand_idle_observers_cost_less_than_two_kilobytes_each(data: Data) -> None:
    quakes = data.repo(Quake)
    saved = await quakes.save_many([Quake(mag=1.0) for _ in range(10_000)])
    lives: list[tierfold.Live[Quake | None]] = []
    gc.collect()
    tracemalloc.start()
    before = tracemalloc.get_traced_memory()[0]
    for quake in saved:
        live = quakes.observe(quake.id)
        await anext(live)
        lives.append(live)
    used = tracemalloc.get_traced_memory()[0] - before
    tracemalloc.stop()
    assert used / len(lives) < 2_048


# --- tiers that are elsewhere ----------------------------------------------------------------------------------------


async def test_what_cannot_be_reached_is_stale_until_it_is_here() -> None:
    remote = Remote()
    async with tierfold.open("memory:a", "remote:", plugins=[remote]) as data:
        await data.repo(Quake).save(Quake(id="ci.1", mag=5.0))
        await data.sync_now()
    async with tierfold.open("memory:b", tierfold.Tier("remote:", interval="1h"), plugins=[remote]) as data:
        data.links["remote"].pause()
        live = data.repo(Quake).observe("ci.1")
        assert (await anext(live)).state == "loading"
        assert (await anext(live)).state == "stale"
        data.links["remote"].resume()
        await data.repo(Quake).get("ci.1")
        snapshot = await anext(live)
        assert (snapshot.state, snapshot.value and snapshot.value.mag) == ("ready", 5.0)
        assert snapshot.changes[0].origin == "hydrate"


async def test_a_query_over_what_cannot_be_reached_is_stale_until_it_is_here() -> None:
    remote = Remote()
    async with tierfold.open("memory:a", "remote:", plugins=[remote]) as data:
        await data.repo(Quake).save(Quake(id="ci.1", mag=5.0))
        await data.sync_now()
    async with tierfold.open("memory:b", tierfold.Tier("remote:", interval="1h"), plugins=[remote]) as data:
        data.links["remote"].pause()
        live = data.repo(Quake).observe_all(partitions=["ci"])
        assert (await anext(live)).state == "loading"
        snapshot = await anext(live)
        assert (snapshot.state, snapshot.value) == ("stale", [])
        data.links["remote"].resume()
        await data.repo(Quake).get("ci.1")
        snapshot = await anext(live)
        assert (snapshot.state, mags(snapshot)) == ("ready", [5.0])


async def test_a_snapshot_says_whether_changes_wait_for_a_farther_tier() -> None:
    remote = Remote()
    async with tierfold.open("memory:a", tierfold.Tier("remote:", interval="1h"), plugins=[remote]) as data:
        await data.sync_now()
        data.links["remote"].pause()
        await data.repo(Quake).save(Quake(id="ci.1"))
        for live in (data.repo(Quake).observe("ci.1"), data.repo(Quake).observe_all()):
            snapshot: tierfold.Snapshot[Any] = await anext(live)
            while snapshot.state == "loading":
                snapshot = await anext(live)
            assert snapshot.pending
        data.links["remote"].resume()
        await data.sync_now()
        await until(lambda: not data.dirty)
        async with aclosing(_ready(data)) as found:
            assert not (await anext(found)).pending


async def _ready(data: Data) -> AsyncGenerator[tierfold.Snapshot[Any]]:
    async for snapshot in data.repo(Quake).observe("ci.1"):
        if snapshot.state != "loading":
            yield snapshot


async def test_changes_that_come_by_a_link_are_followed() -> None:
    remote = Remote()
    async with (
        tierfold.open("memory:a", tierfold.Tier("remote:", interval="1h"), plugins=[remote]) as data,
        tierfold.open("memory:b", tierfold.Tier("remote:", interval="1h"), plugins=[remote]) as other,
    ):
        await data.repo(Quake).save(Quake(id="ci.1", mag=1.0))
        await data.sync_now()
        live = data.repo(Quake).observe_all(F.mag >= 2)
        snapshot = await anext(live)
        while snapshot.state == "loading":
            snapshot = await anext(live)
        assert await other.repo(Quake).get("ci.1") is not None
        await other.repo(Quake).save(Quake(id="ci.2", mag=2.0))
        await other.sync_now()
        await data.sync_now()
        snapshot = await anext(live)
        assert mags(snapshot) == [2.0]
        assert snapshot.changes[0].origin == "sync"
