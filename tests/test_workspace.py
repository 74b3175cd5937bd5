"""What the members of the workspace have in common."""

from __future__ import annotations

import re
import subprocess
import tomllib
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parent.parent
PLUGINS = sorted(path.parent for path in ROOT.glob("plugins/*/pyproject.toml"))
MEMBERS = [ROOT / "core", *PLUGINS]
# Put together here, so that this file does not find itself.
REGISTRIES = [".".join(parts) for parts in (("pypi", "org"), ("pythonhosted", "org"), ("npmjs", "com"))]


def settings(folder: Path) -> dict[str, Any]:
    return tomllib.loads((folder / "pyproject.toml").read_text())


@pytest.mark.parametrize("member", MEMBERS, ids=lambda path: path.name)
def test_member_carries_the_licence_of_the_workspace(member: Path) -> None:
    assert (member / "LICENSE").read_text() == (ROOT / "LICENSE").read_text()


@pytest.mark.parametrize("member", MEMBERS, ids=lambda path: path.name)
def test_member_has_the_common_shape(member: Path) -> None:
    project = settings(member)["project"]
    (package,) = (path.name for path in (member / "src").iterdir())
    assert package == project["name"].replace("-", "_")
    assert (member / "src" / package / "py.typed").exists()
    assert (member / "tests").is_dir()
    assert project["requires-python"] == ">=3.11"


@pytest.mark.parametrize("plugin", PLUGINS, ids=lambda path: path.name)
def test_plugin_is_called_like_its_folder(plugin: Path) -> None:
    project = settings(plugin)["project"]
    assert project["name"] == f"tierfold-{plugin.name}"
    assert project["entry-points"]["tierfold.plugins"] == {plugin.name: f"tierfold_{plugin.name}.plugin"}


def test_import_rules_know_every_plugin() -> None:
    packages = [f"tierfold_{plugin.name}" for plugin in PLUGINS]
    rules = settings(ROOT)["tool"]["importlinter"]
    contracts = {contract["name"]: contract for contract in rules["contracts"]}
    assert rules["root_packages"] == ["tierfold", *packages]
    assert contracts["Core imports no plugin"]["forbidden_modules"] == packages
    assert contracts["Plugins do not import each other"]["modules"] == packages


def test_constraints_are_names_and_versions_only() -> None:
    lines = (ROOT / "constraints.txt").read_text().splitlines()
    assert [line for line in lines if not re.fullmatch(r"[A-Za-z0-9._-]+==[A-Za-z0-9.]+", line)] == []


@pytest.mark.skipif(not (ROOT / ".git").exists(), reason="not a clone")
def test_no_file_names_a_package_registry() -> None:
    listing = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, text=True, check=True)
    files = [ROOT / name for name in listing.stdout.split("\0") if name]
    texts = ((path, path.read_text(errors="ignore")) for path in files if path.suffix != ".gz" and path.exists())
    assert [path for path, text in texts if any(registry in text for registry in REGISTRIES)] == []
