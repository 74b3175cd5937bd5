"""A conformance suite cannot be weakened without saying so."""

from __future__ import annotations

import pytest

from tierfold.testing.suite import Suite, deviation


class ExampleSuite(Suite, defines=True):
    def test_one(self) -> None: ...

    def test_two(self) -> None: ...


class LongerSuite(ExampleSuite, defines=True):
    def test_three(self) -> None: ...


def test_a_class_that_runs_a_suite_may_add_tests() -> None:
    class More(LongerSuite):
        def test_four(self) -> None: ...

    assert More.test_one is ExampleSuite.test_one


def test_replacing_a_test_is_refused_by_name() -> None:
    with pytest.raises(TypeError, match=r"Weak replaces ExampleSuite\.test_one"):

        class Weak(LongerSuite):
            def test_one(self) -> None: ...


def test_a_test_cannot_be_removed_by_none() -> None:
    with pytest.raises(TypeError, match="test_three"):

        class Weak(LongerSuite):
            test_three = None  # type: ignore[assignment]


def test_a_class_placed_before_the_suite_cannot_hide_a_test() -> None:
    class Before:
        def test_two(self) -> None: ...

    with pytest.raises(TypeError, match="test_two"):

        class Weak(Before, ExampleSuite): ...


def test_a_test_cannot_be_hidden_further_down() -> None:
    class Between(ExampleSuite): ...

    with pytest.raises(TypeError, match="test_two"):

        class Weak(Between):
            def test_two(self) -> None: ...


def test_two_suites_must_not_share_a_name() -> None:
    class OtherSuite(Suite, defines=True):
        def test_one(self) -> None: ...

    with pytest.raises(TypeError, match="test_one"):

        class Both(ExampleSuite, OtherSuite): ...


def test_a_suite_cannot_replace_a_test_of_the_suite_it_extends() -> None:
    with pytest.raises(TypeError, match="test_one"):

        class WeakSuite(ExampleSuite, defines=True):
            def test_one(self) -> None: ...


def test_a_deviation_with_a_reason_is_accepted_also_below_it() -> None:
    class Different(ExampleSuite):
        @deviation(reason="this engine has no such thing")
        def test_one(self) -> None: ...

    class Below(Different): ...

    assert Below.test_one is Different.test_one


def test_a_deviation_without_a_reason_is_refused() -> None:
    with pytest.raises(TypeError, match="reason"):
        deviation(reason=" ")
