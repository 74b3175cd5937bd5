"""The one error tree. Attributes are typed, messages are composed from them, and none carries a payload or a secret."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Self

__all__ = [
    "AlreadyExistsError",
    "BlockingCallError",
    "ConfigError",
    "CorruptDataError",
    "LinkFencedError",
    "LinkNotFoundError",
    "NotFoundError",
    "PartitionUnavailableError",
    "PayloadTooLargeError",
    "PluginConflictError",
    "PluginContractError",
    "PluginError",
    "PluginLoadError",
    "PluginNotFoundError",
    "QueryError",
    "StaleWriteError",
    "StoreClosedError",
    "StoreError",
    "StoreForkedError",
    "StoreFormatError",
    "StoreFullError",
    "StoreTimeoutError",
    "StoreUnavailableError",
    "TierfoldError",
    "TransactionError",
    "ValidationError",
]


class TierfoldError(Exception):
    """Root of everything Tierfold raises on purpose."""

    transient = False
    """Whether the same call can succeed later without anything being changed by the caller."""


class ConfigError(TierfoldError):
    """What was asked for contradicts itself, the store's catalog, or what is installed."""


class LinkNotFoundError(ConfigError, KeyError):
    """The layer has no link of that name: a link is named after its farther tier."""

    def __init__(self, name: str, known: Sequence[str]) -> None:
        super().__init__(f"there is no link {name!r}; there are {', '.join(known) or 'none'}")
        self.name = name
        self.known: tuple[str, ...] = tuple(known)

    def __str__(self) -> str:
        return str(self.args[0])  # a `KeyError` shows it in quotes


class BlockingCallError(TierfoldError):
    """A blocking call was made where it would stop an event loop or deadlock a callback."""


class TransactionError(TierfoldError):
    """A transaction was used after its end, or for what cannot be part of it."""


class NotFoundError(TierfoldError):
    """The entity that an operation needs does not exist."""

    def __init__(self, type: str, id: str) -> None:
        super().__init__(f"{type} {id!r} does not exist")
        self.type = type
        self.id = id


class QueryError(TierfoldError):
    """A query or its cursor makes no sense for this store."""


class ValidationError(TierfoldError):
    """A value cannot be stored, or a stored one does not fit its class.

    Attributes:
        path: Where in the document, as ``$.a[2].b``; of several entities, ``$[0]`` is the first.
        id: The record concerned, where there is one.
    """

    def __init__(self, message: str, *, path: str = "$", id: str | None = None) -> None:
        super().__init__(f"{message} - at `{path}`" + (f" of {id!r}" if id else ""))
        self.reason = message
        self.path = path
        self.id = id

    def inside(self, place: str) -> Self:
        """The same error about a part of what was given, which is at ``place``."""
        return type(self)(self.reason, path=place + self.path.removeprefix("$"), id=self.id)


# --- plugins -----------------------------------------------------------------------------------------------------


class PluginError(TierfoldError):
    """Something is wrong with a plugin; the message names it."""


class PluginNotFoundError(PluginError):
    """A plugin, or a scheme or name that a plugin would provide, is not installed."""

    def __init__(self, what: str, *, known: Sequence[str] = (), failed: Sequence[str] = ()) -> None:
        text = f"{what} is not installed"
        if known:
            text += f"; known: {', '.join(sorted(known))}"
        if failed:
            text += f"; these plugins failed to load and may provide it: {', '.join(sorted(failed))}"
        super().__init__(text)
        self.known: tuple[str, ...] = tuple(known)
        self.failed: tuple[str, ...] = tuple(failed)


class PluginLoadError(PluginError):
    """Importing or assembling a plugin failed; the cause is chained."""

    def __init__(self, plugin: str, distribution: str, reason: str) -> None:
        super().__init__(f"plugin {plugin!r} of distribution {distribution!r} failed to load: {reason}")
        self.plugin = plugin
        self.distribution = distribution


class PluginConflictError(PluginError):
    """Two plugins claim the same name. The message says how to leave one of them out."""

    def __init__(self, what: str, providers: Sequence[str], remedy: str = "leave one of them out") -> None:
        super().__init__(f"{what} is provided by {' and by '.join(providers)}; {remedy}")
        self.providers: tuple[str, ...] = tuple(providers)


