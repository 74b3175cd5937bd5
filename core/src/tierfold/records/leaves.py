"""The digest tree of a segment: leaf rows are stored, upper levels summed on demand, finer ones computed from heads.

Leaves cut the key space into ranges. A leaf's row key is the first 8 bytes of its range, so the leaf of a record is the
last leaf row at or before its key. A leaf splits into 16 when it holds more than 64 records.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterable, Iterator, Sequence
from struct import Struct as Packing
from typing import Final

from tierfold.abc.engine import ReadTransaction, WriteTransaction
from tierfold.digest import MODULUS
from tierfold.errors import CorruptDataError
from tierfold.layout import LEAF, LOCAL_SIZE, RECORD, seal, unseal

__all__ = ["LEAF_LIMIT", "add_to_leaves", "children", "live_heads", "prefix_range"]

LEAF_LIMIT: Final = 64
TRUNCATED: Final = 8
_MAX_DEPTH: Final = 16
_LEAF: Final = Packing(">B16sI")
_FLAGS: Final = LOCAL_SIZE + 32
_HASH_START: Final = LOCAL_SIZE - 16

Delta = tuple[bytes, int, int]
"""Record key, change of the live sum, change of the live count."""
Head = tuple[bytes, bytes]


def prefix_range(prefix: str) -> tuple[bytes, bytes]:
    """First record key below a hexadecimal prefix, and the first behind it (17 bytes of 0xff behind the last)."""
    depth = len(prefix)
    low = bytes.fromhex(prefix.ljust(32, "0"))
    above = int(prefix or "0", 16) + 1
    high = bytes.fromhex(f"{above:0{depth}x}".ljust(32, "0")) if prefix and above < 16**depth else b"\xff" * 17
    return low, high


def live_heads(txn: ReadTransaction, number: bytes, low: bytes, high: bytes) -> list[Head]:
    """(record key, record hash) of the live records of a segment in a range of record keys."""
    prefix = RECORD + number
    return [
        (key[5:], value[_HASH_START:LOCAL_SIZE])
        for key, value in txn.scan(prefix + low, prefix + high)
        if not value[_FLAGS] & 1
    ]


class _Leaf:
    __slots__ = ("count", "depth", "low", "total")

    def __init__(self, low: bytes, depth: int, total: int = 0, count: int = 0) -> None:
        self.low, self.depth, self.total, self.count = low, depth, total, count

    def pair(self, prefix: bytes) -> tuple[bytes, bytes]:
        key = prefix + self.low
        return key, seal(key, _LEAF.pack(self.depth, self.total.to_bytes(16, "big"), self.count))

    def high(self) -> bytes:
        above = int.from_bytes(self.low, "big") + (1 << 4 * (_MAX_DEPTH - self.depth))
        return above.to_bytes(8, "big") if above < 1 << 64 else b"\xff" * 17


def _open(key: bytes, value: bytes) -> _Leaf:
    depth, total, count = _LEAF.unpack(unseal(key, value))
    return _Leaf(key[5:], depth, int.from_bytes(total, "big"), count)


def _leaf_of(txn: ReadTransaction, prefix: bytes, key: bytes) -> _Leaf:
    found = txn.last(prefix, prefix + key[:8] + b"\x00")
    if found is None:
        return _Leaf(bytes(8), 0)
    leaf = _open(*found)
    if key >= leaf.high():
        raise CorruptDataError(f"no digest leaf covers record key {key.hex()}")
    return leaf


def add_to_leaves(txn: WriteTransaction, number: bytes, deltas: Sequence[Delta]) -> None:
    """Fold changes into the leaf rows. The records themselves must be written already: a split may read them.

    Args:
        deltas: Ascending by record key; a key may occur more than once.
    """
    prefix = LEAF + number
    pairs: list[tuple[bytes, bytes]] = []
    start = 0
    while start < len(deltas):
        leaf = _leaf_of(txn, prefix, deltas[start][0])
        end = bisect_left(deltas, (leaf.high(),), start)
        pairs += [part.pair(prefix) for part in _changed(txn, number, leaf, deltas[start:end])]
        start = end
    txn.put_sorted(pairs)


def _changed(txn: ReadTransaction, number: bytes, leaf: _Leaf, deltas: Sequence[Delta]) -> Iterable[_Leaf]:
    was_empty = leaf.count == 0
    leaf.total = (leaf.total + sum([total for _, total, _ in deltas])) % MODULUS
    leaf.count += sum([count for _, _, count in deltas])
    if leaf.count <= LEAF_LIMIT or leaf.depth == _MAX_DEPTH:
        return (leaf,)
    if was_empty and leaf.count == len(deltas):
        items = [(key, total) for key, total, _ in deltas]
    else:
        heads = live_heads(txn, number, leaf.low, leaf.high())
        items = [(key, int.from_bytes(hash, "big")) for key, hash in heads]
    return _split(items, leaf.low, leaf.depth)


def _split(items: Sequence[tuple[bytes, int]], low: bytes, depth: int) -> Iterator[_Leaf]:
    """Leaves for (record key, hash as a number) of one range, ascending, none of them too full."""
    if len(items) <= LEAF_LIMIT or depth == _MAX_DEPTH:
        yield _Leaf(low, depth, sum([number for _, number in items]) % MODULUS, len(items))
        return
    below: list[list[tuple[bytes, int]]] = [[] for _ in range(16)]
    byte, shift = depth >> 1, 0 if depth & 1 else 4
    for item in items:
        below[item[0][byte] >> shift & 15].append(item)
    start, step = int.from_bytes(low, "big"), 1 << 4 * (_MAX_DEPTH - depth - 1)
    for nibble, some in enumerate(below):
        yield from _split(some, (start + nibble * step).to_bytes(8, "big"), depth + 1)


def _nibble(key: bytes, depth: int) -> int:
    byte = key[depth >> 1]
    return byte & 15 if depth & 1 else byte >> 4


def children(txn: ReadTransaction, number: bytes, prefix: str) -> tuple[tuple[bytes, ...], int]:
    """The 16 truncated live sums one level below a prefix, and how many live records it has."""
    low, high = prefix_range(prefix)
    table = LEAF + number
    depth = len(prefix)
    end = high[:8] if len(high) == 16 else high
    leaves = [_open(*pair) for pair in txn.scan(table + low[:8], table + end)]
    if leaves and all(leaf.depth > depth for leaf in leaves):
        parts = [(_nibble(leaf.low, depth), leaf.total, leaf.count) for leaf in leaves]
    else:
        heads = live_heads(txn, number, low, high)
        parts = [(_nibble(key, depth), int.from_bytes(hash, "big"), 1) for key, hash in heads]
    sums, count = [0] * 16, 0
    for nibble, total, number_of in parts:
        sums[nibble] += total
        count += number_of
    return tuple((total % MODULUS).to_bytes(16, "big")[-TRUNCATED:] for total in sums), count
