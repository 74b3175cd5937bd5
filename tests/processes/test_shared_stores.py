"""Several programs on one LMDB store: their stamps, what they see of each other, and what they cost."""

from __future__ import annotations

import os
import time
from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Final

import anyio
import pytest
from tests.crash.audit import check_store
from tests.processes.programs import Program, examine, url
from tests.processes.shared_clock import SharedClock

from tierfold.errors import StoreFullError
from tierfold.kv.store import KvStore, open_kv_store
from tierfold.model import Record, SegmentName, Write
from tierfold.specs import OpenContext
from tierfold_lmdb.engine import LmdbEngine
from tierfold_lmdb.options import LmdbOptions

MIB: Final = 1024**2
NOTICED_S: Final = 2.0
"""Commits of others are looked for every 0.1 s; the rest is for a busy machine."""


def every_record(directory: Path) -> list[Record]:
    return [record for records in examine(directory).content.values() for record in records.values()]


# --- stamps ------------------------------------------------------------------------------------------------------


def test_programs_with_equal_clocks_never_make_equal_stamps(tmp_path: Path) -> None:
    """Two processes on one LMDB with clocks of their own made equal stamps and lost an acknowledged write."""
    sites, count = ("one", "two", "three"), 150
    with ExitStack() as stack:
        programs = [stack.enter_context(Program(1_700_000_000_000, url(tmp_path))) for _ in sites]
        asked = [program.begin("save_each", site, count) for program, site in zip(programs, sites, strict=True)]
        for program, number in zip(programs, asked, strict=True):
            program.end(number)
    records = every_record(tmp_path)
    assert len({record.stamp for record in records}) == len(records) == count * len(sites)
    assert len({record.stamp[8:] for record in records}) == 1


def test_a_program_whose_clock_is_behind_writes_newer_stamps_all_the_same(tmp_path: Path) -> None:
    with Program(2_000_000_000_000, url(tmp_path)) as ahead, Program(1, url(tmp_path)) as behind:
        ahead.ask("save", "oslo", "a", "first")
        behind.ask("save", "oslo", "a", "second")
        assert ahead.ask("get", "oslo.a") == "second"
        first = every_record(tmp_path)[0]
        behind.ask("delete", "oslo.a")
    second = every_record(tmp_path)[0]
    assert second.deleted
    assert second.stamp > first.stamp
    assert (first.version, second.version) == (2, 3)


# --- seeing each other -------------------------------------------------------------------------------------------


def test_a_program_sees_at_once_what_another_saved(tmp_path: Path, clock: SharedClock) -> None:
    with Program(clock, url(tmp_path)) as one, Program(clock, url(tmp_path)) as two:
        for number in range(5):
            one.ask("save", "oslo", "a", str(number))
            assert two.ask("get", "oslo.a") == str(number)


def test_commits_of_other_programs_become_events_soon(tmp_path: Path, clock: SharedClock) -> None:
    with Program(clock, url(tmp_path)) as watching, Program(clock, url(tmp_path)) as writing:
        watching.ask("watch")
        delays_s = []
        for number in range(5):
            writing.ask("save", "oslo", str(number), "")
            saved_s = time.monotonic()
            watching.wait_until(lambda: len(watching.events) > number)  # noqa: B023 - called before the loop goes on
            delays_s.append(watching.events[-1][0] - saved_s)
        writing.ask("delete", "oslo.0")
        watching.wait_until(lambda: len(watching.events) > 5)
    print(f"noticed after {max(delays_s):.3f} s at most")
    assert max(delays_s) < NOTICED_S
    assert [event[1:] for event in watching.events] == [
        *(("saved", f"oslo.{number}", "local") for number in range(5)),
        ("deleted", "oslo.0", "local"),
    ]


def test_commits_of_other_programs_wake_a_link(tmp_path: Path, clock: SharedClock) -> None:
    far = {"url": url(tmp_path / "far"), "interval": "1h"}
    with Program(clock, url(tmp_path / "near"), far) as linked, Program(clock, url(tmp_path / "far")) as other:
        assert linked.ask("get", "oslo.a") is None
        other.ask("save", "oslo", "a", "first")
        linked.sync_until_verified()
        assert linked.ask("get", "oslo.a") == "first"
        linked.ask("watch")
        other.ask("save", "oslo", "a", "second")
        saved_s = time.monotonic()
        linked.wait_until(lambda: bool(linked.events))
        print(f"pulled after {linked.events[0][0] - saved_s:.3f} s")
        assert linked.events[0][0] - saved_s < NOTICED_S
        assert linked.ask("get", "oslo.a") == "second"


