"""What a plugin may return from each hook, and what is wrong with it when it returns something else."""

from __future__ import annotations

import inspect
import re
from collections.abc import Iterable, Iterator, Mapping
from typing import Any, Final, get_args

from tierfold.dsn import option_names
from tierfold.errors import PluginContractError
from tierfold.specs import AsyncBackend, KeyStrategySpec, ResolverKind, ResolverSpec, StoreSpec

__all__ = ["SPEC_TYPES", "AnySpec", "names_of", "specs_from"]

AnySpec = StoreSpec[Any] | KeyStrategySpec | ResolverSpec

SPEC_TYPES: Final[Mapping[str, type[AnySpec]]] = {
    "provide_stores": StoreSpec,
    "provide_key_strategies": KeyStrategySpec,
    "provide_conflict_resolvers": ResolverSpec,
}
_SCHEME: Final = re.compile(r"[a-z][a-z0-9.+-]*")


def names_of(spec: AnySpec) -> tuple[str, ...]:
    """The names that must be unique among the contributions to one hook."""
    return spec.names if isinstance(spec, StoreSpec) else (spec.name,)


def specs_from(plugin: str, hook: str, result: object) -> tuple[AnySpec, ...]:
    """Check what a hook returned.

    Raises:
        PluginContractError: It is no iterable of specs of the hook's type, or one of them makes no sense.
    """
    expected = SPEC_TYPES[hook]
    if not isinstance(result, Iterable) or isinstance(result, str | Mapping):
        reason = f"returned {type(result).__name__}, expected an iterable of {expected.__name__}"
        raise PluginContractError(plugin, hook, reason)
    specs = tuple(result)
    for spec in specs:
        if not isinstance(spec, expected):
            raise PluginContractError(plugin, hook, f"gave {type(spec).__name__}, expected {expected.__name__}")
        if problem := next(_problems(spec), None):
            raise PluginContractError(plugin, hook, f"{expected.__name__} {'/'.join(names_of(spec))}: {problem}")
    return specs


def _problems(spec: AnySpec) -> Iterator[str]:
    match spec:
        case StoreSpec():
            yield from _store_problems(spec)
        case KeyStrategySpec():
            if not callable(spec.make):
                yield "make is not callable"
        case _:
            if spec.kind not in get_args(ResolverKind):
                yield f"kind is {spec.kind!r}, expected one of {', '.join(get_args(ResolverKind))}"
            if not callable(spec.resolve):
                yield "resolve is not callable"


def _store_problems(spec: StoreSpec[Any]) -> Iterator[str]:
    if not spec.names or not all(_SCHEME.fullmatch(scheme) for scheme in spec.names):
        yield "a scheme begins with a small letter, then letters, digits, '.', '+' and '-' may follow"
    if not callable(spec.open) or inspect.iscoroutinefunction(spec.open):
        yield "open must return an async context manager; contextlib.asynccontextmanager makes it one"
    if not spec.async_backends or not set(spec.async_backends) <= set(get_args(AsyncBackend)):
        yield f"async_backends must name some of {', '.join(get_args(AsyncBackend))}"
    try:
        option_names(spec.options_type)
    except TypeError as error:
        yield f"options_type: {error}"
