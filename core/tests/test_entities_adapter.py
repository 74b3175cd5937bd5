"""What the repository does with the objects of a class."""

from __future__ import annotations

from dataclasses import dataclass, field, make_dataclass
from datetime import UTC, datetime, timedelta
from enum import StrEnum
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tierfold.codec import DEPTH_LIMIT, encode
from tierfold.entities.adapter import adapter_for
from tierfold.entities.entity import Entity, entity
from tierfold.entities.system import EPOCH, time_of
from tierfold.errors import ConfigError, PayloadTooLargeError, ValidationError
from tierfold.model import Digest, Record, pack_content

BORN_MS, WRITTEN_MS = 1_700_000_000_123, 1_700_000_900_456
BORN = datetime(2023, 11, 14, 22, 13, 20, 123000, tzinfo=UTC)
WRITTEN = datetime(2023, 11, 14, 22, 28, 20, 456000, tzinfo=UTC)


class Mood(StrEnum):
    CALM = "calm"


class Quake(Entity, partition="{net}"):
    net: str
    mag: float | None = None
    tags: list[str] = field(default_factory=list)
    mood: Mood | None = None


@entity(partition="{site}")
@dataclass(frozen=True)
class Frozen:
    site: str
    id: str = ""
    created_at: datetime = EPOCH
    updated_at: datetime = EPOCH
    version: int = 0


@entity()
@dataclass(slots=True)
class Slotted:
    id: str
    note: str = ""
    version: int = 0


@entity()
@dataclass(frozen=True, slots=True)
class FrozenSlotted:
    note: str
    id: str = ""
    updated_at: datetime = EPOCH


@dataclass
class OnlyId:
    id: str
    self: int = 0  # a name that would clash inside a Struct's constructor


class Range(Entity):
    low: int
    high: int
    width: int = field(init=False, default=-1)

    def __post_init__(self) -> None:
        if self.low > self.high:
            raise ValueError("low is above high")
        self.width = self.high - self.low
        self.version_seen = self.version


@dataclass
class Point:
    x: int
    label: str = ""

    def __post_init__(self) -> None:
        if self.x < 0:
            raise TypeError("x is negative")


class Line(Entity):
    points: list[Point]


class Tree(Entity):
    label: str = ""
    children: list[Tree] = field(default_factory=list)


class Free(Entity):
    anything: Any = None


class Defaulted(Entity):
    path: Path = Path("here")
    point: Point = field(default_factory=lambda: Point(7))
    more: list[Path] = field(default_factory=lambda: [Path("x")])
    words: list[str] = field(default_factory=lambda: ["a"])
    where: Path | None = None
    count: int = 3


def record(payload: bytes, born_ms: int = BORN_MS, written_ms: int = WRITTEN_MS, extension: bytes = b"") -> Record:
    written, born = (ms.to_bytes(6) + b"\0\3nodenode" for ms in (written_ms, born_ms))
    return Record("T", pack_content(written, born, False, 1, 5, "k.ø".encode(), payload, extension), Digest(bytes(16)))


# --- dump and load -----------------------------------------------------------------------------------------------


def test_the_payload_holds_all_fields_but_the_system_fields() -> None:
    quake = Quake(net="ci", mag=2.0, id="ci.x", version=9, created_at=BORN)
    assert adapter_for(Quake).dump(quake) == encode({"net": "ci", "mag": 2.0, "tags": [], "mood": None})


@pytest.mark.parametrize("cls", [Quake, Frozen, Slotted, FrozenSlotted, OnlyId])
def test_a_record_becomes_an_object_with_the_system_fields_it_declares(cls: Any) -> None:
    adapter = adapter_for(cls)
    payload = encode({"net": "ci", "site": "oslo", "note": "x", "self": 4})
    loaded = adapter.load(record(payload, extension=b"ext"))
    assert type(loaded) is cls
    assert loaded.id == "k.ø"
    assert getattr(loaded, "created_at", BORN) == BORN
    assert getattr(loaded, "updated_at", WRITTEN) == WRITTEN
    assert getattr(loaded, "version", 5) == 5
    assert adapter.load(record(adapter.dump(loaded))) == loaded


