"""What a test decides in place of the machine: the time, and what is random."""

from __future__ import annotations

import random
from collections.abc import Callable
from typing import Final

from tierfold.specs import OpenContext

__all__ = ["FakeClock", "fake_context", "seeded_bytes"]

START_MS: Final = 1_800_000_000_000
"""Some day in 2027; stamps of tests can be read."""


class FakeClock:
    """A clock that stands still until it is told to go on. Call it for ms since 1970."""

    def __init__(self, now_ms: int = START_MS) -> None:
        self.now_ms: int = now_ms

    def __call__(self) -> int:
        return self.now_ms

    def advance(self, *, ms: int = 0, s: int = 0, days: int = 0) -> None:
        """Let time pass; negative values turn the clock back."""
        self.now_ms += ms + 1000 * (s + 86_400 * days)


def seeded_bytes(seed: int) -> Callable[[int], bytes]:
    """A source of bytes that gives the same ones for the same seed, and so the same ids."""
    return random.Random(seed).randbytes  # noqa: S311 - repeatable on purpose


def fake_context(clock: Callable[[], int] | None = None, seed: int = 0) -> OpenContext:
    """What a store is opened with in a test. Stores that must not be taken for each other need different seeds."""
    return OpenContext(clock or FakeClock(), seeded_bytes(seed))
