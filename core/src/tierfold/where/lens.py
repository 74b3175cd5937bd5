"""What a query sees of a record: some of its members, and no more is decoded than these.

A struct made for the wanted members is filled by the decoder, which skips the rest: a whole document costs five times
as much.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import lru_cache
from operator import attrgetter
from typing import Any, Final

import msgspec
from msgspec import UNSET, Struct
from msgspec.msgpack import Decoder

from tierfold.entities.system import ID_START, SYSTEM_FIELDS, system_fields
from tierfold.where.tree import Path

__all__ = ["Lens", "View", "descend"]

_NO_NAME: Final = re.compile(r'[\x00-\x1f"\\\\]')
"""Characters that msgspec allows in no name of a field."""
View = Any
"""A struct whose fields are the wanted top members; `UNSET` where the document has none."""


class Lens:
    """Views of records on some paths. System fields are members of every document.

    Args:
        paths: What may be asked of a view; only the top members matter.
        payload_of: The payload to look at for a record's content, where that is not its own.
    """

    def __init__(self, paths: Iterable[Path], payload_of: Callable[[bytes], bytes] | None = None) -> None:
        tops = sorted({path[0] for path in paths})
        self._fields = {top: f"f{number}" for number, top in enumerate(tops)}
        self._system = {self._fields[name]: name for name in SYSTEM_FIELDS if name in self._fields}
        is_odd = any(map(_NO_NAME.search, tops))
        struct, decoder = _struct_of(None if is_odd else tuple(tops), len(tops))
        decode = _picking(struct, self._fields) if is_odd else decoder.decode
        plain = _plain_view(decode, struct)
        self.view: Callable[[bytes], View] = plain if payload_of is None else _seen(decode, struct, payload_of)
        """The view of a live record, from its content (`Record.content`). What is no document has no members."""
        if self._system:
            self.view = self._with_system(self.view)

    def _with_system(self, view: Callable[[bytes], View]) -> Callable[[bytes], View]:
        system = tuple(self._system.items())

        def complete(content: bytes) -> View:
            seen = view(content)
            known = system_fields(content)
            for field, name in system:
                setattr(seen, field, known[name])
            return seen

        return complete

    def field(self, path: Path) -> str:
        """The view's field that holds the path's top member."""
        return self._fields[path[0]]

    def value(self, path: Path) -> Callable[[View], object]:
        """What is under a path of a view; `UNSET` where nothing is."""
        top = attrgetter(self.field(path))
        rest = path[1:]
        return (lambda view: descend(top(view), rest)) if rest else top


@lru_cache(256)  # making a class takes as long as decoding a hundred documents
def _struct_of(tops: tuple[str, ...] | None, count: int) -> tuple[type[Struct], Decoder[View]]:
    """The struct of a view and its decoder; without ``tops``, its fields have no names in documents."""
    fields = [f"f{number}" for number in range(count)]
    names = None if tops is None else dict(zip(fields, tops, strict=True))
    struct = msgspec.defstruct("View", [(field, Any, UNSET) for field in fields], rename=names, gc=False)
    return struct, Decoder(struct)


def _plain_view(decode: Callable[[bytes], View], empty: Callable[[], View]) -> Callable[[bytes], View]:
    def view(content: bytes) -> View:
        lengths = (content[45] << 8) + content[46] + int.from_bytes(content[47:51], "big")
        try:
            return decode(content[ID_START + lengths :])
        except msgspec.MsgspecError:
            return empty()

    return view


def _picking(struct: Callable[..., View], fields: Mapping[str, str]) -> Callable[[bytes], View]:
    """Views on members whose names no struct can have: the whole document is decoded."""
    decode = Decoder(dict[str, Any]).decode

    def view(payload: bytes) -> View:
        document = decode(payload)
        return struct(**{field: document[top] for top, field in fields.items() if top in document})

    return view


def _seen(
    decode: Callable[[bytes], View], empty: Callable[[], View], payload_of: Callable[[bytes], bytes]
) -> Callable[[bytes], View]:
    def view(content: bytes) -> View:
        payload = payload_of(content)
        try:
            return decode(payload)
        except msgspec.MsgspecError:
            return empty()

    return view


def descend(value: object, names: Sequence[str]) -> object:
    """The value under names inside a value; `UNSET` when one of them is not there."""
    for name in names:
        if type(value) is not dict:
            return UNSET
        value = value.get(name, UNSET)
    return value
