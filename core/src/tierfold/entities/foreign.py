"""Values that only the library of their class knows."""

from __future__ import annotations

import sys
from datetime import datetime
from typing import Any, Final

from tierfold.codec import is_exact
from tierfold.entities.kinds import Kind
from tierfold.entities.source import NotExact, Source
from tierfold.errors import ConfigError, ValidationError

__all__ = ["ForeignKind"]

_PLAIN: Final = frozenset({str, int, float, bool, bytes, datetime})
"""Types of values that are stored as they are, although their declared type is pydantic's own, as `AwareDatetime`."""


class ForeignKind(Kind):
    """A type with a schema for pydantic, such as ``HttpUrl`` or ``AwareDatetime``, in a class of pydantic.

    A value is stored in the form that pydantic writes into JSON, and the validator of the class around it reads it.
    """

    def __init__(self, source: Source, annotation: Any) -> None:  # noqa: ANN401 - a type with a schema
        self.expected: str = annotation.__name__
        if "Secret" in self.expected:
            raise ConfigError(f"a {self.expected} hides its value when it is written")
        if self.expected.startswith("IPvAny"):
            self.unordered: str | None = self.expected
        self._write = sys.modules["pydantic"].TypeAdapter(annotation).dump_python
        self._stored = source.name(self._exact, "stored")

    def _stored_as(self) -> Any:  # noqa: ANN401 - annotations have no common type
        return Any

    def guard(self, value: str) -> str:
        return "True"

    def form(self, value: str) -> str:
        return f"{self._stored}({value})"

    def plain(self, value: Any, path: str) -> object:  # noqa: ANN401 - of a type that only pydantic knows
        if type(value) in _PLAIN:
            return value
        try:
            return self._write(value, mode="json", warnings="error")
        except ValueError as error:
            raise ValidationError(f"pydantic cannot write this {type(value).__name__}", path=path) from error

    def _exact(self, value: object) -> object:
        stored = self.plain(value, "$")
        if is_exact(stored):
            return stored
        raise NotExact
