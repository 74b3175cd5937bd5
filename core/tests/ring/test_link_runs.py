"""Runs of a link over one partition of two real stores: what they ask, what they do, and what they report."""

from __future__ import annotations

from typing import Any, Final

import pytest
from core.tests.ring.stage import PARTITION, SENSORS, Hooked, Store, drive, ids, link, run, terms
from msgspec.structs import replace

from tierfold.abc.syncable import Applied, PartitionMarks, Roots
from tierfold.clock import DAY_MS
from tierfold.errors import CorruptDataError, LinkFencedError, PartitionUnavailableError, StoreUnavailableError
from tierfold.layout import RECORD, open_row, pack_row
from tierfold.link.partition import PartitionRun
from tierfold.model import ABSENT, SegmentName

NOTES: Final = SegmentName("Note", PARTITION)
SMALL: Final = 1
"""Bytes of a page: each carries one record."""


@pytest.fixture
def near() -> Store:
    return Store(1)


@pytest.fixture
def far() -> Store:
    return Store(2)


def agreed(near: Store, far: Store) -> None:
    """Both hold the same, and a further run asks little and moves nothing."""
    assert near.held() == far.held()
    report = run(near, far)
    assert report.verified
    assert not report.moved


def rules(store: Store) -> list[str]:
    return [entry.rule for _, entry in drive(store.kv.conflict_log(0, 100))]


# --- hydration ---------------------------------------------------------------------------------------------------


def test_a_partition_that_nobody_wrote_to_is_present_and_empty(near: Store, far: Store) -> None:
    report = run(near, far)
    assert (report.verified, report.hydrated, report.pulled) == (True, 1, 0)
    assert drive(near.kv.presence(PARTITION)) == "present"


@pytest.mark.parametrize("page_bytes", [SMALL, 100, 1_000_000])
def test_first_contact_brings_everything_down(near: Store, far: Store, page_bytes: int) -> None:
    far.save_many([f"oslo.{number}" for number in range(5)])
    far.delete("oslo.3")
    far.save("oslo.n", segment=NOTES)
    report = run(near, far, page_bytes=page_bytes)
    assert (report.verified, report.hydrated, report.pulled) == (True, 1, 6)
    assert near.held(NOTES) == far.held(NOTES)
    agreed(near, far)


def test_what_was_written_before_the_first_contact_is_merged(near: Store, far: Store) -> None:
    near.save("oslo.1", b"near")
    far.clock.advance(s=1)
    far.save("oslo.1", b"far")
    near.save("oslo.2", b"near")
    report = run(near, far)
    assert (report.verified, report.pulled, report.pushed, report.conflicts) == (True, 1, 1, 1)
    assert near.held()["oslo.1"].payload == b"far"
    agreed(near, far)


def test_what_was_written_before_the_first_contact_may_win(near: Store, far: Store) -> None:
    far.save("oslo.1", b"far")
    near.clock.advance(s=1)
    near.save("oslo.1", b"near")
    report = run(near, far)
    assert (report.verified, report.pushed, report.conflicts) == (True, 1, 1)
    assert far.held()["oslo.1"].payload == b"near"
    agreed(near, far)


def test_a_hydration_goes_on_where_it_was_cut(near: Store, far: Store) -> None:
    far.save_many([f"oslo.{number}" for number in range(6)])
    pages: list[bytes] = []

    def cut_after_three(_: SegmentName, after: bytes, __: int) -> None:
        pages.append(after)
        if len(pages) == 4:
            raise StoreUnavailableError("cut")

    with pytest.raises(StoreUnavailableError):
        run(near, far, page_bytes=SMALL, over=Hooked(far.kv, before={"snapshot_page": cut_after_three}))
    begun = drive(near.kv.view(PARTITION))
    assert (begun.presence, begun.generation) == ("unknown", 1)
    report = run(near, far, page_bytes=SMALL, over=Hooked(far.kv, before={"snapshot_page": cut_after_three}))
    assert pages[:5] == [b"", *pages[1:4], pages[3]]
    assert (report.verified, report.pulled) == (True, 3)
    assert drive(near.kv.view(PARTITION)).generation == 1
    agreed(near, far)


