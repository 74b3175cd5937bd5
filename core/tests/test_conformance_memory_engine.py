"""The memory engine keeps the contract of engines."""

from __future__ import annotations

from pathlib import Path

from tierfold.kv.memory import MemoryEngine
from tierfold.testing.engines import EngineSuite


class TestMemoryEngine(EngineSuite):
    def open_engine(self, where: Path) -> MemoryEngine:
        return MemoryEngine(str(where))
