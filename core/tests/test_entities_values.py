"""The table of values: what each annotation stores, refuses, and gives back."""

from __future__ import annotations

import enum
from collections.abc import Callable
from dataclasses import InitVar, dataclass, field
from datetime import UTC, date, datetime, time, timedelta, timezone
from decimal import Decimal
from math import inf, nan
from pathlib import Path, PurePosixPath
from typing import Annotated, Any, Final, Literal, NewType, Optional
from uuid import UUID
from zoneinfo import ZoneInfo

import pytest
from core.tests.entity_kinds import KINDS, record, value_of
from hypothesis import given
from hypothesis import strategies as st
from msgspec import Meta

from tierfold.codec import check_canonical, decode, encode
from tierfold.entities.adapter import EntityAdapter, adapter_for
from tierfold.entities.entity import Entity
from tierfold.errors import ConfigError, ValidationError


class Colour(enum.StrEnum):
    RED = "red"
    BLUE = "blue"


class Level(enum.Enum):
    LOW = 1
    HIGH = 2


class Rights(enum.Flag):
    READ = 1
    WRITE = 2


class Weight(enum.Enum):
    HALF = 0.5


class Text(str):
    __slots__ = ()


class Number(int):
    pass


class Ratio(float):
    pass


class Bytes(bytes):
    pass


class LibraryTime(datetime):
    pass


class LibraryDate(date):
    pass


class LibraryClock(time):
    pass


class LibrarySpan(timedelta):
    pass


@dataclass
class Place:
    name: str
    depth_km: float = 0.0


@dataclass(frozen=True)
class Tag:
    word: str


@dataclass
class Unresolved:
    other: Missing  # type: ignore[name-defined] # noqa: F821


@dataclass
class Initial:
    seed: InitVar[int]
    id: str = ""


SiteName = NewType("SiteName", str)
NOON = datetime(2026, 11, 21, 12, 0, 0, 5, tzinfo=UTC)
PLUS_TWO = timezone(timedelta(hours=2))


def adapter_of(annotation: Any, kind: str = "dataclass") -> tuple[Any, EntityAdapter[Any]]:
    cls = KINDS[kind]({"value": annotation})
    return cls, adapter_for(cls)


def stored(annotation: Any, value: object, kind: str = "dataclass") -> object:
    cls, adapter = adapter_of(annotation, kind)
    payload = adapter.dump(cls(value=value, id="x.y"))
    check_canonical(payload)
    return decode(payload)["value"]


def loaded(annotation: Any, plain: object, kind: str = "dataclass") -> object:
    return value_of(adapter_of(annotation, kind)[1].load(record(encode({"value": plain}))), "value")


