"""When two segments hold the same."""

from __future__ import annotations

from collections.abc import Iterable

from msgspec import Struct

from tierfold.abc.syncable import SegmentRoots
from tierfold.clock import day_of
from tierfold.digest import MODULUS
from tierfold.model import Record

__all__ = ["Held", "equal_roots"]


class Held(Struct, frozen=True):
    """A deferred record and what the farther side has under its id: both are left out of the comparison."""

    own: Record
    theirs: Record | None


class _Sums:
    def __init__(self, roots: SegmentRoots) -> None:
        self.live = int.from_bytes(roots.live, "big")
        self.days = {day: int.from_bytes(total, "big") for day, total in roots.tombstones.items()}

    def leave_out(self, record: Record | None) -> None:
        if record is None:
            return
        number = int.from_bytes(record.hash, "big")
        if record.deleted:
            day = day_of(record.stamp)
            self.days[day] = (self.days.get(day, 0) - number) % MODULUS
        else:
            self.live = (self.live - number) % MODULUS

    def counting(self, first_day: int) -> tuple[int, dict[int, int]]:
        return self.live, {day: total for day, total in self.days.items() if day >= first_day and total}


def equal_roots(own: SegmentRoots, theirs: SegmentRoots, held: Iterable[Held] = ()) -> bool:
    """Live sums equal, and tombstone sums equal for all days not below either horizon."""
    first, second = _Sums(own), _Sums(theirs)
    for each in held:
        first.leave_out(each.own)
        second.leave_out(each.theirs)
    horizon = max(own.horizon, theirs.horizon)
    return first.counting(horizon) == second.counting(horizon)
