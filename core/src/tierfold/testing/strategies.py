"""Hypothesis strategies of what a deployment may hold, with a taste for what breaks things."""

from __future__ import annotations

from datetime import datetime, timedelta, timezone
from typing import Any, Final

from hypothesis import strategies as st

__all__ = ["documents", "hostile_texts", "moments", "scalars", "texts"]

_HOSTILE: Final = "ab.%/\\-_ \x00é漢\U0001f600"


def texts(max_size: int | None = None) -> st.SearchStrategy[str]:
    """Texts that can be stored: all but those with lone surrogates."""
    return st.text(st.characters(exclude_categories=["Cs"]), max_size=max_size)


def hostile_texts() -> st.SearchStrategy[str]:
    """Texts made of separators, escapes and what looks like them, lone surrogates and great length included."""
    return st.text(_HOSTILE, max_size=8) | st.text(max_size=8) | st.sampled_from(["\ud800", "." * 300, "x" * 300])


def moments() -> st.SearchStrategy[datetime]:
    """Aware datetimes with every offset, as far as UTC has a year for them."""
    offsets = st.integers(-24 * 60 + 1, 24 * 60 - 1).map(lambda minutes: timezone(timedelta(minutes=minutes)))
    return st.datetimes(datetime(2, 1, 1), datetime(9998, 12, 31), timezones=offsets)


def scalars() -> st.SearchStrategy[Any]:
    """Every value without parts that a document may hold."""
    ints = st.integers(-(2**63), 2**63 - 1)
    floats = st.floats(allow_nan=False, allow_infinity=False)
    return st.none() | st.booleans() | ints | floats | texts(8) | st.binary(max_size=8) | moments()


def documents() -> st.SearchStrategy[dict[str, Any]]:
    """Documents that can be stored."""
    values = st.recursive(
        scalars(),
        lambda inner: st.lists(inner, max_size=4) | st.dictionaries(texts(8), inner, max_size=4),
        max_leaves=8,
    )
    return st.dictionaries(texts(8), values, max_size=5)
