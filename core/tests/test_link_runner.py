"""The runner of a link, on a clock of its own: what happens to the lease during long runs."""

from __future__ import annotations

from typing import cast

import anyio
import pytest
from core.tests.ring.stage import PARTITION, Hooked, Store, drive

from tierfold.abc.syncable import Registration, SyncableStore
from tierfold.digest import Hasher
from tierfold.errors import CorruptDataError, LinkFencedError
from tierfold.links.runner import LEASE_S, LinkServices, Runner
from tierfold.model import SegmentName
from tierfold.resolve import LWW
from tierfold.testing.fakes import FakeClock, fake_context

pytestmark = pytest.mark.anyio
PAGES = 6


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock()


@pytest.fixture
def near(clock: FakeClock) -> Store:
    return Store(1, clock)


@pytest.fixture
def far(clock: FakeClock) -> Store:
    """A partition that comes down in several pages, one for each entity type."""
    far = Store(2, clock)
    for number in range(PAGES):
        far.save("oslo.1", segment=SegmentName(f"Type{number}", PARTITION))
    return far


def runner(near: Store, far: Hooked, clock: FakeClock, holder: bytes = b"mine") -> Runner:
    services = LinkServices(fake_context(clock), holder, lambda _: LWW, Hasher)
    return Runner("far", near.kv, cast(SyncableStore, far), _no_farther_link, services)


async def _no_farther_link(partition: str, keep: bool) -> None:
    raise AssertionError(f"the farther tier holds {partition}")


async def test_a_run_that_takes_longer_than_its_lease_keeps_it(near: Store, far: Store, clock: FakeClock) -> None:
    rival = runner(near, Hooked(far.kv), clock, b"rival")
    taken: list[bool] = []

    def slow_page(*_: object) -> None:
        clock.advance(s=int(LEASE_S * 0.6))
        taken.append(drive(rival.hold()))

    mine = runner(near, Hooked(far.kv, before={"snapshot_page": slow_page}), clock)
    assert await mine.hold()
    await mine.hydrate(PARTITION)
    assert taken == [False] * PAGES
    assert await near.kv.presence(PARTITION) == "present"


async def test_a_run_that_stalled_for_longer_than_its_lease_is_fenced_off(
    near: Store, far: Store, clock: FakeClock
) -> None:
    rival = runner(near, Hooked(far.kv), clock, b"rival")

    def stalled_page(*_: object) -> None:
        clock.advance(s=int(LEASE_S * 2))
        drive(rival.hold())

    mine = runner(near, Hooked(far.kv, before={"snapshot_page": stalled_page}), clock)
    assert await mine.hold()
    with pytest.raises(LinkFencedError):
        await mine.hydrate(PARTITION)
    assert await near.kv.presence(PARTITION) == "unknown"


async def test_a_partition_that_cannot_be_read_does_not_keep_the_others(
    near: Store, far: Store, clock: FakeClock
) -> None:
    broken: list[str] = []

    def register(registration: Registration) -> None:
        if registration.partition in broken:
            raise CorruptDataError("a row fails its checksum")

    mine = runner(near, Hooked(far.kv, before={"register": register}), clock)
    assert await mine.hold()
    sites = {name: SegmentName("Sensor", f"app.{name}") for name in ("bergen", "oslo", "rome")}
    for segment in sites.values():
        near.save("x.1", segment=segment)
    assert (await mine.run()).verified
    for segment in sites.values():
        near.save("x.2", segment=segment)
    broken.append("app.oslo")
    report = await mine.run()
    assert list(report.failed) == ["app.oslo"]
    assert report.verified is False
    assert {name: len(far.held(segment)) for name, segment in sites.items()} == {"bergen": 2, "oslo": 1, "rome": 2}


async def test_a_partition_created_while_it_is_found_absent_is_found_later(
    near: Store, far: Store, clock: FakeClock
) -> None:
    """A reader's question was answered before the partition came to be, and noted after a run had heard of it."""
    segment = SegmentName("Sensor", "app.bergen")
    asked, heard = anyio.Event(), anyio.Event()

    async def late(answer: object) -> object:
        asked.set()
        with anyio.move_on_after(0.05):
            await heard.wait()
        return answer

    mine = runner(near, Hooked(far.kv, after={"roots": late}), clock)
    assert await mine.hold()
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(mine.hydrate, "app.bergen")
        await asked.wait()
        far.save("bergen.1", segment=segment)
        await mine.run()
        heard.set()
    await mine.run()
    assert await near.kv.presence("app.bergen") == "unknown"
    await mine.hydrate("app.bergen")
    assert list(near.held(segment)) == ["bergen.1"]


async def test_a_partition_that_others_write_to_for_a_minute_is_compared_in_spite_of_them(
    near: Store, far: Store, clock: FakeClock
) -> None:
    endless = iter(range(1000))
    mine = runner(near, Hooked(far.kv, before={"roots": lambda *_: far.save(f"oslo.w{next(endless)}")}), clock)
    assert await mine.hold()
    await mine.hydrate(PARTITION)
    near.damage("oslo.1", SegmentName("Type0", PARTITION))
    descents = []
    for _ in range(4):
        clock.advance(s=25)
        assert await mine.hold()
        report = await mine.run()
        assert report.verified is None
        descents.append(report.descended)
    assert descents[:3] == [0, 0, 0]
    assert descents[3] > 0
    assert "oslo.1" in near.held(SegmentName("Type0", PARTITION))
