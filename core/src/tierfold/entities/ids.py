"""Ids, logical keys and entity keys: how the place of an entity is written.

An id is ``<logical key>.<suffix>``, so the partition can be read from it. The store knows a partition by its entity
key, ``<prefix>.<logical key>``: the prefix belongs to the deployment and is part of no id.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from typing import Final

from tierfold.errors import ConfigError, ValidationError

__all__ = [
    "GLOBAL_KEY",
    "KEY_LIMIT",
    "SUFFIX_LENGTH",
    "check_key",
    "check_prefix",
    "check_suffix",
    "entity_key",
    "escape",
    "logical_key",
    "made_of",
    "new_suffixes",
    "not_an_id",
    "split_id",
]

GLOBAL_KEY: Final = "global"
"""Logical key of the types that declare no partition."""
KEY_LIMIT: Final = 255
"""Characters of a logical key."""
SUFFIX_LENGTH: Final = 21
"""Characters of a random suffix: 126 random bits."""

_ALPHABET: Final = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789_-"
_SYMBOL_OF_BYTE: Final = _ALPHABET * 4
_PREFIX: Final = re.compile(r"[A-Za-z0-9_-]{1,64}")
_SUFFIX: Final = re.compile(r"[A-Za-z0-9_-]{1,64}")
_KEY: Final = re.compile(r"[A-Za-z0-9_%-]+(?:\.[A-Za-z0-9_%-]+)*")
_SHOWN: Final = 64
_UNSAFE: Final = re.compile(r"[^A-Za-z0-9_-]")


def escape(text: str) -> str:
    """Percent-escape everything outside ``[A-Za-z0-9_-]``, so that no value can bring in a separator.

    Raises:
        UnicodeEncodeError: The text has a lone surrogate.
    """
    if text.isalnum() and text.isascii():
        return text
    return _UNSAFE.sub(lambda match: "".join(f"%{byte:02X}" for byte in match[0].encode()), text)


def new_suffixes(count: int, random_bytes: Callable[[int], bytes]) -> list[str]:
    """Random suffixes, from one call of ``random_bytes``, which must return as many bytes as asked for."""
    symbols = random_bytes(count * SUFFIX_LENGTH).translate(_SYMBOL_OF_BYTE).decode()
    return [symbols[start : start + SUFFIX_LENGTH] for start in range(0, len(symbols), SUFFIX_LENGTH)]


def split_id(id: str) -> tuple[str, str]:
    """Logical key and suffix of an id.

    Raises:
        ValidationError: The text is no id.
    """
    try:
        key, dot, suffix = id.rpartition(".")
    except (AttributeError, TypeError):
        raise not_an_id(id) from None
    if not dot or not _SUFFIX.fullmatch(suffix) or len(key) > KEY_LIMIT or not _KEY.fullmatch(key):
        raise not_an_id(id)
    return key, suffix


def not_an_id(value: object) -> ValidationError:
    """The error for what stands where an id should."""
    if isinstance(value, str):
        reason = "an id is '<logical key>.<suffix>' with a suffix of 1 to 64 characters of A-Z, a-z, 0-9, '_' and '-'"
        return ValidationError(reason, path="$.id", id=value)
    hint = "; pass its `id`" if hasattr(value, "id") else ""
    return ValidationError(f"an id is `str`, not `{type(value).__name__}`{hint}", path="$.id")


def check_key(key: str, path: str = "$") -> str:
    """Return a logical key.

    Raises:
        ValidationError: It is none: longer than 255 characters, with an empty segment, or with unescaped characters.
    """
    if len(key) > KEY_LIMIT or not _KEY.fullmatch(key):
        allowed = "A-Z, a-z, 0-9, '_', '-' and '%', in segments joined by '.'"
        raise ValidationError(
            f"a logical key has 1 to {KEY_LIMIT} characters of {allowed}, not {_shown(key)}", path=path
        )
    return key


def check_suffix(suffix: str, path: str = "$") -> str:
    """Return the suffix of an id.

    Raises:
        ValidationError: It is none.
    """
    if not _SUFFIX.fullmatch(suffix):
        allowed = "1 to 64 characters of A-Z, a-z, 0-9, '_' and '-'"
        raise ValidationError(f"the suffix of an id has {allowed}, not {_shown(suffix)}", path=path)
    return suffix


def made_of(error: ValidationError, fields: Sequence[str]) -> ValidationError:
    """The error of a check, about a text that was made of these fields."""
    if len(fields) == 1:
        return ValidationError(error.reason, path=f"$.{fields[0]}")
    return ValidationError(f"{error.reason} (made of {', '.join(fields) or 'no field'})")


def _shown(text: str) -> str:
    """What is wrong with a text shows in itself, unless it is its length."""
    return repr(text) if len(text) <= _SHOWN else f"{len(text)}, as {text[:_SHOWN]!r}…"


def check_prefix(prefix: str) -> str:
    """Return a deployment's prefix. It has no dot, so that no two prefixes share an entity key.

    Raises:
        ConfigError: It is none.
    """
    if not _PREFIX.fullmatch(prefix):
        raise ConfigError(f"prefix {prefix!r}: use 1 to 64 characters of A-Z, a-z, 0-9, '_' and '-'")
    return prefix


def entity_key(prefix: str, logical_key: str) -> str:
    """The name of a partition in the store."""
    return f"{prefix}.{logical_key}"


def logical_key(prefix: str, entity_key: str) -> str | None:
    """The logical key of a partition, or None when it belongs to another prefix."""
    first, dot, rest = entity_key.partition(".")
    return rest if dot and first == prefix else None
