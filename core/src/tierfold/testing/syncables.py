"""What a store must answer to a nearer one: the clauses L of `tierfold.abc.syncable`.

L1, L20 and L21 speak of partitions that are not present, which only a store with an upstream has: see `nearers`.
"""

from __future__ import annotations

from abc import abstractmethod
from contextlib import AbstractAsyncContextManager
from pathlib import Path
from typing import Final

import pytest

from tierfold.abc.syncable import Applied, Peer, PeerSegment, Push, SegmentRoots, SyncableStore
from tierfold.digest import subtotal, sum_bytes
from tierfold.model import Digest, FeedToken, Position, Record, SegmentName, StoreId
from tierfold.specs import OpenContext
from tierfold.testing.fakes import START_MS, FakeClock, fake_context
from tierfold.testing.model import compare_with_memory
from tierfold.testing.samples import (
    OSLO,
    PARTITION,
    PEER,
    ROME,
    foreign,
    key_of,
    origin,
    push,
    put,
    register,
    remove,
)
from tierfold.testing.stores import EntityStoreSuite, written

__all__ = ["SyncableStoreSuite", "changed", "roots_of"]

LARGE: Final = 10_000_000
OTHER: Final = StoreId(b"another store   ")
MADE_UP: Final = Position(b"no such position")
DAY: Final = START_MS // 86_400_000


async def roots_of(store: SyncableStore, segment: SegmentName = OSLO) -> SegmentRoots:
    return (await store.roots(segment.partition)).segments[segment]


async def changed(
    store: SyncableStore, after: Position | None = None, *, echo: StoreId | None = None, segment: SegmentName = OSLO
) -> list[str]:
    """Ids of the changelog behind a position."""
    return [record.id for record in (await store.changes(segment, after, LARGE, echo)).records]


async def accepted(store: SyncableStore, batch: int, *pushes: Push, segment: SegmentName = OSLO) -> Applied:
    """Apply a batch of which all is accepted."""
    applied = await store.apply(segment, pushes, origin(batch))
    assert len(applied.accepted) == len(pushes)
    return applied


