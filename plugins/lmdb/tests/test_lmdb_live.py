"""Observers on LMDB: changes made by another process on the same file arrive."""

from __future__ import annotations

import sys
from pathlib import Path

import anyio
import pytest

import tierfold
from tierfold import F

pytestmark = pytest.mark.anyio

WRITER = """
import anyio, sys, tierfold

class Note(tierfold.Entity):
    n: int = 0

async def main():
    async with tierfold.open("lmdb:" + sys.argv[1]) as data:
        notes = data.repo(Note)
        await notes.save_many([Note(id=f"global.{n}", n=n) for n in range(5)])
        await notes.delete("global.4")

anyio.run(main)
"""


class Note(tierfold.Entity):
    n: int = 0


async def test_changes_of_another_process_arrive(tmp_path: Path) -> None:
    async with tierfold.open(f"lmdb:{tmp_path}") as data:
        notes = data.repo(Note)
        one, some = notes.observe("global.3"), notes.observe_all(F.n >= 2, sort=["n"])
        assert (await anext(one)).value is None
        assert (await anext(some)).value == []
        with anyio.fail_after(20):
            await anyio.run_process([sys.executable, "-c", WRITER, str(tmp_path)])
            snapshot = await anext(one)
            assert snapshot.value is not None
            assert snapshot.value.n == 3
            results = await anext(some)
            while [note.n for note in results.value] != [2, 3]:
                results = await anext(some)
        assert {change.kind for change in results.changes} <= {"saved", "deleted"}
        assert results.changes
