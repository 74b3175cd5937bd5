"""Everything that is asked of an embedded store. Who writes an engine implements `open_engine` and gets the rest."""

from __future__ import annotations

import shutil
from abc import abstractmethod
from collections.abc import Callable, Sequence
from contextlib import AbstractAsyncContextManager
from pathlib import Path

import pytest

from tierfold.abc.engine import DurableEngine, Engine
from tierfold.abc.store import EntityStore
from tierfold.abc.syncable import LinkState, PartitionMarks, Settlement, Take
from tierfold.digest import Hasher
from tierfold.errors import CorruptDataError, PartitionUnavailableError
from tierfold.kv.store import KvStore, open_kv_store
from tierfold.layout import RECORD, open_row, pack_row
from tierfold.model import ABSENT, Change, Record
from tierfold.specs import OpenContext
from tierfold.testing.fakes import FakeClock, fake_context
from tierfold.testing.indexes import IndexedStoreSuite, document, hits, tend
from tierfold.testing.nearers import NearerStoreSuite, attach
from tierfold.testing.samples import OSLO, PARTITION, foreign, put, register, remove
from tierfold.testing.stores import written
from tierfold.testing.syncables import changed, roots_of

__all__ = ["DurableStoreSuite", "EmbeddedStoreSuite", "flip_bit"]


def flip_bit(engine: Engine, record: Record) -> None:
    """Damage the row of a record, as a failing disk would."""
    end_of_key = Hasher(record.type).key(record.id.encode())
    txn = engine.begin()
    rows = [row for row in txn.scan(RECORD, RECORD + b"\xff") if row[0].endswith(end_of_key)]
    for key, value in rows:
        txn.put(key, value[:-6] + bytes([value[-6] ^ 1]) + value[-5:])
    txn.commit()


def plant(engine: Engine, record: Record, id: str) -> None:
    """Put the row of a record under the key of another id, with a checksum that fits, as a mistake of ours would."""
    hasher = Hasher(record.type)
    end_of_key, other = hasher.key(record.id.encode()), hasher.key(id.encode())
    txn = engine.begin()
    for key, value in [row for row in txn.scan(RECORD, RECORD + b"\xff") if row[0].endswith(end_of_key)]:
        planted, row = key.removesuffix(end_of_key) + other, open_row(key, value)
        txn.put(planted, pack_row(planted, row.seq, row.via, row.base, row.base_deleted, row.hash, row.content))
    txn.commit()


class EmbeddedStoreSuite(IndexedStoreSuite, NearerStoreSuite, defines=True):
    """All suites of stores for `tierfold.kv` on one engine."""

    @abstractmethod
    def open_engine(self, where: Path) -> Engine:
        """A new engine; a durable one keeps its content in the directory ``where``, which may not exist yet."""

    def open_store(self, where: Path, context: OpenContext) -> AbstractAsyncContextManager[KvStore]:
        return open_kv_store(self.open_engine(where), context)

    async def damage(self, store: EntityStore, record: Record) -> None:
        assert isinstance(store, KvStore)
        flip_bit(store._engine, record)  # the row lies behind the store's back

    async def test_inline_reads_are_refused_while_a_partition_is_not_present(self, store: KvStore) -> None:
        """S10, S20, S21: but what waits for it is found."""
        (record,) = await written(store, put("oslo.1"))
        find = store.finder(OSLO)
        assert find("oslo.1") == record
        await attach(store)
        reads: Sequence[Callable[[], object]] = [
            lambda: find("oslo.1"),
            lambda: store.finder(OSLO)("oslo.2"),
            lambda: store.find(OSLO, "oslo.1"),
            lambda: store.find_many(OSLO, ["oslo.1"]),
            lambda: store.page(OSLO, None, 10),
        ]
        for read in reads:
            with pytest.raises(PartitionUnavailableError):
                read()
        assert store.find_held(OSLO, "oslo.1") == record
        assert store.page_held(OSLO, None, 10) == [record]

    async def test_a_row_of_another_id_is_never_given_out(self, store: KvStore) -> None:
        """S9: whatever its checksum says; the id that was asked for is compared with the one in the row."""
        (record,) = await written(store, put("oslo.1"))
        plant(store._engine, record, "oslo.2")  # behind the store's back
        reads: Sequence[Callable[[], object]] = [
            lambda: store.find(OSLO, "oslo.2"),
            lambda: store.finder(OSLO)("oslo.2"),
            lambda: store.find_many(OSLO, ["oslo.1", "oslo.2"]),
        ]
        for read in reads:
            with pytest.raises(CorruptDataError, match="not of the id"):
                read()
        with pytest.raises(CorruptDataError):
            await store.get(OSLO, "oslo.2")
        assert store.find(OSLO, "oslo.1") == record


