"""What a store must do for a repository, and what a local one must do beyond: the clauses of `tierfold.abc.store`."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import AsyncIterator, Callable, Coroutine, Sequence
from contextlib import AbstractAsyncContextManager
from pathlib import Path
from threading import get_ident
from typing import Any, Final, cast

import anyio
import pytest
from anyio.lowlevel import checkpoint
from anyio.to_thread import run_sync

from tierfold.abc.store import EntityStore, LocalStore, RecordChange
from tierfold.errors import (
    AlreadyExistsError,
    BlockingCallError,
    CorruptDataError,
    PayloadTooLargeError,
    StaleWriteError,
    StoreClosedError,
)
from tierfold.model import ABSENT, Change, Commit, Digest, Record, Write
from tierfold.specs import OpenContext
from tierfold.testing.fakes import FakeClock, fake_context
from tierfold.testing.samples import OSLO, ROME, put, remove
from tierfold.testing.suite import Suite

__all__ = ["EntityStoreSuite", "LocalStoreSuite", "written"]

NONSENSE: Final = Digest(b"no record's hash")
MANY: Final = 50


async def written(store: EntityStore, *writes: Write) -> list[Record]:
    """Store a batch in which every write stores something."""
    commit = await store.write(writes)
    return [cast(Record, one.record) for one in commit.written]


async def ids(store: EntityStore, limit: int = 1000) -> list[str]:
    return [record.id for record in await store.scan(OSLO, None, limit)]


class EntityStoreSuite(Suite, ABC, defines=True):
    """Tests of `EntityStore`, on asyncio and trio. A store for one of them overrides the fixture `anyio_backend`."""

    pytestmark: pytest.MarkDecorator = pytest.mark.anyio

    @abstractmethod
    def open_store(self, where: Path, context: OpenContext) -> AbstractAsyncContextManager[EntityStore]:
        """A store without upstream. What it keeps on disk is in the directory ``where``, which may not exist yet."""

    @abstractmethod
    async def damage(self, store: EntityStore, record: Record) -> None:
        """Change one bit of what is kept of a record, behind the store's back."""

    @pytest.fixture
    def clock(self) -> FakeClock:
        return FakeClock()

    @pytest.fixture
    def context(self, clock: FakeClock) -> OpenContext:
        return fake_context(clock)

    @pytest.fixture
    async def store(self, tmp_path: Path, context: OpenContext) -> AsyncIterator[EntityStore]:
        async with self.open_store(tmp_path / "store", context) as store:
            yield store

    # --- reading -------------------------------------------------------------------------------------------------

    async def test_a_record_is_found_by_its_id(self, store: EntityStore) -> None:
        """S1: the record as it was stored; None when there is none."""
        (record,) = await written(store, put("oslo.1", b"one"))
        assert await store.get(OSLO, "oslo.1") == record
        assert (record.id, record.payload, record.type) == ("oslo.1", b"one", "Thing")
        assert await store.get(OSLO, "oslo.2") is None
        assert await store.get(ROME, "oslo.1") is None

    @pytest.mark.parametrize("payload", [b"", b"\x00", bytes(range(256)), b"x" * 1_000_000], ids=len)
    async def test_a_payload_comes_back_byte_for_byte(self, store: EntityStore, payload: bytes) -> None:
        """S1: whatever the bytes are."""
        await store.write([put("oslo.1", payload)])
        found = await store.get(OSLO, "oslo.1")
        assert found is not None
        assert found.payload == payload

    async def test_ids_of_every_allowed_length_are_told_apart(self, store: EntityStore) -> None:
        """S1: also those that share a long beginning."""
        names = ["a.b", "a.b-", f"{'k' * 255}.{'s' * 64}", f"{'k' * 255}.{'s' * 63}t", f"{'k' * 254}.{'s' * 64}"]
        await store.write([put(name, name.encode()) for name in names])
        found = [await store.get(OSLO, name) for name in names]
        assert [record and record.payload for record in found] == [name.encode() for name in names]

    async def test_a_deleted_record_is_found_as_a_tombstone(self, store: EntityStore) -> None:
        """S1: a record without payload, with a stamp of its own."""
        (old,) = await written(store, put("oslo.1", b"one"))
        await store.write([remove("oslo.1")])
        found = await store.get(OSLO, "oslo.1")
        assert found is not None
        assert (found.deleted, found.payload, found.birth) == (True, b"", old.birth)
        assert found.stamp > old.stamp

    async def test_inputs_are_neither_mutated_nor_kept(self, store: EntityStore) -> None:
        """S2: what the caller does with them afterwards makes no difference."""
        batch = [put("oslo.1", b"one"), put("oslo.2", b"two")]
        await store.write(batch)
        assert batch == [put("oslo.1", b"one"), put("oslo.2", b"two")]
        batch.clear()
        assert sorted(await ids(store)) == ["oslo.1", "oslo.2"]

    async def test_results_are_the_callers_own(self, store: EntityStore) -> None:
        """S2: changing them changes nothing in the store."""
        await store.write([put("oslo.1"), put("oslo.2")])
        (await store.scan(OSLO, None, 10)).clear()
        (await store.get_many(OSLO, ["oslo.1"])).clear()
        (await store.declarations())["Thing"] = b"mine"
        assert len(await store.scan(OSLO, None, 10)) == 2
        assert len(await store.get_many(OSLO, ["oslo.1"])) == 1
        assert await store.declarations() == {}

    async def test_many_ids_give_the_live_records_among_them(self, store: EntityStore) -> None:
        """S3: by id; missing and deleted ones are left out; any iterable will do."""
        first, second, _ = await written(store, put("oslo.1"), put("oslo.2"), put("oslo.3"))
        await store.write([remove("oslo.3")])
        wanted = (name for name in ["oslo.4", "oslo.3", "oslo.2", "oslo.1", "oslo.1"])
        assert await store.get_many(OSLO, wanted) == {"oslo.2": second, "oslo.1": first}
        assert await store.get_many(OSLO, []) == {}

    async def test_a_scan_gives_every_live_record_once_in_pages(self, store: EntityStore) -> None:
        """S4: in one fixed order; a shorter page is the end."""
        names = [f"oslo.{number}" for number in range(MANY)]
        await store.write([put(name) for name in names])
        await store.write([remove(name) for name in names[::5]])
        pages: list[list[Record]] = [await store.scan(OSLO, None, 7)]
        while len(pages[-1]) == 7:
            pages.append(await store.scan(OSLO, pages[-1][-1].id, 7))
        found = [record.id for page in pages for record in page]
        assert sorted(found) == sorted(set(names) - set(names[::5]))
        assert found == await ids(store)

    async def test_a_scan_goes_on_behind_an_id_that_is_gone(self, store: EntityStore) -> None:
        """S4: what is there throughout is seen exactly once, whatever happens around it."""
        await store.write([put(f"oslo.{number}") for number in range(20)])
        before = await ids(store)
        page = [record.id for record in await store.scan(OSLO, None, 10)]
        await store.write([remove(page[-1]), remove(before[15]), *(put(f"oslo.new{number}") for number in range(20))])
        rest = [record.id for record in await store.scan(OSLO, page[-1], 1000)]
        assert [id for id in (*page, *rest) if id in before] == [*before[:15], *before[16:]]
        assert len(rest) == len(set(rest))

    async def test_a_scan_of_nothing_is_empty(self, store: EntityStore) -> None:
        """S4: a segment that was never written to has no records."""
        assert await store.scan(OSLO, None, 10) == []
        assert await store.scan(OSLO, "oslo.1", 10) == []

    # --- writing -------------------------------------------------------------------------------------------------

    async def test_a_batch_is_stored_whole_or_not_at_all(self, store: EntityStore) -> None:
        """S5, S7: one write whose condition does not hold refuses all the others."""
        await store.write([put("oslo.1", b"old")])
        with pytest.raises(AlreadyExistsError):
            await store.write([put("oslo.0"), put("oslo.1", b"new", expected=ABSENT), put("oslo.2")])
        assert [record.payload for record in await store.scan(OSLO, None, 10)] == [b"old"]

    async def test_nobody_sees_a_part_of_a_batch(self, store: EntityStore) -> None:
        """S5: a reader sees all records of a segment as they were, or all as they are."""
        seen: set[tuple[bytes, ...]] = set()
        names = [f"oslo.{number}" for number in range(20)]

        async def look() -> None:
            while True:
                found = await store.get_many(OSLO, names)
                seen.add(tuple({record.payload for record in found.values()}))
                await checkpoint()

        await store.write([put(name, b"0") for name in names])
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(look)
            for number in range(1, 10):
                await store.write([put(name, b"%d" % number) for name in names])
                await checkpoint()
            tasks.cancel_scope.cancel()
        assert all(len(payloads) == 1 for payloads in seen)

    async def test_every_write_has_a_greater_stamp_and_the_next_version(
        self, store: EntityStore, clock: FakeClock
    ) -> None:
        """S6: also when the clock goes back or stands still."""
        records = await written(store, put("oslo.1"), put("oslo.2"))
        for step_ms in (0, 5, -60_000, 0):
            clock.advance(ms=step_ms)
            records += await written(store, put("oslo.1"))
        stamps = [record.stamp for record in records]
        assert len(set(stamps)) == len(stamps)
        assert stamps[1:] == sorted(stamps[1:])
        assert [record.version for record in records] == [1, 1, 2, 3, 4, 5]
        assert {record.birth for record in records if record.id == "oslo.1"} == {records[0].stamp}

    async def test_a_stamp_is_at_least_the_time_of_the_clock(self, store: EntityStore, clock: FakeClock) -> None:
        """S6: in its first 6 bytes."""
        clock.advance(days=1)
        (record,) = await written(store, put("oslo.1"))
        assert int.from_bytes(record.stamp[:6], "big") == clock()

    async def test_a_save_over_a_tombstone_begins_a_new_life(self, store: EntityStore) -> None:
        """S6: with a birth of its own, and the next version."""
        await store.write([put("oslo.1")])
        await store.write([remove("oslo.1")])
        (again,) = await written(store, put("oslo.1"))
        assert again.birth == again.stamp
        assert again.version == 3

    async def test_the_answer_names_what_was_replaced(self, store: EntityStore) -> None:
        """S6: one entry per write, in the order given."""
        (old,) = await written(store, put("oslo.2"))
        commit = await store.write([put("oslo.1"), put("oslo.2", b"new"), remove("oslo.3")])
        assert [one.replaced for one in commit.written] == [ABSENT, old.hash, ABSENT]
        assert [one.record.id if one.record else None for one in commit.written] == ["oslo.1", "oslo.2", None]

    async def test_create_refuses_a_live_record_and_takes_a_tombstone_for_none(self, store: EntityStore) -> None:
        """S7: ``expected`` is `ABSENT`."""
        await store.write([put("oslo.1", b"old", expected=ABSENT)])
        with pytest.raises(AlreadyExistsError):
            await store.write([put("oslo.1", b"new", expected=ABSENT)])
        await store.write([remove("oslo.1")])
        await store.write([put("oslo.1", b"new", expected=ABSENT)])
        assert [record.payload for record in await store.scan(OSLO, None, 10)] == [b"new"]

    async def test_compare_and_set_takes_the_hash_of_the_current_record_only(self, store: EntityStore) -> None:
        """S7: another hash is refused with the record that is there, or None."""
        (old,) = await written(store, put("oslo.1", b"old"))
        (new,) = await written(store, put("oslo.1", b"new", expected=old.hash))
        with pytest.raises(StaleWriteError) as stale:
            await store.write([put("oslo.1", b"late", expected=old.hash)])
        assert (stale.value.current, stale.value.current_etag) == (new, new.etag)
        with pytest.raises(StaleWriteError) as missing:
            await store.write([put("oslo.2", expected=NONSENSE)])
        assert (missing.value.current, missing.value.current_etag) == (None, None)

    async def test_the_same_content_again_is_another_record(self, store: EntityStore) -> None:
        """S7: so a change and its undoing in between are noticed (ABA)."""
        (first,) = await written(store, put("oslo.1", b"a"))
        await store.write([put("oslo.1", b"b")])
        await store.write([put("oslo.1", b"a")])
        with pytest.raises(StaleWriteError):
            await store.write([put("oslo.1", b"c", expected=first.hash)])

    async def test_a_delete_is_compared_like_a_save(self, store: EntityStore) -> None:
        """S7: and is refused where there is nothing of that hash."""
        (old,) = await written(store, put("oslo.1"))
        for id, expected in (("oslo.1", NONSENSE), ("oslo.2", old.hash)):
            with pytest.raises(StaleWriteError):
                await store.write([remove(id, expected=expected)])
        await store.write([remove("oslo.1", expected=old.hash)])
        assert await ids(store) == []

    async def test_of_two_concurrent_creates_one_wins(self, store: EntityStore) -> None:
        """S7: the condition is checked where the write happens."""
        outcomes: list[object] = []

        async def create(payload: bytes) -> None:
            try:
                outcomes.append(await store.write([put("oslo.1", payload, expected=ABSENT)]))
            except AlreadyExistsError as error:
                outcomes.append(error)

        async with anyio.create_task_group() as tasks:
            for number in range(8):
                tasks.start_soon(create, b"%d" % number)
        assert sum(isinstance(outcome, Commit) for outcome in outcomes) == 1

    async def test_no_update_is_lost_between_compare_and_set_loops(self, store: EntityStore) -> None:
        """S7: every increment of every task counts."""
        await store.write([put("oslo.n", b"0")])

        async def count() -> None:
            done = 0
            while done < 5:
                record = await store.get(OSLO, "oslo.n")
                assert record is not None
                try:
                    await store.write([put("oslo.n", b"%d" % (int(record.payload) + 1), expected=record.hash)])
                    done += 1
                except StaleWriteError:
                    await checkpoint()

        async with anyio.create_task_group() as tasks:
            for _ in range(3):
                tasks.start_soon(count)
        record = await store.get(OSLO, "oslo.n")
        assert record is not None
        assert record.payload == b"15"

    async def test_a_cancelled_write_is_stored_whole_or_not_at_all(self, store: EntityStore) -> None:
        """S8: and the next write works."""
        names = [f"oslo.{number}" for number in range(MANY)]

        async def write(payload: bytes) -> None:
            await store.write([put(name, payload) for name in names])

        await write(b"0")
        for number in range(1, 10):
            async with anyio.create_task_group() as tasks:
                tasks.start_soon(write, b"%d" % number)
                for _ in range(number % 3):
                    await checkpoint()
                tasks.cancel_scope.cancel()
            payloads = {record.payload for record in await store.scan(OSLO, None, 1000)}
            assert len(payloads) == 1
        await write(b"end")
        assert {record.payload for record in await store.scan(OSLO, None, 1000)} == {b"end"}

    async def test_a_later_write_of_a_batch_replaces_an_earlier_one(self, store: EntityStore) -> None:
        """S6: of the same id; the last one is stored, with one version."""
        commit = await store.write([put("oslo.1", b"first"), put("oslo.1", b"last")])
        (found,) = await store.scan(OSLO, None, 10)
        assert (found.payload, found.version) == (b"last", 1)
        assert [one.record for one in commit.written] == [found, found]

    async def test_a_merge_is_called_with_the_stored_and_the_new_payload(self, store: EntityStore) -> None:
        """S5: inside the transaction, and only when a live record is replaced."""
        merging = Write(OSLO, "oslo.1", b"new", merge=lambda old, new: old + b"+" + new)
        payloads = [(await written(store, merging))[0].payload, (await written(store, merging))[0].payload]
        await store.write([remove("oslo.1")])
        payloads.append((await written(store, merging))[0].payload)
        assert payloads == [b"new", b"new+new", b"new"]

    async def test_a_live_record_too_old_to_merge_with_refuses_the_batch(self, store: EntityStore) -> None:
        """S7: and comes with the error; a newer one, a deleted one and none at all are replaced."""
        old = Write(OSLO, "oslo.1", b"a", schema=2)
        (record,) = await written(store, old)
        new = Write(OSLO, "oslo.1", b"b", schema=3, oldest_schema=3)
        with pytest.raises(StaleWriteError) as error:
            await store.write([put("oslo.2"), new])
        assert error.value.current == record
        assert await ids(store) == ["oslo.1"]
        await store.write([remove("oslo.1")])
        await store.write([new])
        (record,) = await written(store, new)
        assert (record.payload, record.version) == (b"b", 4)

    async def test_the_larger_schema_stays(self, store: EntityStore) -> None:
        """S6: a program that knows an older schema does not take the number back."""
        await store.write([Write(OSLO, "oslo.1", b"a", schema=3)])
        (record,) = await written(store, Write(OSLO, "oslo.1", b"b", schema=2))
        assert record.schema == 3

    async def test_a_writer_of_documents_leaves_the_schema_of_a_live_record_alone(self, store: EntityStore) -> None:
        """S6: and gives its own to what is new."""
        found = []
        for schema in (2, 3):
            found += await written(store, Write(OSLO, "oslo.1", b"a", schema=schema, keeps_schema=True))
        await store.write([remove("oslo.1")])
        found += await written(store, Write(OSLO, "oslo.1", b"a", schema=4, keeps_schema=True))
        assert [record.schema for record in found] == [2, 2, 4]

    async def test_an_oversized_payload_refuses_the_batch(self, store: EntityStore) -> None:
        """S5: with both numbers, and nothing of the batch is stored."""
        with pytest.raises(PayloadTooLargeError) as error:
            await store.write([put("oslo.1"), put("oslo.2", b"x" * 50_000_000)])
        assert error.value.size_bytes == 50_000_000 > error.value.limit_bytes
        assert await ids(store) == []

    async def test_an_empty_batch_stores_nothing(self, store: EntityStore) -> None:
        """S5: and has no entries."""
        assert (await store.write([])).written == ()

    # --- catalog, damage and end ---------------------------------------------------------------------------------

    async def test_a_damaged_row_is_never_given_out(self, store: EntityStore) -> None:
        """S9: reading it, alone or among others, is a `CorruptDataError`."""
        first, _ = await written(store, put("oslo.1", b"one"), put("oslo.2", b"two"))
        await self.damage(store, first)
        reads: Sequence[Callable[[], Coroutine[Any, Any, object]]] = [
            lambda: store.get(OSLO, "oslo.1"),
            lambda: store.get_many(OSLO, ["oslo.1", "oslo.2"]),
            lambda: store.scan(OSLO, None, 10),
        ]
        for read in reads:
            with pytest.raises(CorruptDataError):
                await read()
        assert await store.get(OSLO, "oslo.2") is not None

    async def test_a_closed_store_refuses_every_call(self, tmp_path: Path, context: OpenContext) -> None:
        """S11: with `StoreClosedError`."""
        async with self.open_store(tmp_path / "store", context) as store:
            await store.write([put("oslo.1")])
        calls: Sequence[Callable[[], Coroutine[Any, Any, object]]] = [
            lambda: store.get(OSLO, "oslo.1"),
            lambda: store.get_many(OSLO, ["oslo.1"]),
            lambda: store.scan(OSLO, None, 10),
            lambda: store.write([put("oslo.1")]),
            lambda: store.declare("Thing", b"other"),
            store.declarations,
        ]
        for call in calls:
            with pytest.raises(StoreClosedError):
                await call()

    async def test_the_first_declaration_of_a_type_is_kept(self, store: EntityStore) -> None:
        """S18: and given to whoever declares it again."""
        assert await store.declare("Thing", b"first") == b"first"
        assert await store.declare("Thing", b"second") == b"first"
        assert await store.declare("Other", b"third") == b"third"

    async def test_all_declarations_are_listed(self, store: EntityStore) -> None:
        """S19: by type."""
        assert await store.declarations() == {}
        await store.declare("Thing", b"first")
        await store.declare("Other", b"")
        assert await store.declarations() == {"Thing": b"first", "Other": b""}


