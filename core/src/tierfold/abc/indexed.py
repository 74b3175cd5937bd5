"""Indexes over the documents of an entity type: what a store offers to queries beside scans."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Sequence
from typing import Literal

from msgspec import Struct

from tierfold.abc.store import LocalStore
from tierfold.model import Record, SegmentName

__all__ = ["IndexHit", "IndexPath", "IndexState", "IndexStatus", "IndexedStore"]

IndexPath = tuple[str, ...]
"""Members from the document's top down to the value that is indexed."""
IndexState = Literal["declared", "building", "ready", "dropping"]
"""``declared`` = a class wants it and the store does not know yet; no store says so of its own."""


class IndexStatus(Struct, frozen=True):
    """One index over a path of the documents of a type, in all their partitions and prefixes.

    Attributes:
        entries: How many records are in it, by the number of the schema that wrote them.
    """

    path: IndexPath
    state: IndexState
    entries: dict[int, int]


class IndexHit(Struct, frozen=True, gc=False):
    """One record that an index names.

    Attributes:
        key: Its place there: order bytes of the value, the id, and what tells equal ids of several segments apart.
    """

    key: bytes
    segment: SegmentName
    record: Record


class IndexedStore(LocalStore):
    """A local store that keeps indexes. Writers of every program maintain them, whatever classes these know.

    What is read here is read whatever the presence of its partition.
    """

    # --- declaring indexes ---------------------------------------------------------------------------------------

    @abstractmethod
    async def hold_indexes(self, type: str, paths: Sequence[IndexPath], holder: bytes, ttl_s: float) -> None:
        """I1: ``holder`` wants exactly these indexes of a type, for ``ttl_s``; it says so again before that ends.

        Missing ones are begun. Others are dropped, unless another holder wants them now.
        """

    @abstractmethod
    async def release_indexes(self, holder: bytes) -> None:
        """I2: ``holder`` ends. Its indexes stay until somebody who does not want them comes."""

    @abstractmethod
    async def tend_indexes(self, limit: int) -> bool:
        """I3: build or drop indexes, up to about ``limit`` records of them; whether there is more to do.

        One short transaction, so that writers get their turn; any program may do it, several at once, and what a killed
        one began is gone on with.
        """

    @abstractmethod
    def indexes(self, type: str) -> Sequence[IndexStatus]:
        """I4: the indexes of a type."""

    # --- reading them --------------------------------------------------------------------------------------------

    @abstractmethod
    def index_hits(
        self, type: str, path: IndexPath, low: bytes, high: bytes, limit: int, *, back: bool, ids_back: bool
    ) -> Sequence[IndexHit] | None:
        """I5: up to ``limit`` hits of one snapshot: by value, by id among equal values, by segment among equal ids.

        Args:
            low: Order bytes of a value, perhaps with an id behind them, or a key: hits from there on.
            high: Likewise: hits before it.
            back: Greater values first.
            ids_back: Greater ids first among equal values.

        Returns:
            None when there is no such index that is ready.
        """

    @abstractmethod
    def index_count(self, type: str, path: IndexPath, low: bytes, high: bytes, limit: int | None = None) -> int | None:
        """I6: how many hits there are, counted up to ``limit``; None when there is no such index that is ready."""