def test_changes_made_during_a_hydration_are_there_when_it_ends(near: Store, far: Store) -> None:
    far.save_many(["oslo.1", "oslo.2"])
    late = Hooked(far.kv, before={"changes": lambda *_: far.save("oslo.1", b"late")})
    assert run(near, far, over=late).hydrated == 1
    assert near.held()["oslo.1"].payload == b"late"
    agreed(near, far)


# --- pull --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("page_bytes", [SMALL, 1_000_000])
def test_only_what_changed_is_read(near: Store, far: Store, page_bytes: int) -> None:
    far.save_many([f"oslo.{number}" for number in range(5)])
    run(near, far)
    far.save_many(["oslo.1", "oslo.7"], b"new")
    far.delete("oslo.2")
    report = run(near, far, page_bytes=page_bytes)
    assert (report.verified, report.pulled, report.descended) == (True, 3, 0)
    agreed(near, far)


def test_what_came_from_here_is_not_sent_back(near: Store, far: Store) -> None:
    run(near, far)
    near.save_many(["oslo.1", "oslo.2"])
    run(near, far)
    far.save("oslo.3")
    assert run(near, far).pulled == 1


def test_a_segment_that_appears_later_is_read_from_its_beginning(near: Store, far: Store) -> None:
    far.save("oslo.1")
    run(near, far)
    far.save("oslo.n", segment=NOTES)
    report = run(near, far)
    assert (report.verified, report.pulled) == (True, 1)
    assert near.held(NOTES) == far.held(NOTES)


def test_a_copy_that_enters_the_cache_meanwhile_is_not_taken_twice(near: Store, far: Store) -> None:
    """The step is refused, and deciding again finds nothing to do."""
    run(near, far)
    record = far.save("oslo.1")

    def write_through(name: SegmentName, settlement: Any, _: int) -> None:
        if settlement.steps:
            drive(near.kv.write_through(name, [(record, ABSENT)]))

    report = run(near, far, under=Hooked(near.kv, before={"settle": write_through}))
    assert (report.verified, report.pulled) == (True, 0)
    state = drive(near.kv.view(PARTITION)).states[SENSORS]
    assert (state.pulled, state.resume) == (drive(far.kv.roots(PARTITION)).segments[SENSORS].position, None)


def test_a_row_written_while_it_was_decided_is_decided_again(near: Store, far: Store) -> None:
    far.save("oslo.1")
    run(near, far)
    far.save("oslo.1", b"far")
    near.clock.advance(s=1)
    written = iter([lambda: near.save("oslo.1", b"near")])

    def write_once(_: SegmentName, settlement: Any, __: int) -> None:
        if settlement.steps:
            next(written, lambda: None)()

    report = run(near, far, under=Hooked(near.kv, before={"settle": write_once}))
    assert (report.conflicts, report.pulled, report.pushed) == (1, 0, 1)
    assert far.held()["oslo.1"].payload == b"near"
    agreed(near, far)


# --- push --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("page_bytes", [SMALL, 1_000_000])
def test_own_writes_are_delivered_in_commit_order(near: Store, far: Store, page_bytes: int) -> None:
    run(near, far)
    near.save_many([f"oslo.{number}" for number in range(5)])
    near.save("oslo.1", b"edited")
    near.delete("oslo.2")
    report = run(near, far, page_bytes=page_bytes)
    assert (report.verified, report.pushed, report.conflicts) == (True, 5, 0)
    agreed(near, far)


def test_a_refused_row_is_decided_and_pushed_again(near: Store, far: Store) -> None:
    """The farther side changed it after the changes were read."""
    run(near, far)
    near.clock.advance(s=1)
    near.save("oslo.1", b"near")
    others = iter([b"far"])

    def write_once(*_: Any) -> None:
        for payload in others:
            far.save("oslo.1", payload)

    report = run(near, far, over=Hooked(far.kv, before={"apply": write_once}))
    assert (report.conflicts, report.pushed) == (1, 1)
    assert far.held()["oslo.1"].payload == b"near"
    agreed(near, far)


def test_a_row_that_is_refused_again_and_again_waits_for_the_next_run(near: Store, far: Store) -> None:
    run(near, far)
    near.clock.advance(s=60)
    near.save("oslo.1", b"near")
    near.save("oslo.2", b"near")
    busy = Hooked(far.kv, before={"apply": lambda *_: far.save("oslo.1", b"far")})
    report = run(near, far, page_bytes=SMALL, over=busy)
    assert (report.verified, report.conflicts, busy.calls.count("apply")) == (None, 3, 4)
    assert "oslo.2" in far.held()
    assert run(near, far).verified
    agreed(near, far)