@pytest.mark.parametrize("fronts", [["lmdb"] * 3, ["lmdb", "memory"]], ids=" ".join)
def test_programs_that_modify_one_entity_at_the_same_time_lose_no_change(
    tmp_path: Path, clock: SharedClock, fronts: list[str]
) -> None:
    times = 60
    with ExitStack() as stack:
        tiers = [[url(tmp_path)] if front == "lmdb" else ["memory:", url(tmp_path)] for front in fronts]
        programs = [stack.enter_context(Program(clock, *each)) for each in tiers]
        programs[0].ask("save", "oslo", "counter", "0")
        asked = [program.begin("count_up", "oslo.counter", times) for program in programs]
        for program, number in zip(programs, asked, strict=True):
            program.end(number)
    assert examine(tmp_path).texts() == {"oslo.counter": str(times * len(fronts))}


# --- a full map --------------------------------------------------------------------------------------------------


def test_a_batch_that_fills_the_map_fails_alone_among_the_writes_of_its_group(tmp_path: Path) -> None:
    """One full map failed every innocent caller whose writes shared its transaction."""
    segment = SegmentName("Blob", "app.x")
    options = LmdbOptions(map_bytes=4 * MIB, max_map_bytes=4 * MIB)
    outcomes: dict[str, bool] = {}

    async def write(store: KvStore, name: str, writes: Sequence[Write]) -> None:
        try:
            await store.write(writes)
        except StoreFullError:
            outcomes[name] = False
        else:
            outcomes[name] = True

    async def run() -> set[str]:
        context = OpenContext(lambda: time.time_ns() // 1_000_000, os.urandom)
        async with open_kv_store(LmdbEngine(str(tmp_path), options), context) as store:
            huge = [Write(segment, f"x.huge{number}", b"x" * MIB) for number in range(5)]
            async with anyio.create_task_group() as tasks:
                for number in range(20):
                    tasks.start_soon(write, store, str(number), [Write(segment, f"x.{number}", b"x" * 100)])
                    if number == 10:
                        tasks.start_soon(write, store, "huge", huge)
            with store.snapshot() as reading:
                return set(check_store(reading)[segment])

    stored = anyio.run(run)
    assert outcomes == {str(number): True for number in range(20)} | {"huge": False}
    assert stored == {f"x.{number}" for number in range(20)}


def test_a_program_that_fills_the_map_leaves_the_others_writing(tmp_path: Path, clock: SharedClock) -> None:
    shared = url(tmp_path, map_bytes=4 * MIB, max_map_bytes=4 * MIB)
    with Program(clock, shared) as greedy, Program(clock, shared) as modest:
        huge = [["oslo", str(number), "x" * (MIB - 1000)] for number in range(6)]
        modest.ask("save", "bergen", "a", "before")
        with pytest.raises(Exception, match="StoreFullError"):
            greedy.ask("save_many", huge)
        modest.ask("save", "bergen", "b", "after")
        assert greedy.ask("get", "bergen.b") == "after"
        greedy.ask("save", "oslo", "a", "small")
    assert examine(tmp_path).texts() == {"bergen.a": "before", "bergen.b": "after", "oslo.a": "small"}


def test_a_map_that_one_program_enlarged_goes_on_serving_the_others(tmp_path: Path, clock: SharedClock) -> None:
    shared = url(tmp_path, map_bytes=MIB, max_map_bytes=64 * MIB)
    with Program(clock, shared) as growing, Program(clock, shared) as reading:
        reading.ask("save", "bergen", "a", "before")
        growing.ask("fill", "oslo", 8000, 500)
        assert reading.ask("get", "bergen.a") == "before"
        assert reading.ask("get", "oslo.7999") == "7999".ljust(500, ".")
        reading.ask("save", "bergen", "a", "after")
        assert growing.ask("get", "bergen.a") == "after"
    assert len(every_record(tmp_path)) == 8001


# --- memory ------------------------------------------------------------------------------------------------------


@pytest.mark.slow
@pytest.mark.timeout(120)
def test_the_memory_of_a_layer_does_not_grow_with_the_entities_read(tmp_path: Path, clock: SharedClock) -> None:
    with Program(clock, url(tmp_path)) as writing:
        writing.ask("fill", "oslo", 100_000, 200, timeout_s=60)
    with Program(clock, url(tmp_path)) as reading:
        few = reading.ask("read_all", "oslo", 10_000, timeout_s=60)
        many = reading.ask("read_all", "oslo", 100_000, timeout_s=60)
    print(f"{few / MIB:.1f} MiB after 10,000 reads, {many / MIB:.1f} MiB after 100,000 more")
    assert many - few < MIB
