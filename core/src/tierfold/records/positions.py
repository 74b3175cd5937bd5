"""Positions and feed tokens of an embedded store: ``incarnation ‖ seq``, 8 bytes each.

A restored backup brings its store id and counters along inside the copied file; only the incarnation that the first
write after each open begins gives it away. So a position is valid only if its incarnation is remembered and got so far.
"""

from __future__ import annotations

from typing import Final

from tierfold.layout import SegmentRow, StoreRow
from tierfold.model import FeedToken, Position

__all__ = ["BEGINNING", "KEPT_INCARNATIONS", "feed_token", "knows", "position_of", "remembers", "seq_of", "token_seq"]

BEGINNING: Final = Position(bytes(16))
"""Position of a segment that was never written."""
KEPT_INCARNATIONS: Final = 1_000


def _covering(store: StoreRow, seq: int) -> bytes:
    """The run that took a seq; for one from before all that are remembered the newest, which stays the longest."""
    for name, first in reversed(store.incarnations):
        if first <= seq:
            return name
    return store.incarnations[-1][0] if store.incarnations else bytes(8)


def _last_seq(store: StoreRow, incarnation: bytes, next_seq: int) -> int:
    """The last seq that was taken in a remembered run or before it; 0 when it is not remembered."""
    after = next_seq
    for name, first in reversed(store.incarnations):
        if name == incarnation:
            return after - 1
        after = first
    return 0


def position_of(store: StoreRow, seq: int) -> Position:
    """The position of a segment whose newest row has ``seq``."""
    return Position(_covering(store, seq) + seq.to_bytes(8, "big")) if seq else BEGINNING


def seq_of(position: Position | None) -> int:
    return int.from_bytes(position[8:], "big") if position else 0


def knows(store: StoreRow, next_seq: int, row: SegmentRow | None, position: Position | None) -> bool:
    """Whether everything up to ``position`` is history of this very segment."""
    if position is None or len(position) != 16:
        return False
    seq = seq_of(position)
    if row is not None and seq < row.floor:
        return False
    if position == BEGINNING:
        return True
    return 0 < seq <= _last_seq(store, bytes(position[:8]), next_seq)


def remembers(store: StoreRow, next_seq: int, position: Position) -> bool:
    """Whether the store has been at a position of its own. If not, it has gone back in time.

    What lies before its oldest remembered run it has left behind, not lost: a backup holds some run that is older than
    everything written since.
    """
    if knows(store, next_seq, None, position):
        return True
    oldest = store.incarnations[0][1] if store.incarnations else 0
    return len(position) == 16 and seq_of(position) < oldest


def feed_token(store: StoreRow, next_seq: int) -> FeedToken:
    return FeedToken(position_of(store, next_seq - 1))


def token_seq(store: StoreRow, next_seq: int, token: FeedToken | None) -> int:
    """The seq a feed token stands for; 0, the beginning, when it is of another life of the store."""
    if token is None or not knows(store, next_seq, None, Position(token)):
        return 0
    return seq_of(Position(token))
