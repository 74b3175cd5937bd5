"""The configuration file."""

from __future__ import annotations

from pathlib import Path

import pytest

from tierfold.config import Config, EntityConfig, PluginsConfig, Tier, duration_s, read_config
from tierfold.errors import ConfigError


def read(tmp_path: Path, text: str) -> Config:
    path = tmp_path / "tierfold.toml"
    path.write_text(text, "utf-8")
    return read_config(path)


def test_empty_file_is_all_defaults(tmp_path: Path) -> None:
    assert read(tmp_path, "") == Config(prefix="app", tiers=(), plugins=PluginsConfig((), ()), entities={})


def test_every_part_is_read(tmp_path: Path) -> None:
    config = read(
        tmp_path,
        """
        prefix = "plant"
        [plugins]
        order = ["lmdb"]
        disable = ["redis"]
        [[tiers]]
        name = "hot"
        url = "memory:"
        writes = "behind"
        [[tiers]]
        url = "lmdb:./data"
        interval = "30s"
        [entities.Sensor]
        partition = "{site}"
        id = "{serial}"
        conflict = "lww"
        """,
    )
    assert config == Config(
        prefix="plant",
        tiers=(Tier("memory:", name="hot", writes="behind"), Tier("lmdb:./data", interval="30s")),
        plugins=PluginsConfig(disable=("redis",), order=("lmdb",)),
        entities={"Sensor": EntityConfig(partition="{site}", id="{serial}", conflict="lww")},
    )


@pytest.mark.parametrize(
    ("text", "place"),
    [
        ("prefx = 'a'", "unknown field `prefx`"),
        ("[[tiers]]\nurl = 'memory:'\nnmae = 'a'", r"unknown field `nmae` - at `\$.tiers\[0\]`"),
        ("[[tiers]]\nname = 'a'", r"missing required field `url` - at `\$.tiers\[0\]`"),
        ("[[tiers]]\nurl = 7", r"Expected `str`, got `int` - at `\$.tiers\[0\].url`"),
        ("[[tiers]]\nurl = ''\nwrites = 'never'", r"at `\$.tiers\[0\].writes`"),
        ("[plugins]\norder = 'lmdb'", r"at `\$.plugins.order`"),
        ("[entities.A]\nhistory = 1", r"at `\$.entities"),
        ("prefix = ", "end of document"),
        ("\x00", "line 1"),
    ],
)
def test_error_names_the_file_and_the_place(tmp_path: Path, text: str, place: str) -> None:
    with pytest.raises(ConfigError, match=place) as caught:
        read(tmp_path, text)
    assert str(tmp_path / "tierfold.toml") in str(caught.value)


def test_missing_file_is_an_error_with_its_path(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"nowhere\.toml"):
        read_config(tmp_path / "nowhere.toml")


def test_file_that_is_no_text_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "tierfold.toml").write_bytes(b"\xff\xfe")
    with pytest.raises(ConfigError):
        read_config(tmp_path / "tierfold.toml")


@pytest.mark.parametrize(
    ("text", "seconds"), [("250ms", 0.25), ("30s", 30), ("1.5s", 1.5), ("5min", 300), ("2h", 7200), ("7d", 604_800)]
)
def test_duration_has_a_unit(text: str, seconds: float) -> None:
    assert duration_s(text) == seconds


@pytest.mark.parametrize("text", ["", "30", "s", "-1s", "5 min", "1m", "1e3s", "\u0663s"])
def test_what_is_no_duration_is_refused(text: str) -> None:
    with pytest.raises(ConfigError, match="duration"):
        duration_s(text)