TABLE: list[tuple[Any, object, object]] = [
    (str, "a", "a"),
    (bool, True, True),
    (None, None, None),
    (bytes, b"a", b"a"),
    (int, -(2**63), -(2**63)),
    (int, 2**63 - 1, 2**63 - 1),
    (float, 2.5, 2.5),
    (datetime, NOON, NOON),
    (UUID, UUID(int=10), "00000000-0000-0000-0000-00000000000a"),
    (Decimal, Decimal("1.50"), "1.50"),
    (Decimal, Decimal("1E+5"), "1E+5"),
    (date, date(26, 1, 2), "0026-01-02"),
    (time, time(10, 0, 0, 1), "10:00:00.000001"),
    (time, time(10, tzinfo=UTC), "10:00:00Z"),
    (time, time(10, tzinfo=PLUS_TWO), "10:00:00+02:00"),
    (timedelta, timedelta(days=1, seconds=2, microseconds=500000), "P1DT2.5S"),
    (timedelta, timedelta(microseconds=-1), "-PT0.000001S"),
    (Colour, Colour.RED, "red"),
    (Level, Level.HIGH, 2),
    (Path, Path("a/b"), "a/b"),
    (PurePosixPath, PurePosixPath("/a"), "/a"),
    (list[int], [3, 1], [3, 1]),
    (list[Path], [Path("a")], ["a"]),
    (list[list[float]], [[1.0], []], [[1.0], []]),
    (list, [1, {"a": None}], [1, {"a": None}]),
    (tuple[int, ...], (1, 2), [1, 2]),
    (tuple[Path, ...], (Path("a"),), ["a"]),
    (tuple, ("a", 1), ["a", 1]),
    (tuple[int, str], (1, "a"), [1, "a"]),
    (tuple[int, Path], (1, Path("a")), [1, "a"]),
    (tuple[()], (), []),
    (set[str], {"b", "a", "cc"}, ["a", "b", "cc"]),
    (set[int], {300, -1, 2}, [2, 300, -1]),
    (frozenset[Colour], frozenset(Colour), ["red", "blue"]),
    (frozenset[Path], frozenset([Path("b"), Path("a")]), ["a", "b"]),
    (frozenset[Tag], frozenset([Tag("b"), Tag("a")]), [{"word": "a"}, {"word": "b"}]),
    (set, {1}, [1]),
    (frozenset, frozenset({1}), [1]),
    (dict[str, int], {"b": 1, "a": 2}, {"a": 2, "b": 1}),
    (dict[str, Path], {"b": Path("x")}, {"b": "x"}),
    (dict, {"a": [1]}, {"a": [1]}),
    (Literal["a", 1, None], 1, 1),
    (Literal["a", 1, None], None, None),
    (Place, Place("oslo", 3.0), {"depth_km": 3.0, "name": "oslo"}),
    (list[Place], [Place("oslo")], [{"depth_km": 0.0, "name": "oslo"}]),
    (dict[str, Place], {"a": Place("oslo")}, {"a": {"depth_km": 0.0, "name": "oslo"}}),
    (Place | None, None, None),
    (Place | None, Place("oslo"), {"depth_km": 0.0, "name": "oslo"}),
    (Place | list[Tag] | str, [Tag("a")], [{"word": "a"}]),
    (Place | list[Tag] | str, Place("x"), {"depth_km": 0.0, "name": "x"}),
    (Place | list[Tag] | str, "x", "x"),
    (set[Path] | Place, {Path("a")}, ["a"]),
    (Path | int, 5, 5),
    (Path | int, Path("a"), "a"),
    (int | float, 1, 1),
    (int | float, 1.0, 1.0),
    (Annotated[int, Meta(ge=0)] | float, 1, 1),
    (Optional[str], "a", "a"),  # noqa: UP045 - users write it
    (int | str | bool | None, True, True),
    (Any, {"a": [1, None]}, {"a": [1, None]}),
    (object, 5, 5),
    (Any | None, None, None),
    (Annotated[Any, "a note"] | Place, {"name": "a"}, {"name": "a"}),
    (Annotated[str, "a note"], "a", "a"),
    (Annotated[Path | int, "a note"] | None, Path("a"), "a"),
    (Annotated[Path | int, "a note"] | None, 5, 5),
    (SiteName, "a", "a"),
    (SiteName | None, "a", "a"),
]


@pytest.mark.parametrize("kind", [kind for kind in KINDS if kind != "TypedDict"])
def test_a_field_may_be_final(kind: str) -> None:
    assert stored(Final[int], 5, kind) == loaded(Final[int], 5, kind) == 5


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(("annotation", "value", "plain"), TABLE, ids=range(len(TABLE)))
def test_a_value_is_stored_as_the_table_says_and_comes_back(
    annotation: Any, value: object, plain: object, kind: str
) -> None:
    found = stored(annotation, value, kind)
    assert found == plain
    assert type(found) is type(plain)
    assert loaded(annotation, plain, kind) == value
    assert type(loaded(annotation, plain, kind)) is type(value)


CONVERTED: list[tuple[Any, object, object]] = [
    (str, Colour.RED, "red"),
    (str, Text("a"), "a"),
    (int, Number(5), 5),
    (float, Ratio(0.5), 0.5),
    (float, 2, 2.0),
    (float, -(2**53), -(2.0**53)),
    (float, -0.0, 0.0),
    (float | None, 2, 2.0),
    (float | str, 2, 2.0),
    (int | float, -0.0, 0.0),
    (bytes, Bytes(b"a"), b"a"),
    (datetime, NOON.astimezone(PLUS_TWO), NOON),
    (datetime, NOON.astimezone(ZoneInfo("UTC")), NOON),
    (datetime, LibraryTime(2026, 11, 21, tzinfo=UTC), datetime(2026, 11, 21, tzinfo=UTC)),
    (date, LibraryDate(2026, 11, 21), "2026-11-21"),
    (time, LibraryClock(10), "10:00:00"),
    (time, time(10, tzinfo=timezone(timedelta(hours=-3))), "10:00:00-03:00"),
    (timedelta, LibrarySpan(1), "P1D"),
    (list[float], [1, -0.0], [1.0, 0.0]),
    (list[datetime], [NOON.astimezone(PLUS_TWO)], [NOON]),
    (tuple[float, str], (1, Text("a")), [1.0, "a"]),
    (tuple[Literal["a"], str], ("a", Text("b")), ["a", "b"]),
    (tuple[Path, ...], (Path("a"), Path("b")), ["a", "b"]),
    (set[float], {1, 0.5, -0.0}, [0.0, 0.5, 1.0]),
    (set[date], {LibraryDate(2026, 11, 21), date(2026, 11, 20)}, ["2026-11-20", "2026-11-21"]),
    (frozenset[Tag], frozenset([Tag(Text("b")), Tag("a")]), [{"word": "a"}, {"word": "b"}]),
    (dict[str, float], {"a": -0.0, "b": 1}, {"a": 0.0, "b": 1.0}),
    (dict[str, datetime], {"a": NOON.astimezone(PLUS_TWO)}, {"a": NOON}),
    (Place, Place(Text("a"), 1), {"depth_km": 1.0, "name": "a"}),
    (Place | None, Place(Text("a")), {"depth_km": 0.0, "name": "a"}),
    (Any, -0.0, 0.0),
    (Any, [NOON.astimezone(PLUS_TWO)], [NOON]),
]


