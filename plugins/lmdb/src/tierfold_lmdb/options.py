"""What ``lmdb:directory?…`` understands."""

from __future__ import annotations

from typing import Literal

from msgspec import Struct

__all__ = ["Durability", "LmdbOptions"]

GIB = 1024**3

Durability = Literal["durable", "relaxed", "unsafe_nosync"]
"""What a power failure may take: nothing; the last commits; everything, the file included."""


class LmdbOptions(Struct, frozen=True, forbid_unknown_fields=True):
    """Options of one LMDB file; whoever opens it again in the same process must name the same.

    Attributes:
        durability: `Durability`. A killed process loses nothing in any of them.
        map_bytes: Address space reserved at first. The file is sparse and takes only what is used.
        max_map_bytes: How far the map may grow by itself when it is full.
        max_readers: Read transactions of all threads of all processes at once. The first process to open decides.
        min_free_bytes: Writing stops while the file system has less room than this.
        allow_network_fs: Open although the file system is a network's, where locks and maps may not work.
    """

    durability: Durability = "durable"
    map_bytes: int = 64 * GIB
    max_map_bytes: int = 1024 * GIB
    max_readers: int = 512
    min_free_bytes: int = 16 * 1024**2
    allow_network_fs: bool = False
