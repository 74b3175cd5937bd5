"""Where everything lies in an embedded store: row keys and row values, byte for byte. See docs/format.md.

One ordered keyspace; the first byte of a key names the table. Integers are big-endian, so key order is number order.
Every value ends with the CRC-32 of key and value in little-endian order: then the CRC over all of it is a constant, and
a row is checked in one call without slicing [a leading checksum costs a copy of the row per read]. Entries of the
changelog, the feed, the tombstone index and the indexes have no checksum: they are compared with the rows they name.
"""

from __future__ import annotations

from hashlib import blake2b
from struct import Struct as Packing
from typing import Final, Generic, TypeVar
from zlib import crc32

from msgspec import DecodeError, Struct
from msgspec import ValidationError as ShapeError
from msgspec.msgpack import Decoder, Encoder

from tierfold.abc.engine import ReadTransaction, WriteTransaction
from tierfold.errors import CorruptDataError, StoreFormatError

__all__ = [
    "CHANGELOG",
    "CONFLICT_ROWS",
    "COUNTERS",
    "COUNTER_ROWS",
    "FEED",
    "FORMAT_VERSION",
    "ID_START",
    "INDEX_ENTRY",
    "INDEX_ROWS",
    "LEAF",
    "LINK_ROWS",
    "LINK_STATE_ROWS",
    "LOCAL",
    "LOCAL_SIZE",
    "MEMBER",
    "NO_HASH",
    "PARTITION_ROWS",
    "PEER_NUMBER",
    "PEER_ROWS",
    "RECORD",
    "REGISTRATION_ROWS",
    "RESIDUE",
    "SEGMENT_NAME",
    "SEGMENT_ROWS",
    "STORE_ROWS",
    "TOMBSTONE",
    "TYPE_ROWS",
    "UP",
    "ConflictRow",
    "Counters",
    "IndexRow",
    "LinkRow",
    "LinkStateRow",
    "PartitionRow",
    "PeerRow",
    "RegistrationRow",
    "Row",
    "SegmentRow",
    "StoreMemo",
    "StoreRow",
    "Table",
    "TypeRow",
    "end_of",
    "name_key",
    "open_row",
    "pack_row",
    "peek_row",
    "seal",
    "unseal",
]

FORMAT_VERSION: Final = 1

STORE: Final = b"\x01"
COUNTERS: Final = b"\x02"
PARTITION: Final = b"\x03"
SEGMENT_NAME: Final = b"\x04"
SEGMENT: Final = b"\x05"
TYPE: Final = b"\x06"
LINK: Final = b"\x07"
LINK_STATE: Final = b"\x08"
REGISTRATION: Final = b"\x09"
PEER: Final = b"\x0a"
PEER_NUMBER: Final = b"\x0b"
CONFLICT: Final = b"\x0c"
MEMBER: Final = b"\x0d"
INDEX: Final = b"\x0e"
FEED: Final = b"\x10"
CHANGELOG: Final = b"\x11"
LEAF: Final = b"\x12"
TOMBSTONE: Final = b"\x13"
INDEX_ENTRY: Final = b"\x14"
RECORD: Final = b"\x20"

RESIDUE: Final = 0x2144DF1C


def seal(key: bytes, body: bytes) -> bytes:
    """A row value: body and checksum."""
    return body + crc32(body, crc32(key)).to_bytes(4, "little")


def unseal(key: bytes, value: bytes) -> bytes:
    """The body of a row value.

    Raises:
        CorruptDataError: The checksum does not fit key and body.
    """
    if crc32(value, crc32(key)) != RESIDUE:
        raise CorruptDataError(f"row {key.hex()} fails its checksum")
    return value[:-4]


def name_key(*parts: str) -> bytes:
    """16 bytes for a name of any length; the full name stands in the row."""
    data = b"".join(len(part.encode()).to_bytes(4, "big") + part.encode() for part in parts)
    return blake2b(data, digest_size=16, person=b"tierfold.name").digest()


def end_of(prefix: bytes) -> bytes:
    """The smallest key behind every key that begins with ``prefix`` (which must not be all 0xff)."""
    stripped = prefix.rstrip(b"\xff")
    return stripped[:-1] + bytes((stripped[-1] + 1,))


# --- record rows -------------------------------------------------------------------------------------------------

