"""What a layer says of itself: the state of tiers and links, and the reports of runs."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal

from msgspec import Struct

__all__ = ["LinkReport", "LinkStatus", "Status", "SyncReport", "TierStatus"]

LinkActivity = Literal["connecting", "idle", "running", "paused", "failing", "elsewhere", "closed"]


class LinkReport(Struct, frozen=True):
    """What one link did in a sync.

    Attributes:
        verified: True = both sides hold the same, None = not known yet (someone else writes, records are deferred, or
            something could not be compared), False = a difference remains.
        error: Why the run did not happen, ended early, or left something out, such as an entity type that both sides
            declare differently; None when it went through. While another process runs the link, that both sides did not
            become equal in 10 s.
        pulled: Records that came from the farther tier.
        pushed: Records that the farther tier accepted.
        conflicts: Decisions that went to the conflict log.
        bytes: Content of the records that crossed the link, either way.
        deferred: (type, id) of records refused for now because their stamp is too far ahead of the clock.
        bad: (type, id, reason) of records refused for good.
    """

    verified: bool | None
    error: str | None = None
    pulled: int = 0
    pushed: int = 0
    conflicts: int = 0
    bytes: int = 0
    duration_s: float = 0.0
    deferred: tuple[tuple[str, str], ...] = ()
    bad: tuple[tuple[str, str, str], ...] = ()

    def followed_by(self, later: LinkReport) -> LinkReport:
        """Both together: the later verdict, and the counts of both."""
        return LinkReport(
            later.verified,
            later.error,
            self.pulled + later.pulled,
            self.pushed + later.pushed,
            self.conflicts + later.conflicts,
            self.bytes + later.bytes,
            self.duration_s + later.duration_s,
            later.deferred,
            later.bad,
        )


class SyncReport(Struct, frozen=True):
    """What a sync did, per link. An unreachable tier stands in the report; it is no exception."""

    links: Mapping[str, LinkReport]

    @property
    def ok(self) -> bool:
        """Whether every link went through."""
        return all(link.error is None for link in self.links.values())

    @property
    def verified(self) -> bool | None:
        """The worst verdict of all links; None also when a link did not go through."""
        verdicts = [None if link.error else link.verified for link in self.links.values()]
        if False in verdicts:
            return False
        return None if None in verdicts else True


class LinkStatus(Struct, frozen=True):
    """A link now.

    Attributes:
        state: ``elsewhere`` = another process on the same near store runs it; ``failing`` = the last run ended with
            ``error`` and the next one waits.
        dirty: Whether rows wait for delivery; of a closed link, whether some did at the end.
        last: Report of the last run that ended, by this process.
    """

    name: str
    state: LinkActivity
    dirty: bool
    error: str | None
    last: LinkReport | None


class TierStatus(Struct, frozen=True):
    """A tier now.

    Attributes:
        durable: None while it could not be opened.
        clock_ahead_s: How far the latest stamp it has seen lies ahead of the clock here. Beyond 60 s a clock somewhere
            is wrong, and what is written here may be deferred by farther tiers. None where it cannot be told.
    """

    name: str
    scheme: str
    open: bool
    durable: bool | None
    clock_ahead_s: float | None


class Status(Struct, frozen=True):
    """A layer now.

    Attributes:
        durable: Whether what `save` returns for outlives the process.
        dirty: Whether rows wait for delivery; of a closed layer, whether any was left undelivered.
        beyond: The store behind the farthest tier, named by its id, which another opening linked that tier to. This
            layer was opened without it: only a layer that has it delivers to it, and brings partitions down from it.
    """

    durable: bool
    dirty: bool
    tiers: tuple[TierStatus, ...]
    links: Mapping[str, LinkStatus]
    beyond: str | None
