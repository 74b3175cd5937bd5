"""R13: network file systems are found in the table of mounts and refused."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import lmdb
import pytest

from tierfold.errors import ConfigError
from tierfold_lmdb import mounts
from tierfold_lmdb.engine import LmdbEngine
from tierfold_lmdb.mounts import file_system_of, is_network
from tierfold_lmdb.options import LmdbOptions

TABLE = r"""
22 1 254:1 / / rw,relatime shared:1 - ext4 /dev/vda1 rw
23 22 0:21 / /proc rw,nosuid - proc proc rw
36 22 0:45 / /mnt rw - tmpfs tmpfs rw
37 36 0:46 / /mnt/share rw,relatime shared:9 master:2 - nfs4 server:/export rw,vers=4.2
38 37 0:47 / /mnt/share/local rw - xfs /dev/sdb1 rw
39 22 0:48 / /mnt/with\040space rw - cifs //server/share rw
40 22 0:49 / /over rw - ext4 /dev/sdc1 rw
41 40 0:50 / /over rw - fuse.sshfs user@server: rw
""".strip()


@pytest.mark.parametrize(
    ("path", "file_system"),
    [
        ("/", "ext4"),
        ("/home/data", "ext4"),
        ("/proc/self", "proc"),
        ("/mnt", "tmpfs"),
        ("/mnt/shared", "tmpfs"),
        ("/mnt/share", "nfs4"),
        ("/mnt/share/app/data", "nfs4"),
        ("/mnt/share/local/data", "xfs"),
        ("/mnt/with space/data", "cifs"),
        ("/over/data", "fuse.sshfs"),
    ],
)
def test_the_longest_and_then_the_last_mount_point_decides(path: str, file_system: str) -> None:
    assert file_system_of(path, TABLE) == file_system


def test_a_path_under_no_mount_has_no_file_system() -> None:
    assert file_system_of("/data", "36 22 0:45 / /mnt rw - tmpfs tmpfs rw") is None


@pytest.mark.parametrize("file_system", ["nfs", "nfs4", "cifs", "smb3", "9p", "fuse", "fuse.sshfs", "ceph", "lustre"])
def test_a_network_file_system_is_known_as_one(file_system: str) -> None:
    assert is_network(file_system)


@pytest.mark.parametrize("file_system", ["ext4", "xfs", "btrfs", "tmpfs", "zfs", "overlay", "f2fs"])
def test_a_local_file_system_is_none(file_system: str) -> None:
    assert not is_network(file_system)


@pytest.fixture
def on_nfs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A directory of which the table of mounts says that it is on another machine."""
    directory = tmp_path / "share"
    table = tmp_path / "mountinfo"
    table.write_text(f"37 36 0:46 / {directory.resolve()} rw,relatime - nfs4 server:/export rw\n")
    monkeypatch.setattr(mounts, "_MOUNTS", table)
    return directory


def test_a_store_on_a_network_file_system_is_refused_before_it_is_made(on_nfs: Path) -> None:
    with pytest.raises(ConfigError, match=r"nfs4.*allow_network_fs"):
        LmdbEngine(str(on_nfs / "store"))
    assert not (on_nfs / "store" / "data.mdb").exists()


def test_a_store_on_a_network_file_system_opens_when_asked_for(on_nfs: Path) -> None:
    engine = LmdbEngine(str(on_nfs / "store"), LmdbOptions(allow_network_fs=True))
    assert engine.transaction_id() == 0
    engine.close()


def test_a_link_to_a_network_file_system_is_followed(on_nfs: Path, tmp_path: Path) -> None:
    on_nfs.mkdir()
    (tmp_path / "link").symlink_to(on_nfs)
    with pytest.raises(ConfigError, match="nfs4"):
        LmdbEngine(str(tmp_path / "link" / "store"))


def test_without_a_table_of_mounts_nothing_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(mounts, "_MOUNTS", tmp_path / "missing")
    LmdbEngine(str(tmp_path / "store")).close()


WRITE_B = """
import lmdb, sys
with lmdb.Environment(sys.argv[1]) as environment, environment.begin(write=True) as txn:
    txn.put(b"b", b"acknowledged")
"""


def test_the_driver_itself_loses_acknowledged_writes_of_a_machine_whose_locks_it_does_not_see(
    tmp_path: Path, run_script: Callable[..., str]
) -> None:
    """Two names of one file with a lock each: what two machines see of a directory that they share."""
    one, other = tmp_path / "one", tmp_path / "other"
    with lmdb.Environment(str(one)) as environment:
        other.mkdir()
        (other / "data.mdb").hardlink_to(one / "data.mdb")
        with environment.begin(write=True) as txn:
            run_script(WRITE_B, other)
            txn.put(b"a", b"acknowledged")
    with lmdb.Environment(str(other)) as environment, environment.begin() as txn:
        assert list(txn.cursor()) == [(b"a", b"acknowledged")]
