"""What the members of the workspace have in common."""

from __future__ import annotations

import ast
import re
import subprocess
import tomllib
from collections.abc import Iterator
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parent.parent
PLUGINS = sorted(path.parent for path in ROOT.glob("plugins/*/pyproject.toml"))
MEMBERS = [ROOT / "core", *PLUGINS]
# Put together here, so that this file does not find itself.
REGISTRIES = [".".join(parts) for parts in (("pypi", "org"), ("pythonhosted", "org"), ("npmjs", "com"))]
PACKAGE = ROOT / "core" / "src" / "tierfold"
PURE = {
    *("__future__", "tierfold", "msgspec"),
    *(
        "abc",
        "base64",
        "binascii",
        "bisect",
        "collections",
        "contextlib",
        "copy",
        "dataclasses",
        "datetime",
        "decimal",
        "difflib",
        "enum",
        "functools",
    ),
    *("hashlib", "itertools", "math", "operator", "re", "string", "struct", "types", "typing", "zlib"),
}


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


def test_import_rules_know_every_module_of_the_inner_rings() -> None:
    """A module that is in none of the lists would be checked by nobody; the layers are exhaustive by themselves."""
    contract, pure = (split_ring(layer) for layer in import_rules("The three rings")["layers"][:-3:-1])
    inner = import_rules("The contract ring and the pure ring")
    assert sorted(inner["source_modules"]) == sorted(f"tierfold.{name}" for name in contract + pure)
    (covered,) = re.findall(r"^PURE := (.*)$", (ROOT / "Makefile").read_text(), re.MULTILINE)
    assert sorted(covered.split()) == sorted(pure)


def test_the_inner_rings_import_only_what_is_known_to_be_pure() -> None:
    """The other way round: what nobody forbids is not therefore harmless."""
    rules = import_rules("The contract ring and the pure ring")
    found = {
        (module_of(path), imported)
        for name in rules["source_modules"]
        for path in sources(PACKAGE / name.removeprefix("tierfold."))
        for imported in imports(ast.parse(path.read_text()))
    }
    assert {module for module, _ in found} > {"tierfold.model", "tierfold.codec.values"}
    impure = [f"{module} -> {imported}" for module, imported in found if imported not in PURE]
    allowed = rules["ignore_imports"]
    assert [line for line in impure if not any(fnmatchcase(line, pattern) for pattern in allowed)] == []


def module_of(path: Path) -> str:
    return ".".join(path.relative_to(PACKAGE.parent).with_suffix("").parts)


def split_ring(layer: str) -> list[str]:
    return layer.replace("|", ":").replace(" ", "").split(":")


def import_rules(name: str) -> dict[str, Any]:
    (rules,) = (
        contract
        for contract in settings(ROOT)["tool"]["importlinter"]["contracts"]
        if contract["name"].startswith(name)
    )
    return dict(rules)


def sources(module: Path) -> list[Path]:
    return sorted(module.rglob("*.py")) if module.is_dir() else [module.with_suffix(".py")]


def imports(node: ast.AST) -> Iterator[str]:
    """Top-level names of what is imported when the code runs, and not only for types."""
    if isinstance(node, ast.If) and isinstance(node.test, ast.Name) and node.test.id == "TYPE_CHECKING":
        return
    if isinstance(node, ast.Import):
        yield from (alias.name.partition(".")[0] for alias in node.names)
    elif isinstance(node, ast.ImportFrom):
        yield str(node.module).partition(".")[0]
    for child in ast.iter_child_nodes(node):
        yield from imports(child)


def test_constraints_are_names_and_versions_only() -> None:
    lines = (ROOT / "constraints.txt").read_text().splitlines()
    assert [line for line in lines if not re.fullmatch(r"[A-Za-z0-9._-]+==[A-Za-z0-9.]+", line)] == []


@pytest.mark.skipif(not (ROOT / ".git").exists(), reason="not a clone")
def test_no_file_names_a_package_registry() -> None:
    listing = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, text=True, check=True)
    files = [ROOT / name for name in listing.stdout.split("\0") if name]
    texts = ((path, path.read_text(errors="ignore")) for path in files if path.suffix != ".gz" and path.exists())
    assert [path for path, text in texts if any(registry in text for registry in REGISTRIES)] == []
