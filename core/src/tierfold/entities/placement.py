"""Where an entity belongs, and the id that says so."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from functools import lru_cache
from typing import Final, Generic, TypeVar

from tierfold.abc.keys import KeyStrategy
from tierfold.entities.adaptation import EntityAdapter
from tierfold.entities.ids import check_key, check_prefix, entity_key, new_suffixes, split_id
from tierfold.entities.templates import suffix_template
from tierfold.errors import ValidationError
from tierfold.model import SegmentName

__all__ = ["Placement"]

T = TypeVar("T")

_REMEMBERED: Final = 1024
"""Keys and segments that need not be worked out again."""


class Placement(Generic[T]):
    """Gives ids to new entities and checks those of others, for one entity type in one deployment.

    Args:
        strategy: The one that the declaration's rule names.
        random_bytes: That many unpredictable bytes.
    """

    segment_of: Callable[[str], SegmentName]
    """The segment of a logical key. Raises `ValidationError` if it is none."""

    def __init__(
        self, adapter: EntityAdapter[T], strategy: KeyStrategy, prefix: str, random_bytes: Callable[[int], bytes]
    ) -> None:
        declaration = adapter.declared.declaration
        self._adapter = adapter
        self._strategy = strategy
        self._type = declaration.name
        self._template = None if declaration.id is None else suffix_template(declaration.id)
        self._random_bytes = random_bytes
        self._prefix = check_prefix(prefix)
        self._fields = strategy.fields
        self._key_of_text = lru_cache(_REMEMBERED)(self._work_out_key_of_text)
        self.segment_of = lru_cache(_REMEMBERED)(self._work_out_segment)

    def key_of(self, entity: T) -> str:
        """The logical key that an entity's fields yield.

        Raises:
            ValidationError: A field it needs is missing, None, empty or of an unfit type.
        """
        fields = self._adapter.fields_of(entity, self._fields)
        if len(self._fields) == 1:
            text = fields.get(self._fields[0])
            if type(text) is str:
                return self._key_of_text(text)
        return check_key(self._strategy.partition_of(self._type, fields))

    def segment_of_id(self, id: str) -> SegmentName:
        """The segment that an id names.

        Raises:
            ValidationError: The text cannot be an id; ``""`` cannot.
        """
        key, dot, _ = id.rpartition(".")
        return self.segment_of(key) if dot else self.segment_of(split_id(id)[0])

    def place(self, entities: Iterable[T]) -> list[tuple[T, str, SegmentName]]:
        """Each entity with its id and segment, in the order given. New ones get an id, others are checked.

        An id is set in the entity itself, or in a copy if its class is frozen, so that repeating a failed save cannot
        make two of one.

        Raises:
            ValidationError: An id is none, or names another partition than the fields yield, or a field is unfit.
        """
        id_of = self._adapter.id_of
        found = [(entity, self.key_of(entity)) for entity in entities]
        suffixes = iter(self._new_suffixes([entity for entity, _ in found if id_of(entity) == ""]))
        placed = []
        for given, key in found:
            id = id_of(given)  # asked again: an entity that is given twice is not new the second time
            if id == "":
                new_id = f"{key}.{next(suffixes)}"
                placed.append((self._adapter.with_id(given, new_id), new_id, self.segment_of(key)))
            else:
                _check(id, key)
                placed.append((given, id, self.segment_of(key)))
        return placed

    def _new_suffixes(self, entities: list[T]) -> list[str]:
        if self._template is None:
            return new_suffixes(len(entities), self._random_bytes) if entities else []
        names = self._template.fields
        return [self._template.render(self._adapter.fields_of(entity, names)) for entity in entities]

    def _work_out_key_of_text(self, text: str) -> str:
        return check_key(self._strategy.partition_of(self._type, {self._fields[0]: text}))

    def _work_out_segment(self, key: str) -> SegmentName:
        return SegmentName(self._type, entity_key(self._prefix, check_key(key)))


def _check(id: object, key: str) -> None:
    if not isinstance(id, str):
        raise ValidationError(f"Expected `str`, got `{type(id).__name__}`", path="$.id")
    named, _ = split_id(id)
    if named != key:
        reason = (
            f"the id names partition {named!r}, the fields yield {key!r}; only `move` changes an entity's partition"
        )
        raise ValidationError(reason, path="$.id", id=id)
