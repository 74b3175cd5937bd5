"""One import surface for plugin authors."""

from __future__ import annotations

import subprocess
import sys

from tierfold import spi


def test_every_public_name_of_the_contract_is_offered_once() -> None:
    assert all(hasattr(spi, name) for name in spi.__all__)
    assert len(spi.__all__) == len(set(spi.__all__))
    assert {"hookimpl", "StoreSpec", "EntityStore", "Record", "StoreError"} <= set(spi.__all__)


def test_importing_it_brings_no_machinery() -> None:
    script = "import sys, tierfold.spi; print(*sys.modules, sep='\\n')"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    modules = set(done.stdout.split())
    assert not modules & {"stevedore", "click", "anyio", "asyncio", "trio", "lmdb", "tierfold.plugins"}
