"""Writes the functions of one entity class that every save and every read calls."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from copy import copy
from datetime import datetime
from typing import Any, Final

from msgspec.msgpack import Encoder

from tierfold.codec import DEFAULT_LIMIT_BYTES
from tierfold.entities.adaptation import READ_ERRORS, misread
from tierfold.entities.shapes import Shape
from tierfold.entities.source import NotExact, Source
from tierfold.entities.system import EXACT_BELOW_MS, ID_START, read_head, time_of

__all__ = ["write_dump", "write_fill", "write_load"]

_PACK_ERRORS: Final = (NotExact, AttributeError, UnicodeEncodeError, OverflowError, RecursionError)
"""What the fast path raises about values that the slow path must look at."""


def write_dump(source: Source, shape: Shape, closely: Callable[[Any], bytes]) -> None:
    """``dump(v)``: the payload of an object, by the slow path ``closely`` if anything is out of the ordinary."""
    encode = source.name(Encoder(order="deterministic").encode, "encode")
    slow = source.name(closely, "closely")
    body = [
        "try:",
        f"    if type(v) is not {shape.cls_name}: raise NotExact",
        *(f"    {line}" for line in shape.packing()),
        f"    payload = {encode}(packed)",
        f"except {source.name(_PACK_ERRORS, 'errors')}:",
        f"    return {slow}(v)",
        f"return payload if len(payload) <= {DEFAULT_LIMIT_BYTES} else {slow}(v)",
    ]
    source.define("dump", "v", body)


def write_load(source: Source, shape: Shape, system: Sequence[str], read: Callable[[bytes], Any]) -> None:
    """``load(record)``: the object of a record. ``build(s, t)``: that of a reader and the system fields of ``t``."""
    own = [shape.setting(name, value) for name, value in _from_content(source, system).items()]
    body = [
        "content = record.content",
        f"stamp, birth, version, id_length, extension_length = {source.name(read_head, 'read_head')}(content)",
        f"start = {ID_START} + id_length",
        "try:",
        f"    s = {source.name(read, 'read')}(content[start + extension_length:])",
        *(f"    {line}" for line in shape.restoring(own)),
        f"except {source.name(READ_ERRORS, 'errors')} as error:",
        f"    raise {source.name(misread, 'misread')}(error, record.id) from error",
        "return o",
    ]
    source.define("load", "record", body)
    given = [shape.setting(name, f"t.{name}") for name in system]
    source.define("build", "s, t", [*shape.restoring(given), "return o"])


def write_fill(source: Source, shape: Shape, system: Sequence[str]) -> None:
    """``fill(o, record)`` and ``with_id(o, id)``: set system fields, of a copy if the class is frozen."""
    own = [shape.setting(name, value) for name, value in _from_content(source, system).items() if name != "id"]
    copying = [f"o = {source.name(copy, 'copy')}(o)"] if shape.is_frozen else []
    head = f"stamp, birth, version, _, _ = {source.name(read_head, 'read_head')}(record.content)"
    source.define("fill", "o, record", [*copying, head, *own, "return o"] if own else ["return o"])
    source.define("with_id", "o, id", [*copying, shape.setting("id", "id"), "return o"])


def _from_content(source: Source, system: Sequence[str]) -> dict[str, str]:
    """Source of each system field of a record, in terms of the variables that `write_load` sets."""
    created, updated = _time(source, "birth"), _time(source, "stamp")
    # Most records were written once: both times are then the same object.
    shared = f"o.created_at if stamp == birth else {updated}" if "created_at" in system else updated
    values = {
        "id": f"content[{ID_START}:start].decode()",
        "created_at": created,
        "updated_at": shared,
        "version": "version",
    }
    return {name: values[name] for name in system}


def _time(source: Source, stamp: str) -> str:
    # What `time_of` does first, without its call: each load needs one or two.
    quick = f"{source.name(datetime.fromtimestamp, 'time')}(({stamp} >> 16) / 1000, UTC)"
    return f"({quick} if {stamp} < {EXACT_BELOW_MS << 16} else {source.name(time_of, 'time_of')}({stamp} >> 16))"
