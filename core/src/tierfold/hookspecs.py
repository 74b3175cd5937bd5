"""The hooks of a plugin. All are synchronous, do no I/O, are called once at start-up, and return data.

A plugin is a module, or any object that the host passes as ``plugins=[…]``, with functions of these names marked with
`hookimpl`. Importing it must not import a driver.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any, Final

import pluggy

from tierfold.specs import KeyStrategySpec, ResolverSpec, StoreSpec

if TYPE_CHECKING:
    import click

__all__ = [
    "PROJECT",
    "hookimpl",
    "provide_conflict_resolvers",
    "provide_key_strategies",
    "provide_stores",
    "register_commands",
]

PROJECT: Final = "tierfold"
hookspec: Final = pluggy.HookspecMarker(PROJECT)
hookimpl: Final = pluggy.HookimplMarker(PROJECT)


@hookspec
def provide_stores() -> Iterable[StoreSpec[Any]]:  # type: ignore[empty-body] # a specification
    """Name the stores this plugin can open. Schemes are unique across all enabled plugins."""


@hookspec
def provide_key_strategies() -> Iterable[KeyStrategySpec]:  # type: ignore[empty-body]
    """Name key strategies. Names are unique across all enabled plugins."""


@hookspec
def provide_conflict_resolvers() -> Iterable[ResolverSpec]:  # type: ignore[empty-body]
    """Name rules for conflicts. Names are unique across all enabled plugins; a changed rule needs a new version."""


@hookspec
def register_commands(cli: click.Group) -> None:
    """Add commands to the program `tierfold`. Called only by that program; names of other commands are taken."""
