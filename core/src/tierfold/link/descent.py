"""Find the records in which two stores differ, by comparing digest sums level by level, 16 ways a level."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final

from msgspec import Struct

from tierfold.abc.syncable import Heads, NearerStore, SegmentRoots, SyncableStore
from tierfold.model import Position, SegmentName

__all__ = ["Difference", "differing_keys"]

_LIST_BELOW: Final = 256
"""A range with fewer records than this is listed 16-fold finer instead of summed: about 16 heads a list."""
_DIGITS: Final = "0123456789abcdef"


class Difference(Struct, frozen=True):
    """Record keys, ascending, with the farther side's horizon and position when they were compared."""

    keys: list[bytes]
    horizon: int
    position: Position


async def differing_keys(
    near: NearerStore, far: SyncableStore, segment: SegmentName, own: SegmentRoots, theirs: SegmentRoots
) -> Difference:
    """The records whose versions differ.

    Snapshots of both sides are compared, so a key may differ no more when its record is fetched.
    """
    prefixes = await _differing_ranges(near, far, segment) if own.live != theirs.live else []
    days = _differing_days(own, theirs)
    if not prefixes and not days:
        return Difference([], theirs.horizon, theirs.position)
    mine, other = await near.heads(segment, prefixes, days), await far.heads(segment, prefixes, days)
    return Difference(sorted(_differing_heads(mine, other)), max(theirs.horizon, other.horizon), other.position)


def _differing_days(own: SegmentRoots, theirs: SegmentRoots) -> list[int]:
    first = max(own.horizon, theirs.horizon)
    days = {*own.tombstones, *theirs.tombstones}
    return sorted(day for day in days if day >= first and own.tombstones.get(day) != theirs.tombstones.get(day))


async def _differing_ranges(near: NearerStore, far: SyncableStore, segment: SegmentName) -> list[str]:
    found: list[str] = []
    level = [""]
    while level:
        mine, other = await near.leaves(segment, level), await far.leaves(segment, level)
        deeper: list[str] = []
        for prefix in level:
            listed = max(mine.counts[prefix], other.counts[prefix]) <= _LIST_BELOW
            children = _differing_children(prefix, mine.children, other.children)
            (found if listed else deeper).extend(children)
        level = deeper
    return found


def _differing_children(
    prefix: str, mine: Mapping[str, Sequence[bytes]], other: Mapping[str, Sequence[bytes]]
) -> list[str]:
    pairs = zip(_DIGITS, mine[prefix], other[prefix], strict=True)
    return [prefix + digit for digit, own, theirs in pairs if own != theirs]


def _differing_heads(mine: Heads, other: Heads) -> set[bytes]:
    own, theirs = set(mine.heads), set(other.heads)
    return {key for key, _ in own ^ theirs}
