"""The demo's own judgement: what must come of its script, and whether it finds what differs."""

from __future__ import annotations

import pytest
from msgspec.structs import replace

from tierfold.demo.compare import differing_conflicts, differing_documents, differing_roots
from tierfold.demo.messages import Conflict, Roots, Version
from tierfold.demo.quakes import data_set
from tierfold.demo.script import PROGRAMS, Case, Outcome, cases_for

EARLY = Version("us.1", "etag-1", time="01", node="0a", deleted=False)
LATE = Version("us.1", "etag-2", time="02", node="0a", deleted=False)
CASE = Case("us.1", "M 1.0", ((1, {"mag": 2.0}), (2, None)))
ROOTS = Roots("00", 1, {"Quake demo.us": {"live": "00"}})


def test_the_data_set_holds_every_record_under_an_id_of_its_own() -> None:
    assert len(data_set()) == 1707


def test_cases_concern_different_entities_in_different_partitions() -> None:
    cases = cases_for(data_set())
    assert len({case.id.split(".")[0] for case in cases}) == len(cases)


@pytest.mark.parametrize(
    ("first", "second", "winner"),
    [
        (EARLY, LATE, 2),
        (LATE, EARLY, 1),
        (EARLY, replace(EARLY, deleted=True), 2),
        (replace(EARLY, node="0b"), EARLY, 1),
    ],
    ids=["later", "earlier", "delete", "node"],
)
def test_winner_is_the_newest_then_the_delete_then_the_larger_node(
    first: Version, second: Version, winner: int
) -> None:
    outcome = Outcome(CASE, {1: first, 2: second})
    versions = {1: first, 2: second}
    assert outcome.winner == winner
    assert outcome.conflict == Conflict("lww", versions[winner], versions[3 - winner])


def test_changes_of_one_program_are_no_conflict() -> None:
    assert Outcome(CASE, {1: LATE}).conflict is None


def test_expected_document_has_the_changes_of_the_winner_only() -> None:
    document = {"mag": 1.0, "place": "Oslo"}
    assert Outcome(CASE, {1: LATE, 2: EARLY}).applied_to(document) == {"mag": 2.0, "place": "Oslo"}
    assert Outcome(CASE, {1: EARLY, 2: LATE}).applied_to(document) is None


@pytest.mark.parametrize("found", [{"mag": 1.0}, {"mag": True}, {}, {"mag": 1, "felt": 2}], ids=str)
def test_any_differing_field_is_found(found: dict[str, object]) -> None:
    assert len(differing_documents("near 1", {"us.1": found}, {"us.1": {"mag": 1}})) == 1


def test_missing_and_additional_documents_are_found() -> None:
    found = differing_documents("near 1", {"us.1": {}, "us.2": {}}, {"us.2": {}, "us.3": {}})
    assert found == ["near 1 has us.1, which it should not", "near 1 lacks us.3"]


def test_roots_are_compared_with_those_of_every_tier() -> None:
    other = Roots("01", 1, {"Quake demo.us": {"live": "01"}})
    assert differing_roots({"near 1": ROOTS, "shared": ROOTS}) == []
    assert len(differing_roots({"near 1": ROOTS, "shared": ROOTS, "near 2": other})) == 1
    assert len(differing_roots({"near 1": ROOTS, "shared": Roots("00", 0, {})})) == 1


def test_conflicts_must_be_logged_exactly_once() -> None:
    conflict = Conflict("lww", LATE, EARLY)
    other = Conflict("lww", EARLY, LATE)
    assert differing_conflicts([conflict], [conflict]) == []
    assert [len(differing_conflicts(found, [conflict])) for found in ([], [conflict, conflict], [conflict, other])] == [
        1,
        1,
        1,
    ]


def test_two_programs_take_part() -> None:
    assert {who for case in cases_for(data_set()) for who, _ in case.turns} == set(PROGRAMS)
