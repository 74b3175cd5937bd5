"""Finds what differs. Every difference is one line for people; none means equal."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from tierfold.demo.messages import Conflict, Roots

__all__ = ["differing_conflicts", "differing_documents", "differing_roots"]

Documents = Mapping[str, Mapping[str, Any]]


def differing_documents(where: str, found: Documents, expected: Documents) -> list[str]:
    """Compare documents field by field; ``1`` and ``1.0`` are different."""
    lines = [f"{where} lacks {id}" for id in expected.keys() - found.keys()]
    lines += [f"{where} has {id}, which it should not" for id in found.keys() - expected.keys()]
    for id in expected.keys() & found.keys():
        lines += _differing_fields(f"{where}, {id}", found[id], expected[id])
    return sorted(lines)


def _differing_fields(where: str, found: Mapping[str, Any], expected: Mapping[str, Any]) -> list[str]:
    # As text, because Python's own comparison takes 1 and 1.0, or 1 and True, for the same.
    pairs = {name: (repr(found.get(name)), repr(expected.get(name))) for name in {*found, *expected}}
    return [f"{where}: {name} is {a}, should be {b}" for name, (a, b) in pairs.items() if a != b]


def differing_roots(tiers: Mapping[str, Roots]) -> list[str]:
    """Compare the roots of every tier with those of the first one, segment by segment."""
    (first, expected), *others = tiers.items()
    return [
        f"{first} and {name} hold different records of {segment}"
        for name, roots in others
        for segment in sorted({*expected.segments, *roots.segments})
        if expected.segments.get(segment) != roots.segments.get(segment)
    ]


def differing_conflicts(found: Sequence[Conflict], expected: Sequence[Conflict]) -> list[str]:
    """Compare conflict logs with the conflicts that there must have been, each once."""
    lines = [f"no conflict was logged for {each.loser.id} as it happened" for each in expected if each not in found]
    lines += [f"an unexpected conflict was logged for {each.loser.id}" for each in found if each not in expected]
    return lines + [f"the conflict of {each.loser.id} was logged twice" for each in expected if found.count(each) > 1]