@pytest.mark.parametrize(("annotation", "value", "plain"), CONVERTED, ids=range(len(CONVERTED)))
def test_a_value_that_is_not_exactly_the_declared_type_is_stored_like_one_that_is(
    annotation: Any, value: object, plain: object
) -> None:
    found = stored(annotation, value)
    assert found == plain
    assert encode({"a": found}) == encode({"a": plain})


REFUSED: list[tuple[Any, object, str, str]] = [
    (float, "2", "$.value", "Expected `float`, got `str`"),
    (float, True, "$.value", "Expected `float`, got `bool`"),
    (float, nan, "$.value", "NaN"),
    (float, inf, "$.value", "NaN"),
    (float, 2**53 + 1, "$.value", "not exactly a float"),
    (float, 10**400, "$.value", "not exactly a float"),
    (float | None, "2", "$.value", "Expected `None | float`, got `str`"),
    (int | float, nan, "$.value", "NaN"),
    (int, True, "$.value", "Expected `int`, got `bool`"),
    (int, 2.0, "$.value", "Expected `int`, got `float`"),
    (int, 2**63, "$.value", "64 bits"),
    (int, -(2**63) - 1, "$.value", "64 bits"),
    (str, None, "$.value", "Expected `str`, got `NoneType`"),
    (str, "\ud800", "$.value", "lone surrogate"),
    (None, 0, "$.value", "Expected `None`"),
    (bool, 1, "$.value", "Expected `bool`"),
    (bytes, bytearray(b"a"), "$.value", "Expected `bytes`"),
    (datetime, datetime(2026, 11, 21), "$.value", "time zone"),
    (datetime, "2026-11-21T00:00:00Z", "$.value", "Expected `datetime`"),
    (UUID, "00000000-0000-0000-0000-00000000000a", "$.value", "Expected `UUID`"),
    (Decimal, Decimal("NaN"), "$.value", "NaN"),
    (Decimal | None, Decimal("NaN"), "$.value", "NaN"),
    (float | None, 2**60, "$.value", "2**53"),
    (Decimal, 1.5, "$.value", "Expected `Decimal`"),
    (date, NOON, "$.value", "Expected `date`"),
    (time, time(10, tzinfo=ZoneInfo("Europe/Oslo")), "$.value", "offset"),
    (time, time(10, tzinfo=timezone(timedelta(seconds=90))), "$.value", "offset"),
    (Colour, "red", "$.value", "Expected `Colour`"),
    (Path, "a", "$.value", "Expected `Path`"),
    (list[int], (1,), "$.value", "Expected `list`"),
    (list[int], [1, "a"], "$.value[1]", "Expected `int`"),
    (list[list[int]], [[], [1, None]], "$.value[1][1]", "Expected `int`"),
    (tuple[int, ...], [1], "$.value", "Expected `tuple`"),
    (tuple[int, str], [1, "a"], "$.value", "Expected `tuple`"),
    (tuple[int, str], (1,), "$.value", "length 2, got 1"),
    (tuple[int, str], (1, 2), "$.value[1]", "Expected `str`"),
    (set[int], [1], "$.value", "Expected `set`"),
    (set[float], {nan}, "$.value[...]", "NaN"),
    (set[int], {"a"}, "$.value[...]", "Expected `int`"),
    (dict[str, int], [1], "$.value", "Expected `dict`"),
    (dict[str, int], {"a b": "x"}, "$.value['a b']", "Expected `int`"),
    (dict[str, int], {1: 1}, "$.value", "keys must be text"),
    (dict[str, int], {"\ud800": 1}, "$.value['\\ud800']", "lone surrogate"),
    (Literal["a", 1], True, "$.value", "Expected `'a' | 1`"),
    (Literal["a", 1], ["a"], "$.value", "Expected `'a' | 1`"),
    (Place, Tag("a"), "$.value", "Expected `Place`, got `Tag`"),
    (Place, Place("a", "b"), "$.value.depth_km", "Expected `float`"),  # type: ignore[arg-type]
    (list[Place] | None, [Place(5)], "$.value[0].name", "Expected `str`"),  # type: ignore[arg-type]
    (Place | None, 5, "$.value", "Expected `None | Place`, got `int`"),
    (Any, {"a": {1}}, "$.value.a", "a set cannot"),
    (Any, [(1,)], "$.value[0]", "a tuple cannot"),
    (Any, Decimal(1), "$.value", "a Decimal cannot"),
    (Annotated[int, Meta(ge=0)], -1, "$.value", "Expected `int` >= 0"),
    (list[Annotated[str, Meta(max_length=2)]], ["abc"], "$.value[0]", "length <= 2"),
]