def test_what_is_written_while_pushing_is_pushed_too(near: Store, far: Store) -> None:
    run(near, far)
    near.save("oslo.1")
    more = iter(["oslo.2"])

    def write_once(*_: Any) -> None:
        for id in more:
            near.save(id)

    report = run(near, far, over=Hooked(far.kv, before={"apply": write_once}))
    assert (report.verified, report.pushed) == (True, 2)
    agreed(near, far)


def test_a_writer_that_never_rests_does_not_keep_the_run_busy_for_ever(near: Store, far: Store) -> None:
    run(near, far)
    near.save("oslo.0")
    endless = iter(range(1, 100))
    report = run(near, far, over=Hooked(far.kv, before={"apply": lambda *_: near.save(f"oslo.{next(endless)}")}))
    assert (report.verified, report.pushed) == (None, 3)
    assert run(near, far).verified
    agreed(near, far)


def test_a_record_from_the_future_waits_and_the_rest_goes_on(near: Store, far: Store) -> None:
    run(near, far)
    near.clock.advance(s=3600)
    near.save("oslo.1")
    near.clock.advance(s=-3600)
    far.save("oslo.2")
    report = run(near, far)
    assert (report.verified, report.deferred, report.pushed) == (None, [("Sensor", "oslo.1")], 0)
    assert ids(near) == ["oslo.1", "oslo.2"]
    assert ids(far) == ["oslo.2"]
    far.clock.advance(s=3600)
    assert run(near, far).verified
    agreed(near, far)


def test_a_damaged_record_stays_and_the_rest_goes_on(near: Store, far: Store) -> None:
    """Its checksum is right, its hash is not: it was damaged before it was stored."""
    run(near, far)
    near.save_many(["oslo.1", "oslo.2"])
    with near.writing() as session:
        state = session.segment(SENSORS)
        key = RECORD + state.number + state.hasher.key(b"oslo.1")
        value = session.txn.get(key)
        assert value is not None
        row = open_row(key, value)
        content = row.content[:-1] + b"\x00"
        session.txn.put(key, pack_row(key, row.seq, row.via, row.base, row.base_deleted, row.hash, content))
    report = run(near, far)
    assert report.bad == [("Sensor", "oslo.1", "the record hash does not fit the content")]
    assert report.verified is False
    assert ids(far) == ["oslo.2"]


def test_a_damaged_row_stays_here_and_the_rest_is_delivered(near: Store, far: Store) -> None:
    run(near, far)
    near.save_many([f"oslo.{number}" for number in range(5)])
    key = near.flip("oslo.2")
    for _ in range(2):
        report = run(near, far)
        assert report.bad == [("Sensor", key, "its row in the nearer store is damaged")]
        assert report.verified is False
        assert ids(far) == ["oslo.0", "oslo.1", "oslo.3", "oslo.4"]
    near.flip("oslo.2")
    assert run(near, far).verified
    agreed(near, far)


def test_a_damaged_row_there_is_not_missing_and_the_rest_is_pulled(near: Store, far: Store) -> None:
    far.save("oslo.0", b"old")
    far.save("oslo.1", b"old")
    run(near, far)
    far.save_many(["oslo.0", "oslo.1", "oslo.2"], b"new")
    key = far.flip("oslo.1")
    for _ in range(2):
        report = run(near, far)
        assert report.bad == [("Sensor", key, "its row in the farther store is damaged")]
        assert (report.verified, report.conflicts) == (False, 0)
        held = {id: record.payload for id, record in near.held().items()}
        assert held == {"oslo.0": b"new", "oslo.1": b"old", "oslo.2": b"new"}
    far.flip("oslo.1")
    assert run(near, far).verified
    agreed(near, far)


def test_a_row_that_is_damaged_there_is_not_overwritten_and_the_rest_is_delivered(near: Store, far: Store) -> None:
    near.save_many(["oslo.1", "oslo.2"], b"old")
    run(near, far)
    near.save_many(["oslo.1", "oslo.2"], b"new")
    far.flip("oslo.1")
    report = run(near, far)
    assert ("Sensor", "oslo.1", "the row that is there is damaged") in report.bad
    assert report.verified is False
    far.flip("oslo.1")
    assert {id: record.payload for id, record in far.held().items()} == {"oslo.1": b"old", "oslo.2": b"new"}
    assert run(near, far).verified
    agreed(near, far)


