"""Names of programs in link leases, and whether such a program has ended: a killed one cannot give its lease back.

A name tells where and when the process was started. Only on Linux, and only in the same process namespace after the
same boot, another process can tell from it that the holder is gone for certain; anywhere else the lease runs out. No
safety depends on it, for the fencing token grows whenever the lease changes hands.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from functools import cache
from hashlib import blake2b
from pathlib import Path
from typing import Final

__all__ = ["is_gone", "name_holder"]

_PROC: Final = Path("/proc")
_PLACE_BYTES: Final = 16
_NUMBER_BYTES: Final = 8
_ENDED: Final = "ZX"
"""States of a process that does nothing more and was not waited for by its parent."""


def name_holder(random_bytes: Callable[[int], bytes]) -> bytes:
    """A name for one layer of this process, unlike any other."""
    place, pid = _place(), os.getpid()
    now = _look(pid)
    if place is None or now is None:
        return random_bytes(_PLACE_BYTES)
    return place + _packed(pid) + _packed(now[1]) + random_bytes(_NUMBER_BYTES)


def is_gone(holder: bytes) -> bool:
    """Whether the process that gave itself this name has certainly ended."""
    place = _place()
    if place is None or len(holder) != _PLACE_BYTES + 3 * _NUMBER_BYTES or not holder.startswith(place):
        return False
    pid, started = (
        int.from_bytes(holder[start : start + _NUMBER_BYTES], "big")
        for start in (_PLACE_BYTES, _PLACE_BYTES + _NUMBER_BYTES)
    )
    try:
        os.kill(pid, 0)  # /proc may hide the processes of other users, this does not
    except ProcessLookupError:
        return True
    except OSError:
        return False
    return _has_ended(pid, started)


def _has_ended(pid: int, started: int) -> bool:
    """Whether a process of this number is another one by now, or waits for nothing but its parent."""
    now = _look(pid)
    return now is not None and (now[1] != started or now[0] in _ENDED)


def _look(pid: int) -> tuple[str, int] | None:
    """State of a process, and when it was started in ticks since the machine was; None when that cannot be told."""
    try:
        text = (_PROC / str(pid) / "stat").read_text()
        fields = text.rpartition(")")[2].split()  # behind the program's name, which may contain anything
        return fields[0], int(fields[19])
    except (OSError, IndexError, ValueError):
        return None


@cache
def _place() -> bytes | None:
    """In what world process numbers and start times mean the same: machine, boot, namespaces. None = it has no name."""
    try:
        boot = (_PROC / "sys/kernel/random/boot_id").read_text()
        namespaces = [(_PROC / "self/ns" / name).readlink() for name in ("pid", "time")]
    except OSError:
        return None
    return blake2b(f"{boot}{namespaces}".encode(), digest_size=_PLACE_BYTES).digest()


def _packed(number: int) -> bytes:
    return number.to_bytes(_NUMBER_BYTES, "big")
