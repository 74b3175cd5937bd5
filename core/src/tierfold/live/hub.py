"""Hands every commit of the nearest tier to those observers that it may concern, and to no others.

An observer of one entity stands under its segment and id, one of a query under its type: ten thousand of the first kind
cost a write to another entity one look into a dict.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Sequence
from threading import Lock
from typing import Protocol, TypeVar
from weakref import ref

from tierfold.abc.store import LocalStore, RecordChange
from tierfold.entities.ids import logical_key
from tierfold.model import Change, SegmentName

__all__ = ["Hub", "Observer", "change_of"]

K = TypeVar("K", bound=Hashable)


class Observer(Protocol):
    """Who is told, in any thread; so it only takes note."""

    def push(self, changes: Sequence[RecordChange]) -> None:
        """What one commit changed, as far as it may concern the observer."""

    def close(self) -> None:
        """The layer is closed."""


_Group = tuple["ref[Observer]", ...]
"""Weak, so that an observer that its user forgets is gone; replaced as a whole, so that telling needs no lock."""


class Hub:
    """The observers of one layer."""

    def __init__(self, reader: Callable[[], LocalStore]) -> None:
        self._reader = reader
        self._lock = Lock()
        self._by_type: dict[str, _Group] = {}
        self._by_id: dict[tuple[SegmentName, str], _Group] = {}
        self._end: Callable[[], None] | None = None
        self._shown: tuple[Sequence[RecordChange], tuple[Change, ...]] = ((), ())

    @property
    def is_busy(self) -> bool:
        """Whether anybody observes."""
        return self._end is not None

    def join_type(self, type: str, observer: Observer) -> Callable[[], None]:
        """Tell ``observer`` of every commit that changes the type; returns the end of it."""
        return self._join(self._by_type, type, observer)

    def join_id(self, segment: SegmentName, id: str, observer: Observer) -> Callable[[], None]:
        """Tell ``observer`` of every change of one entity; returns the end of it."""
        return self._join(self._by_id, (segment, id), observer)

    def shown(self, changes: Sequence[RecordChange], prefix: str) -> tuple[Change, ...]:
        """What users see of a commit, made once for all who are told of it."""
        commit, shown = self._shown
        if commit is not changes:
            shown = tuple(change_of(change, prefix) for change in changes)
            self._shown = (changes, shown)
        return shown

    def close(self) -> None:
        """End every observation."""
        for groups in (self._by_type, self._by_id):
            for group in list(groups.values()):
                for each in group:
                    observer = each()
                    if observer is not None:
                        observer.close()

    def _join(self, groups: dict[K, _Group], key: K, observer: Observer) -> Callable[[], None]:
        mine = ref(observer)
        with self._lock:
            groups[key] = (*groups.get(key, ()), mine)
            if self._end is None:
                self._end = self._reader().follow(self._tell)
        return lambda: self._leave(groups, key, mine)

    def _leave(self, groups: dict[K, _Group], key: K, mine: ref[Observer]) -> None:
        with self._lock:
            rest = tuple(each for each in groups.get(key, ()) if each is not mine)
            if rest:
                groups[key] = rest
            else:
                groups.pop(key, None)
            end = None
            if not self._by_type and not self._by_id:
                end, self._end = self._end, None
        if end is not None:
            end()

    def _tell(self, changes: Sequence[RecordChange]) -> None:
        if self._by_type:
            for type, some in _by_type(changes):
                _push(self._by_type.get(type, ()), some)
        if self._by_id:
            for change in changes:
                group = self._by_id.get((change.segment, change.record.id))
                if group is not None:
                    _push(group, (change,))


def _by_type(changes: Sequence[RecordChange]) -> list[tuple[str, Sequence[RecordChange]]]:
    first = changes[0].segment.type
    if all(change.segment.type == first for change in changes):
        return [(first, changes)]
    found: dict[str, list[RecordChange]] = {}
    for change in changes:
        found.setdefault(change.segment.type, []).append(change)
    return list(found.items())


def _push(group: _Group, changes: Sequence[RecordChange]) -> None:
    for each in group:
        observer = each()
        if observer is not None:
            observer.push(changes)


def change_of(change: RecordChange, prefix: str) -> Change:
    """A change as users see it, its partition by logical key."""
    segment, record = change.segment, change.record
    key = logical_key(prefix, segment.partition) or segment.partition
    return Change(change.kind, segment.type, record.id, key, record.etag, change.origin)
