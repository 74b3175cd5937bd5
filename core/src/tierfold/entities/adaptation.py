"""What the repository knows of a class: how its objects become payloads, and records become objects."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from typing import Any, Final, Generic, TypeVar

import msgspec
from msgspec import Struct

from tierfold.entities.declaration import Declared
from tierfold.errors import ValidationError
from tierfold.model import Merge, Record

__all__ = ["READ_ERRORS", "EntityAdapter", "misread"]

T = TypeVar("T")

READ_ERRORS: Final = (msgspec.MsgspecError, ValueError, TypeError, OverflowError, RecursionError)
"""What the decoder and a class's ``__post_init__`` raise about values that do not fit."""


class EntityAdapter(Struct, Generic[T], frozen=True):
    """All that depends on the kind of class. Its functions are pure and may be called from any thread.

    Attributes:
        declared: The declaration of the entity type.
        dump: The canonical payload: the stored fields without the system fields. Raises `ValidationError` with the path
            when the entity cannot be stored or could not be read back, and `PayloadTooLargeError`.
        load: The entity of a live record, system fields filled in. Raises `ValidationError` that names the record when
            its payload does not fit the class.
        fill: Sets the system fields but ``id`` from the record that was stored; returns the same object, or a copy when
            the class is frozen.
        id_of: The id, ``""`` when new.
        with_id: Sets the id; returns the same object, or a copy when the class is frozen.
        with_fields: A copy with some fields replaced by values as the program holds them. Raises `ValidationError` for
            a name that is no field.
        fields_of: (entity, names) -> those of its fields that it has, for key strategies and id templates.
        to_document: The raw document, system fields included.
        from_document: The inverse; system fields that are missing have their defaults.
        names: The names of all fields; None = any.
        merge: (stored payload, new payload) -> what a save stores, if the class may know less than was stored.
    """

    declared: Declared
    dump: Callable[[T], bytes]
    load: Callable[[Record], T]
    fill: Callable[[T, Record], T]
    id_of: Callable[[T], str]
    with_id: Callable[[T, str], T]
    with_fields: Callable[[T, Mapping[str, Any]], T]
    fields_of: Callable[[T, tuple[str, ...]], Mapping[str, object]]
    to_document: Callable[[T], dict[str, Any]]
    from_document: Callable[[Mapping[str, Any]], T]
    names: Collection[str] | None = None
    merge: Merge | None = None


def misread(error: Exception, id: str | None = None) -> ValidationError:
    """The error for a document that does not fit its class, without values of the document."""
    if not isinstance(error, msgspec.ValidationError):
        return ValidationError(f"the class refuses these values with {type(error).__name__}", id=id)
    reason, _, path = str(error).rpartition(" - at `")
    if not reason:
        reason, path = path, "$`"
    if reason.startswith("Invalid enum value"):
        reason = "Expected one of the declared values"
    return ValidationError(reason, path=path.rpartition("` in `")[2].removesuffix("`"), id=id)
