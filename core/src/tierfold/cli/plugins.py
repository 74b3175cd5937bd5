"""`tierfold plugins`: what is installed, what it provides, and what is wrong with it."""

from __future__ import annotations

from pathlib import Path

import click
import msgspec
from msgspec.structs import replace

from tierfold.cli.configuration import config_option, configuration
from tierfold.cli.contributed import commands_of
from tierfold.cli.table import print_table
from tierfold.discovery import discover
from tierfold.plugins import PluginReport, Plugins

__all__ = ["plugins"]


@click.command()
@config_option
@click.option("--json", "as_json", is_flag=True, help="Print one JSON document.")
def plugins(config: Path | None, as_json: bool) -> None:
    """List the plugins that are installed, broken ones included."""
    from tierfold.cli import COMMANDS

    loaded = Plugins(discover(configuration(config).plugins))
    contributed = commands_of(loaded, COMMANDS)
    reports = [
        _with_commands(report, contributed.providers.get(report.name), contributed.failures.get(report.name))
        for report in loaded.reports()
    ]
    if as_json:
        click.echo(msgspec.json.format(msgspec.json.encode(reports)))
    else:
        print_table(["plugin", "distribution", "version", "state", "provides"], [_row(report) for report in reports])


def _with_commands(report: PluginReport, commands: tuple[str, ...] | None, failure: str | None) -> PluginReport:
    if failure and report.state == "loaded":
        return replace(report, state="failed", error=failure)
    return replace(report, provides={**report.provides, "commands": commands}) if commands else report


def _row(report: PluginReport) -> list[str]:
    provided = "; ".join(f"{what.replace('_', ' ')}: {', '.join(names)}" for what, names in report.provides.items())
    return [report.name, report.distribution, report.version, report.state, report.error or provided]