def test_a_row_that_is_damaged_here_is_not_replaced_by_a_pull(near: Store, far: Store) -> None:
    far.save_many(["oslo.1", "oslo.2"], b"old")
    run(near, far)
    far.save_many(["oslo.1", "oslo.2"], b"new")
    key = near.flip("oslo.1")
    report = run(near, far)
    assert report.bad == [("Sensor", key, "its row in the nearer store is damaged")]
    assert near.held_soundly() == {"oslo.2": b"new"}
    near.flip("oslo.1")
    run(near, far)
    assert run(near, far).verified
    agreed(near, far)


@pytest.mark.parametrize("page_bytes", [SMALL, 1_000_000])
def test_a_partition_is_not_brought_down_without_a_row_that_is_damaged_there(
    near: Store, far: Store, page_bytes: int
) -> None:
    """What a present partition lacks is known not to exist."""
    far.save_many(["oslo.1", "oslo.2"])
    far.flip("oslo.1")
    with pytest.raises(CorruptDataError, match="farther"):
        run(near, far, page_bytes=page_bytes)
    assert drive(near.kv.presence(PARTITION)) == "unknown"
    far.flip("oslo.1")
    assert run(near, far).verified
    agreed(near, far)


def test_a_loss_does_not_hide_behind_those_who_write_for_ever(near: Store, far: Store) -> None:
    """A run that insists compares in spite of them, and finds what no changelog names."""
    far.save_many(["oslo.1", "oslo.2"])
    run(near, far)
    near.damage("oslo.1")
    endless = iter(range(10, 1000))

    def busy() -> Hooked:
        return Hooked(far.kv, before={"roots": lambda *_: far.save(f"oslo.{next(endless)}")})

    for _ in range(3):
        assert run(near, far, over=busy()).verified is None
        assert "oslo.1" not in ids(near)
    assert run(near, far, over=busy(), insist=True).verified is None
    assert {"oslo.1", "oslo.2"} <= set(ids(near))
    assert run(near, far).verified
    agreed(near, far)


def test_a_closed_batch_ends_the_run(near: Store, far: Store) -> None:
    run(near, far)
    near.save("oslo.1")
    closed = Hooked(far.kv, after={"apply": lambda _: Applied(closed=True)})
    with pytest.raises(PartitionUnavailableError, match="closed"):
        run(near, far, over=closed)
    assert run(near, far).verified
    agreed(near, far)


def test_a_lost_answer_is_asked_for_first(near: Store, far: Store) -> None:
    run(near, far)
    near.save("oslo.1")

    def lose(_: Applied) -> Applied:
        raise StoreUnavailableError("lost")

    with pytest.raises(StoreUnavailableError):
        run(near, far, over=Hooked(far.kv, after={"apply": lose}))
    near.save("oslo.1", b"edited")
    report = run(near, far)
    assert (report.verified, report.conflicts, report.pushed) == (True, 0, 1)
    agreed(near, far)


# --- verify ------------------------------------------------------------------------------------------------------


def test_a_run_that_moves_nothing_writes_nothing(near: Store, far: Store) -> None:
    far.save("oslo.1")
    run(near, far)
    commits = (near.engine.commits, far.engine.commits)
    agreed_terms = terms(near, link(near, far))
    leased = near.engine.commits
    assert drive(PartitionRun(near.kv, far.kv, PARTITION, agreed_terms).run()).verified
    assert (near.engine.commits - leased + commits[0], far.engine.commits) == commits


def test_what_is_damaged_on_either_side_is_repaired_from_the_other(near: Store, far: Store) -> None:
    far.save_many([f"oslo.{number}" for number in range(300)])
    run(near, far)
    near.damage("oslo.1")
    far.damage("oslo.2")
    report = run(near, far)
    assert (report.verified, report.descended, report.pulled, report.pushed) == (True, 1, 1, 1)
    agreed(near, far)


