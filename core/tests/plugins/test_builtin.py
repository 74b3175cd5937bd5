"""The built-in plugin, assembled like every other one."""

from __future__ import annotations

import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

from tierfold.abc.store import LocalStore
from tierfold.config import PluginsConfig
from tierfold.dsn import parse_dsn
from tierfold.model import SegmentName, Write
from tierfold.plugins import Plugins, load_plugins
from tierfold.specs import OpenContext

if TYPE_CHECKING:
    from core.tests.plugins.conftest import FakeSite


@pytest.fixture
def plugins(site: FakeSite) -> Plugins:
    site.install("tierfold", {"builtin": "tierfold.builtin.plugin"}, version="0.1.0")
    return load_plugins(PluginsConfig())


def test_it_contributes_what_the_core_needs(plugins: Plugins) -> None:
    (report,) = plugins.reports()
    assert (report.name, report.state) == ("builtin", "loaded")
    assert report.provides == {
        "stores": ("memory",),
        "key_strategies": ("global", "template", "date"),
        "conflict_resolvers": ("lww",),
    }


@pytest.mark.anyio
async def test_memory_opens_a_store_of_its_own(plugins: Plugins) -> None:
    dsn = parse_dsn("memory:near", plugins.stores())
    context = OpenContext(clock=lambda: 1_700_000_000_000, random_bytes=lambda size: b"\x07" * size)
    segment = SegmentName("Note", "app.global")
    async with dsn.spec.open(dsn.location, dsn.options, context) as one:
        assert isinstance(one, LocalStore)
        await one.write([Write(segment, "global.a", b"\x80")])
        async with dsn.spec.open(dsn.location, dsn.options, context) as other:
            assert (await one.get(segment, "global.a")) is not None
            assert (await other.get(segment, "global.a")) is None


def test_importing_it_brings_no_store(site: FakeSite) -> None:
    script = "import sys, tierfold.builtin.plugin; print(*sys.modules, sep='\\n')"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert not {"tierfold.kv.store", "anyio", "asyncio", "click", "stevedore"} & set(done.stdout.split())
