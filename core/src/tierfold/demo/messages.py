"""What the two processes of the demo tell each other, one JSON document a line."""

from __future__ import annotations

from typing import Any

from msgspec import Struct

__all__ = [
    "Change",
    "Conflict",
    "Fold",
    "Pause",
    "Read",
    "Reading",
    "Request",
    "Roots",
    "Show",
    "Shown",
    "Version",
    "Write",
]


class Change(Struct, frozen=True):
    """A change of one entity: fields to set, or a delete when ``fields`` is None."""

    id: str
    fields: dict[str, str | float] | None


class Version(Struct, frozen=True):
    """A version of a record: when it was written, and the store's node id, both in hexadecimal digits."""

    id: str
    etag: str
    time: str
    node: str
    deleted: bool

    @property
    def at_ms(self) -> int:
        """Wall time, in ms since 1970."""
        return int(self.time[:12], 16)


class Conflict(Struct, frozen=True):
    """An entry of a conflict log."""

    rule: str
    winner: Version | None
    loser: Version


class Reading(Struct, frozen=True):
    """Every document of one side by id, without system fields, and what their records take in the near store."""

    documents: dict[str, dict[str, Any]]
    partitions: int
    record_bytes: int
    duration_s: float


class Roots(Struct, frozen=True):
    """The content of a tier: one root over all, and the sums of each segment, in hexadecimal digits."""

    root: str
    live_count: int
    segments: dict[str, dict[str, str]]


class Shown(Struct, frozen=True):
    """The roots of both tiers as one side sees them, by name, and its conflict log."""

    roots: dict[str, Roots]
    conflicts: list[Conflict]


class Read(Struct, frozen=True, tag=True):
    """Answered by `Reading`."""


class Write(Struct, frozen=True, tag=True):
    """Answered by a list of `Version`, one for each change."""

    changes: list[Change]


class Pause(Struct, frozen=True, tag=True):
    """Answered by None."""


class Fold(Struct, frozen=True, tag=True):
    """Answered by a `LinkReport`."""


class Show(Struct, frozen=True, tag=True):
    """Answered by `Shown`."""


Request = Read | Write | Pause | Fold | Show
