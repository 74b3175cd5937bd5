"""What ``lmdb:directory?…`` understands."""

from __future__ import annotations

from typing import Final, Literal, get_args

from msgspec import Struct

from tierfold.errors import ConfigError

__all__ = ["Durability", "LmdbOptions"]

GIB: Final = 1024**3

_RANGES: Final = {
    "map_bytes": (64 * 1024, 2**47),
    "max_map_bytes": (64 * 1024, 2**47),
    "max_readers": (1, 2**20),
    "min_free_bytes": (0, 2**63 - 1),
}
"""A smaller map cannot grow to hold a store; a process has 2**47 bytes of addresses; a reader takes 64 in the file."""

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

    Raises:
        ConfigError: A value is none of those allowed; the message names the option.
    """

    durability: Durability = "durable"
    map_bytes: int = 64 * GIB
    max_map_bytes: int = 1024 * GIB
    max_readers: int = 512
    min_free_bytes: int = 16 * 1024**2
    allow_network_fs: bool = False

    def __post_init__(self) -> None:
        # Not by annotations: those would hold for urls only, and not for programs that make the options themselves.
        if self.durability not in get_args(Durability):
            raise ConfigError(f"lmdb: durability is one of {', '.join(get_args(Durability))}, not {self.durability!r}")
        for name, (least, most) in _RANGES.items():
            number = getattr(self, name)
            if not least <= number <= most:
                raise ConfigError(f"lmdb: {name} is {number}; it must be from {least} to {most}")
        if self.map_bytes > self.max_map_bytes:
            sizes = f"map_bytes is {self.map_bytes} and max_map_bytes {self.max_map_bytes}"
            raise ConfigError(f"lmdb: {sizes}; the map cannot begin larger than it may grow")
