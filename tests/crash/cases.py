"""How long a case may take, and which command runs it."""

from __future__ import annotations

from typing import Any

import pytest

__all__ = ["long", "short"]


def short(*values: object) -> Any:
    """A case for `make test`."""
    return pytest.param(*values, marks=pytest.mark.timeout(60))


def long(*values: object) -> Any:
    """A case for `make prove`."""
    return pytest.param(*values, marks=[pytest.mark.prove, pytest.mark.timeout(600)])
