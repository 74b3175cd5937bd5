"""What plugins contribute, and how a plugin that breaks the contract is refused."""

from __future__ import annotations

import logging
from collections.abc import AsyncGenerator, Callable, Iterable, Iterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import msgspec
import pytest

from tierfold.abc.keys import KeyStrategy
from tierfold.abc.store import EntityStore
from tierfold.config import PluginsConfig
from tierfold.discovery import Candidate
from tierfold.errors import PluginConflictError, PluginContractError, PluginError, PluginLoadError, PluginNotFoundError
from tierfold.hookspecs import hookimpl
from tierfold.model import Record
from tierfold.plugins import Plugins, load_plugins
from tierfold.specs import KeyStrategySpec, OpenContext, ResolverSpec, StoreSpec

if TYPE_CHECKING:
    from core.tests.plugins.conftest import FakeSite


class Options(msgspec.Struct):
    size: int = 1


@asynccontextmanager
async def open_store(location: str, options: Options, context: OpenContext) -> AsyncGenerator[EntityStore]:
    raise NotImplementedError
    yield


def make_strategy() -> KeyStrategy:
    raise NotImplementedError


def join(a: Record, b: Record) -> Record:
    return max(a, b, key=lambda record: record.stamp)


def store(*schemes: str) -> StoreSpec[Options]:
    return StoreSpec(schemes, open_store, Options)


class Provider:
    """A plugin object that contributes what it is given."""

    def __init__(
        self, *, stores: object = (), strategies: object = (), resolvers: object = (), calls: list[str] | None = None
    ) -> None:
        self.results = {"stores": stores, "strategies": strategies, "resolvers": resolvers}
        self.calls = calls if calls is not None else []

    @hookimpl
    def provide_stores(self) -> Any:
        self.calls.append("stores")
        return self.results["stores"]

    @hookimpl
    def provide_key_strategies(self) -> Any:
        return self.results["strategies"]

    @hookimpl
    def provide_conflict_resolvers(self) -> Any:
        return self.results["resolvers"]


def installed(**plugins: object) -> Plugins:
    return Plugins([Candidate(name, f"dist-{name}", "1.0", plugin) for name, plugin in plugins.items()])


def with_hook(name: str, function: Callable[..., object]) -> SimpleNamespace:
    return SimpleNamespace(**{name: hookimpl(function)})


def provide_nothing() -> list[object]:
    return []


def test_contributions_are_found_by_name() -> None:
    spec, strategy, rule = store("redis"), KeyStrategySpec("week", make_strategy), ResolverSpec("max", 1, "join", join)
    plugins = installed(a=Provider(stores=[spec]), b=Provider(strategies=[strategy], resolvers=[rule]))
    assert plugins.stores() == {"redis": spec}
    assert plugins.key_strategy("week") is strategy
    assert plugins.resolver("max") is rule


def test_one_scheme_may_be_given_as_plain_text() -> None:
    spec = StoreSpec("redis", open_store, Options, summary="Redis")
    assert installed(a=Provider(stores=[spec])).stores() == {"redis": spec}


def test_store_is_known_by_each_of_its_schemes() -> None:
    assert set(installed(a=Provider(stores=[store("mongodb", "mongodb+srv")])).stores()) == {"mongodb", "mongodb+srv"}


def test_generator_is_a_hook_too() -> None:
    def provide_stores() -> Iterator[StoreSpec[Any]]:
        yield store("a")
        yield store("b")

    assert list(installed(a=with_hook("provide_stores", provide_stores)).stores()) == ["a", "b"]


def test_hooks_are_called_once_and_in_the_given_order() -> None:
    first, second = list[str](), list[str]()
    plugins = installed(z=Provider(stores=[store("z")], calls=first), a=Provider(stores=[store("a")], calls=second))
    assert list(plugins.stores()) == ["z", "a"]
    assert list(plugins.stores()) == ["z", "a"]
    assert (first, second) == (["stores"], ["stores"])


def test_objects_of_the_host_come_last_and_need_no_distribution() -> None:
    plugins = Plugins([Candidate("a", "dist-a", "1.0", Provider(stores=[store("a")]))], [Provider(stores=[store("h")])])
    assert list(plugins.stores()) == ["a", "h"]
    assert [report.name for report in plugins.reports()] == ["a", "host:Provider"]


def test_plugin_object_need_be_neither_hashable_nor_unequal_to_others() -> None:
    @dataclass
    class Plugin:
        @hookimpl
        def provide_stores(self) -> Iterable[StoreSpec[Any]]:
            return []

    assert Plugins([], [Plugin(), Plugin()]).stores() == {}


def test_two_host_objects_of_one_class_are_told_apart() -> None:
    plugins = Plugins([], [Provider(stores=[store("a")]), Provider(stores=[store("b")])])
    assert [report.name for report in plugins.reports()] == ["host:Provider#1", "host:Provider#2"]


