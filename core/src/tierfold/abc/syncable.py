"""What a link needs of the two stores it joins. The nearer one is active; the farther one only answers."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping, Sequence
from typing import Final, Literal

from msgspec import Struct

from tierfold.abc.store import EntityStore
from tierfold.model import Digest, FeedToken, Position, Record, SegmentName, StoreId

__all__ = [
    "ZERO_SUM",
    "Accept",
    "Applied",
    "Bury",
    "Changes",
    "ConflictEntry",
    "Drop",
    "Feed",
    "Heads",
    "Identity",
    "Keep",
    "Leaves",
    "LinkLease",
    "LinkState",
    "NearRow",
    "NearRows",
    "NearView",
    "NearerStore",
    "Offer",
    "PartitionMarks",
    "Peer",
    "PeerSegment",
    "Presence",
    "Push",
    "PushOrigin",
    "Registered",
    "RegisteredSegment",
    "Registration",
    "Roots",
    "Rows",
    "Scan",
    "ScopeRoot",
    "SegmentRoots",
    "Settled",
    "Settlement",
    "Step",
    "SyncableStore",
    "Take",
]

Presence = Literal["unknown", "absent", "present"]
ZERO_SUM: Final = bytes(16)


# --- what the farther store answers ------------------------------------------------------------------------------


class Identity(Struct, frozen=True):
    """Who a store is. ``durable``: its content outlives the process."""

    store: StoreId
    durable: bool


class Feed(Struct, frozen=True):
    """Segments that changed after a token: perhaps too many, never too few.

    Attributes:
        whole: They are all there are, for the token was None or of another life; what is not among them may be lost.
    """

    segments: tuple[SegmentName, ...]
    token: FeedToken
    whole: bool = False


class ScopeRoot(Struct, frozen=True):
    """Sum over all segments of a peer's registered partitions, and the feed token it was read at."""

    root: bytes
    token: FeedToken


class SegmentRoots(Struct, frozen=True):
    """Content of one segment in 16-byte sums of record hashes, read with its position in one snapshot.

    Attributes:
        live: Sum over live records; ``live_count`` of them.
        tombstones: Sum over tombstones per UTC day of stamp, days below the horizon left out.
        horizon: First UTC day of stamp whose tombstones are still kept.
    """

    position: Position
    live: bytes = ZERO_SUM
    live_count: int = 0
    tombstones: Mapping[int, bytes] = {}
    horizon: int = 0


class Roots(Struct, frozen=True):
    """Roots of every segment of a partition."""

    segments: Mapping[SegmentName, SegmentRoots]


class Changes(Struct, frozen=True):
    """A page of a segment's changelog in commit order. ``position`` covers the rows the echo filter left out.

    Attributes:
        damaged: Record keys of rows that fail their checksum.
    """

    records: tuple[Record, ...]
    position: Position
    more: bool
    damaged: tuple[bytes, ...] = ()


class Scan(Struct, frozen=True):
    """A page of a segment in key order, tombstones above the horizon included; ``after`` resumes behind it.

    Attributes:
        damaged: Record keys of rows that fail their checksum.
    """

    records: tuple[Record, ...]
    after: bytes
    more: bool
    position: Position
    damaged: tuple[bytes, ...] = ()


class Leaves(Struct, frozen=True):
    """For each prefix asked for: the 16 truncated live sums below it, and how many live records it has.

    A prefix is a text of hexadecimal digits of the record key.
    """

    children: Mapping[str, tuple[bytes, ...]]
    counts: Mapping[str, int]
    position: Position


class Heads(Struct, frozen=True):
    """(record key, record hash) of live records below prefixes and of the tombstones of days; 16 and 8 bytes each."""

    heads: tuple[tuple[bytes, bytes], ...]
    horizon: int
    position: Position


class Rows(Struct, frozen=True):
    """Records by record key; missing ones and tombstones below the horizon are left out.

    Attributes:
        damaged: Record keys of rows that fail their checksum: they are not missing.
    """

    records: Mapping[bytes, Record]
    position: Position
    damaged: tuple[bytes, ...] = ()


