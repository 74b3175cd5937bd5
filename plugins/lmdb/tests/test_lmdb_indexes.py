"""Indexes in files that have no room for them."""

from __future__ import annotations

from pathlib import Path

import anyio
import pytest

import tierfold
from tierfold import F

pytestmark = pytest.mark.anyio

KIB = 1024


class Bare(tierfold.Entity, name="Thing", partition="{site}"):
    site: str
    text: str


class Indexed(tierfold.Entity, name="Thing", partition="{site}", index=["text"]):
    site: str
    text: str


def url(where: Path, kib: int) -> str:
    return f"lmdb:{where}?map_bytes={256 * KIB}&max_map_bytes={kib * KIB}&durability=unsafe_nosync"


async def fill(where: Path) -> int:
    """As many entities as there is room for, but a few."""
    async with tierfold.open(url(where, 1024)) as data:
        things, count = data.repo(Bare), 0
        while True:
            try:
                await things.save_many([Bare(site="oslo", text=f"{number:0100}") for number in range(50)])
            except tierfold.StoreFullError:
                return count
            count += 50


async def ready(things: tierfold.Repository[Indexed], within_s: float) -> bool:
    """Whether the index is built in time."""
    for _ in range(int(within_s / 0.01)):
        if [index.state for index in things.indexes()] == ["ready"]:
            return True
        await anyio.sleep(0.01)
    return False


async def test_an_index_that_finds_no_room_waits_for_it_and_harms_nobody(tmp_path: Path) -> None:
    count = await fill(tmp_path / "store")
    async with tierfold.open(url(tmp_path / "store", 1024)) as data:
        things = data.repo(Indexed)
        assert not await ready(things, 1.5)  # longer than it takes where there is room, and to try again
        assert [index.state for index in things.indexes()] == ["building"]
        query = things.query(F.text >= f"{40:0100}")
        assert await query.count() == count // 50 * 10
        assert (await query.explain()).index is None
    async with tierfold.open(url(tmp_path / "store", 8192)) as data:
        things = data.repo(Indexed)
        assert await ready(things, 10)
        query = things.query(F.text >= f"{40:0100}")
        assert await query.count() == count // 50 * 10
        assert (await query.explain()).index == "text"
