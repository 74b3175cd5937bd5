"""Cursors: where a page ended, as text that only the query it came from can use.

A cursor names the last entity by what orders it, not by a count: it stays right whatever is inserted or deleted.
"""

from __future__ import annotations

from base64 import urlsafe_b64decode, urlsafe_b64encode
from binascii import Error as Base64Error
from typing import Any

import msgspec
from msgspec import Struct

from tierfold.codec import is_exact
from tierfold.entities.ids import split_id
from tierfold.errors import QueryError, ValidationError
from tierfold.where.sorting import SortField

__all__ = ["Cursor", "edge_cursor", "open_cursor", "seal_cursor"]


class Cursor(Struct, frozen=True, array_like=True):
    """One entity's place in the results of a query; or, without one, an edge: behind it is all, and before it, too.

    Attributes:
        query: Digest of the query.
        order: What the results are ordered by; empty = by partition and record key.
        values: The entity's values of these fields, as stored; None for missing ones.
        key: The logical key of its partition.
        id: Empty for an edge.
        offset: How many results were before it.
    """

    query: bytes
    order: tuple[SortField, ...]
    values: tuple[Any, ...]
    key: str
    id: str
    offset: int

    @property
    def is_edge(self) -> bool:
        return not self.id


def edge_cursor(query: bytes, order: tuple[SortField, ...], offset: int) -> Cursor:
    """What leads back from a page without entities: behind it is the first page, before it the last one."""
    return Cursor(query, order, (), "", "", offset)


def seal_cursor(cursor: Cursor) -> str:
    return urlsafe_b64encode(msgspec.msgpack.encode(cursor)).rstrip(b"=").decode()


def open_cursor(text: str, query: bytes) -> Cursor:
    """
    Raises:
        QueryError: It is no cursor, or one of another query.
    """
    try:
        cursor = msgspec.msgpack.decode(urlsafe_b64decode(text + "=" * (-len(text) % 4)), type=Cursor)
    except (msgspec.MsgspecError, Base64Error, ValueError, RecursionError):
        raise QueryError("the cursor is none of this program's") from None
    if cursor.query != query:
        raise QueryError("the cursor is of a query with another type, condition, order or other partitions")
    if not _is_whole(cursor):
        raise QueryError("the cursor is damaged")
    return cursor


def _is_whole(cursor: Cursor) -> bool:
    if cursor.offset < 0 or not all(field.path for field in cursor.order):
        return False
    if cursor.is_edge:
        return not cursor.values and not cursor.key
    if len(cursor.values) != len(cursor.order) or not is_exact(list(cursor.values)):
        return False
    try:
        return split_id(cursor.id)[0] == cursor.key
    except ValidationError:
        return False