def test_an_entity_that_was_written_once_shares_one_time() -> None:
    loaded = adapter_for(Quake).load(record(encode({"net": "ci"}), WRITTEN_MS))
    assert loaded.created_at is loaded.updated_at
    assert loaded.updated_at == WRITTEN


@given(st.integers(0, 2**48 - 1))
def test_times_are_exact_to_the_millisecond_up_to_the_last_year_there_is(ms: int) -> None:
    last = datetime(9999, 12, 31, 23, 59, 59, 999000, tzinfo=UTC)
    expected = EPOCH + timedelta(milliseconds=ms) if ms < 253402300800000 else last
    assert time_of(ms) == expected
    loaded = adapter_for(Quake).load(record(encode({"net": "ci"}), 0, ms))
    assert (loaded.created_at, loaded.updated_at) == (EPOCH, expected)


def test_missing_members_have_the_defaults_of_the_class_each_time_anew() -> None:
    adapter = adapter_for(Defaulted)
    one, other = adapter.load(record(encode({}))), adapter.load(record(encode({})))
    assert (one.path, one.point, one.more, one.words) == (Path("here"), Point(7), [Path("x")], ["a"])
    assert (one.where, one.count) == (None, 3)
    one.more.append(Path("y"))
    one.words.append("b")
    assert (other.more, other.words) == ([Path("x")], ["a"])


def test_a_missing_member_without_default_is_an_error_that_names_the_record() -> None:
    with pytest.raises(ValidationError, match="missing required field `net`") as caught:
        adapter_for(Quake).load(record(encode({"mag": 1.0})))
    assert (caught.value.path, caught.value.id) == ("$", "k.ø")


@pytest.mark.parametrize("payload", [b"", b"\xc1", b"\x81\xa3net\xa1\xff", b"\x81\x01\x02", b"\x90"])
def test_a_payload_that_is_no_document_is_an_error_that_names_the_record(payload: bytes) -> None:
    with pytest.raises(ValidationError) as caught:
        adapter_for(Quake).load(record(payload))
    assert caught.value.id == "k.ø"


def test_a_message_about_a_key_has_the_path_of_its_map() -> None:
    with pytest.raises(ValidationError) as caught:
        adapter_for(Quake).load(record(b"\x81\x01\x02"))
    assert caught.value.path == "$"


@pytest.mark.parametrize("thing", [Frozen("oslo"), {"net": "ci"}, None, 5], ids=["other class", "dict", "None", "int"])
def test_only_objects_of_the_class_itself_are_dumped(thing: Any) -> None:
    with pytest.raises(ValidationError, match="Expected `Quake`, got"):
        adapter_for(Quake).dump(thing)


def test_an_object_of_a_subclass_would_lose_its_fields_and_is_refused() -> None:
    class Felt(Quake):
        people: int = 0

    with pytest.raises(ValidationError, match="Expected `Quake`, got `Felt`"):
        adapter_for(Quake).dump(Felt(net="ci"))


def test_a_field_without_a_value_is_refused_with_its_path() -> None:
    slotted = Slotted("x.y")
    del slotted.note
    with pytest.raises(ValidationError, match="has no value") as caught:
        adapter_for(Slotted).dump(slotted)
    assert (caught.value.path, caught.value.id) == ("$.note", "x.y")


def test_an_entity_over_one_mebibyte_is_refused_by_size_and_id() -> None:
    with pytest.raises(PayloadTooLargeError) as caught:
        adapter_for(Quake).dump(Quake(net="x" * 2**20, id="x.y"))
    assert caught.value.id == "x.y"
    assert caught.value.size_bytes > caught.value.limit_bytes == 2**20


def test_nothing_is_changed_by_dumping() -> None:
    thing = Free(anything={"a": [-0.0, {"b": datetime(2026, 1, 1, tzinfo=UTC)}]})
    before = repr(thing)
    adapter_for(Free).dump(thing)
    assert repr(thing) == before


# --- classes with conditions of their own ------------------------------------------------------------------------


def test_post_init_runs_on_every_read_after_the_system_fields_are_set() -> None:
    loaded = adapter_for(Range).load(record(encode({"low": 1, "high": 4, "width": 0})))
    assert loaded.width == 3
    assert loaded.version_seen == 5


