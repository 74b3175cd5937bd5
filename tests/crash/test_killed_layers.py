"""Programs with a data layer are killed at any moment, in the middle of link runs too, while others write elsewhere."""

from __future__ import annotations

import os
import time
from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path
from random import Random
from typing import Any, Final

import pytest
from tests.crash.cases import long, short
from tests.crash.ledger import Verdict
from tests.processes.programs import Program, examine, url
from tests.processes.shared_clock import SharedClock
from tests.processes.witness import Witness

from tierfold.specs import AsyncBackend

LEASE_MS: Final = 11_000
FRONTS: Final[Sequence[list[str]]] = ([], ["memory:"], ["memory:a", "memory:b"])
BACKENDS: Final[Sequence[AsyncBackend]] = ("asyncio", "trio")


class Scene:
    """Programs on stores in one directory, and what was acknowledged to them."""

    def __init__(self, directory: Path, seed: str) -> None:
        self.near, self.far = directory / "near", directory / "far"
        self.seed = seed
        self.random = Random(seed)
        self.witness = Witness()
        self.clock = SharedClock(directory / "clock", create=True)

    def start(self, *tiers: str | dict[str, Any]) -> Program:
        """Start a program, when the lease of one that was killed is over."""
        self.clock.move(LEASE_MS)
        return Program(self.clock, *tiers, backend=self.random.choice(BACKENDS), hear=self.witness.hear)

    def kill_writing(self, program: Program, number: int, lanes: list[str], shared: str = "") -> None:
        """Have a program write, and kill it at a moment drawn from the seed."""
        with program:
            program.ask("write_on", f"{self.seed}.{number}", lanes, shared)
            program.wait_for_count(self.random.randint(5, 40))
            time.sleep(self.random.uniform(0, 0.2) if shared else self.random.uniform(0, 0.005))


@pytest.fixture
def scene(tmp_path: Path) -> Scene:
    seed = os.environ.get("TIERFOLD_SEED", os.urandom(4).hex())
    print(f"TIERFOLD_SEED={seed}")
    return Scene(tmp_path, seed)


def kill(scene: Scene, cycles: int, *tiers: str | dict[str, Any]) -> Verdict:
    """What is left in the farther store of programs that were killed."""
    total = Verdict()
    for number in range(cycles):
        scene.kill_writing(scene.start(*tiers), number, ["a", "b"])
        total.add(scene.witness.judge(examine(scene.far)))
    print(total)
    return total


@pytest.mark.parametrize(
    ("front", "cycles"),
    [short(["memory:"], 3), *(long(front, 20) for front in FRONTS)],
)
def test_what_save_and_delete_returned_for_outlives_the_program(scene: Scene, front: list[str], cycles: int) -> None:
    """Volatile tiers in front of LMDB are written through: folding behind, they lost acknowledged writes on a kill."""
    verdict = kill(scene, cycles, *front, url(scene.far))
    assert (verdict.lost, verdict.torn) == (0, 0)
    assert verdict.acknowledged >= 5 * cycles


def test_a_volatile_tier_that_asks_for_it_by_name_folds_behind_and_loses_writes_on_a_kill(scene: Scene) -> None:
    """The negative control of the one above."""
    verdict = kill(scene, 3, {"url": "memory:", "writes": "behind"}, url(scene.far))
    assert verdict.lost > 0


@pytest.mark.parametrize("cycles", [short(3), long(40)])
def test_programs_killed_while_data_flows_both_ways_lose_nothing_and_make_no_false_conflict(
    scene: Scene, cycles: int
) -> None:
    interrupted = 0
    with scene.start(url(scene.far)) as other:
        other.ask("write_on", f"{scene.seed}.far", ["fa", "fb"], "far")
        for number in range(cycles):
            scene.kill_writing(
                scene.start(url(scene.near), url(scene.far)), number, [f"n{number}a", f"n{number}b"], "near"
            )
            left = examine(scene.near)
            interrupted += any(state.outstanding for state in left.states.values())
            examine(scene.far)
    with scene.start(url(scene.near), url(scene.far)) as last:
        for lane in ("fa", "fb"):  # partitions that nobody asked for here are not brought down
            last.ask("get", f"{lane}.{lane}-0")
        last.sync_until_verified()
        last.finish()
    print(f"{cycles} kills, {interrupted} with a batch under way")
    agree(scene)


def agree(scene: Scene) -> None:
    """Both stores hold the same, what was acknowledged is there, and only what several wrote was a conflict."""
    near, far = examine(scene.near), examine(scene.far)
    assert near.content == far.content
    verdict = scene.witness.judge(near)
    print(f"{len(near.conflicts)} conflicts: {verdict}")
    assert (verdict.lost, verdict.torn) == (0, 0)
    scene.witness.check_shared(near, [entry.loser for entry in near.conflicts])


@pytest.mark.parametrize("turns", [short(4), long(60)])
def test_programs_on_one_nearer_store_take_the_link_over_from_killed_and_frozen_ones(scene: Scene, turns: int) -> None:
    """Whoever runs the link dies in the middle of it, or goes on after others have done its work."""
    near, far = url(scene.near), url(scene.far)
    with ExitStack() as stack:
        running: list[Program] = []

        def start(name: str, *tiers: str) -> None:
            program = stack.enter_context(scene.start(*tiers))
            program.ask("write_on", f"{scene.seed}.{name}", [name], name)
            running.append(program)

        start("far", far)
        for number in range(3):
            start(f"n{number}", near, far)
        for turn in range(turns):
            victim = running[scene.random.randint(1, 3)]
            if turn % 2:
                victim.stop()
                scene.clock.move(LEASE_MS)
                time.sleep(scene.random.uniform(0, 0.3))
                victim.go_on()
            else:
                time.sleep(scene.random.uniform(0, 0.3))
                victim.kill()
                running.remove(victim)
                start(f"n{turn + 3}", near, far)
        for program in running:
            program.ask("write_off")
        scene.clock.move(LEASE_MS)
        running[1].ask("get", "far.far-0")
        running[1].sync_until_verified()
        for program in running:
            program.finish()
    agree(scene)
