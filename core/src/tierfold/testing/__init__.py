"""Conformance suites, fakes and faults for plugin authors and for tests of programs. Needs ``tierfold[testing]``.

Nothing imports it at run time. Names are imported when they are first used, so that a fake brings no suite along.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from tierfold.testing.embedded import DurableStoreSuite, EmbeddedStoreSuite
    from tierfold.testing.engines import DurableEngineSuite, EngineSuite
    from tierfold.testing.fakes import FakeClock, fake_context, seeded_bytes
    from tierfold.testing.faults import FailNthCall, Fault, FlakyStore, SlowStore, faulty
    from tierfold.testing.indexes import IndexedStoreSuite
    from tierfold.testing.keys import KeyStrategySuite
    from tierfold.testing.nearers import NearerStoreSuite
    from tierfold.testing.stores import EntityStoreSuite, LocalStoreSuite
    from tierfold.testing.suite import Suite, deviation
    from tierfold.testing.syncables import SyncableStoreSuite

_HOME: Final = {
    "embedded": ("DurableStoreSuite", "EmbeddedStoreSuite"),
    "engines": ("DurableEngineSuite", "EngineSuite"),
    "fakes": ("FakeClock", "fake_context", "seeded_bytes"),
    "faults": ("FailNthCall", "Fault", "FlakyStore", "SlowStore", "faulty"),
    "indexes": ("IndexedStoreSuite",),
    "keys": ("KeyStrategySuite",),
    "nearers": ("NearerStoreSuite",),
    "stores": ("EntityStoreSuite", "LocalStoreSuite"),
    "suite": ("Suite", "deviation"),
    "syncables": ("SyncableStoreSuite",),
}
_MODULE_OF: Final = {name: module for module, names in _HOME.items() for name in names}

__all__ = [
    "DurableEngineSuite",
    "DurableStoreSuite",
    "EmbeddedStoreSuite",
    "EngineSuite",
    "EntityStoreSuite",
    "FailNthCall",
    "FakeClock",
    "Fault",
    "FlakyStore",
    "IndexedStoreSuite",
    "KeyStrategySuite",
    "LocalStoreSuite",
    "NearerStoreSuite",
    "SlowStore",
    "Suite",
    "SyncableStoreSuite",
    "deviation",
    "fake_context",
    "faulty",
    "seeded_bytes",
]


def __getattr__(name: str) -> object:
    module = _MODULE_OF.get(name)
    if module is None:
        raise AttributeError(f"module 'tierfold.testing' has no attribute {name!r}")
    value: object = getattr(import_module(f"tierfold.testing.{module}"), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return __all__
