"""The plugin as its host sees it: found without the driver, opened with it."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from tierfold.dsn import parse_dsn
from tierfold.errors import ConfigError, StoreClosedError
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