class Push(Struct, frozen=True, gc=False):
    """One row offered to the farther store.

    Attributes:
        expected: Hash it must have there now, or `ABSENT`.
        or_absent: The expected version is a tombstone, which the farther store may have collected.
    """

    record: Record
    expected: Digest
    or_absent: bool = False


class PushOrigin(Struct, frozen=True):
    """Whose batch it is: peer, generation of its registration, number of the batch, the peer's own position."""

    peer: StoreId
    generation: int
    batch: int
    position: Position


class Applied(Struct, frozen=True):
    """What became of a batch, by record key.

    Attributes:
        accepted: Stored, or there already.
        refused: The current record, or None where there is none.
        deferred: Stamp too far ahead of the clock: (ms since 1970 until when, current record or None).
        bad: Refused: the hash does not fit the content, or the row that is here is damaged; key and reason.
        closed: The whole batch was refused: unregistered peer, or a number that was applied or closed before.
    """

    accepted: tuple[bytes, ...] = ()
    refused: Mapping[bytes, Record | None] = {}
    deferred: Mapping[bytes, tuple[int, Record | None]] = {}
    bad: Mapping[bytes, str] = {}
    position: Position = Position(b"")
    closed: bool = False


class PeerSegment(Struct, frozen=True):
    """What a nearer store says of one of its segments when it opens a run."""

    pulled: Position | None
    seen: Position | None
    position: Position
    batch: int


class Registration(Struct, frozen=True):
    """A peer opens a run over a partition. ``lease_s``: after it a volatile peer is forgotten."""

    peer: StoreId
    partition: str
    generation: int
    segments: Mapping[SegmentName, PeerSegment]
    lease_s: int | None = None


class RegisteredSegment(Struct, frozen=True):
    """The farther side's answer for one segment.

    Attributes:
        known: It knows ``pulled`` and ``seen``, neither below the segment's floor.
        remembered: The newest position of its own that the peer ever told.
        batch: The highest batch number applied or closed.
        accepted: Keys accepted of the batch the peer named; None when that batch was never applied.
    """

    roots: SegmentRoots
    known: bool
    remembered: Position | None
    batch: int
    accepted: tuple[bytes, ...] | None


class Registered(Struct, frozen=True):
    """Answer to a `Registration`: every segment of the partition that either side knows.

    Attributes:
        generation: The one that counts; higher than the one asked for when the peer was restored from before it.
    """

    segments: Mapping[SegmentName, RegisteredSegment]
    generation: int


class Peer(Struct, frozen=True):
    """One registration, as `SyncableStore.peers` lists it."""

    store: StoreId
    partition: str
    generation: int
    last_request_ms: int
    lease_s: int | None
    acknowledged: Mapping[SegmentName, Position]


