"""The memory store keeps the contract of stores and of both sides of a link."""

from __future__ import annotations

from pathlib import Path

from tierfold.kv.memory import MemoryEngine
from tierfold.testing.embedded import EmbeddedStoreSuite


class TestMemoryStore(EmbeddedStoreSuite):
    def open_engine(self, where: Path) -> MemoryEngine:
        return MemoryEngine(str(where))