def test_wrapper_decorates_the_contributions_of_others() -> None:
    class Renaming:
        @hookimpl(wrapper=True)
        def provide_stores(self) -> Any:
            results = yield
            return [[msgspec.structs.replace(spec, summary="wrapped") for spec in specs] for specs in results]

    plugins = installed(a=Provider(stores=[store("a")]), w=Renaming())
    assert plugins.stores()["a"].summary == "wrapped"


@pytest.mark.parametrize(
    "hook", ["provide_stores", "provide_key_strategies", "provide_conflict_resolvers", "register_commands"]
)
def test_coroutine_hook_is_refused_by_plugin_and_hook(hook: str) -> None:
    async def asynchronous() -> None: ...

    with pytest.raises(PluginContractError, match="coroutine") as caught:
        Plugins([], [with_hook(hook, asynchronous)])
    assert (caught.value.plugin, caught.value.hook) == ("host:SimpleNamespace", hook)


def test_asynchronous_generator_hook_is_refused() -> None:
    async def asynchronous() -> AsyncGenerator[None]:
        yield

    with pytest.raises(PluginContractError, match="coroutine"):
        Plugins([], [with_hook("provide_stores", asynchronous)])


def test_unknown_hook_is_refused_with_the_known_ones() -> None:
    with pytest.raises(PluginContractError, match=r"'host:SimpleNamespace', hook 'provide_sotres'.*provide_stores"):
        Plugins([], [with_hook("provide_sotres", provide_nothing)])


def test_unknown_hook_that_says_it_is_optional_is_left_alone() -> None:
    plugin = SimpleNamespace(provide_dreams=hookimpl(provide_nothing, optionalhook=True))
    assert Plugins([], [plugin]).stores() == {}


def test_hook_without_its_mark_is_refused() -> None:
    with pytest.raises(PluginContractError, match="not marked"):
        Plugins([], [SimpleNamespace(provide_stores=lambda: [store("a")])])


def test_hook_with_unknown_arguments_is_refused() -> None:
    with pytest.raises(PluginContractError, match="takes settings; the hook gives nothing"):
        Plugins([], [with_hook("provide_stores", lambda settings: [])])


@pytest.mark.parametrize(
    ("result", "message"),
    [
        (store("a"), "returned StoreSpec, expected an iterable of StoreSpec"),
        ("abc", "returned str"),
        ({"a": store("a")}, "returned dict"),
        ([KeyStrategySpec("a", make_strategy)], "gave KeyStrategySpec, expected StoreSpec"),
        ([store()], "a scheme begins"),
        ([store("Redis")], "a scheme begins"),
        ([store("re:dis")], "a scheme begins"),
        ([StoreSpec("a", open_store, int)], "options_type"),  # type: ignore[arg-type]
        ([StoreSpec("a", Options, Options, async_backends=())], "async_backends"),  # type: ignore[arg-type]
        ([StoreSpec("a", Options, Options, async_backends=("curio",))], "async_backends"),  # type: ignore[arg-type]
        ([StoreSpec("a", None, Options)], "asynccontextmanager"),  # type: ignore[arg-type]
    ],
)
def test_malformed_store_is_refused(result: object, message: str) -> None:
    with pytest.raises(PluginContractError, match=message) as caught:
        Plugins([], [Provider(stores=result)])
    assert caught.value.hook == "provide_stores"


def test_store_opened_by_a_plain_coroutine_is_refused() -> None:
    async def open_plainly(location: str, options: Options, context: OpenContext) -> EntityStore:
        raise NotImplementedError

    with pytest.raises(PluginContractError, match="asynccontextmanager"):
        Plugins([], [Provider(stores=[StoreSpec("a", open_plainly, Options)])])  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("spec", "message"),
    [
        (ResolverSpec("a", 1, "vote", join), "kind is 'vote'"),  # type: ignore[arg-type]
        (ResolverSpec("a", 1, "join", None), "resolve is not callable"),  # type: ignore[arg-type]
    ],
)
def test_malformed_resolver_is_refused(spec: ResolverSpec, message: str) -> None:
    with pytest.raises(PluginContractError, match=message):
        Plugins([], [Provider(resolvers=[spec])])


def test_malformed_key_strategy_is_refused() -> None:
    with pytest.raises(PluginContractError, match="make is not callable"):
        Plugins([], [Provider(strategies=[KeyStrategySpec("a", None)])])  # type: ignore[arg-type]


def test_hook_of_the_host_that_raises_is_an_error_with_its_cause() -> None:
    def provide_stores() -> Iterable[StoreSpec[Any]]:
        raise ZeroDivisionError("oh")

    with pytest.raises(PluginLoadError, match="provide_stores raised ZeroDivisionError: oh") as caught:
        Plugins([], [with_hook("provide_stores", provide_stores)])
    assert isinstance(caught.value.__cause__, ZeroDivisionError)


