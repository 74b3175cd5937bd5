"""Declarations in code, configuration file and catalog must agree; nobody silently wins."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from pathlib import Path

import pytest

import tierfold
from tierfold.spi import KeyStrategy, KeyStrategySpec, hookimpl

pytestmark = pytest.mark.anyio


class Site(tierfold.Entity, name="Place", partition="{site}"):
    site: str


class Region(tierfold.Entity, name="Place", partition="{region}"):
    region: str
    site: str = ""


class Numbered(tierfold.Entity, name="Place", partition="{site}", id="{number}"):
    site: str
    number: int


class Newer(tierfold.Entity, name="Place", partition="{site}", schema=4):
    site: str
    more: int = 0


class Unresolved(tierfold.Entity, name="Place", partition="{site}", conflict="no-such-rule"):
    site: str


def write_config(folder: Path, text: str) -> Path:
    path = folder / "tierfold.toml"
    path.write_text(f'[[tiers]]\nurl = "lmdb:{folder / "data"}"\n{text}')
    return path


@pytest.mark.parametrize(("other", "ours", "theirs"), [(Region, "{region}", "{site}"), (Numbered, "{number}", "None")])
async def test_code_that_contradicts_the_catalog_is_refused_with_both_sides(
    tmp_path: Path, other: type[Region | Numbered], ours: str, theirs: str
) -> None:
    url = f"lmdb:{tmp_path / 'a'}"
    async with tierfold.open(url) as data:
        await data.repo(Site).save(Site(site="a"))
    async with tierfold.open(url) as data:
        with pytest.raises(tierfold.ConfigError) as error:
            data.repo(other)
        assert ours in str(error.value)
        assert theirs in str(error.value)


async def test_two_classes_of_one_program_that_contradict_each_other_are_refused() -> None:
    async with tierfold.open("memory:") as data:
        sites, regions = data.repo(Site), data.repo(Region)
        await sites.save(Site(site="a"))
        with pytest.raises(tierfold.ConfigError, match="partition"):
            await regions.save(Region(region="b"))
        with pytest.raises(tierfold.ConfigError, match="partition"):
            await regions.save(Region(region="b"))
        assert len(await sites.query().all()) == 1


async def test_a_program_may_know_another_schema(tmp_path: Path) -> None:
    url = f"lmdb:{tmp_path / 'a'}"
    for cls in (Newer, Site):
        async with tierfold.open(url) as data:
            await data.repo(cls).save(cls(site="a"))
    async with tierfold.open(url) as data:
        assert len(await data.repo(Newer).query().all()) == 2


async def test_the_catalog_is_written_with_the_first_write_and_never_by_a_read(tmp_path: Path) -> None:
    url = f"lmdb:{tmp_path / 'a'}"
    async with tierfold.open(url) as data:
        assert await data.repo(Site).get("a.b") is None
        assert await data.repo(Site).query().all() == []
    async with tierfold.open(url) as data:
        await data.repo(Region).save(Region(region="a"))
    async with tierfold.open(url) as data:
        with pytest.raises(tierfold.ConfigError):
            data.repo(Site)


class Borrowed(tierfold.Entity, partition="{org}", id="{serial}", schema=3):
    org: str
    serial: str


async def test_raw_documents_follow_a_class_of_the_program_before_anything_is_stored() -> None:
    async with tierfold.open("memory:") as data:
        borrowed = data.repo(Borrowed)
        document = await data.repo("Borrowed").save({"org": "acme", "serial": "a9"})
        assert document["id"] == "acme.a9"
        assert await borrowed.get("acme.a9") is not None
        meta = await borrowed.meta("acme.a9")
        assert meta is not None
        assert meta.schema == 3
        await borrowed.save(Borrowed(org="acme", serial="a10"))


async def test_raw_documents_follow_a_strategy_that_is_not_registered() -> None:
    class Book(tierfold.Entity, partition=Shelf("title", "1")):
        title: str

    async with tierfold.open("memory:") as data:
        data.repo(Book)
        assert (await data.repo("Book").save({"title": "Emma"}))["id"].startswith("E.")


@pytest.mark.parametrize("raw_first", [False, True])
async def test_a_raw_repository_made_before_the_class_is_refused_or_refuses_it(raw_first: bool) -> None:
    """Nothing was declared when it was made, so its documents are global; whoever writes second is told."""
    async with tierfold.open("memory:") as data:
        raw, typed = data.repo("Borrowed"), data.repo(Borrowed)
        writes: list[Callable[[], Awaitable[object]]] = [
            lambda: raw.save({"org": "acme"}),
            lambda: typed.save(Borrowed(org="acme", serial="a9")),
        ]
        first, second = writes if raw_first else writes[::-1]
        await first()
        with pytest.raises(tierfold.ConfigError, match=r"'global'.*\{org\}|\{org\}.*'global'"):
            await second()
        assert await raw.query().count() == 1


async def test_raw_documents_follow_the_declaration_of_the_catalog(tmp_path: Path) -> None:
    url = f"lmdb:{tmp_path / 'a'}"
    async with tierfold.open(url) as data:
        await data.repo(Numbered).save(Numbered(site="a", number=1))
    async with tierfold.open(url) as data:
        places = data.repo("Place")
        saved = await places.save({"site": "b", "number": 2})
        assert saved["id"] == "b.2"
        assert (await data.repo(Numbered).get("b.2")) is not None


async def test_a_type_that_nobody_declares_lives_in_the_global_partition() -> None:
    async with tierfold.open("memory:") as data:
        saved = await data.repo("Anything").save({"a": [1, {"b": None}]})
        assert saved["id"].startswith("global.")
        found = await data.repo("Anything").get(saved["id"])
        assert found is not None
        assert found["a"] == [1, {"b": None}]
        assert found["version"] == 1


async def test_the_configuration_file_declares_types_without_a_class(tmp_path: Path) -> None:
    path = write_config(tmp_path, '[entities.Place]\npartition = "{site}"\nid = "{number}"\n')
    async with tierfold.open(config=path) as data:
        assert (await data.repo("Place").save({"site": "a", "number": 3}))["id"] == "a.3"
        assert await data.repo(Numbered).get("a.3") is not None


@pytest.mark.parametrize(
    ("text", "found"),
    [('partition = "{region}"', "{region}"), ('id = "{site}"', "{site}"), ('conflict = "first"', "first")],
)
async def test_code_that_contradicts_the_configuration_is_refused_with_both_sides(
    tmp_path: Path, text: str, found: str
) -> None:
    path = write_config(tmp_path, f"[entities.Place]\n{text}\n")
    async with tierfold.open(config=path) as data:
        with pytest.raises(tierfold.ConfigError) as error:
            data.repo(Site)
        assert found in str(error.value)
        assert "code" in str(error.value)
        assert "configuration" in str(error.value)


async def test_a_configuration_that_contradicts_the_catalog_is_refused(tmp_path: Path) -> None:
    async with tierfold.open(f"lmdb:{tmp_path / 'data'}") as data:
        await data.repo(Site).save(Site(site="a"))
    path = write_config(tmp_path, '[entities.Place]\npartition = "{region}"\n')
    async with tierfold.open(config=path) as data:
        with pytest.raises(tierfold.ConfigError) as error:
            data.repo("Place")
        assert "{region}" in str(error.value)
        assert "{site}" in str(error.value)
        assert "catalog" in str(error.value)


class Unplaced(tierfold.Entity, name="Place", partition="no-such-rule(site)"):
    site: str


@pytest.mark.parametrize(
    ("cls", "said"),
    [
        (Unresolved, "conflict resolver 'no-such-rule' is not installed; known: lww"),
        (Unplaced, "key strategy 'no-such-rule' is not installed; known: date, global, template"),
    ],
)
async def test_a_rule_that_is_not_installed_is_refused_with_the_type_and_those_that_are(
    cls: type[tierfold.Entity], said: str
) -> None:
    async with tierfold.open("memory:") as data:
        with pytest.raises(tierfold.PluginNotFoundError, match=f"entity type 'Place': {said}"):
            data.repo(cls)


async def test_a_class_that_is_no_entity_is_refused() -> None:
    async with tierfold.open("memory:") as data:
        with pytest.raises(tierfold.ConfigError):
            data.repo(int)


async def test_a_repository_is_made_once() -> None:
    async with tierfold.open("memory:") as data:
        assert data.repo(Site) is data.repo(Site)
        assert data.repo("Place") is data.repo("Place")


async def test_a_type_that_two_stores_declare_differently_is_not_synced_and_the_rest_is(tmp_path: Path) -> None:
    near, far = (f"lmdb:{tmp_path / name}" for name in ("near", "far"))
    async with tierfold.open(near) as data:
        await data.repo(Site).save(Site(site="a"))
        await data.repo("Note").save({"text": "a"})
    async with tierfold.open(far) as data:
        await data.repo(Region).save(Region(region="b"))
    async with tierfold.open(near, tierfold.Tier(far, name="far")) as data:
        report = await data.sync_now(timeout_s=10)
        error = report.links["far"].error or ""
        assert "'Place' is not synced" in error
        assert "{site}" in error
        assert "{region}" in error
    async with tierfold.open(far) as data:
        assert len(await data.repo("Note").query().all()) == 1
        assert len(await data.repo(Region).query().all()) == 1
        assert await data.repo(Region).query(partitions=["a"]).all() == []


async def test_options_that_a_key_strategy_does_not_take_are_named() -> None:
    class Dated(tierfold.Entity, partition="date(day, month, noon)"):
        day: str

    async with tierfold.open("memory:") as data:
        with pytest.raises(tierfold.ConfigError, match="key strategy 'date' does not take the options"):
            data.repo(Dated)


class Misspelt(tierfold.Entity, partition="date(dya, month)"):
    day: str = "2026-11-21"


class ByShelf(tierfold.Entity, partition="shelf(titel, 2)"):
    title: str = "x"


class ByNoNumber(tierfold.Entity, partition="shelf(title, many)"):
    title: str = "x"


class ByNoUnit(tierfold.Entity, partition="date(day, week)"):
    day: str = "2026-11-21"


class Shelf(KeyStrategy):
    """A plugin's strategy: the first letters of a field."""

    def __init__(self, field: str, letters: str) -> None:
        self._field, self._letters = field, int(letters)

    @property
    def rule(self) -> str:
        return f"shelf({self._field}, {self._letters})"

    @property
    def fields(self) -> tuple[str, ...]:
        return (self._field,)

    def partition_of(self, type_name: str, fields: Mapping[str, object]) -> str:
        return str(fields[self._field])[: self._letters]


