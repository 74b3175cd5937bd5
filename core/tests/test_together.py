"""Several awaits at a time."""

from __future__ import annotations

import anyio
import pytest

from tierfold.errors import StoreUnavailableError
from tierfold.together import together

pytestmark = pytest.mark.anyio


async def test_all_results_come_back() -> None:
    async def double(number: int) -> int:
        return 2 * number

    assert sorted(await together(double, range(10), at_once=3)) == [2 * number for number in range(10)]
    assert await together(double, [], at_once=0) == []


async def test_only_so_many_are_under_way() -> None:
    under_way = most = 0

    async def work(_: int) -> None:
        nonlocal under_way, most
        under_way += 1
        most = max(most, under_way)
        await anyio.lowlevel.checkpoint()
        under_way -= 1

    await together(work, range(20), at_once=4)
    assert most == 4


async def test_an_error_comes_as_it_is_and_nothing_begins_after_it() -> None:
    begun: list[int] = []
    ended: list[int] = []

    async def work(number: int) -> None:
        begun.append(number)
        await anyio.lowlevel.checkpoint()
        if number == 1:
            raise StoreUnavailableError("gone")
        await anyio.lowlevel.checkpoint()
        ended.append(number)

    with pytest.raises(StoreUnavailableError):
        await together(work, range(20), at_once=3)
    assert set(ended) >= {0, 2}
    assert len(begun) <= 4
