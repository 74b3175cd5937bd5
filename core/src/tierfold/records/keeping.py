"""What a store keeps of itself: identity over copies and restores, upstream, leases, eviction and collection."""

from __future__ import annotations

from collections.abc import Callable

from msgspec.structs import replace

from tierfold.abc.syncable import LinkLease, PartitionMarks
from tierfold.clock import DAY_MS
from tierfold.digest import HASH_ALGORITHM
from tierfold.errors import ConfigError, StoreFormatError
from tierfold.layout import (
    FORMAT_VERSION,
    LINK_STATE_ROWS,
    PARTITION_ROWS,
    RECORD,
    REGISTRATION_ROWS,
    TYPE_ROWS,
    LinkRow,
    StoreRow,
    TypeRow,
    end_of,
    name_key,
    open_row,
)
from tierfold.model import FeedToken, StoreId
from tierfold.records.answering import tombstone_keys
from tierfold.records.applying import acknowledged_by
from tierfold.records.session import WriteSession
from tierfold.records.settling import mark, require_lease
from tierfold.records.snapshot import SegmentState

__all__ = [
    "AttachUnit",
    "CollectUnit",
    "DeclareUnit",
    "EvictUnit",
    "IdentifyUnit",
    "LeaseUnit",
    "MarkUnit",
    "NoteFeedUnit",
    "ReleaseUnit",
    "WantUnit",
    "mark_all_gone_back",
]


class IdentifyUnit:
    """Create an empty store, or notice that an existing one is a copy: it then becomes another store.

    A copy found at another place gets a new store id, node id and incarnation, and marks all its partitions as gone
    back in time, for its original may have moved on.
    """

    def __init__(self, place: str) -> None:
        self._place = place

    def check(self, session: WriteSession) -> None:
        store = session.find_store()
        if store is not None and store.hash_algorithm != HASH_ALGORITHM:
            raise StoreFormatError(f"the store hashes with {store.hash_algorithm}, this program with {HASH_ALGORITHM}")

    def put(self, session: WriteSession) -> StoreRow:
        store = session.find_store()
        if store is not None and store.place == self._place:
            return store
        random = session.opened.random_bytes
        fresh = StoreRow(FORMAT_VERSION, random(16), random(8), self._place, HASH_ALGORITHM, b"", ())
        if store is None:
            session.save_store(fresh)
            return fresh
        session.save_store(replace(fresh, incarnations=store.incarnations))
        session.begin_incarnation(random(8))
        mark_all_gone_back(session)
        return session.store


def mark_all_gone_back(session: WriteSession) -> None:
    for _, row in PARTITION_ROWS.rows(session.txn):
        mark(session, row.name, PartitionMarks(gone_back=True))


class MarkUnit:
    """Run a change of partition marks under the link's lease."""

    def __init__(self, token: int, change: Callable[[WriteSession], None]) -> None:
        self._token, self._change = token, change

    def check(self, session: WriteSession) -> None:
        require_lease(session, self._token)

    def put(self, session: WriteSession) -> None:
        self._change(session)


class DeclareUnit:
    """Keep the declaration of an entity type, unless there is one."""

    def __init__(self, type: str, declaration: bytes) -> None:
        self._row = TypeRow(type, declaration)

    def check(self, session: WriteSession) -> None:
        """Nothing can refuse it."""

    def put(self, session: WriteSession) -> bytes:
        key = name_key(self._row.name)
        known = TYPE_ROWS.get(session.txn, key)
        if known is not None:
            return known.declaration
        TYPE_ROWS.put(session.txn, self._row, key)
        session.wrote()
        return self._row.declaration


class WantUnit:
    """Ask for a partition's hydration, by any process."""

    def __init__(self, partition: str) -> None:
        self._partition = partition

    def check(self, session: WriteSession) -> None:
        """Nothing can refuse it."""

    def put(self, session: WriteSession) -> None:
        row = session.partition(self._partition)
        if row.presence != "present" and not row.wanted:
            row.wanted = True
            session.save_partition(row)


# --- link lease and upstream -------------------------------------------------------------------------------------


class LeaseUnit:
    """Take or renew the link lease. The token grows with every change of hands."""

    def __init__(self, link: str, holder: bytes, ttl_s: float) -> None:
        self._link, self._holder, self._ttl_ms = link, holder, int(ttl_s * 1000)

    def check(self, session: WriteSession) -> None:
        row = session.link
        if row is not None and row.name != self._link and self._is_held_elsewhere(session, row):
            reason = f"another program links it to store {row.name}; {self._link} would be a second upstream"
            raise ConfigError(f"a store has at most one upstream: {reason}")

    def put(self, session: WriteSession) -> LinkLease | None:
        row = session.link or LinkRow(self._link)
        if self._is_held_elsewhere(session, row):
            return None
        if row.holder != self._holder:
            row.holder, row.token = self._holder, row.token + 1
        row.name, row.until_ms = self._link, session.opened.wall_ms() + self._ttl_ms
        session.save_link(row)
        return LinkLease(row.holder, row.token, row.until_ms)

    def _is_held_elsewhere(self, session: WriteSession, row: LinkRow) -> bool:
        """No lease counts of a program that is gone, nor one so long that its giver's clock must have run ahead."""
        now_ms = session.opened.wall_ms()
        if row.holder in (b"", self._holder) or not now_ms < row.until_ms <= now_ms + self._ttl_ms:
            return False
        return not session.opened.is_gone(row.holder)


