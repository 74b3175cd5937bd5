"""What every key strategy must do."""

from __future__ import annotations

import time
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tierfold.abc.keys import KeyStrategy
from tierfold.entities.ids import check_key
from tierfold.entities.rules import parse_rule
from tierfold.entities.system import SYSTEM_FIELDS
from tierfold.errors import ValidationError
from tierfold.specs import KeyStrategySpec
from tierfold.testing.strategies import hostile_texts
from tierfold.testing.suite import Suite

__all__ = ["KeyStrategySuite"]

TYPE = "Thing"


class KeyStrategySuite(Suite, ABC, defines=True):
    """Tests of the clauses of `tierfold.abc.keys`. Subclass it for each way to use the strategy."""

    @abstractmethod
    def spec(self) -> KeyStrategySpec:
        """What the plugin provides."""

    @abstractmethod
    def options(self) -> tuple[str, ...]:
        """The options to test it with, as a rule writes them."""

    @abstractmethod
    def different(self) -> Sequence[Mapping[str, object]]:
        """Fields of entities that all belong into different partitions, as near to each other as the rule allows."""

    @pytest.fixture
    def strategy(self) -> KeyStrategy:
        return self.spec().make(*self.options())

    def test_the_same_fields_have_the_same_key_in_another_time_zone(
        self, strategy: KeyStrategy, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """K1: the key depends on nothing but the input."""
        before = [strategy.partition_of(TYPE, fields) for fields in self.different()]
        again = self.spec().make(*self.options())
        try:
            with monkeypatch.context() as elsewhere:
                elsewhere.setenv("TZ", "Pacific/Kiritimati")
                time.tzset()
                after = [again.partition_of(TYPE, fields) for fields in self.different()]
        finally:
            time.tzset()
        assert after == before

    def test_different_fields_have_different_keys(self, strategy: KeyStrategy) -> None:
        """K2: values that the rule tells apart."""
        keys = [strategy.partition_of(TYPE, fields) for fields in self.different()]
        assert len(set(keys)) == len(keys) > 0

    def test_a_separator_in_a_value_separates_nothing(self, strategy: KeyStrategy) -> None:
        """K2: ``a.b`` and ``c`` are not ``a`` and ``b.c``."""
        for first, second in pairwise(strategy.fields):
            for separator in (".", "%2E", "-", "_", "/"):
                fields = dict(self.different()[0])
                one = fields | {first: f"a{separator}b", second: "c"}
                other = fields | {first: "a", second: f"b{separator}c"}
                keys = [key_or_none(strategy, fields) for fields in (one, other)]
                assert keys[0] != keys[1] or keys == [None, None]

    @pytest.mark.hypothesis
    def test_a_key_is_a_logical_key_whatever_the_values(self, strategy: KeyStrategy) -> None:
        """K3: or the values are refused (K5)."""

        @given(st.data())
        def holds(data: st.DataObject) -> None:
            fields = dict(data.draw(st.sampled_from(self.different())))
            for name in strategy.fields:
                fields[name] = data.draw(st.just(fields[name]) | hostile_texts())
            key = key_or_none(strategy, fields)
            assert key is None or check_key(key) == key

        holds()

    def test_only_the_named_fields_make_a_difference(self, strategy: KeyStrategy) -> None:
        """K4: they suffice, further members change nothing, and none of them is a system field."""
        assert not set(strategy.fields) & set(SYSTEM_FIELDS)
        for fields in self.different():
            needed = {name: fields[name] for name in strategy.fields}
            more = {**fields, "another": "x", "id": "y.z"}
            keys = {strategy.partition_of(TYPE, given) for given in (fields, needed, more)}
            assert len(keys) == 1

    def test_the_fields_are_left_unchanged(self, strategy: KeyStrategy) -> None:
        """K4: nothing that the strategy is given is its own."""
        for fields in self.different():
            own = dict(fields)
            strategy.partition_of(TYPE, own)
            assert own == fields

    def test_a_field_without_a_value_is_refused_with_its_path(self, strategy: KeyStrategy) -> None:
        """K5: missing, None or empty, rather than placed anywhere."""
        for name in strategy.fields:
            others = {key: value for key, value in self.different()[0].items() if key != name}
            for fields in (others, {**others, name: None}, {**others, name: ""}):
                with pytest.raises(ValidationError) as caught:
                    strategy.partition_of(TYPE, fields)
                assert caught.value.path == f"$.{name}"

    def test_its_rule_makes_it_again(self, strategy: KeyStrategy) -> None:
        """K6: so that a program that reads the catalog places entities alike."""
        name, options = parse_rule(strategy.rule)
        assert name == self.spec().name
        again = self.spec().make(*options)
        assert again.rule == strategy.rule
        for fields in self.different():
            assert again.partition_of(TYPE, fields) == strategy.partition_of(TYPE, fields)


def key_or_none(strategy: KeyStrategy, fields: Mapping[str, object]) -> str | None:
    """The key, or None when the fields are refused."""
    try:
        return strategy.partition_of(TYPE, fields)
    except ValidationError:
        return None