class PluginContractError(PluginError):
    """A plugin's hook has a wrong name, is a coroutine, or returned something of a wrong type."""

    def __init__(self, plugin: str, hook: str, reason: str) -> None:
        super().__init__(f"plugin {plugin!r}, hook {hook!r}: {reason}")
        self.plugin = plugin
        self.hook = hook


# --- stores ------------------------------------------------------------------------------------------------------


class StoreError(TierfoldError):
    """A store could not do what was asked."""


class StoreUnavailableError(StoreError):
    """The store cannot be reached or answers with an I/O error; repeating may help."""

    transient = True


class StoreTimeoutError(StoreUnavailableError):
    """The store did not answer in time; whether a write happened is unknown."""


class PartitionUnavailableError(StoreUnavailableError):
    """The partition is not held here and no tier that holds it can be reached.

    Attributes:
        partition: Its logical key, as in ``"oslo"``; in what stores raise among themselves, its entity key.
        reason: Why it cannot be had now.
    """

    def __init__(self, partition: str, reason: str = "no farther tier can be reached") -> None:
        super().__init__(f"partition {partition!r} is not here and {reason}")
        self.partition = partition
        self.reason = reason


class StoreClosedError(StoreError):
    """The store, or the layer that owns it, was closed."""


class StoreForkedError(StoreError):
    """The store was opened before a fork and belongs to the parent process."""


class StoreFullError(StoreError):
    """The store's map, quota or disk is full; earlier writes are intact."""


class StoreFormatError(StoreError):
    """The files are of another format version, or of no format of ours."""


class CorruptDataError(StoreError):
    """A stored row fails its checksum or cannot be what its key says it is.

    Attributes:
        row: Key of the damaged row, where it is a record's.
        type: The record's entity type, with ``partition``, its entity key, and ``id``; None where it cannot be told.
    """

    def __init__(
        self,
        message: str,
        *,
        row: bytes | None = None,
        type: str | None = None,
        partition: str | None = None,
        id: str | None = None,
    ) -> None:
        which = "" if type is None else f"{type} {id!r}" if id else f"a record of {type}"
        super().__init__(f"{which} in partition {partition!r} is damaged: {message}" if which else message)
        self.reason = message
        self.row = row
        self.type = type
        self.partition = partition
        self.id = id


class PayloadTooLargeError(StoreError):
    """The document is larger than the store accepts.

    Attributes:
        path: ``$[3]`` of several entities, ``$`` of one.
        id: The record concerned, where there is one.
    """

    def __init__(self, size_bytes: int, limit_bytes: int, id: str | None = None, path: str = "$") -> None:
        of = (f" of {id!r}" if id else "") + (f" at `{path}`" if path != "$" else "")
        super().__init__(f"the payload{of} has {size_bytes} bytes, {limit_bytes} are allowed")
        self.size_bytes = size_bytes
        self.limit_bytes = limit_bytes
        self.id = id
        self.path = path

    def inside(self, place: str) -> Self:
        """The same error about the entity at ``place``, of several."""
        return type(self)(self.size_bytes, self.limit_bytes, self.id, place)


class AlreadyExistsError(StoreError):
    """``create`` met a live entity of the same id."""

    def __init__(self, type: str, id: str) -> None:
        super().__init__(f"{type} {id!r} exists already")
        self.type = type
        self.id = id


class StaleWriteError(StoreError):
    """A compare-and-set met another version than the one expected.

    Attributes:
        current: The entity as it is now, ``None`` when it does not exist.
        current_etag: Its etag, ``None`` when it does not exist.
    """

    def __init__(self, type: str, id: str, current: object | None, current_etag: str | None) -> None:
        now = f"its etag is {current_etag!r}" if current_etag else "it does not exist"
        super().__init__(f"{type} {id!r} is not what was expected: {now}")
        self.type = type
        self.id = id
        self.current = current
        self.current_etag = current_etag


class LinkFencedError(StoreError):
    """The link's lease passed to another process; what this one still wanted to write is void."""

    transient = True
