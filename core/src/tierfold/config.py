"""The configuration file `tierfold.toml`, and `Tier`, which file and code describe alike."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path
from typing import Final, Literal, get_args

import msgspec
from msgspec import Struct

from tierfold.errors import ConfigError

__all__ = ["Config", "EntityConfig", "PluginsConfig", "Tier", "check_tier", "disabling", "duration_s", "read_config"]


Writes = Literal["through", "behind"]
WRITES: Final = get_args(Writes)


class _Table(Struct, frozen=True, forbid_unknown_fields=True):
    """A table of the file. An unknown key is an error, so that a misspelt one is never ignored."""


class _Place(_Table, frozen=True):
    url: str


class Tier(_Place, frozen=True, kw_only=True):
    """One store of the list near to far.

    Attributes:
        url: ``scheme:location?query``.
        name: How links and reports call it; by default what stands behind ``memory:``, else the scheme.
        writes: Of a volatile tier: ``through`` = `save` waits for the nearest durable tier behind it.
        interval: How often its link to the farther tier looks, as ``"30s"`` or ``"5min"``; None = 2 s to a local
            tier, 5 min to a remote one.
    """

    name: str | None = None
    writes: Writes = "through"
    interval: str | None = None


class PluginsConfig(_Table, frozen=True):
    """Which installed plugins are imported.

    Attributes:
        disable: Names that are not imported.
        order: When given, only these are imported, in this order, behind the built-in ones.
    """

    disable: tuple[str, ...] = ()
    order: tuple[str, ...] = ()


def disabling(name: str) -> str:
    """What to write, and where, so that a plugin is not imported."""
    return f'[plugins] disable = ["{name}"] in tierfold.toml'


class EntityConfig(_Table, frozen=True):
    """What the file says of an entity type; it must agree with the declaration in code."""

    partition: str | None = None
    id: str | None = None
    conflict: str | None = None


class Config(_Table, frozen=True):
    """The whole file."""

    prefix: str = "app"
    tiers: tuple[Tier, ...] = ()
    plugins: PluginsConfig = PluginsConfig()
    entities: dict[str, EntityConfig] = {}


def read_config(path: Path) -> Config:
    """Read and check a configuration file.

    Raises:
        ConfigError: It is missing, no TOML, or says something unknown or of a wrong type; names the file and the place.
    """
    try:
        return msgspec.convert(tomllib.loads(path.read_text("utf-8")), Config)
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError, msgspec.ValidationError) as error:
        raise ConfigError(f"{path}: {error}") from error


def check_tier(tier: Tier) -> None:
    """Refuse options of a tier that make no sense, wherever they were written.

    Raises:
        ConfigError: Names the option.
    """
    try:
        msgspec.convert(msgspec.structs.asdict(tier), Tier)
    except msgspec.ValidationError as error:
        choices = f"; writes is one of {', '.join(WRITES)}" if tier.writes not in WRITES else ""
        raise ConfigError(f"a tier's options: {error}{choices}") from None
    if tier.name is not None and not tier.name.strip():
        raise ConfigError("a tier's name is empty; leave it out to have it named by its url")
    if tier.interval is not None and duration_s(tier.interval) <= 0:
        raise ConfigError(f"a tier's interval is {tier.interval!r}; it must be longer than nothing")


_DURATION: Final = re.compile(r"([0-9]+(?:\.[0-9]+)?)(ms|s|min|h|d)")
_UNIT_S: Final = {"ms": 0.001, "s": 1.0, "min": 60.0, "h": 3600.0, "d": 86400.0}


def duration_s(text: str) -> float:
    """Seconds of ``"250ms"``, ``"30s"``, ``"5min"``, ``"1h"`` or ``"7d"``."""
    match = _DURATION.fullmatch(text)
    if match is None:
        raise ConfigError(
            f"interval {text!r} is no duration; write a number and one of {', '.join(_UNIT_S)}, as in '30s'"
        )
    return float(match[1]) * _UNIT_S[match[2]]
