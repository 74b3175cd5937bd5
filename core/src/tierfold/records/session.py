"""One write transaction of a store with what is accumulated until it ends.

Record rows and changelog entries are written at once, so that later units of the same group see them; digest leaves,
segment rows, the feed and the counters are written once, by `flush`.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from zlib import crc32

from msgspec import Struct
from msgspec.structs import replace

from tierfold.abc.engine import WriteTransaction
from tierfold.clock import day_of, hlc_of, next_hlc
from tierfold.digest import MODULUS, sum_bytes
from tierfold.errors import CorruptDataError
from tierfold.layout import (
    CHANGELOG,
    COUNTER_ROWS,
    FEED,
    INDEX_ROWS,
    LINK_ROWS,
    LINK_STATE_ROWS,
    LOCAL,
    MEMBER,
    NO_HASH,
    PARTITION_ROWS,
    RECORD,
    SEGMENT_NAME,
    SEGMENT_ROWS,
    STORE_ROWS,
    TOMBSTONE,
    IndexRow,
    LinkRow,
    LinkStateRow,
    PartitionRow,
    Row,
    SegmentRow,
    StoreRow,
    name_key,
    pack_row,
    seal,
)
from tierfold.model import Origin, SegmentName
from tierfold.records.indexes import Index
from tierfold.records.leaves import add_to_leaves
from tierfold.records.positions import KEPT_INCARNATIONS
from tierfold.records.snapshot import Opened, SegmentState, Snapshot

__all__ = ["Entry", "Moved", "WriteSession"]

Entry = tuple[bytes, Row | None, bytes, bytes, int, bytes, bool]
"""Record key, row it replaces, content, record hash, via, base, base is deleted."""


class Moved(Struct, frozen=True, gc=False):
    """Rows of a segment that changed: what events are made of. The hash of a row that was let go is empty."""

    name: SegmentName
    origin: Origin
    entries: Sequence[Entry]


class WriteSession(Snapshot[WriteTransaction]):
    """The transaction a unit of the writer works in."""

    def __init__(self, txn: WriteTransaction, opened: Opened) -> None:
        super().__init__(txn, opened)
        self.moved: list[Moved] = []
        self.first_seq: int = self.counters.next_seq
        self.first_presence: int = self.counters.presence
        self._bytes = 0
        self._changed = False
        self._index_counts: dict[bytes, dict[int, int]] = {}

    # --- catalog -------------------------------------------------------------------------------------------------

    @property
    def size_bytes(self) -> int:
        """How much was written so far, roughly; the writer ends a group by it."""
        return self._bytes

    def wrote(self, size_bytes: int = 64) -> None:
        """Something was written beside rows, so the counters are to be written too."""
        self._changed = True
        self._bytes += size_bytes

    def save_store(self, row: StoreRow) -> None:
        self._store = row
        STORE_ROWS.put(self.txn, row)
        self.wrote()

    def forget_link_states(self) -> None:
        """Link states were deleted behind the session's back."""
        for state in self._segments.values():
            state.link, state.link_loaded = LinkStateRow(), False

    def save_link(self, row: LinkRow) -> None:
        self._link, self._link_read = row, True
        LINK_ROWS.put(self.txn, row)
        self.wrote()

    def segment(self, name: SegmentName) -> SegmentState:
        """The segment, created when nothing was ever written to it."""
        state = self.find(name)
        if state is None:
            number = self.counters.next_segment.to_bytes(4, "big")
            self.counters.next_segment += 1
            key = SEGMENT_NAME + name_key(name.type, name.partition)
            self.txn.put(key, seal(key, number))
            row = SegmentRow(name.type, name.partition)
            state = self._keep(SegmentState(name, number, row, self.opened.hasher(name.type)))
            self.touch(state)
            self._list_in_partition(name, number)
        return state

    def _list_in_partition(self, name: SegmentName, number: bytes) -> None:
        key = MEMBER + name_key(name.partition) + number
        self.txn.put(key, seal(key, b""))
        if PARTITION_ROWS.get(self.txn, name_key(name.partition)) is None:
            self.save_partition(PartitionRow(name.partition))

    def touch(self, state: SegmentState) -> None:
        """The segment's row will be written."""
        state.touched = self._changed = True

    def save_partition(self, row: PartitionRow) -> None:
        PARTITION_ROWS.put(self.txn, row, name_key(row.name))
        self.counters.presence += 1
        self.wrote()

    def save_link_state(self, state: SegmentState, row: LinkStateRow) -> None:
        state.link, state.link_loaded = row, True
        LINK_STATE_ROWS.put(self.txn, row, state.number)
        self.wrote()

    # --- indexes -------------------------------------------------------------------------------------------------

    def save_index(self, number: bytes, row: IndexRow) -> None:
        """Write an index that is new, or in another state than before."""
        self._note_indexes()
        self.save_index_progress(number, row)

    def save_index_progress(self, number: bytes, row: IndexRow) -> None:
        """Write what no other transaction asks for: how far it is built, who wants it."""
        INDEX_ROWS.put(self.txn, row, number)
        self.wrote()

    def forget_index(self, number: bytes) -> None:
        INDEX_ROWS.delete(self.txn, number)
        self._index_counts.pop(number, None)
        self._note_indexes()

    def _note_indexes(self) -> None:
        # Drawn and not counted: what an aborted transaction saw must not be taken for what a later one made.
        self.counters.index_changes = int.from_bytes(self.opened.random_bytes(7), "big") + 1

    def put_index_entry(self, index: Index, key: bytes, schema: bytes) -> None:
        self.txn.put(key, schema)
        self._count_entry(index.number, schema, 1)
        self._bytes += 2 * len(key)

    def _count_entry(self, number: bytes, schema: bytes, change: int) -> None:
        counts = self._index_counts.setdefault(number, {})
        of = int.from_bytes(schema, "big")
        counts[of] = counts.get(of, 0) + change

    def _follow(self, state: SegmentState, changes: Iterable[tuple[bytes | None, bytes | None]]) -> None:
        """Bring the indexes up to records that change: (old content, new content), None = no live record."""
        indexes = self.indexes.get(state.name.type)
        if indexes is None:
            return
        added: list[tuple[bytes, bytes]] = []
        for old, new in changes:
            for index, gone, come in indexes.moves(old, new, state.number):
                # While it is built, what was never entered cannot be taken out.
                if gone is not None and old is not None and (index.is_ready or self.txn.get(gone) is not None):
                    self.txn.delete(gone)
                    self._count_entry(index.number, old[33:37], -1)
                if come is not None and new is not None:
                    added.append((come, new[33:37]))
                    self._count_entry(index.number, new[33:37], 1)
        added.sort()
        self.txn.put_sorted(added)
        self._bytes += sum([2 * len(key) for key, _ in added])

    # --- rows ----------------------------------------------------------------------------------------------------

    def base_for_write(self, state: SegmentState, old: Row | None) -> tuple[bytes, bool]:
        """The base of a version that replaces ``old`` by a write of this store or of a nearer peer."""
        if old is None or not self.has_upstream:
            return b"", False
        if self.is_dirty(state, old):
            return self.base_of(old)
        return old.hash, old.deleted

    def next_hlc(self, replaced: int = 0) -> int:
        """A clock reading above everything this store has seen."""
        self.counters.high_water = next_hlc(self.counters.high_water, self.opened.wall_ms(), replaced)
        return self.counters.high_water

    def next_hlcs(self, count: int, replaced: Iterable[bytes]) -> int:
        """The first of ``count`` readings in a row, above everything seen and every stamp in ``replaced``."""
        first = self.next_hlc(max(map(hlc_of, replaced), default=0))
        self.counters.high_water = first + count - 1
        return first

    def put_many(self, state: SegmentState, entries: Sequence[Entry], origin: Origin) -> None:
        """Write rows with new seqs. ``entries`` ascend strictly by record key; stamps of others were `see`-n before."""
        if not entries:
            return
        first = seq = self._first_seq(len(entries))
        record, log = RECORD + state.number, CHANGELOG + state.number
        pack, checksum, start = LOCAL.pack, crc32, crc32(record)
        rows: list[tuple[bytes, bytes]] = []
        for key, old, content, hash, via, base, base_deleted in entries:
            if base:
                body = pack(seq, via, 1 | base_deleted << 1, base, hash) + content
            else:
                body = pack(seq, via, 0, NO_HASH, hash) + content
            rows.append((record + key, body + checksum(body, checksum(key, start)).to_bytes(4, "little")))
            if old is not None:
                self._forget(state, key, old)
            if content[32] & 1:
                self._count_tombstone(state, key, content, hash, 1)
            seq += 1
        self.txn.put_sorted(rows)
        numbered = enumerate(entries, first)
        self.txn.put_sorted([(log + number.to_bytes(8, "big"), entry[0]) for number, entry in numbered])
        number_of = int.from_bytes
        state.deltas += [(entry[0], number_of(entry[3], "big"), 1) for entry in entries if not entry[2][32] & 1]
        if self.counters.index_changes:
            self._follow(state, [(_live(entry[1]), None if entry[2][32] & 1 else entry[2]) for entry in entries])
        self._bytes += sum([len(entry[2]) for entry in entries]) + 128 * len(entries)
        state.row.max_seq = seq - 1
        self.touch(state)
        self.moved.append(Moved(state.name, origin, entries))

    def relabel(self, state: SegmentState, key: bytes, old: Row, via: int, base: bytes, base_deleted: bool) -> None:
        """Change what is local about a row and give it a new seq; its record stays."""
        seq = self._first_seq(1)
        self.txn.delete(CHANGELOG + state.number + old.seq.to_bytes(8, "big"))
        self.txn.put(CHANGELOG + state.number + seq.to_bytes(8, "big"), key)
        state.row.max_seq = seq
        self.touch(state)
        self._rewrite(state, key, old, seq, via, base, base_deleted)

    def rebase(self, state: SegmentState, key: bytes, old: Row, base: bytes, base_deleted: bool) -> None:
        """Give a row another base and leave it where it is in the changelog.

        A row from before this upstream was attached moves to the end, for what it says of an upstream does not count.
        """
        if self.link is not None and old.seq < self.link.first_seq:
            self.relabel(state, key, old, 0, base, base_deleted)
        else:
            self._rewrite(state, key, old, old.seq, old.via, base, base_deleted)

    def _rewrite(
        self, state: SegmentState, key: bytes, old: Row, seq: int, via: int, base: bytes, base_deleted: bool
    ) -> None:
        full = RECORD + state.number + key
        value = pack_row(full, seq, via, base, base_deleted, old.hash, old.content)
        self.txn.put(full, value)
        self._bytes += len(value)

    def remove(self, state: SegmentState, key: bytes, old: Row, origin: Origin | None = None) -> None:
        """Let a row go. Takes no seq: nobody learns of it by changelog, only listeners here, if there is an origin."""
        self.txn.delete(RECORD + state.number + key)
        self._forget(state, key, old)
        if self.counters.index_changes:
            self._follow(state, ((_live(old), None),))
        self._bytes += 128
        self.touch(state)
        if origin is not None:
            self.moved.append(Moved(state.name, origin, ((key, old, old.content, b"", 0, b"", False),)))

    def _forget(self, state: SegmentState, key: bytes, old: Row) -> None:
        self.txn.delete(CHANGELOG + state.number + old.seq.to_bytes(8, "big"))
        if old.deleted:
            self._count_tombstone(state, key, old.content, old.hash, -1)
        else:
            state.deltas.append((key, MODULUS - int.from_bytes(old.hash, "big"), -1))

    def _count_tombstone(self, state: SegmentState, key: bytes, content: bytes, hash: bytes, sign: int) -> None:
        day = day_of(content[:16])
        total, count = state.row.tombstones.get(day, (NO_HASH, 0))
        state.row.deleted += sign
        if count + sign:
            total = sum_bytes(int.from_bytes(total, "big") + sign * int.from_bytes(hash, "big"))
            state.row.tombstones[day] = (total, count + sign)
        else:
            del state.row.tombstones[day]
        index = TOMBSTONE + state.number + day.to_bytes(4, "big") + key
        if sign > 0:
            self.txn.put(index, b"\x00")
        else:
            self.txn.delete(index)

    # --- seqs and the end ----------------------------------------------------------------------------------------

    def _first_seq(self, count: int) -> int:
        self._begin_incarnation()
        seq = self.counters.next_seq
        self.counters.next_seq = seq + count
        self._changed = True
        return seq

    def _begin_incarnation(self) -> None:
        mine = self.opened.incarnation
        if not any(name == mine for name, _ in reversed(self.store.incarnations)):
            self.begin_incarnation(mine)

    def begin_incarnation(self, name: bytes) -> None:
        """From the next seq on, positions carry ``name``."""
        kept = (*self.store.incarnations, (name, self.counters.next_seq))[-KEPT_INCARNATIONS:]
        self.save_store(replace(self.store, incarnations=kept))

    def raise_floor(self, state: SegmentState) -> None:
        """Positions that peers hold of the segment become unknown."""
        state.row.floor = state.row.max_seq = self._first_seq(1)
        self.touch(state)

    def see(self, stamps: Iterable[bytes]) -> None:
        """Move the clock past stamps of other stores."""
        self.counters.high_water = max(self.counters.high_water, hlc_of(max(stamps, default=bytes(8))))

    def flush(self) -> None:
        """Write what was accumulated."""
        for number, counts in self._index_counts.items():
            self._flush_index(number, counts)
        for state in self._segments.values():
            if state.touched:
                self._flush_segment(state)
        if self._changed:
            COUNTER_ROWS.put(self.txn, self.counters)

    def _flush_index(self, number: bytes, counts: dict[int, int]) -> None:
        row = INDEX_ROWS.get(self.txn, number)
        if row is None:
            raise CorruptDataError(f"index {number.hex()} has entries and no row")
        totals = {schema: row.entries.get(schema, 0) + counts.get(schema, 0) for schema in {*row.entries, *counts}}
        row.entries = {schema: total for schema, total in sorted(totals.items()) if total}
        INDEX_ROWS.put(self.txn, row, number)

    def _flush_segment(self, state: SegmentState) -> None:
        row = state.row
        if state.deltas:
            state.deltas.sort()
            total = int.from_bytes(row.live_sum, "big") + sum(delta[1] for delta in state.deltas)
            row.live_sum = sum_bytes(total)
            row.live += sum(delta[2] for delta in state.deltas)
            add_to_leaves(self.txn, state.number, state.deltas)
        if row.max_seq != state.fed_at:
            if state.fed_at:
                self.txn.delete(FEED + state.fed_at.to_bytes(8, "big"))
            self.txn.put(FEED + row.max_seq.to_bytes(8, "big"), state.number)
        SEGMENT_ROWS.put(self.txn, row, state.number)


def _live(old: Row | None) -> bytes | None:
    """The content that indexes know of a row that is replaced."""
    return None if old is None or old.deleted else old.content
