"""The program `tierfold`: commands by name, each imported when it is used."""

from __future__ import annotations

from collections.abc import Mapping
from importlib import import_module
from typing import Final

import click

from tierfold.cli.contributed import Contributed, contributed_commands
from tierfold.errors import TierfoldError

__all__ = ["main"]

COMMANDS: Final[Mapping[str, str]] = {
    "demo": "tierfold.cli.demo",
    "plugins": "tierfold.cli.plugins",
}
"""The module of each command, which has a function of the command's name."""


class _Program(click.Group):
    def list_commands(self, ctx: click.Context) -> list[str]:
        return sorted([*COMMANDS, *_contributed(ctx).commands])

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if module := COMMANDS.get(cmd_name):
            command: click.Command = getattr(import_module(module), cmd_name)
            return command
        return _contributed(ctx).commands.get(cmd_name)

    def invoke(self, ctx: click.Context) -> object:
        try:
            return super().invoke(ctx)
        except TierfoldError as error:
            raise click.ClickException(str(error)) from error


def _contributed(ctx: click.Context) -> Contributed:
    """The commands of plugins, loaded once for a call of the program and only if it needs them."""
    key = f"{__name__}.contributed"
    if key not in ctx.meta:
        ctx.meta[key] = contributed_commands(COMMANDS)
        for plugin, reason in ctx.meta[key].failures.items():
            click.echo(f"Warning: no commands of plugin {plugin!r}: {reason}", err=True)
    contributed: Contributed = ctx.meta[key]
    return contributed


@click.group(cls=_Program)
@click.version_option(package_name="tierfold")
def main() -> None:
    """Tierfold: an offline-first, multi-tier entity store."""