LOCAL: Final = Packing(">QIB16s16s")
LOCAL_SIZE: Final = LOCAL.size
ID_START: Final = LOCAL_SIZE + 51
NO_HASH: Final = bytes(16)
UP: Final = 1
"""``via`` of a row that came by the link to the upstream. 0 = written here, 2 and more = numbers of nearer peers."""


class Row(Struct, gc=False):
    """A record row taken apart: seq, via and base are local, ``content`` and ``hash`` are the record."""

    seq: int
    via: int
    base: bytes
    base_deleted: bool
    hash: bytes
    content: bytes

    @property
    def deleted(self) -> bool:
        return self.content[32] & 1 == 1

    @property
    def stamp(self) -> bytes:
        return self.content[:16]


def pack_row(key: bytes, seq: int, via: int, base: bytes, base_deleted: bool, hash: bytes, content: bytes) -> bytes:
    """The value of a record row. ``base`` is empty or 16 bytes."""
    flags = (1 | base_deleted << 1) if base else 0
    body = LOCAL.pack(seq, via, flags, base or NO_HASH, hash) + content
    return body + crc32(body, crc32(key)).to_bytes(4, "little")


def open_row(key: bytes, value: bytes) -> Row:
    """Take a record row apart after checking it."""
    if crc32(value, crc32(key)) != RESIDUE:
        raise CorruptDataError(f"row {key.hex()} fails its checksum", row=key)
    seq, via, flags, base, hash = LOCAL.unpack_from(value)
    return Row(seq, via, base if flags & 1 else b"", flags & 2 == 2, hash, value[LOCAL_SIZE:-4])


def peek_row(key: bytes, value: bytes) -> Row:
    """What is local about a record row, its deletion and stamp; unchecked, the content cut short. Half the cost."""
    seq, via, flags, base, hash = LOCAL.unpack_from(value)
    return Row(seq, via, base if flags & 1 else b"", flags & 2 == 2, hash, value[LOCAL_SIZE : LOCAL_SIZE + 33])


# --- catalog rows ------------------------------------------------------------------------------------------------

_encoder = Encoder()
R = TypeVar("R", bound=Struct)


class Table(Generic[R]):
    """Rows of one struct type under one tag, MessagePack arrays inside the seal."""

    __slots__ = ("_decoder", "tag")

    def __init__(self, tag: bytes, row: type[R]) -> None:
        self.tag: bytes = tag
        self._decoder = Decoder(row)

    def get(self, txn: ReadTransaction, key: bytes = b"") -> R | None:
        value = txn.get(self.tag + key)
        return None if value is None else self.open(self.tag + key, value)

    def put(self, txn: WriteTransaction, row: R, key: bytes = b"") -> None:
        txn.put(self.tag + key, seal(self.tag + key, _encoder.encode(row)))

    def delete(self, txn: WriteTransaction, key: bytes = b"") -> None:
        txn.delete(self.tag + key)

    def rows(self, txn: ReadTransaction, prefix: bytes = b"") -> list[tuple[bytes, R]]:
        """All rows whose key begins with ``prefix``; the key is given without the tag."""
        low = self.tag + prefix
        return [(key[1:], self.open(key, value)) for key, value in txn.scan(low, end_of(low))]

    def open(self, key: bytes, value: bytes) -> R:
        try:
            return self._decoder.decode(unseal(key, value))
        except (DecodeError, ShapeError) as error:
            raise CorruptDataError(f"row {key.hex()} is not what its table holds: {error}") from error


class StoreRow(Struct, array_like=True, frozen=True):
    """Identity; written when the store is created or found copied, and once per open that writes."""

    format: int
    store: bytes
    node: bytes
    place: str
    hash_algorithm: str
    realm_key_id: bytes
    incarnations: tuple[tuple[bytes, int], ...]


class Counters(Struct, array_like=True):
    """What every commit moves on.

    ``presence`` changes whenever a partition becomes present or ceases to be, ``index_changes`` whenever the set of
    indexes or the state of one does.
    """

    next_seq: int = 1
    high_water: int = 0
    next_segment: int = 1
    next_peer: int = 2
    next_conflict: int = 1
    oldest_conflict: int = 1
    presence: int = 0
    next_index: int = 1
    index_changes: int = 0


class SegmentRow(Struct, array_like=True):
    """Counts and sums of a segment. ``tombstones``: sum and count per UTC day of stamp."""

    type: str
    partition: str
    live: int = 0
    deleted: int = 0
    live_sum: bytes = NO_HASH
    tombstones: dict[int, tuple[bytes, int]] = {}
    max_seq: int = 0
    horizon: int = 0
    floor: int = 0