class SyncableStore(EntityStore):
    """The farther side of a link. Segment by segment, so that stores without wide transactions can keep it too.

    L1: every answer about a segment carries its position and is refused with `PartitionUnavailableError` while the
    partition is not present, in the middle of a run too. L23: a row that fails its checksum is left out of an answer
    and named in it, and the rest is given.
    """

    @abstractmethod
    async def identity(self) -> Identity:
        """L2: the store id; a copy of the files gets a new one."""

    @abstractmethod
    async def feed(self, after: FeedToken | None) -> Feed:
        """L3: segments that changed after the token, each once; all of them for None or a token of another life."""

    @abstractmethod
    async def scope_root(self, peer: StoreId) -> ScopeRoot:
        """L4: one sum over what the peer is registered for. Equal sums mean equal content."""

    @abstractmethod
    async def roots(self, partition: str) -> Roots:
        """L5: the roots of each segment, each with position and horizon of one snapshot."""

    @abstractmethod
    async def changes(
        self, segment: SegmentName, after: Position | None, limit_bytes: int, echo: StoreId | None
    ) -> Changes:
        """L6: rows behind ``after`` in commit order, one per record, without those that came from the peer ``echo``."""

    @abstractmethod
    async def snapshot_page(self, segment: SegmentName, after: bytes, limit_bytes: int) -> Scan:
        """L7: rows behind the record key ``after`` (empty = from the start) in key order."""

    @abstractmethod
    async def leaves(self, segment: SegmentName, prefixes: Sequence[str]) -> Leaves:
        """L8: digest sums one level below each prefix, truncated to 8 bytes."""

    @abstractmethod
    async def heads(self, segment: SegmentName, prefixes: Sequence[str], days: Sequence[int]) -> Heads:
        """L9: record keys and truncated hashes, for the last step of a descent."""

    @abstractmethod
    async def rows(self, segment: SegmentName, keys: Sequence[bytes]) -> Rows:
        """L10: whole records by record key."""

    @abstractmethod
    async def apply(self, segment: SegmentName, pushes: Sequence[Push], origin: PushOrigin) -> Applied:
        """L11: compare-and-set each row, atomic with the batch number and its accepted keys. Never calls a resolver.

        L12: an equal record is accepted and nothing is written. L13: a batch number that is not above the last, or was
        closed by a later `register`, or an unregistered peer, is refused whole. L14: hashes are recomputed.
        """

    @abstractmethod
    async def register(self, registration: Registration) -> Registered:
        """L15: remember that the peer holds the partition: a run opens. Closes its batches up to the number named."""

    @abstractmethod
    async def unregister(self, peer: StoreId, partition: str, generation: int) -> None:
        """L16: forget the registration of that generation; another generation's is left alone. Positions, batch numbers
        and accepted keys are remembered for ever."""

    @abstractmethod
    async def acknowledge(
        self, peer: StoreId, generation: int, segment: SegmentName, far: Position, own: Position
    ) -> None:
        """L17: the peer verified the segment at ``far``. Ignored for another generation or an unknown position."""

    @abstractmethod
    async def knows(self, segment: SegmentName, position: Position) -> bool:
        """L18: whether the position lies in an incarnation this store remembers and not below the segment's floor."""

    @abstractmethod
    async def peers(self) -> list[Peer]:
        """L19: every registration, expired ones too."""

    @abstractmethod
    async def presence(self, partition: str) -> Presence:
        """L20: whether the partition is held here. The farthest tier holds every partition."""

    @abstractmethod
    async def evict(self, partition: str) -> int | None:
        """L21: let go of the clean rows; afterwards the partition is unknown.

        Returns the generation to unregister at the upstream, or None when dirty rows or an unanswered batch must stay
        registered.
        """

    @abstractmethod
    async def collect(self, partition: str, *, min_ttl_s: int, peer_ttl_s: int) -> int:
        """L22: remove tombstones by whole days of stamp, and raise the horizon above them. Returns how many.

        Only days below every registered peer's acknowledgement and older than ``min_ttl_s``; with an upstream, only
        days below its horizon; never a dirty tombstone. Peers silent for too long are expired first.
        """


# --- what a link does in the nearer store ------------------------------------------------------------------------


class NearRow(Struct, frozen=True, gc=False):
    """A row with what the link needs to know of it.

    Attributes:
        base: Hash of the version last known upstream, empty = none; ``base_deleted`` when that was a tombstone.
        from_upstream: It came by this link.
        newer: It was written after the position the caller named.
        seq: Place of this very version in the store's changelog; only the store itself compares it.
    """

    key: bytes
    record: Record
    dirty: bool
    base: Digest
    base_deleted: bool
    from_upstream: bool
    newer: bool
    seq: int = 0


class NearRows(Struct, frozen=True):
    """Rows in changelog order or by key, with the segment's position in the same snapshot.

    Attributes:
        damaged: Record keys of rows that fail their checksum.
    """

    rows: tuple[NearRow, ...]
    position: Position
    damaged: tuple[bytes, ...] = ()


class LinkState(Struct, frozen=True):
    """What the nearer store keeps per link and segment, beside the own position up to which nothing is left to deliver.

    Attributes:
        pulled: Far position up to which the changelog was read.
        seen: Newest far position of any answer that carried rows, acceptances or roots.
        batch: Number of the last batch sent.
        outstanding: (record key, hash, is a tombstone) of a batch whose answer is not known.
        far_horizon: The farther horizon when last verified.
        resume: While hydrating: far position before the snapshot, and the record key it has reached.
    """

    pulled: Position | None = None
    seen: Position | None = None
    batch: int = 0
    outstanding: tuple[tuple[bytes, Digest, bool], ...] = ()
    far_horizon: int = 0
    resume: tuple[Position, bytes] | None = None


