"""Where a command takes its configuration from."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Final, TypeVar

import click

from tierfold.config import Config, read_config

__all__ = ["config_option", "configuration"]

DEFAULT: Final = Path("tierfold.toml")
F = TypeVar("F", bound=Callable[..., object])


def config_option(command: F) -> F:
    """Give a command the option ``-c FILE``, passed on as ``config``."""
    kind = click.Path(path_type=Path)
    return click.option("-c", "--config", type=kind, metavar="FILE", help="Default: ./tierfold.toml, if any.")(command)


def configuration(path: Path | None) -> Config:
    """Read the file that is given, else ``./tierfold.toml`` if there is one, else take all defaults."""
    if path is None and not DEFAULT.exists():
        return Config()
    return read_config(path or DEFAULT)
