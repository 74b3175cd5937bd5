"""One program of the demo: a layer over a near store of its own and the shared one, and what the demo asks of it."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import AsyncGenerator, Mapping, Sequence
from contextlib import asynccontextmanager
from time import perf_counter
from typing import Any, Final

import tierfold
from tierfold.abc.store import LocalStore
from tierfold.abc.syncable import NearerStore, SegmentRoots, SyncableStore
from tierfold.demo.messages import Change, Conflict, Reading, Roots, Shown, Version
from tierfold.demo.quakes import Quake
from tierfold.digest import sum_bytes
from tierfold.entities.ids import entity_key, split_id
from tierfold.entities.system import SYSTEM_FIELDS
from tierfold.model import Record, SegmentName
from tierfold.records.answering import scope_sum
from tierfold.status import LinkReport

__all__ = ["NEAR", "SHARED", "LayerSide", "Side", "open_side"]

NEAR: Final = "near"
SHARED: Final = "shared"
"""Name of the tier both programs share, and so of the link to it."""

_PREFIX: Final = "demo"
_ALL: Final = 1_000_000


class Side(ABC):
    """What the demo asks of a program, in this process or in another."""

    @abstractmethod
    async def read(self) -> Reading:
        """Read every entity, and so hydrate what is not here yet."""

    @abstractmethod
    async def write(self, changes: Sequence[Change]) -> list[Version]:
        """Make changes near; returns what each of them wrote."""

    @abstractmethod
    async def pause(self) -> None:
        """Cut the link."""

    @abstractmethod
    async def fold(self) -> LinkReport:
        """Open the link for one run and cut it again, so that the report counts all that crossed."""

    @abstractmethod
    async def show(self) -> Shown:
        """What the tiers hold, and the conflict log of the near one."""


@asynccontextmanager
async def open_side(near: str, shared: str) -> AsyncGenerator[LayerSide]:
    """Open a layer over two LMDB directories."""
    tiers = tierfold.Tier(f"lmdb:{near}", name=NEAR), tierfold.Tier(f"lmdb:{shared}", name=SHARED)
    async with tierfold.open(*tiers, prefix=_PREFIX) as layer:
        yield LayerSide(layer)


class LayerSide(Side):
    """A program in this process."""

    def __init__(self, layer: tierfold.DataLayer) -> None:
        self._layer = layer
        self._link = layer.links[SHARED]
        self._quakes = layer.repo(Quake)
        near, shared = (tier.store for tier in layer.tiers)
        assert isinstance(near, LocalStore)
        assert isinstance(near, NearerStore)
        assert shared is not None, "a directory can be reached at once"
        self._local: LocalStore = near
        self._near: NearerStore = near
        self._shared: SyncableStore = shared

    async def load(self, documents: Mapping[str, Mapping[str, Any]]) -> float:
        """Save all documents in one batch; returns how many seconds it took."""
        quakes = [self._quakes.load(document) for document in documents.values()]
        begun_s = perf_counter()
        await self._quakes.save_many(quakes)
        return perf_counter() - begun_s

    async def read(self) -> Reading:
        begun_s = perf_counter()
        quakes = await self._quakes.query().all()
        duration_s = perf_counter() - begun_s
        documents = {quake.id: self._document(quake) for quake in quakes}
        segments = self._local.segments()
        records = [record for name in segments for record in self._local.page(name, None, _ALL)]
        record_bytes = sum(len(record.content) + len(record.hash) for record in records)
        return Reading(documents, len(segments), record_bytes, duration_s)

    def _document(self, quake: Quake) -> dict[str, Any]:
        document = self._quakes.dump(quake)
        return {name: value for name, value in document.items() if name not in SYSTEM_FIELDS}

    async def write(self, changes: Sequence[Change]) -> list[Version]:
        return [await self._write(change.id, change.fields) for change in changes]

    async def _write(self, id: str, fields: Mapping[str, str | float] | None) -> Version:
        def set_fields(quake: Quake) -> None:
            for name, value in (fields or {}).items():
                setattr(quake, name, value)

        if fields is None:
            await self._quakes.delete(id)
        else:
            await self._quakes.modify(id, set_fields)
        written = self._local.find_held(SegmentName("Quake", entity_key(_PREFIX, split_id(id)[0])), id)
        assert written is not None, "a delete leaves a tombstone"
        return _version(written)

    async def pause(self) -> None:
        self._link.pause()

    async def fold(self) -> LinkReport:
        self._link.resume()
        report = await self._layer.sync_now(SHARED)
        self._link.pause()
        return report.links[SHARED]

    async def show(self) -> Shown:
        roots = {NEAR: await _roots(self._near), SHARED: await _roots(self._shared)}
        log = await self._near.conflict_log(0, _ALL)
        conflicts = [
            Conflict(entry.rule, _version(entry.winner) if entry.winner else None, _version(entry.loser))
            for _, entry in log
        ]
        return Shown(roots, conflicts)


def _version(record: Record) -> Version:
    stamp = record.stamp.hex()
    return Version(record.id, record.etag, stamp[:16], stamp[16:], record.deleted)


async def _roots(store: SyncableStore) -> Roots:
    partitions = {name.partition for name in (await store.feed(None)).segments}
    found: dict[str, SegmentRoots] = {}
    for partition in partitions:
        segments = (await store.roots(partition)).segments
        found |= {f"{name.type} {name.partition}": roots for name, roots in segments.items()}
    live_count = sum(roots.live_count for roots in found.values())
    root = sum_bytes(scope_sum(found.values()))
    return Roots(root.hex(), live_count, {name: _sums(roots) for name, roots in sorted(found.items())})


def _sums(roots: SegmentRoots) -> dict[str, str]:
    days = {f"deleted on day {day}": total.hex() for day, total in roots.tombstones.items()}
    return {"live": roots.live.hex(), **days}
