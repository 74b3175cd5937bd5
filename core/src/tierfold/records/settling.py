"""One transaction of a link in its nearer store: decisions, link state, presence and conflict log together."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from operator import itemgetter
from typing import assert_never

from tierfold.abc.syncable import (
    Accept,
    Bury,
    ConflictEntry,
    Drop,
    Keep,
    LinkState,
    Offer,
    PartitionMarks,
    Settled,
    Settlement,
    Step,
    Take,
)
from tierfold.clock import hlc_of, stamp_of
from tierfold.digest import Hasher, record_key
from tierfold.errors import CorruptDataError, LinkFencedError
from tierfold.layout import CONFLICT_ROWS, ConflictRow, Row, peek_row
from tierfold.model import Digest, Origin, Record, SegmentName, pack_content
from tierfold.records.answering import changed_rows, changelog, record_of
from tierfold.records.positions import seq_of
from tierfold.records.session import Entry, WriteSession
from tierfold.records.snapshot import SegmentState

__all__ = ["CONFLICT_LIMIT", "SettleUnit", "WriteThroughUnit", "conflict_of", "mark", "require_lease"]

CONFLICT_LIMIT = 10_000
"""Entries the conflict log holds; the oldest are forgotten first."""


def require_lease(session: WriteSession, token: int) -> None:
    """Fence off a process that no longer runs the link (N1)."""
    link = session.link
    if link is None or link.token != token:
        raise LinkFencedError("another process runs this link now")


def mark(session: WriteSession, partition: str, marks: PartitionMarks) -> None:
    """Change what is kept of a partition."""
    row = session.partition(partition)
    if marks.presence is not None:
        row.presence = marks.presence
        row.wanted = False
    if marks.generation is not None:
        row.generation = marks.generation
    if marks.gone_back is not None:
        row.gone_back = marks.gone_back
    session.save_partition(row)


class SettleUnit:
    """Carries a `Settlement` out. Steps whose row is no longer the expected one are left out and named."""

    def __init__(self, name: SegmentName, settlement: Settlement, token: int) -> None:
        self._name, self._asked, self._token = name, settlement, token

    def check(self, session: WriteSession) -> None:
        require_lease(session, self._token)
        hasher = session.opened.hasher(self._name.type)
        for step in self._asked.steps:
            if isinstance(step, Take) and hasher.hash(step.record.content) != step.record.hash:
                raise CorruptDataError(f"a record of {self._name.type} came with a hash that does not fit it")

    def put(self, session: WriteSession) -> Settled:
        asked = self._asked
        state = session.segment(self._name)
        if asked.state is not None:
            self._save_state(session, state, asked.state)
        nothing_to_deliver = session.link_state(state).pushed >= state.row.max_seq
        origin: Origin = "hydrate" if asked.hydrating else "sync"
        refused = _Steps(session, state, origin).carry_out(asked.steps)
        if nothing_to_deliver and all(isinstance(step, Take) for step in asked.steps):
            _set_pushed(session, state, state.row.max_seq)
        else:
            self._deliver(session, state)
        if asked.horizon > state.row.horizon:
            state.row.horizon = asked.horizon
            session.touch(state)
        if asked.raise_floor:
            session.raise_floor(state)
        for key, entry in asked.conflicts:
            if key not in refused:
                log_conflict(session, entry)
        return Settled(refused, session.position(state))

    @staticmethod
    def _save_state(session: WriteSession, state: SegmentState, new: LinkState) -> None:
        row = session.link_state(state)
        row.pulled, row.seen, row.batch = new.pulled, new.seen, new.batch
        row.outstanding, row.far_horizon, row.resume = list(new.outstanding), new.far_horizon, new.resume
        session.save_link_state(state, row)

    def _deliver(self, session: WriteSession, state: SegmentState) -> None:
        """Move ``pushed`` over what is delivered; mark delivered rows behind a gap one by one."""
        asked = self._asked
        verified = asked.verified_at
        if verified is not None and not asked.keep_dirty:
            _set_pushed(session, state, seq_of(verified))
            return
        accepted = {step.key: step for step in asked.steps if isinstance(step, Accept)}
        if accepted or verified is not None:
            _move_pushed(session, state, _Delivery(accepted, seq_of(verified), asked.keep_dirty))


class WriteThroughUnit:
    """Copies that a farther tier has stored enter a cache that holds what they replaced there."""

    def __init__(self, name: SegmentName, written: Sequence[tuple[Record, Digest]]) -> None:
        self._name, self._written = name, written

    def check(self, session: WriteSession) -> None:
        """Nothing can refuse it."""

    def put(self, session: WriteSession) -> bool:
        """Returns whether all copies entered, or need not because the partition is not here."""
        presence = session.presence(self._name.partition)
        if presence == "absent":
            mark(session, self._name.partition, PartitionMarks(presence="unknown"))
        if presence != "present":
            return True
        state = session.segment(self._name)
        steps = tuple(Take(record, replaced) for record, replaced in self._written)
        nothing_to_deliver = session.link_state(state).pushed >= state.row.max_seq
        refused = _Steps(session, state, "local").carry_out(steps)
        if nothing_to_deliver:
            _set_pushed(session, state, state.row.max_seq)
        return not refused


class _Delivery:
    """What the farther side is known to hold: rows it accepted, and all up to a seq that was verified but some."""

    def __init__(self, accepted: dict[bytes, Accept], verified_seq: int, keep_dirty: frozenset[bytes]) -> None:
        self._accepted, self._verified_seq, self._keep_dirty = accepted, verified_seq, keep_dirty
        self._waiting = len(accepted)

    def prefix(self, session: WriteSession, state: SegmentState, pushed: int) -> int:
        """``pushed``, moved over the entries behind it that were accepted, by the changelog alone.

        An entry that still has the seq it was read with names the version that was sent.
        """
        known = self._accepted.get
        for seq, key in changelog(session, state, pushed + 1, state.row.max_seq):
            step = known(key)
            if step is None or step.seq != seq:
                break
            pushed = seq
            self._waiting -= 1
        return pushed

    def base(self, key: bytes, row: Row) -> tuple[bytes, bool] | None:
        """The version of a row that the farther side holds, None when that is not known. Asked once per row."""
        step = self._accepted.get(key)
        self._waiting -= step is not None
        if row.seq <= self._verified_seq and key not in self._keep_dirty:
            return row.hash, row.deleted
        return None if step is None else (step.hash, step.deleted)

    def ends_before(self, row: Row) -> bool:
        """Whether nothing is known of this row and those behind it."""
        return not self._waiting and row.seq > self._verified_seq


def _move_pushed(session: WriteSession, state: SegmentState, delivery: _Delivery) -> None:
    """Move ``pushed`` over the prefix of the changelog's tail that is delivered; note the bases of rows behind it."""
    link = session.link_state(state)
    prefix, gap = delivery.prefix(session, state, link.pushed), False
    rebased: list[tuple[bytes, tuple[bytes, bool]]] = []
    for key, row in changed_rows(session, state, prefix + 1, state.row.max_seq, peek_row):
        if gap and delivery.ends_before(row):
            break
        base = delivery.base(key, row)
        gap |= session.is_dirty(state, row) and (base is None or base[0] != row.hash)
        if not gap:
            prefix = row.seq
        elif base is not None and session.is_dirty(state, row):
            rebased.append((key, base))
    for key, base in rebased:
        whole = session.row(state, key)
        assert whole is not None, "the changelog names it"
        session.rebase(state, key, whole, *base)
    _set_pushed(session, state, prefix)


