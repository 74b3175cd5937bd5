"""From annotations to kinds."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from types import UnionType
from typing import Annotated, Any, Final, Literal, NewType, Union, get_args, get_origin

import msgspec

from tierfold.entities.containers import ArrayKind, FixedTupleKind, MapKind, SetKind
from tierfold.entities.hints import unwrapped
from tierfold.entities.kinds import AnyKind, Kind, LiteralKind, UnionKind
from tierfold.entities.make import Make
from tierfold.entities.makes import has_make
from tierfold.entities.source import Source
from tierfold.entities.values import scalar_kind
from tierfold.errors import ConfigError

__all__ = ["Kinds"]

_BARE: Final[Mapping[Any, Any]] = {
    list: list[Any],
    tuple: tuple[Any, ...],
    set: set[Any],
    frozenset: frozenset[Any],
    dict: dict[str, Any],
}


class Kinds:
    """Makes the kinds of one entity type.

    Args:
        nested: Makes the kind of a class with fields.

    Attributes:
        constrained: Whether an annotation carries constraints, which only the decoder checks.
    """

    def __init__(self, source: Source, nested: Callable[[type], Kind]) -> None:
        self.constrained: bool = False
        self._owner: Make | None = None
        self._source = source
        self._nested = nested
        self._by_origin: Mapping[Any, Callable[[tuple[Any, ...]], Kind]] = {
            Annotated: self._annotated,
            Final: lambda args: self.of(args[0]),
            Literal: lambda args: LiteralKind(source, args),
            Union: self._union,
            UnionType: self._union,
            list: lambda args: ArrayKind(source, list, self.of(args[0])),
            tuple: self._tuple,
            set: lambda args: SetKind(source, set, self.of(args[0])),
            frozenset: lambda args: SetKind(source, frozenset, self.of(args[0])),
            dict: self._map,
        }

    def of_field(self, annotation: Any, owner: Make) -> Kind:  # noqa: ANN401 - annotations have no common type
        """The kind of the annotation of a field, in a class that may know more types than the table of values.

        Raises:
            ConfigError: Such values cannot be stored.
        """
        outer, self._owner = self._owner, owner
        try:
            return self.of(annotation)
        finally:
            self._owner = outer

    def of(self, annotation: Any, *, beside_int: bool = False) -> Kind:  # noqa: ANN401 - annotations have no common type
        """The kind of an annotation.

        Args:
            beside_int: It is in a union with int, so that a float takes no ints.

        Raises:
            ConfigError: Such values cannot be stored.
        """
        if annotation is Any or annotation is object:
            return AnyKind(self._source)
        if isinstance(annotation, NewType):
            return self.of(annotation.__supertype__, beside_int=beside_int)
        kind = self._of_type(_BARE.get(annotation, annotation), beside_int)
        if kind is None:
            name = annotation.__name__ if isinstance(annotation, type) else str(annotation)
            raise ConfigError(f"{name} cannot be stored")
        return kind

    def _of_type(self, annotation: Any, beside_int: bool) -> Kind | None:  # noqa: ANN401
        origin = get_origin(annotation)
        if origin in self._by_origin:
            return self._by_origin[origin](get_args(annotation))
        if not isinstance(annotation, type):
            return None
        if has_make(annotation):
            return self._nested(annotation)
        kind = scalar_kind(self._source, annotation, beside_int=beside_int)
        return kind if self._owner is None else self._owner.value_kind(self._source, annotation, kind)

    def _annotated(self, args: tuple[Any, ...]) -> Kind:
        kind = self.of(args[0])
        kind.constraints += tuple(extra for extra in args[1:] if isinstance(extra, msgspec.Meta))
        self.constrained |= bool(kind.constraints)
        return kind

    def _union(self, args: tuple[Any, ...]) -> Kind:
        bare = [unwrapped(arg) for arg in args]
        if Any in bare or object in bare:
            return AnyKind(self._source)
        if sum(map(has_make, bare)) > 1:
            raise ConfigError("several classes in one union could not be told apart when read")
        beside_int = int in bare
        kinds = [self.of(arg, beside_int=beside_int) for arg in args]
        # None is the quickest to tell apart, and comes first in every message; what takes everything comes last.
        return UnionKind(sorted(kinds, key=lambda kind: (kind.expected != "None", kind.guard("v") == "True")))

    def _tuple(self, args: tuple[Any, ...]) -> Kind:
        if len(args) == 2 and args[1] is ...:
            return ArrayKind(self._source, tuple, self.of(args[0]))
        return FixedTupleKind(self._source, [self.of(arg) for arg in args])

    def _map(self, args: tuple[Any, ...]) -> Kind:
        if args[0] is not str:
            raise ConfigError(f"the keys of a map are text, not {args[0]}")
        return MapKind(self._source, self.of(args[1]))
