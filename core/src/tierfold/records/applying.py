"""The farther side of a link: registrations, batches of a nearer peer, acknowledgements."""

from __future__ import annotations

from collections.abc import Sequence
from operator import itemgetter
from typing import Any

from tierfold.abc.syncable import (
    Applied,
    Peer,
    PeerSegment,
    Push,
    PushOrigin,
    Registered,
    RegisteredSegment,
    Registration,
    SegmentRoots,
)
from tierfold.clock import AHEAD_LIMIT_MS, latest_stamp, ms_of
from tierfold.digest import record_key
from tierfold.errors import CorruptDataError
from tierfold.layout import (
    PEER_NUMBER,
    PEER_ROWS,
    REGISTRATION_ROWS,
    PeerRow,
    RegistrationRow,
    Row,
    name_key,
    seal,
    unseal,
)
from tierfold.model import ABSENT, Position, Record, SegmentName, StoreId
from tierfold.records.answering import record_of, rows_sum, segment_roots, visible
from tierfold.records.positions import BEGINNING, knows, position_of, seq_of
from tierfold.records.session import Entry, WriteSession
from tierfold.records.snapshot import SegmentState, Snapshot

__all__ = [
    "AcknowledgeUnit",
    "ApplyUnit",
    "RegisterUnit",
    "UnregisterUnit",
    "acknowledged_by",
    "needs_write",
    "peer_number",
    "peers",
    "registered",
    "registered_scope",
]

Reading = Snapshot[Any]
_REFRESH_MS = 60_000
"""A registration's last request is rewritten when it is older than this: a run that moves nothing writes nothing."""

_SCAN_ABOVE = 8
"""Looking up the segments of a partition costs as much as passing so many rows of others."""


def _registration(reading: Reading, peer: bytes, partition: str) -> RegistrationRow | None:
    return REGISTRATION_ROWS.get(reading.txn, peer + name_key(partition))


def _peer_row(reading: Reading, peer: bytes, state: SegmentState | None) -> PeerRow:
    return (PEER_ROWS.get(reading.txn, peer + state.number) if state else None) or PeerRow()


def peer_number(reading: Reading, peer: bytes) -> int | None:
    """The number that ``via`` of the peer's rows holds."""
    key = PEER_NUMBER + peer
    value = reading.txn.get(key)
    return None if value is None else int.from_bytes(unseal(key, value), "big")


def _number_peer(session: WriteSession, peer: bytes) -> int:
    number = peer_number(session, peer)
    if number is None:
        number = session.counters.next_peer
        session.counters.next_peer += 1
        session.txn.put(PEER_NUMBER + peer, seal(PEER_NUMBER + peer, number.to_bytes(4, "big")))
    return number


# --- registration ------------------------------------------------------------------------------------------------


def registered(reading: Reading, registration: Registration) -> Registered:
    """The answer to a registration, from the state before it."""
    reading.require_present(registration.partition)
    names = {state.name for state in reading.segments_of(registration.partition)} | registration.segments.keys()
    told = registration.segments
    before = _registration(reading, registration.peer, registration.partition)
    return Registered(
        {name: _answer(reading, registration.peer, name, told.get(name)) for name in sorted(names)},
        max(registration.generation, before.generation if before else 0),
    )


def _answer(reading: Reading, peer: bytes, name: SegmentName, told: PeerSegment | None) -> RegisteredSegment:
    state = reading.find(name)
    row = _peer_row(reading, peer, state)
    roots = segment_roots(reading, state) if state else SegmentRoots(BEGINNING)
    known = told is not None and all(
        knows(reading.store, reading.counters.next_seq, state.row if state else None, position)
        for position in (told.pulled, told.seen)
        if position is not None
    )
    answered = told is not None and told.batch > 0 and told.batch == row.applied
    return RegisteredSegment(
        roots,
        known,
        Position(row.position) if row.position is not None else None,
        max(row.applied, row.closed),
        tuple(row.accepted) if answered else None,
    )


def needs_write(reading: Reading, registration: Registration) -> bool:
    """Whether a registration changes anything but the time of the last request."""
    row = _registration(reading, registration.peer, registration.partition)
    if row is None or row.expired or row.generation != registration.generation or row.lease_s != registration.lease_s:
        return True
    if reading.opened.wall_ms() - row.last_request_ms > _REFRESH_MS:
        return True
    for name, told in registration.segments.items():
        known = _peer_row(reading, registration.peer, reading.find(name))
        if told.batch > max(known.applied, known.closed):
            return True
    return False