def test_a_read_that_post_init_refuses_names_the_record() -> None:
    with pytest.raises(ValidationError, match="refuses these values with ValueError") as caught:
        adapter_for(Range).load(record(encode({"low": 4, "high": 1, "width": 0})))
    assert caught.value.id == "k.ø"


def test_a_save_that_could_not_be_read_back_is_refused() -> None:
    made = Range(low=1, high=2, id="x.y")
    made.low = 3
    with pytest.raises(ValidationError, match="ValueError") as caught:
        adapter_for(Range).dump(made)
    assert caught.value.id == "x.y"


def test_a_nested_object_that_could_not_be_read_back_is_refused() -> None:
    line = Line(points=[Point(1)])
    assert adapter_for(Line).load(record(adapter_for(Line).dump(line))).points == [Point(1)]
    line.points[0].x = -1
    with pytest.raises(ValidationError, match="TypeError"):
        adapter_for(Line).dump(line)


def trees(levels: int) -> Tree:
    tree = Tree(label="leaf")
    for _ in range(levels - 1):
        tree = Tree(children=[tree])
    return tree


def test_a_class_that_holds_itself_is_stored_down_to_the_64th_level() -> None:
    adapter = adapter_for(Tree)
    deepest = trees(DEPTH_LIMIT // 2)
    loaded = adapter.load(record(adapter.dump(deepest)))
    assert loaded.children == deepest.children
    for levels in (DEPTH_LIMIT // 2 + 1, 5000):
        with pytest.raises(ValidationError, match="64 levels"):
            adapter.dump(trees(levels))


def test_an_object_that_holds_itself_is_refused() -> None:
    tree = Tree(id="x.y")
    tree.children.append(tree)
    with pytest.raises(ValidationError, match="64 levels") as caught:
        adapter_for(Tree).dump(tree)
    assert caught.value.id == "x.y"


def test_a_member_of_any_type_is_stored_down_to_the_64th_level() -> None:
    adapter = adapter_for(Free)
    inner: list[Any] = []
    for _ in range(DEPTH_LIMIT - 2):
        inner = [inner]
    assert adapter.load(record(adapter.dump(Free(anything=inner)))).anything == inner
    with pytest.raises(ValidationError, match="64 levels"):
        adapter.dump(Free(anything=[inner]))


def test_annotations_deeper_than_the_fast_path_goes_are_stored_and_bounded() -> None:
    annotation: Any = int
    value: Any = 1
    for _ in range(DEPTH_LIMIT):
        annotation, value = list[annotation], [value]
    cls = make_dataclass("Deep", [("value", annotation), ("id", str, "")])
    adapter: Any = adapter_for(cls)
    with pytest.raises(ValidationError, match="64 levels"):
        adapter.dump(cls(value))
    assert adapter.load(record(adapter.dump(cls([])))).value == []


# --- system fields -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("made", [Quake(net="ci"), Slotted("")], ids=["Entity", "slots"])
def test_system_fields_are_set_in_the_object_itself(made: Any) -> None:
    adapter = adapter_for(type(made))
    assert adapter.id_of(made) == ""
    assert adapter.with_id(made, "k.ø") is made
    assert adapter.fill(made, record(b"")) is made
    assert (made.id, made.version) == ("k.ø", 5)
    assert getattr(made, "created_at", BORN) == BORN


def test_system_fields_of_a_frozen_object_are_set_in_a_copy() -> None:
    made = Frozen("oslo")
    adapter = adapter_for(Frozen)
    saved = adapter.fill(adapter.with_id(made, "oslo.x"), record(b""))
    assert made == Frozen("oslo")
    assert saved == Frozen("oslo", "oslo.x", BORN, WRITTEN, 5)


def test_system_fields_of_a_frozen_object_with_slots_are_set_in_a_copy() -> None:
    adapter = adapter_for(FrozenSlotted)
    saved = adapter.fill(adapter.with_id(FrozenSlotted("n"), "x.y"), record(b""))
    assert saved == FrozenSlotted("n", "x.y", WRITTEN)


def test_a_class_with_only_an_id_is_filled_by_nothing() -> None:
    made = OnlyId("x.y")
    assert adapter_for(OnlyId).fill(made, record(b"")) is made
    assert made == OnlyId("x.y")


@pytest.mark.parametrize(
    ("fields", "reason"),
    [
        ([("note", str)], "must declare `id: str`"),
        ([("id", "str | None", None)], "'id' is a system field and must be a str"),
        ([("id", str), ("version", str)], "'version' is a system field and must be a int"),
        ([("id", str), ("created_at", "int")], "'created_at' is a system field and must be a datetime"),
    ],
    ids=range(4),
)
def test_system_fields_of_other_types_are_refused(fields: list[Any], reason: str) -> None:
    with pytest.raises(ConfigError) as caught:
        adapter_for(make_dataclass("Odd", fields))
    assert reason in str(caught.value)


@pytest.mark.parametrize("thing", [int, "Quake", Quake(net="ci"), dict], ids=repr)
def test_what_is_no_entity_class_is_refused(thing: Any) -> None:
    with pytest.raises(ConfigError, match="is no entity class"):
        adapter_for(thing)


def test_an_adapter_is_built_once_for_each_class() -> None:
    assert adapter_for(Quake) is adapter_for(Quake)

    class Other(Quake):
        pass

    assert adapter_for(Other).declared.declaration.name == "Other"


def test_fields_are_read_by_name() -> None:
    assert adapter_for(Quake).fields_of(Quake(net="ci", mag=1.0), ("net", "mag")) == {"net": "ci", "mag": 1.0}


@pytest.mark.parametrize("made", [Quake(net="ci", id="ci.x"), Frozen("oslo", id="oslo.x")], ids=["Entity", "frozen"])
def test_fields_are_replaced_in_a_copy(made: Any) -> None:
    before = repr(made)
    changed = adapter_for(type(made)).with_fields(made, {"id": ""})
    assert (changed.id, repr(made)) == ("", before)


def test_a_name_that_is_no_field_is_refused() -> None:
    with pytest.raises(ValidationError, match="Quake has no field depth, room") as caught:
        adapter_for(Quake).with_fields(Quake(net="ci", id="ci.x"), {"room": 1, "depth": 2, "net": "us"})
    assert caught.value.id == "ci.x"


# --- documents ---------------------------------------------------------------------------------------------------


def test_an_entity_becomes_a_document_and_comes_back() -> None:
    adapter = adapter_for(Quake)
    quake = Quake(net="ci", mag=2.0, mood=Mood.CALM, id="ci.x", created_at=BORN, updated_at=WRITTEN, version=5)
    document = adapter.to_document(quake)
    assert document == {
        "id": "ci.x",
        "created_at": BORN,
        "updated_at": WRITTEN,
        "version": 5,
        "mag": 2.0,
        "mood": "calm",
        "net": "ci",
        "tags": [],
    }
    assert adapter.from_document(document) == quake


def test_a_document_without_system_fields_makes_a_new_entity() -> None:
    loaded = adapter_for(Quake).from_document({"net": "ci", "created_at": "2023-11-14T22:13:20.123Z"})
    assert loaded == Quake(net="ci", created_at=BORN)


def test_a_document_ignores_system_fields_that_the_class_does_not_declare() -> None:
    assert adapter_for(OnlyId).from_document({"id": "x.y", "version": 7}) == OnlyId("x.y")


@pytest.mark.parametrize(
    ("document", "path"),
    [
        ({"net": 1}, "$.net"),
        ({"net": "ci", "version": "1"}, "$.version"),
        ({"net": "ci", "updated_at": datetime(2026, 1, 1)}, "$.updated_at"),
        ({"net": "ci", "tags": ("a",)}, "$.tags"),
        ({"net": "ci", "mood": "wild"}, "$.mood"),
        ({}, "$"),
    ],
    ids=range(6),
)
def test_a_document_that_does_not_fit_is_refused_with_its_path(document: dict[str, Any], path: str) -> None:
    with pytest.raises(ValidationError) as caught:
        adapter_for(Quake).from_document(document)
    assert caught.value.path == path


def test_an_entity_that_cannot_be_stored_becomes_no_document() -> None:
    made = Range(low=1, high=2)
    made.low = 3
    with pytest.raises(ValidationError):
        adapter_for(Range).to_document(made)