class DurableStoreSuite(EmbeddedStoreSuite, defines=True):
    """What is asked of an embedded store beyond, if its content outlives the process."""

    reopens = True

    @abstractmethod
    def open_engine(self, where: Path) -> DurableEngine: ...

    async def test_content_survives_reopening(self, tmp_path: Path, context: OpenContext) -> None:
        """S12: records, tombstones, declarations, sums and what is kept per link and peer."""
        seen: list[object] = []
        for attempt in range(2):
            async with self.open_store(tmp_path / "store", context) as store:
                if attempt == 0:
                    await register(store)
                    token = await attach(store)
                    taken = Settlement((Take(foreign("oslo.1"), ABSENT),), LinkState(batch=3))
                    await store.settle(OSLO, taken, token)
                    await store.mark_partition(PARTITION, PartitionMarks(presence="present", generation=1), token)
                    await store.write([put("oslo.2"), put("oslo.3")])
                    await store.write([remove("oslo.3")])
                    await store.declare("Thing", b"declared")
                rows = [store.find(OSLO, f"oslo.{number}") for number in range(4)]
                peers, view = await store.peers(), await store.view(PARTITION)
                seen.append((await store.identity(), rows, await store.declarations(), peers, view))
        assert seen[0] == seen[1]

    async def test_an_index_survives_reopening_in_the_middle_of_being_built(
        self, tmp_path: Path, context: OpenContext
    ) -> None:
        """I3: it is gone on with."""
        async with self.open_store(tmp_path / "store", context) as store:
            await store.write([document(f"oslo.{number}", number) for number in range(9)])
            await store.hold_indexes("Thing", [("n",)], b"one program", 100)
            assert await store.tend_indexes(4)
        async with self.open_store(tmp_path / "store", context) as store:
            await tend(store, 4)
            assert len(hits(store)) == 9

    async def test_an_upstream_that_was_only_expected_is_forgotten(self, tmp_path: Path, context: OpenContext) -> None:
        """N21, S12: the next program that opens the store alone has all there is."""
        async with self.open_store(tmp_path / "store", context) as store:
            store.expect_upstream()
            await store.write([put("oslo.1")])
        async with self.open_store(tmp_path / "store", context) as store:
            assert store.find(OSLO, "oslo.1") is not None
            assert store.find(OSLO, "oslo.2") is None

    async def test_stamps_grow_over_a_reopening(self, tmp_path: Path, clock: FakeClock) -> None:
        """S6: also when the clock was turned back meanwhile."""
        stamps = []
        for step_days in (1, -1):
            clock.advance(days=step_days)
            async with self.open_store(tmp_path / "store", fake_context(clock)) as store:
                stamps += [(await written(store, put(id)))[0].stamp for id in ("oslo.1", "oslo.2")]
        assert stamps == sorted(set(stamps))

    async def test_two_processes_with_equal_clocks_never_make_equal_stamps(
        self, tmp_path: Path, context: OpenContext
    ) -> None:
        """S6: the stamp is made inside the transaction [clocks of their own lost an acknowledged write]."""
        where = tmp_path / "store"
        async with self.open_store(where, context) as one, self.open_store(where, context) as two:
            stamps = [(await written(store, put("oslo.1")))[0].stamp for store in (one, two, one, two)]
        assert stamps == sorted(set(stamps))

    async def test_a_reopened_store_is_the_same_and_its_copy_another(
        self, tmp_path: Path, context: OpenContext
    ) -> None:
        """L2, N13: the copy's original may have moved on, so all it holds is marked."""
        where, copy = tmp_path / "store", tmp_path / "copy"
        async with self.open_store(where, context) as store:
            await store.write([put("oslo.1")])
            identity = await store.identity()
        shutil.copytree(where, copy)
        async with self.open_store(where, context) as store:
            assert await store.identity() == identity
            assert not (await store.view(PARTITION)).gone_back
        async with self.open_store(copy, context) as store:
            assert (await store.identity()).store != identity.store
            assert (await store.view(PARTITION)).gone_back
            assert store.find(OSLO, "oslo.1") is not None

    async def test_a_copy_makes_stamps_and_positions_of_its_own(self, tmp_path: Path, context: OpenContext) -> None:
        """L2, L18, S6: nobody takes the one for the other."""
        where, copy = tmp_path / "store", tmp_path / "copy"
        async with self.open_store(where, context) as store:
            await store.write([put("oslo.1")])
        shutil.copytree(where, copy)
        made = []
        for place in (where, copy):
            async with self.open_store(place, context) as store:
                (record,) = await written(store, put("oslo.1"))
                made.append((record.stamp, (await roots_of(store)).position))
        async with self.open_store(copy, context) as store:
            assert made[0][0][8:] != made[1][0][8:]
            assert [await store.knows(OSLO, position) for _, position in made] == [False, True]

    async def test_positions_survive_reopening_but_not_a_restore(self, tmp_path: Path, context: OpenContext) -> None:
        """L18, L3: a backup brings the store id along; what happened after it was made is unknown."""
        where, backup = tmp_path / "store", tmp_path / "backup"
        positions, tokens = [], []

        async def step() -> None:
            async with self.open_store(where, context) as store:
                await store.write([put("oslo.1")])
                positions.append((await roots_of(store)).position)
                tokens.append((await store.feed(None)).token)

        await step()
        shutil.copytree(where, backup)
        await step()
        for file in backup.iterdir():
            shutil.copyfile(file, where / file.name)
        await step()
        async with self.open_store(where, context) as store:
            assert [await store.knows(OSLO, position) for position in positions] == [True, False, True]
            fed = [list((await store.feed(token)).segments) for token in tokens]
            assert fed == [[OSLO], [OSLO], []]
            assert await changed(store, positions[0]) == ["oslo.1"]

    async def test_commits_of_another_process_are_noticed_by_looking(
        self, tmp_path: Path, context: OpenContext
    ) -> None:
        """S16, S17: in their order, once, and before later ones of this process."""
        where = tmp_path / "store"
        async with self.open_store(where, context) as store, self.open_store(where, fake_context(seed=1)) as other:
            heard: list[Change] = []
            calls: list[int] = []
            store.listen(heard.extend)
            store.notify(lambda: calls.append(1))
            await other.write([put("oslo.2")])
            await other.write([put("oslo.1")])
            silent = list(heard)
            store.look()
            store.look()
            noticed = [(change.kind, change.id, change.origin) for change in heard], len(calls)
            await other.write([remove("oslo.2")])
            await store.write([put("oslo.3")])
            store.look()
            assert silent == []
            assert noticed == ([("saved", "oslo.2", "local"), ("saved", "oslo.1", "local")], 1)
            assert [(change.kind, change.id) for change in heard[2:]] == [("deleted", "oslo.2"), ("saved", "oslo.3")]

    async def test_commits_of_another_process_are_not_swallowed_by_own_ones_without_rows(
        self, tmp_path: Path, context: OpenContext
    ) -> None:
        """S15, S16, S17: such as the renewal of a lease, which nobody is told of."""
        where = tmp_path / "store"
        async with self.open_store(where, context) as store, self.open_store(where, fake_context(seed=1)) as other:
            store.look()
            heard: list[Change] = []
            calls: list[int] = []
            store.notify(lambda: calls.append(1))
            await other.write([put("oslo.1")])
            await store.lease("up", b"one", 10)
            store.look()
            unheard = len(calls)
            store.listen(heard.extend)
            await other.write([put("oslo.2")])
            await store.lease("up", b"one", 10)
            store.look()
            assert (unheard, len(calls), [change.id for change in heard]) == (1, 2, ["oslo.2"])

    async def test_processes_read_what_others_wrote_at_once(self, tmp_path: Path, context: OpenContext) -> None:
        """S1, S10: also when a partition has become present, or ceased to be."""
        where = tmp_path / "store"
        async with self.open_store(where, context) as store, self.open_store(where, fake_context(seed=1)) as other:
            (record,) = await written(other, put("oslo.1"))
            assert store.find(OSLO, "oslo.1") == record
            token = await attach(store)
            await store.mark_partition(PARTITION, PartitionMarks(presence="present"), token)
            assert other.find(OSLO, "oslo.1") == record
