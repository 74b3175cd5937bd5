"""Which partitions a query reads, and how they come here."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence

from msgspec import Struct

from tierfold.access import Access
from tierfold.entities.ids import entity_key
from tierfold.model import SegmentName

__all__ = ["Scope", "find_scope"]


class Scope:
    """The partitions of one type under one prefix.

    Attributes:
        keys: Logical keys, ascending.
        all_known: Whether these are known to be all there are.
        missing: Those that could not be reached, once `bring` or `arriving` came to them.
    """

    def __init__(self, access: Access, type: str, prefix: str, keys: Sequence[str], *, all_known: bool) -> None:
        self._access, self._type, self._prefix = access, type, prefix
        self.keys = keys
        self.all_known = all_known
        self.missing: list[str] = []
        self._held: set[str] = set()

    def segment(self, key: str) -> SegmentName:
        return SegmentName(self._type, entity_key(self._prefix, key))

    def is_held(self, key: str) -> bool:
        """Whether the nearest tier holds the partition; asked after it was brought."""
        return key in self._held

    async def bring(self, keys: Sequence[str]) -> None:
        """Bring partitions down to the nearest tier, as far as they can be reached."""
        found = await self._access.bring_many([entity_key(self._prefix, key) for key in keys])
        for key in keys:
            held = found[entity_key(self._prefix, key)]
            if held is None:
                self.missing.append(key)
            elif held:
                self._held.add(key)

    async def arriving(self, keys: Sequence[str]) -> AsyncIterator[str]:
        """Keys one by one, each brought down; in runs that grow, so that a page soon full brings little for nothing."""
        start, length = 0, 1
        while start < len(keys):
            some = keys[start : start + length]
            await self.bring(some)
            for key in some:
                yield key
            start, length = start + length, 2 * length
