"""What each kind of class can be, and what holds for all of them."""

from __future__ import annotations

import enum
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, time, timedelta
from decimal import Decimal
from pathlib import Path
from types import GenericAlias
from typing import Any, Generic, NotRequired, Required, TypedDict, TypeVar
from uuid import UUID

import attr
import attrs
import msgspec
import pydantic
import pytest
import typing_extensions
from core.tests.entity_kinds import BORN_MS, KINDS, record, value_of
from hypothesis import given
from hypothesis import strategies as st
from pydantic.alias_generators import to_camel
from pydantic.dataclasses import dataclass as pydantic_dataclass
from pydantic_core import PydanticCustomError, core_schema

from tierfold.codec import DEPTH_LIMIT, check_canonical, decode, encode
from tierfold.entities.adapter import EntityAdapter, adapter_for
from tierfold.entities.entity import declared_by, entity
from tierfold.entities.pydantic_make import check_version
from tierfold.entities.system import EPOCH
from tierfold.errors import ConfigError, ValidationError

BORN = datetime(2023, 11, 14, 22, 13, 20, 123000, tzinfo=UTC)
T = TypeVar("T")


def refusal(action: Callable[[], object]) -> tuple[str, str | None, str]:
    """Path, id and reason of the error that an action raises."""
    with pytest.raises(ValidationError) as caught:
        action()
    return caught.value.path, caught.value.id, caught.value.reason


def impossible(make: Callable[[], Any]) -> str:
    with pytest.raises(ConfigError) as caught:
        adapter_for(make())
    return str(caught.value)


class Number(int):
    pass


class Colour(enum.StrEnum):
    RED = "red"
    BLUE = "blue"


def list_of(item: Any) -> Any:
    return GenericAlias(list, (item,))


def map_of(item: Any) -> Any:
    return GenericAlias(dict, (str, item))


# --- what holds for all ----------------------------------------------------------------------------------------------

SYSTEM = {"created_at": datetime, "updated_at": datetime, "version": int}
IS_FROZEN = {kind: "frozen" in kind for kind in KINDS}
NEW: dict[str, Any] = {"id": "", "created_at": EPOCH, "updated_at": EPOCH, "version": 0}


def with_system(kind: str, **fields: Any) -> Any:
    return KINDS[kind]({**fields, **({} if kind == "Entity" else SYSTEM)})


@pytest.mark.parametrize("kind", KINDS)
def test_system_fields_are_set_in_the_object_or_in_a_copy_when_it_is_frozen(kind: str) -> None:
    cls = with_system(kind, note=str)
    adapter = adapter_for(cls)
    made = cls(note="a", **NEW)
    assert adapter.id_of(made) == ""
    named = adapter.with_id(made, "x.y")
    filled = adapter.fill(named, record(b""))
    assert [value_of(filled, name) for name in (*NEW, "note")] == ["x.y", BORN, BORN, 5, "a"]
    assert [each is made for each in (named, filled)] == [not IS_FROZEN[kind]] * 2
    assert value_of(made, "version") == (0 if IS_FROZEN[kind] else 5)
    assert type(filled) is type(made)


@pytest.mark.parametrize("kind", KINDS)
def test_a_record_becomes_an_object_with_its_system_fields(kind: str) -> None:
    cls = with_system(kind, note=str)
    adapter = adapter_for(cls)
    loaded = adapter.load(record(adapter.dump(cls(note="a", **NEW))))
    assert [value_of(loaded, name) for name in (*NEW, "note")] == ["x.y", BORN, BORN, 5, "a"]
    assert value_of(loaded, "created_at") is value_of(loaded, "updated_at")


@pytest.mark.parametrize("kind", KINDS)
def test_an_object_becomes_a_document_and_comes_back(kind: str) -> None:
    cls = with_system(kind, path=Path)
    adapter = adapter_for(cls)
    made = cls(path=Path("a"), **{**NEW, "id": "x.y", "version": 3})
    document = adapter.to_document(made)
    assert document == {**NEW, "id": "x.y", "version": 3, "path": "a"}
    assert adapter.from_document(document) == made


@pytest.mark.parametrize("kind", KINDS)
def test_fields_are_read_and_replaced_in_a_copy(kind: str) -> None:
    cls = KINDS[kind]({"note": str})
    adapter = adapter_for(cls)
    made = cls(note="a", id="x.y")
    changed = adapter.with_fields(made, {"note": "b"})
    assert [adapter.fields_of(each, ("note", "id")) for each in (made, changed)] == [
        {"note": "a", "id": "x.y"},
        {"note": "b", "id": "x.y"},
    ]
    assert "no field other" in refusal(lambda: adapter.with_fields(made, {"other": 1}))[2]


