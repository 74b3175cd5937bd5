"""`F`: conditions written as Python comparisons."""

from __future__ import annotations

from collections.abc import Iterable, Set
from typing import TYPE_CHECKING, ClassVar, Final, NoReturn

from tierfold.errors import QueryError
from tierfold.where.operand import operand
from tierfold.where.tree import BRACKETS, Compare, Condition, Exists, Not, Operator, Path

__all__ = ["F", "Field", "Fields"]

_OPERATORS: Final = "==, !=, <, <=, >, >=, is_in, startswith, contains and exists"


class Field:
    """A member of a document, to be compared.

    ``F.a.b`` is the member ``b`` of the map ``a``; ``F["a b"]`` is for names that are no identifiers, and for those of
    the methods here. Values convert as in typed entities: ``F.owner == some_uuid``.
    """

    __slots__ = ("_path",)
    __hash__: ClassVar[None] = None  # type: ignore[assignment]  # as equality makes conditions

    def __init__(self, path: Path) -> None:
        self._path = path

    def __getattr__(self, name: str) -> Field:
        if name.startswith("__"):
            raise AttributeError(name)
        return Field((*self._path, name))

    def __getitem__(self, name: str) -> Field:
        return Field((*self._path, _checked(name)))

    def __eq__(self, value: object) -> Condition:  # type: ignore[override]
        return self._compare("eq", value)

    def __ne__(self, value: object) -> Condition:  # type: ignore[override]
        return Not(self._compare("eq", value))

    def __lt__(self, value: object) -> Condition:
        return self._compare("lt", value)

    def __le__(self, value: object) -> Condition:
        return self._compare("lte", value)

    def __gt__(self, value: object) -> Condition:
        return self._compare("gt", value)

    def __ge__(self, value: object) -> Condition:
        return self._compare("gte", value)

    def is_in(self, values: Iterable[object]) -> Condition:
        """The value equals one of ``values``."""
        if isinstance(values, str | bytes):
            raise QueryError(f"is_in takes several values, as in {self!r}.is_in([{values!r}]), not one text")
        if not isinstance(values, Iterable):
            raise QueryError(f"is_in takes several values, as in a list, not `{type(values).__name__}`")
        # A set has another order in each process, and cursors are of the same query wherever they are used.
        ordered = sorted(values, key=repr) if isinstance(values, Set) else list(values)
        return self._compare("in", ordered)

    def startswith(self, prefix: str) -> Condition:
        """The value is text that begins with ``prefix``."""
        return self._compare("startswith", prefix)

    def contains(self, item: object) -> Condition:
        """The value is a list with an item equal to ``item``."""
        return self._compare("contains", item)

    def exists(self) -> Condition:
        """The member is there, be its value None."""
        return Exists(self._path)

    def __bool__(self) -> NoReturn:
        raise QueryError(f"{self!r} has no truth of its own: compare it, or use exists()")

    def __iter__(self) -> NoReturn:
        raise TypeError(f"{self!r} cannot be iterated; use contains() or is_in()")

    def __repr__(self) -> str:
        return "F" + "".join(f".{name}" if name.isidentifier() else f"[{name!r}]" for name in self._path)

    def _compare(self, operator: Operator, value: object) -> Condition:
        try:
            return Compare(self._path, operator, operand(operator, value))
        except QueryError as error:
            from tierfold.where.advice import advice

            said = advice(repr(self), operator, value if isinstance(value, list) and operator == "in" else [value])
            if not said:
                raise
            raise QueryError(f"{error}; {said}") from error

    if not TYPE_CHECKING:  # pragma: no branch - type checkers refuse these by themselves

        def __call__(self, *arguments: object, **keywords: object) -> NoReturn:
            raise QueryError(f"there is no operator {self._path[-1]!r}; there are {_OPERATORS}")

        def _joined(self, *other: object) -> NoReturn:
            raise QueryError(f"&, | and ~ are for conditions; {self!r} is none: {BRACKETS}")

        __and__ = __rand__ = __or__ = __ror__ = __invert__ = _joined


class Fields:
    """Where fields begin: ``F.mag >= 5``."""

    __slots__ = ()

    def __getattr__(self, name: str) -> Field:
        if name.startswith("__"):
            raise AttributeError(name)
        return Field((name,))

    def __getitem__(self, name: str) -> Field:
        return Field((_checked(name),))

    def __repr__(self) -> str:
        return "F"


def _checked(name: object) -> str:
    if not isinstance(name, str):
        raise QueryError(f"a field is named by text, not by {name!r}; use contains() to look into lists")
    return name


F = Fields()