class RegisterUnit:
    """Remember that a peer holds a partition, and close its batches up to the numbers it named."""

    def __init__(self, registration: Registration) -> None:
        self._asked = registration

    def check(self, session: WriteSession) -> None:
        session.require_present(self._asked.partition)

    def put(self, session: WriteSession) -> Registered:
        asked = self._asked
        answer = registered(session, asked)
        before = _registration(session, asked.peer, asked.partition)
        row = RegistrationRow(asked.partition, answer.generation, session.opened.wall_ms(), asked.lease_s)
        REGISTRATION_ROWS.put(session.txn, row, asked.peer + name_key(asked.partition))
        for name, told in asked.segments.items():
            if told.batch:
                state = session.segment(name)
                known = _peer_row(session, asked.peer, state)
                known.closed = max(known.closed, told.batch)
                PEER_ROWS.put(session.txn, known, asked.peer + state.number)
        if before is not None and before.expired:
            self._forget_acknowledgements(session)
        session.wrote()
        return answer

    def _forget_acknowledgements(self, session: WriteSession) -> None:
        for state in session.segments_of(self._asked.partition):
            row = _peer_row(session, self._asked.peer, state)
            row.acknowledged = -1
            PEER_ROWS.put(session.txn, row, self._asked.peer + state.number)


class UnregisterUnit:
    """Forget a registration of one generation; what is remembered of the peer's positions and batches stays."""

    def __init__(self, peer: StoreId, partition: str, generation: int) -> None:
        self._peer, self._partition, self._generation = peer, partition, generation

    def check(self, session: WriteSession) -> None:
        """Nothing can refuse it."""

    def put(self, session: WriteSession) -> None:
        row = _registration(session, self._peer, self._partition)
        if row is not None and row.generation == self._generation:
            REGISTRATION_ROWS.delete(session.txn, self._peer + name_key(self._partition))
            session.wrote()


class AcknowledgeUnit:
    """The peer verified a segment: tombstones up to there are no news to it."""

    def __init__(self, peer: StoreId, generation: int, segment: SegmentName, far: Position, own: Position) -> None:
        self._peer, self._generation, self._name, self._far, self._own = peer, generation, segment, far, own

    def check(self, session: WriteSession) -> None:
        session.require_present(self._name.partition)

    def put(self, session: WriteSession) -> None:
        registration = _registration(session, self._peer, self._name.partition)
        state = session.find(self._name)
        if registration is None or registration.generation != self._generation or state is None:
            return
        if not knows(session.store, session.counters.next_seq, state.row, self._far):
            return
        row = _peer_row(session, self._peer, state)
        before = row.acknowledged if row.acknowledged_generation == self._generation else -1
        acknowledged = max(before, seq_of(self._far))
        if (acknowledged, self._generation, self._own) != (before, row.acknowledged_generation, row.position):
            row.acknowledged, row.acknowledged_generation = acknowledged, self._generation
            row.position = self._own
            PEER_ROWS.put(session.txn, row, self._peer + state.number)
            session.wrote()


# --- batches -----------------------------------------------------------------------------------------------------


class ApplyUnit:
    """A batch of a nearer peer: compare-and-set per row, and the batch number in the same transaction."""

    def __init__(self, segment: SegmentName, pushes: Sequence[Push], origin: PushOrigin) -> None:
        self._name, self._pushes, self._origin = segment, pushes, origin

    def check(self, session: WriteSession) -> None:
        session.require_present(self._name.partition)

    def put(self, session: WriteSession) -> Applied:
        origin = self._origin
        registration = _registration(session, origin.peer, self._name.partition)
        known = session.find(self._name)
        row = _peer_row(session, origin.peer, known)
        closed = origin.batch <= max(row.applied, row.closed)
        if registration is None or registration.generation != origin.generation or closed:
            return Applied(position=session.position(known) if known else BEGINNING, closed=True)
        state = session.segment(self._name)
        applied = _Batch(session, state, _number_peer(session, origin.peer)).apply(self._pushes)
        row.applied, row.accepted, row.position = origin.batch, list(applied.accepted), origin.position
        PEER_ROWS.put(session.txn, row, origin.peer + state.number)
        session.wrote()
        return applied


