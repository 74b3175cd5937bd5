"""What an entity type declares of itself, and what a store's catalog keeps of it."""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping, Sequence
from typing import Final

import msgspec
from msgspec import Struct

from tierfold.abc.keys import KeyStrategy
from tierfold.codec import encode
from tierfold.entities.naming import there_are
from tierfold.entities.rules import GLOBAL_RULE, parse_rule
from tierfold.entities.system import SYSTEM_FIELDS
from tierfold.entities.templates import partition_template, suffix_template
from tierfold.entities.upgrading import Upgrade, Upgrades
from tierfold.errors import ConfigError, CorruptDataError

__all__ = ["DEFAULT_RESOLVER", "Declaration", "Declared", "Keywords", "check_fields", "declare", "disagreements"]

DEFAULT_RESOLVER: Final = "lww"

_NAME: Final = re.compile(r"[A-Za-z_][A-Za-z0-9_-]{0,127}")
_RESERVED_NAME: Final = "deleted"
"""Taken by the blob form of partitions."""


class Declaration(Struct, frozen=True, kw_only=True):
    """What programs and stores must agree on for an entity type; only ``schema`` and ``index`` may differ.

    Attributes:
        partition: Rule of the key strategy: a template, or a registered name with its options.
        id: Template of the id's suffix; None = random.
        resolver: Registered name of the rule for conflicts.
        schema: Number of the class's schema.
        index: Paths in documents, by the stored names of members. A class's are known once its adapter is built.
    """

    name: str
    partition: str = GLOBAL_RULE
    id: str | None = None
    resolver: str = DEFAULT_RESOLVER
    resolver_version: int = 1
    schema: int = 1
    index: tuple[str, ...] = ()

    def to_bytes(self) -> bytes:
        """The same bytes for equal declarations, always."""
        return encode({**msgspec.structs.asdict(self), "index": list(self.index)})

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


_NO_UPGRADES: Final = Upgrades(1, {})


class Declared(Struct, frozen=True):
    """A declaration as a class makes it.

    Attributes:
        strategy: Set when the class gave an object instead of a rule; it need not be registered.
        index: Paths of attributes, as the class names them.
        upgrades: What makes documents of older schemas fit the class.
    """

    declaration: Declaration
    strategy: KeyStrategy | None = None
    index: tuple[str, ...] = ()
    upgrades: Upgrades = _NO_UPGRADES


class Keywords(Struct, frozen=True, kw_only=True):
    """What is said of an entity type; None = nothing."""

    name: str | None = None
    partition: str | KeyStrategy | None = None
    id: str | None = None
    conflict: str | None = None
    schema: int = 1
    upgrade: Mapping[int, Upgrade] | None = None
    index: Sequence[str] | None = None

    def beside(self, inherited: Declared | None) -> Keywords:
        """The same, with what is taken over from a base class where nothing is said. Schemas are each class's own."""
        if inherited is None:
            return self
        base = inherited.declaration
        return msgspec.structs.replace(
            self,
            partition=(inherited.strategy or base.partition) if self.partition is None else self.partition,
            id=base.id if self.id is None else self.id,
            conflict=base.resolver if self.conflict is None else self.conflict,
            index=inherited.index if self.index is None else self.index,
        )


def declare(name: str, said: Keywords) -> Declared:
    """Check what was declared, as far as it can be without plugins and the class's fields.

    Raises:
        ConfigError: A name, rule or template is none; the message names the entity type.
    """
    try:
        _check_name(name)
        strategy = said.partition if isinstance(said.partition, KeyStrategy) else None
        rule = _rule(said.partition)
        _template_fields(rule, said.id)
        if said.schema < 1:
            raise ConfigError(f"schema is {said.schema}, the first one is 1")
        upgrades = Upgrades(said.schema, dict(said.upgrade or {}))
        index = _index(said.index)
    except ConfigError as error:
        raise ConfigError(f"entity type {name!r}: {error}") from error
    resolver = said.conflict or DEFAULT_RESOLVER
    declaration = Declaration(name=name, partition=rule, id=said.id, resolver=resolver, schema=said.schema)
    return Declared(declaration, strategy, index, upgrades)


def _rule(partition: str | KeyStrategy | None) -> str:
    if partition is None:
        return GLOBAL_RULE
    return partition if isinstance(partition, str) else partition.rule


def _index(paths: Sequence[str] | None) -> tuple[str, ...]:
    if isinstance(paths, str):
        raise ConfigError(f"index is a list of paths, as in [{paths!r}]")
    found = tuple(paths or ())
    if len(set(found)) < len(found):
        raise ConfigError("index names a path twice")
    return found


def check_fields(declared: Declared, names: Collection[str]) -> None:
    """Refuse a declaration that reads fields the class does not have, or that the store fills in.

    Raises:
        ConfigError: It does, or the class has no ``id``.
    """
    declaration = declared.declaration
    read = _template_fields(declaration.partition, declaration.id)
    indexed = {path.partition(".")[0] for path in declared.index}
    if declared.strategy is not None:
        read.update(declared.strategy.fields)
    if "id" not in names:
        raise ConfigError(f"entity type {declaration.name!r}: the class must declare `id: str`")
    for field in sorted(read):
        if field in SYSTEM_FIELDS:
            raise ConfigError(f"entity type {declaration.name!r}: {field!r} is known only after the write")
        if field not in names:
            raise _no_field(declaration, field, "partition or id", names)
    for field in sorted(indexed.difference(names)):
        raise _no_field(declaration, field, "index", names)


def _no_field(declaration: Declaration, field: str, use: str, names: Collection[str]) -> ConfigError:
    others = there_are(field, [name for name in names if name not in SYSTEM_FIELDS])
    return ConfigError(f"entity type {declaration.name!r}: it has no field {field!r} for its {use}; {others}")


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
