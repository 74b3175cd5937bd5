"""Writes the functions of one entity class that every save and every read calls."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import datetime
from typing import Any, Final

from msgspec.msgpack import Encoder

from tierfold.codec import DEFAULT_LIMIT_BYTES
from tierfold.entities.adaptation import READ_ERRORS, misread
from tierfold.entities.make import ClassField, Given, Make
from tierfold.entities.shapes import Shape, Shapes
from tierfold.entities.source import NotExact, Source
from tierfold.entities.system import EXACT_BELOW_MS, ID_START, read_head, read_head_and_schema, time_of
from tierfold.model import Record

__all__ = ["write_dump", "write_fill", "write_load"]

_PACK_ERRORS: Final = (NotExact, AttributeError, KeyError, UnicodeEncodeError, OverflowError, RecursionError)
"""What the fast path raises about values that the slow path must look at."""


def write_dump(source: Source, shapes: Shapes, closely: Callable[[Any], bytes]) -> None:
    """``dump(v)``: the payload of an object, by the slow path ``closely`` if anything is out of the ordinary."""
    shape = shapes.top
    encode = source.name(Encoder(order="deterministic").encode, "encode")
    slow = source.name(closely, "closely")
    # The slow path is given the object itself, not the copy that a class with rules makes of it.
    given = "given" if shape.make.has_rules else "v"
    body = [
        *(["given = v"] if shape.make.has_rules else []),
        "try:",
        f"    if not ({shape.guard('v')}): raise NotExact",
        *(f"    {line}" for line in shape.packing()),
        f"    payload = {encode}(packed)",
        f"except {source.name(_PACK_ERRORS + READ_ERRORS if shapes.have_rules else _PACK_ERRORS, 'errors')}:",
        f"    return {slow}({given})",
        f"return payload if len(payload) <= {DEFAULT_LIMIT_BYTES} else {slow}({given})",
    ]
    source.define("dump", "v", body)


def write_load(
    source: Source,
    shape: Shape,
    system: Sequence[ClassField],
    read: Callable[[bytes], Any],
    upgrading: tuple[int, Callable[[Record], Any]] | None,
) -> None:
    """``load(record)``: the object of a record. ``build(s, t)``: that of a reader and the system fields of ``t``.

    Args:
        upgrading: The class's schema, and what loads records of older ones; None = all are loaded alike.
    """
    times, own = _from_content(source, system)
    reading = source.name(read_head if upgrading is None else read_head_and_schema, "read_head")
    schema = "" if upgrading is None else "schema, "
    head = [f"stamp, birth, {schema}version, id_length, extension_length = {reading}(content)"]
    if upgrading is not None:
        own_schema, load_older = upgrading
        head.append(f"if schema < {own_schema}: return {source.name(load_older, 'load_older')}(record)")
    body = [
        "content = record.content",
        *head,
        f"start = {ID_START} + id_length",
        "try:",
        f"    s = {source.name(read, 'read')}(content[start + extension_length:])",
        *(f"    {line}" for line in [*times, *shape.restoring([Given(field, own[field.name]) for field in system])]),
        f"except {source.name(READ_ERRORS, 'errors')} as error:",
        f"    raise {source.name(misread, 'misread')}(error, record.id) from error",
        "return o",
    ]
    source.define("load", "record", body)
    given = [Given(field, f"t.{field.name}", _lacking(field)) for field in system]
    source.define("build", "s, t", [*shape.restoring(given), "return o"])


def _lacking(field: ClassField) -> str:
    return "" if field.is_required or field.has_default else f"t.{field.name} is UNSET"


def write_fill(source: Source, make: Make, system: Sequence[ClassField]) -> None:
    """``fill(o, record)`` and ``with_id(o, id)``: set system fields, of a copy if the class is frozen."""
    filled = [field for field in system if field.name != "id"]
    times, own = _from_content(source, filled)
    setting = [make.setting(source, field.name, own[field.name]) for field in filled]
    copying = make.copying(source)
    head = f"stamp, birth, version, _, _ = {source.name(read_head, 'read_head')}(record.content)"
    source.define("fill", "o, record", [*copying, head, *times, *setting, "return o"] if filled else ["return o"])
    source.define("with_id", "o, id", [*copying, make.setting(source, "id", "id"), "return o"])


def _from_content(source: Source, system: Sequence[ClassField]) -> tuple[list[str], dict[str, str]]:
    """Source of each system field of a record, in terms of the variables that `write_load` sets, and lines before."""
    names = {field.name for field in system}
    lines = [f"created = {_time(source, 'birth')}"] if "created_at" in names else []
    updated = _time(source, "stamp")
    values = {
        "id": f"content[{ID_START}:start].decode()",
        "created_at": "created",
        # Most records were written once: both times are then the same object.
        "updated_at": f"created if stamp == birth else {updated}" if lines else updated,
        "version": "version",
    }
    return lines, values


def _time(source: Source, stamp: str) -> str:
    # What `time_of` does first, without its call: each load needs one or two.
    quick = f"{source.name(datetime.fromtimestamp, 'time')}(({stamp} >> 16) / 1000, UTC)"
    return f"({quick} if {stamp} < {EXACT_BELOW_MS << 16} else {source.name(time_of, 'time_of')}({stamp} >> 16))"
