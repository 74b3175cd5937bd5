"""The runner of a link, on a clock of its own: what happens to the lease during long runs."""

from __future__ import annotations

from typing import cast

import pytest
from core.tests.ring.stage import PARTITION, Hooked, Store, drive

from tierfold.abc.syncable import SyncableStore
from tierfold.digest import Hasher
from tierfold.errors import LinkFencedError
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
