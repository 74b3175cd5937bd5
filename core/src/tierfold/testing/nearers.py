"""What a store must do as the nearer side of a link: the clauses N of `tierfold.abc.syncable`."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable, Coroutine, Sequence
from contextlib import AbstractAsyncContextManager
from pathlib import Path
from typing import Any, Final

import pytest

from tierfold.abc.syncable import (
    Accept,
    Bury,
    ConflictEntry,
    Drop,
    Keep,
    LinkState,
    NearerStore,
    Offer,
    PartitionMarks,
    Settlement,
    Step,
    Take,
)
from tierfold.digest import sum_bytes
from tierfold.errors import ConfigError, CorruptDataError, LinkFencedError, PartitionUnavailableError
from tierfold.model import ABSENT, Digest, FeedToken, Position, Record, StoreId
from tierfold.specs import OpenContext
from tierfold.testing.fakes import START_MS, FakeClock
from tierfold.testing.samples import OSLO, PARTITION, PEER, ROME, foreign, key_of, origin, push, put, register, remove
from tierfold.testing.stores import written
from tierfold.testing.syncables import LARGE, SyncableStoreSuite, changed, roots_of

__all__ = ["NearerStoreSuite"]

UPSTREAM: Final = StoreId(b"the farther one ")
FAR: Final = Position(b"a far position  ")
FAR_TOKEN: Final = FeedToken(b"a far feed token")
START: Final = Position(bytes(16))
DAY: Final = START_MS // 86_400_000


async def attach(store: NearerStore, *, holder: bytes = b"one", upstream: StoreId = UPSTREAM) -> int:
    """Take the lease and attach an upstream; returns the fencing token."""
    lease = await store.lease("up", holder, 10)
    assert lease is not None
    await store.attach("up", upstream, lease.token)
    return lease.token


async def hydrated(store: NearerStore, *records: Record) -> int:
    """Attach an upstream that holds ``records``, and bring them down; returns the fencing token."""
    token = await attach(store)
    await settle(store, token, *(Take(record, ABSENT) for record in records), state=LinkState(FAR, FAR))
    await store.mark_partition(PARTITION, PartitionMarks(presence="present", generation=1), token)
    return token


async def settle(
    store: NearerStore, token: int, *steps: Step, state: LinkState | None = None, **rest: Any
) -> tuple[bytes, ...]:
    return (await store.settle(OSLO, Settlement(steps, state, **rest), token)).refused


async def dirty(store: NearerStore, *, until: Position | None = None, limit: int = LARGE) -> list[str]:
    """Ids of the rows to deliver."""
    last = (await store.near_rows(OSLO, [], START)).position if until is None else until
    rows = await store.dirty_rows(OSLO, limit, last, frozenset())
    return [row.record.id for row in rows.rows]


class NearerStoreSuite(SyncableStoreSuite, defines=True):
    """Tests of `NearerStore`."""

    @abstractmethod
    def open_store(self, where: Path, context: OpenContext) -> AbstractAsyncContextManager[NearerStore]: ...

    # --- presence ------------------------------------------------------------------------------------------------

    async def test_reads_of_a_partition_that_is_not_present_are_refused(self, store: NearerStore) -> None:
        """S10: whatever rows happen to lie in it."""
        await store.write([put("oslo.1")])
        await attach(store)
        calls: Sequence[Callable[[], Coroutine[Any, Any, object]]] = [
            lambda: store.get(OSLO, "oslo.1"),
            lambda: store.get(OSLO, "oslo.2"),
            lambda: store.get_many(OSLO, ["oslo.1"]),
            lambda: store.scan(OSLO, None, 10),
            lambda: store.get(ROME, "rome.1"),
        ]
        for call in calls:
            with pytest.raises(PartitionUnavailableError):
                await call()

    async def test_writes_into_a_partition_that_is_not_present_are_kept(self, store: NearerStore) -> None:
        """S5, S10: they wait for it; a condition is checked against what is here."""
        await attach(store)
        (record,) = await written(store, put("oslo.1", expected=ABSENT))
        assert [row.record for row in (await store.near_rows(OSLO, [key_of("oslo.1")], START)).rows] == [record]
        assert await dirty(store) == ["oslo.1"]

    async def test_reads_follow_presence_at_once(self, store: NearerStore) -> None:
        """S10: when it comes and when it goes."""
        token = await hydrated(store, foreign("oslo.1"))
        assert await store.get(OSLO, "oslo.1") is not None
        await store.mark_partition(PARTITION, PartitionMarks(presence="unknown"), token)
        with pytest.raises(PartitionUnavailableError):
            await store.get(OSLO, "oslo.1")
        await store.mark_partition(PARTITION, PartitionMarks(presence="present"), token)
        assert await store.get(OSLO, "oslo.1") is not None

    async def test_answers_about_a_partition_that_is_not_present_are_refused(self, store: NearerStore) -> None:
        """L1: every one of them, in the middle of a run too."""
        await register(store)
        await store.write([put("oslo.1")])
        await attach(store)
        calls: Sequence[Callable[[], Coroutine[Any, Any, object]]] = [
            lambda: store.roots(PARTITION),
            lambda: store.changes(OSLO, None, LARGE, None),
            lambda: store.snapshot_page(OSLO, b"", LARGE),
            lambda: store.leaves(OSLO, [""]),
            lambda: store.heads(OSLO, [""], []),
            lambda: store.rows(OSLO, [key_of("oslo.1")]),
            lambda: store.apply(OSLO, [push(foreign("oslo.2"))], origin(1)),
            lambda: register(store),
            lambda: store.acknowledge(PEER, 1, OSLO, START, START),
            lambda: store.collect(PARTITION, min_ttl_s=0, peer_ttl_s=1),
        ]
        for call in calls:
            with pytest.raises(PartitionUnavailableError):
                await call()

    async def test_a_scope_root_leaves_out_what_is_not_present(self, store: NearerStore) -> None:
        """L4: registered or not."""
        await register(store)
        await store.write([put("oslo.1")])
        await attach(store)
        assert (await store.scope_root(PEER)).root == bytes(16)

    async def test_presence_is_stored_and_not_inferred(self, store: NearerStore) -> None:
        """L20: with an upstream a partition is unknown until it was hydrated, whatever rows lie in it."""
        await store.write([put("oslo.1")])
        before = await store.presence(PARTITION)
        token = await attach(store)
        attached = await store.presence(PARTITION), await store.presence("app.nowhere")
        await store.mark_partition(PARTITION, PartitionMarks(presence="present"), token)
        await store.mark_partition("app.nowhere", PartitionMarks(presence="absent"), token)
        after = await store.presence(PARTITION), await store.presence("app.nowhere")
        assert (before, attached, after) == ("present", ("unknown", "unknown"), ("present", "absent"))

    async def test_with_an_upstream_expected_nothing_is_known_to_be_absent(self, store: NearerStore) -> None:
        """N21: while none was ever attached; what is here waits for its partition."""
        (record,) = await written(store, put("oslo.1"))
        store.expect_upstream()
        for id in ("oslo.1", "oslo.2"):
            with pytest.raises(PartitionUnavailableError):
                await store.get(OSLO, id)
        assert await store.presence(PARTITION) == await store.presence("app.nowhere") == "unknown"
        assert [row.record for row in (await store.near_rows(OSLO, [key_of("oslo.1")], START)).rows] == [record]
        token = await attach(store)
        await store.mark_partition(PARTITION, PartitionMarks(presence="present"), token)
        assert await store.get(OSLO, "oslo.1") == record

    async def test_the_upstream_attached_last_can_be_asked_for(self, store: NearerStore) -> None:
        """N22: an expected one is none yet."""
        store.expect_upstream()
        assert store.upstream() is None
        await attach(store)
        assert store.upstream() == UPSTREAM

    # --- lease and upstream --------------------------------------------------------------------------------------

    async def test_one_holder_at_a_time_has_the_lease(self, store: NearerStore, clock: FakeClock) -> None:
        """N2: until it ends; its holder renews it and keeps the token."""
        first = await store.lease("up", b"one", 10)
        other = await store.lease("up", b"two", 10)
        clock.advance(s=5)
        renewed = await store.lease("up", b"one", 10)
        clock.advance(s=9)
        still = await store.lease("up", b"two", 10)
        clock.advance(s=1)
        taken = await store.lease("up", b"two", 10)
        assert first
        assert renewed
        assert taken
        assert (other, still) == (None, None)
        assert (first.token, renewed.token) == (first.token, first.token) < (taken.token, taken.token)
        assert (renewed.until_ms, taken.holder) == (first.until_ms + 5000, b"two")

    async def test_a_clock_turned_back_does_not_keep_a_lease_for_ever(
        self, store: NearerStore, clock: FakeClock
    ) -> None:
        """N2: a lease that ends later than any could is void."""
        clock.advance(days=1)
        await store.lease("up", b"one", 10)
        clock.advance(days=-1)
        assert await store.lease("up", b"two", 10) is not None

    async def test_a_released_lease_is_free_at_once(self, store: NearerStore) -> None:
        """N3: only its holder can release it."""
        await store.lease("up", b"one", 10)
        await store.release("up", b"two")
        held = await store.lease("up", b"two", 10)
        await store.release("up", b"one")
        assert held is None
        assert await store.lease("up", b"two", 10) is not None

    async def test_who_lost_the_lease_is_fenced_off(self, store: NearerStore, clock: FakeClock) -> None:
        """N1: in every method that takes a token, and nothing is written."""
        token = await hydrated(store, foreign("oslo.1"))
        clock.advance(s=11)
        await store.lease("up", b"two", 10)
        before = await store.view(PARTITION)
        calls: Sequence[Callable[[], Coroutine[Any, Any, object]]] = [
            lambda: store.attach("up", StoreId(b"x" * 16), token),
            lambda: store.note_feed("up", FAR_TOKEN, FAR_TOKEN, token),
            lambda: settle(store, token, Take(foreign("oslo.2"), ABSENT)),
            lambda: store.mark_partition(PARTITION, PartitionMarks(presence="unknown"), token),
            lambda: store.mark_gone_back(token),
        ]
        for call in calls:
            with pytest.raises(LinkFencedError):
                await call()
        assert await store.view(PARTITION) == before

    async def test_attaching_makes_partitions_unknown(self, store: NearerStore) -> None:
        """N4: that nobody hydrated; rows written before are undelivered."""
        await store.write([put("oslo.1")])
        await attach(store)
        assert await store.presence(PARTITION) == "unknown"
        assert await dirty(store) == ["oslo.1"]

    async def test_attaching_the_same_upstream_again_changes_nothing(self, store: NearerStore) -> None:
        """N4: it returns the farther feed token noted last."""
        token = await hydrated(store, foreign("oslo.1"))
        before = await store.view(PARTITION)
        nothing_noted = await store.attach("up", UPSTREAM, token)
        await store.note_feed("up", FAR_TOKEN, (await store.feed(None)).token, token)
        assert (nothing_noted, await store.attach("up", UPSTREAM, token)) == (None, FAR_TOKEN)
        assert await store.view(PARTITION) == before

    async def test_another_upstream_knows_nothing_of_what_is_here(self, store: NearerStore) -> None:
        """N4: every partition is unknown, the link state is forgotten, rows stay and are undelivered."""
        token = await hydrated(store, foreign("oslo.1"))
        await store.note_feed("up", FAR_TOKEN, (await store.feed(None)).token, token)
        assert await dirty(store) == []
        assert await store.attach("up", StoreId(b"another upstream"), token) is None
        view = await store.view(PARTITION)
        assert (view.presence, view.states[OSLO]) == ("unknown", LinkState())
        assert await dirty(store) == ["oslo.1"]
        (row,) = (await store.near_rows(OSLO, [key_of("oslo.1")], START)).rows
        assert (row.base, row.from_upstream) == (b"", False)

    async def test_feed_tokens_save_looking_again(self, store: NearerStore) -> None:
        """N5, N7: what was delivered before the noted token is not looked through."""
        token = await hydrated(store, foreign("oslo.1"))
        await store.note_feed("up", FAR_TOKEN, (await store.feed(None)).token, token)
        assert await store.pending() == []
        await store.write([put("oslo.2")])
        assert await store.pending() == [PARTITION]

    # --- what the link sees --------------------------------------------------------------------------------------

    async def test_a_view_shows_a_partition_as_it_stands(self, store: NearerStore) -> None:
        """N6: presence, marks, link state and roots of every segment, and which have rows to deliver."""
        one = foreign("oslo.1")
        token = await hydrated(store, one)
        await store.write([put("rome.1", segment=ROME)])
        view, other = await store.view(PARTITION), await store.view(ROME.partition)
        assert (view.presence, view.generation, view.gone_back, view.dirty) == ("present", 1, False, frozenset())
        assert view.states == {OSLO: LinkState(FAR, FAR)}
        assert view.roots == {OSLO: await roots_of(store)}
        assert (other.presence, other.roots[ROME].live_count) == ("unknown", 1)
        assert other.dirty == {ROME}
        empty = await store.view("app.nowhere")
        assert (empty.presence, empty.generation, empty.states, empty.roots) == ("unknown", 0, {}, {})
        await store.mark_gone_back(token)
        assert (await store.view(PARTITION)).gone_back

    async def test_partitions_with_rows_or_an_unanswered_batch_are_pending(self, store: NearerStore) -> None:
        """N7, N18: an unanswered batch too, although no row is dirty."""
        token = await hydrated(store, foreign("oslo.1"))
        clean = store.has_pending(), await store.pending()
        await store.write([put("oslo.1")])
        written_ = store.has_pending(), await store.pending()
        (row,) = (await store.dirty_rows(OSLO, LARGE, (await roots_of(store)).position, frozenset())).rows
        sent = ((row.key, row.record.hash, False),)
        state = LinkState(FAR, FAR, batch=1, outstanding=sent)
        await settle(store, token, Accept(row.key, row.record.hash, deleted=False), state=state)
        unanswered = store.has_pending(), await store.pending()
        await settle(store, token, state=LinkState(FAR, FAR, batch=1))
        answered = store.has_pending(), await store.pending()
        assert clean == answered == (False, [])
        assert written_ == unanswered == (True, [PARTITION])

    async def test_every_partition_ever_held_is_listed(self, store: NearerStore) -> None:
        """N8: with its presence."""
        token = await hydrated(store, foreign("oslo.1"))
        await store.write([put("rome.1", segment=ROME)])
        await store.mark_partition("app.nowhere", PartitionMarks(presence="absent"), token)
        assert await store.partitions() == {PARTITION: "present", "app.rome": "unknown", "app.nowhere": "absent"}

    async def test_the_own_root_sums_what_is_present(self, store: NearerStore) -> None:
        """N15: as the farther side sums what this store is registered for."""
        token = await hydrated(store, foreign("oslo.1"))
        await store.write([put("rome.1", segment=ROME)])
        root = await store.own_root()
        assert root.root == foreign("oslo.1").hash
        (gone,) = await written(store, remove("oslo.1"))
        assert (await store.own_root()).root == gone.hash
        assert (await store.feed(root.token)).segments == (OSLO,)
        await store.mark_partition(PARTITION, PartitionMarks(presence="unknown"), token)
        assert (await store.own_root()).root == bytes(16)

    async def test_a_wanted_partition_is_pending_until_its_presence_is_known(self, store: NearerStore) -> None:
        """N16: whoever asks for it."""
        token = await hydrated(store, foreign("oslo.1"))
        await store.want(PARTITION)
        await store.want("app.nowhere")
        wanted = await store.pending()
        await store.mark_partition("app.nowhere", PartitionMarks(presence="absent"), token)
        assert (wanted, await store.pending()) == (["app.nowhere"], [])

    async def test_rows_are_seen_with_what_the_link_knows_of_them(self, store: NearerStore) -> None:
        """N9: own and farther ones, whatever the presence, and whether they are newer than a position."""
        token = await hydrated(store, foreign("oslo.1"), foreign("oslo.2"))
        await store.mark_partition(PARTITION, PartitionMarks(presence="unknown"), token)
        since = (await store.near_rows(OSLO, [], START)).position
        await store.write([put("oslo.2"), put("oslo.3")])
        answer = await store.near_rows(OSLO, [key_of(f"oslo.{number}") for number in range(5)], since)
        rows = {row.record.id: row for row in answer.rows}
        assert {id: (row.dirty, row.from_upstream, row.newer) for id, row in rows.items()} == {
            "oslo.1": (False, True, False),
            "oslo.2": (True, False, True),
            "oslo.3": (True, False, True),
        }
        assert (rows["oslo.2"].base, rows["oslo.3"].base) == (foreign("oslo.2").hash, b"")
        assert {row.key for row in answer.rows} == {key_of(f"oslo.{number}") for number in (1, 2, 3)}

    async def test_a_base_stays_the_version_last_known_upstream(self, store: NearerStore) -> None:
        """N9: through any number of edits; a tombstone is marked as one."""
        old, gone = foreign("oslo.1"), foreign("oslo.2", None)
        await hydrated(store, old, gone)
        for payload in (b"1", b"2"):
            await store.write([put("oslo.1", payload), put("oslo.2", payload)])
        await store.write([remove("oslo.1")])
        rows = (await store.near_rows(OSLO, [key_of("oslo.1"), key_of("oslo.2")], START)).rows
        assert [(row.base, row.base_deleted) for row in rows] == [(old.hash, False), (gone.hash, True)]

    async def test_rows_to_deliver_come_in_commit_order(self, store: NearerStore) -> None:
        """N10: at least one, up to a size, none newer than a position, without those to skip."""
        await attach(store)
        for number in (3, 1, 2):
            await store.write([put(f"oslo.{number}", b"x" * 100)])
        until = (await store.near_rows(OSLO, [], START)).position
        await store.write([put("oslo.1", b"again"), put("oslo.4")])
        rows = await store.dirty_rows(OSLO, LARGE, until, frozenset([key_of("oslo.3")]))
        assert await dirty(store, until=until) == ["oslo.3", "oslo.2"]
        assert [row.record.id for row in rows.rows] == ["oslo.2"]
        assert await dirty(store, limit=1) == ["oslo.3"]

    async def test_a_damaged_row_is_named_to_the_link(self, store: NearerStore) -> None:
        """N23: among the rows to deliver and among those asked for; the rest is given."""
        await attach(store)
        damaged, sound = await written(store, put("oslo.1", b"one"), put("oslo.2", b"two"))
        await self.damage(store, damaged)
        keys = [key_of("oslo.1"), key_of("oslo.2")]
        until = (await store.near_rows(OSLO, [], START)).position
        for answer in (
            await store.near_rows(OSLO, keys, START),
            await store.dirty_rows(OSLO, LARGE, until, frozenset()),
        ):
            assert ([row.record for row in answer.rows], answer.damaged) == ([sound], (key_of("oslo.1"),))

    async def test_rows_of_a_nearer_peer_are_delivered_like_own_ones(self, store: NearerStore) -> None:
        """N10: with a base, as a local save has one."""
        old = foreign("oslo.1")
        await hydrated(store, old)
        await register(store)
        await store.apply(OSLO, [push(foreign("oslo.1", b"new", ms=START_MS + 1), old.hash)], origin(1))
        assert await dirty(store) == ["oslo.1"]
        (row,) = (await store.near_rows(OSLO, [key_of("oslo.1")], START)).rows
        assert (row.base, row.from_upstream) == (old.hash, False)

    async def test_everything_waits_while_no_upstream_was_ever_attached(self, store: NearerStore) -> None:
        """N18, N19: as it does for a program whose farther tier could not be reached so far."""
        assert not store.has_pending()
        (record,) = await written(store, put("oslo.1"))
        assert store.has_pending()
        assert store.is_pending(OSLO, record)
        assert not store.is_pending(OSLO, foreign("oslo.1"))

    async def test_whether_a_version_waits_can_be_asked(self, store: NearerStore) -> None:
        """N19: of that very version only."""
        await hydrated(store, foreign("oslo.1"))
        assert not store.is_pending(OSLO, foreign("oslo.1"))
        first, second = await written(store, put("oslo.1")), await written(store, put("oslo.1"))
        assert [store.is_pending(OSLO, record) for record in (*first, *second)] == [False, True]

    # --- settlements ---------------------------------------------------------------------------------------------

    async def test_a_taken_record_is_stored_clean(self, store: NearerStore) -> None:
        """N11: byte for byte, under the condition named."""
        one, two = foreign("oslo.1"), foreign("oslo.1", b"two", ms=START_MS + 1)
        token = await hydrated(store, one)
        refused = await settle(store, token, Take(two, ABSENT)), await settle(store, token, Take(two, one.hash))
        assert refused == ((key_of("oslo.1"),), ())
        assert await store.get(OSLO, "oslo.1") == two
        assert not store.has_pending()

    async def test_a_taken_record_moves_the_clock(self, store: NearerStore, clock: FakeClock) -> None:
        """N11, S6: a farther store is believed, however far ahead it is: every later write is later, of any id."""
        ahead = foreign("oslo.1", ms=clock() + 10**9)
        await hydrated(store, ahead)
        (other,), (same,) = await written(store, put("oslo.2")), await written(store, put("oslo.1"))
        assert ahead.stamp < other.stamp < same.stamp

    async def test_a_record_that_does_not_fit_its_hash_is_not_taken(self, store: NearerStore) -> None:
        """N11: nothing of the settlement happens."""
        token = await hydrated(store)
        good = foreign("oslo.1")
        bad = Record("Thing", foreign("oslo.2").content, good.hash)
        with pytest.raises(CorruptDataError):
            await settle(store, token, Take(good, ABSENT), Take(bad, ABSENT))
        assert await store.get(OSLO, "oslo.1") is None

    async def test_a_kept_row_has_the_farther_version_as_base(self, store: NearerStore) -> None:
        """N11: a clean one becomes dirty when touched."""
        token = await hydrated(store, foreign("oslo.1"), foreign("oslo.2"))
        (own,) = await written(store, put("oslo.2"))
        far = Digest(b"f" * 16)
        clean = Keep(key_of("oslo.1"), foreign("oslo.1").hash, far, base_deleted=False, touch=True)
        await settle(store, token, clean, Keep(key_of("oslo.2"), own.hash, far, base_deleted=True, touch=False))
        rows = (await store.near_rows(OSLO, [key_of("oslo.1"), key_of("oslo.2")], START)).rows
        assert [(row.dirty, row.base, row.base_deleted) for row in rows] == [(True, far, False), (True, far, True)]
        assert set(await dirty(store)) == {"oslo.1", "oslo.2"}

    async def test_an_offered_row_is_delivered_as_new(self, store: NearerStore) -> None:
        """N11: dirty and without base; its record is the same."""
        one = foreign("oslo.1")
        token = await hydrated(store, one)
        await settle(store, token, Offer(key_of("oslo.1"), one.hash))
        (row,) = (await store.near_rows(OSLO, [key_of("oslo.1")], START)).rows
        assert (row.record, row.dirty, row.base) == (one, True, b"")
        assert await changed(store) == ["oslo.1"]

    async def test_a_dropped_row_is_gone_without_a_trace(self, store: NearerStore) -> None:
        """N11: no tombstone, nothing to deliver."""
        one = foreign("oslo.1")
        token = await hydrated(store, one)
        await settle(store, token, Drop(key_of("oslo.1"), one.hash), horizon=DAY)
        roots = await roots_of(store)
        assert await store.get(OSLO, "oslo.1") is None
        assert (roots.live_count, roots.live, roots.tombstones, roots.horizon) == (0, bytes(16), {}, DAY)
        assert not store.has_pending()

    async def test_a_buried_row_is_a_fresh_tombstone_to_deliver(self, store: NearerStore) -> None:
        """N11: as if it had been deleted here and now."""
        one = foreign("oslo.1")
        token = await hydrated(store, one)
        await settle(store, token, Bury(key_of("oslo.1"), one.hash))
        found = await store.get(OSLO, "oslo.1")
        assert found is not None
        assert (found.deleted, found.version, found.birth) == (True, 2, one.birth)
        assert found.stamp > one.stamp
        assert await dirty(store) == ["oslo.1"]

    async def test_an_accepted_row_is_clean_and_a_changed_one_has_it_as_base(self, store: NearerStore) -> None:
        """N11: an acknowledgement names hashes."""
        token = await hydrated(store)
        sent = await written(store, put("oslo.1"), put("oslo.2"))
        (newer,) = await written(store, put("oslo.2", b"newer"))
        await settle(store, token, *(Accept(key_of(one.id), one.hash, deleted=False) for one in sent))
        (row,) = (await store.near_rows(OSLO, [key_of("oslo.2")], START)).rows
        assert await dirty(store) == ["oslo.2"]
        assert (row.record, row.base) == (newer, sent[1].hash)

    async def test_delivery_moves_over_a_prefix_and_remembers_what_lies_behind_a_gap(self, store: NearerStore) -> None:
        """N11: a row that was not accepted stays dirty, and those behind it need not be sent again."""
        token = await hydrated(store)
        records = [(await written(store, put(f"oslo.{number}")))[0] for number in range(4)]
        accepts = [Accept(key_of(one.id), one.hash, deleted=False) for one in records if one.id != "oslo.1"]
        await settle(store, token, *accepts)
        assert await dirty(store) == ["oslo.1"]
        await settle(store, token, Accept(key_of("oslo.1"), records[1].hash, deleted=False))
        assert await dirty(store) == []

    async def test_what_was_found_equal_is_delivered(self, store: NearerStore) -> None:
        """N11: all rows up to the position of the roots, but for those deferred; later ones stay dirty."""
        token = await hydrated(store)
        await store.write([put("oslo.1"), put("oslo.2")])
        at = (await roots_of(store)).position
        await store.write([put("oslo.3")])
        await settle(store, token, verified_at=at, keep_dirty=frozenset([key_of("oslo.2")]))
        deferred = await dirty(store)
        await settle(store, token, verified_at=at)
        assert (deferred, await dirty(store)) == (["oslo.2", "oslo.3"], ["oslo.3"])

    async def test_a_refused_step_leaves_the_others_alone(self, store: NearerStore) -> None:
        """N11: its row was not the one expected; its conflict is not logged."""
        one, two = foreign("oslo.1"), foreign("oslo.2")
        token = await hydrated(store, one, two)
        (own,) = await written(store, put("oslo.2"))
        entry = ConflictEntry("lww", "up", own, two, two.hash, 5)
        refused = await settle(
            store,
            token,
            Offer(key_of("oslo.1"), one.hash),
            Offer(key_of("oslo.2"), two.hash),
            Drop(key_of("oslo.3"), two.hash),
            conflicts=((key_of("oslo.2"), entry), (key_of("oslo.1"), entry)),
        )
        assert set(refused) == {key_of("oslo.2"), key_of("oslo.3")}
        assert set(await dirty(store)) == {"oslo.1", "oslo.2"}
        assert len(await store.conflict_log(0, 10)) == 1

    async def test_link_state_and_horizon_are_stored_with_the_rows(self, store: NearerStore) -> None:
        """N11: a horizon never sinks."""
        token = await hydrated(store)
        sent = ((key_of("oslo.1"), Digest(b"h" * 16), True),)
        state = LinkState(FAR, Position(b"seen" * 4), 7, sent, DAY, (FAR, b"key"))
        await settle(store, token, Take(foreign("oslo.1"), ABSENT), state=state, horizon=DAY)
        await settle(store, token, horizon=DAY - 1)
        view = await store.view(PARTITION)
        assert (view.states[OSLO], view.roots[OSLO].horizon) == (state, DAY)

    async def test_a_raised_floor_makes_positions_unknown(self, store: NearerStore) -> None:
        """N11, L18: those given out before, also that of the beginning."""
        token = await hydrated(store, foreign("oslo.1"))
        before = (await roots_of(store)).position
        await settle(store, token, raise_floor=True)
        after = (await roots_of(store)).position
        assert [await store.knows(OSLO, position) for position in (before, START, after)] == [False, False, True]

    async def test_marks_change_only_what_they_name(self, store: NearerStore) -> None:
        """N12: also of a partition without segments."""
        token = await attach(store)
        await store.mark_partition(PARTITION, PartitionMarks(generation=3), token)
        await store.mark_partition(PARTITION, PartitionMarks(presence="absent"), token)
        await store.mark_partition(PARTITION, PartitionMarks(gone_back=True), token)
        view = await store.view(PARTITION)
        assert (view.presence, view.generation, view.gone_back) == ("absent", 3, True)

    async def test_a_store_that_went_back_marks_everything(self, store: NearerStore) -> None:
        """N13: every partition, and positions of a new incarnation from the next commit on."""
        token = await hydrated(store, foreign("oslo.1"))
        await store.write([put("rome.1", segment=ROME)])
        before = (await roots_of(store)).position
        await store.mark_gone_back(token)
        await store.write([put("oslo.2")])
        after = (await roots_of(store)).position
        assert [(await store.view(name)).gone_back for name in (PARTITION, ROME.partition)] == [True, True]
        assert before[:8] != after[:8]
        assert await store.knows(OSLO, before)

    async def test_raising_the_floor_is_not_going_back(self, store: NearerStore) -> None:
        """N20: the store still knows that it was there; a position of another life it does not know."""
        token = await hydrated(store, foreign("oslo.1"))
        before = (await roots_of(store)).position
        await settle(store, token, raise_floor=True)
        assert not await store.knows(OSLO, before)
        assert await store.remembers(before)
        assert not await store.remembers(Position(b"in another life."))

    async def test_conflicts_are_numbered_and_listed(self, store: NearerStore) -> None:
        """N14: oldest first, behind a number, as they were entered."""
        one = foreign("oslo.1")
        token = await hydrated(store, one)
        entries = [
            ConflictEntry("lww", "up", one, foreign("oslo.1", b"late"), one.hash, 5),
            ConflictEntry("deleted-upstream", "up", None, one, ABSENT, 6),
        ]
        for entry in entries:
            await settle(store, token, conflicts=((key_of("oslo.1"), entry),))
        first, second = await store.conflict_log(0, 10)
        assert [first[1], second[1]] == entries
        assert first[0] < second[0]
        assert await store.conflict_log(first[0], 10) == [second]
        assert await store.conflict_log(0, 1) == [first]

    # --- write-through -------------------------------------------------------------------------------------------

    async def test_a_copy_enters_a_cache_that_holds_what_it_replaced(self, store: NearerStore) -> None:
        """N17: clean; otherwise the cache is behind, and the link brings the record."""
        old, new = foreign("oslo.1"), foreign("oslo.1", b"new", ms=START_MS + 1)
        await hydrated(store, old)
        entered = [
            await store.write_through(OSLO, [(foreign("oslo.2"), ABSENT), (foreign("oslo.3"), old.hash)]),
            await store.write_through(OSLO, [(new, old.hash)]),
        ]
        found = [await store.get(OSLO, f"oslo.{number}") for number in (1, 2, 3)]
        assert found == [new, foreign("oslo.2"), None]
        assert entered == [False, True]
        assert not store.has_pending()

    async def test_no_copy_enters_a_partition_that_is_not_present(self, store: NearerStore) -> None:
        """N17: it would look like all there is; an absent partition is so no more."""
        token = await attach(store)
        for presence in ("unknown", "absent"):
            await store.mark_partition(PARTITION, PartitionMarks(presence=presence), token)
            assert await store.write_through(OSLO, [(foreign("oslo.1"), ABSENT)])
            assert await store.presence(PARTITION) == "unknown"
        assert (await store.near_rows(OSLO, [key_of("oslo.1")], START)).rows == ()

    async def test_a_copy_does_not_replace_a_row_that_waits_for_delivery(self, store: NearerStore) -> None:
        """N17: that row is not what the save replaced."""
        old = foreign("oslo.1")
        await hydrated(store, old)
        (own,) = await written(store, put("oslo.1"))
        await store.write_through(OSLO, [(foreign("oslo.1", b"new", ms=START_MS + 1), old.hash)])
        assert await store.get(OSLO, "oslo.1") == own
        assert await dirty(store) == ["oslo.1"]

    # --- eviction and collection ---------------------------------------------------------------------------------

    async def test_eviction_lets_go_of_clean_rows(self, store: NearerStore) -> None:
        """L21: afterwards the partition is unknown; the generation to unregister is returned, link state stays."""
        await hydrated(store, foreign("oslo.1"), foreign("oslo.2", None))
        states = (await store.view(PARTITION)).states
        assert await store.evict(PARTITION) == 1
        view = await store.view(PARTITION)
        keys = [key_of("oslo.1"), key_of("oslo.2")]
        assert (view.presence, view.states, view.roots[OSLO].live_count) == ("unknown", states, 0)
        assert (view.roots[OSLO].live, view.roots[OSLO].tombstones) == (sum_bytes(0), {})
        assert (await store.near_rows(OSLO, keys, START)).rows == ()

    async def test_eviction_keeps_what_waits_for_delivery(self, store: NearerStore) -> None:
        """L21: the partition then stays registered."""
        await hydrated(store, foreign("oslo.1"), foreign("oslo.2"))
        await store.write([put("oslo.2")])
        assert await store.evict(PARTITION) is None
        assert await dirty(store) == ["oslo.2"]

    async def test_eviction_keeps_a_registration_with_an_unanswered_batch(self, store: NearerStore) -> None:
        """L21: its late answer would belong to nobody."""
        token = await hydrated(store, foreign("oslo.1"))
        sent = ((key_of("oslo.1"), foreign("oslo.1").hash, False),)
        await settle(store, token, state=LinkState(FAR, FAR, 1, sent))
        assert await store.evict(PARTITION) is None

    async def test_the_farthest_tier_evicts_nothing(self, store: NearerStore) -> None:
        """L21: there is nowhere to bring it back from."""
        await store.write([put("oslo.1")])
        with pytest.raises(ConfigError):
            await store.evict(PARTITION)
        assert await store.get(OSLO, "oslo.1") is not None

    async def test_a_tombstone_that_waits_for_delivery_is_not_collected(
        self, store: NearerStore, clock: FakeClock
    ) -> None:
        """L22: however old it is."""
        one = foreign("oslo.1")
        token = await hydrated(store, one)
        await settle(store, token, state=LinkState(FAR, FAR, far_horizon=DAY + 50))
        (gone,) = await written(store, remove("oslo.1"))
        clock.advance(days=20)
        waiting = await store.collect(PARTITION, min_ttl_s=86_400, peer_ttl_s=90 * 86_400)
        await settle(store, token, Accept(key_of("oslo.1"), gone.hash, deleted=True))
        delivered = await store.collect(PARTITION, min_ttl_s=86_400, peer_ttl_s=90 * 86_400)
        assert (waiting, delivered) == (0, 1)

    async def test_only_days_below_the_upstreams_horizon_are_collected(
        self, store: NearerStore, clock: FakeClock
    ) -> None:
        """L22: as of when it was verified last."""
        token = await hydrated(store, foreign("oslo.1", None))
        clock.advance(days=20)
        collected = []
        for horizon in (0, DAY, DAY + 1):
            await settle(store, token, state=LinkState(FAR, FAR, far_horizon=horizon))
            collected.append(await store.collect(PARTITION, min_ttl_s=86_400, peer_ttl_s=90 * 86_400))
        assert collected == [0, 0, 1]
