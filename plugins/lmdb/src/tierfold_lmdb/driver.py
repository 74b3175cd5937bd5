"""How the file is opened, and what its file system has left."""

from __future__ import annotations

import os
import sys
from contextlib import suppress
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import lmdb

from tierfold_lmdb.options import LmdbOptions

__all__ = ["create_file", "free_bytes", "open_driver"]


def create_file(data: Path, options: LmdbOptions) -> None:
    """Have a file at ``data``, whole from its first moment, unless there is one.

    LMDB creates an empty file and then writes its first pages. Whoever finds it in between, perhaps after a crash,
    could not tell it from one that lost everything.
    """
    if data.exists():
        return
    with TemporaryDirectory(prefix=".new-", dir=data.parent) as aside:
        environment = open_driver(Path(aside), options)
        environment.sync(True)
        environment.close()
        # FileExistsError: another process was quicker. Other errors: no hard links here, so LMDB does it its way.
        with suppress(OSError):
            data.hardlink_to(Path(aside) / data.name)


def open_driver(directory: Path, options: LmdbOptions) -> lmdb.Environment:
    """Open the file in ``directory``, or create it, readable by its owner only."""
    settings: dict[str, Any] = {
        "map_size": options.map_bytes,
        "metasync": options.durability == "durable",
        "sync": options.durability != "unsafe_nosync",
        "mode": 0o600,
        "create": False,
        "max_readers": options.max_readers,
        "max_spare_txns": 1,
    }
    if hasattr(lmdb.Environment, "lib_version"):
        # Otherwise a variable of the process decides the format of new files.
        settings["lib_version"] = 0
    return lmdb.Environment(str(directory), **settings)


def free_bytes(directory: Path) -> int:
    """Room on the file system; as good as endless where it cannot be asked, for then the write itself will tell."""
    try:
        state = os.statvfs(directory)
    except OSError:
        return sys.maxsize
    return state.f_bavail * state.f_frsize