class Shelves:
    @hookimpl
    def provide_key_strategies(self) -> list[KeyStrategySpec]:
        return [KeyStrategySpec("shelf", Shelf)]


@pytest.mark.parametrize(
    ("cls", "said"),
    [
        (Misspelt, "'Misspelt': it has no field 'dya'"),
        (ByShelf, "'ByShelf': it has no field 'titel'"),
        (ByNoNumber, "'ByNoNumber': key strategy 'shelf' does not take the options .*many"),
        (ByNoUnit, "'ByNoUnit': the strategy 'date' knows"),
    ],
)
async def test_a_strategy_is_held_to_the_class_before_anything_is_saved(cls: type[tierfold.Entity], said: str) -> None:
    async with tierfold.open("memory:", plugins=[Shelves()]) as data:
        with pytest.raises(tierfold.ConfigError, match=said):
            data.repo(cls)


async def test_behind_a_cache_the_catalog_of_the_durable_tier_counts_at_once(tmp_path: Path) -> None:
    """Also what another program declared a moment ago, which the cache has not heard of."""
    url = f"lmdb:{tmp_path / 'a'}"
    async with tierfold.open("memory:", url) as data, tierfold.open(url) as other:
        data.links["lmdb"].pause()
        await other.repo(Numbered).save(Numbered(site="a", number=1))
        assert (await data.repo("Place").save({"site": "b", "number": 2}))["id"] == "b.2"
        with pytest.raises(tierfold.ConfigError):
            data.repo(Region)
