"""Queries by ids and by partition, in pages."""

from __future__ import annotations

from base64 import urlsafe_b64decode, urlsafe_b64encode
from binascii import Error as Base64Error
from bisect import bisect_right
from collections.abc import AsyncIterator, Callable, Iterable, Iterator, Sequence
from hashlib import blake2b
from itertools import islice
from typing import Final, Generic, TypeVar, overload

import msgspec
from msgspec import Struct

from tierfold.abc.store import LocalStore
from tierfold.access import Access
from tierfold.arguments import check_at_least_one, given, listed_texts
from tierfold.catalog import EntityKind
from tierfold.entities.ids import check_key, entity_key, split_id
from tierfold.errors import PartitionUnavailableError, QueryError
from tierfold.model import Record, SegmentName

__all__ = ["Page", "Query"]

T = TypeVar("T")

DEFAULT_PAGE: Final = 256


class Page(Sequence[T]):
    """Some of a query's entities.

    Attributes:
        next: Cursor of the page behind this one, None at the end. Opaque; it survives inserts and deletes.
        missing: Partitions that could not be reached; of their entities only those that wait for them here are given.
        complete: False when partitions are missing, or when a tier could not be asked which ones it has.
    """

    def __init__(self, items: Sequence[T], next: str | None, missing: Sequence[str], complete: bool) -> None:
        self.items = tuple(items)
        self.next = next
        self.missing = tuple(missing)
        self.complete = complete

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
        state = "" if self.complete else f", missing {', '.join(self.missing) or 'what no tier could be asked for'}"
        return f"<Page of {len(self.items)}, {'more behind it' if self.next else 'the last'}{state}>"


class _Cursor(Struct, frozen=True, array_like=True):
    """Where a page ended: of which query, logical key of the partition, id of the last entity, how many were given."""

    query: bytes
    partition: str
    id: str
    given: int


