"""Generated functions: code written for one class reads and checks its fields several times faster than a loop."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import UTC
from typing import Any

from msgspec import UNSET

__all__ = ["NotExact", "Source"]


class NotExact(Exception):  # noqa: N818 - a signal between generated functions, never an error for users
    """A value is not stored as it is: the slow path must convert or refuse it."""


class Source:
    """Python source under construction, and the objects that it names.

    No text of the user's becomes source but names of fields, which are identifiers.
    """

    def __init__(self) -> None:
        self._names: dict[str, Any] = {"NotExact": NotExact, "UTC": UTC, "UNSET": UNSET}
        self._named: dict[int, str] = {}
        self._lines: list[str] = []

    def name(self, value: object, hint: str) -> str:
        """A name in the source for an object."""
        name = f"{hint}_{len(self._names)}"
        self._names[name] = value
        return name

    def once(self, value: object, hint: str) -> str:
        """The same name each time the same object is named."""
        if id(value) not in self._named:
            self._named[id(value)] = self.name(value, hint)
        return self._named[id(value)]

    def reserve(self, hint: str) -> str:
        """A name for what is defined or bound later, so that functions can call each other."""
        return self.name(None, hint)

    def bind(self, name: str, value: object) -> None:
        """Give a reserved name its object."""
        self._names[name] = value

    def object(self, name: str) -> Any:  # noqa: ANN401 - of whatever type
        """What a name stands for, once the source is compiled."""
        return self._names[name]

    def define(self, name: str, parameters: str, body: Iterable[str]) -> None:
        """Write the function of a reserved name."""
        self._lines += [f"def {name}({parameters}):", *(f"    {line}" for line in body)]

    def compile(self, title: str) -> dict[str, Any]:
        """Run the source; returns all names with their objects."""
        code = compile("\n".join(self._lines), f"<tierfold {title}>", "exec")
        exec(code, self._names)  # noqa: S102 - templates of ours, see above
        return self._names