class _Batch:
    def __init__(self, session: WriteSession, state: SegmentState, via: int) -> None:
        self.session, self.state, self.via = session, state, via
        self.accepted: list[bytes] = []
        self.refused: dict[bytes, Record | None] = {}
        self.deferred: dict[bytes, tuple[int, Record | None]] = {}
        self.bad: dict[bytes, str] = {}
        self.entries: list[Entry] = []

    def apply(self, pushes: Sequence[Push]) -> Applied:
        """Decide every row. The loop is the cost of a first sync, so it calls as little as it can."""
        session, type, begin = self.session, self.state.name.type, self.state.hasher.begin
        latest = latest_stamp(session.opened.wall_ms(), session.counters.high_water)
        placed = sorted(self._placed(pushes).items(), key=itemgetter(0))
        for key, push, row in self._beside(placed):
            record = push.record
            content = record.content
            hashing = begin()
            hashing.update(content)
            if hashing.digest() != record.hash or record.type != type:
                self.bad[key] = "the record hash does not fit the content"
            elif row is not None and row.hash == record.hash:
                self.accepted.append(key)
            elif content[:16] > latest:
                due_ms = ms_of(content) - AHEAD_LIMIT_MS
                self.deferred[key] = (due_ms, record_of(self.state, row) if row else None)
            elif row is None and push.expected == ABSENT:
                self.entries.append((key, None, content, record.hash, self.via, b"", False))
                self.accepted.append(key)
            else:
                self._compare_and_set(key, push, row)
        self.session.see(entry[2] for entry in self.entries)
        self.session.put_many(self.state, self.entries, "sync")
        return Applied(tuple(self.accepted), self.refused, self.deferred, self.bad, self.session.position(self.state))

    def _beside(self, placed: Sequence[tuple[bytes, Push]]) -> Sequence[tuple[bytes, Push, Row | None]]:
        """Each row of the batch beside the one that is here; where that is damaged, it is refused."""
        keys = [key for key, _ in placed]
        try:
            rows = self.session.rows(self.state, keys)
        except CorruptDataError:
            found, damaged = self.session.sound_rows(self.state, keys)
            self.bad |= dict.fromkeys(damaged, "the row that is there is damaged")
            sound = dict(found)
            return [(key, push, sound.get(key)) for key, push in placed if key not in self.bad]
        return [(key, push, row) for (key, push), row in zip(placed, rows, strict=True)]

    def _placed(self, pushes: Sequence[Push]) -> dict[bytes, Push]:
        type, begin = self.state.name.type, self.state.hasher.begin_key
        placed: dict[bytes, Push] = {}
        for push in pushes:
            content = push.record.content
            if push.record.type == type:  # `record_key`, without the calls
                hashing = begin()
                hashing.update(content[51 : 51 + (content[45] << 8 | content[46])])
                placed[hashing.digest()] = push
            else:
                placed[record_key(push.record, self.session.opened.hasher)] = push
        return placed

    def _compare_and_set(self, key: bytes, push: Push, row: Row | None) -> None:
        counts = row is not None and (visible(self.state, row) or row.hash == push.expected)
        current = row if row is not None and counts else None
        expects_absence = push.expected == ABSENT or push.or_absent
        if not (expects_absence if current is None else current.hash == push.expected):
            self.refused[key] = record_of(self.state, current) if current is not None else None
            return
        base, base_deleted = self.session.base_for_write(self.state, row)
        self.entries.append((key, row, push.record.content, push.record.hash, self.via, base, base_deleted))
        self.accepted.append(key)


# --- listings ----------------------------------------------------------------------------------------------------


def registered_scope(reading: Reading, peer: bytes) -> int:
    """Sum over all segments of the partitions a peer is registered for and this store holds."""
    registrations = [row for _, row in REGISTRATION_ROWS.rows(reading.txn, peer)]
    partitions = {row.partition for row in registrations if not row.expired}
    if len(partitions) * _SCAN_ABOVE > reading.counters.next_segment:
        return rows_sum(row for row in reading.held_segments() if row.partition in partitions)
    held = [name for name in partitions if reading.presence(name) == "present"]
    return rows_sum(state.row for name in held for state in reading.segments_of(name))


def peers(reading: Reading) -> list[Peer]:
    """Every registration with what its peer acknowledged since it began."""
    found = []
    for key, row in REGISTRATION_ROWS.rows(reading.txn):
        store = StoreId(key[:16])
        acknowledged = {}
        for state in reading.segments_of(row.partition):
            known = _peer_row(reading, store, state)
            if known.acknowledged >= 0 and known.acknowledged_generation == row.generation:
                acknowledged[state.name] = position_of(reading.store, known.acknowledged)
        found.append(Peer(store, row.partition, row.generation, row.last_request_ms, row.lease_s, acknowledged))
    return found


def acknowledged_by(reading: Reading, peer: bytes, registration: RegistrationRow, state: SegmentState) -> int:
    """The seq up to which a registered peer verified the segment, -1 for none since its registration."""
    row = _peer_row(reading, peer, state)
    return row.acknowledged if row.acknowledged_generation == registration.generation else -1
