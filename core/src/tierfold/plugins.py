"""What the imported plugins contribute, checked once. Nothing else knows pluggy, but for the markers in hookspecs."""

from __future__ import annotations

import inspect
import logging
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import chain
from types import ModuleType
from typing import TYPE_CHECKING, Any, Final, Literal, TypeVar

import pluggy
from msgspec import Struct

from tierfold import hookspecs
from tierfold.config import PluginsConfig, disabling
from tierfold.contributions import SPEC_TYPES, AnySpec, names_of, specs_from
from tierfold.discovery import BUILTIN, Candidate, discover
from tierfold.errors import (
    ConfigError,
    PluginConflictError,
    PluginContractError,
    PluginError,
    PluginLoadError,
    PluginNotFoundError,
)
from tierfold.specs import KeyStrategySpec, ResolverSpec, StoreSpec

if TYPE_CHECKING:
    import click

__all__ = ["PluginReport", "Plugins", "load_plugins"]

S = TypeVar("S", bound=AnySpec)

_log: Final = logging.getLogger("tierfold.plugins")
_HOST: Final = "host:"
_HOOKS: Final = (*SPEC_TYPES, "register_commands")


class PluginReport(Struct, frozen=True):
    """One plugin as `tierfold plugins` shows it.

    Attributes:
        distribution: Empty for an object of the host's and for what is not installed.
        provides: Names by kind, such as ``stores``.
        error: Why it failed, or with which other plugin it is in conflict.
    """

    name: str
    distribution: str
    version: str
    state: Literal["loaded", "disabled", "failed"]
    provides: Mapping[str, tuple[str, ...]]
    error: str | None


def load_plugins(config: PluginsConfig, host: Sequence[object] = ()) -> Plugins:
    """Import the enabled plugins, take what they and the host's own objects contribute, and log what failed.

    Raises:
        PluginError: An object of the host's breaks the contract. An installed plugin that does so is left out and
            reported, like one that cannot be imported.
    """
    plugins = Plugins(discover(config), host)
    for report in plugins.reports():
        if report.error:
            _log.warning("%s", report.error)
    return plugins


@dataclass
class _Entry:
    candidate: Candidate
    is_host: bool
    error: PluginError | None
    specs: dict[str, tuple[AnySpec, ...]] = field(default_factory=dict)


