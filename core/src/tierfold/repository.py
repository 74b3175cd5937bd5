"""Repositories: entities of one type, saved and found."""

from __future__ import annotations

import re
from base64 import urlsafe_b64decode
from collections.abc import Callable, Coroutine, Iterable, Mapping, Sequence
from functools import partial
from typing import Any, Final, Generic, TypeVar

from msgspec.structs import replace

from tierfold.abc.indexed import IndexStatus
from tierfold.access import Access
from tierfold.arguments import given, listed, listed_texts
from tierfold.catalog import EntityKind, require_agreement
from tierfold.entities.adapter import EntityAdapter
from tierfold.entities.declaration import Declaration
from tierfold.entities.ids import not_an_id, split_id
from tierfold.entities.system import SYSTEM_FIELDS
from tierfold.errors import (
    NotFoundError,
    PartitionUnavailableError,
    PayloadTooLargeError,
    StaleWriteError,
    TierfoldError,
    ValidationError,
)
from tierfold.indexing import statuses
from tierfold.instants import datetime_of
from tierfold.live.entity import LiveEntity
from tierfold.live.hub import Hub
from tierfold.live.snapshot import Live, Overflow
from tierfold.model import ABSENT, ANY, Commit, Digest, Meta, Record, SegmentName, Stored, Write, Written
from tierfold.queries.query import OnInvalid, Query
from tierfold.queries.question import Where, ask
from tierfold.transactions.transaction import CURRENT
from tierfold.upgrading import Upgrading

__all__ = ["Repository"]

T = TypeVar("T")

_ETAG: Final = re.compile(r'"?([A-Za-z0-9_-]{22})"?')
"""A record hash in base64url, perhaps quoted as HTTP does."""
_KNOWN_KEYS: Final = 4_096
_TRANSACTION: Final = CURRENT.get


