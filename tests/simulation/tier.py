"""One simulated store: an image of rows, the processes that have it open, and its clock. All the code is ours."""

from __future__ import annotations

from collections import Counter
from collections.abc import Coroutine
from random import Random
from typing import Any, Final, TypeVar

from tierfold.clock import day_of
from tierfold.codec import decode
from tierfold.digest import sum_bytes
from tierfold.kv.memory import MemoryEngine
from tierfold.kv.sorted_map import SortedMap
from tierfold.kv.store import KvStore
from tierfold.layout import CHANGELOG, INDEX_ENTRY, INDEX_ROWS, LOCAL_SIZE, RECORD, SEGMENT_ROWS, end_of, open_row
from tierfold.model import Digest, Record
from tierfold.records.leaves import children
from tierfold.specs import OpenContext
from tierfold.where.order_bytes import order_bytes

__all__ = ["Moment", "Tier", "drive"]

_INDEXED: Final = (("n",), ("every",))
_HASH_START: Final = LOCAL_SIZE - 16
T = TypeVar("T")


def drive(coroutine: Coroutine[Any, Any, T]) -> T:
    """Run a coroutine that never suspends, as those of a store on the memory engine."""
    try:
        coroutine.send(None)
    except StopIteration as done:
        answer: T = done.value
        return answer
    coroutine.close()
    raise AssertionError("the store suspended")


class Moment:
    """The time that all stores share, before each adds the error of its clock."""

    def __init__(self, ms: int) -> None:
        self.ms = ms


def _copied(rows: SortedMap) -> SortedMap:
    copy = SortedMap()
    for key, value in rows.scan(b"", b"\xff"):
        copy.put(key, value)
    return copy


class _Shared(MemoryEngine):
    """One of several processes on the same rows: the commits of each are seen by all."""

    def __init__(self, place: str, rows: SortedMap, counter: list[int]) -> None:
        self._counter = [0]
        super().__init__(place)
        self.rows, self._counter = rows, counter

    @property
    def commits(self) -> int:
        return self._counter[0]

    @commits.setter
    def commits(self, number: int) -> None:
        self._counter[0] = number


