"""What killed writers tried and what was acknowledged to them, and whether a store kept its word."""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Callable, Sequence

from msgspec import Struct
from tests.crash.audit import Content

from tierfold.codec import decode, encode
from tierfold.model import Record, SegmentName, Write

__all__ = ["Attempt", "Ledger", "Verdict"]

Cell = tuple[SegmentName, str]
State = dict[Cell, bytes | None]
"""Mark under a segment and id; None is a delete, or nothing yet."""


class Attempt(Struct, frozen=True):
    """One batch that a lane is about to write, as it is announced on one line of text.

    A lane is a sequence of batches, each begun when the one before was acknowledged; no two lanes share an id.
    """

    lane: str
    batch: Sequence[tuple[str, str, str, str | None, int]]
    """Type, partition, id, mark of the payload (None = delete) and its length."""

    def line(self) -> bytes:
        return json.dumps(["try", self.lane, self.batch]).encode() + b"\n"

    def acknowledgement(self) -> bytes:
        return json.dumps(["done", self.lane]).encode() + b"\n"

    def writes(self) -> list[Write]:
        return [Write(segment, id, _payload(mark)) for (segment, id), mark in self.state().items()]

    def state(self) -> State:
        return {
            (SegmentName(type, partition), id): None if mark is None else mark.encode().ljust(length, b".")
            for type, partition, id, mark, length in self.batch
        }


def _payload(mark: bytes | None) -> bytes | None:
    return None if mark is None else encode({"mark": mark.decode(), "size": len(mark)})


class Verdict(Struct):
    """What was found after a kill, summed over kills.

    Attributes:
        acknowledged: Batches whose write had returned.
        lost: Ids that hold neither what was acknowledged last nor what was under way.
        torn: Batches of which a part is stored.
        unacknowledged: Batches that are stored although nobody was told: the third answer, "unknown", is a legal one.
        details: What was lost or torn: id, what is there, what was acknowledged, what was under way.
    """

    acknowledged: int = 0
    lost: int = 0
    torn: int = 0
    unacknowledged: int = 0
    details: list[tuple[str, bytes | None, bytes | None, bytes | None]] = []

    def add(self, other: Verdict) -> None:
        self.acknowledged += other.acknowledged
        self.lost += other.lost
        self.torn += other.torn
        self.unacknowledged += other.unacknowledged
        self.details += other.details


class _Lane:
    def __init__(self) -> None:
        self.settled: State = {}
        self.trying: State = {}
        self.acknowledged = 0
        self.overtaken = False


def _mark_of(record: Record) -> bytes:
    return str(decode(record.payload)["mark"]).encode()


class Ledger:
    """Follows lanes over any number of killed processes."""

    def __init__(self) -> None:
        self._lanes: defaultdict[str, _Lane] = defaultdict(_Lane)

    def read(self, line: bytes) -> bool:
        """Take one announcement; True when it was an acknowledgement. Half a line counts for nothing."""
        if not line.endswith(b"\n"):
            return False
        what, lane_name, *rest = json.loads(line)
        lane = self._lanes[lane_name]
        if what == "try":
            lane.overtaken |= bool(lane.trying)
            lane.trying = Attempt(lane_name, *rest).state()
            return False
        lane.settled |= lane.trying
        lane.trying = {}
        lane.acknowledged += 1
        return True

    def judge(self, content: Content, mark_of: Callable[[Record], bytes] = _mark_of) -> Verdict:
        """Compare with what is stored, and go on from there.

        Args:
            mark_of: Finds in a record what the attempt announced.
        """
        held: State = {
            (segment, id): None if record.deleted else mark_of(record)
            for segment, records in content.items()
            for id, record in records.items()
        }
        verdict = Verdict()
        for name, lane in self._lanes.items():
            assert not lane.overtaken, f"lane {name} went on before it was known what became of its last batch"
            verdict.add(_judge(lane, held))
        return verdict


def _judge(lane: _Lane, held: State) -> Verdict:
    after = lane.settled | lane.trying
    found = {cell: held.get(cell) for cell in after}
    verdict = Verdict(lane.acknowledged)
    if found == {cell: lane.settled.get(cell) for cell in after}:
        pass
    elif found == after:
        verdict.unacknowledged = 1
    else:
        verdict.lost = sum(found[cell] not in (lane.settled.get(cell), after[cell]) for cell in after)
        verdict.torn = not verdict.lost
        verdict.details = [
            (cell[1], found[cell], lane.settled.get(cell), after[cell])
            for cell in after
            if verdict.torn or found[cell] not in (lane.settled.get(cell), after[cell])
        ]
    lane.settled, lane.trying, lane.acknowledged = found, {}, 0
    return verdict