class ReleaseUnit:
    """Give the lease up if it is still held."""

    def __init__(self, holder: bytes) -> None:
        self._holder = holder

    def check(self, session: WriteSession) -> None:
        """Nothing can refuse it."""

    def put(self, session: WriteSession) -> None:
        row = session.link
        if row is not None and row.holder == self._holder:
            row.holder, row.until_ms = b"", 0
            session.save_link(row)


class AttachUnit:
    """Note which store the upstream is. Another one than before: every row is undelivered, every partition unknown.

    What was let go of may be missing there, so the store's own peers learn that its history is no longer theirs.
    """

    def __init__(self, upstream: StoreId, token: int) -> None:
        self._upstream, self._token = upstream, token

    def check(self, session: WriteSession) -> None:
        require_lease(session, self._token)

    def put(self, session: WriteSession) -> FeedToken | None:
        row = session.link
        if row is None or row.upstream == self._upstream:
            return FeedToken(row.far_token) if row is not None and row.far_token else None
        is_another = row.upstream != b""
        row.upstream, row.first_seq = self._upstream, session.counters.next_seq
        row.far_token = row.own_token = b""
        session.save_link(row)
        for key, _ in LINK_STATE_ROWS.rows(session.txn):
            LINK_STATE_ROWS.delete(session.txn, key)
        session.forget_link_states()
        for _, partition in PARTITION_ROWS.rows(session.txn):
            mark(session, partition.name, PartitionMarks(presence="unknown"))
            for state in session.segments_of(partition.name) if is_another else ():
                session.raise_floor(state)
        return None


class NoteFeedUnit:
    """Remember how far both feeds were read."""

    def __init__(self, far: FeedToken, own: FeedToken, token: int) -> None:
        self._far, self._own, self._token = far, own, token

    def check(self, session: WriteSession) -> None:
        require_lease(session, self._token)

    def put(self, session: WriteSession) -> None:
        row = session.link
        if row is not None and (row.far_token, row.own_token) != (self._far, self._own):
            row.far_token, row.own_token = self._far, self._own
            session.save_link(row)


# --- eviction and collection -------------------------------------------------------------------------------------


class EvictUnit:
    """Let go of the clean rows of a partition; positions, batch numbers, floors and horizons stay."""

    def __init__(self, partition: str) -> None:
        self._partition = partition

    def check(self, session: WriteSession) -> None:
        if not session.has_upstream:
            raise ConfigError(
                f"partition {self._partition!r} has nowhere to come back from: this store has no upstream"
            )

    def put(self, session: WriteSession) -> int | None:
        kept = False
        for state in session.segments_of(self._partition):
            kept |= bool(session.link_state(state).outstanding) | self._let_go(session, state)
            self._forget_hydration(session, state)
        generation = session.partition(self._partition).generation
        mark(session, self._partition, PartitionMarks(presence="unknown"))
        return None if kept else generation

    @staticmethod
    def _forget_hydration(session: WriteSession, state: SegmentState) -> None:
        """What a hydration under way had brought is gone, so it cannot be resumed."""
        link = session.link_state(state)
        if link.resume is not None:
            link.resume = None
            session.save_link_state(state, link)

    @staticmethod
    def _let_go(session: WriteSession, state: SegmentState) -> bool:
        prefix = RECORD + state.number
        dirty = False
        for key, value in list(session.txn.scan(prefix, end_of(prefix))):
            row = open_row(key, value)
            if session.is_dirty(state, row):
                dirty = True
            else:
                session.remove(state, key[5:], row, "hydrate")
        return dirty


class CollectUnit:
    """Remove tombstones by whole days of stamp and raise the horizon above them."""

    def __init__(self, partition: str, min_ttl_s: int, peer_ttl_s: int) -> None:
        self._partition, self._min_ttl_ms, self._peer_ttl_ms = partition, min_ttl_s * 1000, peer_ttl_s * 1000

    def check(self, session: WriteSession) -> None:
        session.require_present(self._partition)

    def put(self, session: WriteSession) -> int:
        self._expire(session)
        return sum(self._collect(session, state) for state in session.segments_of(self._partition))

    def _expire(self, session: WriteSession) -> None:
        now_ms = session.opened.wall_ms()
        for key, row in REGISTRATION_ROWS.rows(session.txn):
            ttl_ms = self._peer_ttl_ms if row.lease_s is None else row.lease_s * 1000
            if row.partition == self._partition and not row.expired and now_ms - row.last_request_ms > ttl_ms:
                row.expired = True
                REGISTRATION_ROWS.put(session.txn, row, key)
                session.wrote()

    def _collect(self, session: WriteSession, state: SegmentState) -> int:
        acknowledged = self._acknowledged(session, state)
        removed = 0
        for day in sorted(state.row.tombstones):
            if not self._is_old(session, state, day):
                break
            rows = [(key, session.row(state, key)) for key in tombstone_keys(session, state, day)]
            known = [(key, row) for key, row in rows if row is not None]
            if any(row.seq > acknowledged or session.is_dirty(state, row) for _, row in known):
                break
            for key, row in known:
                session.remove(state, key, row)
            removed += len(known)
            state.row.horizon = max(state.row.horizon, day + 1)
        return removed

    def _is_old(self, session: WriteSession, state: SegmentState, day: int) -> bool:
        if session.has_upstream and day >= session.link_state(state).far_horizon:
            return False
        return (day + 1) * DAY_MS + self._min_ttl_ms <= session.opened.wall_ms()

    def _acknowledged(self, session: WriteSession, state: SegmentState) -> int:
        seqs = [
            acknowledged_by(session, key[:16], row, state)
            for key, row in REGISTRATION_ROWS.rows(session.txn)
            if row.partition == self._partition and not row.expired
        ]
        return min(seqs, default=state.row.max_seq)
