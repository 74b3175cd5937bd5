"""What every key strategy must do, and what this one is for."""

from collections.abc import Mapping, Sequence
from datetime import date

from fiscal_plugin import Fiscal, FiscalYear, Invoice

import tierfold
from tierfold import KeyStrategySpec
from tierfold.testing import KeyStrategySuite


class TestFiscalYear(KeyStrategySuite):
    def spec(self) -> KeyStrategySpec:
        return KeyStrategySpec("fiscal", FiscalYear)

    def options(self) -> tuple[str, ...]:
        return ("day", "4")

    def different(self) -> Sequence[Mapping[str, object]]:
        return [{"day": date(2026, 3, 31)}, {"day": date(2026, 4, 1)}, {"day": date(2027, 4, 1)}]


async def test_the_year_begins_in_april() -> None:
    async with tierfold.open("memory:", plugins=[Fiscal()]) as data:
        invoice = await data.repo(Invoice).save(Invoice(number="17", day=date(2027, 3, 31), cents=990))
        assert invoice.id == "FY2026.17"
