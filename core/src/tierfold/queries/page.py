"""Pages of a query's results."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TypeVar, overload

__all__ = ["Page"]

T = TypeVar("T")


class Page(Sequence[T]):
    """Some of a query's entities, in its order.

    Attributes:
        next: Cursor for the page behind this one (``page(after=…)``), None at the end. Opaque; it survives inserts and
            deletes.
        prev: Cursor for the page before this one (``page(before=…)``), None at the beginning. A page that is empty has
            one of the two: it leads back to where there is something.
        missing: Partitions that could not be reached; of their entities only those that wait for them here are given.
        complete: False when partitions are missing, or when a tier could not be asked which ones it has.
        skipped: How many entities were left out because they do not fit the class (``on_invalid="skip"``).
    """

    def __init__(
        self,
        items: Sequence[T],
        *,
        next: str | None,
        prev: str | None,
        missing: Sequence[str] = (),
        complete: bool = True,
        skipped: int = 0,
    ) -> None:
        self.items: tuple[T, ...] = tuple(items)
        self.next: str | None = next
        self.prev: str | None = prev
        self.missing: tuple[str, ...] = tuple(missing)
        self.complete = complete
        self.skipped = skipped

    @overload
    def __getitem__(self, index: int) -> T: ...
    @overload
    def __getitem__(self, index: slice) -> Sequence[T]: ...
    def __getitem__(self, index: int | slice) -> T | Sequence[T]:
        return self.items[index]

    def __len__(self) -> int:
        return len(self.items)

    def __iter__(self) -> Iterator[T]:
        return iter(self.items)

    def __repr__(self) -> str:
        more = ", more behind it" if self.next else ", the last"
        missing = f", missing {', '.join(self.missing)}" if self.missing else ""
        return f"<Page of {len(self.items)}{more}{missing}>"
