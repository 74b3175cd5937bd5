"""Documents of older schemas become what a newer class reads."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import field
from typing import Any

import pytest
from core.tests.entity_kinds import KINDS, record, value_of
from hypothesis import given
from hypothesis import strategies as st

from tierfold.codec import decode, encode
from tierfold.entities.adapter import adapter_for
from tierfold.entities.entity import Entity, declared_by, entity
from tierfold.entities.upgrading import Upgrades
from tierfold.errors import ConfigError, PayloadTooLargeError, ValidationError
from tierfold.model import Record, pack_content


def renamed(document: dict[str, Any]) -> dict[str, Any]:
    document["title"] = document.pop("name", "none")
    return document


def split(document: dict[str, Any]) -> dict[str, Any]:
    return {**document, "words": document["title"].split()}


class Book(Entity, schema=3, upgrade={1: renamed, 2: split}):
    title: str = ""
    words: list[str] = field(default_factory=list)


def upgraded(upgrades: Upgrades, document: dict[str, Any], schema: int) -> dict[str, Any]:
    found = upgrades.upgraded(record(encode(document), schema=schema))
    assert found.schema == max(schema, upgrades.schema)
    return decode(found.payload)


STEPS: Mapping[int, Any] = {1: renamed, 2: split}


@pytest.mark.parametrize(
    ("document", "schema", "result"),
    [
        ({"name": "a b", "x": 1}, 1, {"title": "a b", "words": ["a", "b"], "x": 1}),
        ({"title": "a b"}, 2, {"title": "a b", "words": ["a", "b"]}),
        ({"title": "a b"}, 3, {"title": "a b"}),
        ({"name": "a b"}, 4, {"name": "a b"}),
    ],
    ids=range(4),
)
def test_the_steps_from_a_documents_own_schema_on_are_taken(
    document: dict[str, Any], schema: int, result: dict[str, Any]
) -> None:
    assert upgraded(Upgrades(3, STEPS), document, schema) == result


def test_documents_older_than_the_first_step_are_taken_as_if_they_were_of_its_schema() -> None:
    assert upgraded(Upgrades(3, {2: split}), {"title": "a"}, 1) == {"title": "a", "words": ["a"]}


def test_a_record_that_is_not_older_or_is_deleted_is_itself() -> None:
    upgrades = Upgrades(3, STEPS)
    newest = record(encode({}), schema=3)
    old = record(b"")
    dead = Record(old.type, pack_content(old.stamp, old.birth, True, 1, 2, b"x.y", b""), old.hash)
    assert upgrades.upgraded(newest) is newest
    assert upgrades.upgraded(dead) is dead


def test_all_but_payload_and_schema_stays() -> None:
    old = record(encode({"name": "a"}))
    content = pack_content(old.stamp, old.birth, False, 1, 5, b"x.y", old.payload, b"extension")
    found = Upgrades(2, {1: renamed}).upgraded(Record("Thing", content, old.hash))
    assert found.content == pack_content(
        old.stamp, old.birth, False, 2, 5, b"x.y", encode({"title": "a"}), b"extension"
    )
    assert (found.type, found.hash) == ("Thing", old.hash)


def test_a_step_cannot_change_what_is_stored() -> None:
    stored = record(encode({"name": "a", "inner": {"x": [1]}}))
    before = bytes(stored.content)

    def spoil(document: dict[str, Any]) -> dict[str, Any]:
        document["inner"]["x"].append(2)
        document.clear()
        return {"title": "gone"}

    Upgrades(2, {1: spoil}).upgraded(stored)
    assert stored.content == before


def test_system_fields_that_a_step_makes_are_left_out() -> None:
    upgrades = Upgrades(2, {1: lambda document: {**document, "id": "other", "version": 9}})
    assert upgraded(upgrades, {"a": 1}, 1) == {"a": 1}


def failing(document: dict[str, Any]) -> dict[str, Any]:
    raise KeyError(document["name"])


@pytest.mark.parametrize(
    ("step", "reason", "path"),
    [
        (failing, "upgrade 1 -> 2 failed with KeyError", "$"),
        (lambda document: None, "upgrade 1 -> 2 returned a NoneType, not a dict", "$"),
        (lambda document: [document], "upgrade 1 -> 2 returned a list, not a dict", "$"),
        (lambda document: {"a": {"b": {1}}}, "upgrade 1 -> 2: a set cannot be stored", "$.a.b"),
    ],
    ids=["raises", "nothing", "list", "set"],
)
def test_a_step_that_fails_is_an_error_that_names_record_and_step_and_no_value(
    step: Any, reason: str, path: str
) -> None:
    with pytest.raises(ValidationError) as caught:
        Upgrades(2, {1: step}).upgraded(record(encode({"name": "secret"})))
    assert (caught.value.reason, caught.value.path, caught.value.id) == (reason, path, "x.y")
    assert "secret" not in str(caught.value)


def test_a_document_that_grows_too_large_is_an_error_that_names_the_record() -> None:
    with pytest.raises(PayloadTooLargeError) as caught:
        Upgrades(2, {1: lambda document: {"text": "x" * 2**20}}).upgraded(record(encode({})))
    assert caught.value.id == "x.y"


@pytest.mark.parametrize(
    ("schema", "steps", "reason"),
    [
        (4, {1: renamed, 3: split}, "upgrade from 2 is missing below schema 4"),
        (4, {1: renamed}, "upgrade from 2, 3 is missing below schema 4"),
        (2, {2: renamed}, "upgrade from 2: upgrades start from 1 to 1, below the schema"),
        (2, {0: renamed, 1: renamed}, "upgrade from 0"),
        (2, {True: renamed}, "upgrade from True"),
        (1, {1: renamed}, "upgrade from 1"),
        (2, {1: "renamed"}, "upgrade from 1: str is no function"),
    ],
    ids=range(7),
)
def test_steps_that_make_no_chain_to_the_schema_are_refused_when_the_class_is_made(
    schema: int, steps: dict[int, Any], reason: str
) -> None:
    with pytest.raises(ConfigError, match="entity type 'Broken'") as caught:

        class Broken(Entity, schema=schema, upgrade=steps):
            pass

    assert reason in str(caught.value)


@given(st.integers(1, 5), st.integers(1, 5), st.integers(1, 7))
def test_each_step_runs_once_and_in_order(first: int, count: int, stored: int) -> None:
    def step(number: int) -> Any:
        return lambda document: {"steps": [*document["steps"], number]}

    schema = first + count
    upgrades = Upgrades(schema, {number: step(number) for number in range(first, schema)})
    assert upgraded(upgrades, {"steps": []}, stored)["steps"] == list(range(max(first, stored), schema))


# --- with classes ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", KINDS)
def test_an_older_record_is_read_upgraded_and_a_newer_one_as_it_is(kind: str) -> None:
    cls = entity(schema=2, upgrade={1: renamed})(KINDS[kind]({"title": str}))
    adapter = adapter_for(cls)
    for schema, document in ((1, {"name": "a"}), (2, {"title": "a"}), (3, {"title": "a", "name": "new"})):
        loaded = adapter.load(record(encode(document), schema=schema))
        assert value_of(loaded, "title") == "a"
        assert value_of(loaded, "id") == "x.y"


def test_an_upgraded_document_that_does_not_fit_is_an_error_that_names_the_record() -> None:
    cls = entity(schema=2, upgrade={1: lambda document: {"title": 5}})(KINDS["dataclass"]({"title": str}))
    with pytest.raises(ValidationError) as caught:
        adapter_for(cls).load(record(encode({})))
    assert (caught.value.path, caught.value.id) == ("$.title", "x.y")


def test_an_adapter_upgrades_only_when_its_class_declares_how() -> None:
    assert adapter_for(KINDS["dataclass"]({"title": str})).upgrade is None
    upgrade = adapter_for(Book).upgrade
    assert upgrade is not None
    assert decode(upgrade(record(encode({"name": "a"}))).payload) == {"title": "a", "words": ["a"]}


def test_a_subclass_has_a_schema_of_its_own() -> None:
    class Novel(Book):
        pages: int = 0

    declared = declared_by(Novel)
    assert (declared.declaration.schema, declared.upgrades.steps) == (1, {})
