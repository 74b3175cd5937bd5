"""Cursors: where a page ended, as text that only the query it came from can use.

A cursor names the last entity by what orders it, not by a count: it stays right whatever is inserted or deleted.
"""

from __future__ import annotations

from base64 import urlsafe_b64decode, urlsafe_b64encode
from binascii import Error as Base64Error
from typing import Any

import msgspec
from msgspec import Struct

from tierfold.errors import QueryError
from tierfold.where.sorting import SortField

__all__ = ["Cursor", "open_cursor", "seal_cursor"]


class Cursor(Struct, frozen=True, array_like=True):
    """One entity's place in the results of a query.

    Attributes:
        query: Digest of the query.
        order: What the results are ordered by; empty = by partition and record key.
        values: The entity's values of these fields, as stored; None for missing ones.
        key: The logical key of its partition.
        offset: How many results were before it.
    """

    query: bytes
    order: tuple[SortField, ...]
    values: tuple[Any, ...]
    key: str
    id: str
    offset: int


def seal_cursor(cursor: Cursor) -> str:
    return urlsafe_b64encode(msgspec.msgpack.encode(cursor)).rstrip(b"=").decode()


def open_cursor(text: str, query: bytes) -> Cursor:
    """
    Raises:
        QueryError: It is no cursor, or one of another query.
    """
    try:
        cursor = msgspec.msgpack.decode(urlsafe_b64decode(text + "=" * (-len(text) % 4)), type=Cursor)
    except (msgspec.MsgspecError, Base64Error, ValueError):
        raise QueryError("the cursor is none of this program's") from None
    if cursor.query != query:
        raise QueryError("the cursor is of a query with another type, condition, order or other partitions")
    if len(cursor.values) != len(cursor.order) or not all(field.path for field in cursor.order):
        raise QueryError("the cursor is damaged")
    return cursor