class Query(Generic[T]):
    """A question that was not asked yet. Iterate it, or ask for pages; each use asks anew.

    Entities come partition by partition, by name, and within one in the store's own fixed order.
    """

    def __init__(
        self,
        kind: EntityKind,
        access: Access,
        *,
        ids: Iterable[str] | None,
        partitions: Iterable[str] | None,
        limit: int | None,
    ) -> None:
        if limit is not None:
            check_at_least_one(limit, "limit")
        self._type = kind.declaration.name
        self._prefix = kind.prefix
        self._load: Callable[[Record], T] = kind.adapter.load
        self._access = access
        self._ids = None if ids is None else listed_texts(ids, "ids")
        self._ids_by_key = _by_key(self._ids or ())
        keys = None if partitions is None else listed_texts(partitions, "partitions")
        self._partitions = None if keys is None else sorted({check_key(key, "$.partitions") for key in keys})
        self._limit = limit
        asked = msgspec.msgpack.encode((self._type, self._ids, self._partitions))
        self._name = blake2b(asked, digest_size=8).digest()

    def __repr__(self) -> str:
        of = "" if self._ids is None else f", {len(self._ids)} ids"
        where = "" if self._partitions is None else f", partitions {', '.join(self._partitions)}"
        return f"<Query of {self._type}{of}{where}{'' if self._limit is None else f', limit {self._limit}'}>"

    async def __aiter__(self) -> AsyncIterator[T]:
        """Stream in bounded memory.

        Raises:
            PartitionUnavailableError: A partition cannot be reached; what came before it was given.
        """
        after: str | None = None
        while True:
            page, missing = await self._page(after, DEFAULT_PAGE)
            for item in page.items:
                yield item
            for error in missing.values():
                raise error
            after = page.next
            if after is None:
                return

    async def all(self) -> list[T]:
        """Every entity at once."""
        return [item async for item in self]

    async def page(self, *, after: str | None = None, size: int = DEFAULT_PAGE) -> Page[T]:
        """The next entities behind a cursor, at most ``size``.

        Raises:
            QueryError: The cursor is of another query or none at all, or ``size`` is less than one.
        """
        check_at_least_one(size, "size")
        return (await self._page(after, size))[0]

    async def _page(self, after: str | None, size: int) -> tuple[Page[T], dict[str, PartitionUnavailableError]]:
        """A page, and why which partitions are missing."""
        start = _Cursor(self._name, "", "", 0) if after is None else self._open(after)
        want = size if self._limit is None else min(size, self._limit - start.given)
        records: list[tuple[str, Record]] = []
        missing: dict[str, PartitionUnavailableError] = {}
        keys, all_known = await self._keys()
        if want > 0:
            for some in _growing([key for key in keys if key >= start.partition]):
                held = await self._access.bring_many([entity_key(self._prefix, key) for key in some])
                missing |= {
                    error.partition: error for error in held.values() if isinstance(error, PartitionUnavailableError)
                }
                for key in some:
                    if len(records) <= want:
                        segment = SegmentName(self._type, entity_key(self._prefix, key))
                        store = self._access.reader if held[segment.partition] is True else self._access.holder
                        behind = start.id if key == start.partition else None
                        records += self._read(store, segment, key, behind or None, want + 1 - len(records))
                if len(records) > want:
                    break
        page = records[:want]
        given = start.given + len(page)
        ended = len(records) <= want or given == self._limit
        cursor = None if ended else _seal(_Cursor(self._name, page[-1][0], page[-1][1].id, given))
        items = [self._load(record) for _, record in page]
        return Page(items, cursor, sorted(missing), all_known and not missing), missing

    async def _keys(self) -> tuple[list[str], bool]:
        """Logical keys of the partitions asked for, ascending, and whether these are known to be all."""
        if self._ids is not None:
            keys = self._ids_by_key.keys()
            return sorted(keys if self._partitions is None else keys & set(self._partitions)), True
        if self._partitions is not None:
            return self._partitions, True
        segments, all_known = await self._access.segments(self._type)
        return sorted({key for key in map(self._key_of, segments) if key is not None}), all_known

    def _key_of(self, segment: SegmentName) -> str | None:
        return segment.partition[len(self._prefix) + 1 :] if segment.partition.startswith(self._prefix + ".") else None

    def _read(
        self, store: LocalStore, segment: SegmentName, key: str, after: str | None, limit: int
    ) -> list[tuple[str, Record]]:
        """Up to ``limit`` records of one partition; those that wait for an unreachable one are given, too."""
        if self._ids is not None:
            found = list(islice(self._by_ids(store, segment, key, after), limit))
        else:
            found = store.page_held(segment, after, limit)
        return [(key, record) for record in found]

    def _by_ids(self, store: LocalStore, segment: SegmentName, key: str, after: str | None) -> Iterator[Record]:
        ids = self._ids_by_key[key]
        for id in islice(ids, 0 if after is None else bisect_right(ids, after), None):
            record = store.find_held(segment, id)
            if record is not None and not record.deleted:
                yield record

    def _open(self, text: str) -> _Cursor:
        if not isinstance(text, str):
            raise QueryError(f"a cursor is the text that `Page.next` gives, not {given(text)}")
        try:
            cursor = msgspec.msgpack.decode(urlsafe_b64decode(text + "=" * (-len(text) % 4)), type=_Cursor)
        except (msgspec.MsgspecError, Base64Error, ValueError):
            raise QueryError("the cursor is none of this program's") from None
        if cursor.query != self._name:
            raise QueryError("the cursor is of a query for another type, other ids or other partitions")
        return cursor


def _by_key(ids: Iterable[str]) -> dict[str, list[str]]:
    """Ids by logical key, each once, ascending."""
    found: dict[str, list[str]] = {}
    for id in sorted(set(ids)):
        found.setdefault(split_id(id)[0], []).append(id)
    return found


def _growing(keys: Sequence[str]) -> Iterator[Sequence[str]]:
    """Runs of keys, each twice as long as the one before: a page that is soon full brings little down for nothing."""
    start, length = 0, 1
    while start < len(keys):
        yield keys[start : start + length]
        start, length = start + length, 2 * length


def _seal(cursor: _Cursor) -> str:
    return urlsafe_b64encode(msgspec.msgpack.encode(cursor)).rstrip(b"=").decode()
