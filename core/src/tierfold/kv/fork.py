"""What must know that it woke up in a forked child. Locks, threads and files from before belong to the parent."""

from __future__ import annotations

import os
from typing import Protocol
from weakref import WeakSet

__all__ = ["Forkable", "watch_fork"]


class Forkable(Protocol):
    """Something opened that a forked child must not touch."""

    def after_fork(self) -> None:
        """Called in the child, before any other code of it. Takes no lock: its holder may not exist here."""


# The interpreter offers no way to unregister a fork hook, so there is one for the process, and it keeps nothing alive.
_watched: WeakSet[Forkable] = WeakSet()


def watch_fork(opened: Forkable) -> None:
    """Call ``opened.after_fork()`` in every forked child, as long as something else keeps ``opened`` alive."""
    _watched.add(opened)


def _tell_all() -> None:
    for opened in list(_watched):
        opened.after_fork()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_tell_all)
