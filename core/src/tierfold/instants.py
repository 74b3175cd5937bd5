"""Times for people, from stamps."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Final

from tierfold.clock import ms_of

__all__ = ["datetime_of"]

_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)


def datetime_of(stamp: bytes) -> datetime:
    """The wall time of a stamp, aware, UTC."""
    return _EPOCH + timedelta(milliseconds=ms_of(stamp))
