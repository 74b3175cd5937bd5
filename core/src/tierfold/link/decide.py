"""What to do with one record, given both sides' versions. See core rules 6 and 9; pure, one call per record key."""

from __future__ import annotations

from collections.abc import Callable

from msgspec import Struct

from tierfold.abc.syncable import Accept, Bury, ConflictEntry, Drop, Keep, NearRow, Offer, Step, Take
from tierfold.clock import day_of
from tierfold.model import ABSENT, Digest, Record

__all__ = ["Decision", "Situation", "bury_stranger", "decide", "is_stranger"]

Join = Callable[[Record, Record], Record]


class Situation(Struct, frozen=True):
    """What is known of a segment while its records are decided.

    Attributes:
        known: The farther side's history of this segment is ours; otherwise nothing clean is overwritten or dropped.
        restored: The nearer side went back in time.
        horizon: First day of stamp whose tombstones the farther side still keeps.
        join: The resolver of the entity type, and its name for the conflict log.
    """

    link: str
    now_ms: int
    known: bool
    restored: bool
    horizon: int
    rule: str
    join: Join


class Decision(Struct, frozen=True):
    """A step for the nearer store, if any. ``settled``: the row is this run's own work and no stranger."""

    step: Step | None = None
    conflict: ConflictEntry | None = None
    settled: bool = False
    raises_horizon: bool = False


_NOTHING = Decision()


def decide(near: NearRow | None, far: Record | None, at: Situation, key: bytes | None = None) -> Decision:
    """Decide one record key.

    A conflict exists only when both sides changed since they last agreed; anything else is a fast-forward.

    Args:
        key: The record key, when the caller has worked it out already.
    """
    if far is None:
        return _NOTHING if near is None else _missing(near, at)
    if near is None:
        return Decision(Take(far, ABSENT, key))
    if near.record.hash == far.hash:
        return Decision(Accept(near.key, far.hash, far.deleted, near.seq)) if near.dirty else _NOTHING
    if near.from_upstream and near.newer:
        # A write-through copy entered the cache after this page was asked for: the page is older than the row.
        return _NOTHING
    if not near.dirty and at.known:
        return Decision(Take(far, near.record.hash, key))
    if near.dirty and far.hash == near.base:
        return _NOTHING
    return _conflict(near, far, at)


def _conflict(near: NearRow, far: Record, at: Situation) -> Decision:
    restored = at.restored or not at.known or not near.dirty
    rule = "restored" if restored else at.rule
    base = near.base if near.dirty else ABSENT
    if at.join(near.record, far).hash == far.hash:
        entry = ConflictEntry(rule, at.link, far, near.record, base, at.now_ms)
        return Decision(Take(far, near.record.hash, near.key), entry, settled=True)
    entry = ConflictEntry(rule, at.link, near.record, far, base, at.now_ms)
    keep = Keep(near.key, near.record.hash, far.hash, far.deleted, touch=not near.dirty)
    return Decision(keep, entry, settled=True)


def _missing(near: NearRow, at: Situation) -> Decision:
    """The farther side has no such record, or a tombstone that no longer counts."""
    below = day_of(near.record.stamp) < at.horizon
    if near.record.deleted:
        return _missing_tombstone(near, below)
    if not near.dirty:
        if at.known and below:
            return Decision(Drop(near.key, near.record.hash), raises_horizon=True)
        return Decision(Offer(near.key, near.record.hash), settled=True)
    if near.base and not near.base_deleted:
        return _bury("deleted-upstream", near, at) if at.known else _offer(near)
    return bury_stranger(near, at) if is_stranger(near, at) else _NOTHING


def _missing_tombstone(near: NearRow, below: bool) -> Decision:
    if below:
        return Decision(Accept(near.key, near.record.hash, True, near.seq)) if near.dirty else _NOTHING
    return _NOTHING if near.dirty and not near.base else _offer(near)


def _offer(near: NearRow) -> Decision:
    return Decision(Offer(near.key, near.record.hash), settled=True)


def is_stranger(near: NearRow, at: Situation) -> bool:
    """A row of a restored nearer store that may have been sent, accepted, deleted and collected since the backup.

    One that was created anew, over a tombstone, no less than one without a base.
    """
    below = day_of(near.record.stamp) < at.horizon
    is_new = not near.base or near.base_deleted
    return at.restored and below and is_new and not near.record.deleted


def bury_stranger(near: NearRow, at: Situation) -> Decision:
    return _bury("restored", near, at)


def _bury(rule: str, near: NearRow, at: Situation) -> Decision:
    """A fresh tombstone, pushed like any delete: removing the row silently, a nearer peer would offer it again."""
    entry = ConflictEntry(rule, at.link, None, near.record, Digest(near.base), at.now_ms)
    return Decision(Bury(near.key, near.record.hash), entry, settled=True)
