"""What a repository needs of a store: reading records and writing batches of documents."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Sequence

from msgspec import Struct

from tierfold.model import Change, ChangeKind, Commit, Origin, Record, SegmentName, Write

__all__ = ["EntityStore", "Listener", "LocalStore", "RecordChange", "RecordListener", "Scanned"]

Listener = Callable[[Sequence[Change]], None]


class RecordChange(Struct, frozen=True, gc=False):
    """One record changed.

    Attributes:
        record: The version now, a tombstone too; of one that was let go of, the version that was there, without a hash.
        seq: A view whose `LocalStore.newest_seq` is not less has the change, unless the record was let go of.
    """

    kind: ChangeKind
    segment: SegmentName
    record: Record
    origin: Origin
    seq: int


RecordListener = Callable[[Sequence[RecordChange]], None]


class Scanned(Struct, frozen=True, gc=False):
    """Part of a segment that was looked through. ``after``: the record key to go on behind; None at the end."""

    records: tuple[Record, ...]
    after: bytes | None
    rows: int


class EntityStore(ABC):
    """Records by id. Inputs are neither mutated nor kept; results are the caller's own (S2).

    Every method raises `PartitionUnavailableError` while its partition is not present here (S10), `CorruptDataError`
    for a row that fails its checksum (S9), and `StoreClosedError` after the store was closed (S11). S12: content
    survives reopening, if the store outlives its process at all.
    """

    @abstractmethod
    async def get(self, segment: SegmentName, id: str) -> Record | None:
        """S1: the record, a tombstone included, or None when there is none."""

    @abstractmethod
    async def get_many(self, segment: SegmentName, ids: Iterable[str]) -> dict[str, Record]:
        """S3: the live records among ``ids``, of one snapshot; missing and deleted ones are left out."""

    @abstractmethod
    async def scan(self, segment: SegmentName, after: str | None, limit: int) -> list[Record]:
        """S4: up to ``limit`` live records in the store's own fixed order of ids, those behind the id ``after``.

        A shorter list is the end. A record that is there throughout is seen exactly once, whatever happens around it;
        ``after`` need not exist any more.
        """

    @abstractmethod
    async def write(self, writes: Sequence[Write]) -> Commit:
        """Store a batch. S5: within a segment all of it or nothing, in a `LocalStore` over segments too.

        S6: each record gets a stamp greater than every stamp this store has seen and than the one it replaces, and the
        next version. S7: a `Write` whose ``expected`` does not hold, or that would replace a live record older than its
        ``oldest_schema``, refuses the whole batch. S8: when cancelled, all or nothing is stored. A write replaces what
        an earlier one of the same batch stored.

        Raises:
            StaleWriteError: ``expected`` named another hash, or the record is too old to merge with. ``current``
                carries the record (or None).
            AlreadyExistsError: ``expected`` was `ABSENT` and a live record is there.
            PayloadTooLargeError: A payload exceeds the store's limit.
            StoreFullError: No room; nothing of the batch is stored.
        """

    @abstractmethod
    async def declare(self, type: str, declaration: bytes) -> bytes:
        """S18: keep the declaration of an entity type unless there is one already; returns the one that is kept."""

    @abstractmethod
    async def declarations(self) -> dict[str, bytes]:
        """S19: the declaration of every entity type that was ever declared here."""


class LocalStore(EntityStore):
    """The same, synchronously and inline: a read suspends nobody and costs about a microsecond.

    S13: `find`, `find_many` and `page` answer what `get`, `get_many` and `scan` answer.
    """

    @abstractmethod
    def find(self, segment: SegmentName, id: str) -> Record | None: ...

    @abstractmethod
    def finder(self, segment: SegmentName) -> Callable[[str], Record | None]:
        """S24: `find` within one segment, for callers that ask often; usable until the store is closed."""

    @abstractmethod
    def find_many(self, segment: SegmentName, ids: Iterable[str]) -> dict[str, Record]: ...

    @abstractmethod
    def page(self, segment: SegmentName, after: str | None, limit: int) -> list[Record]: ...

    @abstractmethod
    def find_held(self, segment: SegmentName, id: str) -> Record | None:
        """S20: what happens to be here under the id, whatever the presence: a write that waits for its partition."""

    @abstractmethod
    def page_held(self, segment: SegmentName, after: str | None, limit: int) -> list[Record]:
        """S21: `page`, whatever the presence."""

    @abstractmethod
    def scan_live(
        self, segment: SegmentName, after: bytes, limit: int, accept: Callable[[bytes], bool], *, back: bool = False
    ) -> Scanned:
        """S27: of the next ``limit`` rows behind the record key ``after`` (empty = from the first one) the live records
        whose content (`Record.content`) is accepted; of one snapshot, whatever the presence, in the order of `page`,
        or the other way round with ``back``."""

    @abstractmethod
    def record_key(self, type: str, id: str) -> bytes:
        """S28: where an id of a type is in the order of `scan_live`."""

    @abstractmethod
    def declared(self, type: str) -> bytes | None:
        """S23: the declaration of an entity type, None when it was never declared here."""

    @abstractmethod
    def holds_all(self) -> bool:
        """S26: whether every partition is held here, because there is no upstream to hold any."""

    @abstractmethod
    def segments(self) -> list[SegmentName]:
        """S22: every segment that was ever written to here, in no order."""

    @abstractmethod
    def newest_seq(self) -> int:
        """S30: grows with every commit that writes records. What is read before it is asked for lacks nothing of it."""

    @abstractmethod
    def clock_ahead_ms(self) -> int:
        """S25: how far the latest stamp that this store has seen lies ahead of its clock; 0 when it does not."""

    @abstractmethod
    def write_blocking(self, writes: Sequence[Write], *, timeout_s: float | None = None) -> Commit:
        """S14: `write` for a thread without an event loop; `BlockingCallError` inside a running one."""

    @abstractmethod
    def listen(self, listener: Listener) -> Callable[[], None]:
        """S15: call ``listener`` after each commit of this process, in order, before the call that made it returns.

        The listener runs on whichever thread delivers the commit, and must neither block nor raise. Returns its end.
        """

    @abstractmethod
    def follow(self, listener: RecordListener) -> Callable[[], None]:
        """S29: like `listen`, with the records as the commit left them, and without their ids taken apart."""

    @abstractmethod
    def notify(self, callback: Callable[[], None]) -> Callable[[], None]:
        """S16: like `listen` without the changes, for who only wants to look again."""

    @abstractmethod
    def look(self) -> None:
        """S17: notice commits of other processes: tell listeners and callbacks. Cheap when there were none."""
