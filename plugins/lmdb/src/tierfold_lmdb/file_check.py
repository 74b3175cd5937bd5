"""Whether a data file has been cut short. LMDB maps what its meta page promises; a page past the end kills the process.

A file may be shorter than its last page number says: pages taken and given back by one transaction are never written.
So what is missing must be free. The format is that of LMDB 0.9 on a 64-bit machine, in its byte order.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from pathlib import Path
from struct import Struct as Packing
from typing import BinaryIO, Final

from msgspec import Struct

from tierfold.errors import CorruptDataError, StoreFormatError

__all__ = ["check_length"]

_META: Final = Packing("=16x I I 16x I 36x Q 48x Q Q")
_MAGIC: Final = 0xBEEFC0DE
_DATA_VERSION: Final = 1
_NO_PAGE: Final = 2**64 - 1
_HEADER: Final = Packing("=10x H H 2x")
_NODE: Final = Packing("=H H H H")
_BRANCH: Final = 0x01
_ELSEWHERE: Final = 0x01
"""Flag of a node whose value has pages of its own."""
_TRIES: Final = 3


class _Meta(Struct, frozen=True):
    """The parts of a meta page that say how long the file must be."""

    magic: int
    data_version: int
    page_bytes: int
    free_root: int
    last_page: int
    transaction: int


def check_length(file: Path) -> None:
    """Raise `CorruptDataError` when pages that hold data are missing at the end of ``file``; an absent one is whole.

    An empty one is not: a new file appears with its first pages in it.

    Raises:
        StoreFormatError: It is no file of LMDB's data format 1.
    """
    if not file.exists():
        return
    if file.stat().st_size == 0:
        raise CorruptDataError(f"{file} has been cut short, it is empty; if nothing was ever kept in it, delete it")
    # Another process may commit between two reads; what is really missing is missing every time.
    for _ in range(_TRIES):
        with file.open("rb") as opened:
            if _is_whole(opened):
                return
    raise CorruptDataError(f"{file} has been cut short: it ends before pages that its last transaction uses")


def _is_whole(file: BinaryIO) -> bool:
    try:
        meta = max(_read_metas(file), key=lambda meta: meta.transaction)
        there = file.seek(0, 2) // meta.page_bytes
        if there > meta.last_page:
            return True
        free = {page for page in _free_pages(file, meta.page_bytes, meta.free_root) if there <= page <= meta.last_page}
    except struct.error:
        return False
    return len(free) == meta.last_page + 1 - there


def _read_metas(file: BinaryIO) -> tuple[_Meta, _Meta]:
    first = _Meta(*_META.unpack(file.read(_META.size)))
    if first.magic != _MAGIC or first.data_version != _DATA_VERSION:
        raise StoreFormatError(f"{file.name} is not a data file of LMDB 0.9")
    file.seek(first.page_bytes)
    return first, _Meta(*_META.unpack(file.read(_META.size)))


def _free_pages(file: BinaryIO, page_bytes: int, root: int) -> Iterator[int]:
    """The numbers listed in the tree of free pages, whose values are lists of them."""
    if root == _NO_PAGE:
        return
    file.seek(root * page_bytes)
    page = file.read(page_bytes)
    flags, lower = _HEADER.unpack_from(page)
    for at in _words(page[_HEADER.size : lower], 2):
        low, high, node_flags, key_bytes = _NODE.unpack_from(page, at)
        data = page[at + _NODE.size + key_bytes :]
        if flags & _BRANCH:
            yield from _free_pages(file, page_bytes, low | high << 16 | node_flags << 32)
            continue
        if node_flags & _ELSEWHERE:
            file.seek(next(_words(data[:8], 8)) * page_bytes + _HEADER.size)
            data = file.read(low | high << 16)
        count = next(_words(data[:8], 8))
        yield from _words(data[8 : 8 + 8 * count], 8)


def _words(data: bytes, size: int) -> Iterator[int]:
    form = {2: "H", 8: "Q"}[size]
    return iter(Packing(f"={len(data) // size}{form}").unpack(data))
