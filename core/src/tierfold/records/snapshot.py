"""One consistent view of a store: its catalog and rows as plain values. Reads a transaction and writes nothing."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Generic, TypeVar

from msgspec import Struct

from tierfold.abc.engine import ReadTransaction
from tierfold.abc.syncable import Presence
from tierfold.digest import Hasher
from tierfold.errors import CorruptDataError, PartitionUnavailableError
from tierfold.layout import (
    COUNTER_ROWS,
    LINK_ROWS,
    LINK_STATE_ROWS,
    MEMBER,
    PARTITION_ROWS,
    RECORD,
    SEGMENT_NAME,
    SEGMENT_ROWS,
    UP,
    Counters,
    LinkRow,
    LinkStateRow,
    PartitionRow,
    Row,
    SegmentRow,
    StoreMemo,
    StoreRow,
    end_of,
    name_key,
    open_row,
    unseal,
)
from tierfold.model import FeedToken, Position, SegmentName
from tierfold.records.indexes import IndexMemo, TypeIndexes
from tierfold.records.leaves import Delta
from tierfold.records.positions import feed_token, position_of

__all__ = ["Opened", "SegmentState", "Snapshot"]

X = TypeVar("X", bound=ReadTransaction)


class Opened(Struct):
    """What an opened store injects into its transactions.

    Attributes:
        incarnation: Random name that the first write of this open appends.
        wall_ms: Clock, ms since 1970.
        hasher: The `Hasher` of an entity type.
        memo: Keeps the store row between transactions; ``indexes`` the indexes.
        is_gone: Whether the holder of a link lease has certainly ended.
        expects_upstream: The program that opened it has a farther tier, reached or not.
    """

    incarnation: bytes
    wall_ms: Callable[[], int]
    random_bytes: Callable[[int], bytes]
    hasher: Callable[[str], Hasher]
    memo: StoreMemo
    indexes: IndexMemo
    is_gone: Callable[[bytes], bool]
    expects_upstream: bool = False


class SegmentState:
    """A segment within one transaction."""

    __slots__ = ("deltas", "fed_at", "hasher", "link", "link_loaded", "name", "number", "row", "touched")

    def __init__(self, name: SegmentName, number: bytes, row: SegmentRow, hasher: Hasher) -> None:
        self.name: SegmentName = name
        self.number: bytes = number
        self.row: SegmentRow = row
        self.hasher: Hasher = hasher
        self.link: LinkStateRow = LinkStateRow()
        self.link_loaded: bool = False
        self.deltas: list[Delta] = []
        self.fed_at: int = row.max_seq
        self.touched: bool = False


class Snapshot(Generic[X]):
    """A store within one transaction.

    Attributes:
        names: Segments by number, as far as `segment_name` was asked for them.
    """

    def __init__(self, txn: X, opened: Opened) -> None:
        self.txn = txn
        self.opened = opened
        self.counters: Counters = COUNTER_ROWS.get(txn) or Counters()
        self._store: StoreRow | None = None
        self._link: LinkRow | None = None
        self._link_read = False
        self._segments: dict[SegmentName, SegmentState] = {}
        self._numbered: dict[bytes, SegmentState] = {}
        self.names: dict[bytes, SegmentName] = {}

    # --- store and link ------------------------------------------------------------------------------------------

    @property
    def store(self) -> StoreRow:
        store = self.find_store()
        if store is None:
            raise CorruptDataError("the store row is missing")
        return store

    def find_store(self) -> StoreRow | None:
        """The store row, None before the store is created."""
        if self._store is None:
            self._store = self.opened.memo.load(self.txn)
        return self._store

    @property
    def link(self) -> LinkRow | None:
        """The link to the upstream, None for a store that never had one."""
        if not self._link_read:
            self._link, self._link_read = LINK_ROWS.get(self.txn), True
        return self._link

    @property
    def has_upstream(self) -> bool:
        link = self.link
        return link is not None and link.upstream != b""

    # --- segments and partitions ---------------------------------------------------------------------------------

    def find(self, name: SegmentName) -> SegmentState | None:
        """The segment, or None when nothing was ever written to it."""
        state = self._segments.get(name)
        if state is None:
            key = SEGMENT_NAME + name_key(name.type, name.partition)
            number = self.txn.get(key)
            if number is None:
                return None
            state = self._load(name, unseal(key, number))
        return state

    def _load(self, name: SegmentName, number: bytes) -> SegmentState:
        row = SEGMENT_ROWS.get(self.txn, number)
        if row is None or (row.type, row.partition) != (name.type, name.partition):
            raise CorruptDataError(f"segment {name.type}/{name.partition} has no row of its own")
        return self._keep(SegmentState(name, number, row, self.opened.hasher(name.type)))

    def _keep(self, state: SegmentState) -> SegmentState:
        self._segments[state.name] = self._numbered[state.number] = state
        return state

    def segment_name(self, number: bytes) -> SegmentName:
        """The segment of a number that a row names; from now on it is among `names`."""
        row = SEGMENT_ROWS.get(self.txn, number)
        if row is None:
            raise CorruptDataError(f"segment {number.hex()} has no row")
        name = self.names[number] = SegmentName(row.type, row.partition)
        return name

    @property
    def indexes(self) -> dict[str, TypeIndexes]:
        """The indexes of each type that has any."""
        changes = self.counters.index_changes
        return self.opened.indexes.load(self.txn, changes) if changes else {}

    def partition(self, name: str) -> PartitionRow:
        return PARTITION_ROWS.get(self.txn, name_key(name)) or PartitionRow(name)

    def presence(self, partition: str) -> Presence:
        """Whether the partition is held here. A store without an upstream holds every partition."""
        if not self.has_upstream and not self.opened.expects_upstream:
            return "present"
        return self.presence_in(self.partition(partition))

    def presence_in(self, row: PartitionRow) -> Presence:
        """The same, of a row that was read already."""
        if row.presence == "present" or not (self.has_upstream or self.opened.expects_upstream):
            return "present"
        return "absent" if row.presence == "absent" else "unknown"

    def held_segments(self) -> list[SegmentRow]:
        """Rows of every segment whose partition is present here."""
        rows = [row for _, row in SEGMENT_ROWS.rows(self.txn)]
        if not self.has_upstream and not self.opened.expects_upstream:
            return rows
        held = {row.name for _, row in PARTITION_ROWS.rows(self.txn) if row.presence == "present"}
        return [row for row in rows if row.partition in held]

    def require_present(self, partition: str) -> None:
        """Refuse work on a partition that is not held here (L1)."""
        presence = self.presence(partition)
        if presence != "present":
            raise PartitionUnavailableError(partition, f"its presence is {presence}")

    def segments_of(self, partition: str) -> list[SegmentState]:
        """Every segment of a partition, by number."""
        low = MEMBER + name_key(partition)
        numbers = [key[17:] for key, _ in self.txn.scan(low, end_of(low))]
        return [self._numbered.get(number) or self._load_member(partition, number) for number in numbers]

    def _load_member(self, partition: str, number: bytes) -> SegmentState:
        row = SEGMENT_ROWS.get(self.txn, number)
        if row is None:
            raise CorruptDataError(f"partition {partition!r} names a segment that has no row")
        return self._load(SegmentName(row.type, row.partition), number)

    def link_state(self, state: SegmentState) -> LinkStateRow:
        """The link state of a segment; empty for one that never met the upstream."""
        if not state.link_loaded:
            state.link = LINK_STATE_ROWS.get(self.txn, state.number) or LinkStateRow()
            state.link_loaded = True
        return state.link

    # --- rows ----------------------------------------------------------------------------------------------------

    def row(self, state: SegmentState, key: bytes) -> Row | None:
        full = RECORD + state.number + key
        value = self.txn.get(full)
        return None if value is None else open_row(full, value)

    def rows(self, state: SegmentState, keys: Sequence[bytes]) -> list[Row | None]:
        """What `row` answers for each key, in their order."""
        prefix = RECORD + state.number
        full = [prefix + key for key in keys]
        values = self.txn.get_many(full)
        return [None if value is None else open_row(key, value) for key, value in zip(full, values, strict=True)]

    def sound_rows(
        self, state: SegmentState, keys: Sequence[bytes]
    ) -> tuple[list[tuple[bytes, Row]], tuple[bytes, ...]]:
        """The rows that there are, with their keys in the order asked for, and the keys of those that are damaged."""
        found: list[tuple[bytes, Row]] = []
        damaged: list[bytes] = []
        for key in keys:
            try:
                row = self.row(state, key)
            except CorruptDataError:
                damaged.append(key)
            else:
                if row is not None:
                    found.append((key, row))
        return found, tuple(damaged)

    def is_from_upstream(self, row: Row) -> bool:
        link = self.link
        return row.via == UP and link is not None and row.seq >= link.first_seq

    def base_of(self, row: Row) -> tuple[bytes, bool]:
        """The version last known upstream; none for what was written before this upstream was attached."""
        link = self.link
        if link is None or row.seq < link.first_seq:
            return b"", False
        return row.base, row.base_deleted

    def is_dirty(self, state: SegmentState, row: Row) -> bool:
        """Changed here and not acknowledged by the upstream."""
        link = self.link
        if link is None or not link.upstream or row.seq <= self.link_state(state).pushed:
            return False
        return row.seq < link.first_seq or (row.via != UP and row.base != row.hash)

    def position(self, state: SegmentState) -> Position:
        return position_of(self.store, state.row.max_seq)

    def feed_token(self) -> FeedToken:
        return feed_token(self.store, self.counters.next_seq)
