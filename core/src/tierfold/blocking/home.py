"""Where an opened layer lives: in the threads that call it, or in one of its own with an event loop."""

from __future__ import annotations

import atexit
from abc import ABC, abstractmethod
from threading import Event, Lock, Thread

import anyio

from tierfold.blocking.calls import Calls
from tierfold.errands import Errands
from tierfold.layer import DataLayer
from tierfold.loopless import LooplessLayer
from tierfold.opening import Opening
from tierfold.wake import drive, refuse_in_loop

__all__ = ["Background", "Here", "LayerHome"]


class LayerHome(ABC):
    """An opened layer, how it is called, and how it is closed."""

    layer: DataLayer
    calls: Calls

    def close(self, timeout_s: float | None) -> None:
        """Close the layer. Idempotent; in a forked child it leaves the parent's alone."""
        refuse_in_loop()
        if not self.calls.are_inherited:
            self._close(timeout_s)

    @abstractmethod
    def _close(self, timeout_s: float | None) -> None: ...


class Here(LayerHome):
    """One tier: nothing happens but in calls."""

    def __init__(self, layer: LooplessLayer) -> None:
        drive(layer.start())
        self.layer: DataLayer = layer
        self.calls: Calls = Calls(layer.tend, layer.look)

    def _close(self, timeout_s: float | None) -> None:
        drive(self.layer.aclose(timeout_s=timeout_s))


class Background(LayerHome):
    """Several tiers: links run in the event loop of a thread, and calls that wait for them send errands there.

    What the nearest tiers can answer is read and written in the caller's thread all the same.
    """

    def __init__(self, opening: Opening) -> None:
        self.calls: Calls = Calls()
        self.layer: DataLayer
        self._opening = opening
        self._ready = Event()
        self._closing = Lock()
        self._error: BaseException | None = None
        self._errands: Errands
        self._stop: anyio.Event
        self._thread = Thread(target=self._work, name="tierfold", daemon=True)
        self._thread.start()
        self._ready.wait()
        if self._error is not None:
            self._thread.join()
            raise self._error
        atexit.register(self.close, None)

    def _work(self) -> None:
        try:
            anyio.run(self._serve)
        except BaseException as error:  # noqa: BLE001 - it is for who opens, or closes
            self._error = error
        finally:
            self._ready.set()

    async def _serve(self) -> None:
        self._stop = anyio.Event()
        async with self._opening as self.layer:
            self._errands = Errands()
            self.layer.send_errands(self._errands.run)
            async with anyio.create_task_group() as tasks:
                tasks.start_soon(self._errands.serve)
                self._ready.set()
                await self._stop.wait()
                tasks.cancel_scope.cancel()

    def _close(self, timeout_s: float | None) -> None:
        with self._closing:
            if self._thread.is_alive():
                try:
                    drive(self._errands.run(lambda: self._end(timeout_s)))
                finally:
                    self._thread.join()
        atexit.unregister(self.close)
        if self._error is not None:
            error, self._error = self._error, None
            raise error

    async def _end(self, timeout_s: float | None) -> None:
        try:
            await self.layer.aclose(timeout_s=timeout_s)
        finally:
            self._stop.set()
