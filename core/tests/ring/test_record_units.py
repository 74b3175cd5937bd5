"""Units of the record logic: what cannot be said through the contract of stores, and stores that are damaged."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

import pytest
from core.tests.ring.stage import PARTITION, SENSORS, Store, drive, ids, link, run
from msgspec.structs import replace

from tierfold.abc.syncable import (
    Accept,
    ConflictEntry,
    Keep,
    LinkState,
    PartitionMarks,
    Push,
    PushOrigin,
    Registration,
    Settlement,
)
from tierfold.clock import DAY_MS
from tierfold.digest import Hasher, sum_bytes
from tierfold.errors import ConfigError, CorruptDataError, LinkFencedError, StoreFormatError
from tierfold.kv import store as kv_store
from tierfold.kv.memory import MemoryEngine
from tierfold.kv.store import KvStore
from tierfold.layout import CHANGELOG, FEED, RECORD, SEGMENT, SEGMENT_ROWS, STORE_ROWS, TOMBSTONE, SegmentRow
from tierfold.model import ABSENT, Position, SegmentName, StoreId, Write
from tierfold.records import settling
from tierfold.records.answering import scope_sum
from tierfold.records.keeping import AttachUnit, DeclareUnit, IdentifyUnit
from tierfold.records.positions import BEGINNING
from tierfold.records.snapshot import Snapshot
from tierfold.testing.fakes import fake_context
from tierfold.testing.samples import foreign

SEGMENT_1: Final = b"\x00\x00\x00\x01"
KEY: Final = Hasher("Sensor").key(b"oslo.1")
PEER: Final = StoreId(b"a nearer store  ")


@pytest.fixture
def store() -> Store:
    return Store(1)


# --- identity ----------------------------------------------------------------------------------------------------


def opened(store: Store, place: str, seed: int) -> KvStore:
    """The same rows opened once more."""
    engine = MemoryEngine(place)
    engine.rows = store.engine.rows
    kv = KvStore(engine, fake_context(store.clock, seed))
    drive(kv.identify())
    return kv


def test_a_store_opened_again_is_the_same_store(store: Store) -> None:
    before = drive(store.kv.identity())
    assert drive(opened(store, store.engine.place, 2).identity()) == before


def test_a_copy_is_another_store_with_another_node_and_all_partitions_marked(store: Store) -> None:
    store.save("oslo.1")
    before, position = drive(store.kv.identity()), drive(store.kv.roots(PARTITION)).segments[SENSORS].position
    copy = opened(store, "another place", 2)
    assert drive(copy.identity()).store != before.store
    assert drive(copy.view(PARTITION)).gone_back
    assert drive(copy.remembers(position))
    written = drive(copy.write([Write(SENSORS, "oslo.1", b"copy")])).written[0].record
    assert written is not None
    assert written.stamp[8:] != store.held()["oslo.1"].birth[8:]
    assert drive(copy.roots(PARTITION)).segments[SENSORS].position[:8] != position[:8]


def test_a_store_that_hashes_otherwise_is_refused(store: Store) -> None:
    with store.writing() as session:
        STORE_ROWS.put(session.txn, replace(session.store, hash_algorithm="blake3"))
    with store.reading() as reading, pytest.raises(StoreFormatError, match="blake3"):
        IdentifyUnit(store.engine.place).check(reading)  # type: ignore[arg-type]  # checks only read


def test_a_store_that_was_never_identified_has_no_identity() -> None:
    with pytest.raises(CorruptDataError, match="store row"):
        drive(KvStore(MemoryEngine("new"), fake_context()).identity())


def test_of_two_first_declarations_the_first_stays(store: Store) -> None:
    """Two programs look, find none, and both write."""
    with store.writing() as session:
        assert DeclareUnit("Sensor", b"first").put(session) == b"first"
        assert DeclareUnit("Sensor", b"second").put(session) == b"first"


# --- upstream ----------------------------------------------------------------------------------------------------


def test_another_program_cannot_link_the_store_elsewhere_while_its_lease_lasts(store: Store) -> None:
    link(store, Store(2))
    with pytest.raises(ConfigError, match="at most one upstream"):
        drive(store.kv.lease("another link", b"another program", 60))


def test_the_lease_of_a_program_that_is_gone_is_taken_over_at_once_and_fences_it_off() -> None:
    gone: set[bytes] = set()
    kv = KvStore(MemoryEngine("new"), replace(fake_context(), is_gone=gone.__contains__))
    drive(kv.identify())
    first = drive(kv.lease("up", b"killed", 60))
    assert drive(kv.lease("up", b"heir", 60)) is None
    gone.add(b"killed")
    taken = drive(kv.lease("up", b"heir", 60))
    assert first is not None
    assert taken is not None
    assert (taken.holder, taken.token) == (b"heir", first.token + 1)
    with pytest.raises(LinkFencedError):
        drive(kv.mark_partition(PARTITION, PartitionMarks(presence="present"), first.token))


def test_link_states_are_forgotten_in_the_transaction_that_attaches(store: Store) -> None:
    """Another unit of the same group may have loaded them."""
    far = Store(2)
    far.save("oslo.1")
    run(store, far)
    token = link(store, far)
    with store.writing() as session:
        (state,) = session.segments_of(PARTITION)
        assert session.link_state(state).pulled is not None
        AttachUnit(StoreId(b"another upstream"), token).put(session)
        assert session.link_state(state).pulled is None
        assert state.row.floor == state.row.max_seq > 0


def test_a_first_upstream_raises_no_floor(store: Store) -> None:
    store.save("oslo.1")
    link(store, Store(2))
    with store.reading() as reading:
        assert reading.segments_of(PARTITION)[0].row.floor == 0


def test_a_hydration_under_way_is_forgotten_with_its_rows(store: Store) -> None:
    far = Store(2)
    far.save("oslo.1")
    token = link(store, far)
    state = LinkState(resume=(BEGINNING, KEY))
    drive(store.kv.settle(SENSORS, Settlement(state=state), token))
    drive(store.kv.evict(PARTITION))
    assert drive(store.kv.view(PARTITION)).states[SENSORS].resume is None


# --- one transaction, several units ------------------------------------------------------------------------------


def test_a_segment_created_in_a_group_is_seen_by_its_later_units(store: Store) -> None:
    with store.writing() as session:
        session.segment(SENSORS)
        session.segment(SegmentName("Note", PARTITION))
        assert [state.name.type for state in session.segments_of(PARTITION)] == ["Sensor", "Note"]


def test_a_group_knows_roughly_how_much_it_has_written(store: Store) -> None:
    record = Hasher("Sensor").record(foreign("oslo.1", bytes(10_000)).content)
    with store.writing() as session:
        assert session.size_bytes == 0
        session.put_many(session.segment(SENSORS), [(KEY, None, record.content, record.hash, 0, b"", False)], "sync")
        assert 10_000 < session.size_bytes < 11_000


def test_a_delete_of_what_is_not_there_leaves_the_rest_of_its_batch_alone(store: Store) -> None:
    store.save("oslo.0")
    batch = [Write(SENSORS, "oslo.1", None), Write(SENSORS, "oslo.2", b"saved"), Write(SENSORS, "oslo.0", None)]
    written = drive(store.kv.write(batch)).written
    assert [each.record is not None for each in written] == [False, True, True]
    assert ids(store) == ["oslo.2"]


# --- the conflict log and steps that cannot be done ---------------------------------------------------------------


def test_the_conflict_log_forgets_the_oldest(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(settling, "CONFLICT_LIMIT", 3)
    token = link(store, Store(2))
    for number in range(5):
        entry = ConflictEntry("lww", "up", None, foreign("oslo.1"), ABSENT, number)
        drive(store.kv.settle(SENSORS, Settlement(conflicts=((KEY, entry),)), token))
    log = drive(store.kv.conflict_log(0, 10))
    assert [(number, entry.at_ms) for number, entry in log] == [(3, 2), (4, 3), (5, 4)]


def test_a_step_about_a_row_that_is_not_there_is_refused(store: Store) -> None:
    token = link(store, Store(2))
    keep = Keep(KEY, ABSENT, foreign("oslo.1").hash, False, touch=False)
    assert drive(store.kv.settle(SENSORS, Settlement((keep,)), token)).refused == (KEY,)


def test_a_batch_that_names_a_record_twice_stores_it_once(store: Store) -> None:
    """No store of ours sends one. Storing both would leave sums and changelog that nothing can repair."""
    hasher = Hasher("Sensor")
    one, other = (hasher.record(foreign("oslo.1", payload).content) for payload in (b"one", b"other"))
    drive(store.kv.register(Registration(PEER, PARTITION, 1, {})))
    batch = [Push(one, ABSENT), Push(other, ABSENT)]
    applied = drive(store.kv.apply(SENSORS, batch, PushOrigin(PEER, 1, 1, BEGINNING)))
    assert applied.accepted == (KEY,)
    (record,) = drive(store.kv.changes(SENSORS, None, 1000, None)).records
    assert drive(store.kv.roots(PARTITION)).segments[SENSORS].live == record.hash


# --- one number for many segments ---------------------------------------------------------------------------------


def named(number: int) -> SegmentName:
    return SegmentName("Sensor", f"app.{number}")


def expected_root(store: Store, numbers: range) -> bytes:
    roots = [drive(store.kv.roots(f"app.{number}")).segments[named(number)] for number in numbers]
    return sum_bytes(scope_sum(roots))


@pytest.mark.parametrize("registered", [range(1), range(20), range(3, 9)])
def test_the_root_of_a_scope_is_the_sum_over_what_the_peer_is_registered_for(store: Store, registered: range) -> None:
    """However few of many partitions that are; deletes count, too."""
    for number in range(20):
        store.save(f"{number}.1", b"%d" % number, named(number))
        store.save(f"{number}.2", segment=named(number))
        store.delete(f"{number}.2", named(number))
    for number in registered:
        drive(store.kv.register(Registration(PEER, f"app.{number}", 1, {})))
    assert drive(store.kv.scope_root(PEER)).root == expected_root(store, registered)
    assert drive(store.kv.own_root()).root == expected_root(store, range(20))


def test_only_what_is_held_counts(store: Store) -> None:
    store.save("0.1", segment=named(0))
    store.save("1.1", segment=named(1))
    for number in range(2):
        drive(store.kv.register(Registration(PEER, f"app.{number}", 1, {})))
    token = link(store, Store(2))
    assert drive(store.kv.own_root()).root == drive(store.kv.scope_root(PEER)).root == bytes(16)
    drive(store.kv.mark_partition("app.1", PartitionMarks(presence="present"), token))
    assert drive(store.kv.own_root()).root == expected_root(store, range(1, 2))
    assert drive(store.kv.scope_root(PEER)).root == expected_root(store, range(1, 2))


def test_roots_are_summed_again_only_after_a_commit(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    summed: list[str] = []
    honest = Snapshot.held_segments

    def counted(reading: Snapshot[Any]) -> list[SegmentRow]:
        summed.append("sum")
        return honest(reading)

    monkeypatch.setattr(Snapshot, "held_segments", counted)
    store.save("oslo.1")
    drive(store.kv.register(Registration(PEER, PARTITION, 1, {})))
    first = [drive(store.kv.scope_root(PEER)), drive(store.kv.own_root())]
    assert [drive(store.kv.scope_root(PEER)), drive(store.kv.own_root())] == first
    assert len(summed) == 2
    store.save("oslo.2")
    assert drive(store.kv.own_root()) != first[1]
    store.kv.expect_upstream()
    assert drive(store.kv.own_root()).root == bytes(16)


def test_roots_of_very_many_peers_are_not_all_kept(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(kv_store, "_KNOWN_ROOTS", 3)
    for number in range(9):
        drive(store.kv.scope_root(StoreId(b"%16d" % number)))
    assert len(store.kv._roots) <= 3


# --- what a segment that is not there answers --------------------------------------------------------------------


def test_a_segment_that_was_never_written_has_nothing_to_deliver(store: Store) -> None:
    link(store, Store(2))
    assert drive(store.kv.dirty_rows(SENSORS, 1, BEGINNING, frozenset())).rows == ()


def test_tombstones_that_count_no_more_are_not_in_a_snapshot(store: Store) -> None:
    """The horizon has passed them, and nobody has collected them yet."""
    store.save_many(["oslo.1", "oslo.2"])
    store.delete("oslo.1")
    token = link(store, Store(2))
    drive(store.kv.mark_partition(PARTITION, PartitionMarks(presence="present"), token))
    above = store.clock.now_ms // DAY_MS + 1
    drive(store.kv.settle(SENSORS, Settlement(horizon=above), token))
    scan = drive(store.kv.snapshot_page(SENSORS, b"", 10_000))
    assert [record.id for record in scan.records] == ["oslo.2"]
    assert not scan.more
    assert "oslo.1" in store.held()


# --- damage ------------------------------------------------------------------------------------------------------


def delete(store: Store, key: bytes) -> None:
    with store.writing() as session:
        assert session.txn.get(key) is not None
        session.txn.delete(key)


def seq_key(seq: int) -> bytes:
    return seq.to_bytes(8, "big")


DAMAGES: Final[dict[str, Callable[[Store], object]]] = {
    "feed": lambda store: drive(store.kv.feed(None)),
    "pending": lambda store: drive(store.kv.pending()),
    "roots": lambda store: drive(store.kv.roots(PARTITION)),
    "find": lambda store: drive(store.kv.view(PARTITION)),
}


@pytest.mark.parametrize("look", DAMAGES.values(), ids=DAMAGES.keys())
def test_a_missing_segment_row_is_noticed(store: Store, look: Callable[[Store], object]) -> None:
    store.save("oslo.1")
    token = link(store, Store(2))
    drive(store.kv.mark_partition(PARTITION, PartitionMarks(presence="present"), token))
    delete(store, SEGMENT + SEGMENT_1)
    with pytest.raises(CorruptDataError):
        look(store)


def test_a_segment_row_of_another_segment_is_noticed(store: Store) -> None:
    store.save("oslo.1")
    with store.writing() as session:
        row = SEGMENT_ROWS.get(session.txn, SEGMENT_1)
        assert row is not None
        row.partition = "app.rome"
        SEGMENT_ROWS.put(session.txn, row, SEGMENT_1)
    with pytest.raises(CorruptDataError, match="no row of its own"):
        store.save("oslo.2")


def test_a_changelog_entry_without_its_row_is_noticed(store: Store) -> None:
    store.save("oslo.1")
    delete(store, RECORD + SEGMENT_1 + KEY)
    assert drive(store.kv.changes(SENSORS, None, 1000, None)).damaged == (KEY,)


def test_nothing_is_taken_for_delivered_past_a_row_that_is_gone(store: Store) -> None:
    token = link(store, Store(2))
    _, sent = store.save("oslo.1"), store.save("oslo.2")
    delete(store, RECORD + SEGMENT_1 + KEY)
    accept = Accept(store.kv._opened.hasher("Sensor").key(b"oslo.2"), sent.hash, deleted=False)
    with pytest.raises(CorruptDataError, match="changelog"):
        drive(store.kv.settle(SENSORS, Settlement((accept,)), token))


def test_a_changelog_entry_that_names_another_row_is_noticed(store: Store) -> None:
    store.save("oslo.1")
    store.save("oslo.2")
    with store.writing() as session:
        session.txn.put(CHANGELOG + SEGMENT_1 + seq_key(2), KEY)
    changes = drive(store.kv.changes(SENSORS, None, 1000, None))
    assert ([record.id for record in changes.records], changes.damaged) == (["oslo.1"], (KEY,))


def test_a_tombstone_index_entry_without_a_tombstone_is_noticed(store: Store) -> None:
    store.save("oslo.1")
    store.save("oslo.2")
    tombstone = store.delete("oslo.2")
    day = int.from_bytes(tombstone.stamp[:6], "big") // DAY_MS
    with store.writing() as session:
        session.txn.put(TOMBSTONE + SEGMENT_1 + day.to_bytes(4, "big") + KEY, b"\x00")
    with pytest.raises(CorruptDataError, match="tombstone"):
        drive(store.kv.heads(SENSORS, [], [day]))


def test_a_feed_entry_moves_with_its_segment(store: Store) -> None:
    store.save("oslo.1")
    store.save("oslo.2")
    entries = [key for key, _ in store.engine.rows.scan(FEED, b"\x11")]
    assert entries == [FEED + seq_key(2)]
    assert ids(store) == ["oslo.1", "oslo.2"]
    assert not drive(store.kv.remembers(Position(b"nonsense")))
