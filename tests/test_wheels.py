"""What the built wheels contain, and that a test run against them does not import the source tree."""

from __future__ import annotations

import os
import sysconfig
from importlib import import_module
from importlib.metadata import distribution
from pathlib import Path
from zipfile import ZipFile

import pytest

pytestmark = pytest.mark.wheels

MEMBERS = {"tierfold": "tierfold", "tierfold-lmdb": "tierfold_lmdb"}


def names(package: str) -> list[str]:
    wheel = next(Path(os.environ["TIERFOLD_WHEELS"]).glob(f"{package}-*.whl"))
    with ZipFile(wheel) as archive:
        return archive.namelist()


@pytest.mark.parametrize("package", MEMBERS.values())
def test_wheel_says_that_it_is_typed(package: str) -> None:
    assert f"{package}/py.typed" in names(package)


@pytest.mark.parametrize("package", MEMBERS.values())
def test_wheel_carries_the_licence(package: str) -> None:
    assert any(name.endswith(".dist-info/licenses/LICENSE") for name in names(package))


@pytest.mark.parametrize("package", MEMBERS.values())
def test_wheel_holds_its_package_and_nothing_else(package: str) -> None:
    assert {name.split("/")[0].split("-")[0] for name in names(package)} == {package}


@pytest.mark.parametrize("name", MEMBERS)
def test_installed_distribution_offers_its_plugin(name: str) -> None:
    points = distribution(name).entry_points.select(group="tierfold.plugins")
    assert [import_module(point.value).__name__ for point in points] == [point.value for point in points] != []


@pytest.mark.parametrize("package", MEMBERS.values())
def test_tests_run_against_the_installed_wheel(package: str) -> None:
    origin = import_module(package).__file__
    assert origin is not None
    assert Path(origin).is_relative_to(sysconfig.get_paths()["purelib"])