class PartitionRow(Struct, array_like=True):
    """Presence and registration of a partition. Kept over evictions. ``wanted``: somebody waits for its hydration."""

    name: str
    presence: str = "unknown"
    generation: int = 0
    gone_back: bool = False
    wanted: bool = False


class TypeRow(Struct, array_like=True):
    """A declaration as it was first written, opaque to the store."""

    name: str
    declaration: bytes


class IndexRow(Struct, array_like=True):
    """An index over one path of the documents of a type, in all their partitions.

    ``state``: ``building`` up to ``built_to`` (segment and record key), ``ready``, or ``dropping``. ``entries``: how
    many, by the schema of the record. ``holders``: programs that want it, each until a time in ms.
    """

    type: str
    path: tuple[str, ...]
    state: str = "building"
    built_to: bytes = b""
    entries: dict[int, int] = {}
    holders: dict[bytes, int] = {}


class LinkRow(Struct, array_like=True):
    """The link to the upstream. Rows below ``first_seq`` are from before it was attached, all undelivered."""

    name: str
    upstream: bytes = b""
    first_seq: int = 0
    holder: bytes = b""
    token: int = 0
    until_ms: int = 0
    far_token: bytes = b""
    own_token: bytes = b""


class LinkStateRow(Struct, array_like=True):
    """Link state of one segment; positions are opaque, ``pushed`` is an own seq."""

    pulled: bytes | None = None
    seen: bytes | None = None
    pushed: int = 0
    batch: int = 0
    outstanding: list[tuple[bytes, bytes, bool]] = []
    far_horizon: int = 0
    resume: tuple[bytes, bytes] | None = None


class RegistrationRow(Struct, array_like=True):
    """A nearer store holds the partition."""

    partition: str
    generation: int
    last_request_ms: int
    lease_s: int | None = None
    expired: bool = False


class PeerRow(Struct, array_like=True):
    """What is remembered for ever of a nearer store and a segment."""

    acknowledged: int = -1
    acknowledged_generation: int = 0
    position: bytes | None = None
    applied: int = 0
    closed: int = 0
    accepted: list[bytes] = []


class ConflictRow(Struct, array_like=True):
    """One decision; records as (content, hash)."""

    type: str
    rule: str
    link: str
    at_ms: int
    base: bytes
    winner: tuple[bytes, bytes] | None
    loser: tuple[bytes, bytes]


STORE_ROWS: Final = Table(STORE, StoreRow)
COUNTER_ROWS: Final = Table(COUNTERS, Counters)
PARTITION_ROWS: Final = Table(PARTITION, PartitionRow)
SEGMENT_ROWS: Final = Table(SEGMENT, SegmentRow)
TYPE_ROWS: Final = Table(TYPE, TypeRow)
INDEX_ROWS: Final = Table(INDEX, IndexRow)
LINK_ROWS: Final = Table(LINK, LinkRow)
LINK_STATE_ROWS: Final = Table(LINK_STATE, LinkStateRow)
REGISTRATION_ROWS: Final = Table(REGISTRATION, RegistrationRow)
PEER_ROWS: Final = Table(PEER, PeerRow)
CONFLICT_ROWS: Final = Table(CONFLICT, ConflictRow)


class StoreMemo:
    """The last store row read, so that its up to 1,000 incarnations are not decoded again in every transaction."""

    __slots__ = ("_row", "_value")

    def __init__(self) -> None:
        self._value: bytes | None = None
        self._row: StoreRow | None = None

    def load(self, txn: ReadTransaction) -> StoreRow | None:
        """The store row, or None for an empty store.

        Raises:
            StoreFormatError: The store has another format version, or is no store of ours.
        """
        value = txn.get(STORE)
        if value is None or value != self._value:
            self._row, self._value = _load_store(txn, value), value
        return self._row


def _load_store(txn: ReadTransaction, value: bytes | None) -> StoreRow | None:
    if value is None:
        if any(True for _ in txn.scan(b"\x00", b"\xff")):
            raise StoreFormatError("the files hold data, but no Tierfold store")
        return None
    body = unseal(STORE, value)
    version = body[1] if len(body) > 1 else -1
    if version != FORMAT_VERSION:
        raise StoreFormatError(f"the store has format version {version}, this program reads version {FORMAT_VERSION}")
    return STORE_ROWS.open(STORE, value)
