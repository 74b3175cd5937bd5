"""Classes of attrs, which is never imported here: whoever has such a class has imported it."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from copy import copy
from itertools import takewhile
from typing import Any, Final

from tierfold.entities.hints import annotations_of
from tierfold.entities.make import ClassField, Given, Make, arguments, set_after
from tierfold.entities.source import Source
from tierfold.errors import ConfigError

__all__ = ["AttrsMake"]

_CACHED_HASH: Final = "_attrs_cached_hash"
"""Where an object of a class with ``cache_hash=True`` keeps its hash; None = not known yet."""


class AttrsMake(Make):
    """A class of ``attrs.define``, ``attrs.frozen`` or ``attr.s``.

    Objects are made by the class's own ``__init__``, with its converters, validators and hooks. Fields with
    ``init=False`` are set behind it, when they are stored.
    """

    def __init__(self, cls: Any) -> None:  # noqa: ANN401 - an attrs class
        super().__init__(cls)
        self._attributes = cls.__attrs_attrs__
        self.is_frozen: bool = cls.__setattr__.__name__ == "_frozen_setattrs"
        hooks = any(hasattr(cls, name) for name in ("__attrs_pre_init__", "__attrs_post_init__", "__attrs_init__"))
        self.has_rules: bool = hooks or any(item.validator or item.converter for item in self._attributes)

    def names(self) -> Sequence[str]:
        return [item.name for item in self._attributes]

    def fields(self) -> Sequence[ClassField]:
        annotations = annotations_of(self.cls)
        return [self._field(item, annotations.get(item.name, item.type)) for item in self._attributes]

    def _field(self, item: Any, annotation: Any) -> ClassField:  # noqa: ANN401 - an attrs.Attribute
        if annotation is None:
            raise ConfigError(f"field {item.name!r} of {self.cls.__qualname__} has no type")
        attrs: Any = sys.modules["attr"]
        default: dict[str, Any] = {"is_required": item.init and item.default is attrs.NOTHING}
        if item.init and isinstance(item.default, attrs.Factory):
            if not item.default.takes_self:
                default["default_factory"] = item.default.factory
        elif item.init and item.default is not attrs.NOTHING:
            default["default"] = item.default
        argument = item.alias if item.init else ""
        return ClassField(name=item.name, stored=item.name, annotation=annotation, argument=argument, **default)

    def copied(self, entity: Any) -> Any:  # noqa: ANN401 - an attrs object
        made = copy(entity)
        if hasattr(made, _CACHED_HASH):
            object.__setattr__(made, _CACHED_HASH, None)  # of the fields that are about to change
        return made

    def making(self, source: Source, given: Sequence[Given]) -> list[str]:
        cls = source.once(self.cls, "cls")
        given_arguments = self._arguments(given)
        if hasattr(self.cls, "__attrs_init__"):  # it has an `__init__` of its own beside the generated one
            made = [f"o = {source.once(object.__new__, 'new')}({cls})", f"o.__attrs_init__({given_arguments})"]
        else:
            made = [f"o = {cls}({given_arguments})"]
        return [*made, *set_after(self, source, given)]

    def _arguments(self, given: Sequence[Given]) -> str:
        """All of them, in the order of the parameters."""
        by_name = {each.field.name: each for each in given}
        taken = [item for item in self._attributes if item.init]
        ordered = [by_name[item.name] for item in sorted(taken, key=lambda item: bool(item.kw_only))]
        by_place = takewhile(lambda item: not (item.kw_only or by_name[item.name].lacking), taken)
        return arguments(ordered, len(list(by_place)))

    def setting(self, source: Source, name: str, value: str) -> str:
        # Not `o.name = value`: hooks on assignment belong to the user's assignments.
        return f"{source.once(object.__setattr__, 'put')}(o, {name!r}, {value})"
