"""What the demo tells its reader: plain lines, and differences that are counted."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import datetime

from tierfold.demo.messages import Version
from tierfold.demo.script import Fields
from tierfold.instants import datetime_of

__all__ = ["Transcript", "described", "rate", "size", "time_of"]


class Transcript:
    """Numbered steps with lines below them.

    Attributes:
        differences: How many things were not as they must be.
    """

    def __init__(self, say: Callable[[str], None]) -> None:
        self._say = say
        self._steps = 0
        self.differences: int = 0

    def step(self, text: str) -> None:
        self._steps += 1
        self._say(f"\n{self._steps}. {text}")

    def line(self, text: str) -> None:
        self._say(f"   {text}")

    def differ(self, differences: Sequence[str], shown: int = 10) -> None:
        """Tell of differences, the first few of them."""
        self.differences += len(differences)
        for text in differences[:shown]:
            self.line(f"DIFFERENCE: {text}")
        if len(differences) > shown:
            self.line(f"DIFFERENCE: … and {len(differences) - shown:,} more")


def rate(count: int, duration_s: float) -> str:
    return f"{count:,} records in {duration_s:.2f} s, {count / duration_s:,.0f} a second"


def size(count_bytes: int) -> str:
    return f"{count_bytes / 1e6:.2f} MB" if count_bytes >= 100_000 else f"{count_bytes:,} bytes"


def described(fields: Fields) -> str:
    """A change in a few words."""
    return "delete" if fields is None else ", ".join(f"{name} = {value!r}" for name, value in fields.items())


def time_of(version: Version) -> str:
    """When a version was written, in UTC."""
    at: datetime = datetime_of(bytes.fromhex(version.time))
    return f"{at:%H:%M:%S}.{at.microsecond // 1000:03}"
