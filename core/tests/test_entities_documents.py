"""Raw documents of a type that no class declares."""

from __future__ import annotations

from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

import pytest

from tierfold.codec import encode
from tierfold.entities.adapter import document_adapter
from tierfold.entities.declaration import Keywords, declare
from tierfold.errors import ValidationError
from tierfold.model import Digest, Record, pack_content

STAMP = (1_700_000_000_123).to_bytes(6) + bytes(10)
TIME = datetime(2023, 11, 14, 22, 13, 20, 123000, tzinfo=UTC)
SYSTEM = {"id": "global.x", "created_at": TIME, "updated_at": TIME, "version": 3}

adapter = document_adapter(declare("Quake", Keywords()))


def record(payload: bytes) -> Record:
    return Record("Quake", pack_content(STAMP, STAMP, False, 1, 3, b"global.x", payload), Digest(bytes(16)))


def test_the_payload_holds_all_members_but_the_system_fields() -> None:
    assert adapter.dump({**SYSTEM, "b": 1, "a": 1.0}) == encode({"a": 1.0, "b": 1})


def test_a_record_becomes_a_dict_with_the_system_fields_first() -> None:
    loaded = adapter.load(record(encode({"a": 1})))
    assert loaded == {**SYSTEM, "a": 1}
    assert next(iter(loaded)) == "id"


def test_a_member_that_is_named_like_a_system_field_does_not_pass_for_one() -> None:
    assert adapter.load(record(encode({"a": 1, "version": 99}))) == {**SYSTEM, "a": 1}


def test_system_fields_are_set_in_the_dict_itself() -> None:
    document: dict[str, Any] = {"a": 1}
    assert adapter.id_of(document) == ""
    assert adapter.with_id(document, "global.y") is document
    assert adapter.fill(document, record(b"")) is document
    assert document == {**SYSTEM, "id": "global.y", "a": 1}


def test_fields_are_replaced_in_a_copy() -> None:
    document = {"a": 1, "b": 2}
    assert adapter.with_fields(document, {"b": 3, "c": 4}) == {"a": 1, "b": 3, "c": 4}
    assert document == {"a": 1, "b": 2}


def test_a_dict_is_its_own_document_but_for_what_is_normalised() -> None:
    document = {**SYSTEM, "b": [TIME], "a": -0.0}
    assert adapter.to_document(document) == adapter.from_document(document) == {**SYSTEM, "a": 0.0, "b": [TIME]}
    assert adapter.fields_of(document, ("a",))["a"] == 0.0


@pytest.mark.parametrize("value", [Decimal(1), {1}, (1,), datetime(2026, 1, 1)], ids=repr)
def test_raw_documents_do_not_convert(value: object) -> None:
    with pytest.raises(ValidationError) as caught:
        adapter.dump({"id": "global.x", "a": value})
    assert (caught.value.path, caught.value.id) == ("$.a", "global.x")


@pytest.mark.parametrize("document", [None, [("a", 1)], 5], ids=repr)
def test_what_is_no_mapping_is_refused(document: Any) -> None:
    with pytest.raises(ValidationError, match="Expected `dict`"):
        adapter.dump(document)


def test_an_id_of_another_type_is_not_named() -> None:
    with pytest.raises(ValidationError) as caught:
        adapter.dump({"id": 5, "a": object()})
    assert caught.value.id is None


def test_a_payload_that_is_no_document_is_an_error_that_names_the_record() -> None:
    with pytest.raises(ValidationError, match="no document") as caught:
        adapter.load(record(b"\xc1"))
    assert caught.value.id == "global.x"


def test_a_save_replaces_the_whole_document() -> None:
    assert adapter.merge is None
