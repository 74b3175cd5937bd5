"""Tests of `alarms`: no files, no waiting, the same ids each time."""

from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta

import pytest
from alarms import Alarm, acknowledge, raise_alarm, unseen

import tierfold
from tierfold import DataLayer
from tierfold.testing import FakeClock

NOON = datetime(2026, 11, 21, 12, 0, tzinfo=UTC)


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock(int(NOON.timestamp() * 1000))


@pytest.fixture
async def data(clock: FakeClock) -> AsyncIterator[DataLayer]:
    async with tierfold.open("memory:near", "memory:far", clock=clock, seed=1) as data:
        yield data


async def test_a_door_has_one_alarm(data: DataLayer, clock: FakeClock) -> None:
    first = await raise_alarm(data, "oslo", "north", NOON)
    clock.advance(s=60)
    again = await raise_alarm(data, "oslo", "north", NOON + timedelta(minutes=1))
    assert again == first
    assert first.created_at == NOON


async def test_the_oldest_unseen_alarm_comes_first(data: DataLayer) -> None:
    await raise_alarm(data, "oslo", "north", NOON)
    south = await raise_alarm(data, "oslo", "south", NOON - timedelta(hours=1))
    assert [alarm.door for alarm in await unseen(data)] == ["south", "north"]
    await acknowledge(data, south.id, "ada")
    assert [alarm.door for alarm in await unseen(data)] == ["north"]


async def test_an_alarm_that_does_not_exist_cannot_be_acknowledged(data: DataLayer) -> None:
    with pytest.raises(tierfold.NotFoundError):
        await acknowledge(data, "oslo.north", "ada")


async def test_alarms_are_raised_while_the_office_is_away(data: DataLayer) -> None:
    await raise_alarm(data, "oslo", "north", NOON)
    await data.sync_now()
    data.links["far"].pause()
    south = await raise_alarm(data, "oslo", "south", NOON)
    assert data.dirty
    meta = await data.repo(Alarm).meta(south.id)
    assert meta is not None
    assert meta.pending == ("far",)
    data.links["far"].resume()
    report = await data.sync_now()
    assert report.verified
    assert not data.dirty


async def test_nobody_knows_the_alarms_of_a_site_that_is_not_here(data: DataLayer) -> None:
    data.links["far"].pause()
    with pytest.raises(tierfold.PartitionUnavailableError, match="'bergen'"):
        await raise_alarm(data, "bergen", "north", NOON)
