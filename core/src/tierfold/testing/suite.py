"""A suite is a class of tests that a plugin inherits. Leaving one out takes a reason; newer tests come by upgrading."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final, TypeVar

__all__ = ["Suite", "deviation", "deviation_of"]

_REASON: Final = "__deviation__"
_TESTS: Final = "__suite_tests__"

F = TypeVar("F", bound=Callable[..., object])


def deviation(*, reason: str) -> Callable[[F], F]:
    """Mark a test of a subclass that replaces one of its suite, and say why this implementation differs."""
    if not reason.strip():
        raise TypeError("a deviation needs a reason")

    def mark(test: F) -> F:
        setattr(test, _REASON, reason)
        return test

    return mark


def deviation_of(test: object) -> str | None:
    """Why a test differs from the suite's, None for one that does not."""
    reason: str | None = getattr(test, _REASON, None)
    return reason


class Suite:
    """Base of all suites.

    A class that brings tests for others says ``defines=True``. Any other subclass runs them, and must not replace one,
    by its own, by a class placed before the suite or by None, except as a `deviation`.
    """

    def __init_subclass__(cls, *, defines: bool = False) -> None:
        super().__init_subclass__()
        if defines:
            setattr(cls, _TESTS, {name: test for name, test in vars(cls).items() if name.startswith("test_")})
        for suite in reversed(cls.__mro__):
            for name, test in vars(suite).get(_TESTS, {}).items():
                found = getattr(cls, name)
                if found is not test and not hasattr(found, _REASON):
                    raise TypeError(f"{cls.__name__} replaces {suite.__name__}.{name}; mark it @deviation(reason=…)")