@pytest.mark.parametrize("kind", KINDS)
def test_unknown_members_stay_at_every_declared_level(kind: str) -> None:
    inner: Any = KINDS[kind]({"ratio": float, "place": str})
    merge = adapter_for(KINDS[kind]({"inner": inner, "inners": map_of(inner), "count": int})).merge
    assert merge is not None
    stored = {
        "inner": {"ratio": 2, "place": "a", "felt": 1},
        "inners": {"a": {"ratio": 2.0, "place": "a", "felt": [1]}, "b": {}},
        "count": 1,
        "felt": 3,
    }
    new = {
        "inner": {"ratio": 2.0, "place": "b"},
        "inners": {"a": {"ratio": 3.0, "place": "a"}, "c": {"ratio": 1.0, "place": ""}},
        "count": 2,
    }
    assert decode(merge(encode(stored), encode(new))) == {
        "inner": {"ratio": 2, "place": "b", "felt": 1},
        "inners": {"a": {"ratio": 3.0, "place": "a", "felt": [1]}, "c": {"ratio": 1.0, "place": ""}},
        "count": 2,
        "felt": 3,
    }


@pytest.mark.parametrize("inner", [kind for kind in KINDS if kind != "TypedDict"])
@pytest.mark.parametrize("outer", KINDS)
def test_every_kind_of_class_may_be_inside_every_other(outer: str, inner: str) -> None:
    small = KINDS[inner]({"path": Path})
    cls = KINDS[outer]({"one": small, "many": list_of(small), "maybe": small | None, "by_name": map_of(small)})
    adapter = adapter_for(cls)
    thing = small(path=Path("a"))
    made = cls(one=thing, many=[thing], maybe=None, by_name={"k": thing}, id="x.y")
    payload = adapter.dump(made)
    nested = {"path": "a"} | ({} if inner != "Entity" else NEW) | {"id": "x.y"}
    assert decode(payload) == {"one": nested, "many": [nested], "maybe": None, "by_name": {"k": nested}}
    loaded = adapter.load(record(payload))
    assert [value_of(loaded, name) for name in ("one", "many", "maybe", "by_name")] == [
        thing,
        [thing],
        None,
        {"k": thing},
    ]
    assert type(value_of(loaded, "one")) is small


@pytest.mark.parametrize("kind", [kind for kind in KINDS if "pydantic" not in kind])
def test_a_typed_dict_may_be_inside_every_kind(kind: str) -> None:
    class Small(TypedDict, total=False):
        path: Path

    adapter = adapter_for(KINDS[kind]({"many": list_of(Small)}))
    payload = encode({"many": [{"path": "a"}, {}]})
    loaded = adapter.load(record(payload))
    assert value_of(loaded, "many") == [{"path": Path("a")}, {}]
    assert adapter.dump(loaded) == payload


@pytest.mark.parametrize("kind", KINDS)
def test_the_stored_path_of_a_path_of_attributes_is_known(kind: str) -> None:
    inner = KINDS[kind]({"ratio": float})
    cls = KINDS[kind]({"inner": inner | None, "by_name": map_of(inner), "free": Any, "many": list_of(inner)})
    name = adapter_for(cls).stored_name
    for path in ("inner", "inner.ratio", "by_name", "by_name.a", "by_name.a.ratio", "free.a.b", "many", "id"):
        assert name(path) == path
    for path in ("other", "inner.other", "by_name.a.other", "many.ratio", "id.a", "inner.ratio.x", "", "inner."):
        assert name(path) is None


@pytest.mark.parametrize("kind", KINDS)
def test_an_index_names_stored_paths_of_declared_fields(kind: str) -> None:
    inner = KINDS[kind]({"ratio": float})
    cls = entity(index=["count", "inner.ratio"])(KINDS[kind]({"inner": inner, "count": int}))
    assert adapter_for(cls).declared.declaration.index == ("count", "inner.ratio")
    for path in ("inner.other", "id"):
        wrong = entity(index=[path])(KINDS[kind]({"inner": inner}))
        assert f"index {path!r}" in impossible(lambda wrong=wrong: wrong)  # type: ignore[misc]


@pytest.mark.parametrize("kind", KINDS)
def test_the_decorator_declares_every_kind(kind: str) -> None:
    cls = KINDS[kind]({"site": str})
    assert entity(name="Place", partition="{site}", schema=2)(cls) is cls
    declaration = declared_by(cls).declaration
    assert (declaration.name, declaration.partition, declaration.schema) == ("Place", "{site}", 2)
    assert adapter_for(cls).declared.declaration == declaration
    with pytest.raises(ConfigError, match="no field 'room'"):
        entity(partition="{room}")(cls)
    with pytest.raises(ConfigError, match="no field 'room' for its index"):
        entity(index=["room"])(cls)


def test_what_is_none_of_these_kinds_is_refused() -> None:
    class Plain:
        id: str = ""

    assert "is no entity class" in impossible(lambda: Plain)
    with pytest.raises(ConfigError, match=r"is not a dataclass, an attrs class, .* put `@entity"):
        entity()(Plain)


