"""`open` for programs without an event loop."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import AbstractContextManager
from pathlib import Path
from types import TracebackType

from tierfold import opening
from tierfold.abc.clock import Clock
from tierfold.blocking.home import Background, Here, LayerHome
from tierfold.blocking.layer import DataLayer
from tierfold.config import Tier
from tierfold.errors import ConfigError
from tierfold.wake import refuse_in_loop

__all__ = ["Opening", "open"]


def open(
    *tiers: str | Tier,
    prefix: str | None = None,
    config: str | Path | None = None,
    plugins: Sequence[object] = (),
    clock: Clock | None = None,
    seed: int | None = None,
    close_timeout_s: float = 5.0,
) -> Opening:
    """Open a data layer over one or more stores, near to far, for threads without an event loop.

    ``with open("lmdb:./data") as data: …``, or ``data = open(…).__enter__()`` and later ``data.close()``. Nothing
    happens before it is entered; all errors arise there. A farther tier that cannot be reached is no error; one that
    could never be, because of how it is written, is.

    With one tier there is no thread but the store's own writer; with several, one runs the links.

    Args:
        tiers: Urls ``scheme:location?option=value``, or `Tier` for more options.
        prefix: First part of every entity key, "app" by default; programs that share a store share it.
        config: A ``tierfold.toml`` that names tiers and prefix instead.
        plugins: Objects with hooks, beside the installed plugins.
        clock: Milliseconds since 1970; for tests.
        seed: Makes ids repeatable; for tests.
        close_timeout_s: How long closing may take to deliver what waits for delivery.
    """
    return Opening(
        opening.open(
            *tiers,
            prefix=prefix,
            config=config,
            plugins=plugins,
            clock=clock,
            seed=seed,
            close_timeout_s=close_timeout_s,
        )
    )


class Opening(AbstractContextManager[DataLayer]):
    """What `open` returns: a context manager. Use once."""

    def __init__(self, opening: opening.Opening) -> None:
        self._opening = opening
        self._layer: DataLayer | None = None

    def __enter__(self) -> DataLayer:
        refuse_in_loop()
        if self._layer is not None:
            raise ConfigError("this opening was used before; call open again")
        alone = self._opening.assemble_alone()
        home: LayerHome = Background(self._opening) if alone is None else Here(alone)
        self._layer = DataLayer(home)
        return self._layer

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._layer is not None:
            self._layer.close()
