"""How entity types are declared, and how declarations are compared."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import FrozenInstanceError, dataclass, fields, is_dataclass
from datetime import UTC, datetime
from typing import Any

import msgspec
import pytest

from tierfold.abc.keys import KeyStrategy
from tierfold.builtin.strategies import DateStrategy
from tierfold.entities.declaration import Declaration, Keywords, declare, disagreements
from tierfold.entities.entity import Entity, declared_by, entity
from tierfold.entities.system import EPOCH
from tierfold.errors import ConfigError, CorruptDataError


class Plain(Entity):
    note: str = ""


class Quake(
    Entity, name="Earthquake", partition="{net}.{time:%Y}", id="{code}", conflict="lww", index=["mag"], schema=3
):
    net: str
    code: str
    time: datetime
    mag: float | None = None


class Aftershock(Quake):
    main: str = ""


class Elsewhere(Quake, partition="global", id="{main}", conflict="first-writer", index=[]):
    main: str = ""


@entity(partition="{site}")
@dataclass(frozen=True, slots=True)
class Reading:
    site: str
    id: str = ""


@dataclass
class Undeclared(Quake):
    pass


class BySite(KeyStrategy):
    def __init__(self, *names: str) -> None:
        self._names = names

    @property
    def rule(self) -> str:
        return "by-site"

    @property
    def fields(self) -> tuple[str, ...]:
        return self._names

    def partition_of(self, type_name: str, fields: Mapping[str, object]) -> str:
        return str(fields["site"])


def declaration_of(cls: type) -> Declaration:
    return declared_by(cls).declaration


def test_a_subclass_is_a_keyword_only_dataclass_with_system_fields() -> None:
    quake = Quake(net="ci", code="x", time=EPOCH)
    assert is_dataclass(Quake)
    assert (quake.id, quake.created_at, quake.updated_at, quake.version) == ("", EPOCH, EPOCH, 0)
    assert datetime(1970, 1, 1, tzinfo=UTC) == EPOCH
    assert [item.name for item in fields(Quake)][:4] == ["id", "created_at", "updated_at", "version"]
    with pytest.raises(TypeError):
        Quake("ci")  # type: ignore[call-arg]


def test_the_defaults_are_the_class_name_one_partition_and_the_newest_write() -> None:
    assert declaration_of(Plain) == Declaration(name="Plain", partition="global", id=None, resolver="lww", schema=1)


def test_class_keywords_make_the_declaration() -> None:
    assert declaration_of(Quake) == Declaration(
        name="Earthquake", partition="{net}.{time:%Y}", id="{code}", resolver="lww", schema=3
    )


@pytest.mark.parametrize("cls", [Aftershock, Undeclared])
def test_a_subclass_takes_over_partition_id_and_rule_but_not_name_and_schema(cls: type) -> None:
    expected = Declaration(name=cls.__name__, partition="{net}.{time:%Y}", id="{code}", resolver="lww", schema=1)
    assert declaration_of(cls) == expected


def test_a_subclass_can_name_its_own_partition_id_and_rule() -> None:
    assert declaration_of(Elsewhere) == Declaration(name="Elsewhere", id="{main}", resolver="first-writer")


def test_the_decorator_declares_frozen_and_slotted_dataclasses() -> None:
    assert declaration_of(Reading) == Declaration(name="Reading", partition="{site}")
    with pytest.raises(FrozenInstanceError):
        Reading("oslo").id = "x"  # type: ignore[misc]


def test_a_subclass_takes_over_the_index_unless_it_names_another() -> None:
    assert [declared_by(cls).index for cls in (Quake, Aftershock, Undeclared, Elsewhere)] == [("mag",)] * 3 + [()]


def test_a_strategy_object_is_kept_and_recorded_by_its_rule() -> None:
    strategy = DateStrategy("time")

    class Sample(Entity, partition=strategy):
        time: str

    class Special(Sample):
        pass

    for cls in (Sample, Special):
        declared = declared_by(cls)
        assert declared.strategy is strategy
        assert declared.declaration.partition == "date(time, month)"


def undecorated() -> type:
    @entity()
    class Bare:
        id: str = ""

    return Bare


def with_keywords(**keywords: Any) -> Callable[[], type]:
    def make() -> type:
        class Broken(Entity, **keywords):
            site: str = ""

        return Broken

    return make


@pytest.mark.parametrize(
    ("make", "reason"),
    [
        (undecorated, "is not a dataclass, an attrs class"),
        (
            with_keywords(keep=1),
            "keep is unknown; an entity type takes name, partition, id, conflict, schema, upgrade,",
        ),
        (with_keywords(name="a b"), "'a b': use another name"),
        (with_keywords(name=""), "use another name"),
        (with_keywords(name="deleted"), "use another name"),
        (with_keywords(partition=""), "neither a template"),
        (with_keywords(partition="{site}{site}"), "'Broken': template '{site}{site}'"),
        (with_keywords(partition="{room}"), "no field 'room'"),
        (with_keywords(partition=BySite("room")), "no field 'room'"),
        (with_keywords(partition="{version}"), "'version' is known only after the write"),
        (with_keywords(id="{created_at:%Y}"), "'created_at' is known only after the write"),
        (with_keywords(id="{a}.{b}"), "suffix"),
        (with_keywords(schema=0), "schema is 0"),
        (with_keywords(index="site"), "index is a list of paths, as in ['site']"),
        (with_keywords(index=["site", "site"]), "index names a path twice"),
        (with_keywords(index=["mag"]), "no field 'mag' for its index"),
        (with_keywords(index=["mag.x"]), "no field 'mag' for its index"),
    ],
    ids=range(17),
)
def test_a_declaration_that_cannot_be_is_refused_when_the_class_is_made(make: Callable[[], type], reason: str) -> None:
    with pytest.raises(ConfigError) as caught:
        make()
    assert reason in str(caught.value)


def test_the_decorator_refuses_unknown_keywords_and_classes_without_id() -> None:
    with pytest.raises(ConfigError, match="Reading: keep is unknown"):
        entity(keep=1)(Reading)  # type: ignore[arg-type]

    @dataclass
    class NoId:
        site: str = ""

    with pytest.raises(ConfigError, match="'NoId': the class must declare `id: str`"):
        entity()(NoId)


def test_a_strategy_object_that_reads_declared_fields_is_taken() -> None:
    assert declared_by(with_keywords(partition=BySite("site"))()).declaration.partition == "by-site"


@pytest.mark.parametrize("declaration", [Declaration(name="A", index=("a.b", "c")), declaration_of(Quake)])
def test_a_declaration_survives_the_catalog_byte_for_byte(declaration: Declaration) -> None:
    data = declaration.to_bytes()
    assert Declaration.from_bytes(data) == declaration
    assert Declaration.from_bytes(data).to_bytes() == data


def test_a_catalog_row_of_a_later_version_is_read_without_what_it_adds() -> None:
    later = msgspec.msgpack.decode(Declaration(name="A").to_bytes()) | {"owner": ["mag"]}
    assert Declaration.from_bytes(msgspec.msgpack.encode(later)) == Declaration(name="A")


@pytest.mark.parametrize("data", [b"", b"\xc1", b"\x80", b"\x81\xa4name\x01", b"\x81\xa4name\xa1\xff"])
def test_a_catalog_row_that_is_no_declaration_is_corrupt(data: bytes) -> None:
    with pytest.raises(CorruptDataError):
        Declaration.from_bytes(data)


def test_disagreements_show_both_sides() -> None:
    ours = Declaration(name="A", partition="{net}", id="{code}", schema=2)
    theirs = Declaration(name="A", partition="{site}", resolver_version=2)
    assert disagreements(ours, theirs, one_is="the code", other_is="the catalog") == [
        "partition is '{net}' in the code and '{site}' in the catalog",
        "id template is '{code}' in the code and None in the catalog",
        "resolver is 'lww version 1' in the code and 'lww version 2' in the catalog",
    ]


def test_programs_may_know_different_schemas_and_indexes() -> None:
    one, other = Declaration(name="A", schema=1, index=("a",)), Declaration(name="A", schema=2, index=("b",))
    assert disagreements(one, other, one_is="x", other_is="y") == []


def test_declare_takes_what_a_configuration_file_says() -> None:
    declared = declare("Quake", Keywords(partition="{net}"))
    assert declared.declaration == Declaration(name="Quake", partition="{net}")
    assert declared.strategy is None


def test_a_decorator_without_parentheses_says_to_add_them() -> None:
    with pytest.raises(ConfigError, match="with parentheses"):

        @entity  # type: ignore[arg-type]
        @dataclass
        class Bare:
            id: str = ""
