"""Key strategies: which logical key, and so which partition, an entity belongs to."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping

__all__ = ["KeyStrategy"]


class KeyStrategy(ABC):
    """Computes the logical key of an entity from its fields.

    A logical key has 1 to 255 characters of ``[A-Za-z0-9_%-]`` in segments joined by single dots (K3). System fields
    are no input: they are not known before the write.
    """

    @property
    @abstractmethod
    def rule(self) -> str:
        """K6: the text under which declarations and catalogs record this strategy: a template, ``name``, or
        ``name(option, …)``. What the registered name makes of these options gives the same keys."""

    @property
    @abstractmethod
    def fields(self) -> tuple[str, ...]:
        """K4: names of the fields that the key depends on; no other member makes a difference."""

    @abstractmethod
    def partition_of(self, type_name: str, fields: Mapping[str, object]) -> str:
        """The logical key of an entity of this type.

        K1: pure; the same input gives the same key on every machine, whatever its clock, locale and time zone.
        K2: values that the rule tells apart have different keys; no value can bring in a separator.
        K5: a value that is missing, None, empty or of an unfit type is a `ValidationError` with the field's path.

        Args:
            fields: At least the members named by `fields`, as the entity or its document holds them; left unchanged.
        """
