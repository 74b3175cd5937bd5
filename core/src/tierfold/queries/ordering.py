"""The order of a search's results: keys of records, and of the places that cursors name."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from msgspec import UNSET

from tierfold.entities.ids import split_id
from tierfold.model import Record
from tierfold.where.cursor import Cursor, edge_cursor
from tierfold.where.lens import Lens
from tierfold.where.order import Key
from tierfold.where.sorting import SortField, sort_part

__all__ = ["Ordering"]


class Ordering:
    """By fields and id; without fields by partition and record key, as records lie.

    Args:
        payload_of: What the class reads of a record's content, where that is not its own payload.
        record_key: Where an id lies in its partition.
    """

    def __init__(
        self,
        fields: tuple[SortField, ...],
        payload_of: Callable[[bytes], bytes] | None,
        record_key: Callable[[str], bytes],
    ) -> None:
        self.fields = fields
        self._record_key = record_key
        lens = Lens((field.path for field in fields), payload_of)
        self._view = lens.view
        self._values = [lens.value(field.path) for field in fields]

    def values(self, record: Record) -> tuple[Any, ...]:
        """The record's values of the fields; None where it has none."""
        view = self._view(record.content)
        found = [value(view) for value in self._values]
        return tuple(None if value is UNSET else value for value in found)

    def key(self, record: Record) -> Key:
        """Less for what comes first."""
        return self._key(self.values(record) if self.fields else (), record.id)

    def at(self, cursor: Cursor) -> Key:
        """The key of the record that a cursor names."""
        return self._key(cursor.values, cursor.id)

    def _key(self, values: tuple[Any, ...], id: str) -> Key:
        if not self.fields:
            return (split_id(id)[0], self._record_key(id))
        parts = [sort_part(value, field.descending) for value, field in zip(values, self.fields, strict=True)]
        return (*parts, id)

    def cursor(self, digest: bytes, record: Record, offset: int) -> Cursor:
        """A cursor that names the record."""
        values = self.values(record) if self.fields else ()
        return Cursor(digest, self.fields, values, split_id(record.id)[0], record.id, offset)

    def edge(self, digest: bytes, offset: int) -> Cursor:
        """A cursor that names no record, but the beginning and the end."""
        return edge_cursor(digest, self.fields, offset)
