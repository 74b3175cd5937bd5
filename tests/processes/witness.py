"""What several writing programs announced, and whether the stores they leave behind keep it."""

from __future__ import annotations

import json
from collections.abc import Iterable

from tests.crash.ledger import Ledger, Verdict
from tests.processes.program import SHARED_IDS
from tests.processes.programs import Holdings, text_of

from tierfold.model import Record

__all__ = ["Witness"]


class Witness:
    """Hears the programs that `Program.write_on` set to work: lanes of ids of their own, and ids that all write."""

    def __init__(self) -> None:
        self.ledger = Ledger()
        self.older: list[str] = []
        self._offered: dict[tuple[str, str], str] = {}
        self._kept: dict[tuple[str, str], str] = {}

    def hear(self, line: bytes) -> bool:
        """Take an announcement; True = a write in a lane was acknowledged."""
        what, side, *rest = json.loads(line)
        if what == "offer":
            self._offered[side, rest[0]] = rest[1]
        elif what == "older":
            self.older.append(rest[0])
        elif what == "kept":
            self._kept[side, rest[0]] = self._offered[side, rest[0]]
        else:
            return self.ledger.read(line)
        return False

    def judge(self, holdings: Holdings) -> Verdict:
        """What became of the lanes."""
        return self.ledger.judge(holdings.content, lambda record: text_of(record).encode())

    def check_shared(self, holdings: Holdings, conflicts: Iterable[Record]) -> None:
        """No shared note ever gave way to an older one, the newest are there, and only they were in conflict."""
        assert self.older == [], f"{self.older} became older"
        shared = {f"both.s{number}" for number in range(SHARED_IDS)}
        for id in shared:
            newest = {text for told in (self._offered, self._kept) for (_, each), text in told.items() if each == id}
            assert holdings.texts()[id] in newest, f"{id} is {holdings.texts()[id]}, the newest are {newest}"
        contested = {record.id for record in conflicts}
        assert contested <= shared, f"{contested - shared} had one writer each"
