"""The data layer of this process, opened by the first request."""

from threading import Lock

from django.conf import settings

import tierfold
from tierfold.blocking import DataLayer

_lock = Lock()
_layers: list[DataLayer] = []


def layer() -> DataLayer:
    """One for each process, used by all of its threads; two at once would be a waste, hence the lock."""
    with _lock:
        if not _layers:
            _layers.append(tierfold.blocking.open(*settings.TIERS).__enter__())
        return _layers[0]
