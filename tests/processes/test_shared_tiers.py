"""Several programs, each with a nearer store of its own, on one farther store."""

from __future__ import annotations

import os
import time
from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Final

import pytest
from tests.processes.programs import Holdings, Program, examine, url
from tests.processes.shared_clock import SharedClock
from tests.processes.witness import Witness

from tierfold.specs import AsyncBackend

MANY: Final = 100_000
BACKENDS: Final[Sequence[AsyncBackend]] = ("asyncio", "trio", "trio")


def held_alike(near: Holdings, far: Holdings) -> int:
    """How many records a nearer store holds; of the partitions that are present there it holds all and the same."""
    present = {name for name, presence in near.presence.items() if presence == "present"}
    assert near.content == {name: records for name, records in far.content.items() if name.partition in present}
    return sum(map(len, near.content.values()))


@pytest.mark.timeout(60)
def test_programs_that_edit_at_the_same_time_end_with_the_same_content(tmp_path: Path, clock: SharedClock) -> None:
    """Two of them on disk, one in memory, which is written through. Then further rounds move nothing."""
    seed = os.environ.get("TIERFOLD_SEED", os.urandom(4).hex())
    print(f"TIERFOLD_SEED={seed}")
    witness = Witness()
    far, nears = tmp_path / "far", [tmp_path / "near1", tmp_path / "near2"]
    with ExitStack() as stack:
        fronts = [*map(url, nears), "memory:"]
        programs = [
            stack.enter_context(Program(clock, front, url(far), backend=backend, hear=witness.hear))
            for front, backend in zip(fronts, BACKENDS, strict=True)
        ]
        for number, program in enumerate(programs):
            program.ask("write_on", f"{seed}.{number}", [f"{number}a", f"{number}b"], str(number))
        for program in programs:
            program.wait_for_count(60)
        for program in programs:
            program.ask("write_off")
        for program in (*programs, *programs):
            program.sync_until_verified()
        for program in programs:
            again = program.ask("sync")
            assert (again["verified"], again["pulled"], again["pushed"]) == (True, 0, 0)
            program.finish()
    root = examine(far)
    stores = [examine(near) for near in nears]
    for store in stores:
        assert held_alike(store, root) > 0
    verdict = witness.judge(root)
    print(verdict)
    assert (verdict.lost, verdict.torn) == (0, 0)
    assert verdict.acknowledged >= 180
    witness.check_shared(root, [entry.loser for store in stores for entry in store.conflicts])


def test_a_program_whose_farther_store_is_missing_opens_writes_and_delivers_later(
    tmp_path: Path, clock: SharedClock
) -> None:
    far = tmp_path / "far"
    far.write_text("in the way")
    with Program(clock, url(tmp_path / "near"), url(far)) as program:
        program.ask("save", "oslo", "a", "1")
        assert program.ask("get", "oslo.a") == "1"
        assert program.ask("dirty") is True
        report = program.ask("sync")
        assert report["errors"] != []
        far.unlink()
        program.sync_until_verified()
        assert program.ask("pending", "oslo.a") == []
    assert examine(far).texts() == {"oslo.a": "1"}


def test_what_was_written_under_a_fast_clock_is_deferred_until_its_time_comes(
    tmp_path: Path, clock: SharedClock
) -> None:
    """Taken in and acknowledged unseen, it was fast-forwarded away."""
    near, far = url(tmp_path / "near"), url(tmp_path / "far")
    with Program(clock, near, far) as program:
        program.ask("save", "oslo", "a", "1")
        program.sync_until_verified()
        program.finish()
    with Program(clock() + 300_000, near) as fast:
        fast.ask("save", "oslo", "a", "2")
        fast.ask("save", "oslo", "b", "2")
        fast.finish()
    with Program(clock, near, far) as program:
        report = program.ask("sync")
        assert (report["verified"], sorted(report["deferred"])) == (None, ["oslo.a", "oslo.b"])
        assert program.ask("dirty") is True
        assert program.ask("pending", "oslo.b") == ["lmdb-2"]
        assert examine(tmp_path / "far").texts() == {"oslo.a": "1"}
        clock.move(300_000)
        program.sync_until_verified()
        assert program.ask("dirty") is False
    assert examine(tmp_path / "far").texts() == {"oslo.a": "2", "oslo.b": "2"}
    assert examine(tmp_path / "near").conflicts == []


@pytest.mark.slow
@pytest.mark.timeout(180)
def test_a_hundred_thousand_records_are_brought_down_and_carried_up(tmp_path: Path, clock: SharedClock) -> None:
    first, second, third = (tmp_path / name for name in ("first", "second", "third"))
    with Program(clock, url(first)) as filling:
        filling.ask("fill", "oslo", MANY, 200, timeout_s=60)
        filling.finish()
    with Program(clock, url(second), url(first)) as hydrating:
        started_s = time.monotonic()
        assert hydrating.ask("get", "oslo.0", timeout_s=60) == "0".ljust(200, ".")
        print(f"brought down in {time.monotonic() - started_s:.2f} s")
        assert hydrating.sync_until_verified()["verified"]
        hydrating.finish()
    with Program(clock, url(second), url(first)) as idle:
        report = idle.ask("sync")
        assert (report["pulled"], report["pushed"]) == (0, 0)
        idle.finish()
    started_s = time.monotonic()
    with Program(clock, url(first), url(third)) as pushing:
        pushing.ask("get", "oslo.0", timeout_s=60)
        while pushing.ask("dirty"):
            pushing.ask("sync", 60, timeout_s=60)
        print(f"carried up in {time.monotonic() - started_s:.2f} s")
        pushing.finish(timeout_s=60)
    holdings = [examine(directory) for directory in (first, second, third)]
    assert [sum(map(len, each.content.values())) for each in holdings] == [MANY] * 3
    assert holdings[0].content == holdings[1].content == holdings[2].content
    assert all(not each.conflicts for each in holdings)
