"""The system fields: what the record knows of an entity beside its payload."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from struct import Struct as Packing
from typing import Final

from tierfold.model import Record

__all__ = [
    "EPOCH",
    "EXACT_BELOW_MS",
    "ID_START",
    "SYSTEM_FIELDS",
    "read_head",
    "read_head_and_schema",
    "split_record",
    "system_fields",
    "time_of",
]

SYSTEM_FIELDS: Final = ("id", "created_at", "updated_at", "version")
"""Members that are no part of a payload."""
EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
"""`created_at` and `updated_at` of an entity that was never saved."""

ID_START: Final = 51
"""Where the id begins in a record's content; extension and payload follow."""
read_head: Final = Packing(">Q8xQ8xx4xQHI").unpack_from
"""content -> stamp and birth, each as ms * 65536 + counter, version, length of the id, length of the extension."""
read_head_and_schema: Final = Packing(">Q8xQ8xxIQHI").unpack_from
"""The same with the schema before the version."""

EXACT_BELOW_MS: Final = 2**32 * 1000
"""Up to here (the year 2106) a float of seconds is exact to the microsecond."""
_LAST_MS: Final = 253402300799999
"""The last ms of the year 9999. Stamps have room for more, and may be made by other machines."""


def time_of(ms: int) -> datetime:
    """The time of a stamp, in UTC."""
    if ms < EXACT_BELOW_MS:
        return datetime.fromtimestamp(ms / 1000, UTC)
    return EPOCH + timedelta(milliseconds=min(ms, _LAST_MS))


def system_fields(content: bytes) -> dict[str, object]:
    """The four system fields of a record's content."""
    stamp, birth, version, id_length, _ = read_head(content)
    created = time_of(birth >> 16)
    return {
        "id": content[ID_START : ID_START + id_length].decode(),
        "created_at": created,
        "updated_at": created if stamp == birth else time_of(stamp >> 16),
        "version": version,
    }


def split_record(record: Record) -> tuple[dict[str, object], bytes]:
    """The four system fields of a record, and its payload."""
    return system_fields(record.content), record.payload
