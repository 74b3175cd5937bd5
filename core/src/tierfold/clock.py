"""Hybrid logical clock as pure arithmetic (Kulkarni et al., "Logical Physical Clocks", 2014).

A reading is one 64-bit integer: ms since 1970 in the upper 48 bits, a counter in the lower 16. A counter that overflows
borrows the next ms, so a reading plus one is always a later reading.
"""

from __future__ import annotations

from typing import Final

from tierfold.model import Stamp

__all__ = ["AHEAD_LIMIT_MS", "DAY_MS", "day_of", "hlc_of", "latest_stamp", "ms_of", "next_hlc", "stamp_of"]

AHEAD_LIMIT_MS: Final = 60_000
"""A record from a nearer store that is further ahead than this is deferred, else one fast clock would win for ever."""
DAY_MS: Final = 86_400_000


def next_hlc(high_water: int, wall_ms: int, replaced: int = 0) -> int:
    """The reading of a new write: above ``high_water`` and ``replaced``, at least the wall time."""
    above = max(high_water, replaced) + 1
    wall = wall_ms << 16
    return wall if wall > above else above


def stamp_of(hlc: int, node: bytes) -> Stamp:
    """Join a reading and an 8-byte node id into a 16-byte stamp."""
    return Stamp(hlc.to_bytes(8, "big") + node)


def hlc_of(stamp: bytes) -> int:
    return int.from_bytes(stamp[:8], "big")


def ms_of(stamp: bytes) -> int:
    """Wall time of a stamp, in ms since 1970."""
    return int.from_bytes(stamp[:6], "big")


def day_of(stamp: bytes) -> int:
    """UTC day of a stamp, in days since 1970."""
    return ms_of(stamp) // DAY_MS


def latest_stamp(wall_ms: int, high_water: int) -> Stamp:
    """The greatest stamp that is let in from a nearer store; later ones are too far ahead.

    Measured against the larger of wall and high-water: against the wall alone, one root whose clock ran fast would
    refuse edits of its own records.
    """
    ms = max(wall_ms, high_water >> 16) + AHEAD_LIMIT_MS
    return Stamp(ms.to_bytes(6, "big") + b"\xff" * 10)
