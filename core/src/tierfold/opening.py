"""`open`: from tiers, configuration file and plugins to a data layer. The composition root of clock and randomness."""

from __future__ import annotations

import os
import random
import time
from collections.abc import Callable, Generator, Iterable, Sequence
from functools import lru_cache
from os import PathLike
from pathlib import Path
from types import TracebackType, UnionType
from typing import Any, TypeVar

from tierfold.abc.clock import Clock
from tierfold.arguments import check_seconds, given
from tierfold.catalog import Catalog
from tierfold.config import Config, Tier, check_tier, read_config
from tierfold.digest import Hasher
from tierfold.dsn import Dsn, parse_dsn
from tierfold.entities.ids import check_prefix
from tierfold.errors import ConfigError
from tierfold.holders import is_gone, name_holder
from tierfold.layer import DataLayer
from tierfold.links.runner import LinkServices
from tierfold.loopless import LooplessLayer
from tierfold.plugins import load_plugins
from tierfold.specs import OpenContext
from tierfold.supervisor import runs_on_asyncio
from tierfold.tiers import name_tiers
from tierfold.wake import current_loop

__all__ = ["Opening", "open"]

L = TypeVar("L", bound=DataLayer)


def open(
    *tiers: str | Tier,
    prefix: str | None = None,
    config: str | Path | None = None,
    plugins: Sequence[object] = (),
    clock: Clock | None = None,
    seed: int | None = None,
    close_timeout_s: float = 5.0,
) -> Opening:
    """Open a data layer over one or more stores, near to far.

    ``async with open("lmdb:./data") as data: …``, or on asyncio ``data = await open(…)`` and later
    ``await data.aclose()``. Nothing happens before it is entered; all errors arise there. A farther tier that cannot be
    reached is no error; one that could never be, because of how it is written, is.

    Args:
        tiers: Urls ``scheme:location?option=value``, or `Tier` for more options.
        prefix: First part of every entity key, "app" by default; programs that share a store share it.
        config: A ``tierfold.toml`` that names tiers and prefix instead.
        plugins: Objects with hooks, beside the installed plugins.
        clock: Milliseconds since 1970; for tests.
        seed: Makes ids repeatable; for tests.
        close_timeout_s: How long closing may take to deliver what waits for delivery.
    """
    return Opening(tiers, prefix, config, plugins, clock, seed, close_timeout_s)


class Opening:
    """What `open` returns: an async context manager that is also awaitable on asyncio. Use once."""

    def __init__(
        self,
        tiers: Sequence[str | Tier],
        prefix: str | None,
        config: str | Path | None,
        plugins: Sequence[object],
        clock: Clock | None,
        seed: int | None,
        close_timeout_s: float,
    ) -> None:
        self._tiers, self._prefix, self._config, self._plugins = tiers, prefix, config, plugins
        self._clock, self._seed, self._close_timeout_s = clock, seed, close_timeout_s
        self._layer: DataLayer | None = None

    async def __aenter__(self) -> DataLayer:
        if self._layer is not None:
            raise ConfigError("this opening was used before; call open again")
        self._layer = self._assemble()
        await self._layer.start()
        return self._layer

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._layer is not None:
            await self._layer.leave()

    def __await__(self) -> Generator[Any, Any, DataLayer]:
        if not runs_on_asyncio():
            raise ConfigError("only asyncio lets a layer be awaited; use `async with open(…)`")
        return self.__aenter__().__await__()

    def assemble_alone(self) -> LooplessLayer | None:
        """A layer whose calls block, in a thread without an event loop; None when there are links, which need one."""
        self._check()
        file = self._read_config()
        return None if len(file.tiers) > 1 else self._made(LooplessLayer, file)

    def _assemble(self) -> DataLayer:
        self._check()
        return self._made(DataLayer, self._read_config())

    def _made(self, kind: type[L], file: Config) -> L:
        for tier in file.tiers:
            check_tier(tier)
        plugins = load_plugins(file.plugins, self._plugins)
        stores = plugins.stores()
        dsns = [parse_dsn(tier.url, stores, plugins.failed()) for tier in file.tiers]
        if current_loop() is not None:
            for dsn in dsns:
                _require_this_loop(dsn)
        # The seed is for ids alone: stores and holders of leases must not be taken for each other.
        context = OpenContext(self._clock or _wall_ms, os.urandom, is_gone)
        services = LinkServices(context, name_holder(os.urandom), plugins.resolver, lru_cache(maxsize=1024)(Hasher))
        catalog = Catalog(check_prefix(file.prefix), plugins, file.entities, _random_bytes(self._seed))
        return kind(name_tiers(file.tiers, dsns), catalog, services, self._close_timeout_s)

    def _check(self) -> None:
        """Refuse arguments of other kinds: what they would break is far from here."""
        for tier in self._tiers:
            if isinstance(tier, PathLike):
                path = str(tier)
                raise ConfigError(f"a path does not say which kind of store it is; write {'lmdb:' + path!r}")
            _expect(tier, str | Tier, "a tier", "a url such as 'lmdb:./data', or a Tier")
        _expect(self._prefix, str | None, "prefix", "text")
        _expect(self._config, str | PathLike | None, "config", "the path of a file")
        _expect(self._seed, int | None, "seed", "a whole number")
        if not isinstance(self._plugins, Iterable) or isinstance(self._plugins, str):
            raise ConfigError(f"plugins takes objects with hooks, as in [plugin], not {given(self._plugins)}")
        if self._clock is not None and not callable(self._clock):
            raise ConfigError(f"clock takes a function that gives ms since 1970, not {given(self._clock)}")
        check_seconds(self._close_timeout_s, "close_timeout_s")

    def _read_config(self) -> Config:
        written = tuple(Tier(tier) if isinstance(tier, str) else tier for tier in self._tiers)
        if self._config is None:
            return Config(prefix="app" if self._prefix is None else self._prefix, tiers=written)
        if written or self._prefix is not None:
            raise ConfigError("tiers and prefix stand in the configuration file or in the code, not in both")
        return read_config(Path(self._config))


def _expect(value: object, kind: type | UnionType, what: str, expected: str) -> None:
    if not isinstance(value, kind):
        raise ConfigError(f"{what} is {expected}, not {given(value)}")


def _require_this_loop(dsn: Dsn) -> None:
    loop = "asyncio" if runs_on_asyncio() else "trio"
    if loop not in dsn.spec.async_backends:
        works_on = " and ".join(dsn.spec.async_backends)
        raise ConfigError(f"a store of the scheme {dsn.scheme!r} works on {works_on}, not on {loop}")


def _wall_ms() -> int:
    return time.time_ns() // 1_000_000


def _random_bytes(seed: int | None) -> Callable[[int], bytes]:
    return os.urandom if seed is None else random.Random(seed).randbytes
