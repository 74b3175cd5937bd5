"""R5: a full map grows once no transaction of this process is open, and the growth of another process is adopted."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator
from pathlib import Path
from threading import Event, Thread

import lmdb
import pytest

from tierfold.errors import StoreFullError, StoreUnavailableError
from tierfold.kv.writer import WriterThread
from tierfold.spi import WriteTransaction
from tierfold_lmdb.engine import LmdbEngine
from tierfold_lmdb.environment import Growing
from tierfold_lmdb.options import LmdbOptions

KIB = 1024
SMALL = LmdbOptions(durability="unsafe_nosync", map_bytes=64 * KIB, max_map_bytes=1024 * KIB * KIB)


class Rows:
    """The least that a writer can work with."""

    size_bytes = 0

    def __init__(self, txn: WriteTransaction) -> None:
        self.txn = txn

    def flush(self) -> None: ...


class Put:
    def __init__(self, key: bytes, size: int, gate: Event | None = None) -> None:
        self.key, self.size, self.gate = key, size, gate

    def check(self, session: Rows) -> None: ...

    def put(self, session: Rows) -> bytes:
        if self.gate:
            self.gate.wait(10)
        session.txn.put(self.key, b"x" * self.size)
        return self.key


@pytest.fixture
def engine(tmp_path: Path) -> Iterator[LmdbEngine]:
    engine = LmdbEngine(str(tmp_path), SMALL)
    yield engine
    engine.close()


def fill(engine: LmdbEngine, keys: Iterator[int], size: int) -> int:
    """Put rows until the map is full, and return how many are in."""
    for number in keys:
        txn = engine.begin()
        try:
            txn.put(b"%06d" % number, b"x" * size)
            txn.commit()
        except StoreFullError:
            txn.abort()
            return number
    return -1


def count(engine: LmdbEngine) -> int:
    with engine.read() as (_, view):
        return sum(1 for _ in view.scan(b"", b"\xff"))


def test_a_full_map_grows_and_everything_before_is_there(engine: LmdbEngine) -> None:
    full_at = fill(engine, itertools.count(), 4 * KIB)
    assert engine.make_room() is True
    assert engine.make_room() is False
    assert fill(engine, itertools.count(full_at), 4 * KIB) > full_at
    assert count(engine) > full_at


def test_the_driver_itself_ends_a_reader_when_the_map_is_replaced(tmp_path: Path) -> None:
    with lmdb.Environment(str(tmp_path)) as environment:
        reader = environment.begin()
        environment.set_mapsize(2 * 10485760)
        with pytest.raises(lmdb.Error):
            reader.get(b"a")


def double_ten_times(engine: LmdbEngine) -> int:
    """Begin with a small map and let it grow again and again; returns the size it has in the end."""
    environment = engine._environment

    def shrink() -> bool:
        environment._env.set_mapsize(SMALL.map_bytes)
        return True

    assert environment._when_quiet(shrink)
    for doublings in range(10):
        while not engine.make_room():
            fill(engine, iter([999_000]), SMALL.map_bytes << doublings)
    return int(environment._env.info()["map_size"])


def test_eight_readers_do_not_notice_that_the_map_grows_twenty_times(engine: LmdbEngine) -> None:
    rows = [(b"%02d" % number, b"value") for number in range(20)]
    txn = engine.begin()
    txn.put_sorted(rows)
    txn.commit()
    done = Event()
    troubles: list[object] = []

    def look() -> None:
        while not done.is_set():
            try:
                with engine.read() as (_, view):
                    seen = list(view.scan(b"", b"a"))
                if seen != rows or engine.fetch(b"07")[1] != b"value":
                    troubles.append(seen)
            except Exception as error:  # noqa: BLE001 - reported below
                troubles.append(error)

    readers = [Thread(target=look) for _ in range(8)]
    for reader in readers:
        reader.start()
    try:
        for _ in range(2):  # doubled twenty times, the map would be larger than any value that fills it
            assert double_ten_times(engine) == SMALL.map_bytes << 10
    finally:
        done.set()
        for reader in readers:
            reader.join()
    assert troubles == []


def test_a_reader_outlasts_any_number_of_growths_in_a_row(engine: LmdbEngine) -> None:
    environment = engine._environment
    begin, growths = environment.begin, iter(range(50))

    def begin_between_growths() -> lmdb.Transaction[bytes]:
        if next(growths, None) is not None:
            raise Growing
        return begin()

    environment.begin = begin_between_growths
    with engine.read() as (_, view):
        assert view.get(b"a") is None


def test_a_map_grows_to_its_limit_and_earlier_writes_stay(tmp_path: Path) -> None:
    engine = LmdbEngine(str(tmp_path), LmdbOptions(map_bytes=64 * KIB, max_map_bytes=100 * KIB))
    full_at = fill(engine, itertools.count(), KIB)
    assert engine.make_room() is True
    full_at = fill(engine, itertools.count(full_at), KIB)
    assert engine.make_room() is False
    assert count(engine) == full_at
    txn = engine.begin()
    txn.delete(b"%06d" % 0)
    txn.commit()
    assert count(engine) == full_at - 1
    engine.close()


def test_a_full_map_among_innocents_fails_only_the_unit_that_is_too_big(tmp_path: Path) -> None:
    engine = LmdbEngine(str(tmp_path), LmdbOptions(map_bytes=256 * KIB, max_map_bytes=512 * KIB))
    writer = WriterThread(engine, Rows, lambda _: None)
    gate = Event()
    sizes = {b"first": 10, b"a": 10, b"huge": 4 * KIB * KIB, b"b": 10, b"grows": 150 * KIB, b"c": 10}
    units = [Put(key, size, gate) for key, size in sizes.items()]
    tickets = [writer.submit(unit) for unit in units]
    gate.set()
    writer.close()
    outcomes = {unit.key: type(ticket._error) for unit, ticket in zip(units, tickets, strict=True)}
    assert outcomes == dict.fromkeys(sizes, type(None)) | {b"huge": StoreFullError}
    with engine.read() as (_, view):
        assert {key: len(value) for key, value in view.scan(b"", b"\xff")} == {
            key: size for key, size in sizes.items() if key != b"huge"
        }
    engine.close()


GROW = """
import sys
from tierfold_lmdb.engine import LmdbEngine
from tierfold_lmdb.options import LmdbOptions
engine = LmdbEngine(sys.argv[1], LmdbOptions(map_bytes=64 * 1024**2))
txn = engine.begin()
txn.put(b"large", b"x" * 10_000_000)
txn.commit()
engine.close()
"""


def look(engine: LmdbEngine) -> int:
    with engine.read() as (_, view):
        return len(view.get(b"large") or b"")


def write(engine: LmdbEngine) -> int:
    txn = engine.begin()
    size = len(txn.get(b"large") or b"")
    txn.put(b"more", b"x" * 20_000_000)
    txn.commit()
    return size


@pytest.mark.parametrize(
    "use", [lambda engine: len(engine.fetch(b"large")[1] or b""), look, write], ids=["fetch", "read", "begin"]
)
def test_the_growth_of_another_process_is_adopted(
    tmp_path: Path, run_script: Callable[..., str], use: Callable[[LmdbEngine], int]
) -> None:
    engine = LmdbEngine(str(tmp_path), SMALL)
    txn = engine.begin()
    txn.put(b"a", b"1")
    txn.commit()
    run_script(GROW, tmp_path)
    assert use(engine) == 10_000_000
    assert engine.fetch(b"a")[1] == b"1"
    engine.close()


def test_the_driver_itself_refuses_a_map_that_another_process_enlarged(
    tmp_path: Path, run_script: Callable[..., str]
) -> None:
    with lmdb.Environment(str(tmp_path), map_size=64 * KIB, lib_version=0) as environment:
        run_script(GROW, tmp_path)
        with pytest.raises(lmdb.MapResizedError):
            environment.begin()


class Skipping:
    """A clock that jumps a second whenever it is asked."""

    def __init__(self) -> None:
        self.now_s = 0.0

    def __call__(self) -> float:
        self.now_s += 1
        return self.now_s


def test_a_reader_that_does_not_end_stops_the_growth_and_nothing_else(engine: LmdbEngine) -> None:
    full_at = fill(engine, itertools.count(), KIB)
    engine._environment._monotonic_s = Skipping()
    with engine.read() as (_, view):
        assert engine.make_room() is False
        assert view.get(b"%06d" % 0) == engine.fetch(b"%06d" % 0)[1] == b"x" * KIB
    assert fill(engine, iter([full_at]), KIB) == full_at
    assert engine.make_room() is True
    assert fill(engine, iter([full_at]), KIB) == -1


def test_a_growth_elsewhere_during_a_reader_that_does_not_end_is_reported(
    engine: LmdbEngine, tmp_path: Path, run_script: Callable[..., str]
) -> None:
    engine._environment._monotonic_s = Skipping()
    with engine.read():
        run_script(GROW, tmp_path)
        with pytest.raises(StoreUnavailableError):
            engine.fetch(b"a")
    assert look(engine) == 10_000_000