everything: dict[str, Any] = {
    "a_text": str,
    "a_number": float,
    "an_int": int,
    "moment": datetime,
    "maybe": int | float | str | None,
    "key": UUID,
    "money": Decimal,
    "day": date | None,
    "clock": time | None,
    "span": timedelta,
    "path": Path,
    "words": set[str],
    "pairs": list[tuple[int, float]],
    "table": dict[str, list[float]],
    "anything": Any,
}
EVERYTHING = {kind: KINDS[kind](everything) for kind in KINDS}
encodable = st.characters(exclude_categories=["Cs"])
texts = st.text(encodable, max_size=5)
numbers = st.floats(allow_nan=False, allow_infinity=False)
ints = st.integers(-(2**63), 2**63 - 1)
moments = st.datetimes(min_value=datetime(2, 1, 1), max_value=datetime(9998, 1, 1), timezones=st.just(UTC))
things = st.fixed_dictionaries(
    {
        "a_text": texts,
        "a_number": numbers,
        "an_int": ints,
        "moment": moments,
        "maybe": st.none() | ints | numbers | texts,
        "key": st.uuids(),
        "money": st.decimals(allow_nan=False, allow_infinity=False),
        "day": st.none() | st.dates(),
        "clock": st.none() | st.times(timezones=st.sampled_from([None, UTC])),
        "span": st.timedeltas(),
        "path": st.text("abc/.", min_size=1, max_size=5).map(Path),
        "words": st.sets(texts, max_size=3),
        "pairs": st.lists(st.tuples(ints, numbers), max_size=3),
        "table": st.dictionaries(texts, st.lists(numbers, max_size=2), max_size=3),
        "anything": st.recursive(st.none() | ints | texts | moments, lambda each: st.lists(each, max_size=3)),
    }
)


@given(things)
def test_all_kinds_store_the_same_bytes_and_read_the_same_values(values: dict[str, Any]) -> None:
    payloads = set()
    for kind, cls in EVERYTHING.items():
        adapter = adapter_for(cls)
        payload = adapter.dump(cls(id="x.y", **values))
        loaded = adapter.load(record(payload))
        assert {name: value_of(loaded, name) for name in values} == values, kind
        assert adapter.dump(loaded) == payload
        payloads.add(payload)
    (payload,) = payloads
    check_canonical(payload)


