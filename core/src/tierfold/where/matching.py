"""Conditions made functions: one expression of Python for each, so that a document costs one call."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, assert_never, cast

from msgspec import UNSET

from tierfold.entities.source import Source
from tierfold.where.lens import Lens, View, descend
from tierfold.where.order import LIST, MAP, NONE, NUMBER, order_key, rank_of
from tierfold.where.tree import Both, Compare, Condition, Either, Exists, Not

__all__ = ["matcher"]

_SIGNS = {"lt": "<", "lte": "<=", "gt": ">", "gte": ">="}
_NUMBERS = frozenset({int, float})


def matcher(condition: Condition, lens: Lens) -> Callable[[View], bool]:
    """Whether a view of ``lens``, which must know every path of the condition, meets it."""
    source = Source()
    source.define("match", "d", [f"return {_Writer(source, lens).written(condition)}"])
    match: Callable[[View], bool] = source.compile("condition")["match"]
    return match


class _Writer:
    def __init__(self, source: Source, lens: Lens) -> None:
        self._source, self._lens = source, lens
        self._unset = source.name(UNSET, "unset")

    def written(self, condition: Condition) -> str:
        match condition:
            case Compare():
                return f"({self._compare(condition)})"
            case Exists():
                return f"({self._value(condition)} is not {self._unset})"
            case Not(part=part):
                return f"(not {self.written(part)})"
            case Both(parts=parts):
                return f"({' and '.join(map(self.written, parts)) or 'True'})"
            case Either(parts=parts):
                return f"({' or '.join(map(self.written, parts)) or 'False'})"
        assert_never(cast("Any", condition))

    def _value(self, at: Compare | Exists) -> str:
        top, rest = f"d.{self._lens.field(at.path)}", at.path[1:]
        return f"{self._name(descend)}({top}, {self._name(rest)})" if rest else top

    def _name(self, value: object) -> str:
        return self._source.name(value, "c")

    def _compare(self, at: Compare) -> str:
        v = self._value(at)
        match at.operator:
            case "eq":
                return self._equal(v, at.value)
            case "in":
                keys = frozenset(map(order_key, cast("list[object]", at.value)))
                return f"{self._name(order_key)}({v}) in {self._name(keys)}"
            case "startswith":
                return f"type(v := {v}) is str and v.startswith({self._name(at.value)})"
            case "contains":
                return f"{self._name(_contains)}({v}, {self._name(order_key(at.value))})"
        return self._less(v, _SIGNS[at.operator], at.value)

    def _equal(self, v: str, value: object) -> str:
        rank = rank_of(value)
        if rank == NONE:
            return f"(v := {v}) is None or v is {self._unset}"
        if rank in (LIST, MAP):
            return f"{self._name(order_key)}({v}) == {self._name(order_key(value))}"
        if rank == NUMBER:
            return f"type(v := {v}) in {self._name(_NUMBERS)} and v == {self._name(value)}"
        return f"type(v := {v}) is {self._name(type(value))} and v == {self._name(value)}"

    def _less(self, v: str, sign: str, value: object) -> str:
        rank = rank_of(value)
        if rank == NONE:
            return "False" if len(sign) == 1 else self._equal(v, value)
        if rank in (LIST, MAP):
            kind, key = self._name(type(value)), self._name(order_key(value))
            return f"type(v := {v}) is {kind} and {self._name(order_key)}(v) {sign} {key}"
        types = f"in {self._name(_NUMBERS)}" if rank == NUMBER else f"is {self._name(type(value))}"
        return f"type(v := {v}) {types} and v {sign} {self._name(value)}"


def _contains(items: object, key: object) -> bool:
    return type(items) is list and any(order_key(item) == key for item in items)