def _is_behind(key: bytes, start: bytes, back: bool) -> bool:
    return key < start if back else key > start


class LocalStoreSuite(EntityStoreSuite, defines=True):
    """What is asked of a `LocalStore` beyond."""

    @abstractmethod
    def open_store(self, where: Path, context: OpenContext) -> AbstractAsyncContextManager[LocalStore]: ...

    async def test_a_batch_over_segments_is_atomic(self, store: LocalStore) -> None:
        """S5: in a `LocalStore` over segments too."""
        await store.write([put("rome.1", segment=ROME)])
        with pytest.raises(AlreadyExistsError):
            await store.write([put("oslo.1"), put("rome.1", segment=ROME, expected=ABSENT)])
        assert store.page(OSLO, None, 10) == []

    async def test_inline_reads_answer_what_the_others_answer(self, store: LocalStore) -> None:
        """S13: also of tombstones, missing ids and missing segments."""
        await store.write([put(f"oslo.{number}") for number in range(9)])
        await store.write([remove("oslo.3")])
        names = ["oslo.1", "oslo.3", "oslo.99"]
        for segment in (OSLO, ROME):
            for name in names:
                assert store.find(segment, name) == await store.get(segment, name)
            assert store.find_many(segment, names) == await store.get_many(segment, names)
            for after in (None, *names):
                assert store.page(segment, after, 5) == await store.scan(segment, after, 5)

    async def test_a_finder_finds_what_find_finds(self, store: LocalStore) -> None:
        """S24: also in a segment that appears only after it was made."""
        find = store.finder(OSLO)
        before = find("oslo.1")
        (record,) = await written(store, put("oslo.1"))
        assert (before, find("oslo.1"), find("oslo.2")) == (None, record, None)
        (gone,) = await written(store, remove("oslo.1"))
        assert find("oslo.1") == gone

    async def test_inline_reads_work_in_other_threads(self, store: LocalStore) -> None:
        """S13: a thread without an event loop reads, too."""
        (record,) = await written(store, put("oslo.1"))
        assert await run_sync(store.find, OSLO, "oslo.1") == record

    async def test_a_thread_without_an_event_loop_writes(self, store: LocalStore) -> None:
        """S14: and its write is stored when the call returns."""
        commit = await run_sync(lambda: store.write_blocking([put("oslo.1")], timeout_s=5))
        assert store.find(OSLO, "oslo.1") == commit.written[0].record

    async def test_blocking_in_an_event_loop_is_refused(self, store: LocalStore) -> None:
        """S14: it would stop the loop, or wait for itself."""
        with pytest.raises(BlockingCallError):
            store.write_blocking([put("oslo.1")])
        assert store.find(OSLO, "oslo.1") is None

    async def test_blocking_writes_are_refused_like_the_others(self, store: LocalStore) -> None:
        """S14: `write` with another way to wait."""
        await store.write([put("oslo.1")])
        with pytest.raises(AlreadyExistsError):
            await run_sync(lambda: store.write_blocking([put("oslo.1", expected=ABSENT)]))

    async def test_a_listener_has_heard_of_a_commit_when_the_write_returns(self, store: LocalStore) -> None:
        """S15: of every record, with its etag and what happened to it."""
        heard: list[Change] = []
        store.listen(heard.extend)
        first, second = await written(store, put("oslo.1"), put("oslo.2"))
        assert {(change.kind, change.id, change.etag) for change in heard} == {
            ("saved", "oslo.1", first.etag),
            ("saved", "oslo.2", second.etag),
        }
        assert {(change.type, change.partition, change.origin) for change in heard} == {("Thing", "app.oslo", "local")}
        heard.clear()
        (gone,) = await written(store, remove("oslo.1"))
        assert [(change.kind, change.id, change.etag) for change in heard] == [("deleted", "oslo.1", gone.etag)]

    async def test_listeners_hear_in_commit_order(self, store: LocalStore) -> None:
        """S15: however many tasks and threads write."""
        heard: list[str] = []
        store.listen(lambda changes: heard.extend(change.etag for change in changes))

        async def write(writer: int) -> None:
            for number in range(10):
                await store.write([put(f"oslo.{writer}", b"%d" % number)])

        def write_blocking(writer: int) -> None:
            for number in range(10):
                store.write_blocking([put(f"oslo.{writer}", b"%d" % number)])

        async with anyio.create_task_group() as tasks:
            tasks.start_soon(write, 1)
            tasks.start_soon(write, 2)
            tasks.start_soon(run_sync, write_blocking, 3)
        newest = [record.etag for record in sorted(store.page(OSLO, None, 10), key=lambda record: record.stamp)]
        assert len(heard) == 30
        assert sorted(newest, key=heard.index) == newest

    async def test_who_follows_is_given_the_records_themselves(self, store: LocalStore) -> None:
        """S29: tombstones, too, in commit order, until it is ended; each with its segment and where it came from."""
        heard: list[RecordChange] = []
        end = store.follow(heard.extend)
        saved = await written(store, put("oslo.1"), put("rome.1", segment=ROME))
        (gone,) = await written(store, remove("oslo.1"))
        end()
        await store.write([put("oslo.2")])
        assert sorted((each.kind, each.segment, each.record, each.origin) for each in heard[:2]) == [
            ("saved", OSLO, saved[0], "local"),
            ("saved", ROME, saved[1], "local"),
        ]
        assert [(each.kind, each.record) for each in heard[2:]] == [("deleted", gone)]

    async def test_who_reads_knows_which_changes_were_read(self, store: LocalStore) -> None:
        """S29, S30: a change is in every view whose newest seq is not less, and in none before."""
        heard: list[RecordChange] = []
        store.follow(heard.extend)
        seqs = [store.newest_seq()]
        for write in (put("oslo.1"), put("rome.1", segment=ROME), put("oslo.1", b"x"), remove("oslo.1")):
            await store.write([write])
            seqs.append(store.newest_seq())
        assert seqs == sorted(set(seqs))
        assert [each.seq for each in heard] == seqs[1:]

    async def test_a_refused_batch_is_not_heard_of(self, store: LocalStore) -> None:
        """S15: nothing was committed."""
        await store.write([put("oslo.1")])
        heard: list[Change] = []
        store.listen(heard.extend)
        with pytest.raises(AlreadyExistsError):
            await store.write([put("oslo.0"), put("oslo.1", expected=ABSENT)])
        assert heard == []

    async def test_who_stops_listening_hears_no_more(self, store: LocalStore) -> None:
        """S15: the others do; stopping twice is harmless."""
        one: list[Change] = []
        other: list[Change] = []
        stop = store.listen(one.extend)
        store.listen(other.extend)
        stop()
        stop()
        await store.write([put("oslo.1")])
        assert (len(one), len(other)) == (0, 1)

    async def test_a_listener_may_be_told_in_any_thread(self, store: LocalStore) -> None:
        """S15: it is told all the same, once."""
        heard: list[int] = []
        store.listen(lambda changes: heard.extend([get_ident()] * len(changes)))
        await run_sync(lambda: store.write_blocking([put("oslo.1")]))
        assert len(heard) == 1

    async def test_a_callback_is_called_after_every_commit_of_rows(self, store: LocalStore) -> None:
        """S16: until it is ended."""
        calls: list[int] = []
        stop = store.notify(lambda: calls.append(1))
        await store.write([put("oslo.1")])
        await store.write([remove("oslo.1")])
        stop()
        await store.write([put("oslo.1")])
        assert len(calls) == 2

    async def test_looking_tells_nothing_twice(self, store: LocalStore) -> None:
        """S17: commits of this process were told already."""
        heard: list[Change] = []
        calls: list[int] = []
        store.listen(heard.extend)
        store.notify(lambda: calls.append(1))
        await store.write([put("oslo.1")])
        store.look()
        store.look()
        assert (len(heard), len(calls)) == (1, 1)

    async def test_what_is_held_is_found_whatever_the_presence(self, store: LocalStore) -> None:
        """S20, S21: where the partition is present, what `find` and `page` answer."""
        await store.write([put("oslo.1"), put("oslo.2")])
        await store.write([remove("oslo.2")])
        for name in ("oslo.1", "oslo.2", "oslo.3"):
            assert store.find_held(OSLO, name) == store.find(OSLO, name)
        assert store.page_held(OSLO, None, 10) == store.page(OSLO, None, 10)
        assert store.page_held(OSLO, "oslo.1", 10) == store.page(OSLO, "oslo.1", 10)

    async def test_every_segment_that_was_written_to_is_listed(self, store: LocalStore) -> None:
        """S22: also when all of it was deleted; reading makes none."""
        store.page(ROME, None, 10)
        await store.write([put("oslo.1")])
        await store.write([remove("oslo.1")])
        assert store.segments() == [OSLO]
        await store.write([put("rome.1", segment=ROME)])
        assert sorted(store.segments()) == [OSLO, ROME]

    async def test_a_store_without_upstream_holds_every_partition(self, store: LocalStore) -> None:
        """S26: there is nobody else who could."""
        await store.write([put("oslo.1")])
        assert store.holds_all()

    @pytest.mark.parametrize("back", [False, True])
    async def test_live_records_are_looked_through_in_the_order_of_pages(self, store: LocalStore, back: bool) -> None:
        """S27: the accepted ones among the next rows, and where to go on; or the other way round."""
        await store.write([put(f"oslo.{number}", b"%d" % (number % 3)) for number in range(20)])
        await store.write([remove("oslo.0"), remove("oslo.7")])
        wanted = [record for record in store.page(OSLO, None, 100) if record.payload != b"1"]
        for limit in (1, 2, 7, 19, 20, 21):
            found: list[Record] = []
            rows, after = 0, b""
            while True:
                part = store.scan_live(OSLO, after, limit, lambda content: content[-1:] != b"1", back=back)
                found += part.records
                rows += part.rows
                assert part.rows <= limit
                if part.after is None:
                    break
                after = part.after
            assert (found, rows) == (wanted[::-1] if back else wanted, 20)

    async def test_nothing_is_looked_through_where_nothing_was_written(self, store: LocalStore) -> None:
        """S27: a segment that was never written to has no rows."""
        part = store.scan_live(ROME, b"", 10, lambda content: True)
        assert (part.records, part.after, part.rows) == ((), None, 0)

    @pytest.mark.parametrize("back", [False, True])
    async def test_looking_through_begins_behind_any_id(self, store: LocalStore, back: bool) -> None:
        """S27, S28: also behind one that does not exist."""
        await store.write([put(f"oslo.{number}") for number in range(20)])
        every = store.page(OSLO, None, 100)
        for id in ["oslo.3", "oslo.19", "oslo.none"]:
            key = store.record_key("Thing", id)
            behind = [record for record in every if _is_behind(store.record_key("Thing", record.id), key, back)]
            part = store.scan_live(OSLO, key, 100, lambda content: True, back=back)
            assert list(part.records) == (behind[::-1] if back else behind)

    async def test_what_the_caller_raises_while_looking_through_is_its_own(self, store: LocalStore) -> None:
        """S27: and the store works on."""
        await store.write([put("oslo.1")])

        def refuse(content: bytes) -> bool:
            raise LookupError

        with pytest.raises(LookupError):
            store.scan_live(OSLO, b"", 10, refuse)
        assert store.scan_live(OSLO, b"", 10, lambda content: True).rows == 1

    async def test_the_order_of_pages_is_that_of_record_keys(self, store: LocalStore) -> None:
        """S28: and the key of an id is always the same."""
        await store.write([put(f"oslo.{number}") for number in range(20)])
        keys = [store.record_key("Thing", record.id) for record in store.page(OSLO, None, 100)]
        assert keys == sorted(set(keys))
        assert store.record_key("Other", "oslo.1") != store.record_key("Thing", "oslo.1")

    async def test_a_store_tells_how_far_its_stamps_lie_ahead_of_its_clock(self, tmp_path: Path) -> None:
        """S25: after the clock was turned back; 0 once it has caught up."""
        clock = FakeClock()
        async with self.open_store(tmp_path / "store", fake_context(clock)) as store:
            await store.write([put("oslo.1")])
            before = store.clock_ahead_ms()
            clock.advance(s=-90)
            behind = store.clock_ahead_ms()
            clock.advance(s=91)
            assert (before, behind, store.clock_ahead_ms()) == (0, 90_000, 0)

    async def test_a_declaration_is_found_inline(self, store: LocalStore) -> None:
        """S23: or None."""
        await store.declare("Thing", b"first")
        assert (store.declared("Thing"), store.declared("Other")) == (b"first", None)

    async def test_inline_calls_of_a_closed_store_are_refused(self, tmp_path: Path, context: OpenContext) -> None:
        """S11: with `StoreClosedError`."""
        async with self.open_store(tmp_path / "store", context) as store:
            await store.write([put("oslo.1")])
            find = store.finder(OSLO)
            find("oslo.1")
        calls: Sequence[Callable[[], object]] = [
            lambda: find("oslo.1"),
            lambda: store.find(OSLO, "oslo.1"),
            lambda: store.find_held(OSLO, "oslo.1"),
            lambda: store.page_held(OSLO, None, 10),
            lambda: store.scan_live(OSLO, b"", 10, bool),
            store.segments,
            lambda: store.declared("Thing"),
            store.look,
        ]
        for call in calls:
            with pytest.raises(StoreClosedError):
                call()
        with pytest.raises(StoreClosedError):
            await run_sync(lambda: store.write_blocking([put("oslo.1")]))

    async def test_damage_is_noticed_inline(self, store: LocalStore) -> None:
        """S9: by whatever reads the row."""
        (record,) = await written(store, put("oslo.1", b"one"))
        await self.damage(store, record)
        reads: Sequence[Callable[[], object]] = [
            lambda: store.find(OSLO, "oslo.1"),
            lambda: store.finder(OSLO)("oslo.1"),
            lambda: store.find_held(OSLO, "oslo.1"),
            lambda: store.page_held(OSLO, None, 10),
            lambda: store.scan_live(OSLO, b"", 10, bool),
        ]
        for read in reads:
            with pytest.raises(CorruptDataError):
                read()
