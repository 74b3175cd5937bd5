"""Hashes of records and the sums over them."""

from __future__ import annotations

from collections.abc import Sequence

from hypothesis import given
from hypothesis import strategies as st

from tierfold.digest import MODULUS, Hasher, record_key, subtotal, sum_bytes
from tierfold.model import pack_content

STAMP = bytes(range(16))
digests = st.binary(min_size=16, max_size=16)


def content(id: bytes = b"oslo.1", **more: bytes) -> bytes:
    return pack_content(STAMP, STAMP, False, 1, 1, id, more.get("payload", b"\x80"), more.get("extension", b""))


def test_hashes_are_golden() -> None:
    """They are stored and travel: another algorithm, key or person would be another format."""
    hasher = Hasher("Sensor")
    assert hasher.hash(content()).hex() == "3e01b3a04b241bace1a2d16f4a2ae169"
    assert hasher.key(b"oslo.1").hex() == "4ecfe1f261ed44c5fb9490332ddeb5fd"
    assert Hasher("Sensor", b"realm").hash(content()).hex() == "f0a029cdacf9321283fa0181dbe9ba47"


def test_the_realm_key_changes_hashes_and_not_places() -> None:
    open_realm, other = Hasher("Sensor"), Hasher("Sensor", b"another realm")
    assert open_realm.hash(content()) != other.hash(content())
    assert open_realm.key(b"oslo.1") == other.key(b"oslo.1")


@given(st.text(max_size=4), st.text(max_size=4), st.binary(max_size=8))
def test_the_border_between_type_and_content_counts(type: str, more: str, data: bytes) -> None:
    shifted = Hasher(type + more).hash(data)
    assert (shifted == Hasher(type).hash(more.encode() + data)) == (more == "")


def test_a_record_key_is_no_record_hash() -> None:
    hasher = Hasher("Sensor")
    assert hasher.key(b"oslo.1") != hasher.hash(b"oslo.1")


@given(st.text(min_size=1, max_size=40), st.binary(max_size=20), st.binary(max_size=20))
def test_the_key_of_a_record_is_that_of_its_id(id: str, payload: bytes, extension: bytes) -> None:
    hasher = Hasher("Sensor")
    record = hasher.record(content(id.encode(), payload=payload, extension=extension))
    assert record_key(record, {"Sensor": hasher}.__getitem__) == hasher.key(id.encode())
    assert record.hash == hasher.hash(record.content)


@given(st.lists(digests))
def test_a_sum_does_not_depend_on_the_order(hashes: Sequence[bytes]) -> None:
    assert subtotal(sorted(hashes)) == subtotal(hashes)


@given(st.lists(digests), st.lists(digests))
def test_sums_add_up(some: list[bytes], more: list[bytes]) -> None:
    assert subtotal(some + more) == (subtotal(some) + subtotal(more)) % MODULUS


@given(st.integers())
def test_a_sum_has_16_bytes_whatever_was_taken_from_it(total: int) -> None:
    assert len(sum_bytes(total)) == 16
    assert int.from_bytes(sum_bytes(total), "big") == total % MODULUS
