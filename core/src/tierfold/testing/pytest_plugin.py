"""What pytest does for who runs a suite: readable failures inside it, and a list of the tests that were replaced."""

from __future__ import annotations

import pkgutil
from typing import Final

import pytest

import tierfold.testing
from tierfold.testing.suite import deviation_of

__all__: list[str] = []

_NAMES: Final = [f"tierfold.testing.{module.name}" for module in pkgutil.iter_modules(tierfold.testing.__path__)]
_deviations: Final = pytest.StashKey[dict[str, str]]()

# pytest rewrites the asserts of installed plugins by itself, but does not find them in an editable installation.
pytest.register_assert_rewrite(*(name for name in _NAMES if name not in {__name__, "tierfold.testing.suite"}))


def pytest_collection_finish(session: pytest.Session) -> None:
    """Remember which tests of suites were replaced, and why."""
    tests = {item.nodeid.partition("[")[0]: getattr(item, "function", None) for item in session.items}
    reasons = {name: deviation_of(test) for name, test in tests.items()}
    session.config.stash[_deviations] = {name: reason for name, reason in reasons.items() if reason}


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter, config: pytest.Config) -> None:
    """List them below the results, so that a weakened suite is seen by whoever reads these."""
    deviations = config.stash.get(_deviations, {})
    if deviations:
        terminalreporter.section("deviations from conformance suites")
        for name, reason in sorted(deviations.items()):
            terminalreporter.line(f"{name}: {reason}")