@pytest.mark.parametrize("hook", ["provide_sotres", "provide_stores"])
def test_installed_plugin_that_breaks_the_contract_is_left_out(hook: str) -> None:
    plugins = installed(bad=with_hook(hook, lambda: [1]), good=Provider(stores=[store("good")]))
    assert set(plugins.stores()) == {"good"}
    assert plugins.failed() == ("bad",)


def test_failed_plugin_is_logged(site: FakeSite, caplog: pytest.LogCaptureFixture) -> None:
    site.install("acme-bad", {"bad": "fake_bad"}, fake_bad="import no_such_driver")
    with caplog.at_level(logging.WARNING, "tierfold.plugins"):
        assert load_plugins(PluginsConfig()).failed() == ("bad",)
    assert "plugin 'bad' of distribution 'acme-bad'" in caplog.text


def test_plugin_that_fails_late_contributes_nothing() -> None:
    plugins = installed(bad=Provider(stores=[store("bad")], resolvers=[1]))
    assert plugins.stores() == {}


@pytest.mark.parametrize(
    ("first", "second", "look"),
    [
        ({"stores": [store("x", "a")]}, {"stores": [store("x")]}, Plugins.stores),
        (
            {"strategies": [KeyStrategySpec("x", make_strategy)]},
            {"strategies": [KeyStrategySpec("x", make_strategy)]},
            Plugins.key_strategies,
        ),
        (
            {"resolvers": [ResolverSpec("x", 1, "join", join)]},
            {"resolvers": [ResolverSpec("x", 2, "join", join)]},
            Plugins.resolvers,
        ),
    ],
    ids=["stores", "key strategies", "resolvers"],
)
def test_name_claimed_twice_is_a_conflict_that_names_both(
    first: dict[str, Any], second: dict[str, Any], look: Callable[[Plugins], object]
) -> None:
    plugins = installed(one=Provider(**first), between=Provider(), two=Provider(**second))
    with pytest.raises(PluginConflictError) as caught:
        look(plugins)
    assert caught.value.providers == ("one", "two")
    assert [report.state for report in plugins.reports()] == ["failed", "loaded", "failed"]


@pytest.mark.parametrize(
    ("names", "host", "remedy"),
    [
        (("one", "two"), (), '[plugins] disable = ["one"] in tierfold.toml'),
        (("builtin", "two"), (), 'disable = ["two"]'),
        (("one",), (Provider(stores=[store("x")]),), 'disable = ["one"]'),
        ((), (Provider(stores=[store("x")]), Provider(stores=[store("x")])), "give open only one of them"),
    ],
    ids=["installed", "built in", "installed and given", "given"],
)
def test_a_conflict_says_how_to_leave_one_of_them_out(
    names: Sequence[str], host: Sequence[object], remedy: str
) -> None:
    candidates = [Candidate(name, f"dist-{name}", "1.0", Provider(stores=[store("x")])) for name in names]
    with pytest.raises(PluginConflictError) as caught:
        Plugins(candidates, host).stores()
    assert remedy in str(caught.value)


@pytest.mark.parametrize(
    "error",
    [PluginConflictError("plugin 'x'", ["d1", "d2"]), PluginNotFoundError("plugin 'x' of the configured order")],
)
def test_ambiguous_choice_of_plugins_stops_every_lookup(error: PluginError) -> None:
    plugins = Plugins([Candidate("x", error=error), Candidate("a", "dist-a", "1.0", Provider(stores=[store("a")]))])
    with pytest.raises(type(error)):
        plugins.stores()


def test_missing_name_is_reported_with_known_ones_and_failed_plugins() -> None:
    failure = Candidate("bad", "dist-bad", "1.0", error=PluginLoadError("bad", "dist-bad", "ImportError: no"))
    rule = ResolverSpec("lww", 1, "join", join)
    plugins = Plugins([Candidate("good", "dist-good", "1.0", Provider(resolvers=[rule])), failure])
    with pytest.raises(PluginNotFoundError) as caught:
        plugins.resolver("first-writer")
    assert (caught.value.known, caught.value.failed) == (("lww",), ("bad",))


def test_reports_show_every_plugin_and_its_state() -> None:
    failure = PluginLoadError("bad", "dist-bad", "ImportError: no")
    plugins = Plugins(
        [
            Candidate("good", "dist-good", "1.0", Provider(stores=[store("a", "b")])),
            Candidate("bad", "dist-bad", "2.0", error=failure),
            Candidate("off", "dist-off", "3.0"),
        ]
    )
    good, bad, off = plugins.reports()
    assert (good.state, good.distribution, good.provides["stores"]) == ("loaded", "dist-good", ("a", "b"))
    assert (bad.state, bad.version, bad.error) == ("failed", "2.0", str(failure))
    assert (off.state, off.error) == ("disabled", None)