class SyncableStoreSuite(EntityStoreSuite, defines=True):
    """Tests of `SyncableStore`.

    Attributes:
        reopens: Content outlives closing.
    """

    reopens = False

    @abstractmethod
    def open_store(self, where: Path, context: OpenContext) -> AbstractAsyncContextManager[SyncableStore]: ...

    # --- identity and feed ---------------------------------------------------------------------------------------

    async def test_a_store_has_one_name_of_its_own(self, store: SyncableStore, tmp_path: Path) -> None:
        """L2: 16 bytes, the same whatever is written."""
        before = await store.identity()
        await store.write([put("oslo.1")])
        assert await store.identity() == before
        async with self.open_store(tmp_path / "other", fake_context(seed=1)) as other:
            assert len((await other.identity()).store) == len(before.store) == 16
            assert (await other.identity()).store != before.store

    async def test_the_feed_names_segments_that_changed(self, store: SyncableStore) -> None:
        """L3: each once; all of them from the beginning."""
        begin = await store.feed(None)
        await store.write([put("oslo.1"), put("rome.1", segment=ROME)])
        first = await store.feed(begin.token)
        await store.write([put("oslo.2")])
        await store.write([remove("oslo.1")])
        second = await store.feed(first.token)
        third = await store.feed(second.token)
        assert [sorted(feed.segments) for feed in (begin, first, second, third)] == [[], [OSLO, ROME], [OSLO], []]
        assert sorted((await store.feed(None)).segments) == [OSLO, ROME]

    async def test_a_token_of_another_life_is_the_beginning(self, store: SyncableStore, tmp_path: Path) -> None:
        """L3: it could hide changes otherwise."""
        await store.write([put("oslo.1")])
        async with self.open_store(tmp_path / "other", fake_context(seed=1)) as other:
            await other.write([put("oslo.1"), put("oslo.2"), put("oslo.3")])
            token = (await other.feed(None)).token
        assert list((await store.feed(token)).segments) == [OSLO]
        assert list((await store.feed(FeedToken(b"nonsense"))).segments) == [OSLO]

    # --- roots ---------------------------------------------------------------------------------------------------

    async def test_the_scope_root_sums_what_a_peer_is_registered_for(self, store: SyncableStore) -> None:
        """L4: and nothing else; it says at which feed token."""
        (oslo,) = await written(store, put("oslo.1"))
        await store.write([put("rome.1", segment=ROME)])
        nothing = await store.scope_root(PEER)
        await register(store)
        one = await store.scope_root(PEER)
        await store.write([put("rome.2", segment=ROME)])
        still = await store.scope_root(PEER)
        await register(store, partition=ROME.partition)
        both = await store.scope_root(PEER)
        assert (nothing.root, one.root, still.root) == (bytes(16), oslo.hash, oslo.hash)
        assert both.root != one.root
        assert (await store.feed(one.token)).segments == (ROME,)

    async def test_equal_content_has_equal_roots(self, store: SyncableStore, tmp_path: Path) -> None:
        """L4, L5: however it came about, and only then."""
        records = [foreign(f"oslo.{number}", ms=START_MS - number) for number in range(100)]
        gone = foreign("oslo.gone", None)
        async with self.open_store(tmp_path / "other", fake_context(seed=1)) as other:
            for each in (store, other):
                await register(each)
            await accepted(store, 1, *map(push, [*records, gone]))
            await accepted(other, 1, push(foreign("oslo.7", b"older", ms=1)), *map(push, reversed(records[8:])))
            older = next(iter((await other.rows(OSLO, [key_of("oslo.7")])).records.values()))
            await accepted(other, 2, push(gone), push(records[7], older.hash), *map(push, records[:7]))
            mine, theirs = await roots_of(store), await roots_of(other)
            scopes = (await store.scope_root(PEER)).root, (await other.scope_root(PEER)).root
            assert (mine.live, mine.live_count, mine.tombstones) == (theirs.live, theirs.live_count, theirs.tombstones)
            assert scopes[0] == scopes[1]
            await accepted(other, 3, push(foreign("oslo.x")))
            assert (await roots_of(other)).live != mine.live
            assert (await other.scope_root(PEER)).root != scopes[0]

    async def test_roots_are_sums_of_record_hashes(self, store: SyncableStore, clock: FakeClock) -> None:
        """L5: of live records, and of tombstones by UTC day of stamp."""
        await store.write([put(f"oslo.{number}", b"%d" % number) for number in range(100)])
        (today,) = await written(store, remove("oslo.1"))
        clock.advance(days=1)
        tomorrow = await written(store, remove("oslo.2"), remove("oslo.3"))
        roots = await roots_of(store)
        live = await store.scan(OSLO, None, 1000)
        assert (roots.live_count, roots.live) == (97, sum_bytes(subtotal(record.hash for record in live)))
        assert roots.tombstones == {
            DAY: today.hash,
            DAY + 1: sum_bytes(subtotal(record.hash for record in tomorrow)),
        }

    async def test_roots_have_the_position_and_horizon_of_their_segment(self, store: SyncableStore) -> None:
        """L1, L5: the position moves with every change of the segment, and with no other."""
        await store.write([put("oslo.1"), put("rome.1", segment=ROME)])
        before = await roots_of(store)
        await store.write([put("rome.2", segment=ROME)])
        same = await roots_of(store)
        await store.write([put("oslo.2")])
        after = await roots_of(store)
        assert same == before
        assert after.position != before.position
        assert (await store.changes(OSLO, before.position, LARGE, None)).position == after.position
        assert after.horizon == 0

    async def test_an_empty_partition_has_no_roots(self, store: SyncableStore) -> None:
        """L5: and that is an answer, not an error."""
        assert (await store.roots(PARTITION)).segments == {}

    # --- rows ----------------------------------------------------------------------------------------------------

    async def test_changes_are_one_per_record_in_commit_order(self, store: SyncableStore) -> None:
        """L6: tombstones included; behind a position only what came later."""
        await store.write([put("oslo.1")])
        await store.write([put("oslo.2")])
        middle = (await store.changes(OSLO, None, LARGE, None)).position
        await store.write([put("oslo.1", b"again")])
        await store.write([remove("oslo.2")])
        await store.write([put("oslo.3")])
        assert await changed(store) == ["oslo.1", "oslo.2", "oslo.3"]
        assert await changed(store, middle) == ["oslo.1", "oslo.2", "oslo.3"]
        last = (await store.changes(OSLO, middle, LARGE, None)).position
        assert await changed(store, last) == []
        await store.write([put("oslo.2")])
        assert await changed(store, last) == ["oslo.2"]

    async def test_changes_come_in_pages_that_lose_nothing(self, store: SyncableStore) -> None:
        """L6: at least one row a page; what is written meanwhile comes at the end."""
        names = [f"oslo.{number}" for number in range(20)]
        await store.write([put(name, b"x" * 100) for name in names])
        found: list[str] = []
        position, more = None, True
        while more:
            page = await store.changes(OSLO, position, 500, None)
            found += [record.id for record in page.records]
            position, more = page.position, page.more
            assert page.records
            if len(found) < 10:
                await store.write([put(names[0], b"again")])
        assert set(found) == set(names)
        assert found[-1] == names[0]

    async def test_what_a_peer_sent_is_not_sent_back(self, store: SyncableStore) -> None:
        """L6: unless it was changed since; the position covers what was left out."""
        await register(store)
        await register(store, peer=OTHER)
        one, two = foreign("oslo.1"), foreign("oslo.2")
        await accepted(store, 1, push(one), push(two))
        await store.apply(OSLO, [push(foreign("oslo.3"))], origin(1, peer=OTHER))
        await store.write([put("oslo.4"), put("oslo.2", b"here")])
        assert set(await changed(store, echo=PEER)) == {"oslo.2", "oslo.3", "oslo.4"}
        assert set(await changed(store, echo=OTHER)) == {"oslo.1", "oslo.2", "oslo.4"}
        filtered = await store.changes(OSLO, None, LARGE, PEER)
        assert filtered.position == (await store.changes(OSLO, None, LARGE, None)).position

    async def test_a_snapshot_gives_every_row_once_in_key_order(self, store: SyncableStore) -> None:
        """L7: tombstones included, in pages that resume behind a key."""
        await store.write([put(f"oslo.{number}", b"x" * 100) for number in range(30)])
        await store.write([remove("oslo.7")])
        found: list[Record] = []
        after, more = b"", True
        while more:
            page = await store.snapshot_page(OSLO, after, 500)
            found += page.records
            after, more = page.after, page.more
            assert page.position == (await roots_of(store)).position
        keys = [key_of(record.id) for record in found]
        assert keys == sorted(set(keys))
        assert len(keys) == 30
        assert [record.id for record in found if record.deleted] == ["oslo.7"]

    async def test_a_snapshot_of_nothing_is_empty(self, store: SyncableStore) -> None:
        """L7: a segment that was never written to."""
        page = await store.snapshot_page(OSLO, b"", LARGE)
        assert (page.records, page.more) == ((), False)

    async def test_leaves_lead_to_the_record_that_differs(self, store: SyncableStore, tmp_path: Path) -> None:
        """L8: 16 sums of 8 bytes below each prefix, and how many live records; a difference shows in one of them."""
        records = [foreign(f"oslo.{number}", ms=START_MS - number) for number in range(300)]
        odd = foreign("oslo.7", b"odd", ms=START_MS + 1)
        async with self.open_store(tmp_path / "other", fake_context(seed=1)) as other:
            for each in (store, other):
                await register(each)
                await accepted(each, 1, *map(push, records))
            await accepted(other, 2, push(odd, records[7].hash))
            prefix = ""
            for _ in range(4):
                mine, theirs = await store.leaves(OSLO, [prefix]), await other.leaves(OSLO, [prefix])
                below = [record for record in records if key_of(record.id).hex().startswith(prefix)]
                pairs = zip(mine.children[prefix], theirs.children[prefix], strict=True)
                differing = [f"{digit:x}" for digit, (one, two) in enumerate(pairs) if one != two]
                assert mine.counts[prefix] == theirs.counts[prefix] == len(below)
                assert {len(child) for child in mine.children[prefix]} == {8}
                prefix += "".join(differing)
            assert prefix == key_of("oslo.7").hex()[:4]

    async def test_leaves_of_nothing_are_zero(self, store: SyncableStore) -> None:
        """L8: for a segment that was never written to, and a range without records."""
        empty = await store.leaves(OSLO, ["", "a"])
        await store.write([put("oslo.1")])
        bare = next(digit for digit in "0123456789abcdef" if key_of("oslo.1").hex()[0] != digit)
        rest = await store.leaves(OSLO, [bare])
        for leaves, prefix in ((empty, ""), (empty, "a"), (rest, bare)):
            assert leaves.children[prefix] == (bytes(8),) * 16
            assert leaves.counts[prefix] == 0

    async def test_heads_list_keys_and_hashes(self, store: SyncableStore, clock: FakeClock) -> None:
        """L9: of live records below the prefixes, and of tombstones of the days; hashes cut to 8 bytes."""
        await store.write([put(f"oslo.{number}") for number in range(50)])
        (today,) = await written(store, remove("oslo.1"))
        clock.advance(days=1)
        await store.write([remove("oslo.2")])
        live = await store.scan(OSLO, None, 100)
        below = {(key_of(r.id), r.hash[:8]) for r in live if key_of(r.id).hex()[0] in "3c"}
        heads = await store.heads(OSLO, ["3", "c"], [DAY])
        assert set(heads.heads) == {*below, (key_of("oslo.1"), today.hash[:8])}
        assert len(heads.heads) == len(set(heads.heads))
        assert heads.horizon == 0
        assert (await store.heads(ROME, [""], [DAY])).heads == ()

    async def test_rows_are_found_by_record_key(self, store: SyncableStore) -> None:
        """L10: tombstones included, missing ones left out, with the position."""
        one, _ = await written(store, put("oslo.1"), put("oslo.2"))
        (gone,) = await written(store, remove("oslo.2"))
        rows = await store.rows(OSLO, [key_of("oslo.3"), key_of("oslo.2"), key_of("oslo.1")])
        assert rows.records == {key_of("oslo.1"): one, key_of("oslo.2"): gone}
        assert rows.position == (await roots_of(store)).position
        assert (await store.rows(ROME, [key_of("oslo.1")])).records == {}

    # --- batches of a nearer store -------------------------------------------------------------------------------

    async def test_each_row_of_a_batch_is_compared_and_set(self, store: SyncableStore) -> None:
        """L11: accepted, or refused with the record that is there; the others are not held up."""
        await register(store)
        (here,) = await written(store, put("oslo.1", b"here"))
        new, clash = foreign("oslo.2", b"new"), foreign("oslo.1", b"clash")
        lost = foreign("oslo.3", b"lost")
        applied = await store.apply(OSLO, [push(clash), push(new), push(lost, Digest(b"0" * 16))], origin(1))
        assert applied.accepted == (key_of("oslo.2"),)
        assert applied.refused == {key_of("oslo.1"): here, key_of("oslo.3"): None}
        assert applied.position == (await roots_of(store)).position
        assert await store.get(OSLO, "oslo.2") == new
        assert await store.get(OSLO, "oslo.1") == here
        await accepted(store, 2, push(clash, here.hash))
        assert await store.get(OSLO, "oslo.1") == clash

    async def test_the_batch_number_and_its_keys_are_remembered(self, store: SyncableStore) -> None:
        """L11: with the rows, so that a lost answer can be asked for; `register` tells."""
        told = await register(store)
        await store.apply(OSLO, [push(foreign("oslo.1")), push(foreign("oslo.2"), Digest(b"0" * 16))], origin(4))
        asks = PeerSegment(None, None, Position(bytes(16)), 4)
        answer = (await register(store, segments={OSLO: asks})).segments[OSLO]
        assert told.segments == {}
        assert (answer.batch, answer.accepted) == (4, (key_of("oslo.1"),))

    async def test_an_expected_tombstone_may_have_been_collected(self, store: SyncableStore) -> None:
        """L11: ``or_absent`` matches that tombstone and nothing alike, but no other record."""
        await register(store)
        await store.write([put("oslo.1")])
        (gone,) = await written(store, remove("oslo.1"))
        await store.write([put("oslo.2")])
        for number, (id, matches) in enumerate([("oslo.1", True), ("oslo.3", True), ("oslo.2", False)], start=1):
            applied = await store.apply(OSLO, [push(foreign(id, b"x"), gone.hash, or_absent=True)], origin(number))
            assert (key_of(id) in applied.accepted) is matches

    async def test_an_equal_record_is_accepted_and_nothing_is_written(self, store: SyncableStore) -> None:
        """L12: whatever was expected to be there."""
        await register(store)
        record = foreign("oslo.1")
        await accepted(store, 1, push(record))
        before, token = await roots_of(store), (await store.feed(None)).token
        await accepted(store, 2, push(record, Digest(b"0" * 16)))
        assert await roots_of(store) == before
        assert (await store.feed(token)).segments == ()

    async def test_a_batch_number_is_applied_once(self, store: SyncableStore) -> None:
        """L13: one that is not above the last is refused whole."""
        await register(store)
        await accepted(store, 2, push(foreign("oslo.1")))
        for number in (2, 1, 0):
            late = await store.apply(OSLO, [push(foreign("oslo.2"))], origin(number))
            assert (late.closed, late.accepted) == (True, ())
        assert await store.get(OSLO, "oslo.2") is None

    async def test_batch_numbers_are_per_segment(self, store: SyncableStore) -> None:
        """L13: those of one say nothing of another."""
        await register(store)
        await register(store, partition=ROME.partition)
        await accepted(store, 5, push(foreign("oslo.1")))
        await accepted(store, 1, push(foreign("rome.1")), segment=ROME)

    async def test_opening_a_run_closes_batches_that_are_under_way(self, store: SyncableStore) -> None:
        """L13, L15: up to the number named; also where no row of the segment exists yet."""
        asks = PeerSegment(None, None, Position(bytes(16)), 3)
        await register(store, segments={OSLO: asks})
        late = await store.apply(OSLO, [push(foreign("oslo.1"))], origin(3))
        assert late.closed
        assert (await register(store, segments={OSLO: asks})).segments[OSLO].accepted is None
        await accepted(store, 4, push(foreign("oslo.1")))

    async def test_a_batch_of_nobody_registered_is_refused(self, store: SyncableStore) -> None:
        """L13: an unknown peer, and another generation than the registered one."""
        unknown = await store.apply(OSLO, [push(foreign("oslo.1"))], origin(1))
        await register(store, generation=2)
        older = await store.apply(OSLO, [push(foreign("oslo.1"))], origin(1, generation=1))
        assert (unknown.closed, older.closed) == (True, True)
        assert await store.get(OSLO, "oslo.1") is None

    async def test_a_hash_that_does_not_fit_is_refused_for_ever(self, store: SyncableStore) -> None:
        """L14: hashes are recomputed; the rest of the batch goes on."""
        await register(store)
        good = foreign("oslo.1")
        bad = Record("Thing", foreign("oslo.2").content, good.hash)
        wrong_type = foreign("oslo.3", type="Other")
        applied = await store.apply(OSLO, [push(good), push(bad), push(wrong_type)], origin(1))
        assert applied.accepted == (key_of("oslo.1"),)
        assert applied.bad.keys() == {key_of("oslo.2"), key_of("oslo.3", "Other")}

    async def test_a_damaged_row_is_named_and_the_rest_is_given(self, store: SyncableStore) -> None:
        """L23: in changes, snapshots and rows; a batch that meets it is stored but for this row."""
        await register(store)
        damaged, sound = await written(store, put("oslo.1", b"one"), put("oslo.2", b"two"))
        await self.damage(store, damaged)
        key = key_of("oslo.1")
        changes = await store.changes(OSLO, None, LARGE, None)
        page = await store.snapshot_page(OSLO, b"", LARGE)
        rows = await store.rows(OSLO, [key, key_of("oslo.2"), key_of("oslo.3")])
        assert (changes.records, changes.damaged) == ((sound,), (key,))
        assert (page.records, page.damaged) == ((sound,), (key,))
        assert (dict(rows.records), rows.damaged) == ({key_of("oslo.2"): sound}, (key,))
        new = foreign("oslo.3")
        applied = await store.apply(OSLO, [push(foreign("oslo.1"), damaged.hash), push(new)], origin(1))
        assert (applied.accepted, list(applied.bad)) == ((key_of("oslo.3"),), [key])

    async def test_a_stamp_too_far_ahead_is_deferred(self, store: SyncableStore, clock: FakeClock) -> None:
        """L11: more than 60 s ahead of the clock, with the time until when and the current record."""
        await register(store)
        (here,) = await written(store, put("oslo.1"))
        ahead = foreign("oslo.1", b"ahead", ms=clock() + 60_001)
        new = foreign("oslo.2", b"ahead", ms=clock() + 60_001)
        near = foreign("oslo.3", ms=clock() + 60_000)
        applied = await store.apply(OSLO, [push(ahead, here.hash), push(new), push(near)], origin(1))
        assert applied.deferred == {key_of("oslo.1"): (clock() + 1, here), key_of("oslo.2"): (clock() + 1, None)}
        assert applied.accepted == (key_of("oslo.3"),)
        clock.advance(ms=1)
        await accepted(store, 2, push(ahead, here.hash), push(new))

    async def test_a_store_that_ran_ahead_itself_takes_what_is_near_its_own_stamps(
        self, store: SyncableStore, clock: FakeClock
    ) -> None:
        """L11: else nobody could edit its records for as long as it ran ahead."""
        await register(store)
        clock.advance(days=1)
        (here,) = await written(store, put("oslo.1"))
        clock.advance(days=-1)
        await accepted(store, 1, push(foreign("oslo.1", ms=clock() + 86_400_000 + 60_000), here.hash))

    async def test_stamps_of_a_peer_move_the_clock(self, store: SyncableStore, clock: FakeClock) -> None:
        """S6, L11: a later local write is later than what was accepted, whichever id it writes."""
        await register(store)
        record = foreign("oslo.1", ms=clock() + 50_000)
        await accepted(store, 1, push(record))
        (other,), (same,) = await written(store, put("oslo.2")), await written(store, put("oslo.1"))
        assert record.stamp < other.stamp < same.stamp

    # --- registrations -------------------------------------------------------------------------------------------

    async def test_a_registration_answers_with_every_segment_either_side_knows(self, store: SyncableStore) -> None:
        """L15: with roots of before; what the peer named and the store does not have is empty."""
        await store.write([put("oslo.1")])
        extra = SegmentName("Other", PARTITION)
        asks = PeerSegment(None, None, Position(bytes(16)), 0)
        answer = (await register(store, segments={extra: asks})).segments
        assert set(answer) == {OSLO, extra}
        assert answer[OSLO].roots == await roots_of(store)
        assert (answer[extra].roots.live_count, answer[extra].batch, answer[extra].accepted) == (0, 0, None)

    async def test_a_registration_says_whether_history_is_known(self, store: SyncableStore) -> None:
        """L15, L18: both positions that the peer names must be."""
        await store.write([put("oslo.1")])
        position = (await roots_of(store)).position
        known = []
        for pulled, seen in ((position, position), (position, MADE_UP), (MADE_UP, position), (position, None)):
            asks = PeerSegment(pulled, seen, Position(bytes(16)), 0)
            known.append((await register(store, segments={OSLO: asks})).segments[OSLO].known)
        assert known == [True, False, False, True]

    async def test_a_registration_tells_the_newest_position_the_peer_ever_told(self, store: SyncableStore) -> None:
        """L15: whether it came with a batch or with an acknowledgement."""
        await register(store)
        asks = PeerSegment(None, None, Position(bytes(16)), 0)
        sent = Position(b"sent" * 4)
        applied = await store.apply(OSLO, [push(foreign("oslo.1"))], origin(1))
        first = (await register(store, segments={OSLO: asks})).segments[OSLO].remembered
        await store.acknowledge(PEER, 1, OSLO, applied.position, sent)
        second = (await register(store, segments={OSLO: asks})).segments[OSLO].remembered
        assert (first, second) == (origin(1).position, sent)

    async def test_unregistering_another_generation_changes_nothing(self, store: SyncableStore) -> None:
        """L16: only the generation named is forgotten."""
        await register(store, generation=2)
        await store.unregister(PEER, PARTITION, 1)
        assert [peer.generation for peer in await store.peers()] == [2]
        await store.unregister(PEER, PARTITION, 2)
        assert await store.peers() == []
        await store.unregister(PEER, PARTITION, 2)

    async def test_batches_are_remembered_beyond_unregistering(self, store: SyncableStore) -> None:
        """L16: a late one must not get in by a new registration."""
        await register(store)
        await accepted(store, 3, push(foreign("oslo.1")))
        await store.unregister(PEER, PARTITION, 1)
        asks = PeerSegment(None, None, Position(bytes(16)), 3)
        answer = (await register(store, generation=2, segments={OSLO: asks})).segments[OSLO]
        assert (answer.batch, answer.accepted, answer.remembered) == (3, (key_of("oslo.1"),), origin(3).position)
        late = await store.apply(OSLO, [push(foreign("oslo.2"))], origin(3, generation=2))
        assert late.closed

    async def test_acknowledgements_are_listed_with_their_registration(self, store: SyncableStore) -> None:
        """L17, L19: per segment; another generation's and unknown positions are ignored."""
        await store.write([put("oslo.1")])
        await register(store)
        position = (await roots_of(store)).position
        own = Position(b"own position    ")
        await store.acknowledge(PEER, 2, OSLO, position, own)
        await store.acknowledge(PEER, 1, OSLO, MADE_UP, own)
        before = (await store.peers())[0].acknowledged
        await store.acknowledge(PEER, 1, OSLO, position, own)
        assert (before, (await store.peers())[0].acknowledged) == ({}, {OSLO: position})

    async def test_a_new_registration_starts_without_acknowledgement(self, store: SyncableStore) -> None:
        """L15, L17: what an earlier generation had seen counts no more."""
        await store.write([put("oslo.1")])
        await register(store)
        await store.acknowledge(PEER, 1, OSLO, (await roots_of(store)).position, Position(bytes(16)))
        await register(store, generation=2)
        assert [(peer.generation, peer.acknowledged) for peer in await store.peers()] == [(2, {})]

    async def test_a_late_acknowledgement_of_an_earlier_registration_is_ignored(self, store: SyncableStore) -> None:
        """L15, L17: what the peer acknowledged since, and the newest position it told, stay."""
        await store.write([put("oslo.1")])
        await register(store, generation=2)
        position = (await roots_of(store)).position
        await store.acknowledge(PEER, 2, OSLO, position, Position(b"newer position  "))
        await store.acknowledge(PEER, 1, OSLO, position, Position(b"older position  "))
        asks = PeerSegment(None, None, Position(bytes(16)), 0)
        answer = await register(store, generation=2, segments={OSLO: asks})
        assert answer.segments[OSLO].remembered == b"newer position  "
        assert [peer.acknowledged for peer in await store.peers()] == [{OSLO: position}]

    async def test_an_acknowledgement_counts_for_no_later_registration(self, store: SyncableStore) -> None:
        """L15, L17: not even one that names it before it was made."""
        await store.write([put("oslo.1")])
        await register(store)
        await store.acknowledge(PEER, 2, OSLO, (await roots_of(store)).position, Position(bytes(16)))
        await register(store, generation=2)
        assert [(peer.generation, peer.acknowledged) for peer in await store.peers()] == [(2, {})]

    async def test_positions_are_known_while_their_history_is(self, store: SyncableStore) -> None:
        """L18: every position that was given out; no made-up one."""
        given = []
        for _ in range(3):
            await store.write([put("oslo.1")])
            given.append((await roots_of(store)).position)
        assert [await store.knows(OSLO, position) for position in given] == [True] * 3
        assert not await store.knows(OSLO, MADE_UP)
        assert not await store.knows(OSLO, Position(b""))

    async def test_every_registration_is_listed(self, store: SyncableStore, clock: FakeClock) -> None:
        """L19: with generation, lease and the time of the last request."""
        await register(store)
        clock.advance(s=5)
        await register(store, partition=ROME.partition, generation=7, lease_s=60)
        peers = sorted(await store.peers(), key=lambda peer: peer.partition)
        assert peers == [
            Peer(PEER, PARTITION, 1, clock() - 5000, None, {}),
            Peer(PEER, ROME.partition, 7, clock(), 60, {}),
        ]

    async def test_the_farthest_tier_holds_every_partition(self, store: SyncableStore) -> None:
        """L20: also one that nobody has written yet."""
        assert await store.presence("app.nowhere") == "present"

    # --- collection ----------------------------------------------------------------------------------------------

    async def test_old_tombstones_are_collected_by_whole_days(self, store: SyncableStore, clock: FakeClock) -> None:
        """L22: those older than ``min_ttl_s``; the horizon rises above them."""
        await store.write([put("oslo.1"), put("oslo.2"), put("oslo.3")])
        await store.write([remove("oslo.1"), remove("oslo.2")])
        clock.advance(days=2)
        await store.write([remove("oslo.3")])
        early = await store.collect(PARTITION, min_ttl_s=10 * 86_400, peer_ttl_s=90 * 86_400)
        removed = await store.collect(PARTITION, min_ttl_s=86_400, peer_ttl_s=90 * 86_400)
        roots = await roots_of(store)
        assert (early, removed, roots.horizon, list(roots.tombstones)) == (0, 2, DAY + 1, [DAY + 2])
        assert [await store.get(OSLO, f"oslo.{number}") is None for number in (1, 2, 3)] == [True, True, False]

    async def test_tombstones_wait_for_every_registered_peer(self, store: SyncableStore, clock: FakeClock) -> None:
        """L22: until it has acknowledged them, or was silent for ``peer_ttl_s``."""
        await store.write([put("oslo.1"), put("oslo.2")])
        await register(store)
        await store.write([remove("oslo.1")])
        clock.advance(days=10)
        collect = {"min_ttl_s": 86_400, "peer_ttl_s": 20 * 86_400}
        waiting = await store.collect(PARTITION, **collect)
        await store.acknowledge(PEER, 1, OSLO, (await roots_of(store)).position, Position(bytes(16)))
        acknowledged = await store.collect(PARTITION, **collect)
        await store.write([remove("oslo.2")])
        clock.advance(days=10)
        again = await store.collect(PARTITION, **collect)
        clock.advance(days=10)
        silent = await store.collect(PARTITION, **collect)
        assert (waiting, acknowledged, again, silent) == (0, 1, 0, 1)

    async def test_a_volatile_peer_is_waited_for_as_long_as_its_lease(
        self, store: SyncableStore, clock: FakeClock
    ) -> None:
        """L22: not for ``peer_ttl_s``."""
        await store.write([put("oslo.1")])
        await register(store, lease_s=3600)
        await store.write([remove("oslo.1")])
        clock.advance(days=2)
        assert await store.collect(PARTITION, min_ttl_s=86_400, peer_ttl_s=90 * 86_400) == 1

    async def test_an_expired_peer_starts_again_without_acknowledgement(
        self, store: SyncableStore, clock: FakeClock
    ) -> None:
        """L15, L22: its registration is still listed, and counts again once renewed."""
        await store.write([put("oslo.1")])
        await register(store)
        await store.acknowledge(PEER, 1, OSLO, (await roots_of(store)).position, Position(bytes(16)))
        clock.advance(days=100)
        await store.collect(PARTITION, min_ttl_s=86_400, peer_ttl_s=90 * 86_400)
        assert len(await store.peers()) == 1
        await register(store)
        assert [peer.acknowledged for peer in await store.peers()] == [{}]

    async def test_a_collected_tombstone_counts_as_nothing(self, store: SyncableStore, clock: FakeClock) -> None:
        """L7, L10, L22: and a record of that id can be created by a peer again."""
        await register(store)
        await store.write([put("oslo.1")])
        await store.write([remove("oslo.1")])
        await store.acknowledge(PEER, 1, OSLO, (await roots_of(store)).position, Position(bytes(16)))
        clock.advance(days=9)
        await store.collect(PARTITION, min_ttl_s=86_400, peer_ttl_s=90 * 86_400)
        roots = await roots_of(store)
        assert (roots.tombstones, roots.horizon) == ({}, DAY + 1)
        assert (await store.snapshot_page(OSLO, b"", LARGE)).records == ()
        assert (await store.rows(OSLO, [key_of("oslo.1")])).records == {}
        await accepted(store, 1, push(foreign("oslo.1")))

    async def test_an_old_tombstone_that_arrives_late_counts_as_nothing_but_in_the_changelog(
        self, store: SyncableStore, clock: FakeClock
    ) -> None:
        """L5, L6, L9, L10: below the horizon it is no difference, and still news to who holds the record."""
        await store.write([put("oslo.1")])
        await store.write([remove("oslo.1")])
        clock.advance(days=9)
        await store.collect(PARTITION, min_ttl_s=86_400, peer_ttl_s=90 * 86_400)
        await register(store)
        before = await roots_of(store)
        await accepted(store, 1, push(foreign("oslo.2", None)))
        after = await roots_of(store)
        assert (after.tombstones, after.live) == (before.tombstones, before.live)
        assert (await store.heads(OSLO, [""], [DAY])).heads == ()
        assert (await store.rows(OSLO, [key_of("oslo.2")])).records == {}
        assert await changed(store, before.position) == ["oslo.2"]

    # --- together ------------------------------------------------------------------------------------------------

    async def test_a_record_in_a_batch_is_not_altered(self, store: SyncableStore) -> None:
        """S2, L11: what a peer sent is kept byte for byte, with its stamp, birth and version."""
        await register(store)
        record = foreign("oslo.1", b"\x81\xa1a\x01", ms=START_MS - 5, version=42)
        await accepted(store, 1, push(record))
        assert await store.get(OSLO, "oslo.1") == record

    @pytest.mark.hypothesis
    def test_any_history_leaves_what_the_memory_store_would_hold(self, tmp_path: Path, anyio_backend_name: str) -> None:
        """S1-S7, L3, L5, L6, L11, L13: random writes and batches, compared after each step."""

        def open_store(number: int, context: OpenContext) -> AbstractAsyncContextManager[SyncableStore]:
            return self.open_store(tmp_path / str(number), context)

        compare_with_memory(open_store, anyio_backend_name, reopens=self.reopens)
