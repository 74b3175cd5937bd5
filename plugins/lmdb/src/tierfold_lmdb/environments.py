"""Every file that this process has open, once. LMDB's locks are the process's; a second opening would share them."""

from __future__ import annotations

import errno
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from threading import Lock
from typing import Final

import lmdb

from tierfold.errors import ConfigError, StoreForkedError, StoreUnavailableError
from tierfold.kv.fork import watch_fork
from tierfold_lmdb.driver import create_file
from tierfold_lmdb.environment import Environment
from tierfold_lmdb.errors import mapped
from tierfold_lmdb.file_check import check_length
from tierfold_lmdb.mounts import refuse_network
from tierfold_lmdb.options import LmdbOptions

__all__ = ["ENVIRONMENTS", "Environments", "Identity"]

_FORBIDDEN: Final = frozenset({errno.EACCES, errno.EPERM, errno.EROFS})

Identity = tuple[int, int]
"""Device and inode of a data file."""


class Environments:
    """The open environments by the identity of their data file, however their paths were written."""

    def __init__(self) -> None:
        self._lock = Lock()
        self._open: dict[Identity, Environment] = {}
        self._inherited: frozenset[Identity] = frozenset()
        watch_fork(self)

    def enter(self, location: str, options: LmdbOptions) -> tuple[Identity, Environment]:
        """Open the file in directory ``location``, or join those who have. Each `enter` needs a `leave`.

        Raises:
            ConfigError: The location is none, the file system cannot be used, or the file is open with other options.
            CorruptDataError: The file has been cut short.
            StoreUnavailableError: What lies there now is no directory, or cannot be opened.
            StoreForkedError: The file was opened before this process was forked.
        """
        data = _directory(location) / "data.mdb"
        with self._lock, _unopened(data.parent):
            environment = self._find(data)
            if environment is None:
                environment = _open(data, options)
            elif environment.options != options:
                raise ConfigError(_difference(location, environment.options, options))
            identity = _identity(data)
            self._open[identity] = environment
            environment.users += 1
            return identity, environment

    def leave(self, identity: Identity) -> None:
        """Close the file when the last one leaves."""
        with self._lock:
            environment = self._open.get(identity)
            if environment is None:  # a forked child leaves what its parent entered
                return
            environment.users -= 1
            if environment.users == 0:
                del self._open[identity]
                environment.close()

    def after_fork(self) -> None:
        self._lock = Lock()
        self._inherited |= self._open.keys()
        for environment in self._open.values():
            environment.after_fork()
        self._open = {}

    def _find(self, data: Path) -> Environment | None:
        if not data.exists():
            return None
        identity = _identity(data)
        if identity in self._inherited:
            raise StoreForkedError(
                f"{data} was open when this process was forked; open it in the children only, in the server's "
                "`post_fork` hook or at the first request, or close it before the fork"
            )
        return self._open.get(identity)


ENVIRONMENTS: Final = Environments()
"""One for the process, because the locks of the files are."""


def _directory(location: str) -> Path:
    """The directory of a location, where ``~`` stands for the home directory; variables of the process mean nothing."""
    if not location:
        raise ConfigError("lmdb: names no directory; write lmdb:DIRECTORY, as in 'lmdb:./data'")
    if "\0" in location:
        raise ConfigError(f"{location!r} is not a directory")
    if not location.startswith("~"):  # asked of the text, for a `Path` forgets that it began with "./"
        return Path(location)
    try:
        return Path(location).expanduser()
    except RuntimeError as error:
        raise ConfigError(f"{location}: {error}; a directory of that name is written ./{location}") from error


def _identity(data: Path) -> Identity:
    state = data.stat()
    return state.st_dev, state.st_ino


def _difference(location: str, open_with: LmdbOptions, asked_for: LmdbOptions) -> str:
    pairs = [(name, getattr(open_with, name), getattr(asked_for, name)) for name in open_with.__struct_fields__]
    differing = [pair for pair in pairs if pair[1] != pair[2]]
    known = ", ".join(f"{name}={value}" for name, value, _ in differing)
    given = ", ".join(f"{name}={value}" for name, _, value in differing)
    return f"{location} is open in this process with {known}, not with {given}; name the same options everywhere"


def _open(data: Path, options: LmdbOptions) -> Environment:
    directory = data.parent
    directory.mkdir(mode=0o700, parents=True, exist_ok=True)
    if not options.allow_network_fs:
        refuse_network(directory)
    create_file(data, options)
    check_length(data)
    return Environment(directory, options)


@contextmanager
def _unopened(directory: Path) -> Iterator[None]:
    """Have errors of the system and of the driver say that the store cannot be opened."""
    try:
        yield
    except (FileExistsError, NotADirectoryError) as error:
        raise StoreUnavailableError(f"{directory} is not a directory") from error
    except OSError as error:
        raise StoreUnavailableError(_refused(directory, error.errno)) from error
    except lmdb.Error as error:
        if error.code in _FORBIDDEN:
            raise StoreUnavailableError(_refused(directory, error.code)) from error
        if error.code == 0:  # the driver refuses on its own: the host program has the file open without Tierfold
            raise ConfigError(str(error)) from error
        raise mapped(error) from error


def _refused(directory: Path, code: int | None) -> str:
    reason = os.strerror(code) if code else "no reason is given"
    need = "; the store needs permission to write there even to read, for readers are noted in a file"
    return f"{directory} cannot be opened: {reason}{need if code in _FORBIDDEN else ''}"
