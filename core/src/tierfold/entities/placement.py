"""Where an entity belongs, and the id that says so."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import lru_cache
from typing import Final, Generic, TypeVar

from tierfold.abc.keys import KeyStrategy
from tierfold.entities.adaptation import EntityAdapter
from tierfold.entities.ids import check_key, check_prefix, entity_key, made_of, new_suffixes, not_an_id, split_id
from tierfold.entities.templates import Template, suffix_template
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
        return self._checked(self._strategy.partition_of(self._type, fields))

    def key_of_fields(self, fields: Mapping[str, object]) -> str:
        """The logical key that fields yield.

        Raises:
            ValidationError: Likewise, or the key is not made of a field that is named.
        """
        for name in fields:
            if name not in self._fields:
                made = f"is made of {', '.join(self._fields)}" if self._fields else "is made of no field"
                raise ValidationError(f"the partition of {self._type!r} {made}", path=f"$.{name}")
        return self._checked(self._strategy.partition_of(self._type, fields))

    def segment_of_id(self, id: str) -> SegmentName:
        """The segment that an id names.

        Raises:
            ValidationError: The text cannot be an id; ``""`` cannot.
        """
        try:
            return self.segment_of(id.rpartition(".")[0])
        except (AttributeError, TypeError, ValidationError):
            raise not_an_id(id) from None

    def id_of(self, entity: T, suffix: str) -> str:
        """The id that an entity's fields yield. ``suffix`` is what it ends in where no template makes it."""
        made = None if self._template is None else self._rendered(self._template, entity)
        return f"{self.key_of(entity)}.{suffix if made is None else made}"

    def place(self, entities: Sequence[T]) -> list[tuple[T, str, SegmentName]]:
        """Each entity with its id and segment, in the order given. New ones get an id, others are checked.

        An id is set in the entity itself, or in a copy if its class is frozen, so that repeating a failed save cannot
        make two of one. When one entity is refused, none has got an id.

        Raises:
            ValidationError: An id is none, or another one than the fields yield, or a field is unfit.
        """
        id_of = self._adapter.id_of
        found = [(entity, self.key_of(entity), id_of(entity)) for entity in entities]
        suffixes = iter(self._new_suffixes([entity for entity, _, id in found if id == ""]))
        for entity, key, id in found:
            if id != "":
                self._check(entity, id, key)
        placed = []
        for given, key, _ in found:
            id = id_of(given)  # asked again: an entity that is given twice is not new the second time
            if id == "":
                placed.append(self._named(given, key, next(suffixes)))
            else:
                placed.append((given, id, self.segment_of(key)))
        return placed

    def _named(self, entity: T, key: str, suffix: str) -> tuple[T, str, SegmentName]:
        id = f"{key}.{suffix}"
        return self._adapter.with_id(entity, id), id, self.segment_of(key)

    def _new_suffixes(self, entities: list[T]) -> list[str]:
        template = self._template
        if template is None:
            return new_suffixes(len(entities), self._random_bytes) if entities else []
        return [self._rendered(template, entity) for entity in entities]

    def _rendered(self, template: Template, entity: T) -> str:
        return template.render(self._adapter.fields_of(entity, template.fields))

    def check(self, entity: T) -> None:
        """Refuse what `place` refuses; nothing is changed.

        Raises:
            ValidationError: As there.
        """
        id, key = self._adapter.id_of(entity), self.key_of(entity)
        if id != "":
            self._check(entity, id, key)
        elif self._template is not None:
            self._rendered(self._template, entity)

    def _check(self, entity: T, id: object, key: str) -> None:
        """Refuse an id that is not the one that the entity's fields yield."""
        if not isinstance(id, str):
            raise not_an_id(id)
        named, suffix = split_id(id)
        if named != key:
            said = f"names partition {named!r}, the fields yield {key!r}; only `move` changes an entity's partition"
            raise ValidationError(f"the id {said}", path="$.id", id=id)
        made = suffix if self._template is None else self._rendered(self._template, entity)
        if suffix != made:
            said = f"ends in {suffix!r}, the fields yield {made!r}; only `move` changes a field that is part of the id"
            raise ValidationError(f"the id {said}", path="$.id", id=id)

    def _work_out_key_of_text(self, text: str) -> str:
        return self._checked(self._strategy.partition_of(self._type, {self._fields[0]: text}))

    def _checked(self, key: str) -> str:
        try:
            return check_key(key)
        except ValidationError as error:
            raise made_of(error, self._fields) from None

    def _work_out_segment(self, key: str) -> SegmentName:
        return SegmentName(self._type, entity_key(self._prefix, check_key(key)))
