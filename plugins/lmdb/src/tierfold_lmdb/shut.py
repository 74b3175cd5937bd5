"""What stands in the place of things that must not be used any more."""

from __future__ import annotations

import ctypes
from functools import partial
from typing import NoReturn

from tierfold.errors import StoreError

__all__ = ["Abandoned", "Shut", "never_free", "refusing"]


class Shut:
    """Each use raises ``error``."""

    def __init__(self, error: StoreError) -> None:
        self._error = error

    def __getattr__(self, _: str) -> NoReturn:
        _raise(self._error)


class Abandoned(Shut):
    """Stands where a transaction of the parent process was. Ending it here does nothing."""

    def abort(self) -> None: ...


def refusing(error: Exception) -> partial[NoReturn]:
    """A function that raises ``error``."""
    return partial(_raise, error)


def never_free(held: object) -> None:
    """Keep ``held`` until the process ends, the interpreter's own cleaning up included."""
    ctypes.pythonapi.Py_IncRef(ctypes.py_object(held))


def _raise(error: Exception) -> NoReturn:
    raise type(error)(*error.args)
