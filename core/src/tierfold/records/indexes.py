"""Indexes as writers and readers know them: which there are, and the keys of their entries.

An entry's key is the index's number, the value as order bytes, the id and the segment; its value is the schema of the
record. Ids are ordered within equal values, so a range of entries is a page of any query sorted by the path.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import Any

from msgspec import Struct

from tierfold.abc.engine import ReadTransaction
from tierfold.abc.indexed import IndexPath
from tierfold.layout import INDEX_ENTRY, INDEX_ROWS, IndexRow
from tierfold.where.lens import Lens
from tierfold.where.order_bytes import order_bytes

__all__ = ["Index", "IndexMemo", "Move", "TypeIndexes"]


class Index(Struct, frozen=True):
    """One index that writers maintain.

    Attributes:
        value: What it orders by, of a view.
    """

    number: bytes
    path: IndexPath
    value: Callable[[Any], object]
    is_ready: bool


Move = tuple[Index, bytes | None, bytes | None]
"""What a write does to one index: the key of the entry that goes, and of the one that comes."""


class TypeIndexes:
    """The indexes of one entity type that are built, or will be."""

    def __init__(self, rows: Iterable[tuple[bytes, IndexRow]]) -> None:
        kept = list(rows)
        lens = Lens(row.path for _, row in kept)
        self._view = lens.view
        self.all: list[Index] = [
            Index(number, row.path, lens.value(row.path), row.state == "ready") for number, row in kept
        ]

    def find(self, path: IndexPath) -> Index | None:
        return next((index for index in self.all if index.path == path), None)

    def keys(self, content: bytes, segment: bytes) -> list[bytes]:
        """The key of each index's entry for the content of a live record."""
        view = self._view(content)
        end = content[51 : 51 + (content[45] << 8 | content[46])] + segment
        return [INDEX_ENTRY + index.number + order_bytes(index.value(view))[0] + end for index in self.all]

    def moves(self, old: bytes | None, new: bytes | None, segment: bytes) -> Iterator[Move]:
        """What changes when a record's content does; None = no live record."""
        nothing = [None] * len(self.all)
        before = nothing if old is None else self.keys(old, segment)
        after = nothing if new is None else self.keys(new, segment)
        is_rewritten = old is not None and new is not None and old[33:37] != new[33:37]
        for index, gone, come in zip(self.all, before, after, strict=True):
            if gone != come or is_rewritten:
                yield index, gone, come


class IndexMemo:
    """The indexes as they were last read, so that a write that finds them unchanged reads nothing."""

    def __init__(self) -> None:
        self._known: tuple[int, dict[str, TypeIndexes]] = (0, {})

    def load(self, txn: ReadTransaction, changes: int) -> dict[str, TypeIndexes]:
        """The indexes of each type that has any. ``changes``: `Counters.index_changes` in this transaction."""
        known, types = self._known
        if changes != known:
            types = _read(txn)
            self._known = (changes, types)
        return types


def _read(txn: ReadTransaction) -> dict[str, TypeIndexes]:
    by_type: dict[str, list[tuple[bytes, IndexRow]]] = {}
    for number, row in INDEX_ROWS.rows(txn):
        if row.state != "dropping":
            by_type.setdefault(row.type, []).append((number, row))
    return {type: TypeIndexes(rows) for type, rows in by_type.items()}
