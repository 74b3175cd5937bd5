"""A local store as a transaction sees it: its own writes lie over what is stored."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence

from tierfold.abc.store import Listener, LocalStore, RecordListener, Scanned
from tierfold.model import Commit, Record, SegmentName, Write
from tierfold.transactions.pending import Pending

__all__ = ["Overlay"]


class Overlay(LocalStore):
    """Reads see the pending writes; writes and declarations become pending. It has no indexes: they know none of these.

    A write that waits here for its partition is read whatever the presence, like any other one.
    """

    def __init__(self, store: LocalStore, pending: Pending) -> None:
        self._store, self._pending = store, pending

    # --- reading -------------------------------------------------------------------------------------------------

    def find(self, segment: SegmentName, id: str) -> Record | None:
        return self._pending.find(segment, id) or self._store.find(segment, id)

    def finder(self, segment: SegmentName) -> Callable[[str], Record | None]:
        return lambda id: self.find(segment, id)

    def find_many(self, segment: SegmentName, ids: Iterable[str]) -> dict[str, Record]:
        wanted, own = list(ids), self._pending.of(segment)
        others = [id for id in wanted if id not in own]
        found = self._store.find_many(segment, others) if others else {}
        return found | {id: own[id] for id in wanted if id in own and not own[id].deleted}

    def find_held(self, segment: SegmentName, id: str) -> Record | None:
        return self._pending.find(segment, id) or self._store.find_held(segment, id)

    def page(self, segment: SegmentName, after: str | None, limit: int) -> list[Record]:
        return self._page(self._store.page, segment, after, limit)

    def page_held(self, segment: SegmentName, after: str | None, limit: int) -> list[Record]:
        return self._page(self._store.page_held, segment, after, limit)

    def _page(
        self,
        read: Callable[[SegmentName, str | None, int], list[Record]],
        segment: SegmentName,
        after: str | None,
        limit: int,
    ) -> list[Record]:
        found: list[Record] = []
        more = True
        while more and len(found) < limit:
            part = read(segment, after, limit)
            more = len(part) == limit
            last = part[-1].id if more else None
            found += self._laid_over(segment, part, self._own_between(segment, after, last))
            after = last
        return found[:limit]

    def _own_between(self, segment: SegmentName, after: str | None, last: str | None) -> list[Record]:
        low = b"" if after is None else self.record_key(segment.type, after)
        high = None if last is None else self.record_key(segment.type, last)
        return self._own(segment, low, high, back=False)

    def scan_live(
        self, segment: SegmentName, after: bytes, limit: int, accept: Callable[[bytes], bool], *, back: bool = False
    ) -> Scanned:
        part = self._store.scan_live(segment, after, limit, accept, back=back)
        own = [record for record in self._own(segment, after, part.after, back=back) if accept(record.content)]
        records = self._laid_over(segment, part.records, own, back=back)
        return Scanned(tuple(records), part.after, part.rows + len(own))

    def _own(self, segment: SegmentName, after: bytes, until: bytes | None, *, back: bool) -> list[Record]:
        """Pending live records behind one record key and up to another, which may be the end."""

        def is_between(key: bytes) -> bool:
            if back:
                return (not after or key < after) and (until is None or key >= until)
            return key > after and (until is None or key <= until)

        own = [record for record in self._pending.of(segment).values() if not record.deleted]
        return [record for record in own if is_between(self.record_key(segment.type, record.id))]

    def _laid_over(
        self, segment: SegmentName, stored: Iterable[Record], own: Iterable[Record], *, back: bool = False
    ) -> list[Record]:
        written = self._pending.of(segment)
        if not written:
            return list(stored)
        seen = [*(record for record in stored if record.id not in written), *own]
        return sorted(seen, key=lambda record: self.record_key(segment.type, record.id), reverse=back)

    def record_key(self, type: str, id: str) -> bytes:
        return self._store.record_key(type, id)

    def holds_all(self) -> bool:
        return self._store.holds_all()

    def segments(self) -> list[SegmentName]:
        return [*{*self._store.segments(), *self._pending.segments}]

    def newest_seq(self) -> int:
        """Grows with pending writes, too."""
        return self._store.newest_seq() + self._pending.added

    def clock_ahead_ms(self) -> int:
        return self._store.clock_ahead_ms()

    async def get(self, segment: SegmentName, id: str) -> Record | None:
        return self.find(segment, id)

    async def get_many(self, segment: SegmentName, ids: Iterable[str]) -> dict[str, Record]:
        return self.find_many(segment, ids)

    async def scan(self, segment: SegmentName, after: str | None, limit: int) -> list[Record]:
        return self.page(segment, after, limit)

    # --- writing -------------------------------------------------------------------------------------------------

    async def write(self, writes: Sequence[Write]) -> Commit:
        return self._pending.add(self._store, writes)

    def write_blocking(self, writes: Sequence[Write], *, timeout_s: float | None = None) -> Commit:
        return self._pending.add(self._store, writes)

    async def declare(self, type: str, declaration: bytes) -> bytes:
        known = self.declared(type)
        return self._pending.declarations.setdefault(type, declaration) if known is None else known

    def declared(self, type: str) -> bytes | None:
        return self._pending.declarations.get(type) or self._store.declared(type)

    async def declarations(self) -> dict[str, bytes]:
        return self._pending.declarations | await self._store.declarations()

    # --- events --------------------------------------------------------------------------------------------------

    def listen(self, listener: Listener) -> Callable[[], None]:
        return self._store.listen(listener)

    def follow(self, listener: RecordListener) -> Callable[[], None]:
        return self._store.follow(listener)

    def notify(self, callback: Callable[[], None]) -> Callable[[], None]:
        return self._store.notify(callback)

    def look(self) -> None:
        self._store.look()
