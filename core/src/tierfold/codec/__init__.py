"""The canonical form of documents: one sequence of bytes for each content."""

from __future__ import annotations

from tierfold.codec.canonical import DEFAULT_LIMIT_BYTES, DEPTH_LIMIT, check_canonical, decode, encode
from tierfold.codec.values import INT_MAX, INT_MIN, is_exact, member_path, normalised

__all__ = [
    "DEFAULT_LIMIT_BYTES",
    "DEPTH_LIMIT",
    "INT_MAX",
    "INT_MIN",
    "check_canonical",
    "decode",
    "encode",
    "is_exact",
    "member_path",
    "normalised",
]
