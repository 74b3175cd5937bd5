"""Reading ``scheme:location?query``."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any, Literal

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tierfold.abc.store import EntityStore
from tierfold.dsn import Dsn, parse_dsn
from tierfold.errors import ConfigError, PluginNotFoundError
from tierfold.specs import OpenContext, StoreSpec


class Nothing(msgspec.Struct, frozen=True): ...


class LmdbOptions(msgspec.Struct, frozen=True):
    durability: Literal["durable", "relaxed"] = "durable"
    readers: int = 126
    network: bool = False
    label: str | None = None


@dataclass(frozen=True)
class RedisOptions:
    address: str
    db: int = 0


@asynccontextmanager
async def open_store(location: str, options: object, context: OpenContext) -> AsyncGenerator[EntityStore]:
    raise NotImplementedError
    yield


STORES: dict[str, StoreSpec[Any]] = {
    "memory": StoreSpec("memory", open_store, Nothing),
    "lmdb": StoreSpec("lmdb", open_store, LmdbOptions),
    "redis": StoreSpec("redis", open_store, RedisOptions),
    "mongodb": StoreSpec("mongodb", open_store, Nothing),
    "srv": StoreSpec("srv", open_store, Nothing),
    "mongodb+srv": StoreSpec("mongodb+srv", open_store, Nothing),
}


def parse(url: str) -> Dsn:
    return parse_dsn(url, STORES)


@pytest.mark.parametrize(
    ("url", "scheme", "location"),
    [
        ("memory:", "memory", ""),
        ("memory:near", "memory", "near"),
        ("lmdb:./data", "lmdb", "./data"),
        ("lmdb:./data?durability=relaxed", "lmdb", "./data"),
        ("lmdb:/var/a b:c", "lmdb", "/var/a b:c"),
        ("mongodb://user:p%40ss@host/db", "mongodb", "//user:p%40ss@host/db"),
        ("mongodb+srv://host", "mongodb+srv", "//host"),
    ],
)
def test_scheme_and_location_are_split(url: str, scheme: str, location: str) -> None:
    dsn = parse(url)
    assert (dsn.scheme, dsn.location, dsn.spec) == (scheme, location, STORES[scheme])


def test_query_becomes_typed_options() -> None:
    options = parse("lmdb:x?durability=relaxed&readers=7&network=true&label=a%26b+c").options
    assert options == LmdbOptions(durability="relaxed", readers=7, network=True, label="a&b+c")


def test_options_left_out_have_their_defaults() -> None:
    assert parse("lmdb:x").options == LmdbOptions()
    assert parse("lmdb:x?").options == LmdbOptions()


def test_dataclass_serves_as_options() -> None:
    assert parse("redis:?address=here&db=2").options == RedisOptions("here", 2)


def test_unknown_option_lists_the_known_ones() -> None:
    with pytest.raises(ConfigError, match="unknown option 'durabilty'; lmdb knows durability, label, network, readers"):
        parse("lmdb:x?durabilty=relaxed")


def test_store_without_options_says_so() -> None:
    with pytest.raises(ConfigError, match="memory knows none"):
        parse("memory:?max=1")


@pytest.mark.parametrize(
    ("query", "message"),
    [
        ("readers=many", r"Expected `int`, got `str` - at `\$.readers`"),
        ("durability=fast", "lmdb: option 'durability' is one of durable, relaxed$"),
        ("readers", "has no value"),
        ("readers=1&readers=2", "given twice"),
    ],
)
def test_query_that_does_not_fit_is_an_error(query: str, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        parse(f"lmdb:x?{query}")


def test_missing_required_option_is_an_error() -> None:
    with pytest.raises(ConfigError, match="address"):
        parse("redis:")


def test_unknown_scheme_names_known_ones_and_failed_plugins() -> None:
    with pytest.raises(PluginNotFoundError) as caught:
        parse_dsn("scylla://host", STORES, failed=["scylla"])
    assert set(caught.value.known) == set(STORES)
    assert caught.value.failed == ("scylla",)


@pytest.mark.parametrize("url", ["zstd+lmdb:x", "crypt+zstd+mongodb+srv://host"])
def test_value_transform_is_not_installed(url: str) -> None:
    with pytest.raises(PluginNotFoundError, match="value transform"):
        parse(url)


def test_path_without_a_scheme_is_an_error_that_shows_how_to_write_it() -> None:
    with pytest.raises(ConfigError, match=r"'\./data' names no store; write scheme:location"):
        parse("./data")


@pytest.mark.parametrize(
    "url", ["lmdb:secret?x=secret", "lmdb:secret?readers=secret", "lmdb:secret?durability=secret", "nosuch:secret"]
)
def test_messages_hold_neither_location_nor_value(url: str) -> None:
    with pytest.raises((ConfigError, PluginNotFoundError)) as caught:
        parse(url)
    assert "secret" not in str(caught.value)


@given(st.sampled_from(sorted(STORES.keys() - {"redis"})), st.text().filter(lambda text: "?" not in text))
def test_any_location_is_passed_on_as_written(scheme: str, location: str) -> None:
    dsn = parse(f"{scheme}:{location}")
    assert (dsn.scheme, dsn.location) == (scheme, location)
