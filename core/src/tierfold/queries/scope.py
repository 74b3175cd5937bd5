"""Which partitions a query reads, and how they come to the nearest tier."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Callable, Sequence
from functools import cached_property

from tierfold.abc.store import LocalStore
from tierfold.access import Access
from tierfold.entities.ids import entity_key
from tierfold.errors import PartitionUnavailableError
from tierfold.model import SegmentName

__all__ = ["Scope"]


class Scope:
    """Partitions of one type under one prefix.

    Args:
        find_keys: Finds `keys`; asked when they are needed, for there may be very many.

    Attributes:
        all_known: Whether these are known to be all there are.
        missing: Why which of those that were brought down could not be.
    """

    def __init__(
        self, access: Access, type: str, prefix: str, find_keys: Callable[[], Sequence[str]], *, all_known: bool
    ) -> None:
        self._access, self._type, self._prefix = access, type, prefix
        self._find_keys = find_keys
        self.all_known = all_known
        self.missing: dict[str, PartitionUnavailableError] = {}
        self._held: set[str] = set()

    @cached_property
    def keys(self) -> Sequence[str]:
        """Their logical keys, ascending."""
        return self._find_keys()

    @property
    def is_complete(self) -> bool:
        return self.all_known and not self.missing

    def segment(self, key: str) -> SegmentName:
        return SegmentName(self._type, entity_key(self._prefix, key))

    def store(self, key: str) -> LocalStore:
        """Where to read a partition that was brought down, or that waits here for it."""
        return self._access.reader if key in self._held else self._access.holder

    async def bring(self, keys: Sequence[str]) -> None:
        """Bring partitions down, as far as they can be reached."""
        found = await self._access.bring_many([entity_key(self._prefix, key) for key in keys])
        for key in keys:
            held = found[entity_key(self._prefix, key)]
            if isinstance(held, PartitionUnavailableError):
                self.missing[key] = held
            elif held:
                self._held.add(key)

    async def arriving(self, keys: Sequence[str]) -> AsyncGenerator[str]:
        """Keys one by one, each brought down; in runs that grow, so that a page soon full brings little for nothing."""
        start, length = 0, 1
        while start < len(keys):
            some = keys[start : start + length]
            await self.bring(some)
            for key in some:
                yield key
            start, length = start + length, 2 * length
