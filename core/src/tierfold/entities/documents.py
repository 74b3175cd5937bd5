"""The adapter of raw documents: dicts with the system fields as members, of a type that no class declares."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from tierfold.codec import decode, encode
from tierfold.entities.adaptation import EntityAdapter
from tierfold.entities.declaration import Declared
from tierfold.entities.system import SYSTEM_FIELDS, split_record
from tierfold.errors import ValidationError
from tierfold.model import Record

__all__ = ["document_adapter"]


def document_adapter(declared: Declared) -> EntityAdapter[dict[str, Any]]:
    """The adapter for a type as the catalog, a configuration file or the defaults declare it.

    Nothing converts: members are what a document may hold. A save replaces the whole document, so nothing is merged.
    """
    return EntityAdapter(
        declared=declared,
        dump=_dump_own,
        load=_load,
        fill=_fill,
        id_of=lambda document: document.get("id", ""),
        with_id=_with_id,
        with_fields=lambda document, fields: {**document, **fields},
        fields_of=lambda document, names: document,
        to_document=_checked,
        from_document=_checked,
        stored_name=lambda path: path,
        fields_at=lambda path: {},
        unordered=lambda path: None,
    )


def _dump_own(document: dict[str, Any]) -> bytes:
    """The system fields are filled into the document itself, which not every mapping lets happen."""
    if not isinstance(document, dict):
        raise ValidationError(f"Expected `dict`, got `{type(document).__name__}`")
    return _dump(document)


def _dump(document: Mapping[str, Any]) -> bytes:
    if not isinstance(document, Mapping):
        raise ValidationError(f"Expected `dict`, got `{type(document).__name__}`")
    id = document.get("id")
    payload = {name: value for name, value in document.items() if name not in SYSTEM_FIELDS}
    return encode(payload, id=id if isinstance(id, str) else None)


def _load(record: Record) -> dict[str, Any]:
    system, payload = split_record(record)
    try:
        document = decode(payload)
    except ValidationError as error:
        raise ValidationError(error.reason, id=record.id) from error
    # Twice: to come first, and to win over members of their names that another program may have stored.
    return {**system, **document, **system}


def _fill(document: dict[str, Any], record: Record) -> dict[str, Any]:
    system, _ = split_record(record)
    document.update(system, id=document["id"])
    return document


def _with_id(document: dict[str, Any], id: str) -> dict[str, Any]:
    document["id"] = id
    return document


def _checked(document: Mapping[str, Any]) -> dict[str, Any]:
    payload = decode(_dump(document))
    return {name: document[name] for name in SYSTEM_FIELDS if name in document} | payload
