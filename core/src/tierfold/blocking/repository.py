"""Repositories, used from threads without an event loop."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import partial
from typing import Any, Generic, TypeVar

from tierfold.abc.indexed import IndexStatus
from tierfold.blocking.calls import Calls, forked
from tierfold.blocking.iteration import Live
from tierfold.blocking.query import Query
from tierfold.errors import PartitionUnavailableError, StoreForkedError
from tierfold.live.snapshot import Overflow
from tierfold.model import Meta, Stored
from tierfold.queries.query import OnInvalid
from tierfold.queries.question import Where
from tierfold.repository import Repository as AsyncRepository
from tierfold.wake import refuse_in_loop

__all__ = ["Repository"]

T = TypeVar("T")


class Repository(Generic[T]):
    """Entities of one type. Made by `DataLayer.repo`; any number of threads may use it.

    Every call that reads a partition that is not here brings it down first, and raises `PartitionUnavailableError` when
    no tier that holds it can be reached. What was written here and waits for its partition is found all the same.
    """

    def __init__(self, repository: AsyncRepository[T], calls: Calls) -> None:
        self._repository, self._calls = repository, calls
        self._get_here = repository.get_here

    def __repr__(self) -> str:
        return repr(self._repository)

    # --- reading -------------------------------------------------------------------------------------------------

    def get(self, id: str) -> T | None:
        """The entity, or None when its absence is known.

        Raises:
            ValidationError: ``id`` is no id, or what is stored does not fit the class.
            PartitionUnavailableError: Its partition is not here and no tier that holds it can be reached.
        """
        refuse_in_loop()
        try:
            return self._get_here(id)
        except PartitionUnavailableError:
            return self._calls.run(self._repository.get(id))
        except StoreForkedError as error:
            raise forked(error) from None

    def get_stored(self, id: str) -> Stored[T] | None:
        """The entity and its meta, of one snapshot."""
        return self._calls.run(self._repository.get_stored(id))

    def get_many(self, ids: Iterable[str]) -> dict[str, T]:
        """The entities that exist among ``ids``, in their order; those of one partition are of one snapshot."""
        return self._calls.run(self._repository.get_many(ids))

    def meta(self, id: str) -> Meta | None:
        """What the store knows about the entity, without loading it."""
        return self._calls.run(self._repository.meta(id))

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
            sort: Fields, the first one primary, ``-`` for descending; None comes last, and ids decide between equals.
            limit: At most so many in all.
            on_invalid: What becomes of a stored entity that does not fit the class.

        Raises:
            QueryError: Something of it makes no sense for the type.
            ValidationError: A partition is no logical key.
        """
        ask = partial(self._repository.query, where, partitions=partitions, sort=sort, limit=limit)
        return Query(self._calls.at_once(lambda: ask(on_invalid=on_invalid)), self._calls)

    def observe(self, id: str, *, overflow: Overflow = "latest", timeout_s: float | None = None) -> Live[T | None]:
        """One entity now, and again after every commit that changes it.

        Args:
            overflow: As for `Query.observe`.
            timeout_s: After so long without a snapshot a loop ends; None = it goes on until the layer is closed.

        Raises:
            ValidationError: ``id`` is no id.
        """
        observed = self._calls.at_once(lambda: self._repository.observe(id, overflow=overflow))
        return Live(observed, self._calls, timeout_s)

    def observe_all(
        self,
        where: Where | None = None,
        *,
        partitions: Iterable[str] | None = None,
        sort: Sequence[str] | None = None,
        limit: int | None = None,
        on_invalid: OnInvalid = "raise",
        overflow: Overflow = "latest",
        timeout_s: float | None = None,
    ) -> Live[list[T]]:
        """The results of a query now, and again after every commit that changes them."""
        query = self.query(where, partitions=partitions, sort=sort, limit=limit, on_invalid=on_invalid)
        return query.observe(overflow=overflow, timeout_s=timeout_s)

    def partition(self, **fields: object) -> str:
        """The logical key of the partition that entities with these fields belong to, as `query` takes it.

        Raises:
            ValidationError: A field that the key is made of is missing, None, empty or of an unfit type, or it is not
                made of one that is named.
        """
        return self._calls.at_once(lambda: self._repository.partition(**fields))

    def indexes(self) -> Sequence[IndexStatus]:
        """The type's indexes in the nearest tier, and those that the class declares and that are not begun yet."""
        return self._calls.at_once(self._repository.indexes)

    # --- writing -------------------------------------------------------------------------------------------------

    def create(self, entity: T) -> T:
        """Save an entity that must not exist yet.

        Raises:
            AlreadyExistsError: A live entity has its id.
        """
        return self._calls.run(self._repository.create(entity))

    def save(self, entity: T, *, if_match: str | None = None) -> T:
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
        return self._calls.run(self._repository.save(entity, if_match=if_match))

    def save_many(self, entities: Iterable[T]) -> list[T]:
        """Store entities in one atomic batch. All are validated before any is written."""
        return self._calls.run(self._repository.save_many(entities))

    def modify(self, id: str, change: Callable[[T], T | None]) -> T:
        """Read, change and save until nobody else wrote in between.

        Args:
            change: Changes the entity in place, or returns what to save. May be called more than once.

        Raises:
            NotFoundError: There is no such entity.
            ValidationError: Its id or a field of its partition or id was changed, or a value cannot be stored.
        """
        return self._calls.run(self._repository.modify(id, change))

    def move(self, id: str, **fields: Any) -> T:
        """Change fields that partition or id are made of: delete the entity and create it anew, atomically here.

        Farther tiers receive the two partitions separately and can see both entities, or neither, for a moment.

        Raises:
            NotFoundError: There is no such entity.
            AlreadyExistsError: The new id is taken.
            ValidationError: A name is no field, or is one that the store fills in, or a value cannot be stored.
        """
        return self._calls.run(self._repository.move(id, **fields))

    def delete(self, id: str, *, if_match: str | None = None) -> bool:
        """Delete the entity; False when there was none.

        Raises:
            StaleWriteError: ``if_match`` is given and the entity has another etag, or does not exist.
        """
        return self._calls.run(self._repository.delete(id, if_match=if_match))

    def dump(self, entity: T) -> dict[str, Any]:
        """The entity as a document of plain values."""
        return self._repository.dump(entity)

    def load(self, doc: Mapping[str, Any]) -> T:
        """The inverse of `dump`.

        Raises:
            ValidationError: The document does not fit the class.
        """
        return self._repository.load(doc)
