"""What the two programs change while their links are cut, and what must come of it by the rule `lww`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final

from msgspec import Struct

from tierfold.demo.messages import Change, Conflict, Version

__all__ = ["PROGRAMS", "Case", "Outcome", "cases_for"]

PROGRAMS: Final = (1, 2)
RULE: Final = "lww"

Fields = dict[str, str | float] | None
"""Fields to set; None = delete."""
Turn = tuple[int, Fields]
"""Which program makes a change, and which one."""

_MAGNITUDE: Final[Fields] = {"mag": 7.5}
_LARGER: Final[Fields] = {"mag": 7.75}
_REVIEWED: Final[Fields] = {"status": "reviewed twice"}
_DELETE: Final = None
_CASES: Final[Sequence[tuple[Turn, ...]]] = (
    ((1, _MAGNITUDE), (2, _REVIEWED)),
    ((2, _REVIEWED), (1, _MAGNITUDE)),
    ((1, _DELETE), (2, _REVIEWED)),
    ((2, _REVIEWED), (1, _DELETE)),
    ((1, _DELETE), (2, _DELETE)),
    ((1, _MAGNITUDE), (1, _LARGER)),
    ((2, _DELETE),),
)


class Case(Struct, frozen=True):
    """One entity and the changes made to it, in their order."""

    id: str
    title: str
    turns: tuple[Turn, ...]

    def at(self, turn: int, program: int) -> list[Change]:
        """The change that a program makes at a turn, if it is the one whose turn it is."""
        if turn >= len(self.turns) or self.turns[turn][0] != program:
            return []
        return [Change(self.id, self.turns[turn][1])]

    def of(self, program: int) -> list[Fields]:
        """The changes of one program."""
        return [fields for who, fields in self.turns if who == program]


def cases_for(documents: Mapping[str, Mapping[str, Any]]) -> list[Case]:
    """Give each case an entity: the strongest earthquake of one of the networks that reported the most."""
    networks: dict[str, list[str]] = {}
    for id, document in documents.items():
        networks.setdefault(document["net"], []).append(id)
    largest = sorted(networks.values(), key=len, reverse=True)
    strongest = [max(ids, key=lambda id: (documents[id]["mag"], id)) for ids in largest[: len(_CASES)]]
    return [Case(id, documents[id]["title"], turns) for id, turns in zip(strongest, _CASES, strict=True)]


class Outcome(Struct, frozen=True):
    """What must become of a case.

    Attributes:
        written: The last version that each program wrote.
    """

    case: Case
    written: Mapping[int, Version]

    @property
    def winner(self) -> int:
        """The program whose version stays by the words of the rule: the newest, then a delete, then the larger node."""
        return max(self.written, key=lambda program: _rank(self.written[program]))

    @property
    def conflict(self) -> Conflict | None:
        """What a conflict log must say; None where only one program made changes."""
        losers = [version for who, version in self.written.items() if who != self.winner]
        return Conflict(RULE, self.written[self.winner], losers[0]) if losers else None

    def applied_to(self, document: Mapping[str, Any]) -> dict[str, Any] | None:
        """The document as it must be read back; None = deleted."""
        changed = dict(document)
        for fields in self.case.of(self.winner):
            if fields is None:
                return None
            changed |= fields
        return changed


def _rank(version: Version) -> tuple[str, bool, str]:
    return version.time, version.deleted, version.node
