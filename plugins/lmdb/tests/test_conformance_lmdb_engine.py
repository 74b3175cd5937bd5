"""The LMDB engine keeps the contract of durable engines."""

from __future__ import annotations

from pathlib import Path

from tierfold.testing.engines import DurableEngineSuite
from tierfold_lmdb.engine import LmdbEngine


class TestLmdbEngine(DurableEngineSuite):
    def open_engine(self, where: Path) -> LmdbEngine:
        return LmdbEngine(str(where))