class Tier:
    """A store of a tree of tiers.

    Attributes:
        far: The upstream, None for the root.
        durable: Whether a crash leaves its rows.
        processes: Open stores on the same rows, each with an error of its clock; requests go to the first.
        buried: Tombstones that were collected here, by id.
    """

    def __init__(self, name: str, far: Tier | None, durable: bool, moment: Moment, random: Random) -> None:
        self.name, self.far, self.durable = name, far, durable
        self._moment, self._random = moment, random
        self.rows = SortedMap()
        self.processes: list[KvStore] = []
        self.offset_ms = 0
        self.backup: SortedMap | None = None
        self.paused = False
        self.buried: dict[str, Digest] = {}
        self._places, self._commits = 0, [0]
        self._records: dict[bytes, tuple[str, Record]] = {}
        self._choose = Random(name)
        self.move()

    @property
    def store(self) -> KvStore:
        return self.processes[0]

    def now_ms(self) -> int:
        return self._moment.ms + self.offset_ms

    # --- files and processes -------------------------------------------------------------------------------------

    def move(self) -> None:
        """Open what is there at a new place, as a copy."""
        self._places += 1
        self.reopen()

    def reopen(self) -> None:
        self.processes = [self.open_process()]

    def open_process(self, offset_ms: int = 0) -> KvStore:
        """One more program on the same rows, with an error of its own clock."""
        engine = _Shared(f"{self.name}/{self._places}", self.rows, self._commits)
        context = OpenContext(lambda: self.now_ms() + offset_ms, self._random.randbytes)
        store = KvStore(engine, context)
        drive(store.identify())
        return store

    def crash(self) -> None:
        """Its processes die; a volatile store loses everything and becomes another one."""
        if self.durable:
            self.reopen()
        else:
            self.rows = SortedMap()
            self.buried.clear()
            self.move()

    def back_up(self) -> None:
        self.backup = _copied(self.rows)

    def restore(self, *, in_place: bool) -> None:
        assert self.backup is not None
        self.rows = _copied(self.backup)
        if in_place:
            self.reopen()
        else:
            self.move()

    def tend_indexes(self) -> None:
        """What programs do meanwhile: now they want one index, now another; a little is built or dropped."""
        if self._choose.random() < 0.05:
            wanted = [path for path in _INDEXED if self._choose.random() < 0.6]
            drive(self.store.hold_indexes("Sensor", wanted, b"program", 1e6))
        if self._choose.random() < 0.3:
            drive(self.store.tend_indexes(self._choose.randint(1, 4)))

    # --- looking from outside ------------------------------------------------------------------------------------

    def held(self) -> dict[str, Record]:
        """Every row by id, tombstones included, read past the code that is tested."""
        found = {}
        for _, value in self.rows.scan(RECORD, end_of(RECORD)):
            hash = value[_HASH_START:LOCAL_SIZE]
            known = self._records.get(hash)
            if known is None:
                record = Record("", value[LOCAL_SIZE:-4], Digest(hash))
                known = self._records[hash] = (record.id, record)
            found[known[0]] = known[1]
        return found

    def commits(self) -> int:
        """A number that every commit changes."""
        return self._commits[0]

    def check_sums(self) -> None:
        """Whether what is kept incrementally is what its rows add up to."""
        with self.store.snapshot() as reading:
            for number, row in SEGMENT_ROWS.rows(reading.txn):
                live, tombstones = 0, Counter[int]()
                for key, value in self.rows.scan(RECORD + number, end_of(RECORD + number)):
                    each = open_row(key, value)
                    total = int.from_bytes(each.hash, "big")
                    if each.deleted:
                        tombstones[day_of(each.stamp)] += total
                    else:
                        live += total
                    entry = CHANGELOG + number + each.seq.to_bytes(8, "big")
                    assert self.rows.get(entry) == key[5:], "a row has no changelog entry"
                leaves, _ = children(reading.txn, number, "")
                assert sum_bytes(live) == row.live_sum, "live sum"
                assert sum(int.from_bytes(each, "big") for each in leaves) % 2**64 == live % 2**64, "leaves"
                kept = {day: total for day, (total, _) in row.tombstones.items()}
                assert kept == {day: sum_bytes(total) for day, total in tombstones.items()}, "tombstone sums"
                assert row.live + row.deleted == sum(
                    1 for _ in self.rows.scan(CHANGELOG + number, end_of(CHANGELOG + number))
                )

    def check_indexes(self) -> None:
        """Whether the entries of indexes are those that follow from the live rows."""
        with self.store.snapshot() as reading:
            for number, index in INDEX_ROWS.rows(reading.txn):
                prefix = INDEX_ENTRY + number
                entries = {key[5:]: value for key, value in self.rows.scan(prefix, end_of(prefix))}
                following = self._entries(index.path[0])
                if index.state == "ready":
                    assert entries == following, "index entries"
                elif index.state == "building":
                    assert entries.items() <= following.items(), "entries of an index that is built"
                counts = Counter(int.from_bytes(schema, "big") for schema in entries.values())
                assert index.state == "dropping" or index.entries == counts, "counts of index entries"

    def _entries(self, member: str) -> dict[bytes, bytes]:
        found = {}
        for key, value in self.rows.scan(RECORD, end_of(RECORD)):
            row = open_row(key, value)
            record = Record("Sensor", row.content, Digest(row.hash))
            if not row.deleted and not record.id.endswith(".n"):
                indexed, _ = order_bytes(decode(record.payload).get(member))
                found[indexed + record.id.encode() + key[1:5]] = record.schema.to_bytes(4, "big")
        return found
