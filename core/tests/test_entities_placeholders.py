"""Templates that no object of a class could fill in are refused where the class is declared."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date, datetime
from decimal import Decimal
from enum import StrEnum
from typing import Annotated, Any, Literal, NewType
from uuid import UUID

import msgspec
import pytest

from tierfold.entities.declaration import Keywords, declare
from tierfold.entities.entity import Entity, entity
from tierfold.entities.placeholders import check_placeholders
from tierfold.errors import ConfigError

Serial = NewType("Serial", int)
Flag = NewType("Flag", bool)


class Net(StrEnum):
    CI = "ci"


def class_of(annotation: Any) -> type:
    return type("Thing", (), {"__annotations__": {"f": annotation}})


@pytest.mark.parametrize(
    "annotation",
    [bool, float, bytes, Decimal, datetime, list[str], dict[str, int], bool | None, Flag, Annotated[bool, "x"], None],
)
def test_what_has_no_text_is_no_placeholder(annotation: Any) -> None:
    for partition, id in (("{f}", None), ("global", "{f}")):
        with pytest.raises(ConfigError, match=r"field .f. of template .* is .*, which has no text"):
            check_placeholders(declare("Thing", Keywords(partition=partition, id=id)).declaration, class_of(annotation))


@pytest.mark.parametrize(
    "annotation",
    [str, int, UUID, date, Net, Serial, str | None, bool | str, Literal["a"], Any, Annotated[str, msgspec.Meta()]],
)
def test_what_may_have_a_text_is_left_to_the_save(annotation: Any) -> None:
    check_placeholders(declare("Thing", Keywords(partition="{f}", id="{f}")).declaration, class_of(annotation))


@pytest.mark.parametrize("annotation", [bool, int, float, UUID, list[str], int | None])
def test_what_is_no_time_takes_no_format(annotation: Any) -> None:
    with pytest.raises(ConfigError, match="takes no format"):
        check_placeholders(declare("Thing", Keywords(partition="{f:%Y}")).declaration, class_of(annotation))


@pytest.mark.parametrize("annotation", [datetime, date, str, datetime | None, Net, Any])
def test_what_may_be_a_time_takes_a_format(annotation: Any) -> None:
    check_placeholders(declare("Thing", Keywords(partition="{f:%Y}")).declaration, class_of(annotation))


def test_a_datetime_without_a_format_is_told_about_formats() -> None:
    with pytest.raises(ConfigError, match=r"'\{f:%Y-%m\}'"):
        check_placeholders(declare("Thing", Keywords(id="{f}")).declaration, class_of(datetime))


def test_names_that_are_defined_later_are_not_waited_for() -> None:
    check_placeholders(declare("Thing", Keywords(partition="{f}")).declaration, class_of("NotYet"))


def test_without_templates_annotations_do_not_matter() -> None:
    check_placeholders(declare("Thing", Keywords(partition="date(f)")).declaration, class_of("NotYet"))


def test_the_class_statement_refuses_it() -> None:
    with pytest.raises(ConfigError, match="'Switch': field 'on'"):

        class Switch(Entity, partition="{on}"):
            on: bool

    with pytest.raises(ConfigError, match="'Dial'"):

        @entity(id="{value}")
        @dataclass
        class Dial:
            value: float
            id: str = ""
