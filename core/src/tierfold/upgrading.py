"""Saves over records of older schemas."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from msgspec.structs import replace

from tierfold.access import Access
from tierfold.errors import StaleWriteError
from tierfold.model import ANY, Commit, Record, Write

__all__ = ["Upgrading"]


class Upgrading:
    """Writes for a class that upgrades older documents.

    What a save keeps of the stored document must come from the upgraded one, or renamed members would come back.
    Upgrades are the user's code, which never runs on the writer's thread: the store refuses to merge with an older
    record, and the merge is done here and saved by compare-and-set.
    """

    def __init__(self, access: Access, upgrade: Callable[[Record], Record]) -> None:
        self._access = access
        self._upgrade = upgrade

    async def write(self, writes: Sequence[Write]) -> Commit:
        """Like `Access.write`.

        Raises:
            StaleWriteError: As there, but never because a record is old.
            ValidationError: An upgrade failed.
        """
        merged: dict[str, Write] = {}
        while True:
            try:
                return await self._access.write([merged.get(write.id, write) for write in writes])
            except StaleWriteError as error:
                if not _is_ours(error, writes):
                    raise
                merged = self._merged(writes)

    def _merged(self, writes: Sequence[Write]) -> dict[str, Write]:
        """What replaces those writes that find an older record now."""
        merged = {}
        for write in writes:
            record = self._access.writer.find_held(write.segment, write.id)
            if record is not None and not record.deleted and record.schema < write.oldest_schema:
                merged[write.id] = self._on(record, write)
        return merged

    def _on(self, record: Record, write: Write) -> Write:
        assert write.merge is not None, "only what merges can meet a record that is too old for it"
        assert write.payload is not None, "a delete merges with nothing"
        payload = write.merge(self._upgrade(record).payload, write.payload)
        expected = record.hash if write.expected == ANY else write.expected
        return replace(write, payload=payload, merge=None, oldest_schema=0, expected=expected)


def _is_ours(error: StaleWriteError, writes: Sequence[Write]) -> bool:
    """Whether no condition of the caller's failed, but the store's on older records, or one of ours."""
    found = error.current.hash if isinstance(error.current, Record) else None
    return any(write.id == error.id and write.expected in (ANY, found) for write in writes)
