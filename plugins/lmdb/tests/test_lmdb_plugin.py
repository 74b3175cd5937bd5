"""The plugin as its host sees it: found without the driver, opened with it."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from tierfold.dsn import parse_dsn
from tierfold.errors import ConfigError, StoreClosedError, StoreFullError
from tierfold.model import SegmentName, Write
from tierfold.spi import LocalStore
from tierfold.testing.fakes import fake_context
from tierfold_lmdb.options import LmdbOptions
from tierfold_lmdb.plugin import open_lmdb, provide_stores

SEGMENT = SegmentName("Sensor", "app.oslo")
STORES = {name: spec for spec in provide_stores() for name in spec.names}


def test_importing_the_plugin_imports_no_driver(run_script: Callable[..., str]) -> None:
    code = "import sys, tierfold_lmdb.plugin; print({'lmdb', 'asyncio', 'tierfold.kv.store'} & set(sys.modules))"
    assert run_script(code) == "set()\n"


def test_the_query_of_a_url_becomes_options() -> None:
    dsn = parse_dsn("lmdb:/data/a%20b?durability=relaxed&map_bytes=1048576&allow_network_fs=true", STORES)
    assert dsn.location == "/data/a%20b"
    assert dsn.options == LmdbOptions(durability="relaxed", map_bytes=1048576, allow_network_fs=True)


@pytest.mark.parametrize("query", ["durability=lazy", "map_bytes=much", "sync=false"])
def test_an_option_that_does_not_fit_is_refused(query: str) -> None:
    with pytest.raises(ConfigError):
        parse_dsn(f"lmdb:/data?{query}", STORES)


@pytest.mark.parametrize(
    ("query", "named"),
    [
        ("map_bytes=-5", "map_bytes is -5"),
        ("map_bytes=0", "map_bytes is 0"),
        ("map_bytes=1", "map_bytes is 1"),
        (f"map_bytes={2**63}&max_map_bytes={2**63}", "map_bytes is"),
        ("max_map_bytes=1048576", "max_map_bytes 1048576"),
        ("map_bytes=2097152&max_map_bytes=1048576", "map_bytes is 2097152 and max_map_bytes 1048576"),
        ("max_readers=0", "max_readers is 0"),
        (f"max_readers={2**31}", "max_readers is"),
        ("min_free_bytes=-1", "min_free_bytes is -1"),
    ],
)
def test_a_number_out_of_range_is_refused_before_anything_is_opened(query: str, named: str) -> None:
    with pytest.raises(ConfigError, match=named):
        parse_dsn(f"lmdb:/data?{query}", STORES)


def test_a_program_that_makes_options_itself_is_told_the_same() -> None:
    with pytest.raises(ConfigError, match="max_readers is 0"):
        LmdbOptions(max_readers=0)
    with pytest.raises(ConfigError, match="durable, relaxed, unsafe_nosync"):
        LmdbOptions(durability="fast")  # type: ignore[arg-type]


def test_another_durability_is_told_which_there_are() -> None:
    with pytest.raises(ConfigError, match="'durability' is one of durable, relaxed, unsafe_nosync"):
        parse_dsn("lmdb:/data?durability=fast", STORES)


@pytest.mark.parametrize("options", [LmdbOptions(map_bytes=64 * 1024), LmdbOptions(max_readers=1)])
@pytest.mark.anyio
async def test_the_least_that_is_allowed_holds_a_store(tmp_path: Path, options: LmdbOptions) -> None:
    async with open_lmdb(str(tmp_path), options, fake_context(seed=1)) as store:
        await store.write([Write(SEGMENT, "oslo.1", bytes(100_000))])


@pytest.mark.anyio
async def test_a_map_that_may_not_grow_names_the_option(tmp_path: Path) -> None:
    options = LmdbOptions(map_bytes=256 * 1024, max_map_bytes=512 * 1024)
    async with open_lmdb(str(tmp_path), options, fake_context(seed=1)) as store:
        with pytest.raises(StoreFullError, match="max_map_bytes=524288"):
            await store.write([Write(SEGMENT, "oslo.1", bytes(1_000_000))])


@pytest.mark.anyio
async def test_an_opened_store_keeps_what_is_written(tmp_path: Path) -> None:
    async with open_lmdb(str(tmp_path), LmdbOptions(), fake_context(seed=1)) as store:
        assert isinstance(store, LocalStore)
        await store.write([Write(SEGMENT, "oslo.1", b"\x80")])
    with pytest.raises(StoreClosedError):
        await store.get(SEGMENT, "oslo.1")
    async with open_lmdb(str(tmp_path), LmdbOptions(), fake_context(seed=2)) as store:
        found = await store.get(SEGMENT, "oslo.1")
    assert found is not None
    assert found.payload == b"\x80"
