"""The story of the demo: load, fold, hydrate, cut, change on both sides, reconnect, compare."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from time import perf_counter
from typing import Any, Final

import anyio

from tierfold.demo.compare import differing_conflicts, differing_documents, differing_roots
from tierfold.demo.messages import Roots, Version
from tierfold.demo.partner import ProcessSide, start_second
from tierfold.demo.quakes import data_set
from tierfold.demo.script import PROGRAMS, Outcome, cases_for
from tierfold.demo.side import NEAR, SHARED, LayerSide, Side, open_side
from tierfold.demo.transcript import Transcript, described, rate, size, time_of
from tierfold.errors import TierfoldError
from tierfold.status import LinkReport

__all__ = ["run_demo"]

Documents = Mapping[str, Mapping[str, Any]]
Sides = Mapping[int, Side]
"""The programs by number."""

_LIMIT_S: Final = 120
_ROUNDS: Final = 5
"""Two links end to end need two; more are a difference."""


async def run_demo(folder: Path, say: Callable[[str], None]) -> bool:
    """Run the demo with its stores in ``folder``, which is empty. True = everything was as it must be.

    Raises:
        TierfoldError: It could not be run to its end.
    """
    try:
        with anyio.fail_after(_LIMIT_S):
            return await _run(folder, Transcript(say), say)
    except TimeoutError as error:
        raise TierfoldError(f"the demo was not done after {_LIMIT_S} s") from error


async def _run(folder: Path, told: Transcript, say: Callable[[str], None]) -> bool:
    begun_s = perf_counter()
    documents = data_set()
    say("Tierfold demo: two programs, each with a store of its own near it, and one store that they share.")
    say(f"The data: {len(documents):,} earthquakes of one week, as the US Geological Survey published them.")
    shared = str(folder / SHARED)
    async with open_side(str(folder / "near-1"), shared) as first:
        await _load(first, documents, told)
        async with start_second(str(folder / "near-2"), shared) as second:
            await _hydrate(second, documents, told)
            sides = dict(zip(PROGRAMS, (first, second), strict=True))
            outcomes = await _change_apart(sides, documents, told)
            await _reconnect(sides, told)
            await _tell_conflicts(sides, outcomes, told)
            await _compare(sides, documents, outcomes, told)
    verdict = f"{told.differences:,} DIFFERENCES" if told.differences else "everything is equal"
    say(f"\nDone in {perf_counter() - begun_s:.1f} s: {verdict}.")
    return not told.differences


async def _load(first: LayerSide, documents: Documents, told: Transcript) -> None:
    told.step("Program 1 saves everything near it, in one durable batch, while its link to the shared store is cut.")
    await first.pause()
    told.line(rate(len(documents), await first.load(documents)))
    told.step("Its link is opened and folds the records into the shared store.")
    report = await first.fold()
    told.line(f"{rate(report.pushed, report.duration_s)}; {size(report.bytes)} crossed the link")
    told.differ(_unclean(1, report))


async def _hydrate(second: ProcessSide, documents: Documents, told: Transcript) -> None:
    told.step(f"Program 2, another process (pid {second.pid}) with an empty store near it, reads everything.")
    found = await second.read()
    told.line(f"{found.partitions} partitions hydrated: {rate(len(found.documents), found.duration_s)};")
    told.line(f"{size(found.record_bytes)} in its near store, compared with the data set field by field")
    told.differ(differing_documents("near 2", found.documents, documents))


async def _change_apart(sides: Sides, documents: Documents, told: Transcript) -> list[Outcome]:
    told.step("Both links are cut. Both programs go on, mostly with the same entities.")
    for side in sides.values():
        await side.pause()
    cases = cases_for(documents)
    written: dict[str, dict[int, Version]] = {case.id: {} for case in cases}
    for turn in range(max(len(case.turns) for case in cases)):
        for program, side in sides.items():
            changes = [change for case in cases for change in case.at(turn, program)]
            for version in await side.write(changes):
                written[version.id][program] = version
    for case in cases:
        told.line(f"{case.id}  {case.title}")
        told.line("    " + ", then ".join(f"program {who}: {described(fields)}" for who, fields in case.turns))
    return [Outcome(case, written[case.id]) for case in cases]


async def _reconnect(sides: Sides, told: Transcript) -> None:
    told.step("The links are opened again, one after the other.")
    for _ in range(_ROUNDS):
        reports = {program: await side.fold() for program, side in sides.items()}
        for program, report in reports.items():
            told.line(_described_run(program, report))
            told.differ(_unclean(program, report))
        if not any(report.pushed or report.pulled for report in reports.values()):
            return
    told.differ([f"records still move after {_ROUNDS} rounds"])


def _described_run(program: int, report: LinkReport) -> str:
    took = f"{report.duration_s * 1000:.1f} ms"
    if not report.pushed and not report.pulled:
        return f"program {program}: nothing to do, {took}"
    counts = f"{report.pushed} sent, {report.pulled} received, {report.conflicts} conflicts"
    return f"program {program}: {counts}, {size(report.bytes)}, {took}"


def _unclean(program: int, report: LinkReport) -> list[str]:
    if report.error is not None:
        return [f"the run of program {program} ended early: {report.error}"]
    return [] if report.verified else [f"after the run of program {program} the two sides hold different records"]


async def _tell_conflicts(sides: Sides, outcomes: Sequence[Outcome], told: Transcript) -> None:
    logs = {program: (await side.show()).conflicts for program, side in sides.items()}
    found = [(program, conflict) for program, log in logs.items() for conflict in log]
    told.step(f"The conflict logs: {len(found)} entities had been changed on both sides.")
    by_id = {outcome.case.id: outcome for outcome in outcomes}
    for program, conflict in found:
        outcome = by_id.get(conflict.loser.id)
        told.line(f"{conflict.loser.id}  rule {conflict.rule}, decided by the link of program {program}")
        told.line(f"    winner  {_author(conflict.winner, outcome)}")
        told.line(f"    loser   {_author(conflict.loser, outcome)}")
    expected = [outcome.conflict for outcome in outcomes if outcome.conflict is not None]
    told.differ(differing_conflicts([conflict for _, conflict in found], expected))


def _author(version: Version | None, outcome: Outcome | None) -> str:
    if version is None:
        return "none"
    for program, written in outcome.written.items() if outcome else ():
        if written == version:
            changes = "; ".join(map(described, outcome.case.of(program))) if outcome else ""
            return f"program {program} at {time_of(version)}: {changes}"
    return f"a version written by nobody here, at {time_of(version)}"


async def _compare(sides: Sides, documents: Documents, outcomes: Sequence[Outcome], told: Transcript) -> None:
    tiers: dict[str, Roots] = {}
    for program, side in sides.items():
        roots = (await side.show()).roots
        tiers |= {f"near {program}": roots[NEAR], "shared": roots[SHARED]}
    told.step("The roots, each the sum of the hashes of all records and tombstones of a store:")
    for name, root in tiers.items():
        told.line(f"{name:<8}{root.root}  {root.live_count:,} records")
    told.differ(differing_roots(tiers))
    expected = _applied(documents, outcomes)
    told.step(f"Both programs read everything again: {len(expected):,} entities, field by field.")
    for program, side in sides.items():
        found = await side.read()
        told.line(f"near {program}: {rate(len(found.documents), found.duration_s)}")
        told.differ(differing_documents(f"near {program}", found.documents, expected))


def _applied(documents: Documents, outcomes: Sequence[Outcome]) -> Documents:
    """The data set with the changes that must have stayed."""
    changed = {outcome.case.id: outcome.applied_to(documents[outcome.case.id]) for outcome in outcomes}
    stays = {id: changed.get(id, document) for id, document in documents.items()}
    return {id: document for id, document in stays.items() if document is not None}
