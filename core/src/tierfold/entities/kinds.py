"""What an annotation means for storage.

Each kind describes one conversion several times: as source for the fast path, which takes only what needs no thought;
as an annotation for the decoder; and in full, with conversions and errors, for the slow path.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from functools import reduce
from operator import or_
from typing import Annotated, Any, Final, Literal

from tierfold.codec import is_exact
from tierfold.entities.source import NotExact, Source
from tierfold.errors import ValidationError

__all__ = ["FAST_LEVELS", "AnyKind", "Kind", "LiteralKind", "UnionKind", "unexpected"]

FAST_LEVELS: Final = 32
"""Levels that a member of any type may have on the fast path, and an entity around it. The slow path counts exactly."""


class Kind(ABC):
    """The storage of the values of one annotation.

    Attributes:
        expected: What messages call such a value.
        constraints: What the declaration demands beside the type; only the decoder checks it.
        keeps: Whether `keep` can return anything but the new value.
        levels: Maps and lists inside each other that the annotation itself asks for.
        inside: Path from the value to an object of a class inside it, which may refuse its values; None = none.
        unordered: A type, its own or of something inside it, of which values are stored as text in another order than
            their own; None = none.
    """

    expected: str
    constraints: tuple[Any, ...] = ()
    keeps: bool = False
    levels: int = 0
    inside: str | None = None
    unordered: str | None = None

    @property
    def shadow(self) -> Any:  # noqa: ANN401 - annotations have no common type
        """The annotation by which the decoder reads the stored value. Asked for when all kinds are made."""
        stored = self._stored_as()
        return Annotated[(stored, *self.constraints)] if self.constraints else stored

    @abstractmethod
    def _stored_as(self) -> Any: ...  # noqa: ANN401

    @abstractmethod
    def guard(self, value: str) -> str:
        """Source: whether the value is of this kind, and not of another one in a union."""

    def test(self, value: str) -> str:
        """Source: whether the fast path applies; `form` may still raise `NotExact`."""
        return self.guard(value)

    def form(self, value: str) -> str:
        """Source: what the encoder is given."""
        return value

    def shadow_guard(self, shadow: str) -> str:
        """Source: like `guard`, for what the decoder made."""
        return self.guard(shadow)

    def restore(self, shadow: str) -> str:
        """Source: the user's value from what the decoder made."""
        return shadow

    @abstractmethod
    def plain(self, value: Any, path: str) -> object:  # noqa: ANN401 - narrowed by each kind
        """The value as a document holds it.

        Raises:
            ValidationError: It is of another kind.
        """

    def keep(self, stored: object, new: object) -> object:
        """What replaces a stored value: the new one, and what the annotation does not know of the stored one."""
        return new

    def follow(self, rest: Sequence[str]) -> tuple[list[str], Kind] | None:
        """The names by which a document holds what a path of attributes names inside the value, and its kind.

        None when there is nothing of that name.
        """
        return None if rest else ([], self)

    def fields_at(self, path: Sequence[str]) -> Mapping[str, str]:
        """See `FieldsAt`, for a path that begins inside the value."""
        return {}


def unexpected(kind: str, value: object, path: str) -> ValidationError:
    """The error for a value that is not of the declared kind, in the decoder's words."""
    return ValidationError(f"Expected `{kind}`, got `{type(value).__name__}`", path=path)


class AnyKind(Kind):
    """``Any``: whatever a raw document may hold, unconverted."""

    expected = "any"

    def __init__(self, source: Source) -> None:
        self._exact = source.name(_exact, "exact")

    def _stored_as(self) -> Any:  # noqa: ANN401
        return Any

    def guard(self, value: str) -> str:
        return "True"

    def form(self, value: str) -> str:
        return f"{self._exact}({value})"

    def plain(self, value: object, path: str) -> object:
        return value

    def follow(self, rest: Sequence[str]) -> tuple[list[str], Kind]:
        return list(rest), self


def _exact(value: object) -> object:
    if is_exact(value, FAST_LEVELS):
        return value
    raise NotExact


class LiteralKind(Kind):
    """``Literal["a", 1, None]``."""

    def __init__(self, source: Source, choices: tuple[Any, ...]) -> None:
        self.expected: str = " | ".join(map(repr, choices))
        self._declared = choices
        self._choices = frozenset(choices)
        self._types = frozenset(map(type, choices))
        self._names = source.name(self._types, "types"), source.name(self._choices, "choices")

    def _stored_as(self) -> Any:  # noqa: ANN401
        return Literal[self._declared]

    def guard(self, value: str) -> str:
        types, choices = self._names
        return f"type({value}) in {types} and {value} in {choices}"

    def plain(self, value: Any, path: str) -> object:  # noqa: ANN401
        if type(value) in self._types and value in self._choices:
            return value
        raise unexpected(self.expected, value, path)


class UnionKind(Kind):
    """``A | B``. The decoder tells the members apart by how they are stored, so not every union can be declared."""

    def __init__(self, kinds: Sequence[Kind]) -> None:
        self._kinds = kinds
        self.expected: str = " | ".join(kind.expected for kind in kinds)
        self.keeps: bool = any(kind.keeps for kind in kinds)
        self.levels: int = max(kind.levels for kind in kinds)
        self.inside: str | None = next((kind.inside for kind in kinds if kind.inside is not None), None)
        self.unordered: str | None = next((kind.unordered for kind in kinds if kind.unordered), None)

    def _stored_as(self) -> Any:  # noqa: ANN401
        return reduce(or_, [kind.shadow for kind in self._kinds])

    def guard(self, value: str) -> str:
        return " or ".join(f"({kind.guard(value)})" for kind in self._kinds)

    def test(self, value: str) -> str:
        return " or ".join(f"({kind.test(value)})" for kind in self._kinds)

    def form(self, value: str) -> str:
        return _chosen(value, [(kind.guard(value), kind.form(value)) for kind in self._kinds])

    def restore(self, shadow: str) -> str:
        return _chosen(shadow, [(kind.shadow_guard(shadow), kind.restore(shadow)) for kind in self._kinds])

    def plain(self, value: object, path: str) -> object:
        errors = []
        for kind in self._kinds:
            try:
                return kind.plain(value, path)
            except ValidationError as error:
                errors.append(error)
        # A member that knows the value's type, or even looked into it, says more than that it expected another.
        telling = [error for error in errors if error.path != path or not error.reason.startswith("Expected ")]
        raise max(telling, key=lambda error: len(error.path)) if telling else unexpected(self.expected, value, path)

    def keep(self, stored: object, new: object) -> object:
        for kind in self._kinds:
            kept = kind.keep(stored, new)
            if kept is not new:
                return kept
        return new

    def follow(self, rest: Sequence[str]) -> tuple[list[str], Kind] | None:
        if not rest:
            return [], self
        return next((found for found in (kind.follow(rest) for kind in self._kinds) if found is not None), None)

    def fields_at(self, path: Sequence[str]) -> Mapping[str, str]:
        return {name: stored for kind in self._kinds for name, stored in kind.fields_at(path).items()}


def _chosen(value: str, branches: list[tuple[str, str]]) -> str:
    """Source of the result of the branch whose guard holds; one of them does."""
    changing = [(guard, result) for guard, result in branches if result != value]
    if len(changing) == 1:
        others = " or ".join(guard for guard, result in branches if result == value)
        return f"({value} if {others} else {changing[0][1]})"
    return f"({''.join(f'{result} if {guard} else ' for guard, result in changing)}{value})" if changing else value
