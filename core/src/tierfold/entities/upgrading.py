"""Documents of older schemas, as a class with a newer one sees them."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from msgspec import Struct
from msgspec.structs import replace

from tierfold.codec import decode, encode
from tierfold.entities.system import ID_START, SYSTEM_FIELDS, read_head
from tierfold.errors import ConfigError, PayloadTooLargeError, ValidationError
from tierfold.model import Record

__all__ = ["Upgrade", "Upgrades"]

Upgrade = Callable[[dict[str, Any]], dict[str, Any]]
"""Raw document of one schema -> that of the next one, both without system fields. Pure."""


class Upgrades(Struct, frozen=True):
    """The steps from older schemas to the class's own.

    Args:
        schema: The class's own.
        steps: By the schema they start from. Documents older than the first step are taken as if they were of its
            schema.

    Raises:
        ConfigError: A step is missing, or none.
    """

    schema: int
    steps: Mapping[int, Upgrade]

    def __post_init__(self) -> None:
        for start, step in self.steps.items():
            if type(start) is not int or not 1 <= start < self.schema:
                raise ConfigError(
                    f"upgrade from {start!r}: upgrades start from 1 to {self.schema - 1}, below the schema"
                )
            if not callable(step):
                raise ConfigError(f"upgrade from {start}: {type(step).__name__} is no function")
        missing = sorted(set(range(min(self.steps, default=self.schema), self.schema)) - self.steps.keys())
        if missing:
            raise ConfigError(f"upgrade from {', '.join(map(str, missing))} is missing below schema {self.schema}")

    def upgraded(self, record: Record) -> Record:
        """The record with the document as the class's schema has it; itself when it is not older.

        What the steps are given is their own copy. The hash is still that of the stored record.

        Raises:
            ValidationError: A step failed, or made no document; names record and step.
        """
        if record.schema >= self.schema or record.deleted:
            return record
        document = decode(record.payload)
        for start in range(max(record.schema, min(self.steps, default=self.schema)), self.schema):
            document = self._stepped(start, document, record.id)
        return _with_payload(record, self._encoded(document, record.id), self.schema)

    def _stepped(self, start: int, document: dict[str, Any], id: str) -> dict[str, Any]:
        try:
            stepped = self.steps[start](document)
        except Exception as error:
            raise ValidationError(f"{_named(start)} failed with {type(error).__name__}", id=id) from error
        if not isinstance(stepped, dict):
            raise ValidationError(f"{_named(start)} returned a {type(stepped).__name__}, not a dict", id=id)
        return stepped

    def _encoded(self, document: dict[str, Any], id: str) -> bytes:
        try:
            return encode({name: value for name, value in document.items() if name not in SYSTEM_FIELDS})
        except ValidationError as error:
            raise ValidationError(f"{_named(self.schema - 1)}: {error.reason}", path=error.path, id=id) from error
        except PayloadTooLargeError as error:
            raise PayloadTooLargeError(error.size_bytes, error.limit_bytes, id) from error


def _named(start: int) -> str:
    return f"upgrade {start} -> {start + 1}"


def _with_payload(record: Record, payload: bytes, schema: int) -> Record:
    content = record.content
    *_, id_length, extension_length = read_head(content)
    end = ID_START + id_length + extension_length
    return replace(record, content=content[:33] + schema.to_bytes(4, "big") + content[37:end] + payload)
