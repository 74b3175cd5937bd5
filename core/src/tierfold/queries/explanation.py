"""What a query cost, and why."""

from __future__ import annotations

from msgspec import Struct

__all__ = ["Explanation"]


class Explanation(Struct, frozen=True):
    """How a query was answered: it was run to find out.

    Attributes:
        index: The index that was read, as a path; ``id`` = the condition names ids, and they were fetched; None = all
            records of the partitions were gone through.
        order: ``index`` = results were found in their order, ``sorted`` = they were collected and sorted, ``stored`` =
            they came as they lie.
        scanned: Records that were looked at.
        returned: Results, the limit applied.
        warning: What would make it faster, or why an index that would is not used; None when nothing would.
    """

    index: str | None
    order: str
    scanned: int
    returned: int
    warning: str | None

    def __str__(self) -> str:
        way = f"index on {self.index}" if self.index else "full scan"
        said = f"{way}, {self.order}: {self.scanned} scanned, {self.returned} returned"
        return f"{said}; {self.warning}" if self.warning else said
