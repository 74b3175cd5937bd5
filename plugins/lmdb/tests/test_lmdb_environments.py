"""R1, R4, R12, R14: one environment for one file, whose rights, format and durability are ours to decide."""

from __future__ import annotations

import os
import shutil
import stat
from collections.abc import Callable, Iterator
from pathlib import Path
from tempfile import TemporaryDirectory

import lmdb
import pytest

from tierfold.errors import ConfigError, StoreClosedError, StoreFormatError, StoreUnavailableError
from tierfold_lmdb.engine import LmdbEngine
from tierfold_lmdb.options import Durability, LmdbOptions


def put(engine: LmdbEngine, key: bytes, value: bytes) -> None:
    txn = engine.begin()
    txn.put(key, value)
    txn.commit()


def test_a_file_opened_twice_by_any_path_is_one_environment(tmp_path: Path) -> None:
    first = LmdbEngine(str(tmp_path / "store"))
    (tmp_path / "link").symlink_to(tmp_path / "store")
    second = LmdbEngine(str(tmp_path / "link"))
    put(first, b"a", b"1")
    assert second.fetch(b"a") == first.fetch(b"a") == (1, b"1")
    assert first.place == second.place
    first.close()
    second.close()


def test_the_driver_itself_refuses_a_file_opened_twice(tmp_path: Path) -> None:
    with lmdb.Environment(str(tmp_path)), pytest.raises(lmdb.Error, match="already open"):
        lmdb.Environment(str(tmp_path))


def test_the_file_stays_open_until_the_last_engine_is_closed(tmp_path: Path) -> None:
    first, second = LmdbEngine(str(tmp_path)), LmdbEngine(str(tmp_path))
    first.close()
    first.close()
    put(second, b"a", b"1")
    with pytest.raises(StoreClosedError):
        first.fetch(b"a")
    second.close()
    with lmdb.Environment(str(tmp_path)) as free:
        assert free.stat()["entries"] == 1


def test_another_file_at_the_same_path_is_another_environment(tmp_path: Path) -> None:
    old = LmdbEngine(str(tmp_path / "store"))
    (tmp_path / "store").rename(tmp_path / "moved")
    new = LmdbEngine(str(tmp_path / "store"))
    put(old, b"a", b"1")
    assert new.fetch(b"a") == (0, None)
    assert new.place != old.place
    old.close()
    new.close()


def test_a_second_opening_with_other_options_is_refused_and_shows_what_differs(tmp_path: Path) -> None:
    engine = LmdbEngine(str(tmp_path))
    with pytest.raises(
        ConfigError, match=r"durability=durable, max_readers=512, not .* durability=relaxed, max_rea"
    ) as no:
        LmdbEngine(str(tmp_path), LmdbOptions(durability="relaxed", max_readers=7))
    assert "map_bytes" not in str(no.value)
    engine.close()


READ_ONLY = """
import os, sys
from tierfold.errors import StoreUnavailableError
from tierfold_lmdb.engine import LmdbEngine

if os.getuid() == 0:
    os.setuid(65534)
for location in sys.argv[1:]:
    try:
        LmdbEngine(location)
    except StoreUnavailableError as error:
        print(error)
"""


def test_a_store_that_may_not_be_written_to_says_that_reading_needs_it(run_script: Callable[..., str]) -> None:
    """Whether the file, the directory or the way to it is what may not be used."""
    with TemporaryDirectory() as parent:  # pytest's own directories are closed to other users
        places = [Path(parent) / name for name in ("file", "directory", "hidden")]
        for place in places:
            LmdbEngine(str(place)).close()
            for file in place.iterdir():
                file.chmod(0o444)
        (places[1] / "lock.mdb").unlink()
        for place, mode in ((Path(parent), 0o755), *zip(places, (0o755, 0o555, 0o000), strict=True)):
            place.chmod(mode)
        said = run_script(READ_ONLY, *places).splitlines()
        places[2].chmod(0o755)
    expected = "cannot be opened: Permission denied; the store needs permission to write there even to read"
    assert [line.partition(", for")[0] for line in said] == [f"{place} {expected}" for place in places]


def test_a_file_that_the_host_program_has_open_itself_is_refused(tmp_path: Path) -> None:
    with lmdb.Environment(str(tmp_path)), pytest.raises(ConfigError, match="already open"):
        LmdbEngine(str(tmp_path))


@pytest.mark.parametrize("location", ["", "store\0/../../etc"])
def test_a_location_that_is_no_path_is_refused(location: str) -> None:
    with pytest.raises(ConfigError):
        LmdbEngine(location)


