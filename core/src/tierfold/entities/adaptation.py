"""What the repository knows of a class: how its objects become payloads, and records become objects."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from typing import Any, Final, Generic, TypeVar

import msgspec
from msgspec import Struct

from tierfold.entities.declaration import Declared
from tierfold.entities.naming import FieldsAt
from tierfold.errors import ValidationError
from tierfold.model import Merge, Record

__all__ = ["READ_ERRORS", "EntityAdapter", "misread"]

T = TypeVar("T")

READ_ERRORS: Final = (ValidationError, msgspec.MsgspecError, ValueError, TypeError, OverflowError, RecursionError)
"""What the decoder and a class's own rules raise about values that do not fit."""


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
        stored_name: The dotted path by which documents hold what a dotted path of attributes names, as in
            ``"place.depth_km"`` -> ``"place.depthKm"``; None when the class declares no such field. System fields,
            which are no members of documents, keep their names.
        fields_at: What there is in place of a path that leads nowhere.
        unordered: The type of which what a dotted path of attributes names is, or has inside, values that are stored as
            text in another order than their own; None when there is none.
        merge: (stored payload, new payload) -> what a save stores, if the class may know less than was stored.
        upgrade: A record as the class's schema has it; the record itself when it need not be changed. Raises
            `ValidationError` that names the record and the step. None = no record ever need be.
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
    stored_name: Callable[[str], str | None]
    fields_at: FieldsAt
    unordered: Callable[[str], str | None]
    names: Collection[str] | None = None
    merge: Merge | None = None
    upgrade: Callable[[Record], Record] | None = None


def misread(error: Exception, id: str | None = None, at: str = "$") -> ValidationError:
    """The error for a document that does not fit its class, without values of the document.

    Args:
        at: Path of the object that the error is about.
    """
    reason, path = _said(error)
    return ValidationError(reason, path=at + path.removeprefix("$"), id=id)


def _said(error: Exception) -> tuple[str, str]:
    """Reason and path."""
    if isinstance(error, ValidationError):
        return error.reason, error.path
    if isinstance(error, msgspec.ValidationError):
        return _said_by_decoder(error)
    return f"the class refuses these values with {type(error).__name__}", "$"


def _said_by_decoder(error: msgspec.ValidationError) -> tuple[str, str]:
    reason, _, path = str(error).rpartition(" - at `")
    if not reason:
        reason, path = path, "$`"
    if reason.startswith("Invalid enum value"):
        reason = "Expected one of the declared values"
    return reason, path.rpartition("` in `")[2].removesuffix("`")
