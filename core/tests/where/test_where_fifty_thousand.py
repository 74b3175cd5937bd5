"""Fifty thousand random conditions, each on a random document, against what a plain evaluation in Python says."""

from __future__ import annotations

import json
import os
from random import Random
from typing import Any, Final

import pytest
from core.tests.where.documents import find, holds, record
from core.tests.where.random_documents import condition, document

from tierfold.where.bounds import bounds
from tierfold.where.lens import Lens
from tierfold.where.mango import from_mango, to_mango
from tierfold.where.matching import matcher
from tierfold.where.order_bytes import order_bytes
from tierfold.where.tree import Condition, paths_of

CASES: Final = 1_000
SEED: Final = int(os.environ.get("TIERFOLD_SEED", "0"))
SEEDS: Final = [
    pytest.param(SEED + number, id=f"seed {SEED + number}", marks=[pytest.mark.prove] * bool(number))
    for number in range(50)
]
SYSTEM: Final = {"id", "version", "created_at", "updated_at"}


@pytest.mark.parametrize("seed", SEEDS)
def test_a_condition_holds_as_function_as_json_and_as_bounds_where_python_says_so(seed: int) -> None:
    random = Random(seed)
    met = checked = 0
    while checked < CASES:
        one = document(random)
        where = condition(random, [one])
        if SYSTEM.isdisjoint(path[0] for path in paths_of(where)):  # records have other ones than the document says
            met += check(where, one)
            checked += 1
    assert CASES / 10 < met < CASES * 9 / 10


def check(where: Condition, one: dict[str, Any]) -> bool:
    """Whether it holds."""
    content, meets = record(one).content, holds(where, one)
    for written in (where, from_mango(json.loads(json.dumps(to_mango(where))))):
        lens = Lens(paths_of(written))
        assert matcher(written, lens)(lens.view(content)) == meets, (to_mango(where), one)
    for path in (("a",), ("b",), ("c", "d")):
        found = bounds(where, path)
        if found is not None:
            key, _ = order_bytes(find(one, path)[1])
            inside = any(low <= key + b"id" < high for low, high in found.ranges)
            assert inside == meets if found.exact else inside or not meets, (to_mango(where), one)
    return meets
