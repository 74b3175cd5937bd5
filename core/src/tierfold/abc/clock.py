"""The clock that programs and tests hand in."""

from __future__ import annotations

from typing import Protocol

__all__ = ["Clock"]


class Clock(Protocol):
    """Milliseconds since 1970, UTC. May jump; nothing but the time of new stamps and leases depends on it."""

    def __call__(self) -> int: ...