def _set_pushed(session: WriteSession, state: SegmentState, seq: int) -> None:
    link = session.link_state(state)
    if seq > link.pushed:
        link.pushed = seq
        session.save_link_state(state, link)


def _key_of(step: Step, hashers: Callable[[str], Hasher]) -> bytes:
    return record_key(step.record, hashers) if isinstance(step, Take) else step.key


class _Steps:
    def __init__(self, session: WriteSession, state: SegmentState, origin: Origin) -> None:
        self.session, self.state, self.origin = session, state, origin
        self.refused: list[bytes] = []
        self.entries: list[Entry] = []

    def carry_out(self, steps: tuple[Step, ...]) -> tuple[bytes, ...]:
        """Change rows. What the farther side accepted changes none; see `_move_pushed` for that."""
        hashers = self.session.opened.hasher
        keyed = [(step.key or _key_of(step, hashers), step) for step in steps if not isinstance(step, Accept)]
        keyed.sort(key=itemgetter(0))
        rows = self.session.rows(self.state, [key for key, _ in keyed])
        for (key, step), row in zip(keyed, rows, strict=True):
            if (row.hash if row else b"") == step.expected:
                self._carry_out(key, row, step)
            else:
                self.refused.append(key)
        self.session.see(entry[2] for entry in self.entries)
        self.session.put_many(self.state, self.entries, self.origin)
        return tuple(self.refused)

    def _carry_out(self, key: bytes, row: Row | None, step: Take | Keep | Offer | Drop | Bury) -> None:
        session, state = self.session, self.state
        if isinstance(step, Take):
            self.entries.append((key, row, step.record.content, step.record.hash, 1, b"", False))
        elif row is None:
            self.refused.append(key)
        elif isinstance(step, Keep):
            if step.touch:
                session.relabel(state, key, row, 0, step.base, step.base_deleted)
            else:
                session.rebase(state, key, row, step.base, step.base_deleted)
        elif isinstance(step, Offer):
            session.relabel(state, key, row, 0, b"", False)
        elif isinstance(step, Drop):
            session.remove(state, key, row, self.origin)
        elif isinstance(step, Bury):
            self._bury(key, row)
        else:
            assert_never(step)

    def _bury(self, key: bytes, row: Row) -> None:
        session, state = self.session, self.state
        old = record_of(state, row)
        stamp = stamp_of(session.next_hlc(hlc_of(row.stamp)), session.store.node)
        content = pack_content(stamp, old.birth, True, old.schema, old.version + 1, old.id.encode(), b"", old.extension)
        self.entries.append((key, row, content, state.hasher.hash(content), 0, b"", False))


# --- conflict log ------------------------------------------------------------------------------------------------


def log_conflict(session: WriteSession, entry: ConflictEntry) -> None:
    """Append one decision and forget the oldest beyond the limit."""
    number = session.counters.next_conflict
    session.counters.next_conflict += 1
    winner = (entry.winner.content, bytes(entry.winner.hash)) if entry.winner else None
    row = ConflictRow(
        entry.loser.type,
        entry.rule,
        entry.link,
        entry.at_ms,
        entry.base,
        winner,
        (entry.loser.content, entry.loser.hash),
    )
    CONFLICT_ROWS.put(session.txn, row, number.to_bytes(8, "big"))
    while session.counters.next_conflict - session.counters.oldest_conflict > CONFLICT_LIMIT:
        CONFLICT_ROWS.delete(session.txn, session.counters.oldest_conflict.to_bytes(8, "big"))
        session.counters.oldest_conflict += 1
    session.wrote()


def conflict_of(row: ConflictRow) -> ConflictEntry:
    def record(pair: tuple[bytes, bytes]) -> Record:
        return Record(row.type, pair[0], Digest(pair[1]))

    winner = record(row.winner) if row.winner else None
    return ConflictEntry(row.rule, row.link, winner, record(row.loser), Digest(row.base), row.at_ms)
