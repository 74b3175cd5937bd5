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


class Indexed(tierfold.Entity, name="Thing", partition="{site}", index=["text", "site"]):
    site: str
    text: str


def url(where: Path, kib: int) -> str:
    return f"lmdb:{where}?map_bytes={256 * KIB}&max_map_bytes={kib * KIB}&durability=unsafe_nosync"


async def fill(where: Path) -> int:
    """As many entities as there is room for, but a few."""
    async with tierfold.open(url(where, 1024)) as data:
        things, count = data.repo(Bare), 0
        with pytest.raises(tierfold.StoreFullError):
            while True:
                await things.save_many([Bare(site="oslo", text=f"{number:0100}") for number in range(50)])
                count += 50
    return count


async def test_an_index_that_finds_no_room_waits_for_it_and_harms_nobody(tmp_path: Path) -> None:
    count = await fill(tmp_path / "store")
    async with tierfold.open(url(tmp_path / "store", 1024)) as data:
        things = data.repo(Indexed)
        with anyio.move_on_after(1.5):
            while all(index.state == "building" for index in things.indexes()):
                await anyio.sleep(0.01)
        assert {index.state for index in things.indexes()} <= {"building"}
        query = things.query(F.text >= f"{40:0100}")
        assert await query.count() == count // 50 * 10
        assert (await query.explain()).index is None
    async with tierfold.open(url(tmp_path / "store", 8192)) as data:
        things = data.repo(Indexed)
        with anyio.fail_after(10):
            while [index.state for index in things.indexes()] != ["ready", "ready"]:
                await anyio.sleep(0.01)
        query = things.query(F.text >= f"{40:0100}")
        assert await query.count() == count // 50 * 10
        assert (await query.explain()).index == "text"
