"""Reports of runs add up."""

from __future__ import annotations

import pytest

from tierfold.link.report import RunReport
from tierfold.testing.samples import foreign


@pytest.mark.parametrize("first", [True, None, False])
@pytest.mark.parametrize("second", [True, None, False])
def test_the_worse_verdict_stays(first: bool | None, second: bool | None) -> None:
    report = RunReport(first)
    report.add(RunReport(second))
    verdicts = {first, second}
    assert report.verified is (False if False in verdicts else None if None in verdicts else True)


def test_counts_and_lists_add_up() -> None:
    report = RunReport(True, 1, 2, 3, 4, 5, 6, 7, [("Sensor", "oslo.1")], [("Sensor", "oslo.2", "bad")], {"p": "cut"})
    report.add(RunReport(True, 1, 1, 1, 1, 1, 1, 1, [("Sensor", "oslo.3")], [], {"q": "cut"}))
    expected = RunReport(
        True,
        2,
        3,
        4,
        5,
        6,
        7,
        8,
        [("Sensor", "oslo.1"), ("Sensor", "oslo.3")],
        [("Sensor", "oslo.2", "bad")],
        {"p": "cut", "q": "cut"},
    )
    assert report == expected


def test_a_run_that_changed_nothing_has_not_moved() -> None:
    assert not RunReport(partitions=3, descended=1).moved
    assert all(each.moved for each in (RunReport(pulled=1), RunReport(pushed=1), RunReport(conflicts=1)))
    assert RunReport(hydrated=1).moved


def test_records_that_cross_the_link_are_counted_by_their_bytes() -> None:
    report, record = RunReport(), foreign("oslo.1", b"payload")
    report.carry([record, record])
    assert report.record_bytes == 2 * (len(record.content) + len(record.hash))