def test_a_difference_that_stays_is_reported(near: Store, far: Store) -> None:
    far.save("oslo.1")
    run(near, far)

    def wrong(roots: Roots) -> Roots:
        return Roots({name: replace(each, live=b"\xff" * 16) for name, each in roots.segments.items()})

    far.save("oslo.2")
    report = run(near, far, over=Hooked(far.kv, after={"roots": wrong}))
    assert (report.verified, report.descended) == (False, 1)


def test_somebody_elses_writing_is_no_difference(near: Store, far: Store) -> None:
    far.save("oslo.1")
    run(near, far)
    far.save("oslo.2")
    busy = Hooked(far.kv, before={"roots": lambda *_: far.save("oslo.3")})
    report = run(near, far, over=busy)
    assert (report.verified, report.descended) == (None, 0)
    assert run(near, far).verified


def test_writing_here_is_no_difference_either(near: Store, far: Store) -> None:
    far.save("oslo.1")
    run(near, far)
    far.save("oslo.2")
    busy = Hooked(far.kv, before={"roots": lambda *_: near.save("oslo.3")})
    assert run(near, far, over=busy).verified is None
    assert run(near, far).verified


def test_a_segment_that_appears_during_the_run_is_left_to_the_next_one(near: Store, far: Store) -> None:
    far.save("oslo.1")
    run(near, far)
    far.save("oslo.2")
    later = Hooked(far.kv, before={"roots": lambda *_: far.save("oslo.n", segment=NOTES)})
    assert run(near, far, over=later).verified is None
    assert run(near, far).verified
    assert near.held(NOTES) == far.held(NOTES)


def test_a_refused_type_is_left_alone(near: Store, far: Store) -> None:
    near.save("oslo.n", segment=NOTES)
    far.save("oslo.m", segment=NOTES)
    far.save("oslo.1")
    report = run(near, far, refused=frozenset({"Note"}))
    assert (report.verified, report.pulled, report.pushed) == (True, 1, 0)
    assert (set(near.held(NOTES)), set(far.held(NOTES))) == ({"oslo.n"}, {"oslo.m"})


# --- history -----------------------------------------------------------------------------------------------------


def restored(store: Store, rows: list[tuple[bytes, bytes]], seed: int) -> Store:
    """A store opened on an older image of the same files."""
    older = Store(seed, store.clock)
    for key in [key for key, _ in older.engine.rows.scan(b"\x00", b"\xff")]:
        older.engine.rows.delete(key)
    for key, value in rows:
        older.engine.rows.put(key, value)
    return older


def image(store: Store) -> list[tuple[bytes, bytes]]:
    return list(store.engine.rows.scan(b"\x00", b"\xff"))


def test_a_restored_farther_store_gets_back_what_it_lost(near: Store, far: Store) -> None:
    far.save("oslo.1")
    run(near, far)
    backup = image(far)
    far.save("oslo.2")
    near.save("oslo.3")
    run(near, far)
    older = restored(far, backup, 3)
    older.save("oslo.1", b"written after the restore")
    report = run(near, older)
    assert (report.verified, report.descended, report.pushed) == (True, 1, 2)
    assert ids(older) == ["oslo.1", "oslo.2", "oslo.3"]
    with near.reading() as reading:
        assert reading.segments_of(PARTITION)[0].row.floor > 0
    agreed(near, older)


def test_a_restored_nearer_store_is_noticed_and_reads_its_own_writes_back(near: Store, far: Store) -> None:
    run(near, far)
    backup = image(near)
    near.save("oslo.1")
    run(near, far)
    older = restored(near, backup, 3)
    report = run(older, far)
    assert (report.verified, report.pulled) == (True, 1)
    assert not drive(older.kv.view(PARTITION)).gone_back
    agreed(older, far)


def test_a_restored_nearer_store_reads_its_own_writes_back_while_others_keep_the_farther_one_busy(
    near: Store, far: Store
) -> None:
    """The changelog brings them, as long as nothing is verified: a descent waits until nobody else writes."""
    run(near, far)
    backup = image(near)
    near.save_many(["oslo.1", "oslo.2"])
    run(near, far)
    older = restored(near, backup, 3)
    busy = Hooked(far.kv, before={"roots": lambda _: far.save("oslo.busy")})
    report = run(older, far, over=busy)
    assert (report.verified, report.descended) == (None, 0)
    assert older.held().keys() >= {"oslo.1", "oslo.2"}


