"""Tierfold: offline-first, multi-tier, reactive entity data.

Names are imported when they are first used, so that importing the package costs what is needed and brings no event
loop, no plugin machinery and no driver.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from tierfold import blocking as blocking
    from tierfold.abc.clock import Clock
    from tierfold.abc.indexed import IndexStatus
    from tierfold.config import Tier
    from tierfold.entities.entity import EPOCH, Entity, entity
    from tierfold.errors import (
        AlreadyExistsError,
        BlockingCallError,
        ConfigError,
        CorruptDataError,
        LinkNotFoundError,
        NotFoundError,
        PartitionUnavailableError,
        PayloadTooLargeError,
        PluginConflictError,
        PluginContractError,
        PluginError,
        PluginLoadError,
        PluginNotFoundError,
        QueryError,
        StaleWriteError,
        StoreClosedError,
        StoreError,
        StoreForkedError,
        StoreFormatError,
        StoreFullError,
        StoreTimeoutError,
        StoreUnavailableError,
        TierfoldError,
        TransactionError,
        ValidationError,
    )
    from tierfold.events import Subscription
    from tierfold.hookspecs import hookimpl
    from tierfold.layer import DataLayer
    from tierfold.links.link import Link
    from tierfold.live.snapshot import Live, Snapshot
    from tierfold.model import Change, Meta, Record, Stored
    from tierfold.opening import Opening, open
    from tierfold.queries.explanation import Explanation
    from tierfold.queries.page import Page
    from tierfold.queries.query import Query
    from tierfold.queries.question import Where
    from tierfold.repository import Repository
    from tierfold.specs import KeyStrategySpec, ResolverSpec, StoreSpec
    from tierfold.status import LinkReport, LinkStatus, Status, SyncReport, TierStatus
    from tierfold.where.field import F
    from tierfold.where.tree import Condition

_HOME: Final = {
    "tierfold.abc.clock": ("Clock",),
    "tierfold.abc.indexed": ("IndexStatus",),
    "tierfold.config": ("Tier",),
    "tierfold.entities.entity": ("EPOCH", "Entity", "entity"),
    "tierfold.errors": (
        "AlreadyExistsError",
        "BlockingCallError",
        "ConfigError",
        "CorruptDataError",
        "LinkNotFoundError",
        "NotFoundError",
        "PartitionUnavailableError",
        "PayloadTooLargeError",
        "PluginConflictError",
        "PluginContractError",
        "PluginError",
        "PluginLoadError",
        "PluginNotFoundError",
        "QueryError",
        "StaleWriteError",
        "StoreClosedError",
        "StoreError",
        "StoreForkedError",
        "StoreFormatError",
        "StoreFullError",
        "StoreTimeoutError",
        "StoreUnavailableError",
        "TierfoldError",
        "TransactionError",
        "ValidationError",
    ),
    "tierfold.events": ("Subscription",),
    "tierfold.hookspecs": ("hookimpl",),
    "tierfold.layer": ("DataLayer",),
    "tierfold.links.link": ("Link",),
    "tierfold.live.snapshot": ("Live", "Snapshot"),
    "tierfold.model": ("Change", "Meta", "Record", "Stored"),
    "tierfold.opening": ("Opening", "open"),
    "tierfold.queries.explanation": ("Explanation",),
    "tierfold.queries.page": ("Page",),
    "tierfold.queries.query": ("Query",),
    "tierfold.queries.question": ("Where",),
    "tierfold.repository": ("Repository",),
    "tierfold.specs": ("KeyStrategySpec", "ResolverSpec", "StoreSpec"),
    "tierfold.status": ("LinkReport", "LinkStatus", "Status", "SyncReport", "TierStatus"),
    "tierfold.where.field": ("F",),
    "tierfold.where.tree": ("Condition",),
}
_MODULE_OF: Final = {name: module for module, names in _HOME.items() for name in names}

__all__ = [
    "EPOCH",
    "AlreadyExistsError",
    "BlockingCallError",
    "Change",
    "Clock",
    "Condition",
    "ConfigError",
    "CorruptDataError",
    "DataLayer",
    "Entity",
    "Explanation",
    "F",
    "IndexStatus",
    "KeyStrategySpec",
    "Link",
    "LinkNotFoundError",
    "LinkReport",
    "LinkStatus",
    "Live",
    "Meta",
    "NotFoundError",
    "Opening",
    "Page",
    "PartitionUnavailableError",
    "PayloadTooLargeError",
    "PluginConflictError",
    "PluginContractError",
    "PluginError",
    "PluginLoadError",
    "PluginNotFoundError",
    "Query",
    "QueryError",
    "Record",
    "Repository",
    "ResolverSpec",
    "Snapshot",
    "StaleWriteError",
    "Status",
    "StoreClosedError",
    "StoreError",
    "StoreForkedError",
    "StoreFormatError",
    "StoreFullError",
    "StoreSpec",
    "StoreTimeoutError",
    "StoreUnavailableError",
    "Stored",
    "Subscription",
    "SyncReport",
    "Tier",
    "TierStatus",
    "TierfoldError",
    "TransactionError",
    "ValidationError",
    "Where",
    "blocking",
    "entity",
    "hookimpl",
    "open",
]


def __getattr__(name: str) -> object:
    if name == "blocking":
        return import_module("tierfold.blocking")
    module = _MODULE_OF.get(name)
    if module is None:
        raise AttributeError(f"module 'tierfold' has no attribute {name!r}")
    value: object = getattr(import_module(module), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return __all__