class NearView(Struct, frozen=True):
    """A partition as its link finds it. ``dirty`` names the segments with rows to deliver."""

    presence: Presence
    generation: int
    gone_back: bool
    states: Mapping[SegmentName, LinkState]
    roots: Mapping[SegmentName, SegmentRoots]
    dirty: frozenset[SegmentName]


class Take(Struct, frozen=True, gc=False, tag=True):
    """Store a record of the farther side, clean, over the version ``expected``.

    Attributes:
        key: The record key, when the caller has worked it out from the record's id already.
    """

    record: Record
    expected: Digest
    key: bytes | None = None


class Keep(Struct, frozen=True, gc=False, tag=True):
    """Keep the own row, now based on the farther side's version; a clean row becomes dirty when ``touch``."""

    key: bytes
    expected: Digest
    base: Digest
    base_deleted: bool
    touch: bool


class Offer(Struct, frozen=True, gc=False, tag=True):
    """Make the row dirty and without base, so that it is pushed as new."""

    key: bytes
    expected: Digest


class Drop(Struct, frozen=True, gc=False, tag=True):
    """Remove a clean row whose deletion the farther side has forgotten."""

    key: bytes
    expected: Digest


class Bury(Struct, frozen=True, gc=False, tag=True):
    """Replace the row by a fresh tombstone of our own, pushed like any delete."""

    key: bytes
    expected: Digest


class Accept(Struct, frozen=True, gc=False, tag=True):
    """The farther side holds the version ``hash``: an unchanged row is clean, a changed one has it as base.

    Attributes:
        seq: `NearRow.seq` of that version, which spares the store reading the row; 0 = not known.
    """

    key: bytes
    hash: Digest
    deleted: bool
    seq: int = 0


Step = Take | Keep | Offer | Drop | Bury | Accept


class ConflictEntry(Struct, frozen=True):
    """One decision to remember. ``loser`` is the version that did not stay; ``base`` the hash both knew last.

    Attributes:
        rule: Resolver's name, ``restored``, or ``deleted-upstream``.
        winner: None when nothing of it stayed.
    """

    rule: str
    link: str
    winner: Record | None
    loser: Record
    base: Digest
    at_ms: int


class PartitionMarks(Struct, frozen=True):
    """Changes of what is kept per partition; None leaves a field as it is."""

    presence: Presence | None = None
    generation: int | None = None
    gone_back: bool | None = None


class Settlement(Struct, frozen=True):
    """One transaction of a link in the nearer store, about one segment.

    Attributes:
        state: Replaces the segment's link state.
        horizon: Raises the own horizon to at least this day.
        raise_floor: Positions that peers hold of this segment become unknown, for their history may not be ours.
        verified_at: Own position of the roots that were found equal: rows up to it are delivered.
        keep_dirty: Record keys that stay dirty all the same (deferred by the farther side).
        conflicts: Entries for the conflict log by record key; left out when the key's step is.
    """

    steps: tuple[Step, ...] = ()
    state: LinkState | None = None
    horizon: int = 0
    raise_floor: bool = False
    verified_at: Position | None = None
    keep_dirty: frozenset[bytes] = frozenset()
    conflicts: tuple[tuple[bytes, ConflictEntry], ...] = ()
    hydrating: bool = False


class Settled(Struct, frozen=True):
    """What a settlement did. ``refused``: keys whose row was no longer the one expected; their steps did not happen."""

    refused: tuple[bytes, ...]
    position: Position


class LinkLease(Struct, frozen=True):
    """Who runs the link, until when. ``token`` grows with every change of hands and fences off the previous holder."""

    holder: bytes
    token: int
    until_ms: int


