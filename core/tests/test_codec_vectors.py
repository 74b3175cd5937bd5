"""500 golden vectors, and an encoder of our own against which msgspec is compared.

The vectors were made by `slow_encode`, never by the code they test. ``python core/tests/test_codec_vectors.py`` makes
them again; a difference in the file is a change of the format on disk.
"""

from __future__ import annotations

import json
import random
import struct
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given

from tierfold.codec import check_canonical, decode, encode
from tierfold.testing.strategies import documents

VECTORS = Path(__file__).parent / "vectors" / "canonical.jsonl"
SEED = 20261121
COUNT = 500
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


# The oracle: straight from the MessagePack specification, one rule after the other.


def slow_encode(value: Any) -> bytes:
    if value is None or value is False or value is True:
        return {None: b"\xc0", False: b"\xc2", True: b"\xc3"}[value]
    if isinstance(value, int):
        return slow_int(value)
    if isinstance(value, float):
        return b"\xcb" + struct.pack(">d", 0.0 if value == 0.0 else value)
    if isinstance(value, str):
        return slow_text(value)
    if isinstance(value, bytes):
        return slow_length(len(value), (None, 0xC4, 0xC5, 0xC6)) + value
    if isinstance(value, datetime):
        return slow_timestamp(value)
    if isinstance(value, list):
        return slow_length(len(value), ((0x90, 16), None, 0xDC, 0xDD)) + b"".join(slow_encode(item) for item in value)
    pairs = sorted((key.encode(), key) for key in value)
    return slow_length(len(value), ((0x80, 16), None, 0xDE, 0xDF)) + b"".join(
        slow_text(key) + slow_encode(value[key]) for _, key in pairs
    )