@pytest.mark.parametrize("location", ["file", "file/store"])
def test_a_location_at_or_under_a_file_is_refused(tmp_path: Path, location: str) -> None:
    """It may be away tomorrow, so it is no error of what was asked for."""
    (tmp_path / "file").touch()
    with pytest.raises(StoreUnavailableError, match="not a directory"):
        LmdbEngine(str(tmp_path / location))


def test_a_missing_location_is_called_so() -> None:
    with pytest.raises(ConfigError, match="names no directory"):
        LmdbEngine("")


def test_a_tilde_is_the_home_directory_and_a_variable_is_a_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "home").mkdir()
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    monkeypatch.chdir(tmp_path)
    for location in ("~/store", "$HOME/store", "./~/store"):
        LmdbEngine(location).close()
    stores = sorted(str(path.parent.relative_to(tmp_path)) for path in tmp_path.rglob("data.mdb"))
    assert stores == ["$HOME/store", "home/store", "~/store"]


def test_the_home_of_nobody_is_refused() -> None:
    with pytest.raises(ConfigError, match=r"written \./~nobody-of-this-name/store"):
        LmdbEngine("~nobody-of-this-name/store")


@pytest.fixture
def open_umask() -> Iterator[None]:
    old = os.umask(0)
    yield
    os.umask(old)


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


@pytest.mark.usefixtures("open_umask")
def test_only_the_owner_may_read_the_files(tmp_path: Path) -> None:
    LmdbEngine(str(tmp_path / "deep" / "store")).close()
    assert mode(tmp_path / "deep" / "store") == 0o700
    assert {path.name: mode(path) for path in (tmp_path / "deep" / "store").iterdir()} == {
        "data.mdb": 0o600,
        "lock.mdb": 0o600,
    }


@pytest.mark.usefixtures("open_umask")
def test_the_driver_itself_lets_everybody_read_them(tmp_path: Path) -> None:
    lmdb.Environment(str(tmp_path / "store")).close()
    assert mode(tmp_path / "store" / "data.mdb") & 0o044


@pytest.mark.parametrize(
    ("durability", "metasync", "sync"),
    [("durable", True, True), ("relaxed", False, True), ("unsafe_nosync", False, False)],
)
def test_the_names_of_durability_mean_what_they_say(
    tmp_path: Path, durability: Durability, metasync: bool, sync: bool
) -> None:
    engine = LmdbEngine(str(tmp_path), LmdbOptions(durability=durability))
    flags = engine._environment._env.flags()
    assert (flags["metasync"], flags["sync"], flags["writemap"]) == (metasync, sync, False)
    engine.close()


def test_durable_is_the_default() -> None:
    assert LmdbOptions().durability == "durable"


DATA_VERSION = """
import sys
from pathlib import Path
from tempfile import TemporaryDirectory
from tierfold_lmdb.engine import LmdbEngine
import lmdb
LmdbEngine(sys.argv[1]).close()
lmdb.Environment(sys.argv[2]).close()
print(*(int.from_bytes(Path(path, "data.mdb").read_bytes()[at : at + 4], sys.byteorder) for path, at in
    [(sys.argv[1], 20), (sys.argv[2], 28)]))
"""


def test_a_variable_of_the_process_does_not_choose_the_format(tmp_path: Path, run_script: Callable[..., str]) -> None:
    env = dict(os.environ, LMDB_DEFAULT_LIB_VERSION="1")
    assert run_script(DATA_VERSION, tmp_path / "ours", tmp_path / "raw", **env).split() == ["1", "3"]


def test_a_file_of_the_other_format_is_refused(tmp_path: Path) -> None:
    lmdb.Environment(str(tmp_path), lib_version=1).close()
    with pytest.raises(StoreFormatError):
        LmdbEngine(str(tmp_path))


def test_nothing_is_written_to_a_file_that_was_deleted(tmp_path: Path) -> None:
    """It would be gone with the last process that has it open. What was read before can still be read."""
    engine = LmdbEngine(str(tmp_path / "store"))
    txn = engine.begin()
    txn.put(b"key", b"value")
    txn.commit()
    shutil.rmtree(tmp_path / "store")
    for _ in range(2):
        with pytest.raises(StoreUnavailableError, match="deleted"):
            engine.begin()
    with engine.read() as (_, view):
        assert view.get(b"key") == b"value"
    engine.close()


def test_a_store_that_was_moved_while_it_is_open_is_written_to(tmp_path: Path) -> None:
    engine = LmdbEngine(str(tmp_path / "store"))
    (tmp_path / "store").rename(tmp_path / "elsewhere")
    txn = engine.begin()
    txn.put(b"key", b"value")
    txn.commit()
    engine.close()
    engine = LmdbEngine(str(tmp_path / "elsewhere"))
    with engine.read() as (_, view):
        assert view.get(b"key") == b"value"
    engine.close()
