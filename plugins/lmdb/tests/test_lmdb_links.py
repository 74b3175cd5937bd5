"""Links between LMDB tiers: what they cost in commits."""

from __future__ import annotations

from contextlib import closing
from pathlib import Path

import pytest

import tierfold
from tierfold_lmdb.engine import LmdbEngine

pytestmark = pytest.mark.anyio
PARTITIONS = 150


class Note(tierfold.Entity, partition="{site}"):
    site: str


def commits(directory: Path) -> int:
    with closing(LmdbEngine(str(directory))) as engine:
        return engine.transaction_id()


async def test_small_partitions_are_synced_with_less_than_two_commits_each(tmp_path: Path) -> None:
    """One after the other they cost six in the nearer store and three in the farther one."""
    near, far = tmp_path / "near", tmp_path / "far"
    async with tierfold.open(f"lmdb:{near}") as data:
        await data.repo(Note).save_many([Note(site=f"s{number}") for number in range(PARTITIONS)])
    before = commits(near)
    async with tierfold.open(f"lmdb:{near}", f"lmdb:{far}") as data:
        assert (await data.sync_now()).verified
    assert commits(near) - before < 2 * PARTITIONS
    assert commits(far) < 2 * PARTITIONS


async def test_small_partitions_are_brought_down_with_less_than_two_commits_each(tmp_path: Path) -> None:
    near, far = tmp_path / "near", tmp_path / "far"
    async with tierfold.open(f"lmdb:{far}") as data:
        await data.repo(Note).save_many([Note(site=f"s{number}") for number in range(PARTITIONS)])
    async with tierfold.open(f"lmdb:{near}", f"lmdb:{far}") as data:
        assert len(await data.repo(Note).query().all()) == PARTITIONS
    assert commits(near) < 2 * PARTITIONS
