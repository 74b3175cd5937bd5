"""Conflict resolvers of core. A join is a least upper bound over records, so both sides of a link may apply it."""

from __future__ import annotations

from typing import Final

from tierfold.model import Record
from tierfold.specs import ResolverSpec

__all__ = ["LWW", "lww"]


def _rank(record: Record) -> tuple[bytes, bool, bytes, bytes, bytes]:
    stamp = record.stamp
    return stamp[:8], record.deleted, stamp[8:], record.payload, record.content


def lww(first: Record, second: Record) -> Record:
    """The newest write wins; on equal time the delete wins, then the larger node id, then the larger payload bytes."""
    return first if _rank(first) >= _rank(second) else second


LWW: Final = ResolverSpec("lww", 1, "join", lww)
