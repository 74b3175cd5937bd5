"""What every engine must do, and what one must do that keeps its content."""

from __future__ import annotations

import itertools
import shutil
from abc import ABC, abstractmethod
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from threading import Event, Thread

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, precondition, rule, run_state_machine_as_test

from tierfold.abc.engine import DurableEngine, Engine, WriteTransaction
from tierfold.errors import StoreClosedError, StoreError
from tierfold.testing.suite import Suite

__all__ = ["DurableEngineSuite", "EngineSuite"]

ALL = (b"\x00", b"\xff" * 4)
"""Bounds around every key of these tests."""


@contextmanager
def writing(engine: Engine) -> Iterator[WriteTransaction]:
    """A write transaction that commits at the end of the block."""
    txn = engine.begin()
    try:
        yield txn
    except BaseException:
        txn.abort()
        raise
    txn.commit()


def put(engine: Engine, **values: bytes) -> int:
    """Commit ``values`` and return the id of the transaction."""
    with writing(engine) as txn:
        for name, value in values.items():
            txn.put(name.encode(), value)
        return txn.id()


def rows(engine: Engine) -> list[tuple[bytes, bytes]]:
    with engine.read() as (_, view):
        return list(view.scan(*ALL))


class EngineSuite(Suite, ABC, defines=True):
    """Tests of the clauses of `tierfold.abc.engine`. Subclass it and implement `open_engine`."""

    @abstractmethod
    def open_engine(self, where: Path) -> Engine:
        """A new engine; a durable one keeps its content in the directory ``where``, which may not exist yet."""

    @pytest.fixture
    def engine(self, tmp_path: Path) -> Iterator[Engine]:
        engine = self.open_engine(tmp_path / "engine")
        yield engine
        engine.close()

    # --- reading and writing -------------------------------------------------------------------------------------

    @pytest.mark.parametrize("value", [b"", b"\x00", bytes(range(256)), b"x" * 3_000_000], ids=len)
    def test_a_value_comes_back_byte_for_byte(self, engine: Engine, value: bytes) -> None:
        """E1: the value under a key as it was put; a missing key has None."""
        put(engine, a=value)
        with engine.read() as (_, view):
            assert (view.get(b"a"), view.get(b"b")) == (value, None)

    @pytest.mark.parametrize("key", [b"\x00", b"\xff" * 511], ids=len)
    def test_the_shortest_and_the_longest_key_can_be_used(self, engine: Engine, key: bytes) -> None:
        """E1: keys have 1 to 511 bytes, any of them."""
        with writing(engine) as txn:
            txn.put(key, b"value")
        assert engine.fetch(key)[1] == b"value"

    @pytest.mark.parametrize("key", [b"", b"x" * 512], ids=len)
    def test_a_key_of_another_length_is_refused(self, engine: Engine, key: bytes) -> None:
        """E1: keys have 1 to 511 bytes."""
        txn = engine.begin()
        with pytest.raises(StoreError):
            txn.put(key, b"value")
        txn.abort()
        assert rows(engine) == []

    def test_many_values_come_in_the_order_of_their_keys(self, engine: Engine) -> None:
        """E17: what `get` says for each, missing and repeated ones included."""
        put(engine, a=b"1", b=b"2")
        with writing(engine) as txn:
            txn.put(b"c", b"3")
            assert txn.get_many([b"c", b"x", b"a", b"c"]) == [b"3", None, b"1", b"3"]
        with engine.read() as (_, view):
            assert view.get_many([]) == []

    def test_a_scan_ascends_from_low_to_before_high(self, engine: Engine) -> None:
        """E2: ``low <= key < high``, ascending as bytes; low may be empty."""
        names = [b"a", b"a\x00", b"ab", b"b", b"\x80", b"\xff"]
        with writing(engine) as txn:
            for name in reversed(names):
                txn.put(name, name)
        with engine.read() as (_, view):
            for low, high in itertools.product([b"", *names], [*names, b"\xff\xff"]):
                expected = [(name, name) for name in names if low <= name < high]
                assert list(view.scan(low, high)) == expected

    def test_a_scan_ends_with_its_transaction(self, engine: Engine) -> None:
        """E2: nothing comes out once the transaction has ended."""
        put(engine, a=b"1", b=b"2")
        with engine.read() as (_, view):
            pairs = view.scan(*ALL)
            next(pairs)
        with pytest.raises(StoreError):
            next(pairs)

    def test_the_last_pair_of_a_range_is_found(self, engine: Engine) -> None:
        """E3: the greatest key in ``low <= key < high``, or None."""
        put(engine, b=b"1", d=b"2")
        with engine.read() as (_, view):
            found = [view.last(*bounds) for bounds in [(b"a", b"e"), (b"a", b"d"), (b"b", b"b\x00")]]
            missing = [view.last(*bounds) for bounds in [(b"a", b"b"), (b"c", b"d"), (b"e", b"f"), (b"d", b"b")]]
        assert found == [(b"d", b"2"), (b"b", b"1"), (b"b", b"1")]
        assert missing == [None] * 4

    def test_a_scan_back_gives_the_pairs_of_a_scan_in_the_other_order(self, engine: Engine) -> None:
        """E18: over any bounds, within one transaction that wrote, too."""
        put(engine, **{f"k{number:04}": b"%d" % number for number in range(1500)})
        bounds = [ALL, (b"k0010", b"k0020"), (b"k0700", b"z"), (b"a", b"k0001"), (b"k0020", b"k0010"), (b"z", b"zz")]
        with engine.read() as (_, view):
            for low, high in bounds:
                assert list(view.scan_back(low, high)) == list(view.scan(low, high))[::-1]
        txn = engine.begin()
        txn.delete(b"k0005")
        assert [key for key, _ in txn.scan_back(b"k0004", b"k0007")] == [b"k0006", b"k0004"]
        txn.abort()

    def test_a_count_says_how_many_a_scan_gives(self, engine: Engine) -> None:
        """E19: over any bounds."""
        put(engine, **{f"k{number:04}": b"" for number in range(1500)})
        bounds = [ALL, (b"k0010", b"k0020"), (b"k0700", b"z"), (b"a", b"k0001"), (b"k0020", b"k0010"), (b"z", b"zz")]
        with engine.read() as (_, view):
            assert [view.count(*each) for each in bounds] == [len(list(view.scan(*each))) for each in bounds]

    def test_nothing_is_found_backwards_in_an_empty_engine(self, engine: Engine) -> None:
        """E18: nor counted (E19)."""
        with engine.read() as (_, view):
            assert (list(view.scan_back(*ALL)), view.count(*ALL)) == ([], 0)

    def test_the_last_pair_of_an_empty_engine_is_none(self, engine: Engine) -> None:
        """E3: None when there is nothing."""
        with engine.read() as (_, view):
            assert view.last(*ALL) is None

    def test_a_transaction_sees_its_own_writes(self, engine: Engine) -> None:
        """E4: by get, scan and last."""
        put(engine, a=b"1", b=b"2")
        with writing(engine) as txn:
            txn.put(b"c", b"3")
            txn.put(b"a", b"4")
            txn.delete(b"b")
            assert (txn.get(b"a"), txn.get(b"b"), txn.get(b"c")) == (b"4", None, b"3")
            assert list(txn.scan(*ALL)) == [(b"a", b"4"), (b"c", b"3")]
            assert txn.last(*ALL) == (b"c", b"3")

    def test_nobody_sees_writes_before_the_commit(self, engine: Engine) -> None:
        """E4: another thread sees the engine before the commit or waits for it."""
        old = put(engine, a=b"old")
        seen: list[tuple[int, bytes | None]] = []
        txn = engine.begin()
        txn.put(b"a", b"new")
        reader = Thread(target=lambda: seen.append(engine.fetch(b"a")))
        reader.start()
        reader.join(0.05)
        early = list(seen)
        txn.commit()
        reader.join()
        assert early in ([], [(old, b"old")])
        assert seen in ([(old, b"old")], [(old + 1, b"new")])

    def test_putting_sorted_pairs_is_putting_each(self, engine: Engine) -> None:
        """E6: new keys and replaced ones, also between others."""
        put(engine, a=b"1", c=b"2", e=b"3")
        with writing(engine) as txn:
            txn.put_sorted([(b"b", b"4"), (b"c", b"5"), (b"d", b"6")])
            txn.put_sorted([])
        assert rows(engine) == [(b"a", b"1"), (b"b", b"4"), (b"c", b"5"), (b"d", b"6"), (b"e", b"3")]

    def test_a_deleted_key_is_gone_and_a_missing_one_is_no_error(self, engine: Engine) -> None:
        """E7: remove; nothing happens when it is missing."""
        put(engine, a=b"1", b=b"2")
        with writing(engine) as txn:
            txn.delete(b"a")
            txn.delete(b"c")
        assert rows(engine) == [(b"b", b"2")]

    # --- transactions --------------------------------------------------------------------------------------------

    def test_a_commit_becomes_visible_at_once(self, engine: Engine) -> None:
        """E8, E13: whoever looks while two rows change together sees both as they were or both as they are."""
        put(engine, a=b"0", b=b"0")
        torn: list[object] = []
        done = Event()

        def look() -> None:
            while not done.is_set():
                with engine.read() as (_, view):
                    pair = view.get(b"a"), view.get(b"b")
                if pair[0] != pair[1]:
                    torn.append(pair)

        readers = [Thread(target=look) for _ in range(2)]
        for reader in readers:
            reader.start()
        for number in range(50):
            value = b"%d" % number
            put(engine, a=value, b=value)
        done.set()
        for reader in readers:
            reader.join()
        assert torn == []

    def test_an_aborted_transaction_never_happened(self, engine: Engine) -> None:
        """E9: not one of its writes, and its id is given again."""
        number = put(engine, a=b"1", b=b"2")
        txn = engine.begin()
        for change in (b"3", b"4"):
            txn.put(b"a", change)
            txn.put(b"c", change)
        txn.delete(b"b")
        txn.delete(b"c")
        txn.put_sorted([(b"b", b"5"), (b"d", b"6")])
        txn.abort()
        assert rows(engine) == [(b"a", b"1"), (b"b", b"2")]
        assert (engine.transaction_id(), put(engine, a=b"7")) == (number, number + 1)

    def test_a_transaction_that_has_ended_cannot_be_used(self, engine: Engine) -> None:
        """E8, E9: reading through it is an error, not old data."""
        with engine.read() as (_, view):
            pass
        txn = engine.begin()
        txn.put(b"a", b"1")
        txn.commit()
        for ended in (view, txn):
            with pytest.raises(StoreError):
                ended.get(b"a")

    def test_a_transaction_knows_its_id_beforehand(self, engine: Engine) -> None:
        """E5, E12: what `transaction_id` says after the commit."""
        for _ in range(3):
            assert put(engine, a=b"1") == engine.transaction_id()

    def test_every_commit_changes_the_transaction_id_and_nothing_else_does(self, engine: Engine) -> None:
        """E12: a commit that wrote nothing is none."""
        seen = [engine.transaction_id()]
        for _ in range(2):
            put(engine, a=b"same")
            seen.append(engine.transaction_id())
        engine.fetch(b"a")
        rows(engine)
        engine.begin().abort()
        engine.begin().commit()
        seen.append(engine.transaction_id())
        assert len(set(seen)) == 3
        assert seen[-1] == seen[-2]

    def test_a_fetch_is_a_read_of_one_key(self, engine: Engine) -> None:
        """E11: the id of the last commit, and the value or None."""
        number = put(engine, a=b"1")
        assert (engine.fetch(b"a"), engine.fetch(b"b")) == ((number, b"1"), (number, None))

    def test_a_view_says_which_commit_it_sees(self, engine: Engine) -> None:
        """E13: the id that the last commit had."""
        number = put(engine, a=b"1")
        with engine.read() as (seen, view):
            assert (seen, view.get(b"a")) == (number, b"1")

    def test_a_view_does_not_change_while_it_is_open(self, engine: Engine) -> None:
        """E13: a commit meanwhile, or after it by a thread that must wait, does not show."""
        number = put(engine, a=b"old")
        writer = Thread(target=lambda: put(engine, a=b"new"))
        with engine.read() as (seen, view):
            before = view.get(b"a")
            writer.start()
            writer.join(0.05)
            after = view.get(b"a")
        writer.join()
        assert (seen, before, after) == (number, b"old", b"old")
        assert engine.fetch(b"a") == (number + 1, b"new")

    def test_write_transactions_wait_for_each_other(self, engine: Engine) -> None:
        """E14: there is one at a time; no update is lost between threads."""

        def count() -> None:
            for _ in range(20):
                with writing(engine) as txn:
                    txn.put(b"n", b"%d" % (int(txn.get(b"n") or b"0") + 1))

        threads = [Thread(target=count) for _ in range(3)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert engine.fetch(b"n")[1] == b"60"

    def test_no_room_is_made_where_none_is_needed(self, engine: Engine) -> None:
        """E15: True would have the caller repeat its writes for ever."""
        assert engine.make_room() is False

    # --- place and end -------------------------------------------------------------------------------------------

    def test_two_engines_are_two_places(self, engine: Engine, tmp_path: Path) -> None:
        """E10: and one stays where it is."""
        other = self.open_engine(tmp_path / "other")
        assert other.place != engine.place
        assert engine.place == engine.place
        other.close()

    def test_a_closed_engine_refuses_every_call_and_closes_again(self, engine: Engine) -> None:
        """E16: idempotent; everything else raises `StoreClosedError`."""
        engine.close()
        engine.close()
        for call in (lambda: engine.fetch(b"a"), engine.transaction_id, engine.begin, lambda: rows(engine)):
            with pytest.raises(StoreClosedError):
                call()

    @pytest.mark.hypothesis
    def test_any_history_leaves_what_a_sorted_dict_would_hold(self, tmp_path: Path) -> None:
        """E1-E9, E11-E13: random transactions against a dict."""
        numbers = itertools.count()

        class Machine(EngineMachine):
            def open(machine) -> Engine:  # noqa: N805 - `self` is the suite
                return self.open_engine(tmp_path / str(next(numbers)))

        run_state_machine_as_test(Machine, settings=settings(stateful_step_count=40))


class DurableEngineSuite(EngineSuite, defines=True):
    """What is asked of a `DurableEngine` beyond."""

    @abstractmethod
    def open_engine(self, where: Path) -> DurableEngine: ...

    def test_reopening_gives_the_same_content_at_the_same_place(self, tmp_path: Path) -> None:
        """E8, E10, E12: rows, place and transaction id outlive the engine."""
        seen = []
        for attempt in range(2):
            engine = self.open_engine(tmp_path / "engine")
            if attempt == 0:
                put(engine, a=b"1", b=b"2")
            seen.append((rows(engine), engine.place, engine.transaction_id()))
            engine.close()
        assert seen[0] == seen[1]

    def test_a_transaction_open_at_the_end_never_happened(self, tmp_path: Path) -> None:
        """E8, E16: closing commits nothing."""
        engine = self.open_engine(tmp_path / "engine")
        put(engine, a=b"1")
        txn = engine.begin()
        txn.put(b"a", b"2")
        engine.close()
        engine = self.open_engine(tmp_path / "engine")
        assert rows(engine) == [(b"a", b"1")]
        engine.close()

    def test_a_copy_of_the_files_is_another_place(self, tmp_path: Path) -> None:
        """E10: so that a store notices that it was copied."""
        engine = self.open_engine(tmp_path / "engine")
        put(engine, a=b"1")
        place = engine.place
        engine.close()
        shutil.copytree(tmp_path / "engine", tmp_path / "copy")
        copy = self.open_engine(tmp_path / "copy")
        assert rows(copy) == [(b"a", b"1")]
        assert copy.place != place
        copy.close()

    def test_engines_on_the_same_files_see_each_other(self, tmp_path: Path) -> None:
        """E8, E12, E16: at once, and closing one leaves the other open."""
        first, second = self.open_engine(tmp_path / "engine"), self.open_engine(tmp_path / "engine")
        number = put(first, a=b"1")
        assert (second.fetch(b"a"), second.place) == ((number, b"1"), first.place)
        first.close()
        assert put(second, a=b"2") == number + 1
        second.close()


class EngineMachine(RuleBasedStateMachine):
    """Transactions on an engine and on a dict, side by side."""

    keys: st.SearchStrategy[bytes] = st.binary(min_size=1, max_size=2) | st.sampled_from(
        [b"k" * length for length in (1, 100, 511)]
    )
    values: st.SearchStrategy[bytes] = st.binary(max_size=4) | st.just(b"v" * 5000)

    def open(self) -> Engine:
        """A new, empty engine."""
        raise NotImplementedError

    @initialize()
    def begin_empty(self) -> None:
        self.engine: Engine = self.open()
        self.committed: dict[bytes, bytes] = {}
        self.commits: int = self.engine.transaction_id()
        self.txn: WriteTransaction | None = None
        self.pending: dict[bytes, bytes] = {}

    def teardown(self) -> None:
        if hasattr(self, "engine"):
            if self.txn:
                self.txn.abort()
            self.engine.close()

    @precondition(lambda self: self.txn is None)
    @rule()
    def begin(self) -> None:
        self.txn = self.engine.begin()
        self.pending = dict(self.committed)

    @precondition(lambda self: self.txn)
    @rule(key=keys, value=values)
    def put(self, key: bytes, value: bytes) -> None:
        assert self.txn
        self.txn.put(key, value)
        self.pending[key] = value

    @precondition(lambda self: self.txn)
    @rule(pairs=st.dictionaries(keys, values))
    def put_sorted(self, pairs: dict[bytes, bytes]) -> None:
        assert self.txn
        self.txn.put_sorted(sorted(pairs.items()))
        self.pending |= pairs

    @precondition(lambda self: self.txn)
    @rule(key=keys)
    def delete(self, key: bytes) -> None:
        assert self.txn
        self.txn.delete(key)
        self.pending.pop(key, None)

    @precondition(lambda self: self.txn)
    @rule(low=keys, high=keys)
    def look_inside(self, low: bytes, high: bytes) -> None:
        assert self.txn
        within = sorted(pair for pair in self.pending.items() if low <= pair[0] < high)
        assert list(self.txn.scan(low, high)) == within
        assert self.txn.last(low, high) == (within[-1] if within else None)
        assert self.txn.get(low) == self.pending.get(low)

    @precondition(lambda self: self.txn)
    @rule()
    def commit(self) -> None:
        assert self.txn
        number = self.txn.id()
        self.txn.commit()
        self.txn = None
        self.commits = self.engine.transaction_id()
        assert self.commits == number or self.pending == self.committed
        self.committed = self.pending

    @precondition(lambda self: self.txn)
    @rule()
    def abort(self) -> None:
        assert self.txn
        self.txn.abort()
        self.txn = None

    @precondition(lambda self: self.txn is None)
    @rule(key=keys)
    def look(self, key: bytes) -> None:
        assert self.engine.fetch(key) == (self.commits, self.committed.get(key))
        with self.engine.read() as (number, view):
            assert number == self.commits
            assert list(view.scan(b"", b"\xff" * 3)) == sorted(self.committed.items())
