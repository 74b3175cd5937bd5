"""What a link reads of its nearer store: the partition as it stands, rows with their bases, rows to deliver."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any

from tierfold.abc.syncable import LinkState, NearRow, NearRows, NearView
from tierfold.errors import CorruptDataError
from tierfold.layout import FEED, PARTITION_ROWS, SEGMENT_ROWS, UP, LinkStateRow, Row, end_of, open_row, peek_row
from tierfold.model import Digest, FeedToken, Position, SegmentName
from tierfold.records.answering import changed_rows, record_of, rows_sum, segment_roots
from tierfold.records.positions import BEGINNING, seq_of, token_seq
from tierfold.records.snapshot import SegmentState, Snapshot

__all__ = [
    "dirty_rows",
    "dirty_tail",
    "has_pending",
    "link_state_of",
    "near_rows",
    "pending",
    "present_sum",
    "view",
    "wanted",
]

Reading = Snapshot[Any]


def link_state_of(row: LinkStateRow) -> LinkState:
    return LinkState(
        None if row.pulled is None else Position(row.pulled),
        None if row.seen is None else Position(row.seen),
        row.batch,
        tuple((key, Digest(hash), deleted) for key, hash, deleted in row.outstanding),
        row.far_horizon,
        None if row.resume is None else (Position(row.resume[0]), row.resume[1]),
    )


def dirty_tail(
    reading: Reading,
    state: SegmentState,
    last: int,
    damaged: list[bytes],
    open: Callable[[bytes, bytes], Row] = open_row,
) -> Iterator[tuple[bytes, Row]]:
    """Rows to deliver in changelog order, up to the seq ``last``. There is no outbox: they are the changelog's tail.

    Args:
        damaged: Where the keys of damaged rows go.
    """
    link = reading.link
    if link is None or not link.upstream:
        return
    first = reading.link_state(state).pushed + 1
    attached = link.first_seq
    for key, row in changed_rows(reading, state, first, last, open, damaged):
        if row.seq < attached or (row.via != UP and row.base != row.hash):  # `is_dirty`, without the calls
            yield key, row


def _has_dirty(reading: Reading, state: SegmentState) -> bool:
    return next(dirty_tail(reading, state, state.row.max_seq, [], peek_row), None) is not None


def view(reading: Reading, partition: str) -> NearView:
    """The partition as its link finds it."""
    row = reading.partition(partition)
    states = reading.segments_of(partition)
    return NearView(
        reading.presence(partition),
        row.generation,
        row.gone_back,
        {state.name: link_state_of(reading.link_state(state)) for state in states},
        {state.name: segment_roots(reading, state) for state in states},
        frozenset(state.name for state in states if _has_dirty(reading, state)),
    )


def wanted(reading: Reading) -> list[str]:
    """Partitions that somebody waits for."""
    return [row.name for _, row in PARTITION_ROWS.rows(reading.txn) if row.wanted]


def pending(reading: Reading) -> Iterator[str]:
    """Partitions with rows to deliver or an unanswered batch: only what changed since the feed noted last has any."""
    link = reading.link
    noted = FeedToken(link.own_token) if link is not None and link.own_token else None
    first = token_seq(reading.store, reading.counters.next_seq, noted) + 1
    found: set[str] = set()
    for _, number in list(reading.txn.scan(FEED + first.to_bytes(8, "big"), end_of(FEED))):
        row = SEGMENT_ROWS.get(reading.txn, number)
        state = reading.find(SegmentName(row.type, row.partition)) if row else None
        if state is None:
            raise CorruptDataError("the feed names a segment that has no row")
        name = state.name.partition
        if name not in found and (reading.link_state(state).outstanding or _has_dirty(reading, state)):
            found.add(name)
            yield name


def has_pending(reading: Reading) -> bool:
    """Whether rows wait for delivery. A store that never met its upstream has delivered none."""
    if reading.has_upstream:
        return next(pending(reading), None) is not None
    return any(row.live or row.deleted for _, row in SEGMENT_ROWS.rows(reading.txn))


def _near_row(reading: Reading, state: SegmentState, key: bytes, row: Row, since: int, is_dirty: bool) -> NearRow:
    base, base_deleted = reading.base_of(row)
    return NearRow(
        key,
        record_of(state, row),
        is_dirty,
        Digest(base),
        base_deleted,
        reading.is_from_upstream(row),
        row.seq > since,
        row.seq,
    )


def near_rows(reading: Reading, name: SegmentName, keys: Sequence[bytes], since: Position) -> NearRows:
    """The rows that exist among the keys, with what the link must know of them."""
    state = reading.find(name)
    if state is None:
        return NearRows((), BEGINNING)
    after = seq_of(since)
    found, damaged = reading.sound_rows(state, keys)
    dirty = reading.is_dirty
    rows = tuple(_near_row(reading, state, key, row, after, dirty(state, row)) for key, row in found)
    return NearRows(rows, reading.position(state), damaged)


def dirty_rows(
    reading: Reading, name: SegmentName, limit_bytes: int, until: Position, skip: frozenset[bytes]
) -> NearRows:
    """The first rows to deliver, at least one if there is any, up to about ``limit_bytes``."""
    state = reading.find(name)
    if state is None:
        return NearRows((), BEGINNING)
    rows: list[NearRow] = []
    damaged: list[bytes] = []
    size, last = 0, seq_of(until)
    for key, row in dirty_tail(reading, state, last, damaged):
        if key in skip:
            continue
        if size >= limit_bytes:
            break
        rows.append(_near_row(reading, state, key, row, last, True))
        size += len(row.content)
    return NearRows(tuple(rows), reading.position(state), tuple(damaged))


def present_sum(reading: Reading) -> int:
    """Sum over all segments of the partitions that are present here."""
    return rows_sum(reading.held_segments())
