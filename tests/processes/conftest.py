"""What the tests with several programs share."""

from __future__ import annotations

from pathlib import Path

import pytest
from tests.processes.shared_clock import SharedClock


@pytest.fixture
def clock(tmp_path: Path) -> SharedClock:
    return SharedClock(tmp_path / "clock", create=True)