class Repository(Generic[T]):
    """Entities of one type. Made by `DataLayer.repo`.

    Every call that reads a partition that is not here brings it down first, and raises `PartitionUnavailableError` when
    no tier that holds it can be reached. What was written here and waits for its partition is found all the same.
    """

    def __init__(self, kind: EntityKind, access: Access, hub: Hub, note_declared: Callable[[], None]) -> None:
        """``note_declared`` is called when the type is in the catalog for certain."""
        self._hub = hub
        self._note_declared = note_declared
        self._kind = kind
        self._access = access
        self._adapter: EntityAdapter[T] = kind.adapter
        self._load: Callable[[Record], T] = kind.adapter.load
        self._finders: dict[str, Callable[[str], Record | None]] = {}
        self._segment_of_id = kind.placement.segment_of_id
        self._declared = False
        self._write = access.write if kind.adapter.upgrade is None else Upgrading(access, kind.adapter.upgrade).write

    def __repr__(self) -> str:
        declaration = self._kind.declaration
        return f"<Repository of {declaration.name}, partition {declaration.partition!r}>"

    # --- reading -------------------------------------------------------------------------------------------------

    async def get(self, id: str) -> T | None:
        """The entity, or None when its absence is known.

        Raises:
            ValidationError: ``id`` is no id, or what is stored does not fit the class.
            PartitionUnavailableError: Its partition is not here and no tier that holds it can be reached.
        """
        try:
            return self.get_here(id)
        except PartitionUnavailableError:
            record = await self._find_brought(self._segment_of_id(id), id)
        return self._load_live(id, record)

    def get_here(self, id: str) -> T | None:
        """`get`, inline, in any thread; never brings a partition down."""
        if _TRANSACTION() is not None:
            return self._load_live(id, self._access.reader.find(self._segment_of_id(id), id))
        try:
            key = id.rpartition(".")[0]
        except (AttributeError, TypeError):
            raise not_an_id(id) from None
        finder = self._finders.get(key) or self._finder_of(id)
        try:
            record = finder(id)
        except UnicodeEncodeError:
            raise not_an_id(id) from None
        if record is None:
            split_id(id)  # nothing is found under what cannot be an id, either
            return None
        if record.content[32] & 1:  # `record.deleted`, without the call
            return None
        return self._load(record)

    def _load_live(self, id: str, record: Record | None) -> T | None:
        if record is None:
            split_id(id)
        return None if record is None or record.deleted else self._load(record)

    def _finder_of(self, id: str) -> Callable[[str], Record | None]:
        """How records of the id's partition are found, remembered by logical key."""
        if len(self._finders) >= _KNOWN_KEYS:
            self._finders.clear()
        finder = self._access.nearest.finder(self._segment_of_id(id))
        return self._finders.setdefault(id.rpartition(".")[0], finder)

    async def get_stored(self, id: str) -> Stored[T] | None:
        """The entity and its meta, of one snapshot."""
        segment, record = await self._record(id)
        return None if record is None else Stored(self._load(record), self._meta(segment, record))

    async def meta(self, id: str) -> Meta | None:
        """What the store knows about the entity, without loading it."""
        segment, record = await self._record(id)
        return None if record is None else self._meta(segment, record)

    async def get_many(self, ids: Iterable[str]) -> dict[str, T]:
        """The entities that exist among ``ids``, in their order; those of one partition are of one snapshot."""
        wanted = listed_texts(ids, "get_many", ValidationError)
        found: dict[str, Record] = {}
        by_segment: dict[SegmentName, list[str]] = {}
        for id in wanted:
            by_segment.setdefault(self._segment_of_id(id), []).append(id)
        for segment, some in by_segment.items():
            found |= await self._find_many(segment, some)
        for id in wanted:
            if id not in found:
                split_id(id)
        return {id: self._load(found[id]) for id in wanted if id in found}

    async def _find_many(self, segment: SegmentName, ids: Sequence[str]) -> dict[str, Record]:
        reader = self._access.reader
        try:
            return reader.find_many(segment, ids)
        except PartitionUnavailableError:
            records = {id: await self._find_brought(segment, id) for id in ids}
            return {id: record for id, record in records.items() if record is not None and not record.deleted}
        except UnicodeEncodeError:
            for id in ids:
                split_id(id)
            raise

    async def _record(self, id: str) -> tuple[SegmentName, Record | None]:
        segment = self._segment_of_id(id)
        try:
            record = self._access.reader.find(segment, id)
        except PartitionUnavailableError:
            record = await self._find_brought(segment, id)
        except UnicodeEncodeError:
            raise not_an_id(id) from None
        if record is None:
            split_id(id)
        return segment, None if record is None or record.deleted else record

    async def _find_brought(self, segment: SegmentName, id: str) -> Record | None:
        """Read from a partition that is not here yet."""
        try:
            present = await self._access.bring(segment.partition)
        except PartitionUnavailableError:
            held = self._access.holder.find_held(segment, id)
            if held is None:
                raise
            return held
        return (self._access.reader.find if present else self._access.holder.find_held)(segment, id)

    def _meta(self, segment: SegmentName, record: Record) -> Meta:
        return Meta(
            record.id,
            segment.type,
            self._logical_key(segment),
            record.etag,
            record.version,
            record.schema,
            datetime_of(record.birth),
            datetime_of(record.stamp),
            self._access.pending(segment, record),
        )

    def query(
        self,
        where: Where | None = None,
        *,
        partitions: Iterable[str] | None = None,
        sort: Sequence[str] | None = None,
        limit: int | None = None,
        on_invalid: OnInvalid = "raise",
    ) -> Query[T]:
        """The entities that meet a condition, in pages.

        Args:
            where: `F` expressions over the class's fields, or a Mango selector over the stored documents; None = all.
            partitions: Logical keys, as in ``["oslo"]``; None = all that any reachable tier has.
            sort: Fields, the first one primary, ``-`` for descending; None values come last, and ids decide between
                equals.
            limit: At most so many in all.
            on_invalid: What becomes of a stored entity that does not fit the class.

        Raises:
            QueryError: Something of it makes no sense for the type.
            ValidationError: A partition is no logical key.
        """
        asked = ask(self._kind, where, partitions, sort, limit)
        return Query(self._kind, self._access, self._hub, asked, on_invalid)

    def observe(self, id: str, *, overflow: Overflow = "latest") -> Live[T | None]:
        """One entity now, and again after every commit that changes it.

        Raises:
            ValidationError: ``id`` is no id.
        """
        return LiveEntity(self._kind, self._access, self._hub, id, overflow)

    def observe_all(
        self,
        where: Where | None = None,
        *,
        partitions: Iterable[str] | None = None,
        sort: Sequence[str] | None = None,
        limit: int | None = None,
        on_invalid: OnInvalid = "raise",
        overflow: Overflow = "latest",
    ) -> Live[list[T]]:
        """The results of a query now, and again after every commit that changes them."""
        query = self.query(where, partitions=partitions, sort=sort, limit=limit, on_invalid=on_invalid)
        return query.observe(overflow=overflow)

    def partition(self, **fields: object) -> str:
        """The logical key of the partition that entities with these fields belong to, as `query` takes it.

        Raises:
            ValidationError: A field that the key is made of is missing, None, empty or of an unfit type, or it is not
                made of one that is named.
        """
        return self._kind.placement.key_of_fields(fields)

    def indexes(self) -> Sequence[IndexStatus]:
        """The type's indexes in the nearest tier, and those that the class declares and that are not begun yet."""
        return statuses(self._access.nearest, self._kind.declaration)

    # --- writing -------------------------------------------------------------------------------------------------

    async def create(self, entity: T) -> T:
        """Save an entity that must not exist yet.

        Raises:
            AlreadyExistsError: A live entity has its id.
        """
        known_id = bool(self._id_of(entity)) or self._kind.declaration.id is not None
        entities, writes = self._place([entity], ABSENT)
        if known_id:
            await self._access.bring_to_writer(writes[0].segment)
        return (await self._save(entities, writes))[0]

    async def save(self, entity: T, *, if_match: str | None = None) -> T:
        """Store an entity, new or not, in the nearest durable tier, and fill in its system fields.

        The id is assigned before the write, so repeating a failed save cannot make two.

        Args:
            if_match: The etag it must have now.

        Returns:
            The same object; of a frozen class a copy.

        Raises:
            StaleWriteError: It has another etag, or does not exist; ``current`` carries the entity as it is.
            ValidationError: A value cannot be stored, or a field of its partition or id was changed (use `move`). A new
                entity is left without an id.
        """
        entities, writes = self._place([entity], ANY if if_match is None else _hash_of(if_match))
        if if_match is not None:
            await self._access.bring_to_writer(writes[0].segment, writes[0].id)
        return (await self._save(entities, writes))[0]

    async def save_many(self, entities: Iterable[T]) -> list[T]:
        """Store entities in one atomic batch. All are validated before any is written.

        Raises:
            ValidationError: One of them cannot be stored; its path begins with its place, as in ``$[3].mag``.
            PayloadTooLargeError: Likewise.
        """
        several = listed(entities, "save_many", ValidationError)
        try:
            entities, writes = self._place(several, ANY)
        except (ValidationError, PayloadTooLargeError) as error:
            raise self._refusal(several, error) from error
        return await self._save(entities, writes)

    async def modify(self, id: str, change: Callable[[T], T | None]) -> T:
        """Read, change and save until nobody else wrote in between.

        Args:
            change: Changes the entity in place, or returns what to save. May be called more than once, and is no
                coroutine function: it runs between reading and writing.

        Raises:
            NotFoundError: There is no such entity.
            ValidationError: Its id or a field of its partition or id was changed, or a value cannot be stored.
        """
        if not callable(change):
            raise ValidationError(f"modify takes a function of the entity, not {given(change)}")
        while True:
            record = await self._record_to_write(id)
            if record is None:
                raise NotFoundError(self._kind.declaration.name, id)
            before = self._load(record)
            returned = change(before)
            if isinstance(returned, Coroutine):
                returned.close()
                raise ValidationError("a change is no coroutine function; await what it needs before `modify`", id=id)
            after = before if returned is None else returned
            if self._id_of(after) != id:
                raise ValidationError("a change cannot make another entity of it", path="$.id", id=id)
            try:
                return await self.save(after, if_match=record.etag)
            except StaleWriteError:
                continue

    async def move(self, id: str, **fields: Any) -> T:
        """Change fields that partition or id are made of: delete the entity and create it anew, atomically here.

        Farther tiers receive the two partitions separately and can see both entities, or neither, for a moment.

        Raises:
            NotFoundError: There is no such entity.
            AlreadyExistsError: The new id is taken.
            ValidationError: A name is no field, or is one that the store fills in, or a value cannot be stored.
        """
        if own := sorted(set(SYSTEM_FIELDS).intersection(fields)):
            raise ValidationError(f"move does not change {', '.join(own)}; the store does", id=id)
        while True:
            record = await self._record_to_write(id)
            if record is None:
                raise NotFoundError(self._kind.declaration.name, id)
            try:
                return await self._move(record, fields)
            except StaleWriteError:
                continue

    async def _move(self, record: Record, fields: Mapping[str, Any]) -> T:
        changed = self._adapter.with_fields(self._load(record), fields)
        id = self._kind.placement.id_of(changed, split_id(record.id)[1])
        if id == record.id:
            return await self.save(changed, if_match=record.etag)
        (entity,), (create,) = self._place([self._adapter.with_id(changed, id)], ABSENT)
        create = replace(create, payload=self._with_unknown(record, create), schema=max(record.schema, create.schema))
        await self._access.bring_to_writer(create.segment)
        remove = Write(self._segment_of_id(record.id), record.id, None, expected=record.hash)
        commit = await self._commit([remove, create])
        return self._filled([entity], [create], [commit.written[1]])[0]

    def _with_unknown(self, record: Record, write: Write) -> bytes | None:
        """A new id has no stored document to merge with, so what the class does not know is taken along here."""
        merge, upgrade = self._adapter.merge, self._adapter.upgrade
        if merge is None or write.payload is None:
            return write.payload
        return merge((record if upgrade is None else upgrade(record)).payload, write.payload)

    async def delete(self, id: str, *, if_match: str | None = None) -> bool:
        """Delete the entity; False when there was none.

        Raises:
            StaleWriteError: ``if_match`` is given and the entity has another etag, or does not exist.
        """
        split_id(id)
        segment = self._segment_of_id(id)
        await self._access.bring_to_writer(segment, id)
        expected = ANY if if_match is None else _hash_of(if_match)
        commit = await self._commit([Write(segment, id, None, expected=expected)])
        return commit.written[0].record is not None

    def dump(self, entity: T) -> dict[str, Any]:
        """The entity as a document of plain values."""
        return self._adapter.to_document(entity)

    def load(self, doc: Mapping[str, Any]) -> T:
        """The inverse of `dump`.

        Raises:
            ValidationError: The document does not fit the class.
        """
        if not isinstance(doc, Mapping):
            raise ValidationError(f"a document is a mapping, not {given(doc)}")
        return self._adapter.from_document(doc)

    async def _save(self, entities: Sequence[T], writes: Sequence[Write]) -> list[T]:
        commit = await self._commit(writes)
        return self._filled(entities, writes, commit.written)

    def _filled(self, entities: Sequence[T], writes: Sequence[Write], written: Sequence[Written]) -> list[T]:
        """The entities with the system fields of what was stored; in a transaction they get them at its end."""
        transaction = self._access.transaction
        if transaction is not None:
            for entity, write in zip(entities, writes, strict=True):
                transaction.fill_later(write.segment, write.id, partial(self._adapter.fill, entity))
            return list(entities)
        return [self._fill(entity, done.record) for entity, done in zip(entities, written, strict=True)]

    def _fill(self, entity: T, record: Record | None) -> T:
        assert record is not None, "only a delete leaves no record"
        return self._adapter.fill(entity, record)

    async def _commit(self, writes: Sequence[Write]) -> Commit:
        transaction = self._access.transaction
        if transaction is not None:
            transaction.join(self._kind.declaration.name, self._load, self._note_stored)
        if not self._declared:
            await self._declare(to_be_kept=transaction is not None)
        try:
            return await self._write(writes)
        except StaleWriteError as error:
            current = self._load(error.current) if isinstance(error.current, Record) else None
            raise StaleWriteError(error.type, error.id, current, error.current_etag) from None

    async def _declare(self, *, to_be_kept: bool) -> None:
        """The first write of a type puts its declaration into the catalog; reads never do.

        Args:
            to_be_kept: It is stored with the transaction, if that is.
        """
        declaration = self._kind.declaration
        stored = await self._access.declare(declaration.name, declaration.to_bytes())
        require_agreement(declaration, Declaration.from_bytes(stored))
        if not to_be_kept:
            self._note_stored()

    def _note_stored(self) -> None:
        """A write of this type was stored, and with it the declaration."""
        if not self._declared:
            self._declared = True
            self._note_declared()

    async def _record_to_write(self, id: str) -> Record | None:
        """The record in the tier that is written to, which a cache in front of it may lag behind."""
        segment = self._segment_of_id(id)
        await self._access.bring_to_writer(segment, id)
        record = self._access.writer.find_held(segment, id)
        return None if record is None or record.deleted else record

    # --- ids and partitions --------------------------------------------------------------------------------------

    def _place(self, entities: Iterable[T], expected: Digest) -> tuple[list[T], list[Write]]:
        """Check entities, give them their ids, and make them writes. None has got an id when one is refused."""
        merge, schema = self._adapter.merge, self._kind.declaration.schema
        oldest = 0 if self._adapter.upgrade is None else schema
        raw = merge is None  # a document is replaced as a whole, in the schema that it was read in
        several = list(entities)
        payloads = [self._adapter.dump(entity) for entity in several]
        placed = self._kind.placement.place(several)
        writes = [
            Write(segment, id, payload, schema, expected, merge, oldest, raw)
            for (_, id, segment), payload in zip(placed, payloads, strict=True)
        ]
        return [entity for entity, _, _ in placed], writes

    def _refusal(self, entities: Sequence[T], error: ValidationError | PayloadTooLargeError) -> TierfoldError:
        """The error with the place of the first entity that is refused: each is tried again, alone."""
        for number, entity in enumerate(entities):
            try:
                self._adapter.dump(entity)
                self._kind.placement.check(entity)
            except (ValidationError, PayloadTooLargeError) as own:
                return own.inside(f"$[{number}]")
        return error

    def _id_of(self, entity: T) -> str:
        try:
            return self._adapter.id_of(entity)
        except (AttributeError, KeyError, TypeError):
            self._adapter.dump(entity)  # says what was expected
            raise

    def _logical_key(self, segment: SegmentName) -> str:
        return segment.partition.removeprefix(self._kind.prefix + ".")


def _hash_of(etag: str) -> Digest:
    match = _ETAG.fullmatch(etag) if isinstance(etag, str) else None
    if match is None:
        came = "" if isinstance(etag, str) else f", and not {given(etag)}"
        raise ValidationError(f"an etag is a text of 22 characters, as `meta` gives it{came}", path="$.if_match")
    return Digest(urlsafe_b64decode(match[1] + "=="))
