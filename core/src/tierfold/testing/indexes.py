"""What a store with indexes must do beyond: the clauses of `tierfold.abc.indexed`."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from pathlib import Path
from typing import Any, Final

import pytest

from tierfold.abc.indexed import IndexedStore, IndexHit, IndexPath
from tierfold.codec import decode, encode
from tierfold.errors import CorruptDataError
from tierfold.layout import end_of
from tierfold.model import Record, SegmentName, Write
from tierfold.specs import OpenContext
from tierfold.testing.fakes import FakeClock, fake_context
from tierfold.testing.samples import OSLO, ROME, put, remove
from tierfold.testing.stores import LocalStoreSuite, written
from tierfold.where.order import order_key
from tierfold.where.order_bytes import order_bytes

__all__ = ["IndexedStoreSuite", "document", "hits", "tend"]

N: Final[IndexPath] = ("n",)
INNER: Final[IndexPath] = ("a", "b")
ONE, OTHER = b"one program     ", b"another program "
TTL_S: Final = 100.0
WHOLE: Final = (b"\x00", b"\xff")


def document(id: str, n: object = None, *, segment: SegmentName = OSLO, **more: Any) -> Write:
    """A write of a document whose member ``n`` is indexed."""
    return put(id, encode({"n": n, **more}), segment)


async def tend(store: IndexedStore, limit: int = 1_000) -> None:
    """Until all is built and dropped."""
    while await store.tend_indexes(limit):
        pass


def hits(store: IndexedStore, path: IndexPath = N, *, back: bool = False, ids_back: bool = False) -> list[IndexHit]:
    found = store.index_hits("Thing", path, *WHOLE, 1_000, back=back, ids_back=ids_back)
    assert found is not None
    return list(found)


def ids(found: Sequence[IndexHit]) -> list[str]:
    return [hit.record.id for hit in found]


def states(store: IndexedStore) -> Mapping[IndexPath, str]:
    return {status.path: status.state for status in store.indexes("Thing")}


class IndexedStoreSuite(LocalStoreSuite, defines=True):
    """What is asked of an `IndexedStore` beyond."""

    @abstractmethod
    def open_store(self, where: Path, context: OpenContext) -> AbstractAsyncContextManager[IndexedStore]: ...

    @pytest.fixture
    async def indexed(self, store: IndexedStore) -> IndexedStore:
        """A store with an index that is ready and knows nothing."""
        await store.hold_indexes("Thing", [N], ONE, TTL_S)
        await tend(store)
        return store

    # --- declaring indexes ---------------------------------------------------------------------------------------

    async def test_an_index_that_somebody_wants_is_begun(self, store: IndexedStore) -> None:
        """I1, I4: it is there at once, and being built."""
        assert store.indexes("Thing") == []
        await store.hold_indexes("Thing", [N, INNER], ONE, TTL_S)
        assert states(store) == {N: "building", INNER: "building"}
        assert store.indexes("Other") == []

    async def test_wanting_an_index_again_changes_nothing_about_it(self, store: IndexedStore) -> None:
        """I1: whoever wants it."""
        await store.write([document("oslo.1", 1)])
        await store.hold_indexes("Thing", [N], ONE, TTL_S)
        await tend(store)
        before = store.indexes("Thing")
        await store.hold_indexes("Thing", [N], ONE, TTL_S)
        await store.hold_indexes("Thing", [N], OTHER, TTL_S)
        assert store.indexes("Thing") == before
        assert states(store) == {N: "ready"}

    async def test_what_nobody_wants_any_more_is_dropped(self, store: IndexedStore) -> None:
        """I1, I3: bit by bit, and gone in the end; the others stay."""
        await store.write([document(f"oslo.{number}", number) for number in range(20)])
        await store.hold_indexes("Thing", [N, INNER], ONE, TTL_S)
        await tend(store)
        await store.hold_indexes("Thing", [INNER], ONE, TTL_S)
        assert states(store) == {N: "dropping", INNER: "ready"}
        assert store.index_hits("Thing", N, *WHOLE, 10, back=False, ids_back=False) is None
        assert store.index_count("Thing", N, *WHOLE) is None
        await store.write([document("oslo.1", 7), remove("oslo.2")])
        await tend(store, 3)
        assert states(store) == {INNER: "ready"}

    async def test_what_another_program_wants_is_kept(self, store: IndexedStore) -> None:
        """I1: the union, as long as both are there."""
        await store.hold_indexes("Thing", [N], ONE, TTL_S)
        await store.hold_indexes("Thing", [INNER], OTHER, TTL_S)
        await store.hold_indexes("Thing", [N], ONE, TTL_S)
        await tend(store)
        assert states(store) == {N: "ready", INNER: "ready"}

    async def test_what_only_a_program_wanted_that_has_ended_goes_when_somebody_does_not_want_it(
        self, store: IndexedStore
    ) -> None:
        """I2, I1: not before."""
        await store.hold_indexes("Thing", [N], ONE, TTL_S)
        await store.hold_indexes("Thing", [INNER], OTHER, TTL_S)
        await store.release_indexes(OTHER)
        await tend(store)
        assert states(store) == {N: "ready", INNER: "ready"}
        await store.hold_indexes("Thing", [N], ONE, TTL_S)
        await tend(store)
        assert states(store) == {N: "ready"}

    async def test_a_program_that_does_not_say_so_again_is_forgotten(self, tmp_path: Path, clock: FakeClock) -> None:
        """I1: after its time, as if it had ended."""
        async with self.open_store(tmp_path / "store", fake_context(clock)) as store:
            await store.hold_indexes("Thing", [N], ONE, TTL_S)
            clock.advance(s=99)
            await store.hold_indexes("Thing", [], OTHER, TTL_S)
            assert states(store) == {N: "building"}
            clock.advance(s=2)
            await store.hold_indexes("Thing", [], OTHER, TTL_S)
            assert states(store) == {N: "dropping"}

    async def test_a_program_is_not_kept_for_longer_because_its_clock_ran_ahead(
        self, tmp_path: Path, clock: FakeClock
    ) -> None:
        """I1: nobody's time ends later than he could have said."""
        async with self.open_store(tmp_path / "store", fake_context(clock)) as store:
            await store.hold_indexes("Thing", [N], ONE, TTL_S)
            clock.advance(s=-1_000)
            await store.hold_indexes("Thing", [], OTHER, TTL_S)
            assert states(store) == {N: "dropping"}

    async def test_an_index_that_is_wanted_while_it_is_dropped_is_built_anew(self, store: IndexedStore) -> None:
        """I1, I3: the old one goes, the new one comes."""
        await store.write([document(f"oslo.{number}", number) for number in range(5)])
        await store.hold_indexes("Thing", [N], ONE, TTL_S)
        await tend(store)
        await store.hold_indexes("Thing", [], ONE, TTL_S)
        await store.hold_indexes("Thing", [N], ONE, TTL_S)
        assert sorted(status.state for status in store.indexes("Thing")) == ["building", "dropping"]
        await tend(store, 2)
        assert states(store) == {N: "ready"}
        assert len(hits(store)) == 5

    # --- building and maintaining --------------------------------------------------------------------------------

    @pytest.mark.parametrize("limit", [1, 2, 3, 100])
    async def test_an_index_is_built_in_steps_of_any_size(self, store: IndexedStore, limit: int) -> None:
        """I3: over all partitions of the type, and no other type; what it has so far is not shown before its end."""
        other = Write(SegmentName("Other", "app.oslo"), "oslo.1", encode({"n": 1}))
        await store.write([document(f"oslo.{number}", number) for number in range(7)])
        await store.write([other, *[document(f"rome.{number}", -number, segment=ROME) for number in range(4)]])
        await store.write([remove("oslo.3")])
        await store.hold_indexes("Thing", [N], ONE, TTL_S)
        while await store.tend_indexes(limit):
            assert store.index_hits("Thing", N, *WHOLE, 10, back=False, ids_back=False) is None
            assert store.index_count("Thing", N, *WHOLE) is None
        assert [hit.record.payload for hit in hits(store)] == [
            encode({"n": number}) for number in (-3, -2, -1, 0, 0, 1, 2, 4, 5, 6)
        ]
        assert {hit.segment for hit in hits(store)} == {OSLO, ROME}

    @pytest.mark.parametrize("limit", [1, 2, 5])
    async def test_writers_go_on_while_an_index_is_built(self, store: IndexedStore, limit: int) -> None:
        """I3: what they change before and behind the place that was reached is right in the end."""
        await store.write([document(f"oslo.{number}", number) for number in range(20)])
        await store.hold_indexes("Thing", [N], ONE, TTL_S)
        turn = 0
        while await store.tend_indexes(limit):
            changed = [document(f"oslo.{number}", turn * 100 + number) for number in range(turn % 3, 20, 3)]
            await store.write([*changed, document(f"rome.{turn}", turn, segment=ROME)])
            await store.write([remove(f"oslo.{turn % 20}")])
            turn += 1
        await tend(store)
        self.require_whole(store, N)

    async def test_an_index_follows_every_write(self, indexed: IndexedStore) -> None:
        """I5: creates, changes, deletes, and several of one record in one batch."""
        await indexed.write([document("oslo.1", 1), document("oslo.2", 2), document("rome.1", 3, segment=ROME)])
        assert ids(hits(indexed)) == ["oslo.1", "oslo.2", "rome.1"]
        await indexed.write([document("oslo.1", 9), remove("oslo.2")])
        assert ids(hits(indexed)) == ["rome.1", "oslo.1"]
        await indexed.write([document("oslo.2", 5), document("oslo.2", 4), remove("oslo.1"), document("oslo.1", 0)])
        assert ids(hits(indexed)) == ["oslo.1", "rome.1", "oslo.2"]
        self.require_whole(indexed, N)

    async def test_entries_are_counted_by_schema(self, indexed: IndexedStore) -> None:
        """I4: of the records that are in it now."""
        await indexed.write([document("oslo.1", 1), document("oslo.2", 1)])
        newer = Write(OSLO, "oslo.2", encode({"n": 1}), 2)
        await indexed.write([newer, Write(OSLO, "oslo.3", encode({"n": 3}), 2)])
        (status,) = indexed.indexes("Thing")
        assert status.entries == {1: 1, 2: 2}
        await indexed.write([remove("oslo.1")])
        (status,) = indexed.indexes("Thing")
        assert status.entries == {2: 2}

    # --- reading -------------------------------------------------------------------------------------------------

    async def test_hits_are_ordered_by_value_and_id_either_way(self, indexed: IndexedStore) -> None:
        """I5: values of every type, None and what is missing last; ids on their own way among equals."""
        values = [True, -1, 2, 2.5, "a", "b", [1], {"x": 1}, None]
        writes = [document(f"oslo.{at}{twin}", value) for at, value in enumerate(values) for twin in "ab"]
        await indexed.write([*writes, put("oslo.zz", encode({}))])
        up = [f"oslo.{at}" for at in range(len(values))]
        pairs = [[f"{id}a", f"{id}b"] for id in up[:-1]] + [["oslo.8a", "oslo.8b", "oslo.zz"]]
        for back in (False, True):
            for ids_back in (False, True):
                ordered = [pair[::-1] if ids_back else pair for pair in (pairs[::-1] if back else pairs)]
                expected = [id for pair in ordered for id in pair]
                assert ids(hits(indexed, back=back, ids_back=ids_back)) == expected

    async def test_hits_are_those_of_a_range_and_no_more_than_asked_for(self, indexed: IndexedStore) -> None:
        """I5, I6: low included, high not; a hit's key leads on."""
        await indexed.write([document(f"oslo.{number}", number % 5) for number in range(10)])
        low, high = order_bytes(1)[0], order_bytes(4)[0]
        found = indexed.index_hits("Thing", N, low, high, 100, back=False, ids_back=False)
        assert found is not None
        assert ids(found) == ["oslo.1", "oslo.6", "oslo.2", "oslo.7", "oslo.3", "oslo.8"]
        first = indexed.index_hits("Thing", N, low, high, 2, back=False, ids_back=False)
        assert first == found[:2]
        rest = indexed.index_hits("Thing", N, found[1].key + b"\x00", high, 100, back=False, ids_back=False)
        assert rest == found[2:]
        assert indexed.index_count("Thing", N, low, high) == 6
        assert indexed.index_count("Thing", N, low, high, 4) == 4
        assert indexed.index_count("Thing", N, low, high, 7) == 6
        assert indexed.index_count("Thing", N, low, end_of(low)) == 2
        assert indexed.index_count("Thing", N, high, low) == 0

    async def test_an_index_that_is_not_there_answers_nothing(self, indexed: IndexedStore) -> None:
        """I5, I6: None, and no error."""
        for type, path in (("Thing", INNER), ("Other", N)):
            assert indexed.index_hits(type, path, *WHOLE, 10, back=False, ids_back=False) is None
            assert indexed.index_count(type, path, *WHOLE) is None

    async def test_inner_values_are_indexed(self, store: IndexedStore) -> None:
        """I5: where a path leads through what is no map, there is none."""
        await store.write(
            [put("oslo.1", encode({"a": {"b": 2}})), put("oslo.2", encode({"a": 1})), put("oslo.3", encode({}))]
        )
        await store.hold_indexes("Thing", [INNER], ONE, TTL_S)
        await tend(store)
        assert ids(hits(store, INNER)) == ["oslo.1", "oslo.2", "oslo.3"]
        assert store.index_count("Thing", INNER, *(order_bytes(None)[0], b"\xff")) == 2

    async def test_damage_is_noticed_by_who_reads_an_index(self, indexed: IndexedStore) -> None:
        """I5, S9: a record that an index names is checked like any other."""
        (record,) = await written(indexed, document("oslo.1", 1))
        await self.damage(indexed, record)
        with pytest.raises(CorruptDataError):
            hits(indexed)

    async def test_what_is_no_document_counts_as_an_empty_one(self, indexed: IndexedStore) -> None:
        """I5: another program may have stored anything, and no writer fails because of it."""
        await indexed.write([put("oslo.1", b"\xc1"), put("oslo.2", b"\x01"), document("oslo.3", 3)])
        assert ids(hits(indexed)) == ["oslo.3", "oslo.1", "oslo.2"]
        await indexed.write([document("oslo.1", 1), remove("oslo.2")])
        assert ids(hits(indexed)) == ["oslo.1", "oslo.3"]

    def require_whole(self, store: IndexedStore, path: IndexPath) -> None:
        """An index has what the records say, in the order that they say."""
        records: list[tuple[Any, str, SegmentName, Record]] = []
        for segment in store.segments():
            for record in store.page_held(segment, None, 10_000):
                value: Any = decode(record.payload)
                for name in path:
                    value = value.get(name) if isinstance(value, dict) else None
                records.append((order_key(value), record.id, segment, record))
        expected = [(segment, record) for _, _, segment, record in sorted(records, key=lambda each: each[:2])]
        assert [(hit.segment, hit.record) for hit in hits(store, path)] == expected