@pytest.mark.parametrize(("annotation", "value", "path", "reason"), REFUSED, ids=range(len(REFUSED)))
def test_a_save_refuses_what_does_not_fit_with_path_and_id(
    annotation: Any, value: object, path: str, reason: str
) -> None:
    cls, adapter = adapter_of(annotation)
    with pytest.raises(ValidationError) as caught:
        adapter.dump(cls(value))
    assert reason in caught.value.reason
    assert (caught.value.path, caught.value.id) == (path, "x.y")


MISREAD: list[tuple[Any, object, str]] = [
    (float, "2", "$.value"),
    (int, 2.0, "$.value"),
    (bool, 1, "$.value"),
    (datetime, "2026-11-21T12:00:00", "$.value"),
    (list[datetime], ["2026-11-21T12:00:00"], "$.value[0]"),
    (Colour, "green", "$.value"),
    (Literal["a"], "b", "$.value"),
    (UUID, "x", "$.value"),
    (list[int], [1, "a"], "$.value[1]"),
    (dict[str, Place], {"a": {"name": 1}}, "$.value[...].name"),
    (Annotated[int, Meta(ge=0)], -1, "$.value"),
    (tuple[int, str], [1], "$.value"),
]


@pytest.mark.parametrize(("annotation", "plain", "path"), MISREAD, ids=range(len(MISREAD)))
def test_a_read_refuses_what_does_not_fit_with_path_and_id_and_no_value(
    annotation: Any, plain: object, path: str
) -> None:
    with pytest.raises(ValidationError) as caught:
        loaded(annotation, plain)
    assert caught.value.path == path
    assert caught.value.id == "x.y"
    assert "green" not in str(caught.value)


LENIENT: list[tuple[Any, object, object]] = [
    (float, 2, 2.0),
    (datetime, "2026-11-21T14:00:00.000005+02:00", NOON),
    (Decimal, 2, Decimal(2)),
    (set[int], [1, 1], {1}),
]


@pytest.mark.parametrize(("annotation", "plain", "value"), LENIENT, ids=range(len(LENIENT)))
def test_a_read_takes_what_other_programs_may_have_stored(annotation: Any, plain: object, value: object) -> None:
    assert loaded(annotation, plain) == value


UNDECLARABLE: list[tuple[Any, str]] = [
    (complex, "field 'value' of Thing: complex cannot be stored"),
    (bytearray, "bytearray cannot be stored"),
    (Rights, "Rights cannot be stored"),
    (Weight, "Thing"),
    (dict[int, str], "keys of a map are text"),
    (Callable[[], int], "cannot be stored"),
    (type[int], "cannot be stored"),
    ("Missing", "Thing: name 'Missing' is not defined; annotations may use only names that are defined at module"),
    (str | UUID, "Thing: Type unions may not contain more than one str-like type"),
    (Place | Tag, "several classes"),
    (list[int] | set[int], "Thing: Type unions"),
    (Unresolved, "Unresolved"),
    (Annotated[Place, Meta(ge=0)], "Thing"),
]


@pytest.mark.parametrize(("annotation", "reason"), UNDECLARABLE, ids=range(len(UNDECLARABLE)))
def test_an_annotation_that_could_not_be_stored_or_read_is_refused_before_anything_is(
    annotation: Any, reason: str
) -> None:
    with pytest.raises(ConfigError) as caught:
        adapter_of(annotation)
    assert reason in str(caught.value)


