"""Commands that plugins add, each plugin kept apart so that a broken one takes nothing along."""

from __future__ import annotations

from collections.abc import Collection, Mapping

import click
from msgspec import Struct

from tierfold.cli.configuration import configuration
from tierfold.errors import TierfoldError
from tierfold.plugins import Plugins, load_plugins

__all__ = ["Contributed", "commands_of", "contributed_commands"]


class Contributed(Struct, frozen=True):
    """What plugins add to the program.

    Attributes:
        commands: By name.
        providers: {plugin: names of its commands}.
        failures: {plugin: why its commands are left out}.
    """

    commands: Mapping[str, click.Command]
    providers: Mapping[str, tuple[str, ...]]
    failures: Mapping[str, str]


def contributed_commands(taken: Collection[str]) -> Contributed:
    """Load the plugins of the default configuration and take their commands."""
    try:
        plugins = load_plugins(configuration(None).plugins)
    except TierfoldError as error:
        return Contributed({}, {}, {"*": str(error)})
    return commands_of(plugins, taken)


def commands_of(plugins: Plugins, taken: Collection[str]) -> Contributed:
    """Take the commands of each plugin, all of them or none.

    Args:
        taken: Names that no plugin may use.
    """
    commands: dict[str, click.Command] = {}
    providers: dict[str, tuple[str, ...]] = {}
    failures: dict[str, str] = {}
    for name in plugins.command_providers():
        own = click.Group()
        try:
            plugins.register_commands(name, own)
        except Exception as error:  # noqa: BLE001 - whatever a plugin raises must not stop the program
            failures[name] = f"register_commands raised {type(error).__name__}: {error}"
            continue
        if clash := sorted(own.commands.keys() & {*taken, *commands}):
            failures[name] = f"the command {', '.join(clash)} exists already"
            continue
        commands.update(own.commands)
        providers[name] = tuple(own.commands)
    return Contributed(commands, providers, failures)
