"""What an entity type declares of itself, and what a store's catalog keeps of it."""

from __future__ import annotations

import re
from collections.abc import Collection
from typing import Final

import msgspec
from msgspec import Struct

from tierfold.abc.keys import KeyStrategy
from tierfold.codec import encode
from tierfold.entities.rules import GLOBAL_RULE, parse_rule
from tierfold.entities.system import SYSTEM_FIELDS
from tierfold.entities.templates import partition_template, suffix_template
from tierfold.errors import ConfigError, CorruptDataError

__all__ = ["DEFAULT_RESOLVER", "Declaration", "Declared", "check_fields", "declare", "disagreements"]

DEFAULT_RESOLVER: Final = "lww"

_NAME: Final = re.compile(r"[A-Za-z_][A-Za-z0-9_-]{0,127}")
_RESERVED_NAME: Final = "deleted"
"""Taken by the blob form of partitions."""


class Declaration(Struct, frozen=True, kw_only=True):
    """What programs and stores must agree on for an entity type; only ``schema`` may differ.

    Attributes:
        partition: Rule of the key strategy: a template, or a registered name with its options.
        id: Template of the id's suffix; None = random.
        resolver: Registered name of the rule for conflicts.
        schema: Number of the class's schema.
    """

    name: str
    partition: str = GLOBAL_RULE
    id: str | None = None
    resolver: str = DEFAULT_RESOLVER
    resolver_version: int = 1
    schema: int = 1

    def to_bytes(self) -> bytes:
        """The same bytes for equal declarations, always."""
        return encode(msgspec.structs.asdict(self))

    @classmethod
    def from_bytes(cls, data: bytes) -> Declaration:
        """The inverse of `to_bytes`; members that a later format adds are ignored.

        Raises:
            CorruptDataError: The bytes are no declaration.
        """
        try:
            return msgspec.msgpack.decode(data, type=cls)
        except (msgspec.MsgspecError, ValueError) as error:
            raise CorruptDataError(f"a catalog row is no declaration of an entity type: {error}") from error


class Declared(Struct, frozen=True):
    """A declaration as a class makes it.

    Attributes:
        strategy: Set when the class gave an object instead of a rule; it need not be registered.
    """

    declaration: Declaration
    strategy: KeyStrategy | None = None


def declare(
    name: str,
    *,
    partition: str | KeyStrategy | None = None,
    id: str | None = None,
    conflict: str | None = None,
    schema: int = 1,
) -> Declared:
    """Check what was declared, as far as it can be without plugins and the class's fields.

    Raises:
        ConfigError: A name, rule or template is none; the message names the entity type.
    """
    try:
        _check_name(name)
        strategy = partition if isinstance(partition, KeyStrategy) else None
        rule = GLOBAL_RULE if partition is None else partition if isinstance(partition, str) else partition.rule
        _template_fields(rule, id)
        if schema < 1:
            raise ConfigError(f"schema is {schema}, the first one is 1")
    except ConfigError as error:
        raise ConfigError(f"entity type {name!r}: {error}") from error
    declaration = Declaration(name=name, partition=rule, id=id, resolver=conflict or DEFAULT_RESOLVER, schema=schema)
    return Declared(declaration, strategy)


def check_fields(declared: Declared, names: Collection[str]) -> None:
    """Refuse a declaration that reads fields the class does not have, or that the store fills in.

    Raises:
        ConfigError: It does, or the class has no ``id``.
    """
    declaration = declared.declaration
    read = _template_fields(declaration.partition, declaration.id)
    if declared.strategy is not None:
        read.update(declared.strategy.fields)
    if "id" not in names:
        raise ConfigError(f"entity type {declaration.name!r}: the class must declare `id: str`")
    for field in sorted(read):
        if field in SYSTEM_FIELDS:
            raise ConfigError(f"entity type {declaration.name!r}: {field!r} is known only after the write")
        if field not in names:
            raise ConfigError(f"entity type {declaration.name!r}: it has no field {field!r} for its partition or id")


def disagreements(one: Declaration, other: Declaration, *, one_is: str, other_is: str) -> list[str]:
    """What two declarations of a type say differently, each with both sides; empty when they agree.

    Args:
        one_is: Where the first one stands, such as ``"the code"``.
        other_is: Where the second one stands, such as ``"the catalog of tier 'lmdb'"``.
    """
    pairs = {
        "name": (one.name, other.name),
        "partition": (one.partition, other.partition),
        "id template": (one.id, other.id),
        "resolver": (_resolver(one), _resolver(other)),
    }
    return [f"{what} is {a!r} in {one_is} and {b!r} in {other_is}" for what, (a, b) in pairs.items() if a != b]


def _resolver(declaration: Declaration) -> str:
    return f"{declaration.resolver} version {declaration.resolver_version}"


def _check_name(name: str) -> None:
    if not _NAME.fullmatch(name) or name == _RESERVED_NAME:
        raise ConfigError("use another name: a letter, then letters, digits, '_' and '-', at most 128, not 'deleted'")


def _template_fields(rule: str, id: str | None) -> set[str]:
    name, options = parse_rule(rule)
    fields = set(partition_template(options[0]).fields) if name == "template" and options else set()
    return fields if id is None else fields.union(suffix_template(id).fields)
