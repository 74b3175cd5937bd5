"""Which plugins are installed, which of them are imported, and in which order. Nothing else knows stevedore."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from importlib.metadata import EntryPoint, entry_points
from typing import Any, Final

from msgspec import Struct
from stevedore import ExtensionManager, NamedExtensionManager
from stevedore.extension import Extension

from tierfold.config import PluginsConfig, disabling
from tierfold.errors import PluginConflictError, PluginError, PluginLoadError, PluginNotFoundError

__all__ = ["BUILTIN", "GROUP", "Candidate", "discover"]

GROUP: Final = "tierfold.plugins"
BUILTIN: Final = "builtin"


class Candidate(Struct, frozen=True):
    """A plugin that is installed, or that the configuration names.

    Attributes:
        distribution: Empty when it is not installed.
        plugin: What was imported; None when it is disabled or failed.
        error: Why it failed.
    """

    name: str
    distribution: str = ""
    version: str = ""
    plugin: object | None = None
    error: PluginError | None = None


def discover(config: PluginsConfig) -> tuple[Candidate, ...]:
    """Import what is enabled. First come the imported plugins in the order of their calls, then all others.

    Never raises because of a plugin: what is wrong with it stands in its candidate.
    """
    points = sorted(entry_points(group=GROUP), key=lambda point: (point.name, _distribution(point)))
    conflicts = _conflicts(points)
    enabled = _enabled(config, [point.name for point in points])
    importer = _Importer([point for point in points if point.name not in conflicts], enabled)
    loaded = [_candidate(extension.entry_point, plugin=extension.plugin) for extension in importer]
    errors = {**importer.failures, **{name: conflicts[name] for name in enabled if name in conflicts}}
    rest = [_candidate(point, error=errors.get(point.name)) for point in points if point.name not in importer]
    return (*loaded, *rest, *_missing(config.order, [point.name for point in points]))


class _Importer(NamedExtensionManager[object]):
    """Imports entry points by name.

    It is given the list, because stevedore's own comes from a cache on disk without distributions, which overlooks a
    reinstalled plugin for up to two minutes (it keeps modification times in 32-bit floats).
    """

    def __init__(self, points: Sequence[EntryPoint], names: Sequence[str]) -> None:
        self._points = points
        self.failures: dict[str, PluginError] = {}
        super().__init__(
            GROUP,
            names,
            name_order=True,
            on_load_failure_callback=self._record,
            on_missing_entrypoints_callback=None,
        )

    def list_entry_points(self) -> list[EntryPoint]:
        return list(self._points)

    def _load_one_plugin(self, ep: EntryPoint, *arguments: Any, **keywords: Any) -> Extension[object] | None:
        try:
            return super()._load_one_plugin(ep, *arguments, **keywords)
        except (AssertionError, SystemExit) as error:  # stevedore lets both through, and one plugin would stop all
            self._record(self, ep, error)
            return None

    def _record(self, _: ExtensionManager[object], ep: EntryPoint, error: BaseException) -> None:
        failure = PluginLoadError(ep.name, _distribution(ep), f"{type(error).__name__}: {error}")
        failure.__cause__ = error
        self.failures[ep.name] = failure


def _candidate(point: EntryPoint, *, plugin: object | None = None, error: PluginError | None = None) -> Candidate:
    version = point.dist.version if point.dist else ""
    return Candidate(point.name, _distribution(point), version, plugin, error)


def _distribution(point: EntryPoint) -> str:
    return (point.dist.name if point.dist else "") or "?"


def _conflicts(points: Sequence[EntryPoint]) -> dict[str, PluginConflictError]:
    counts = Counter(point.name for point in points)
    return {
        name: PluginConflictError(
            f"plugin {name!r}",
            [_distribution(point) for point in points if point.name == name],
            f"uninstall one of them, or leave both out: {disabling(name)}",
        )
        for name, count in counts.items()
        if count > 1
    }


def _enabled(config: PluginsConfig, installed: Sequence[str]) -> list[str]:
    names = config.order if BUILTIN in config.order else (BUILTIN, *(config.order or installed))
    return [name for name in dict.fromkeys(names) if name in installed and name not in config.disable]


def _missing(order: Sequence[str], installed: Sequence[str]) -> list[Candidate]:
    known = sorted(set(installed))
    return [
        Candidate(name, error=PluginNotFoundError(f"plugin {name!r} of the configured order", known=known))
        for name in order
        if name not in installed
    ]
