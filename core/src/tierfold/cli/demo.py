"""`tierfold demo`: the main job on real data, with two processes, in a few seconds."""

from __future__ import annotations

import sys
from pathlib import Path
from tempfile import TemporaryDirectory

import anyio
import click

from tierfold.config import PluginsConfig
from tierfold.plugins import load_plugins

__all__ = ["demo"]


@click.command()
@click.option("--headless", is_flag=True, expose_value=False, help="Open no page. So far there is none to open.")
def demo() -> None:
    """Watch two programs share a store, lose touch, change the same entities, and agree again.

    Prints a transcript; its stores are in a temporary directory that is removed at the end. Exits with 1 if anything is
    not as it must be.
    """
    from tierfold.demo.run import run_demo

    plugins = load_plugins(PluginsConfig())
    if "lmdb" not in plugins.stores() and "lmdb" not in plugins.failed():
        click.echo("The demo keeps its data in LMDB, and no plugin for it is installed. This installs it:", err=True)
        click.echo("pip install tierfold-lmdb")
        sys.exit(1)
    with TemporaryDirectory(prefix="tierfold-demo-") as folder:
        if not anyio.run(run_demo, Path(folder), click.echo):
            sys.exit(1)
