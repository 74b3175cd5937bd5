"""What plugins contribute, as data. A spec says how to make a thing; nothing is opened before somebody needs it."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractAsyncContextManager
from typing import Generic, Literal, TypeVar

from msgspec import Struct

from tierfold.abc.keys import KeyStrategy
from tierfold.abc.store import EntityStore
from tierfold.model import Record

__all__ = ["AsyncBackend", "Join", "KeyStrategySpec", "OpenContext", "ResolverKind", "ResolverSpec", "StoreSpec"]

O = TypeVar("O")  # noqa: E741 - the options of one store; never printed alone

AsyncBackend = Literal["asyncio", "trio"]
ResolverKind = Literal["join"]
Join = Callable[[Record, Record], Record]
"""The least upper bound of two records of one id: commutative, associative, idempotent and inflationary."""


def _never(holder: bytes) -> bool:
    return False


class OpenContext(Struct, frozen=True):
    """What an opened store takes from its host instead of from the machine, so that tests can decide it.

    Attributes:
        clock: Milliseconds since 1970.
        random_bytes: That many unpredictable bytes.
        is_gone: Whether the program that a link lease names has certainly ended, so that nobody need wait for it. A
            store whose users may be on other machines does not ask.
    """

    clock: Callable[[], int]
    random_bytes: Callable[[int], bytes]
    is_gone: Callable[[bytes], bool] = _never


class StoreSpec(Struct, Generic[O], frozen=True):
    """A kind of store, opened by ``scheme:location?query``.

    Attributes:
        schemes: One scheme, or several names of the same thing.
        open: Called with the location as written, the converted query and the context. Imports the driver inside; the
            store is usable while the context manager is entered. Raises `ConfigError` for what no waiting would mend,
            which stops opening the layer, and `StoreUnavailableError` for what may be otherwise tomorrow.
        options_type: A msgspec Struct, dataclass or the like; its fields are the options that the query may name.
        async_backends: Event loops that the store works on.
        summary: One line for `tierfold plugins`.
    """

    schemes: str | tuple[str, ...]
    open: Callable[[str, O, OpenContext], AbstractAsyncContextManager[EntityStore]]
    options_type: type[O]
    async_backends: tuple[AsyncBackend, ...] = ("asyncio", "trio")
    summary: str = ""

    @property
    def names(self) -> tuple[str, ...]:
        """The schemes, always as a tuple."""
        return (self.schemes,) if isinstance(self.schemes, str) else self.schemes


class KeyStrategySpec(Struct, frozen=True):
    """A named way to compute logical keys; ``make`` takes the strategy's own options."""

    name: str
    make: Callable[..., KeyStrategy]


class ResolverSpec(Struct, frozen=True):
    """A named rule for conflicts. Stores that sync must agree on name and version: rules that differ loop for ever."""

    name: str
    version: int
    kind: ResolverKind
    resolve: Join
