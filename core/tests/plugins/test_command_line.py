"""The program `tierfold`, its command `plugins`, and the commands of plugins."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from click.testing import CliRunner, Result

from tierfold.cli import main

if TYPE_CHECKING:
    from core.tests.plugins.conftest import FakeSite

REDIS = """
    from contextlib import asynccontextmanager
    import msgspec
    from tierfold.hookspecs import hookimpl
    from tierfold.specs import StoreSpec

    class Options(msgspec.Struct): ...

    @asynccontextmanager
    async def open_store(location, options, context):
        yield None

    @hookimpl
    def provide_stores():
        return [StoreSpec(("redis", "rediss"), open_store, Options)]
"""
GREETER = """
    import click
    from tierfold.hookspecs import hookimpl

    @hookimpl
    def register_commands(cli):
        @cli.command()
        def greet():
            "Say hello."
            click.echo("hello")
"""


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    (tmp_path / "work").mkdir()
    monkeypatch.chdir(tmp_path / "work")
    return tmp_path / "work"


def run(*arguments: str) -> Result:
    return CliRunner().invoke(main, arguments)


def listed(*arguments: str) -> Mapping[str, Mapping[str, object]]:
    result = run("plugins", "--json", *arguments)
    assert result.exit_code == 0, result.output
    return {report["name"]: report for report in json.loads(result.stdout)}


def test_plugins_lists_what_is_installed(site: FakeSite) -> None:
    site.install("acme-redis", {"redis": "fake_redis"}, version="2.5", fake_redis=REDIS)
    assert listed() == {
        "redis": {
            "name": "redis",
            "distribution": "acme-redis",
            "version": "2.5",
            "state": "loaded",
            "provides": {"stores": ["redis", "rediss"]},
            "error": None,
        }
    }


def test_plugins_without_json_is_a_table(site: FakeSite) -> None:
    site.install("acme-redis", {"redis": "fake_redis"}, version="2.5", fake_redis=REDIS)
    lines = run("plugins").stdout.splitlines()
    assert [line.split() for line in lines] == [
        ["plugin", "distribution", "version", "state", "provides"],
        ["redis", "acme-redis", "2.5", "loaded", "stores:", "redis,", "rediss"],
    ]


def test_broken_plugin_is_shown_with_its_reason_and_stops_nothing(site: FakeSite) -> None:
    site.install("acme-redis", {"redis": "fake_redis"}, fake_redis=REDIS)
    site.install("acme-bad", {"bad": "fake_bad"}, fake_bad="import no_such_driver")
    result = run("plugins")
    assert result.exit_code == 0
    assert "loaded" in result.stdout
    assert "failed" in result.stdout
    assert "No module named 'no_such_driver'" in result.stdout


def test_plugins_shows_both_of_two_that_claim_one_name(site: FakeSite) -> None:
    site.install("acme-redis", {"redis": "fake_redis"}, fake_redis=REDIS)
    site.install("zeta-redis", {"redis": "fake_redis"})
    result = run("plugins")
    assert result.exit_code == 0
    assert result.stdout.count("provided by acme-redis and by zeta-redis") == 2


def test_plugins_obeys_the_configuration_file(site: FakeSite, folder: Path) -> None:
    site.install("acme-redis", {"redis": "fake_redis"}, fake_redis=REDIS)
    (folder / "tierfold.toml").write_text("[plugins]\ndisable = ['redis']")
    (folder / "other.toml").write_text("[plugins]\norder = ['redis', 'nosuch']")
    assert listed()["redis"]["state"] == "disabled"
    assert [report["state"] for report in listed("-c", "other.toml").values()] == ["loaded", "failed"]


def test_broken_configuration_is_an_error_without_a_traceback(site: FakeSite, folder: Path) -> None:
    (folder / "tierfold.toml").write_text("prefx = 1")
    result = run("plugins")
    assert result.exit_code == 1
    assert result.stderr.startswith("Error: tierfold.toml: Object contains unknown field")


def test_command_of_a_plugin_runs_and_is_listed(site: FakeSite) -> None:
    site.install("acme-greeter", {"greeter": "fake_greeter"}, fake_greeter=GREETER)
    assert run("greet").stdout == "hello\n"
    assert "Say hello." in run("--help").stdout
    assert listed()["greeter"]["provides"] == {"commands": ["greet"]}


@pytest.mark.parametrize(
    ("change", "reason"),
    [(("def greet", "def plugins"), "plugins exists already"), (("@cli.command()", "1 / 0"), "ZeroDivisionError")],
    ids=["clash", "raises"],
)
def test_broken_commands_of_a_plugin_are_left_out_and_said(
    site: FakeSite, change: tuple[str, str], reason: str
) -> None:
    site.install("acme-bad", {"bad": "fake_bad"}, fake_bad=GREETER.replace(*change))
    site.install("acme-greeter", {"greeter": "fake_greeter"}, fake_greeter=GREETER)
    result = run("--help")
    assert result.exit_code == 0
    assert "greet" in result.stdout
    assert reason in result.stderr
    assert listed()["bad"]["state"] == "failed"
    assert reason in str(listed()["bad"]["error"])


def test_help_is_given_even_if_the_configuration_is_broken(site: FakeSite, folder: Path) -> None:
    (folder / "tierfold.toml").write_text("prefx = 1")
    result = run("--help")
    assert result.exit_code == 0
    assert "plugins" in result.stdout


def test_known_command_imports_no_plugin_to_be_found(site: FakeSite) -> None:
    site.install("acme-greeter", {"greeter": "fake_greeter"}, fake_greeter=GREETER)
    assert run("plugins", "--help").exit_code == 0
    assert "fake_greeter" not in sys.modules


def test_program_runs_as_a_process() -> None:
    script = "from tierfold.cli import main; main(prog_name='tierfold')"
    done = subprocess.run(
        [sys.executable, "-c", script, "plugins", "--json"], capture_output=True, check=True, stdin=subprocess.DEVNULL
    )
    assert isinstance(json.loads(done.stdout), list)


@pytest.mark.skipif(sys.platform == "win32", reason="pseudo-terminals are of POSIX")
def test_table_on_a_terminal_fits_its_width() -> None:
    script = "from tierfold.cli.table import print_table; print_table(['a', 'b'], [['1', 'word ' * 60]])"
    near, far = os.openpty()
    environment = {**os.environ, "COLUMNS": "60", "TERM": "xterm"}
    subprocess.run([sys.executable, "-c", script], stdout=far, check=True, stdin=subprocess.DEVNULL, env=environment)
    lines = re.sub(r"\x1b\[[0-9;]*m", "", os.read(near, 10_000).decode()).splitlines()
    os.close(near)
    os.close(far)
    assert max(map(len, lines)) <= 60
    assert sum(line.count("word") for line in lines) == 60


def test_the_package_runs_as_the_program() -> None:
    command = [sys.executable, "-m", "tierfold", "--help"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=15, check=True)
    assert "Usage: tierfold [OPTIONS] COMMAND" in done.stdout
