"""Record hashes and the order-independent sums over them.

A sum proves equality against faults, not against a dishonest author: two different sets with equal 128-bit sums can be
built in seconds. Only stores that share the realm key take part in it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from hashlib import blake2b
from typing import Final, Protocol

from tierfold.model import Digest, Record

__all__ = ["HASH_ALGORITHM", "MODULUS", "Hasher", "Hashing", "record_key", "subtotal", "sum_bytes"]

HASH_ALGORITHM: Final = "blake2b-128"
MODULUS: Final = 1 << 128
_SIZE: Final = 16


class Hashing(Protocol):
    """A hash that has begun."""

    def update(self, data: bytes, /) -> None: ...

    def digest(self) -> bytes: ...


class Hasher:
    """Hashes records and record keys of one entity type. Seeded once: a copy costs a third of a new hash object.

    Attributes:
        begin: Starts a record hash; for loops that cannot afford the call of `hash`.
        begin_key: Starts a record key, likewise.
    """

    __slots__ = ("begin", "begin_key", "type")

    def __init__(self, type: str, realm_key: bytes = b"") -> None:
        name = type.encode()
        seed = len(name).to_bytes(2, "big") + name
        self.type: str = type
        self.begin: Callable[[], Hashing] = blake2b(
            seed, digest_size=_SIZE, key=realm_key, person=b"tierfold.record"
        ).copy
        self.begin_key: Callable[[], Hashing] = blake2b(seed, digest_size=_SIZE, person=b"tierfold.key").copy

    def hash(self, content: bytes) -> Digest:
        """Record hash over the canonical form of a record (`Record.content`) and its type."""
        state = self.begin()
        state.update(content)
        return Digest(state.digest())

    def key(self, id: bytes) -> bytes:
        """Record key: 16 bytes that place a record within its segment."""
        state = self.begin_key()
        state.update(id)
        return state.digest()

    def record(self, content: bytes) -> Record:
        return Record(self.type, content, self.hash(content))


def record_key(record: Record, hasher: Callable[[str], Hasher]) -> bytes:
    """The record key of a record, from the id inside its content."""
    content = record.content
    hashing = hasher(record.type).begin_key()
    hashing.update(content[51 : 51 + (content[45] << 8 | content[46])])
    return hashing.digest()


def subtotal(hashes: Iterable[bytes]) -> int:
    """Sum of hashes modulo 2^128."""
    return sum(int.from_bytes(hash, "big") for hash in hashes) % MODULUS


def sum_bytes(total: int) -> bytes:
    return (total % MODULUS).to_bytes(_SIZE, "big")
