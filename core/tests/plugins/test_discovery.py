"""Which plugins are found and imported, with real entry points."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tierfold.config import PluginsConfig
from tierfold.discovery import Candidate, discover
from tierfold.errors import PluginConflictError, PluginLoadError, PluginNotFoundError

if TYPE_CHECKING:
    from core.tests.plugins.conftest import FakeSite


def found(*, disable: tuple[str, ...] = (), order: tuple[str, ...] = ()) -> tuple[Candidate, ...]:
    return discover(PluginsConfig(disable=disable, order=order))


def loaded(**config: tuple[str, ...]) -> list[str]:
    return [candidate.name for candidate in found(**config) if candidate.plugin is not None]


def test_nothing_installed_finds_nothing(site: FakeSite) -> None:
    assert found() == ()


def test_plugin_is_imported_and_names_its_distribution(site: FakeSite) -> None:
    site.install("acme-redis", {"redis": "fake_redis"}, version="2.5", fake_redis="MARK = 1")
    (candidate,) = found()
    assert (candidate.name, candidate.distribution, candidate.version) == ("redis", "acme-redis", "2.5")
    assert candidate.plugin is sys.modules["fake_redis"]
    assert candidate.error is None


def test_plugins_come_by_name_with_the_built_in_one_first(site: FakeSite) -> None:
    site.install("zeta", {"zeta": "fake_zeta"}, fake_zeta="")
    site.install("alpha", {"alpha": "fake_alpha"}, fake_alpha="")
    site.install("core", {"builtin": "fake_builtin"}, fake_builtin="")
    assert loaded() == ["builtin", "alpha", "zeta"]


def test_order_selects_and_orders_behind_the_built_in_one(site: FakeSite) -> None:
    site.install("core", {"builtin": "fake_builtin"}, fake_builtin="")
    site.install("three", {"a": "fake_a", "b": "fake_b", "c": "fake_c"}, fake_a="", fake_b="", fake_c="")
    assert loaded(order=("c", "a")) == ["builtin", "c", "a"]
    assert "fake_b" not in sys.modules


def test_order_that_names_the_built_in_one_decides_its_place(site: FakeSite) -> None:
    site.install("core", {"builtin": "fake_builtin"}, fake_builtin="")
    site.install("other", {"a": "fake_a"}, fake_a="")
    assert loaded(order=("a", "builtin")) == ["a", "builtin"]


def test_order_that_names_a_missing_plugin_reports_it_with_the_known_ones(site: FakeSite) -> None:
    site.install("redis", {"redis": "fake_redis"}, fake_redis="")
    missing = found(order=("rediss",))[-1]
    assert missing.name == "rediss"
    assert isinstance(missing.error, PluginNotFoundError)
    assert missing.error.known == ("redis",)


def test_disabled_plugin_is_listed_and_not_imported(site: FakeSite) -> None:
    site.install("redis", {"redis": "fake_redis"}, fake_redis="raise RuntimeError")
    (candidate,) = found(disable=("redis",))
    assert (candidate.name, candidate.plugin, candidate.error) == ("redis", None, None)
    assert "fake_redis" not in sys.modules


@pytest.mark.parametrize(
    "source", ["import no_such_driver", "raise AssertionError('no')", "import sys; sys.exit(3)", "def broken(:"]
)
def test_failed_import_is_recorded_and_the_others_load(site: FakeSite, source: str) -> None:
    site.install("good", {"good": "fake_good"}, fake_good="")
    site.install("acme-bad", {"bad": "fake_bad"}, fake_bad=source)
    good, bad = found()
    assert good.plugin is not None
    assert isinstance(bad.error, PluginLoadError)
    assert (bad.error.plugin, bad.error.distribution) == ("bad", "acme-bad")
    assert bad.error.__cause__ is not None
    assert type(bad.error.__cause__).__name__ in str(bad.error)


def test_entry_point_to_a_missing_module_is_recorded(site: FakeSite) -> None:
    site.install("gone", {"gone": "fake_module_that_is_gone"})
    (candidate,) = found()
    assert isinstance(candidate.error, PluginLoadError)


def test_duplicate_names_are_refused_and_both_distributions_named(site: FakeSite) -> None:
    # A third one sorts between the two, since stevedore's own check sees neighbours only.
    site.install("acme-redis", {"redis": "fake_one"}, fake_one="")
    site.install("between", {"other": "fake_other"}, fake_other="")
    site.install("zeta-redis", {"redis": "fake_two"}, fake_two="")
    assert loaded() == ["other"]
    errors = [candidate.error for candidate in found() if candidate.name == "redis"]
    assert [type(error) for error in errors] == [PluginConflictError, PluginConflictError]
    assert "acme-redis and by zeta-redis" in str(errors[0])
    assert 'uninstall one of them, or leave both out: [plugins] disable = ["redis"]' in str(errors[0])
    assert not any(candidate.error for candidate in found(disable=("redis",)))
    assert "fake_one" not in sys.modules


def test_duplicate_that_points_to_the_same_module_is_refused_as_well(site: FakeSite) -> None:
    site.install("acme-redis", {"redis": "fake_one"}, fake_one="")
    site.install("fork-of-redis", {"redis": "fake_one"})
    assert loaded() == []


def test_disabled_duplicates_are_no_error(site: FakeSite) -> None:
    site.install("acme-redis", {"redis": "fake_one"}, fake_one="")
    site.install("zeta-redis", {"redis": "fake_two"}, fake_two="")
    assert [candidate.error for candidate in found(disable=("redis",))] == [None, None]


def test_reinstalled_plugin_is_seen_at_once(site: FakeSite, tmp_path: Path) -> None:
    site.install("one", {"one": "fake_one"}, fake_one="")
    assert loaded() == ["one"]
    (site.folder / "one-1.0.dist-info" / "entry_points.txt").write_text("[tierfold.plugins]\nuno = fake_one\n")
    assert loaded() == ["uno"]
    assert not (tmp_path / "cache").exists()