def slow_int(value: int) -> bytes:
    if 0 <= value < 128:
        return bytes([value])
    if -32 <= value < 0:
        return bytes([256 + value])
    for index, bits in enumerate((8, 16, 32, 64)):
        if 0 <= value < 2**bits:
            return bytes([0xCC + index]) + value.to_bytes(bits // 8, "big")
        if -(2 ** (bits - 1)) <= value < 0:
            return bytes([0xD0 + index]) + value.to_bytes(bits // 8, "big", signed=True)
    raise AssertionError(value)


def slow_text(value: str) -> bytes:
    data = value.encode()
    return slow_length(len(data), ((0xA0, 32), 0xD9, 0xDA, 0xDB)) + data


def slow_length(length: int, forms: tuple[tuple[int, int] | None, int | None, int, int]) -> bytes:
    small, byte, two, four = forms
    if small and length < small[1]:
        return bytes([small[0] + length])
    if byte and length < 2**8:
        return bytes([byte, length])
    return bytes([two]) + length.to_bytes(2, "big") if length < 2**16 else bytes([four]) + length.to_bytes(4, "big")


def slow_timestamp(moment: datetime) -> bytes:
    microseconds = (moment - EPOCH) // timedelta(microseconds=1)
    seconds, rest = divmod(microseconds, 10**6)
    if rest == 0 and 0 <= seconds < 2**32:
        return b"\xd6\xff" + seconds.to_bytes(4, "big")
    if 0 <= seconds < 2**34:
        return b"\xd7\xff" + (rest * 1000 << 34 | seconds).to_bytes(8, "big")
    return b"\xc7\x0c\xff" + (rest * 1000).to_bytes(4, "big") + seconds.to_bytes(8, "big", signed=True)


# The vectors: edges by hand, then documents from a seeded generator.


def edges() -> Iterator[dict[str, Any]]:
    yield {}
    for bits in (0, 4, 5, 7, 8, 15, 16, 31, 32, 53, 62, 63):
        for value in (2**bits - 1, 2**bits, -(2**bits) - 1, -(2**bits), -(2**bits) + 1):
            if -(2**63) <= value < 2**63:
                yield {"i": value}
    for number in (0.0, -0.0, 1.0, -1.0, 0.1, 1e308, 5e-324, 2.0**53, 1.7976931348623157e308, 2.2250738585072014e-308):
        yield {"f": number}
    yield {"same value": [1, 1.0, True, "1", b"1"]}
    for size in (0, 1, 15, 16, 31, 32, 255, 256):
        yield {"s": "é" * (size // 2) + "x" * (size % 2)}
        yield {"b": bytes(size % 256 for _ in range(size))}
        yield {"l": list(range(size))}
        yield {f"k{number:03}": number for number in range(size)}
    yield from moments()
    yield {"": 1, "a": 2, "A": 3, "aa": 4, "é": 5, "z": 6, "\uffff": 7, "\U0001f600": 8, "\x00": 9, "a\x00": 10}
    deep: dict[str, Any] = {}
    for _ in range(63):
        deep = {"a": deep}
    yield deep
    yield {"mag": 2, "place": "4km W of Castaic, CA", "time": 1517966773840, "felt": None, "longitude": -118.6671667}


def moments() -> Iterator[dict[str, Any]]:
    for seconds in (0, 1, -1, 2**31, 2**32 - 1, 2**32, 2**34 - 1, 2**34, -62135596800, 253402300799):
        for microseconds in (0, 1, 999999):
            yield {"t": EPOCH + timedelta(seconds=seconds, microseconds=microseconds)}


def drawn(source: random.Random) -> Iterator[dict[str, Any]]:
    while True:
        yield {text(source): value(source, 4) for _ in range(source.randrange(8))}


def text(source: random.Random) -> str:
    alphabet = "abcxyzABC019 ._-$%\"'\\\n\x00éßΩ漢\uffff\U0001f600\U0010ffff"
    return "".join(source.choice(alphabet) for _ in range(source.randrange(12)))


def value(source: random.Random, levels: int) -> Any:
    kind = source.randrange(9 if levels else 7)
    if kind == 0:
        return source.choice([None, True, False])
    if kind == 1:
        return source.randrange(-(2**63), 2**63) >> source.randrange(64)
    if kind == 2:
        return source.choice([source.uniform(-1, 1), source.uniform(-1e9, 1e9), float(source.randrange(-9, 9)), -0.0])
    if kind in (3, 4):
        return text(source)
    if kind == 5:
        return source.randbytes(source.randrange(20))
    if kind == 6:
        return EPOCH + timedelta(seconds=source.randrange(-(2**34), 2**35), microseconds=source.choice([0, 1, 123456]))
    if kind == 7:
        return [value(source, levels - 1) for _ in range(source.randrange(5))]
    return {text(source): value(source, levels - 1) for _ in range(source.randrange(5))}


def vectors() -> Iterator[dict[str, Any]]:
    documents = list(edges())
    yield from documents
    source = drawn(random.Random(SEED))
    for _ in range(COUNT - len(documents)):
        yield next(source)


# JSON holds neither bytes nor times, and other languages do not tell 1 from 1.0: those are marked.


def marked(value: Any) -> Any:
    if isinstance(value, float):
        return {"$float": struct.pack(">d", value).hex()}
    if isinstance(value, bytes):
        return {"$bytes": value.hex()}
    if isinstance(value, datetime):
        return {"$microseconds": (value - EPOCH) // timedelta(microseconds=1)}
    if isinstance(value, list):
        return [marked(item) for item in value]
    return {"$map": [[key, marked(item)] for key, item in value.items()]} if isinstance(value, dict) else value


def unmarked(value: Any) -> Any:
    if isinstance(value, list):
        return [unmarked(item) for item in value]
    if not isinstance(value, dict):
        return value
    ((mark, inner),) = value.items()
    if mark == "$float":
        return struct.unpack(">d", bytes.fromhex(inner))[0]
    if mark == "$bytes":
        return bytes.fromhex(inner)
    if mark == "$microseconds":
        return EPOCH + timedelta(microseconds=inner)
    return {key: unmarked(item) for key, item in inner}


def test_each_of_the_500_golden_vectors_is_met_byte_for_byte() -> None:
    lines = VECTORS.read_text("utf-8").splitlines()
    assert len(lines) == COUNT
    for number, line in enumerate(lines, 1):
        vector = json.loads(line)
        document, data = unmarked(vector["document"]), bytes.fromhex(vector["bytes"])
        assert encode(document) == data, f"vector {number}"
        assert decode(data) == document, f"vector {number}"
        check_canonical(data)


def test_the_golden_file_is_what_the_oracle_makes_of_the_seed() -> None:
    lines = VECTORS.read_text("utf-8").splitlines()
    assert [json.loads(line)["bytes"] for line in lines] == [slow_encode(document).hex() for document in vectors()]


@given(documents())
def test_every_document_is_encoded_as_the_oracle_does(document: dict[str, Any]) -> None:
    assert encode(document) == slow_encode(document)


@pytest.mark.parametrize("bits", range(64))
def test_ints_around_each_power_of_two_are_encoded_as_the_oracle_does(bits: int) -> None:
    for near in range(-2, 3):
        for number in (2**bits + near, -(2**bits) + near):
            if -(2**63) <= number < 2**63:
                assert encode({"a": number}) == slow_encode({"a": number})


LONG: list[Any] = ["x" * 65535, "x" * 65536, bytes(65535), bytes(65536), [None] * 65535, [None] * 65536]


@pytest.mark.parametrize(
    "value",
    [*LONG, {f"{number}": None for number in range(65536)}],
    ids=lambda value: f"{type(value).__name__}-{len(value)}",
)
def test_lengths_beyond_16_bits_are_encoded_as_the_oracle_does(value: Any) -> None:
    assert encode({"a": value}) == slow_encode({"a": value})


if __name__ == "__main__":
    with VECTORS.open("w", encoding="utf-8") as file:
        for document in vectors():
            row = {"document": marked(document), "bytes": slow_encode(document).hex()}
            file.write(json.dumps(row, ensure_ascii=True, separators=(",", ":")) + "\n")