class Plugins:
    """Contributions by name, in the order of the configuration; the host's objects come last.

    Every lookup raises `PluginConflictError` while two plugins claim one name, and `PluginNotFoundError` while the
    configured order names a plugin that is not installed: which one is meant is not for us to guess.
    """

    def __init__(self, candidates: Sequence[Candidate], host: Sequence[object] = ()) -> None:
        self._manager = pluggy.PluginManager(hookspecs.PROJECT)
        self._manager.add_hookspecs(hookspecs)
        self._entries = [_Entry(item, False, item.error) for item in candidates]
        self._entries += [_Entry(item, True, None) for item in _host_candidates(host)]
        # All are registered before any is called, so that a wrapper sees the contributions of every other plugin.
        for step in (self._register, self._collect):
            for entry in self._entries:
                self._attempt(step, entry)
        self._conflicts: dict[str, PluginConflictError] = {
            hook: error for hook in SPEC_TYPES if (error := self._conflict(hook))
        }

    def stores(self) -> Mapping[str, StoreSpec[Any]]:
        """Specs by scheme."""
        return self._by_name("provide_stores", StoreSpec)

    def key_strategies(self) -> Mapping[str, KeyStrategySpec]:
        return self._by_name("provide_key_strategies", KeyStrategySpec)

    def resolvers(self) -> Mapping[str, ResolverSpec]:
        return self._by_name("provide_conflict_resolvers", ResolverSpec)

    def key_strategy(self, name: str) -> KeyStrategySpec:
        return self._named("key strategy", name, self.key_strategies())

    def resolver(self, name: str) -> ResolverSpec:
        return self._named("conflict resolver", name, self.resolvers())

    def failed(self) -> tuple[str, ...]:
        """Names of the plugins that are enabled and of no use."""
        return tuple(entry.candidate.name for entry in self._entries if entry.error)

    def reports(self) -> tuple[PluginReport, ...]:
        """Every plugin and its state; never raises."""
        conflicts = {name: error for error in self._conflicts.values() for name in error.providers}
        return tuple(_report(entry, conflicts.get(entry.candidate.name)) for entry in self._entries)

    def command_providers(self) -> tuple[str, ...]:
        """Names of the plugins that have commands."""
        names = (entry.candidate.name for entry in self._entries if not entry.error)
        return tuple(name for name in names if self._implements(name, "register_commands"))

    def register_commands(self, name: str, cli: click.Group) -> None:
        """Let one plugin add its commands to ``cli``. Raises whatever the plugin raises."""
        self._caller(name, "register_commands")(cli=cli)

    def _attempt(self, step: Callable[[_Entry], None], entry: _Entry) -> None:
        if entry.error or entry.candidate.plugin is None:
            return
        try:
            step(entry)
        except PluginError as error:
            if entry.is_host:
                raise
            entry.error = error
            if self._manager.has_plugin(entry.candidate.name):
                self._manager.unregister(name=entry.candidate.name)

    def _register(self, entry: _Entry) -> None:
        name, plugin = entry.candidate.name, entry.candidate.plugin
        # pluggy hashes and compares plugins, which a host's object need not allow; so its hooks move into a module.
        hooks = ModuleType(name)
        found = False
        for attribute in dir(plugin):
            options = self._manager.parse_hookimpl_opts(plugin, attribute)
            if options is not None:
                function = getattr(plugin, attribute)
                _check_hook(name, options["specname"] or attribute, function, is_optional=options["optionalhook"])
                setattr(hooks, attribute, function)
                found = True
            elif attribute in _HOOKS:
                raise PluginContractError(name, attribute, "is not marked with tierfold.spi.hookimpl")
        if entry.is_host and not found:
            kind = type(plugin).__name__
            raise ConfigError(
                f"plugins takes objects with functions marked by tierfold.hookimpl; this `{kind}` has none"
            )
        self._manager.register(hooks, name)

    def _collect(self, entry: _Entry) -> None:
        name = entry.candidate.name
        for hook in SPEC_TYPES:
            if self._implements(name, hook):
                try:
                    results = self._caller(name, hook)()
                    entry.specs[hook] = tuple(spec for result in results for spec in specs_from(name, hook, result))
                except PluginError:
                    raise
                except Exception as error:
                    reason = f"{hook} raised {type(error).__name__}: {error}"
                    raise PluginLoadError(name, entry.candidate.distribution or "the host", reason) from error

    def _implements(self, name: str, hook: str) -> bool:
        return any(impl.plugin_name == name and not impl.wrapper for impl in self._impls(hook))

    def _caller(self, name: str, hook: str) -> pluggy.HookCaller:
        """Calls one plugin's implementation, inside all wrappers: so each result has a name to blame."""
        others = [impl.plugin for impl in self._impls(hook) if impl.plugin_name != name and not impl.wrapper]
        return self._manager.subset_hook_caller(hook, others)

    def _impls(self, hook: str) -> list[pluggy.HookImpl]:
        caller: pluggy.HookCaller = getattr(self._manager.hook, hook)
        return caller.get_hookimpls()

    def _by_name(self, hook: str, kind: type[S]) -> dict[str, S]:
        errors = [entry.error for entry in self._entries]
        for error in (*errors, self._conflicts.get(hook)):
            if isinstance(error, PluginConflictError | PluginNotFoundError):
                raise error
        return {name: spec for _, name, spec in self._contributed(hook) if isinstance(spec, kind)}

    def _contributed(self, hook: str) -> Iterator[tuple[str, str, AnySpec]]:
        """(plugin, name, spec) of every contribution."""
        for entry in self._entries:
            for spec in () if entry.error else entry.specs.get(hook, ()):
                for name in names_of(spec):
                    yield entry.candidate.name, name, spec

    def _conflict(self, hook: str) -> PluginConflictError | None:
        owners: dict[str, list[str]] = {}
        for plugin, name, _ in self._contributed(hook):
            owners.setdefault(name, []).append(plugin)
        claimed = ((name, plugins) for name, plugins in owners.items() if len(plugins) > 1)
        return next(
            (PluginConflictError(f"{name!r} of {hook}", names, _remedy(names)) for name, names in claimed),
            None,
        )

    def _named(self, what: str, name: str, specs: Mapping[str, S]) -> S:
        if name not in specs:
            raise PluginNotFoundError(f"{what} {name!r}", known=list(specs), failed=self.failed())
        return specs[name]


def _remedy(names: Sequence[str]) -> str:
    """The built-in plugin is the last to do without, and an object of the host's is not for a file to leave out."""
    installed = [name for name in names if not name.startswith(_HOST)]
    if not installed:
        return "give open only one of them"
    return f"leave one of them out: {disabling(next((name for name in installed if name != BUILTIN), installed[-1]))}"


def _host_candidates(host: Sequence[object]) -> list[Candidate]:
    names = [_HOST + str(getattr(plugin, "__name__", type(plugin).__name__)) for plugin in host]
    return [
        Candidate(name if names.count(name) == 1 else f"{name}#{number}", plugin=plugin)
        for number, (name, plugin) in enumerate(zip(names, host, strict=True), start=1)
    ]


def _check_hook(name: str, hook: str, function: Callable[..., object], *, is_optional: bool) -> None:
    if hook not in _HOOKS:
        if is_optional:
            return
        raise PluginContractError(name, hook, f"there is no such hook; there are {', '.join(_HOOKS)}")
    if inspect.iscoroutinefunction(function) or inspect.isasyncgenfunction(function):
        raise PluginContractError(name, hook, "is a coroutine function; hooks are synchronous and return data")
    given = inspect.signature(getattr(hookspecs, hook)).parameters
    if extra := [parameter for parameter in inspect.signature(function).parameters if parameter not in given]:
        reason = f"takes {', '.join(extra)}; the hook gives {', '.join(given) or 'nothing'}"
        raise PluginContractError(name, hook, reason)


def _report(entry: _Entry, conflict: PluginConflictError | None) -> PluginReport:
    item, error = entry.candidate, entry.error or conflict
    state: Literal["loaded", "disabled", "failed"] = "loaded" if item.plugin is not None else "disabled"
    return PluginReport(
        name=item.name,
        distribution=item.distribution,
        version=item.version,
        state="failed" if error else state,
        provides={
            hook.removeprefix("provide_"): tuple(chain.from_iterable(map(names_of, specs)))
            for hook, specs in entry.specs.items()
        },
        error=str(error) if error else None,
    )
