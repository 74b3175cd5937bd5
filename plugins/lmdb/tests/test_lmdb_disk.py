"""R11: a full disk is a typed error, loses nothing that was committed, and ends when there is room again."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from tierfold.errors import StoreFullError
from tierfold_lmdb.engine import LmdbEngine
from tierfold_lmdb.options import LmdbOptions


def require(found: object, what: str) -> None:
    """Skip where the machine lacks something. Where everything must be proven that is a failure."""
    if not found:
        (pytest.fail if os.environ.get("CI") else pytest.skip)(f"this needs {what}")


WORK = """
import itertools, os, resource, signal, subprocess, sys
from pathlib import Path
from tierfold.errors import StoreError
from tierfold_lmdb.engine import LmdbEngine
from tierfold_lmdb.options import LmdbOptions

def write(number):
    txn = engine.begin()
    try:
        txn.put(b"%06d" % number, os.urandom(1000))
        txn.commit()
    except BaseException:
        txn.abort()
        raise

def write_until_refused(first):
    for number in itertools.count(first):
        try:
            write(number)
        except StoreError as error:
            print(type(error).__name__)
            return number

def check(count):
    with engine.read() as (_, view):
        assert [int(key) for key, _ in view.scan(b"", b"z")] == list(range(count))
"""

SMALL_DISK = """
subprocess.run(["mount", "-t", "tmpfs", "-o", "size=6m", "tmpfs", sys.argv[1]], check=True)
ballast = Path(sys.argv[1], "ballast")
ballast.write_bytes(bytes(2 * 1024**2))
engine = LmdbEngine(sys.argv[1] + "/store", LmdbOptions(min_free_bytes=0))
count = write_until_refused(0)
check(count)
assert engine.make_room() is False
assert write_until_refused(count) == count
check(count)
ballast.unlink()
for number in range(count, count + 200):
    write(number)
check(count + 200)
engine.close()
engine = LmdbEngine(sys.argv[1] + "/store", LmdbOptions(min_free_bytes=0))
check(count + 200)
"""


@pytest.fixture
def own_mounts() -> list[str]:
    """What lets a program have a disk of its own: root may mount, anybody else only in a namespace of users."""
    require(shutil.which("unshare"), "unshare; install it, for example with `apt-get install util-linux`")
    for names in (["unshare", "--mount"], ["unshare", "--user", "--map-root-user", "--mount"]):
        if subprocess.run([*names, "true"], capture_output=True, check=False).returncode == 0:
            return names
    require(None, "mounts of its own; run the tests as root, or allow namespaces of users")
    return []


@pytest.fixture
def failing_disk() -> Callable[[str, str], list[str]]:
    """What makes the calls of a program fail, by name and number."""
    require(shutil.which("strace"), "strace; install it, for example with `apt-get install strace`")

    def fail(call: str, moment: str) -> list[str]:
        inject = f"inject={call}:error=EIO:when={moment}"
        return ["strace", "-f", "-qq", "-o", "/dev/null", "-e", f"trace={call}", "-e", inject]

    return fail


def test_a_full_disk_loses_nothing_and_is_over_when_there_is_room(
    tmp_path: Path, run_script: Callable[..., str], own_mounts: list[str]
) -> None:
    assert run_script(WORK + SMALL_DISK, tmp_path, before=own_mounts).split() == ["StoreFullError"] * 2


WITH_THE_DRIVER_ALONE = """
import lmdb, os, subprocess, sys

def write(number):
    with environment.begin(write=True) as txn:
        txn.put(b"%06d" % number, os.urandom(1000))
"""

SMALL_DISK_WITH_THE_DRIVER_ALONE = """
subprocess.run(["mount", "-t", "tmpfs", "-o", "size=4m", "tmpfs", sys.argv[1]], check=True)
environment = lmdb.Environment(sys.argv[1], map_size=2**30)
try:
    for number in range(10_000):
        write(number)
except lmdb.Error as error:
    print(type(error).__name__, error)
"""


def test_the_driver_itself_takes_a_full_disk_for_a_broken_one(
    tmp_path: Path, run_script: Callable[..., str], own_mounts: list[str]
) -> None:
    said = run_script(WITH_THE_DRIVER_ALONE + SMALL_DISK_WITH_THE_DRIVER_ALONE, tmp_path, before=own_mounts)
    assert said == "Error mdb_txn_commit: Input/output error\n"


SMALL_FILES = """
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
limit, highest = 2 * 1024**2, resource.getrlimit(resource.RLIMIT_FSIZE)[1]
engine = LmdbEngine(sys.argv[1], LmdbOptions(durability="unsafe_nosync", min_free_bytes=0))
resource.setrlimit(resource.RLIMIT_FSIZE, (limit, highest))
count = write_until_refused(0)
check(count)
resource.setrlimit(resource.RLIMIT_FSIZE, (highest, highest))
for number in range(count, count + 200):
    write(number)
check(count + 200)
"""


def test_a_short_write_loses_nothing_and_is_over_when_writing_works(
    tmp_path: Path, run_script: Callable[..., str]
) -> None:
    assert run_script(WORK + SMALL_FILES, tmp_path).split() == ["StoreUnavailableError"]


def test_writing_stops_before_the_disk_is_full_and_reading_goes_on(tmp_path: Path) -> None:
    engine = LmdbEngine(str(tmp_path), LmdbOptions(min_free_bytes=2**62))
    with pytest.raises(StoreFullError, match=r"has \d+ bytes, writing needs"):
        engine.begin()
    assert engine.make_room() is False
    assert engine.fetch(b"a") == (0, None)
    engine.close()


BROKEN_DISK = """
engine = LmdbEngine(sys.argv[1])
done = []
for number in range(10):
    try:
        write(number)
    except StoreError as error:
        print(type(error).__name__)
    else:
        done.append(number)
with engine.read() as (_, view):
    assert [int(key) for key, _ in view.scan(b"", b"z")] == done
"""


@pytest.mark.parametrize(
    ("call", "moment"),
    [("fdatasync", "4"), ("writev", "4"), ("pwrite64", "5"), ("pwrite64", "5..8")],
    ids=["sync", "data", "meta", "meta for a while"],
)
def test_a_failing_disk_fails_its_writes_and_the_engine_goes_on(
    tmp_path: Path,
    run_script: Callable[..., str],
    failing_disk: Callable[[str, str], list[str]],
    call: str,
    moment: str,
) -> None:
    said = run_script(WORK + BROKEN_DISK, tmp_path, before=failing_disk(call, moment))
    assert set(said.split()) == {"StoreUnavailableError"}


BROKEN_DISK_WITH_THE_DRIVER_ALONE = """
environment = lmdb.Environment(sys.argv[1])
for number in range(5):
    try:
        write(number)
    except lmdb.Error as error:
        print(type(error).__name__)
try:
    environment.begin()
except lmdb.Error as error:
    print(type(error).__name__)
"""


def test_with_the_driver_alone_one_failed_write_of_its_meta_page_ends_writing_and_reading(
    tmp_path: Path, run_script: Callable[..., str], failing_disk: Callable[[str, str], list[str]]
) -> None:
    script = WITH_THE_DRIVER_ALONE + BROKEN_DISK_WITH_THE_DRIVER_ALONE
    said = run_script(script, tmp_path, before=failing_disk("pwrite64", "5")).split()
    assert said == ["Error", "PanicError", "PanicError", "PanicError"]
