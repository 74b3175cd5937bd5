"""Which file system a path is on. LMDB needs shared memory maps and locks that a network file system does not give."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Final

from tierfold.errors import ConfigError

__all__ = ["file_system_of", "is_network", "refuse_network"]

_NETWORK: Final = frozenset(
    {"9p", "afs", "beegfs", "ceph", "cifs", "coda", "fuse", "fuseblk", "gfs2", "glusterfs", "gpfs", "lustre"}
    | {"ncpfs", "nfs", "nfs4", "ocfs2", "smb3", "smbfs", "vboxsf", "virtiofs"}
)
_MOUNTS: Final = Path("/proc/self/mountinfo")


def file_system_of(path: str, mountinfo: str) -> str | None:
    """Type of the file system that holds ``path``, an absolute path without links; None when no mount holds it.

    Args:
        mountinfo: Text in the form of ``/proc/self/mountinfo``. The longest mount point wins, of equal ones the last.
    """
    found, length = None, -1
    for line in mountinfo.splitlines():
        # id, parent, device, root, mount point, options, any number of optional fields, "-", type, source, options
        fields, _, tail = line.partition(" - ")
        point = _unescape(fields.split(" ")[4]).rstrip("/")
        if (path == point or path.startswith(point + "/")) and len(point) >= length:
            found, length = tail.split(" ")[0], len(point)
    return found


def is_network(file_system: str) -> bool:
    """Whether files of this type may live on another machine. Every FUSE file system counts: nobody can tell."""
    return file_system.partition(".")[0] in _NETWORK


def refuse_network(directory: Path) -> None:
    """Raise `ConfigError` when ``directory`` is on a network file system. Knows nothing where there is no /proc."""
    if _MOUNTS.exists():
        file_system = file_system_of(str(directory.resolve()), _MOUNTS.read_text())
        if file_system is not None and is_network(file_system):
            raise ConfigError(
                f"{directory} is on a file system of type {file_system}, where LMDB may lose data;"
                " move it to a local disk, or say allow_network_fs=true"
            )


def _unescape(text: str) -> str:
    return re.sub(r"\\([0-7]{3})", lambda match: chr(int(match[1], 8)), text)