def test_an_init_variable_is_refused() -> None:
    with pytest.raises(ConfigError, match="InitVar"):
        adapter_for(Initial)


# A class with every kind at once, and objects of it.


@dataclass
class Inner:
    ratio: float = 0.5
    when: datetime | None = None
    paths: list[Path] = field(default_factory=list)
    inner: Inner | None = None


class Everything(Entity):
    a_text: str
    a_number: float
    an_int: int
    moment: datetime
    maybe: int | float | str | None = None
    key: UUID = UUID(int=1)
    money: Decimal = Decimal(0)
    day: date | None = None
    clock: time | None = None
    span: timedelta = timedelta()
    colour: Colour = Colour.RED
    path: Path = Path()
    words: set[str] = field(default_factory=set)
    pairs: list[tuple[int, float]] = field(default_factory=list)
    table: dict[str, list[float]] = field(default_factory=dict)
    inner: Inner = field(default_factory=Inner)
    inners: dict[str, Inner] = field(default_factory=dict)
    anything: Any = None


encodable = st.characters(exclude_categories=["Cs"])
texts = st.text(encodable, max_size=5)
numbers = st.floats(allow_nan=False, allow_infinity=False)
ints = st.integers(-(2**63), 2**63 - 1)
moments = st.datetimes(
    min_value=datetime(2, 1, 1), max_value=datetime(9998, 1, 1), timezones=st.sampled_from([UTC, PLUS_TWO])
)
raw = st.recursive(
    st.none() | st.booleans() | ints | numbers | texts | st.binary(max_size=3) | moments,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(texts, inner, max_size=3),
    max_leaves=5,
)
paths = st.text("abc/.", min_size=1, max_size=5).map(Path)
flat_inners = st.builds(Inner, numbers, st.none() | moments, st.lists(paths, max_size=2))
inners = st.recursive(
    flat_inners,
    lambda inner: st.builds(Inner, numbers, st.none() | moments, st.lists(paths, max_size=2), st.none() | inner),
    max_leaves=3,
)
everything = st.builds(
    Everything,
    a_text=texts,
    a_number=numbers,
    an_int=ints,
    moment=moments,
    maybe=st.none() | ints | numbers | texts,
    key=st.uuids(),
    money=st.decimals(allow_nan=False, allow_infinity=False),
    day=st.none() | st.dates(),
    clock=st.none() | st.times(timezones=st.sampled_from([None, UTC, PLUS_TWO])),
    span=st.timedeltas(),
    colour=st.sampled_from(Colour),
    path=paths,
    words=st.sets(texts, max_size=3),
    pairs=st.lists(st.tuples(ints, numbers), max_size=3),
    table=st.dictionaries(texts, st.lists(numbers, max_size=2), max_size=3),
    inner=inners,
    inners=st.dictionaries(texts, inners, max_size=2),
    anything=raw,
)


def slowly(thing: Everything) -> Everything:
    """The same entity with a text that only the slow path takes."""
    values = {**vars(thing), "a_text": Text(thing.a_text)}
    return Everything(**values)


@given(everything)
def test_every_entity_comes_back_as_it_was(thing: Everything) -> None:
    adapter = adapter_for(Everything)
    payload = adapter.dump(thing)
    check_canonical(payload)
    back = adapter.load(record(payload))
    assert adapter.dump(back) == payload
    assert {**vars(back), "id": "", "created_at": 0, "updated_at": 0, "version": 0} == {
        **vars(thing),
        "id": "",
        "created_at": 0,
        "updated_at": 0,
        "version": 0,
    }


@given(everything)
def test_the_fast_and_the_slow_path_store_the_same_bytes(thing: Everything) -> None:
    adapter = adapter_for(Everything)
    assert adapter.dump(slowly(thing)) == adapter.dump(thing)


junk = (
    raw
    | st.floats()
    | st.integers()
    | st.text()
    | st.sampled_from([{1}, (1, 2), Decimal("NaN"), NOON, object(), Place("a")])
)


@given(
    everything,
    st.sampled_from(["a_text", "a_number", "an_int", "moment", "maybe", "words", "pairs", "table", "inner"]),
    junk,
)
def test_what_was_saved_can_always_be_read_and_all_else_is_refused_with_its_path(
    thing: Everything, name: str, value: Any
) -> None:
    adapter = adapter_for(Everything)
    setattr(thing, name, value)
    try:
        payload = adapter.dump(thing)
    except ValidationError as error:
        refused_at = error.path
    else:
        refused_at = f"$.{name}"
        adapter.load(record(payload))
        check_canonical(payload)
    assert refused_at.startswith(f"$.{name}")
