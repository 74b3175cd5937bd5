"""What a run of a link did, counted while it happens."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Final

from tierfold.model import Record

__all__ = ["RunReport"]

HASH_BYTES: Final = 16


@dataclass
class RunReport:
    """Counts of one run; sums when several runs are added up.

    Attributes:
        verified: True = all segments equal, None = someone else was writing or something is deferred, False = a
            difference remains.
        conflicts: Decisions that went to the conflict log.
        record_bytes: Content of the records that crossed the link, either way.
        descended: Segments whose digests were compared level by level.
        deferred: (type, id) refused for now because the stamp is too far ahead.
        bad: (type, id) refused for ever, with the reason.
        failed: Partitions whose run ended early, with the reason.
    """

    verified: bool | None = True
    partitions: int = 0
    hydrated: int = 0
    pulled: int = 0
    pushed: int = 0
    conflicts: int = 0
    record_bytes: int = 0
    descended: int = 0
    deferred: list[tuple[str, str]] = field(default_factory=list)
    bad: list[tuple[str, str, str]] = field(default_factory=list)
    failed: dict[str, str] = field(default_factory=dict)

    @property
    def moved(self) -> bool:
        """Whether anything changed on either side."""
        return bool(self.pulled or self.pushed or self.conflicts or self.hydrated)

    def carry(self, records: Iterable[Record]) -> None:
        """Records crossed the link."""
        self.record_bytes += sum([len(record.content) + HASH_BYTES for record in records])

    def add(self, other: RunReport) -> None:
        """Add the counts of another run. The worse verdict stays."""
        self.verified = _worse(self.verified, other.verified)
        for name in ("partitions", "hydrated", "pulled", "pushed", "conflicts", "record_bytes", "descended"):
            setattr(self, name, getattr(self, name) + getattr(other, name))
        self.deferred += other.deferred
        self.bad += other.bad
        self.failed |= other.failed


def _worse(first: bool | None, second: bool | None) -> bool | None:
    if first is False or second is False:
        return False
    return None if first is None or second is None else True
