"""A clock that all programs of a test share: the machine's, moved on by the test."""

from __future__ import annotations

import mmap
import time
from pathlib import Path
from typing import Final

__all__ = ["SharedClock"]

_SIZE: Final = 8


class SharedClock:
    """Milliseconds since 1970. What one process moves on, all see at once; the test itself creates it."""

    def __init__(self, path: Path, *, create: bool = False) -> None:
        self.path = path
        if create:
            path.write_bytes(bytes(_SIZE))
        with path.open("r+b") as file:
            self._ahead = mmap.mmap(file.fileno(), _SIZE)

    def __call__(self) -> int:
        return time.time_ns() // 1_000_000 + int.from_bytes(self._ahead[:], "big")

    def move(self, ms: int) -> None:
        """Let time pass for everybody."""
        self._ahead[:] = (int.from_bytes(self._ahead[:], "big") + ms).to_bytes(_SIZE, "big")
