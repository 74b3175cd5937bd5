"""Values as bytes whose order is that of the values: the keys of indexes.

A tag for the type, then: numbers as the bits of the nearest float and the distance from it, texts, bytes, lists and
maps escaped and ended so that none is the beginning of another. What is longer than 128 bytes is cut, and then shares
its key with whatever begins alike.
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import UTC, datetime, timedelta
from struct import Struct as Packing
from typing import Final

from tierfold.where.order import BOOL, BYTES, LIST, MAP, MOMENT, NONE, NUMBER, TEXT, rank_of

__all__ = ["CUT_AT_BYTES", "is_cut", "order_bytes", "prefix_bytes", "tag_of", "value_of"]

CUT_AT_BYTES: Final = 128
_END: Final = b"\x00\x00"
_CUT: Final = b"\x00\x01"
_ESCAPED: Final = b"\x00\xff"
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND: Final = timedelta(microseconds=1)
_float: Final = Packing(">d").pack
_bits: Final = Packing(">Q").unpack
_number: Final = Packing(">QH").pack
_MIDDLE: Final = 1 << 15
_SIGN: Final = 1 << 63
_ALL: Final = (1 << 64) - 1
_LENGTHS: Final = {rank + 1 << 4: length for rank, length in {BOOL: 2, NUMBER: 11, MOMENT: 9, NONE: 1}.items()}


def tag_of(rank: int) -> bytes:
    """What the bytes of every value of a type begin with."""
    return bytes(((rank + 1) << 4,))


def order_bytes(value: object) -> tuple[bytes, bool]:
    """The bytes, and whether they tell the value from every other one."""
    rank = rank_of(value)
    tag = tag_of(rank)
    if rank == NUMBER:
        return tag + _number_bytes(value), True  # type: ignore[arg-type]
    if rank == TEXT:
        return _bounded(tag, value.encode())  # type: ignore[attr-defined]
    if rank == MOMENT:
        return tag + (((value - _EPOCH) // _MICROSECOND) + _SIGN).to_bytes(8, "big"), True  # type: ignore[operator]
    if rank == BOOL:
        return tag + (b"\x01" if value else b"\x00"), True
    if rank == BYTES:
        return _bounded(tag, value)  # type: ignore[arg-type]
    if rank == LIST:
        parts = [order_bytes(item) for item in value]  # type: ignore[attr-defined]
    elif rank == MAP:
        members = sorted(value.items())  # type: ignore[attr-defined]
        parts = [part for name, item in members for part in (order_bytes(name), order_bytes(item))]
    else:
        return tag, True
    return _bounded(tag, *_joined(parts))


def _joined(parts: Iterable[tuple[bytes, bool]]) -> tuple[bytes, bool]:
    """Up to the first part that was cut: what stands behind it would be compared too early."""
    data = b""
    for part, exact in parts:
        data += part
        if not exact:
            return data, False
    return data, True


def prefix_bytes(text: str) -> tuple[bytes, bool]:
    """What the bytes of every text begin with that begins with ``text``, and whether those of no other text do."""
    escaped = _escape(text.encode())
    return tag_of(TEXT) + _cut(escaped), len(escaped) <= CUT_AT_BYTES


def value_of(key: bytes) -> bytes:
    """The order bytes that a key begins with."""
    length = _LENGTHS.get(key[0])
    if length is not None:
        return key[:length]
    at = key.index(0, 1)
    while key[at + 1] == _ESCAPED[1]:
        at = key.index(0, at + 2)
    return key[: at + 2]


def is_cut(value: bytes) -> bool:
    """Whether these order bytes may stand for several values."""
    return value[0] not in _LENGTHS and value.endswith(_CUT)


def _number_bytes(number: int | float) -> bytes:
    nearest = float(number)
    (bits,) = _bits(_float(nearest + 0.0))
    ordered = bits ^ (_ALL if bits & _SIGN else _SIGN)
    beyond = number - int(nearest) if type(number) is int else 0
    return _number(ordered, _MIDDLE + beyond)


def _escape(data: bytes) -> bytes:
    return data.replace(b"\x00", _ESCAPED)


def _bounded(tag: bytes, data: bytes, exact: bool = True) -> tuple[bytes, bool]:
    escaped = _escape(data)
    if exact and len(escaped) <= CUT_AT_BYTES:
        return tag + escaped + _END, True
    return tag + _cut(escaped) + _CUT, False


def _cut(escaped: bytes) -> bytes:
    """At most so much, and no half of an escape."""
    cut = escaped[:CUT_AT_BYTES]
    return cut[:-1] if len(cut) == CUT_AT_BYTES and cut.endswith(b"\x00") else cut
