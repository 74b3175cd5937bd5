"""A dict that can also be walked in key order: point access by hash, order by chunks of sorted keys."""

from __future__ import annotations

from bisect import bisect_left, insort
from collections.abc import Callable, Iterator
from typing import Final

__all__ = ["SortedMap"]

_CHUNK: Final = 512
"""Keys in half of a full chunk: the list of chunks stays short, and an insert moves 8 KiB at most."""


class SortedMap:
    """Bytes to bytes. `get` and replacing are O(1); a new or removed key costs two bisections and one short move."""

    __slots__ = ("_chunks", "_greatest", "_values", "get")

    def __init__(self) -> None:
        self._values: dict[bytes, bytes] = {}
        self._chunks: list[list[bytes]] = []
        self._greatest: list[bytes] = []
        self.get: Callable[[bytes], bytes | None] = self._values.get
        """The value under a key, or None."""

    def __len__(self) -> int:
        return len(self._values)

    def put(self, key: bytes, value: bytes) -> bytes | None:
        """Store ``value`` and return what it replaced."""
        replaced = self.get(key)
        self._values[key] = value
        if replaced is None:
            self._insert(key)
        return replaced

    def delete(self, key: bytes) -> bytes | None:
        """Remove ``key`` and return its value; None when it was missing."""
        removed = self._values.pop(key, None)
        if removed is not None:
            self._remove(key)
        return removed

    def scan(self, low: bytes, high: bytes) -> Iterator[tuple[bytes, bytes]]:
        """Pairs with ``low <= key < high``, ascending. The map must not change while the iterator is used."""
        at = bisect_left(self._greatest, low)
        while at < len(self._chunks):
            chunk = self._chunks[at]
            start = bisect_left(chunk, low)
            end = bisect_left(chunk, high)
            for key in chunk[start:end]:
                yield key, self._values[key]
            if end < len(chunk):
                return
            at += 1

    def scan_back(self, low: bytes, high: bytes) -> Iterator[tuple[bytes, bytes]]:
        """The same pairs, descending."""
        at = min(bisect_left(self._greatest, high), len(self._chunks) - 1)
        while at >= 0:
            chunk = self._chunks[at]
            start = bisect_left(chunk, low)
            for key in reversed(chunk[start : bisect_left(chunk, high)]):
                yield key, self._values[key]
            if start:
                return
            at -= 1

    def count(self, low: bytes, high: bytes) -> int:
        """How many pairs `scan` gives."""
        first, last = bisect_left(self._greatest, low), bisect_left(self._greatest, high)
        if first >= len(self._chunks):
            return 0
        before = bisect_left(self._chunks[first], low)
        upto = bisect_left(self._chunks[last], high) if last < len(self._chunks) else 0
        return max(0, sum(map(len, self._chunks[first:last])) - before + upto)

    def last(self, low: bytes, high: bytes) -> tuple[bytes, bytes] | None:
        """The pair with the greatest key in ``low <= key < high``."""
        at = bisect_left(self._greatest, high)
        below = bisect_left(self._chunks[at], high) if at < len(self._chunks) else 0
        if below:
            key = self._chunks[at][below - 1]
        elif at:
            key = self._greatest[at - 1]
        else:
            return None
        return (key, self._values[key]) if key >= low else None

    def _insert(self, key: bytes) -> None:
        at = bisect_left(self._greatest, key)
        if at < len(self._chunks):
            insort(self._chunks[at], key)
        elif at:
            at -= 1
            self._chunks[at].append(key)
            self._greatest[at] = key
        else:
            self._chunks.append([key])
            self._greatest.append(key)
        if len(self._chunks[at]) > 2 * _CHUNK:
            self._split(at)

    def _split(self, at: int) -> None:
        chunk = self._chunks[at]
        middle = len(chunk) // 2
        self._chunks[at : at + 1] = [chunk[:middle], chunk[middle:]]
        self._greatest.insert(at, chunk[middle - 1])

    def _remove(self, key: bytes) -> None:
        at = bisect_left(self._greatest, key)
        chunk = self._chunks[at]
        del chunk[bisect_left(chunk, key)]
        if not chunk:
            del self._chunks[at], self._greatest[at]
            return
        self._greatest[at] = chunk[-1]
        if len(chunk) < _CHUNK // 2:
            self._join(at)

    def _join(self, at: int) -> None:
        """Put a chunk that became small into its neighbour, unless both together would be split again."""
        left = at - 1 if at else 0
        if left + 1 < len(self._chunks) and len(self._chunks[left]) + len(self._chunks[left + 1]) <= _CHUNK:
            self._chunks[left] += self._chunks.pop(left + 1)
            del self._greatest[left]
