"""Documents as canonical bytes.

MessagePack, each value in its shortest form, with these choices fixed: a document is a map; keys are text, sorted by
their UTF-8 bytes; ints have 64 bits with sign; floats always take 64 bits, ``-0.0`` is stored as ``0.0``, and ``1`` and
``1.0`` stay distinct; datetimes are the timestamp extension in whole microseconds. Sequences are lists: tuples and sets
are refused, because they would come back as something else.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

import msgspec
from msgspec.msgpack import Decoder, Encoder

from tierfold.codec.values import DEPTH_LIMIT, is_exact, normalised
from tierfold.errors import PayloadTooLargeError, ValidationError

__all__ = ["DEFAULT_LIMIT_BYTES", "DEPTH_LIMIT", "check_canonical", "decode", "encode"]

DEFAULT_LIMIT_BYTES: Final = 2**20

_pack: Final = Encoder(order="sorted").encode
_unpack: Final = Decoder(dict[str, Any]).decode


def encode(document: Mapping[str, object], *, limit_bytes: int = DEFAULT_LIMIT_BYTES, id: str | None = None) -> bytes:
    """The canonical bytes of a document. Nothing in the document is changed.

    Args:
        id: The record concerned, for error messages.

    Raises:
        ValidationError: Something in the document cannot be stored; ``path`` says what.
        PayloadTooLargeError: The bytes are more than ``limit_bytes``.
    """
    if type(document) is dict and is_exact(document):
        try:
            data = _pack(document)
        except UnicodeEncodeError:
            data = _pack_closely(document, id)
    else:
        data = _pack_closely(document, id)
    if len(data) > limit_bytes:
        raise PayloadTooLargeError(len(data), limit_bytes, id)
    return data


def _pack_closely(document: Mapping[str, object], id: str | None) -> bytes:
    try:
        return _pack(normalised(document))
    except ValidationError as error:
        raise ValidationError(error.reason, path=error.path, id=id) from error.__cause__


def decode(data: bytes) -> dict[str, object]:
    """The document of canonical bytes; datetimes are aware, in UTC.

    Meant for bytes that `encode` made. It refuses what is no MessagePack map, but takes forms that are not canonical:
    bytes of unknown origin go through `check_canonical` first.

    Raises:
        ValidationError: The bytes are no document.
    """
    try:
        return _unpack(data)
    except (msgspec.MsgspecError, ValueError, OverflowError, RecursionError) as error:
        raise ValidationError("these bytes are no document") from error


def check_canonical(data: bytes, *, limit_bytes: int = DEFAULT_LIMIT_BYTES) -> None:
    """Refuse bytes that are not the canonical form of a document: unsorted or repeated keys, longer forms than needed,
    foreign extensions.

    Raises:
        ValidationError: They are not.
        PayloadTooLargeError: They are more than ``limit_bytes``.
    """
    if len(data) > limit_bytes:
        raise PayloadTooLargeError(len(data), limit_bytes)
    if encode(decode(data), limit_bytes=limit_bytes) != data:
        raise ValidationError("these bytes are not in canonical form")
