"""What repositories do with the tiers of a layer: read near, write durably, bring partitions down."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import Final

from tierfold.abc.store import LocalStore
from tierfold.abc.syncable import Feed, NearerStore
from tierfold.entities.ids import logical_key
from tierfold.errands import RunsErrands, run_here
from tierfold.errors import ConfigError, PartitionUnavailableError, StoreClosedError, StoreUnavailableError
from tierfold.links.link import Link
from tierfold.model import Commit, Digest, Record, SegmentName, Write
from tierfold.tiers import OpenTier
from tierfold.together import together
from tierfold.transactions.transaction import Transaction, current_of

__all__ = ["Access"]

_AT_ONCE: Final = 32
_NOT_WAITED_FOR: Final = "a save cannot wait for it, so the tier in front of it needs writes='behind'"


class Access:
    """The tiers of one layer, near to far, and the links between them. ``links[i]`` joins tiers ``i`` and ``i + 1``.

    Attributes:
        errands: How what awaits the links is done: it belongs to the event loop of the layer.
    """

    def __init__(self, tiers: Sequence[OpenTier], links: Sequence[Link], prefix: str) -> None:
        self._tiers, self._links, self._prefix = tiers, links, prefix
        self._write_to = 0
        self._reader: LocalStore | None = None
        self._closed = self._left_waiting = False
        self.errands: RunsErrands = run_here

    def choose(self) -> None:
        """Decide, after the first attempt to open every tier, which one `save` waits for.

        It is the first that is durable, or that might be if it could be reached; with volatile tiers only, the first.

        Raises:
            ConfigError: It is not local, or the nearest tier is not.
        """
        self._reader = _local(self._tiers[0], "the nearest tier must be local")
        for number, tier in enumerate(self._tiers):
            if tier.durable is not False or tier.tier.writes == "behind":
                self._write_to = number
                if tier.store is not None:
                    _local(tier, _NOT_WAITED_FOR)
                return

    def close(self) -> None:
        """The tiers are about to be closed."""
        self._left_waiting = self.waits_beyond
        self._closed = True

    def require_open(self) -> None:
        """Refuse work on a layer that was closed."""
        if self._closed:
            raise StoreClosedError("the data layer is closed")

    @property
    def transaction(self) -> Transaction | None:
        """The one that is going on in this task or thread. Every store here is given as it sees it.

        Raises:
            TransactionError: It has ended, or failed.
        """
        return current_of(self)

    def _seen(self, store: LocalStore) -> LocalStore:
        transaction = current_of(self)
        return store if transaction is None else transaction.view(store)

    @property
    def nearest(self) -> LocalStore:
        """The nearest tier, whatever transaction is going on."""
        assert self._reader is not None, "there are no repositories before the layer is open"
        return self._reader

    @property
    def reader(self) -> LocalStore:
        """The nearest tier."""
        return self._seen(self.nearest)

    def searched(self, type: str) -> LocalStore:
        """The nearest tier with its indexes, unless the transaction wrote to the type, which they do not know of."""
        transaction = current_of(self)
        if transaction is None or all(segment.type != type for segment in transaction.pending.segments):
            return self.nearest
        return transaction.view(self.nearest)

    @property
    def writer(self) -> LocalStore:
        """The tier that `save` waits for.

        Raises:
            StoreUnavailableError: It cannot be reached now.
        """
        self.require_open()
        tier = self._tiers[self._write_to]
        if tier.store is None:
            raise StoreUnavailableError(f"tier {tier.name!r}, which makes writes durable, cannot be reached")
        return self._seen(_local(tier, _NOT_WAITED_FOR))

    @property
    def holder(self) -> LocalStore:
        """The tier that has every write which waits for its partition: what is in front of it are caches."""
        tier = self._tiers[self._write_to]
        return self.reader if tier.store is None else self._seen(_local(tier, _NOT_WAITED_FOR))

    @property
    def durable(self) -> bool:
        """Whether what is saved outlives the process."""
        return self._tiers[self._write_to].durable is not False

    # --- reading -------------------------------------------------------------------------------------------------

    async def bring(self, partition: str, tier: int = 0) -> bool:
        """Bring a partition down to a tier. True = it is present now, False = no tier has one of that name.

        Raises:
            PartitionUnavailableError: It is not here and no farther tier can be reached; names its logical key.
        """
        self.require_open()
        try:
            return await self._bring(partition, tier)
        except PartitionUnavailableError as error:
            key = logical_key(self._prefix, error.partition) or error.partition
            raise PartitionUnavailableError(key, error.reason) from error

    async def _bring(self, partition: str, tier: int) -> bool:
        near = self._tiers[tier].near
        if await near.presence(partition) == "unknown":
            if tier >= len(self._links):
                raise PartitionUnavailableError(partition, "this layer was opened without the tier that holds it")
            await self.errands(partial(self._links[tier].hydrate, partition))
        presence = await near.presence(partition)
        if presence == "unknown":
            raise PartitionUnavailableError(partition, "it was let go of at once")
        return presence == "present"

    async def bring_many(self, partitions: Sequence[str]) -> dict[str, bool | PartitionUnavailableError]:
        """`bring` several at a time: True = present, False = there is none of that name, or why it is out of reach."""
        near = self._tiers[0].near
        found: dict[str, bool | PartitionUnavailableError] = {}

        async def attempt(partition: str) -> None:
            try:
                found[partition] = await self.bring(partition)
            except PartitionUnavailableError as error:
                found[partition] = error

        for partition in partitions:
            if await near.presence(partition) == "present":
                found[partition] = True
        away = [partition for partition in partitions if partition not in found]
        if away:
            await self.errands(lambda: together(attempt, away, at_once=min(_AT_ONCE, len(away))))
        return found

    async def bring_to_writer(self, segment: SegmentName, id: str | None = None) -> None:
        """Bring a partition down to the tier that `save` waits for.

        Args:
            id: An entity that a write there may go on from even if the rest cannot be reached.

        Raises:
            PartitionUnavailableError: It is not there, no farther tier can be reached, and neither is ``id`` there.
        """
        try:
            await self.bring(segment.partition, self._write_to)
        except PartitionUnavailableError:
            if id is None or self.writer.find_held(segment, id) is None:
                raise

    async def segments(self, type: str) -> tuple[list[SegmentName], bool]:
        """Every segment of a type that any tier knows, and whether all tiers could be asked."""
        self.require_open()
        transaction = current_of(self)
        found = set(transaction.pending.segments) if transaction else set[SegmentName]()
        all_asked = True
        for tier in self._tiers:
            try:
                found.update(await self._segments(tier))
            except StoreUnavailableError:
                all_asked = False
        return [segment for segment in found if segment.type == type], all_asked

    async def _segments(self, tier: OpenTier) -> Sequence[SegmentName]:
        if tier.store is None:
            raise StoreUnavailableError(f"tier {tier.name!r} cannot be reached")
        if isinstance(tier.store, LocalStore):
            return tier.store.segments()
        feed: Feed = await self.errands(partial(tier.store.feed, None))
        return feed.segments

    @property
    def is_last(self) -> bool:
        """Whether there is no tier behind the one that is written to, in this layer or known to its store."""
        return not self._links and self._reader is not None and self._reader.holds_all()

    def is_waiting(self) -> bool:
        """Whether rows of the tier written to, or of one behind it, wait for a farther tier; inline."""
        if self.is_last:
            return False
        nears = (self._tiers[number].store for number in range(self._write_to, len(self._links)))
        return any(isinstance(near, NearerStore) and near.has_pending() for near in nears)

    def pending(self, segment: SegmentName, record: Record) -> tuple[str, ...]:
        """Names of the tiers, near to far, that this version of a record has not reached, as far as is known here."""
        if self.is_last:
            return ()
        beyond = () if self.beyond is None else (self.beyond,)
        names = (*[tier.name for tier in self._tiers[1:]], *beyond)
        transaction = current_of(self)
        if transaction is not None and transaction.pending.find(segment, record.id) is not None:
            return names[self._write_to :]
        for number in range(self._write_to, len(names)):
            near = self._tiers[number].store
            if isinstance(near, NearerStore) and near.is_pending(segment, record):
                return names[number:]
        return ()

    @property
    def beyond(self) -> str | None:
        """The store behind the farthest tier, which another opening linked it to and this one does not know."""
        farthest = self._tiers[-1].store
        upstream = farthest.upstream() if isinstance(farthest, NearerStore) else None
        return None if upstream is None else f"store {upstream.hex()}"

    @property
    def waits_beyond(self) -> bool:
        """Whether the farthest tier has rows for the store behind it, or had when the layer was closed."""
        if self._closed:
            return self._left_waiting
        farthest = self._tiers[-1].store
        return self.beyond is not None and isinstance(farthest, NearerStore) and farthest.has_pending()

    # --- writing -------------------------------------------------------------------------------------------------

    async def write(self, writes: Sequence[Write]) -> Commit:
        """Store a batch durably, then let the caches in front of it have their copies; or keep it for the commit.

        Raises:
            TransactionError: A transaction of another layer is going on.
        """
        transaction = current_of(self, to_write=True)
        commit = await self.writer.write(writes)
        if transaction is not None:
            return commit
        for number in reversed(range(self._write_to)):
            await self._write_through(number, writes, commit)
        return commit

    async def _write_through(self, number: int, writes: Sequence[Write], commit: Commit) -> None:
        """Copies for one cache. Where it is behind, its link brings it up to date: a program reads what it wrote.

        A copy of a partition that is being brought down does not enter, and may be newer than what comes down.
        """
        copies: dict[SegmentName, list[tuple[Record, Digest]]] = {}
        for write, written in zip(writes, commit.written, strict=True):
            if written.record is not None:
                copies.setdefault(write.segment, []).append((written.record, written.replaced))
        cache = self._tiers[number].near
        link = self._links[number]
        for segment, records in copies.items():
            entered = await cache.write_through(segment, records)
            if not entered or (link.is_at(segment.partition) and await cache.presence(segment.partition) != "present"):
                await self.errands(partial(link.refresh, segment.partition))

    async def catch_up(self, segment: SegmentName, id: str) -> None:
        """Bring the caches up to what the tier behind them holds under an id, where they are behind."""
        for number in reversed(range(self._write_to)):
            cache, source = self._tiers[number].store, self._tiers[number + 1].store
            if not isinstance(cache, LocalStore) or not isinstance(source, LocalStore):
                return
            if await self._tiers[number].near.presence(segment.partition) == "present":
                held, told = cache.find_held(segment, id), source.find_held(segment, id)
                if told is not None and (held is None or held.hash != told.hash):
                    await self.errands(partial(self._links[number].refresh, segment.partition))

    async def declare(self, type: str, declaration: bytes) -> bytes:
        """Put a declaration into the catalog of the tier written to; returns the one that is there."""
        return await self.writer.declare(type, declaration)


def _local(tier: OpenTier, reason: str) -> LocalStore:
    if not isinstance(tier.store, LocalStore):
        raise ConfigError(f"tier {tier.name!r} ({tier.dsn.scheme}:) is not local; {reason}")
    return tier.store
