"""Hands every commit of the nearest tier to those observers that it may concern, and to no others.

An observer of one entity stands under its segment and id, one of a query under its partitions, if it names any, and
else under its type: ten thousand observers of other things cost a write a few looks into a dict.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Hashable, Iterable, Sequence
from itertools import count
from threading import Lock
from typing import Any, Protocol, TypeVar
from weakref import ref

from msgspec import Struct

from tierfold.abc.store import LocalStore, RecordChange
from tierfold.entities.ids import logical_key
from tierfold.model import Change, SegmentName

__all__ = ["Hub", "Membership", "Observer", "Told", "change_of"]

K = TypeVar("K", bound=Hashable)


class Observer(Protocol):
    """Who is told, in any thread; so it only takes note."""

    def push(self, changes: Sequence[RecordChange]) -> None:
        """What one commit changed, as far as it may concern the observer."""

    def close(self) -> None:
        """The layer is closed."""


Told = tuple[tuple[Change, ...], bool]
"""Changes as users see them, and whether the last one waits for a farther tier."""
_Group = dict[int, "ref[Observer]"]
"""By number. Weak, so that an observer that its user forgets is gone."""


class Membership(Struct, frozen=True):
    """Where an observer stands, and under which number."""

    number: int
    groups: dict[Any, _Group]
    keys: tuple[Hashable, ...]


class Hub:
    """The observers of one layer."""

    def __init__(self, reader: Callable[[], LocalStore]) -> None:
        self._reader = reader
        self._lock = Lock()
        self._numbers = count()
        self._by_type: dict[str, _Group] = {}
        self._by_segment: dict[SegmentName, _Group] = {}
        self._by_id: dict[tuple[SegmentName, str], _Group] = {}
        self._abandoned: deque[Membership] = deque()
        self._end: Callable[[], None] | None = None
        self._told: tuple[Sequence[RecordChange], Told] = ((), ((), False))

    @property
    def is_busy(self) -> bool:
        """Whether anybody observes."""
        if self._abandoned:
            self._sweep()
        return self._end is not None

    def join_type(self, type: str, observer: Observer) -> Membership:
        """Tell ``observer`` of every commit that changes the type."""
        return self._join(self._by_type, (type,), observer)

    def join_segments(self, segments: Iterable[SegmentName], observer: Observer) -> Membership:
        """Tell ``observer`` of every commit that changes one of these, once."""
        return self._join(self._by_segment, tuple(segments), observer)

    def join_id(self, segment: SegmentName, id: str, observer: Observer) -> Membership:
        """Tell ``observer`` of every change of one entity."""
        return self._join(self._by_id, ((segment, id),), observer)

    def leave(self, membership: Membership) -> None:
        """Tell the observer nothing more."""
        self.abandon(membership)
        self._sweep()

    def abandon(self, membership: Membership) -> None:
        """The same for an observer that is gone, later: the collector may find it wherever a lock is held."""
        self._abandoned.append(membership)

    def told(self, changes: Sequence[RecordChange], tell: Callable[[Sequence[RecordChange]], Told]) -> Told:
        """What users see of a commit to one entity, made once for all who are told of it."""
        commit, told = self._told
        if commit is not changes:
            told = tell(changes)
            self._told = (changes, told)
        return told

    def close(self) -> None:
        """End every observation."""
        for groups in (self._by_type, self._by_segment, self._by_id):
            for group in list(groups.values()):
                for observer in _members(group):
                    observer.close()

    # --- joining and leaving -------------------------------------------------------------------------------------

    def _join(self, groups: dict[K, _Group], keys: tuple[K, ...], observer: Observer) -> Membership:
        membership = Membership(next(self._numbers), groups, keys)
        mine = ref(observer)
        with self._lock:
            self._remove_abandoned()
            for key in keys:
                groups.setdefault(key, {})[membership.number] = mine
            if self._end is None:
                self._end = self._reader().follow(self._tell)
        return membership

    def _sweep(self) -> None:
        """Let go of those that left, and of the store with the last one."""
        with self._lock:
            self._remove_abandoned()
            end = None
            if not self._by_type and not self._by_segment and not self._by_id:
                end, self._end = self._end, None
        if end is not None:
            end()

    def _remove_abandoned(self) -> None:
        while self._abandoned:
            membership = self._abandoned.popleft()
            for key in membership.keys:
                group = membership.groups.get(key, {})
                group.pop(membership.number, None)
                if not group:
                    membership.groups.pop(key, None)

    # --- telling -------------------------------------------------------------------------------------------------
    # Without the lock: who joins holds it while asking the store, and the store may be telling just then.

    def _tell(self, changes: Sequence[RecordChange]) -> None:
        if self._by_type:
            for type, some in _grouped(changes, _type_of):
                _push(self._by_type.get(type), some)
        if self._by_segment:
            self._tell_segments(_grouped(changes, _segment_of))
        if self._by_id:
            for change in changes:
                group = self._by_id.get((change.segment, change.record.id))
                if group is not None:
                    _push(group, (change,))

    def _tell_segments(self, found: Sequence[tuple[SegmentName, Sequence[RecordChange]]]) -> None:
        """An observer of several segments is told of a commit once."""
        if len(found) == 1:
            ((segment, changes),) = found
            _push(self._by_segment.get(segment), changes)
            return
        told: dict[int, tuple[ref[Observer], list[RecordChange]]] = {}
        for segment, changes in found:
            for number, mine in list(self._by_segment.get(segment, {}).items()):
                told.setdefault(number, (mine, []))[1].extend(changes)
        for mine, some in told.values():
            observer = mine()
            if observer is not None:
                observer.push(some)


def _type_of(change: RecordChange) -> str:
    return change.segment.type


def _segment_of(change: RecordChange) -> SegmentName:
    return change.segment


def _grouped(
    changes: Sequence[RecordChange], key_of: Callable[[RecordChange], K]
) -> list[tuple[K, Sequence[RecordChange]]]:
    first = key_of(changes[0])
    if len(changes) == 1 or all(key_of(change) == first for change in changes):
        return [(first, changes)]
    found: dict[K, list[RecordChange]] = {}
    for change in changes:
        found.setdefault(key_of(change), []).append(change)
    return list(found.items())


def _members(group: _Group) -> list[Observer]:
    found = [mine() for mine in list(group.values())]
    return [observer for observer in found if observer is not None]


def _push(group: _Group | None, changes: Sequence[RecordChange]) -> None:
    if group is not None:
        for mine in list(group.values()):
            observer = mine()
            if observer is not None:
                observer.push(changes)


def change_of(change: RecordChange, prefix: str) -> Change:
    """A change as users see it, its partition by logical key."""
    segment, record = change.segment, change.record
    key = logical_key(prefix, segment.partition) or segment.partition
    return Change(change.kind, segment.type, record.id, key, record.etag, change.origin)
