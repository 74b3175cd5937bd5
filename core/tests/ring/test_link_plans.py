"""Which partitions a run of a whole link looks at, and what it notes at its end."""

from __future__ import annotations

import pytest
from core.tests.ring.stage import PARTITION, Store, drive, link, run, terms

from tierfold.abc.syncable import PartitionMarks
from tierfold.link.partition import PartitionRun
from tierfold.link.report import RunReport
from tierfold.link.run import Plan, finish, plan
from tierfold.model import FeedToken, SegmentName

ROME = SegmentName("Sensor", "app.rome")


@pytest.fixture
def near() -> Store:
    return Store(1)


@pytest.fixture
def far() -> Store:
    return Store(2)


def noted(near: Store, far: Store) -> FeedToken | None:
    token = link(near, far)
    return drive(near.kv.attach("up", drive(far.kv.identity()).store, token))


def planned(near: Store, far: Store) -> Plan:
    return drive(plan(near.kv, far.kv, terms(near, link(near, far)), noted(near, far)))


def run_all(near: Store, far: Store) -> RunReport:
    """A run of the whole link."""
    todo = planned(near, far)
    agreed = terms(near, link(near, far))
    report = RunReport()
    for partition in todo.partitions:
        report.add(drive(PartitionRun(near.kv, far.kv, partition, agreed).run()))
    drive(finish(near.kv, far.kv, agreed, todo, report))
    return report


def hold(near: Store, far: Store, partition: str) -> None:
    drive(PartitionRun(near.kv, far.kv, partition, terms(near, link(near, far))).run())


def test_nothing_is_looked_at_when_both_sides_hold_the_same(near: Store, far: Store) -> None:
    far.save("oslo.1")
    run(near, far)
    run_all(near, far)
    commits = (near.engine.commits, far.engine.commits)
    assert planned(near, far).partitions == ()
    report = run_all(near, far)
    assert (report.verified, report.partitions) == (True, 0)
    assert far.engine.commits == commits[1]


def test_partitions_that_the_farther_feed_names_are_looked_at_when_they_are_held(near: Store, far: Store) -> None:
    run_all(near, far)
    run(near, far)
    far.save("oslo.1")
    far.save("rome.1", segment=ROME)
    assert planned(near, far).partitions == (PARTITION,)
    run_all(near, far)
    assert near.held() == far.held()
    assert near.held(ROME) == {}


def test_partitions_with_rows_to_deliver_are_looked_at_first(near: Store, far: Store) -> None:
    run(near, far)
    hold(near, far, ROME.partition)
    run_all(near, far)
    far.save("oslo.1")
    near.save("rome.1", segment=ROME)
    assert planned(near, far).partitions == (ROME.partition, PARTITION)


def test_a_partition_that_a_reader_waits_for_is_looked_at(near: Store, far: Store) -> None:
    run_all(near, far)
    drive(near.kv.want(PARTITION))
    assert planned(near, far).partitions == (PARTITION,)


def test_everything_held_is_looked_at_when_only_the_roots_differ(near: Store, far: Store) -> None:
    far.save("oslo.1")
    run(near, far)
    hold(near, far, ROME.partition)
    run_all(near, far)
    far.damage("oslo.1")
    assert set(planned(near, far).partitions) == {PARTITION, ROME.partition}
    assert run_all(near, far).verified
    assert near.held() == far.held()


def test_everything_held_is_looked_at_when_the_farther_feed_begins_anew(near: Store, far: Store) -> None:
    """A restored store cannot name the partitions that it lost."""
    run(near, far)
    hold(near, far, ROME.partition)
    far.save("oslo.1")
    run_all(near, far)
    token = link(near, far)
    drive(near.kv.note_feed("up", FeedToken(b"of another life."), (drive(near.kv.own_root())).token, token))
    assert set(planned(near, far).partitions) == {PARTITION, ROME.partition}


def test_a_partition_that_was_absent_there_is_unknown_once_the_feed_names_it(near: Store, far: Store) -> None:
    run_all(near, far)
    token = link(near, far)
    drive(near.kv.mark_partition(PARTITION, PartitionMarks(presence="absent"), token))
    far.save("oslo.1")
    assert planned(near, far).partitions == ()
    assert drive(near.kv.presence(PARTITION)) == "unknown"


def test_feeds_are_noted_behind_what_the_run_itself_wrote(near: Store, far: Store) -> None:
    run(near, far)
    near.save("oslo.1")
    assert run_all(near, far).pushed == 1
    assert noted(near, far) == drive(far.kv.feed(None)).token
    assert planned(near, far).partitions == ()


def test_what_happened_after_the_plan_is_looked_at_by_the_next_run(near: Store, far: Store) -> None:
    run(near, far)
    near.save("oslo.1")
    todo = planned(near, far)
    agreed = terms(near, link(near, far))
    report = drive(PartitionRun(near.kv, far.kv, PARTITION, agreed).run())
    far.save("oslo.2")
    assert drive(finish(near.kv, far.kv, agreed, todo, report)) == todo.far_token
    assert planned(near, far).partitions == (PARTITION,)


def test_nothing_is_noted_after_an_unclean_run(near: Store, far: Store) -> None:
    run_all(near, far)
    before = noted(near, far)
    far.save("oslo.1")
    agreed = terms(near, link(near, far))
    todo = planned(near, far)
    for report in (RunReport(None), RunReport(False), RunReport(True, failed={PARTITION: "cut"})):
        assert drive(finish(near.kv, far.kv, agreed, todo, report)) is None
    assert noted(near, far) == before
