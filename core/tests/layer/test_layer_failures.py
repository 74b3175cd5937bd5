"""A farther tier that is missing, fails, loses answers or comes back: the rest goes on, and nothing is lost."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

import anyio
import anyio.lowlevel
import pytest
from core.tests.layer.remote import Remote
from core.tests.layer.waiting import until

import tierfold
from tierfold.spi import ResolverSpec, hookimpl
from tierfold.testing.faults import FailNthCall, Fault, FlakyStore, SlowStore

pytestmark = pytest.mark.anyio


class Thing(tierfold.Entity, partition="{site}"):
    site: str = "oslo"
    n: int = 0


class Ruled(tierfold.Entity, conflict="of-mine"):
    text: str = ""


class Broken(Fault):
    """Raises what no store may raise, while ``error`` is set."""

    error: Exception | None = None

    async def before(self, name: str) -> None:
        if self.error is not None:
            raise self.error


class Rules:
    """Provides a rule for conflicts."""

    def __init__(self, version: int = 1) -> None:
        self._version = version

    @hookimpl
    def provide_conflict_resolvers(self) -> list[ResolverSpec]:
        return [ResolverSpec("of-mine", self._version, "join", max_of)]


def max_of(one: tierfold.Record, other: tierfold.Record) -> tierfold.Record:
    return max(one, other, key=lambda record: record.content)


# --- missing at open -------------------------------------------------------------------------------------------------


async def test_a_missing_farther_tier_stops_neither_opening_nor_writing_nor_closing(tmp_path: Path) -> None:
    far = tmp_path / "far"
    far.write_text("in the way")
    with anyio.fail_after(15):
        async with tierfold.open(f"lmdb:{tmp_path / 'near'}", tierfold.Tier(f"lmdb:{far}", name="far")) as data:
            things = data.repo(Thing)
            saved = await things.save(Thing())
            assert await things.get(saved.id) == saved
            report = await data.sync_now()
            assert (report.ok, report.verified, data.dirty) == (False, None, True)
            status = data.status()
            assert [tier.open for tier in status.tiers] == [True, False]
            assert (status.links["far"].state, status.durable) == ("failing", True)
            assert "far" in (status.links["far"].error or "")


async def test_what_was_never_connected_knows_of_no_absence(tmp_path: Path) -> None:
    """None only when absence is known."""
    remote = Remote(reachable=False)
    async with tierfold.open(f"lmdb:{tmp_path / 'near'}", "remote:", plugins=[remote]) as data:
        things = data.repo(Thing)
        saved = await things.save(Thing())
        assert await things.get_many([saved.id]) == {saved.id: saved}
        for read in (things.get, things.meta, things.get_stored, things.delete):
            with pytest.raises(tierfold.PartitionUnavailableError) as error:
                await read("oslo.none")
            assert error.value.transient
        with pytest.raises(tierfold.PartitionUnavailableError):
            await things.create(Thing(id="oslo.1"))
    async with tierfold.open(f"lmdb:{tmp_path / 'near'}") as data:
        assert await data.repo(Thing).get("oslo.none") is None
        assert await data.repo(Thing).query().all() == [saved]


async def test_a_farther_tier_that_comes_later_is_found_by_itself(tmp_path: Path) -> None:
    remote = Remote(reachable=False)
    async with tierfold.open(f"lmdb:{tmp_path / 'near'}", "remote:", plugins=[remote]) as data:
        saved = await data.repo(Thing).save(Thing())
        assert data.dirty
        remote.reachable = True
        await until(lambda: not data.dirty and data.status().links["remote"].error is None)
        meta = await data.repo(Thing).meta(saved.id)
        assert meta is not None
        assert meta.pending == ()


async def test_a_request_does_not_wait_for_the_next_attempt(tmp_path: Path) -> None:
    remote = Remote(reachable=False)
    async with tierfold.open(f"lmdb:{tmp_path / 'near'}", "remote:", plugins=[remote]) as data:
        for _ in range(12):
            assert not (await data.sync_now()).ok
        remote.reachable = True
        with anyio.fail_after(5):
            assert (await data.sync_now()).verified is True


async def test_a_missing_tier_in_the_middle_keeps_nobody_waiting(tmp_path: Path) -> None:
    middle = tmp_path / "b"
    middle.write_text("in the way")
    urls = [f"lmdb:{tmp_path / name}" for name in ("a", "b", "c")]
    with anyio.fail_after(15):
        began_s = anyio.current_time()
        async with tierfold.open(*urls) as data:
            assert anyio.current_time() - began_s < 6
            saved = await data.repo(Thing).save(Thing())
            report = await data.sync_now()
            assert [link.error is None for link in report.links.values()] == [False, False]
            for _ in range(10):
                await data.sync_now()
            middle.unlink()
            await data.sync_now("lmdb-2")
            assert [tier.open for tier in data.status().tiers[:2]] == [True, True]

            async def verified() -> bool:
                return (await data.sync_now()).verified is True

            await until(verified)
            assert not data.dirty
    async with tierfold.open(urls[2]) as data:
        assert await data.repo(Thing).get(saved.id) == saved


async def test_a_tier_that_hangs_while_it_is_connected_keeps_nobody_waiting_for_long(tmp_path: Path) -> None:
    remote = Remote()
    remote.gate = anyio.Event()
    with anyio.fail_after(15):
        began_s = anyio.current_time()
        async with tierfold.open(f"lmdb:{tmp_path / 'near'}", "remote:", plugins=[remote]) as data:
            assert anyio.current_time() - began_s < 4
            assert data.links["remote"].status.state == "connecting"
            saved = await data.repo(Thing).save(Thing())
            report = await data.sync_now()
            assert anyio.current_time() - began_s < 8
            assert (report.ok, report.verified, data.dirty) == (False, None, True)
            assert "not reached yet" in (report.links["remote"].error or "")
            remote.gate.set()
            assert (await data.sync_now()).verified is True
            assert await data.repo(Thing).get(saved.id) == saved


# --- failing later ---------------------------------------------------------------------------------------------------


async def test_a_failing_tier_stops_nothing_and_is_tried_again(tmp_path: Path) -> None:
    flaky = FlakyStore()
    async with tierfold.open(f"lmdb:{tmp_path / 'near'}", "remote:", plugins=[Remote(flaky)]) as data:
        things = data.repo(Thing)
        await things.save(Thing(id="oslo.1"))
        await data.sync_now()
        flaky.down = True
        await things.save(Thing(id="oslo.1", n=1))
        await until(lambda: data.links["remote"].status.state == "failing")
        assert "the store is down" in (data.links["remote"].status.error or "")
        found = await things.get("oslo.1")
        assert found is not None
        assert found.n == 1
        with pytest.raises(tierfold.PartitionUnavailableError):
            await things.get("rome.1")
        await things.delete("oslo.1")
        flaky.down = False
        await until(lambda: not data.dirty and data.links["remote"].status.error is None)


async def test_a_failing_link_is_not_hurried_by_writes() -> None:
    flaky = FlakyStore()
    remote = Remote(flaky)
    async with tierfold.open("memory:a", "remote:", plugins=[remote]) as data:
        await data.sync_now()
        flaky.down = True
        for _ in range(8):
            await data.sync_now()
        before = len(flaky.calls)
        for n in range(100):
            await data.repo(Thing).save(Thing(n=n))
            await anyio.lowlevel.checkpoint()
        assert len(flaky.calls) - before < 10


async def test_a_mistake_of_a_plugin_fails_its_link_only(caplog: pytest.LogCaptureFixture) -> None:
    broken = Broken()
    async with tierfold.open("memory:a", "remote:", plugins=[Remote(broken)]) as data:
        await data.sync_now()
        broken.error = ZeroDivisionError("a slip")
        saved = await data.repo(Thing).save(Thing())
        report = await data.sync_now()
        assert "ZeroDivisionError" in (report.links["remote"].error or "")
        assert await data.repo(Thing).get(saved.id) == saved
        broken.error = None
        assert (await data.sync_now()).verified is True
    assert "a slip" in caplog.text


async def test_a_store_that_closed_itself_is_opened_again() -> None:
    broken = Broken()
    remote = Remote(broken)
    async with tierfold.open("memory:a", "remote:", plugins=[remote]) as data:
        await data.repo(Thing).save(Thing())
        await data.sync_now()
        broken.error = tierfold.StoreClosedError("the connection is gone")
        await data.repo(Thing).save(Thing())
        assert not (await data.sync_now()).ok
        broken.error = None
        assert (await data.sync_now()).verified is True
        assert remote.opened == 2


async def test_a_store_that_failed_between_lease_and_attachment_is_attached_later() -> None:
    remote = Remote(FailNthCall(2, only=["identity"]))
    async with tierfold.open("memory:a", "remote:", plugins=[remote]) as data:
        saved = await data.repo(Thing).save(Thing())
        await until(lambda: not data.dirty)
        assert (await data.sync_now()).verified is True
        assert remote.store is not None
        assert [segment.partition for segment in remote.store.segments()] == ["app.oslo"]
        meta = await data.repo(Thing).meta(saved.id)
        assert meta is not None
        assert meta.pending == ()


async def test_a_hanging_tier_is_given_up_when_the_time_is_up() -> None:
    slow = SlowStore()
    async with tierfold.open("memory:a", "remote:", plugins=[Remote(slow)], close_timeout_s=0.1) as data:
        await data.sync_now()
        slow.gate = anyio.Event()
        report = await data.sync_now(timeout_s=0.1)
        assert report.verified is None
        assert "0.1 s" in (report.links["remote"].error or "")
        saved = await data.repo(Thing).save(Thing())
        with anyio.move_on_after(0.05):
            await data.repo(Thing).get(saved.id)


# --- lost requests and answers ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("lost", ["request", "answer"])
@pytest.mark.parametrize("number", range(1, 13))
async def test_a_run_cut_anywhere_loses_nothing_and_makes_no_conflict(
    number: int, lost: Literal["request", "answer"]
) -> None:
    """Three edits of a lone writer, the first two cut off, over a partition that is new to the farther tier."""
    remote = Remote()
    async with tierfold.open("memory:a", tierfold.Tier("remote:", interval="1h"), plugins=[remote]) as data:
        await data.sync_now()
        link = data.links["remote"]
        reports = []
        for n in range(3):
            link.pause()
            await data.repo(Thing).save_many([Thing(id=f"oslo.{name}", n=n) for name in "abc"])
            await data.repo(Thing).delete("oslo.c")
            remote.use(FailNthCall(number, lost=lost) if n < 2 else Fault())
            link.resume()
            reports.append((await data.sync_now(timeout_s=15)).links["remote"])
        assert (reports[-1].verified, sum(report.conflicts for report in reports), data.dirty) == (True, 0, False)
        assert remote.store is not None
        page = remote.store.page(remote.store.segments()[0], None, 10)
        assert sorted((record.id, record.version) for record in page) == [("oslo.a", 3), ("oslo.b", 3)]


# --- parts that cannot be had ----------------------------------------------------------------------------------------


async def test_a_type_whose_rule_is_not_installed_is_not_synced_and_the_rest_is() -> None:
    remote = Remote()
    async with tierfold.open("memory:a", "remote:", plugins=[remote, Rules()]) as data:
        await data.repo(Ruled).save(Ruled())
        await data.repo(Thing).save(Thing(id="oslo.1"))
        assert (await data.sync_now()).verified is True
    async with tierfold.open("memory:b", "remote:", plugins=[remote]) as data:
        report = await data.sync_now()
        assert "of-mine" in (report.links["remote"].error or "")
        assert await data.repo(Thing).get("oslo.1") is not None
        await data.repo(Thing).save(Thing(id="oslo.2"))
        await data.sync_now()
        assert remote.store is not None
        things = [segment for segment in remote.store.segments() if segment.type == "Thing"]
        assert [len(remote.store.page(segment, None, 10)) for segment in things] == [2]


async def test_a_type_that_two_programs_declare_differently_is_never_called_verified() -> None:
    """Also when no partition needs a run, or only partitions that are in order."""

    class Older(tierfold.Entity, name="Declared", partition="{site}"):
        site: str = "oslo"

    class Newer(tierfold.Entity, name="Declared", partition="{site}", id="{site}"):
        site: str = "oslo"

    remote = Remote()
    async with (
        tierfold.open("memory:a", "remote:", plugins=[remote]) as other,
        tierfold.open("memory:b", "remote:", plugins=[remote]) as data,
    ):
        data.links["remote"].pause()
        await data.repo(Newer).save(Newer())
        await other.repo(Older).save(Older())
        assert (await other.sync_now()).verified is True
        data.links["remote"].resume()
        for n in range(3):
            await data.repo(Thing).save(Thing(n=n))
            report = (await data.sync_now()).links["remote"]
            assert "'Declared' is not synced" in (report.error or "")
            assert report.verified is None
        assert data.links["remote"].status.dirty


async def test_programs_with_different_versions_of_a_rule_do_not_sync_its_type() -> None:
    """Rules that differ would undo each other's decisions for ever."""
    remote = Remote()
    async with tierfold.open("memory:a", "remote:", plugins=[remote, Rules(1)]) as data:
        await data.repo(Ruled).save(Ruled())
        assert (await data.sync_now()).verified is True
    async with tierfold.open("memory:b", "remote:", plugins=[remote, Rules(2)]) as data:
        report = await data.sync_now()
        assert report.verified is not True
        assert "version 2" in (report.links["remote"].error or "")


async def test_a_store_keeps_the_version_of_the_rule_it_was_written_with(tmp_path: Path) -> None:
    async with tierfold.open(f"lmdb:{tmp_path}", plugins=[Rules(1)]) as data:
        await data.repo(Ruled).save(Ruled())
    async with tierfold.open(f"lmdb:{tmp_path}", plugins=[Rules(2)]) as data:
        with pytest.raises(tierfold.ConfigError, match="'of-mine version 2' in the code and 'of-mine version 1'"):
            data.repo(Ruled)


async def test_a_part_that_cannot_be_synced_does_not_slow_the_rest_down() -> None:
    remote = Remote()
    async with tierfold.open("memory:a", "remote:", plugins=[remote, Rules()]) as data:
        await data.repo(Ruled).save(Ruled())
        await data.sync_now()
    async with tierfold.open("memory:b", "remote:", plugins=[remote]) as data:
        for _ in range(10):
            await data.sync_now()
        saved = await data.repo(Thing).save(Thing())

        async def delivered() -> bool:
            meta = await data.repo(Thing).meta(saved.id)
            return meta is not None and meta.pending == ()

        await until(delivered, within_s=5)