class NearerStore(SyncableStore):
    """The nearer side of a link: keeps the link's state in the same transactions as the rows it speaks of.

    N23: a row that fails its checksum is left out of an answer and named in it.
    N1: every method that takes ``token`` checks it in its own transaction and raises `LinkFencedError` when the lease
    has passed to another holder.
    """

    @abstractmethod
    async def lease(self, link: str, holder: bytes, ttl_s: float) -> LinkLease | None:
        """N2: take or renew the lease of the link; None while another holder's is valid.

        That of a program which has certainly ended (`OpenContext.is_gone`) is not.
        """

    @abstractmethod
    async def release(self, link: str, holder: bytes) -> None:
        """N3: give the lease up, so that another process need not wait for its end."""

    @abstractmethod
    async def attach(self, link: str, upstream: StoreId, token: int) -> FeedToken | None:
        """N4: note which store the upstream is; returns the farther feed token of the last run with that very store.

        From then on the store has an upstream: partitions that nobody hydrated are unknown rather than present.
        Another upstream than before marks all partitions unknown and forgets the link state; rows stay, undelivered.
        """

    @abstractmethod
    def upstream(self) -> StoreId | None:
        """N22: the store that was attached last, by whichever program; None while none ever was; inline."""

    @abstractmethod
    def expect_upstream(self) -> None:
        """N21: there is an upstream, even if none was ever attached: what is not present is unknown; inline.

        Holds as long as the store is open, and changes nothing of what it keeps.
        """

    @abstractmethod
    async def note_feed(self, link: str, far: FeedToken, own: FeedToken, token: int) -> None:
        """N5: remember both feed tokens after a run; they only save work."""

    @abstractmethod
    async def remembers(self, position: Position) -> bool:
        """N20: whether this store ever was at the position, whatever its floors. If not, it has gone back in time."""

    @abstractmethod
    async def view(self, partition: str) -> NearView:
        """N6: the partition in one snapshot, whether present or not."""

    @abstractmethod
    async def pending(self) -> list[str]:
        """N7: partitions with dirty rows or an unanswered batch that changed since the feed noted last."""

    @abstractmethod
    async def partitions(self) -> dict[str, Presence]:
        """N8: every partition that this store ever held or wrote to."""

    @abstractmethod
    async def own_root(self) -> ScopeRoot:
        """N15: the sum over all partitions that are present here, and the own feed token. Compare with `scope_root`."""

    @abstractmethod
    async def want(self, partition: str) -> None:
        """N16: ask whichever process runs the link to hydrate the partition; it then counts as pending."""

    @abstractmethod
    def has_pending(self) -> bool:
        """N18: whether rows wait for delivery, which all do while no upstream was ever attached; inline."""

    @abstractmethod
    def is_pending(self, segment: SegmentName, record: Record) -> bool:
        """N19: whether this version waits here for delivery, as all do while no upstream was ever attached; inline."""

    @abstractmethod
    async def write_through(self, segment: SegmentName, written: Sequence[tuple[Record, Digest]]) -> bool:
        """N17: copies of what a farther tier has stored for this layer, as (record, hash it replaced there).

        A copy enters only while the partition is present and the row is the one that was replaced: otherwise the cache
        is behind, and the link brings the record. An absent partition becomes unknown. Returns False when a copy was
        left out.
        """

    @abstractmethod
    async def near_rows(self, segment: SegmentName, keys: Sequence[bytes], since: Position) -> NearRows:
        """N9: those rows that exist, of one snapshot, whatever the presence."""

    @abstractmethod
    async def dirty_rows(
        self, segment: SegmentName, limit_bytes: int, until: Position, skip: frozenset[bytes]
    ) -> NearRows:
        """N10: rows to deliver in changelog order, those not newer than ``until`` and not in ``skip``."""

    @abstractmethod
    async def settle(self, segment: SegmentName, settlement: Settlement, token: int) -> Settled:
        """N11: all of it in one transaction; steps whose ``expected`` does not hold are left out and named."""

    @abstractmethod
    async def mark_partition(self, partition: str, marks: PartitionMarks, token: int) -> None:
        """N12: change what is kept of a partition that may have no segment yet."""

    @abstractmethod
    async def mark_gone_back(self, token: int) -> None:
        """N13: this store went back in time: a new incarnation, and every partition is marked until it is verified."""

    @abstractmethod
    async def conflict_log(self, after: int, limit: int) -> list[tuple[int, ConflictEntry]]:
        """N14: numbered decisions, oldest first; the oldest are forgotten when there are more than the log holds."""