def test_a_restored_nearer_store_reads_its_own_writes_back_in_whichever_run_gets_through(
    near: Store, far: Store
) -> None:
    run(near, far)
    backup = image(near)
    near.save("oslo.1")
    run(near, far)
    older = restored(near, backup, 3)

    def fail(*_: object) -> None:
        raise StoreUnavailableError("cut")

    with pytest.raises(StoreUnavailableError):
        run(older, far, over=Hooked(far.kv, before={"changes": fail}))
    busy = Hooked(far.kv, before={"roots": lambda _: far.save("oslo.busy")})
    assert run(older, far, over=busy).verified is None
    assert "oslo.1" in older.held()


def test_strangers_are_buried_whatever_their_number(near: Store, far: Store) -> None:
    """Rows of a restored store that were sent, deleted and forgotten since; what is new lies behind them."""
    run(near, far)
    strangers = [f"oslo.{number}" for number in range(5)]
    near.save_many(strangers)
    backup = image(near)
    run(near, far)
    for id in strangers:
        far.delete(id)
    run(near, far)
    for clock in (near.clock, far.clock):
        clock.advance(days=9)
    run(near, far)
    assert drive(far.kv.collect(PARTITION, min_ttl_s=86_400, peer_ttl_s=90 * 86_400)) == 5
    older = restored(near, backup, 3)
    older.save("oslo.new")
    report = run(older, far, page_bytes=SMALL)
    assert (report.verified, report.conflicts) == (True, 5)
    assert rules(older) == ["restored"] * 5
    assert ids(older) == ids(far) == ["oslo.new"]


def test_a_store_restored_to_before_a_later_hydration_begins_a_newer_registration(near: Store, far: Store) -> None:
    far.save("oslo.1")
    run(near, far)
    backup = image(near)
    drive(near.kv.evict(PARTITION))
    run(near, far)
    older = restored(near, backup, 3)
    older.save("oslo.2")
    report = run(older, far)
    assert (report.verified, report.pushed) == (True, 1)
    assert drive(older.kv.view(PARTITION)).generation == 3


def test_what_was_deleted_and_forgotten_is_dropped_here(near: Store, far: Store) -> None:
    far.save_many(["oslo.1", "oslo.2"])
    run(near, far)
    far.delete("oslo.1")
    for clock in (near.clock, far.clock):
        clock.advance(days=9)
    assert drive(far.kv.collect(PARTITION, min_ttl_s=86_400, peer_ttl_s=86_400)) == 1
    report = run(near, far)
    assert (report.verified, report.conflicts, report.descended) == (True, 0, 1)
    assert ids(near) == ["oslo.2"]
    with near.reading() as reading:
        assert reading.segments_of(PARTITION)[0].row.horizon > (far.clock.now_ms - 10 * DAY_MS) // DAY_MS


# --- leases and presence -----------------------------------------------------------------------------------------


def test_a_run_under_an_old_token_is_fenced_off(near: Store, far: Store) -> None:
    old = terms(near, link(near, far))
    near.clock.advance(s=120)
    assert drive(near.kv.lease("up", b"another", 60)) is not None
    with pytest.raises(LinkFencedError):
        drive(PartitionRun(near.kv, far.kv, PARTITION, old).run())


def test_a_farther_side_that_lets_go_in_the_middle_refuses_the_rest(near: Store, far: Store) -> None:
    root = Store(9)
    root.save("oslo.1")
    run(far, root)
    run(near, far)
    near.save("oslo.2")
    gone = Hooked(far.kv, before={"apply": lambda *_: drive(far.kv.evict(PARTITION))})
    with pytest.raises(PartitionUnavailableError):
        run(near, far, over=gone)
    run(far, root)
    assert run(near, far).verified


def test_a_marked_partition_stays_marked_until_it_is_verified(near: Store, far: Store) -> None:
    run(near, far)
    token = link(near, far)
    drive(near.kv.mark_partition(PARTITION, PartitionMarks(gone_back=True), token))
    near.clock.advance(s=3600)
    near.save("oslo.1")
    near.clock.advance(s=-3600)
    assert run(near, far).verified is None
    assert drive(near.kv.view(PARTITION)).gone_back
    far.clock.advance(s=3600)
    assert run(near, far).verified
    assert not drive(near.kv.view(PARTITION)).gone_back