def test_no_library_is_imported_that_the_program_does_not_use() -> None:
    program = """
import sys
import tierfold
from dataclasses import dataclass
from typing import TypedDict
from tierfold.entities.adapter import EntityAdapter, adapter_for

class Note(tierfold.Entity):
    text: str

@tierfold.entity()
class Dict(TypedDict):
    id: str

@tierfold.entity()
@dataclass
class Own:
    id: str = ""

for cls in (Note, Dict, Own):
    adapter_for(cls).dump(cls(id="x.y", **({"text": "a"} if cls is Note else {})))
print(sorted({"attr", "attrs", "pydantic", "pydantic_core"} & set(sys.modules)))
"""
    # -I: no path of this run, and so no module that a test plugin imports, comes along.
    done = subprocess.run([sys.executable, "-I", "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout == "[]\n"


# --- attrs -----------------------------------------------------------------------------------------------------------


def lower(text: str) -> str:
    return text.lower()


@attrs.define
class Reading:
    celsius: float = attrs.field(validator=attrs.validators.ge(-273.15))
    site: str = attrs.field(converter=lower, default="Oslo")
    _secret: int = 3
    half: float = attrs.field(init=False, default=0.0)
    twice: float = attrs.field(default=attrs.Factory(lambda self: self.celsius * 2, takes_self=True))
    words: list[str] = attrs.field(factory=list)
    id: str = ""

    def __attrs_post_init__(self) -> None:
        self.half = self.celsius / 2


@attr.s
class Loose:
    count: int = attr.ib(converter=int)
    note = attr.ib(type=str, default="")
    id: str = attr.ib(default="")


@attrs.define
class Handmade:
    low: int
    id: str = ""

    def __init__(self, width: int) -> None:
        self.__attrs_init__(width, "")  # type: ignore[attr-defined]


@attrs.define
class Outer:
    readings: list[Reading]
    id: str = ""


def test_attrs_defaults_and_private_names_are_those_of_the_class() -> None:
    loaded = adapter_for(Reading).load(record(encode({"celsius": 4.0})))
    assert loaded == Reading(celsius=4.0, id="x.y")
    assert (loaded.site, loaded._secret, loaded.half, loaded.twice, loaded.words) == ("oslo", 3, 2.0, 8.0, [])
    assert loaded.words is not adapter_for(Reading).load(record(encode({"celsius": 4.0}))).words


def test_attrs_fields_that_the_constructor_does_not_take_are_stored_too() -> None:
    reading = Reading(celsius=4.0, secret=5)
    reading.half = 7.0
    payload = adapter_for(Reading).dump(adapter_for(Reading).load(record(encode({"celsius": 4.0, "half": 7.0}))))
    assert decode(payload)["half"] == 7.0
    assert decode(adapter_for(Reading).dump(reading))["_secret"] == 5


def test_attrs_converters_run_on_reads_and_saves() -> None:
    loose = Loose(count=1)
    loose.count = "5"  # type: ignore[assignment]
    payload = adapter_for(Loose).dump(loose)
    assert decode(payload) == {"count": 5, "note": ""}
    reading = adapter_for(Reading).load(record(encode({"celsius": 1.0, "site": "BERGEN"})))
    assert reading.site == "bergen"


def test_attrs_validators_run_on_reads_and_saves() -> None:
    assert refusal(lambda: adapter_for(Reading).load(record(encode({"celsius": -300.0})))) == (
        "$",
        "x.y",
        "the class refuses these values with ValueError",
    )
    reading = Reading(celsius=1.0, id="x.y")
    object.__setattr__(reading, "celsius", -300.0)
    assert refusal(lambda: adapter_for(Reading).dump(reading))[:2] == ("$", "x.y")


def test_a_refusal_inside_says_where() -> None:
    outer = Outer([Reading(celsius=1.0)], id="x.y")
    object.__setattr__(outer.readings[0], "celsius", -300.0)
    assert refusal(lambda: adapter_for(Outer).dump(outer))[:2] == ("$.readings[0]", "x.y")
    stored = encode({"readings": [{"celsius": -300.0}]})
    assert refusal(lambda: adapter_for(Outer).load(record(stored)))[:2] == ("$.readings[...]", "x.y")


def test_setting_system_fields_is_no_assignment_of_the_users() -> None:
    @attrs.define
    class Watched:
        id: str = attrs.field(default="", on_setattr=attrs.setters.frozen)

    made = Watched()
    assert adapter_for(Watched).with_id(made, "x.y") is made
    assert made.id == "x.y"


@pytest.mark.parametrize("slots", [True, False])
def test_a_hash_that_an_attrs_object_remembers_is_not_that_of_the_copy_with_an_id(slots: bool) -> None:
    cls: Any = attrs.make_class("Hashed", {"id": attrs.field(type=str)}, frozen=True, slots=slots, cache_hash=True)
    made = cls("")
    hash(made)
    assert hash(adapter_for(cls).with_id(made, "x.y")) == hash(cls("x.y"))


def test_an_attrs_class_with_an_init_of_its_own_is_made_by_the_generated_one() -> None:
    assert adapter_for(Handmade).load(record(encode({"low": 3}))).low == 3


@attrs.define
class Ordered:
    first: int
    named: int = attrs.field(kw_only=True)
    second: int = 2
    own: int = attrs.field(default=attrs.Factory(lambda self: self.second + 1, takes_self=True))
    third: str = "c"
    id: str = ""


@pytest.mark.parametrize("missing", [[], ["own"], ["second", "own", "third"]], ids=len)
def test_attrs_fields_come_in_the_order_and_way_that_the_constructor_takes_them(missing: list[str]) -> None:
    made = Ordered(first=1, named=7, second=2, own=3, third="c", id="x.y")
    document = decode(adapter_for(Ordered).dump(made))
    left = {name: value for name, value in document.items() if name not in missing}
    assert adapter_for(Ordered).load(record(encode(left))) == made


def test_an_attrs_field_needs_a_type() -> None:
    untyped = attrs.make_class("Untyped", {"note": attrs.field(), "id": attrs.field(type=str)})
    assert impossible(lambda: untyped) == "field 'note' of Untyped has no type"


def test_an_attrs_object_without_a_value_is_refused_with_the_path() -> None:
    outer = Outer([], id="x.y")
    del outer.readings
    assert refusal(lambda: adapter_for(Outer).dump(outer)) == ("$.readings", "x.y", "the field has no value")


# --- msgspec ---------------------------------------------------------------------------------------------------------


class Depth(msgspec.Struct, rename="camel"):
    max_km: float = 0.0
    seen_at: Path | None = None


class Shake(msgspec.Struct, rename="camel", kw_only=True, frozen=True):
    net_code: str
    depth_range: Depth = msgspec.field(default_factory=Depth)
    tag_list: list[str] = []
    id: str = ""
    created_at: datetime = EPOCH


class Range(msgspec.Struct):
    low: int
    high: int
    id: str = ""

    def __post_init__(self) -> None:
        if self.low > self.high:
            raise ValueError("low is above high")


def test_members_carry_the_names_that_a_struct_renames_its_fields_to() -> None:
    adapter = adapter_for(Shake)
    payload = adapter.dump(Shake(net_code="ci"))
    assert decode(payload) == {"netCode": "ci", "depthRange": {"maxKm": 0.0, "seenAt": None}, "tagList": []}
    assert adapter.load(record(payload)) == Shake(net_code="ci", id="x.y", created_at=BORN)
    assert adapter.load(record(encode({"netCode": "ci"}))).depth_range == Depth()
    assert adapter.stored_name("depth_range.max_km") == "depthRange.maxKm"
    assert adapter.stored_name("created_at") == "created_at"
    assert adapter.stored_name("depthRange") is None


def test_errors_name_renamed_members_as_documents_do() -> None:
    adapter = adapter_for(Shake)
    assert refusal(lambda: adapter.load(record(encode({"netCode": 1}))))[:2] == ("$.netCode", "x.y")
    wrong = Shake(net_code="ci", depth_range=Depth(max_km="a"))  # type: ignore[arg-type]
    assert refusal(lambda: adapter.dump(wrong))[0] == "$.depthRange.maxKm"


def test_unknown_members_of_renamed_structs_stay() -> None:
    merge = adapter_for(Shake).merge
    assert merge is not None
    stored = {"netCode": "ci", "net_code": "x", "depthRange": {"maxKm": 1, "felt": 1}}
    new = {"netCode": "us", "depthRange": {"maxKm": 1.0, "seenAt": None}, "tagList": []}
    assert decode(merge(encode(stored), encode(new))) == {
        "netCode": "us",
        "net_code": "x",
        "depthRange": {"maxKm": 1, "felt": 1, "seenAt": None},
        "tagList": [],
    }


def test_what_a_structs_post_init_refuses_is_neither_saved_nor_read() -> None:
    made = Range(low=1, high=2, id="x.y")
    made.low = 3
    assert refusal(lambda: adapter_for(Range).dump(made))[:2] == ("$", "x.y")
    assert refusal(lambda: adapter_for(Range).load(record(encode({"low": 3, "high": 2}))))[:2] == ("$", "x.y")


class Lacking(msgspec.Struct):
    count: int | msgspec.UnsetType = msgspec.UNSET
    path: Path | msgspec.UnsetType | None = msgspec.UNSET
    id: str = ""


def test_a_field_of_a_struct_that_is_unset_has_no_member() -> None:
    adapter = adapter_for(Lacking)
    for made, document in (
        (Lacking(), {}),
        (Lacking(1, Path("a")), {"count": 1, "path": "a"}),
        (Lacking(path=None), {"path": None}),
        (Lacking(count=Number(2)), {"count": 2}),
    ):
        payload = adapter.dump(made)
        assert decode(payload) == document
        assert adapter.load(record(payload)) == Lacking(made.count, made.path, "x.y")
    assert refusal(lambda: adapter.dump(Lacking("a")))[:2] == ("$.count", None)  # type: ignore[arg-type]


class Listed(msgspec.Struct, array_like=True):
    id: str = ""


class Tagged(msgspec.Struct, tag=True):
    id: str = ""


class HoldsTagged(msgspec.Struct):
    inner: Tagged
    id: str = ""


class AsSystem(msgspec.Struct):
    one: int = msgspec.field(name="version")
    id: str = ""


class Dotted(msgspec.Struct):
    one: int = msgspec.field(name="a.b")
    id: str = ""


@pytest.mark.parametrize(
    ("cls", "reason"),
    [
        (Listed, "Listed: array_like=True has no named members"),
        (Tagged, "Tagged: the tag 'type'"),
        (HoldsTagged, "field 'inner' of HoldsTagged: Tagged: the tag 'type'"),
        (AsSystem, "a field is stored as 'version', a system field"),
    ],
)
def test_structs_whose_form_is_no_map_of_their_own_fields_are_refused(cls: type, reason: str) -> None:
    assert reason in impossible(lambda: cls)


def test_a_name_with_a_dot_is_stored_but_no_path_leads_there() -> None:
    assert decode(adapter_for(Dotted).dump(Dotted(1))) == {"a.b": 1}
    assert adapter_for(Dotted).stored_name("one") is None


# --- pydantic --------------------------------------------------------------------------------------------------------


class Camel(pydantic.BaseModel):
    model_config = pydantic.ConfigDict(alias_generator=to_camel, populate_by_name=True)


class Point(Camel):
    x_pos: int = pydantic.Field(default=0, ge=0)
    label: str = ""


class Station(Camel):
    net_code: str = pydantic.Field(alias="net")
    depth_km: float = pydantic.Field(default=0.0, validation_alias="depth", serialization_alias="dKm")
    points: list[Point] = []
    site: str = "oslo"
    link: pydantic.HttpUrl | None = None
    seen: pydantic.AwareDatetime | None = None
    cache: int = pydantic.Field(default=7, exclude=True)
    id: str = ""
    version: int = 0

    @pydantic.field_validator("site")
    @classmethod
    def lower(cls, value: str) -> str:
        if value == "nowhere":
            raise ValueError(f"{value} is no site; nowhere else is '{value}'")
        if value == "moon":
            raise PydanticCustomError("too_far", "moon is too far")
        return value.lower()


class Strict(pydantic.BaseModel):
    model_config = pydantic.ConfigDict(strict=True, extra="forbid", validate_assignment=True)
    key: UUID
    words: set[str]
    day: date
    id: str = ""
    version: int = 0


@pydantic_dataclass
class Sized:
    width: int = pydantic.Field(gt=0, alias="w")
    area: int = pydantic.Field(init=False, default=0)
    id: str = ""


class Late(pydantic.BaseModel):
    other: LaterModel
    id: str = ""


class LaterModel(pydantic.BaseModel):
    note: str = ""


@pydantic_dataclass
class LateDataclass:
    other: LaterModel2
    id: str = ""


class LaterModel2(pydantic.BaseModel):
    note: str = ""


class Box(pydantic.BaseModel, Generic[T]):
    content: T
    id: str = ""


def test_members_carry_the_serialization_alias_or_else_the_alias() -> None:
    adapter = adapter_for(Station)
    made = Station(net="ci", points=[Point(x_pos=1)])
    assert decode(adapter.dump(made)) == {
        "net": "ci",
        "dKm": 0.0,
        "points": [{"xPos": 1, "label": ""}],
        "site": "oslo",
        "link": None,
        "seen": None,
    }
    paths = ("net_code", "depth_km", "points", "site", "version")
    assert [adapter.stored_name(path) for path in paths] == ["net", "dKm", "points", "site", "version"]


def test_a_model_comes_back_with_its_aliases_and_defaults() -> None:
    loaded = adapter_for(Station).load(record(encode({"net": "ci", "dKm": 2.5, "points": [{"xPos": 3}]})))
    assert (loaded.net_code, loaded.depth_km, loaded.points, loaded.cache) == ("ci", 2.5, [Point(x_pos=3)], 7)
    assert loaded.model_fields_set == {"id", "version", "net_code", "depth_km", "points"}


def test_types_of_pydantic_are_stored_as_it_writes_them_and_come_back() -> None:
    adapter = adapter_for(Station)
    made = Station.model_validate({"net": "ci", "link": "https://a.b/c", "seen": BORN})
    payload = adapter.dump(made)
    document = decode(payload)
    assert (document["link"], document["seen"]) == ("https://a.b/c", BORN)
    loaded = adapter.load(record(payload))
    assert (loaded.link, loaded.seen) == (made.link, BORN)


class Unwritten:
    """A type that pydantic lets in, and cannot write."""

    @classmethod
    def __get_pydantic_core_schema__(cls, source: Any, handler: Any) -> core_schema.CoreSchema:
        return core_schema.is_instance_schema(cls)


class Huge(Unwritten):
    """A type that pydantic writes as what no document holds."""

    @classmethod
    def __get_pydantic_core_schema__(cls, source: Any, handler: Any) -> core_schema.CoreSchema:
        writing = core_schema.plain_serializer_function_ser_schema(lambda value: 2**70)
        return core_schema.is_instance_schema(cls, serialization=writing)


@pytest.mark.parametrize(
    ("cls", "reason"), [(Unwritten, "pydantic cannot write this Unwritten"), (Huge, "an int must fit into 64 bits")]
)
def test_a_value_that_pydantic_cannot_write_is_refused_with_path_and_id(cls: type[Unwritten], reason: str) -> None:
    model = KINDS["pydantic model"]({"value": cls})
    path, id, said = refusal(lambda: adapter_for(model).dump(model(value=cls())))
    assert (path, id) == ("$.value", "x.y")
    assert reason in said


def test_validators_of_a_model_run_on_saves_and_the_validated_value_is_stored() -> None:
    made = Station(net="ci", id="x.y")
    made.site = "BERGEN"
    assert decode(adapter_for(Station).dump(made))["site"] == "bergen"
    made.site = "nowhere"
    reason = "Value error, … is no site; … else is '…'"
    assert refusal(lambda: adapter_for(Station).dump(made)) == ("$.site", "x.y", reason)


@pytest.mark.parametrize(
    ("members", "path", "reason"),
    [
        ({"net": "ci", "site": "nowhere"}, "$.site", "Value error, … is no site; … else is '…'"),
        ({"net": "ci", "site": "moon"}, "$.site", "… is too far"),
        ({"net": "ci", "points": [{"xPos": -1}]}, "$.points[...].xPos", "Input should be greater than or equal to 0"),
        ({"net": "ci", "points": [{"xPos": "a"}]}, "$.points[0].xPos", "Expected `int`, got `str`"),
        ({"net": 5}, "$.net", "Expected `str`, got `int`"),
        ({"net": "ci", "link": "no url"}, "$.link", "Input should be a valid URL, relative URL without a base"),
        ({}, "$", "Object missing required field `net`"),
    ],
    ids=range(7),
)
def test_what_does_not_fit_a_model_is_refused_with_path_and_id_and_no_value(
    members: dict[str, Any], path: str, reason: str
) -> None:
    assert refusal(lambda: adapter_for(Station).load(record(encode(members)))) == (path, "x.y", reason)


def test_what_a_model_says_of_several_values_names_none_of_them() -> None:
    class Range(pydantic.BaseModel):
        low: float = 0.0
        high: float = 0.0
        names: dict[str, list[str]] = {}
        id: str = ""

        @pydantic.model_validator(mode="after")
        def ascend(self) -> Range:
            if self.low > self.high or self.names:
                raise ValueError(f"low {self.low} is not below 14.0, high is {self.high}: {self.names}")
            return self

    stored = record(encode({"low": 4.0, "high": -1.5, "names": {"secret": ["a b", ""]}}))
    said = "Value error, low … is not below 14.0, high is …: {'…': ['…', '']}"
    assert refusal(lambda: adapter_for(Range).load(stored)) == ("$", "x.y", said)


def test_a_path_of_pydantics_own_is_continued() -> None:
    class Deep(pydantic.BaseModel):
        tables: dict[str, list[pydantic.PositiveInt]]
        id: str = ""

    stored = record(encode({"tables": {"a b": [1, -1]}}))
    assert refusal(lambda: adapter_for(Deep).load(stored))[0] == "$.tables['a b'][1]"


def test_a_strict_model_that_forbids_more_is_read_and_leaves_unknown_members_alone() -> None:
    adapter = adapter_for(Strict)
    made = Strict(key=UUID(int=1), words={"a"}, day=date(2026, 11, 21))
    payload = encode({**decode(adapter.dump(made)), "felt": 1})
    loaded = adapter.load(record(payload))
    assert (loaded.key, loaded.words, loaded.day, loaded.version) == (made.key, made.words, made.day, 5)
    assert adapter.merge is not None
    assert adapter.merge(payload, adapter.dump(loaded)) == payload


def test_a_model_that_holds_the_values_of_enums_is_saved_and_comes_back() -> None:
    class Painted(pydantic.BaseModel):
        model_config = pydantic.ConfigDict(use_enum_values=True)
        colour: Colour
        others: list[Colour] = []
        count: int = 0
        id: str = ""

    adapter = adapter_for(Painted)
    made = Painted(colour=Colour.RED, others=[Colour.BLUE])
    assert made.colour == "red"
    loaded = adapter.load(record(adapter.dump(made)))
    assert loaded == made.model_copy(update={"id": "x.y"})
    assert type(loaded.colour) is str
    assert refusal(lambda: adapter.load(record(encode({"colour": "green"}))))[:2] == ("$.colour", "x.y")


def test_types_of_pydantic_may_stand_in_containers_and_unions() -> None:
    class Linked(pydantic.BaseModel):
        links: list[pydantic.HttpUrl]
        either: pydantic.HttpUrl | int | None
        table: dict[str, pydantic.AwareDatetime | None]
        id: str = ""

    adapter = adapter_for(Linked)
    for either in ("https://a.b/", 5, None):
        made = Linked.model_validate({"links": ["https://a.b/"], "either": either, "table": {"a": BORN, "b": None}})
        payload = adapter.dump(made)
        assert decode(payload)["either"] == either
        assert adapter.load(record(payload)) == made.model_copy(update={"id": "x.y"})


def test_validators_of_a_pydantic_dataclass_run_on_reads_and_saves() -> None:
    adapter = adapter_for(Sized)
    made = Sized(w=2)
    made.area = 4
    payload = adapter.dump(made)
    assert decode(payload) == {"w": 2, "area": 4}
    loaded = adapter.load(record(payload))
    assert (loaded.width, loaded.area, loaded.id) == (2, 4, "x.y")
    assert adapter.load(record(encode({"w": 2}))).area == 0
    made.width = 0
    assert refusal(lambda: adapter.dump(made))[0] == "$.w"
    assert refusal(lambda: adapter.load(record(encode({"w": 0}))))[:2] == ("$.w", "x.y")


@pytest.mark.parametrize("cls", [Late, LateDataclass])
def test_a_class_of_pydantic_is_completed_when_it_is_first_used(cls: Any) -> None:
    assert adapter_for(cls).load(record(encode({"other": {"note": "a"}}))).other.note == "a"


def test_a_generic_model_is_served_once_its_parameters_are_known() -> None:
    cls = entity(name="Box")(Box[Path])
    assert adapter_for(cls).load(record(encode({"content": "a"}))).content == Path("a")


def root_model() -> Any:
    return type("Root", (pydantic.RootModel[int],), {})


def open_model() -> Any:
    return pydantic.create_model("Open", __config__=pydantic.ConfigDict(extra="allow"), id=(str, ""))


def secret_model() -> Any:
    return pydantic.create_model("Secretive", key=(pydantic.SecretStr, ...), id=(str, ""))


def excluded_model() -> Any:
    return pydantic.create_model("Excluded", key=(str, pydantic.Field(exclude=True)), id=(str, ""))


def ambiguous_model() -> Any:
    one = pydantic.Field(serialization_alias="same")
    return pydantic.create_model("Twice", one=(str, one), same=(str, ""), id=(str, ""))


def unfinished_model() -> Any:
    fields: Any = {"other": ("Nowhere", ...), "id": (str, "")}
    return pydantic.create_model("Unfinished", **fields)


def unfinished_dataclass() -> Any:
    return pydantic_dataclass(type("Half", (), {"__annotations__": {"other": "Nowhere", "id": "str"}}))


@pytest.mark.parametrize(
    ("make", "reason"),
    [
        (root_model, "a RootModel has no named members"),
        (open_model, "Open: extra='allow'"),
        (secret_model, "field 'key' of Secretive: a SecretStr hides its value"),
        (excluded_model, "field 'key' of Excluded is excluded, so it needs a default"),
        (ambiguous_model, "Twice: two fields are stored as 'same'"),
        (unfinished_model, "Unfinished is not complete"),
        (unfinished_dataclass, "Half is not complete"),
        (lambda: KINDS["pydantic model"]({"value": complex}), "complex"),
    ],
    ids=range(8),
)
def test_classes_of_pydantic_that_are_no_map_of_declared_fields_are_refused(
    make: Callable[[], Any], reason: str
) -> None:
    assert reason in impossible(make)


def test_an_old_pydantic_is_refused_by_its_version() -> None:
    check_version("2.11.0b1")
    check_version("3.0")
    with pytest.raises(ConfigError, match=r"2\.11 or newer is needed for its classes, not 2\.10\.6"):
        check_version("2.10.6")


# --- typed dicts -----------------------------------------------------------------------------------------------------


class Sensor(TypedDict):
    id: str
    site: str
    depth: NotRequired[float]
    path: NotRequired[Path]
    version: NotRequired[int]


class Partial(TypedDict, total=False):
    id: Required[str]
    note: str


class Derived(Partial):
    more: typing_extensions.ReadOnly[Required[list[Partial]]]
    version: int


class Extended(typing_extensions.TypedDict, total=False):
    id: Required[str]
    note: typing_extensions.ReadOnly[str]


Keyed = TypedDict("Keyed", {"my-key": int, "class": NotRequired[str], "id": str})


def test_members_that_a_typed_dict_need_not_have_are_stored_when_they_are_there() -> None:
    adapter = adapter_for(Sensor)
    less: Sensor = {"id": "", "site": "a"}
    more: Sensor = {"id": "", "site": "a", "depth": 1.5, "path": Path("x")}
    for sensor, document in ((less, {"site": "a"}), (more, {"site": "a", "depth": 1.5, "path": "x"})):
        payload = adapter.dump(sensor)
        assert decode(payload) == document
        assert adapter.load(record(payload)) == {**sensor, "id": "x.y", "version": 5}


def test_a_member_that_is_taken_out_of_a_typed_dict_goes_and_an_unknown_one_stays() -> None:
    merge = adapter_for(Sensor).merge
    assert merge is not None
    stored = encode({"site": "a", "depth": 2, "felt": 1})
    assert decode(merge(stored, encode({"site": "b"}))) == {"site": "b", "felt": 1}
    assert decode(merge(stored, encode({"site": "b", "depth": 2.0}))) == {"site": "b", "depth": 2, "felt": 1}


def test_a_new_typed_dict_needs_no_system_fields_yet() -> None:
    adapter = adapter_for(Sensor)
    made: Any = {"site": "a"}
    assert adapter.id_of(made) == ""
    assert adapter.fields_of(made, ("site", "depth")) == {"site": "a"}
    assert adapter.fill(adapter.with_id(made, "x.y"), record(b"")) is made
    assert made == {"site": "a", "id": "x.y", "version": 5}


@pytest.mark.parametrize(
    ("sensor", "path", "reason"),
    [
        ({"id": "x.y"}, "$.site", "the field has no value"),
        ({"id": "x.y", "site": 1}, "$.site", "Expected `str`, got `int`"),
        ({"id": "x.y", "site": "a", "depth": "b"}, "$.depth", "Expected `float`, got `str`"),
        ({"id": "x.y", "site": "a", "my other": 1}, "$['my other']", "Sensor has no such member"),
    ],
    ids=range(4),
)
def test_a_dict_that_is_not_of_its_type_is_refused(sensor: Any, path: str, reason: str) -> None:
    assert refusal(lambda: adapter_for(Sensor).dump(sensor)) == (path, "x.y", reason)


def test_only_dicts_are_saved_as_typed_dicts() -> None:
    made: Any = [("site", "a")]
    assert refusal(lambda: adapter_for(Sensor).dump(made))[2] == "Expected `Sensor`, got `list`"


def test_a_stored_document_without_a_required_member_is_refused() -> None:
    assert "`site`" in refusal(lambda: adapter_for(Sensor).load(record(encode({}))))[2]
    assert "`id`" in refusal(lambda: adapter_for(Sensor).from_document({"site": "a"}))[2]


def test_qualifiers_say_what_may_lack_whatever_the_class_says() -> None:
    adapter: EntityAdapter[Any] = adapter_for(Derived)
    assert adapter.load(record(encode({"more": [{"id": "a"}]}))) == {"id": "x.y", "more": [{"id": "a"}], "version": 5}
    assert "`more`" in refusal(lambda: adapter.load(record(encode({"note": "a"}))))[2]
    extended: EntityAdapter[Any] = adapter_for(Extended)
    assert extended.load(record(encode({}))) == {"id": "x.y"}


def test_names_that_are_no_identifiers_are_stored_as_they_are() -> None:
    adapter = adapter_for(Keyed)
    payload = adapter.dump({"my-key": 1, "class": "a", "id": "x.y"})
    assert adapter.load(record(payload)) == {"my-key": 1, "class": "a", "id": "x.y"}


def test_a_typed_dict_with_a_condition_is_read_back_before_it_is_stored() -> None:
    class Bounded(TypedDict):
        count: typing_extensions.Annotated[int, msgspec.Meta(ge=0)]
        id: str
        version: NotRequired[int]

    adapter = adapter_for(Bounded)
    assert decode(adapter.dump({"count": 1, "id": "x.y"})) == {"count": 1}
    assert refusal(lambda: adapter.dump({"count": -1, "id": "x.y"}))[:2] == ("$.count", "x.y")


# --- depth -----------------------------------------------------------------------------------------------------------


class Tree(pydantic.BaseModel):
    children: list[Tree] = []
    id: str = ""


def test_a_model_that_holds_itself_is_stored_down_to_the_64th_level() -> None:
    adapter = adapter_for(Tree)

    def tree(levels: int) -> Tree:
        made = Tree()
        for _ in range(levels - 1):
            made = Tree(children=[made])
        return made

    deepest = tree(DEPTH_LIMIT // 2)
    assert adapter.load(record(adapter.dump(deepest))).children == deepest.children
    assert "64 levels" in refusal(lambda: adapter.dump(tree(DEPTH_LIMIT // 2 + 1)))[2]


def test_times_of_records_are_those_of_their_stamps() -> None:
    @dataclass
    class Timed:
        id: str = ""
        updated_at: datetime = EPOCH
        words: list[str] = field(default_factory=list)

    assert adapter_for(Timed).load(record(encode({}))).updated_at == EPOCH + timedelta(milliseconds=BORN_MS)
