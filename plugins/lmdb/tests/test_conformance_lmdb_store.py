"""The LMDB store keeps the contract of stores and of both sides of a link, and its content."""

from __future__ import annotations

from pathlib import Path

from tierfold.testing.embedded import DurableStoreSuite
from tierfold_lmdb.engine import LmdbEngine


class TestLmdbStore(DurableStoreSuite):
    def open_engine(self, where: Path) -> LmdbEngine:
        return LmdbEngine(str(where))
