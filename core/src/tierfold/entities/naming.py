"""What messages say about a name that is no field of a class: which ones there are, the most similar first."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from typing import Final

__all__ = ["FieldsAt", "there_are", "why_no_field"]

FieldsAt = Callable[[Sequence[str]], Mapping[str, str]]
"""Path of attributes -> names of the fields there, each with the one that documents have; empty where no class is."""

_SHOWN: Final = 12


def there_are(name: str, known: Collection[str]) -> str:
    """The names that may have been meant."""
    from difflib import get_close_matches

    ordered = get_close_matches(name, known, n=_SHOWN, cutoff=0.0) if known else ["none"]
    more = len(known) - _SHOWN
    return f"there are {', '.join(ordered)}" + (f" and {more} more" if more > 0 else "")


def why_no_field(path: Sequence[str], fields_at: FieldsAt, system: Collection[str] = ()) -> str:
    """Why a path of attributes leads to no field.

    Args:
        system: Names that are known beside the fields at the top.
    """
    depth = next((depth for depth in reversed(range(len(path))) if fields_at(path[:depth])), 0)
    fields, name, above = fields_at(path[:depth]), path[depth], ".".join(path[:depth])
    if name in fields:
        if "." in fields[name]:
            return f"documents name it {fields[name]!r}, and a name with a dot cannot be asked for"
        return f"{'.'.join(path[: depth + 1])!r} has no fields inside"
    own = next((own for own, stored in fields.items() if stored == name), None)
    if own is not None:
        return f"that is its name in documents, and in Python it is {'.'.join((*path[:depth], own))!r}"
    return f"in {above!r} {there_are(name, fields)}" if above else there_are(name, [*fields, *system])
