"""Which entity types there are: code, configuration file and catalog must agree, and nobody silently wins."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from msgspec import Struct
from msgspec.structs import replace

from tierfold.abc.keys import KeyStrategy
from tierfold.abc.store import LocalStore
from tierfold.config import EntityConfig
from tierfold.entities.adapter import EntityAdapter, adapter_for, document_adapter
from tierfold.entities.declaration import Declaration, Declared, Keywords, check_fields, declare, disagreements
from tierfold.entities.entity import declared_by
from tierfold.entities.ids import entity_key, logical_key
from tierfold.entities.placeholders import check_placeholders
from tierfold.entities.placement import Placement
from tierfold.entities.rules import parse_rule
from tierfold.errors import ConfigError, PluginNotFoundError
from tierfold.model import Change, SegmentName
from tierfold.plugins import Plugins

__all__ = ["Catalog", "EntityKind"]


class EntityKind(Struct, frozen=True):
    """An entity type ready for use: how it is declared, converted and placed."""

    declaration: Declaration
    adapter: EntityAdapter[Any]
    placement: Placement[Any]
    prefix: str


class Catalog:
    """Makes entity kinds of one prefix."""

    def __init__(
        self,
        prefix: str,
        plugins: Plugins,
        entities: Mapping[str, EntityConfig],
        random_bytes: Callable[[int], bytes],
    ) -> None:
        self.prefix: str = prefix
        self._plugins, self._entities, self._random_bytes = plugins, entities, random_bytes
        self._classes: dict[str, Declared] = {}

    def kind(self, entity: type | str, store: LocalStore) -> EntityKind:
        """The kind of a class, or of raw documents of a named type.

        Raises:
            ConfigError: Two of the three sources disagree, or the key strategy reads what the class does not have.
        """
        name = entity if isinstance(entity, str) else declared_by(entity).declaration.name
        stored = store.declared(name)
        known = None if stored is None else Declaration.from_bytes(stored)
        adapter = self._adapter(entity, known)
        declared = self._ruled(adapter.declared)
        source = "the store's catalog" if isinstance(entity, str) else "the code"
        self._check_configuration(declared.declaration, source)
        if known is not None:
            require_agreement(declared.declaration, known)
        strategy = declared.strategy or self._strategy(declared.declaration)
        if adapter.names is not None:
            check_fields(Declared(declared.declaration, strategy), adapter.names)
        if not isinstance(entity, str):
            self._classes.setdefault(name, declared)
        placement = Placement(adapter, strategy, self.prefix, self._random_bytes)
        return EntityKind(declared.declaration, adapter, placement, self.prefix)

    def named(self, change: Change) -> Change | None:
        """A change as users see it, its partition by logical key; None when it belongs to another prefix."""
        key = logical_key(self.prefix, change.partition)
        return None if key is None else replace(change, partition=key)

    def segment_of(self, change: Change) -> SegmentName:
        """Where a change that users see happened."""
        return SegmentName(change.type, entity_key(self.prefix, change.partition))

    def _adapter(self, entity: type | str, known: Declaration | None) -> EntityAdapter[Any]:
        if not isinstance(entity, str):
            check_placeholders(declared_by(entity).declaration, entity)
            return adapter_for(entity)
        if known is not None:
            return document_adapter(Declared(known))
        if entity in self._classes:  # the catalog will know it with its first write
            return document_adapter(self._classes[entity])
        config = self._entities.get(entity, EntityConfig())
        said = Keywords(partition=config.partition, id=config.id, conflict=config.conflict)
        return document_adapter(declare(entity, said))

    def _ruled(self, declared: Declared) -> Declared:
        """With the version of its rule that this program has; stores that sync must agree on it."""
        declaration = declared.declaration
        try:
            version = self._plugins.resolver(declaration.resolver).version
        except PluginNotFoundError as error:
            raise _not_installed(declaration, f"conflict resolver {declaration.resolver!r}", error) from None
        return replace(declared, declaration=replace(declaration, resolver_version=version))

    def _check_configuration(self, declaration: Declaration, source: str) -> None:
        config = self._entities.get(declaration.name)
        if config is None:
            return
        said = {"partition": config.partition, "id": config.id, "resolver": config.conflict}
        for what, value in said.items():
            ours = getattr(declaration, what)
            if value is not None and value != ours:
                difference = f"{what} is {ours!r} in {source} and {value!r} in the configuration"
                raise ConfigError(f"entity type {declaration.name!r}: {difference}")

    def _strategy(self, declaration: Declaration) -> KeyStrategy:
        name, options = parse_rule(declaration.partition)
        try:
            return self._plugins.key_strategy(name).make(*options)
        except PluginNotFoundError as error:
            raise _not_installed(declaration, f"key strategy {name!r}", error) from None
        except ConfigError as error:
            raise ConfigError(f"entity type {declaration.name!r}: {error}") from error
        except (TypeError, ValueError, LookupError) as error:
            reason = f"key strategy {name!r} does not take the options of {declaration.partition!r}: {error}"
            raise ConfigError(f"entity type {declaration.name!r}: {reason}") from error


def _not_installed(declaration: Declaration, what: str, error: PluginNotFoundError) -> PluginNotFoundError:
    what = f"entity type {declaration.name!r}: {what}"
    return PluginNotFoundError(what, known=error.known, failed=error.failed)


def require_agreement(declaration: Declaration, stored: Declaration) -> None:
    """Refuse a declaration that the store's catalog contradicts."""
    said = disagreements(declaration, stored, one_is="the code", other_is="the store's catalog")
    if said:
        raise ConfigError(f"entity type {declaration.name!r}: {'; '.join(said)}")
