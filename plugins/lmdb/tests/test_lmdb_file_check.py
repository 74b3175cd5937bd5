"""R13: a data file that was cut short is refused, for mapping it would end the process.

One that only looks short is not.
"""

from __future__ import annotations

import errno
import os
import random
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import lmdb
import pytest

from tierfold.errors import CorruptDataError, StoreFormatError
from tierfold_lmdb.engine import LmdbEngine
from tierfold_lmdb.file_check import check_length

PAGE = os.sysconf("SC_PAGE_SIZE")


def fill(directory: Path, rows: int = 200) -> Path:
    """A file of ``rows`` pages of data and a few more."""
    engine = LmdbEngine(str(directory))
    txn = engine.begin()
    for number in range(rows):
        txn.put(b"%04d" % number, b"x" * (PAGE // 2))
    txn.commit()
    engine.close()
    return directory / "data.mdb"


def size_by_meta(directory: Path) -> int:
    with lmdb.Environment(str(directory), map_size=2**30) as environment:
        return (environment.info()["last_pgno"] + 1) * PAGE


def test_a_truncated_file_is_refused(tmp_path: Path) -> None:
    data = fill(tmp_path / "store")
    os.truncate(data, data.stat().st_size - PAGE)
    with pytest.raises(CorruptDataError, match="cut short"):
        LmdbEngine(str(tmp_path / "store"))


READ_ALL = """
import lmdb, sys
with lmdb.Environment(sys.argv[1], map_size=2**30).begin() as txn:
    for pair in txn.cursor():
        pass
"""


def test_without_the_check_a_truncated_file_kills_the_process(tmp_path: Path) -> None:
    data = fill(tmp_path / "store")
    os.truncate(data, 3 * PAGE)
    done = subprocess.run([sys.executable, "-c", READ_ALL, str(tmp_path / "store")], check=False)
    assert done.returncode == -signal.SIGBUS
    with pytest.raises(CorruptDataError):
        check_length(data)


@pytest.mark.parametrize("kept", [0, 1, 100, PAGE, PAGE + 100, 2 * PAGE])
def test_a_file_cut_within_its_meta_pages_is_refused(tmp_path: Path, kept: int) -> None:
    data = fill(tmp_path / "store")
    os.truncate(data, kept)
    with pytest.raises(CorruptDataError):
        check_length(data)


def test_an_empty_file_is_not_taken_for_a_new_store(tmp_path: Path) -> None:
    data = fill(tmp_path / "store")
    os.truncate(data, 0)
    with pytest.raises(CorruptDataError, match="empty"):
        LmdbEngine(str(tmp_path / "store"))
    assert data.stat().st_size == 0


WATCH = """
import os, sys
while not os.path.exists(sys.argv[1]):
    pass
print(os.stat(sys.argv[1]).st_size)
"""


def test_a_new_file_is_never_seen_empty(tmp_path: Path) -> None:
    """By another process that waits for it, nor after a crash."""
    data = tmp_path / "store" / "data.mdb"
    with subprocess.Popen([sys.executable, "-c", WATCH, str(data)], stdout=subprocess.PIPE, text=True) as watcher:
        LmdbEngine(str(data.parent)).close()
        assert int(watcher.communicate()[0]) >= 2 * PAGE
    assert sorted(path.name for path in data.parent.iterdir()) == ["data.mdb", "lock.mdb"]
    assert data.stat().st_mode & 0o777 == 0o600


def test_a_file_is_created_where_files_have_one_name_only(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object) -> None:
        raise PermissionError(errno.EPERM, "no hard links here")

    monkeypatch.setattr(Path, "hardlink_to", refuse)
    assert fill(tmp_path / "store").stat().st_size > 0


def test_a_file_shorter_than_its_last_page_is_whole_when_the_rest_is_free(tmp_path: Path) -> None:
    fill(tmp_path / "store")
    engine = LmdbEngine(str(tmp_path / "store"))
    for size in (1_000_000, 2_000_000, 4_000_000, 8_000_000):
        txn = engine.begin()
        txn.put(b"large", b"x" * size)
        txn.delete(b"large")
        txn.commit()
    engine.close()
    assert (tmp_path / "store" / "data.mdb").stat().st_size < size_by_meta(tmp_path / "store")
    LmdbEngine(str(tmp_path / "store")).close()


def test_every_state_of_a_long_history_is_whole(tmp_path: Path) -> None:
    choose = random.Random(7)
    engine = LmdbEngine(str(tmp_path / "store"))
    shorter = 0
    for _ in range(60):
        txn = engine.begin()
        for _ in range(choose.randrange(1, 60)):
            key = b"%03d" % choose.randrange(400)
            if choose.random() < 0.5:
                txn.put(key, b"x" * choose.choice([10, 1000, 5000, 50_000]))
            else:
                txn.delete(key)
        if choose.random() < 0.3:
            txn.put(b"large", b"x" * choose.randrange(1_000_000))
            txn.delete(b"large")
        txn.commit()
        check_length(tmp_path / "store" / "data.mdb")
    engine.close()
    shorter = size_by_meta(tmp_path / "store") - (tmp_path / "store" / "data.mdb").stat().st_size
    assert shorter > 0, "this history was to end with pages that were never written"


def test_what_is_accepted_can_be_read_to_its_end(tmp_path: Path) -> None:
    data = fill(tmp_path / "store", rows=40)
    whole = data.stat().st_size // PAGE
    for pages in range(2, whole + 1):
        copy = tmp_path / f"copy{pages}"
        shutil.copytree(tmp_path / "store", copy)
        os.truncate(copy / "data.mdb", pages * PAGE)
        try:
            check_length(copy / "data.mdb")
        except CorruptDataError:
            continue
        assert subprocess.run([sys.executable, "-c", READ_ALL, str(copy)], check=False).returncode == 0


def test_a_missing_file_is_whole(tmp_path: Path) -> None:
    check_length(tmp_path / "data.mdb")


def test_a_file_that_is_not_of_lmdb_is_refused(tmp_path: Path) -> None:
    (tmp_path / "data.mdb").write_bytes(b"SQLite format 3\0" * 1000)
    with pytest.raises(StoreFormatError):
        LmdbEngine(str(tmp_path))
