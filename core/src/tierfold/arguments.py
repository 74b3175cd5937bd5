"""What callers hand in by mistake. Each check names the argument, what it takes and what came."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import TypeVar

from tierfold.errors import ConfigError, QueryError, TierfoldError

__all__ = ["check_at_least_one", "check_seconds", "given", "listed", "listed_texts"]

V = TypeVar("V")

MakeError = Callable[[str], TierfoldError]


def given(value: object) -> str:
    """What a value is called in messages, which never show the value itself."""
    return f"the class `{value.__name__}`" if isinstance(value, type) else f"`{type(value).__name__}`"


def listed(values: Iterable[V], what: str, error: MakeError) -> list[V]:
    """The values as a list; one text or object instead of several is a mistake."""
    if isinstance(values, str | bytes):
        raise error(f"{what} takes several, as in [{values!r}], not one text")
    if not isinstance(values, Iterable):
        raise error(f"{what} takes several, as in a list, not {given(values)}")
    return list(values)


def listed_texts(values: Iterable[str], what: str, error: MakeError = QueryError) -> list[str]:
    """Like `listed`; every value is text."""
    texts = listed(values, what, error)
    for text in texts:
        if not isinstance(text, str):
            raise error(f"{what} takes texts, and {given(text)} is among them")
    return texts


def check_at_least_one(number: int, what: str) -> None:
    """Refuse what counts nothing."""
    if not isinstance(number, int) or isinstance(number, bool):
        raise QueryError(f"{what} takes a whole number, not {given(number)}")
    if number < 1:
        raise QueryError(f"{what} is {number}, the least is 1")


def check_seconds(seconds: float, what: str) -> None:
    """Refuse what is no length of time."""
    if not isinstance(seconds, int | float) or isinstance(seconds, bool):
        raise ConfigError(f"{what} takes a number of seconds, not {given(seconds)}")
    if not seconds >= 0:  # so that NaN is refused, too
        raise ConfigError(f"{what} is {seconds}, the least is 0")
