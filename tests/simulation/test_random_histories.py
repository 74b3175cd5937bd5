"""Random histories of every kind keep all promises, and the oracle sees broken ones."""

from __future__ import annotations

import multiprocessing
from concurrent.futures import ProcessPoolExecutor
from typing import Final

import pytest
from tests.simulation.histories import KINDS, fates
from tests.simulation.without import WITHOUT

EVENTS: Final = 80
LONG_EVENTS: Final = 150
_AT_ONCE: Final = 25

COSTLY: Final = frozenset({"turns", "turns_and_collections"})
"""Everybody agrees again and again: a tenth as many histories take as long."""


@pytest.mark.parametrize("kind", KINDS)
def test_short_histories_keep_all_promises(kind: str) -> None:
    assert fates(kind, range(30 if kind in COSTLY else 90), EVENTS) == []


@pytest.mark.parametrize("kind", KINDS)
def test_indexes_follow_whatever_happens_in_short_histories(kind: str) -> None:
    """They are begun, built and dropped meanwhile, and compared with the records in the end."""
    assert fates(kind, range(3 if kind in COSTLY else 15), EVENTS, indexed=True) == []


@pytest.mark.prove
@pytest.mark.parametrize("kind", KINDS)
def test_indexes_follow_whatever_happens_in_long_histories(kind: str) -> None:
    assert fates(kind, range(1_000, 1_010 if kind in COSTLY else 1_100), LONG_EVENTS, indexed=True) == []


@pytest.mark.prove
@pytest.mark.parametrize("kind", KINDS)
def test_long_histories_keep_all_promises(kind: str) -> None:
    count = 300 if kind in COSTLY else 1_200
    parts = [range(first, first + _AT_ONCE) for first in range(100_000, 100_000 + count, _AT_ONCE)]
    with ProcessPoolExecutor(2, multiprocessing.get_context("spawn")) as pool:
        found = pool.map(fates, [kind] * len(parts), parts, [LONG_EVENTS] * len(parts))
        assert [line for lines in found for line in lines] == []


@pytest.mark.parametrize(
    ("rule", "kind"),
    [
        ("seen", "restores"),
        ("unknown history", "restores"),
        ("what is remembered of peers", "restores"),
        ("kept answers", "one_writer"),
        ("acknowledgement by hash", "plain"),
        ("acknowledged bases", "one_writer"),
        ("deferring", "clocks"),
        ("fencing", "processes"),
        ("conflicts by base", "plain"),
        ("merging hydration", "plain"),
        ("horizons", "expiry"),
        ("absent base tombstones", "one_writer_and_collections"),
    ],
)
def test_random_histories_find_what_is_wrong_without(rule: str, kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    WITHOUT[rule](monkeypatch)
    assert any(fates(kind, range(first, first + 10), EVENTS) for first in range(0, 300, 10))
