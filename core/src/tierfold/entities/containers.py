"""Kinds of lists, tuples, sets and maps."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from types import GenericAlias
from typing import Any, Final

from msgspec.msgpack import Encoder

from tierfold.codec import member_path, normalised
from tierfold.entities.kinds import Kind, unexpected
from tierfold.entities.source import Source
from tierfold.errors import ValidationError

__all__ = ["ArrayKind", "FixedTupleKind", "MapKind", "SetKind"]

_pack: Final = Encoder(order="sorted").encode


class ContainerKind(Kind):
    """A kind whose fast path is a function of its own.

    Attributes:
        expected: Also the name of the Python type.
    """

    def __init__(self, source: Source, expected: str, items: Sequence[Kind]) -> None:
        self.expected: str = expected
        self.levels: int = 1 + max((item.levels for item in items), default=0)
        inside = next((item.inside for item in items if item.inside is not None), None)
        self.inside: str | None = None if inside is None else f"[...]{inside}"
        self.unordered: str | None = next((item.unordered for item in items if item.unordered), None)
        self._pack = source.reserve(f"pack_{expected}")

    def guard(self, value: str) -> str:
        return f"type({value}) is {self.expected}"

    def form(self, value: str) -> str:
        return f"{self._pack}({value})"


class ArrayKind(ContainerKind):
    """``list[T]`` and ``tuple[T, ...]``, both stored as lists."""

    def __init__(self, source: Source, type: type[list[Any]] | type[tuple[Any, ...]], item: Kind) -> None:
        super().__init__(source, type.__name__, [item])
        self._type = type
        self._item = item
        source.define(self._pack, "v", [*_refusing_items(item), f"return {_each(item.form('i'))}"])

    def _stored_as(self) -> Any:  # noqa: ANN401 - annotations have no common type
        return GenericAlias(self._type, (self._item.shadow,) if self._type is list else (self._item.shadow, ...))

    def restore(self, shadow: str) -> str:
        item = self._item.restore("i")
        return shadow if item == "i" else f"{self.expected}([{item} for i in {shadow}])"

    def plain(self, value: Any, path: str) -> object:  # noqa: ANN401 - narrowed here
        if not isinstance(value, self._type):
            raise unexpected(self.expected, value, path)
        return [self._item.plain(item, f"{path}[{index}]") for index, item in enumerate(value)]


class FixedTupleKind(ContainerKind):
    """``tuple[A, B]``, stored as a list of that length."""

    def __init__(self, source: Source, items: list[Kind]) -> None:
        super().__init__(source, "tuple", items)
        self._items = items
        names = [f"i{number}" for number in range(len(items))]
        unpacking = f"[{', '.join(names)}] = v"
        tests = [f"({item.test(name)})" for item, name in zip(items, names, strict=True)]
        forms = ", ".join(item.form(name) for item, name in zip(items, names, strict=True))
        restored = "".join(f"{item.restore(name)}, " for item, name in zip(items, names, strict=True))
        refusing = [f"if not ({' and '.join(tests)}): raise NotExact"] if items else []
        wrong_length = f"if len(v) != {len(items)}: raise NotExact"
        source.define(self._pack, "v", [wrong_length, unpacking, *refusing, f"return [{forms}]"])
        self._restore = source.reserve("restore_tuple")
        source.define(self._restore, "v", [unpacking, f"return ({restored})"])

    def _stored_as(self) -> Any:  # noqa: ANN401 - annotations have no common type
        return GenericAlias(tuple, tuple(item.shadow for item in self._items))

    def restore(self, shadow: str) -> str:
        unchanged = all(item.restore("i") == "i" for item in self._items)
        return shadow if unchanged else f"{self._restore}({shadow})"

    def plain(self, value: Any, path: str) -> object:  # noqa: ANN401 - narrowed here
        if not isinstance(value, tuple):
            raise unexpected("tuple", value, path)
        if len(value) != len(self._items):
            raise ValidationError(f"Expected `tuple` of length {len(self._items)}, got {len(value)}", path=path)
        pairs = enumerate(zip(self._items, value, strict=True))
        return [kind.plain(item, f"{path}[{index}]") for index, (kind, item) in pairs]


class SetKind(ContainerKind):
    """``set[T]`` and ``frozenset[T]``, stored as a list in the order of the items' canonical bytes."""

    def __init__(self, source: Source, type: type[set[Any]] | type[frozenset[Any]], item: Kind) -> None:
        super().__init__(source, type.__name__, [item])
        self._type = type
        self._item = item
        self._restored = item.restore("i")
        ordered = f"return sorted([{item.form('i')} for i in v], key={source.name(_pack, 'bytes_of')})"
        source.define(self._pack, "v", [*_refusing_items(item), ordered])

    def _stored_as(self) -> Any:  # noqa: ANN401 - annotations have no common type
        # What the decoder makes of an item that must be restored need not be hashable.
        return GenericAlias(self._type if self._restored == "i" else list, (self._item.shadow,))

    def shadow_guard(self, shadow: str) -> str:
        return self.guard(shadow) if self._restored == "i" else f"type({shadow}) is list"

    def restore(self, shadow: str) -> str:
        return shadow if self._restored == "i" else f"{self.expected}([{self._restored} for i in {shadow}])"

    def plain(self, value: Any, path: str) -> object:  # noqa: ANN401 - narrowed here
        if not isinstance(value, self._type):
            raise unexpected(self.expected, value, path)
        item_path = f"{path}[...]"
        return sorted([normalised(self._item.plain(item, item_path), item_path) for item in value], key=_pack)


class MapKind(ContainerKind):
    """``dict[str, T]``."""

    def __init__(self, source: Source, item: Kind) -> None:
        super().__init__(source, "dict", [item])
        self._item = item
        self.keeps: bool = item.keeps
        refusing = f"    if type(k) is not str or not ({item.test('i')}): raise NotExact"
        form = item.form("i")
        result = "v" if form == "i" else f"{{k: {form} for k, i in v.items()}}"
        source.define(self._pack, "v", ["for k, i in v.items():", refusing, f"return {result}"])

    def _stored_as(self) -> Any:  # noqa: ANN401 - annotations have no common type
        return GenericAlias(dict, (str, self._item.shadow))

    def restore(self, shadow: str) -> str:
        item = self._item.restore("i")
        return shadow if item == "i" else f"{{k: {item} for k, i in {shadow}.items()}}"

    def plain(self, value: Any, path: str) -> object:  # noqa: ANN401 - narrowed here
        if not isinstance(value, dict):
            raise unexpected("dict", value, path)
        return {key: self._item.plain(item, member_path(path, key)) for key, item in value.items()}

    def keep(self, stored: object, new: object) -> object:
        if not self.keeps or not isinstance(stored, dict) or not isinstance(new, dict):
            return new
        kept = {key: self._item.keep(stored[key], item) if key in stored else item for key, item in new.items()}
        return kept if any(kept[key] is not item for key, item in new.items()) else new

    def follow(self, rest: Sequence[str]) -> tuple[list[str], Kind] | None:
        if not rest:
            return [], self
        found = self._item.follow(rest[1:])
        return None if found is None else ([rest[0], *found[0]], found[1])

    def fields_at(self, path: Sequence[str]) -> Mapping[str, str]:
        return self._item.fields_at(path[1:]) if path else {}


def _refusing_items(item: Kind) -> list[str]:
    test = item.test("i")
    return [] if test == "True" else ["for i in v:", f"    if not ({test}): raise NotExact"]


def _each(form: str) -> str:
    return "v" if form == "i" else f"[{form} for i in v]"
