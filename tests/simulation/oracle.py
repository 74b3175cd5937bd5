"""What a history of many stores must never do, judged from outside: from rows, commits and conflict logs alone.

Every record ever stored is a version. A version *covers* another when it replaced it knowingly: by a local write over
it, by a logged decision, or by a delete of it that was collected since.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Container, Iterable, Mapping

from tierfold.abc.syncable import ConflictEntry
from tierfold.clock import day_of
from tierfold.model import Digest, Record

__all__ = ["BrokenPromiseError", "Oracle"]


class BrokenPromiseError(Exception):
    """The history broke a promise."""

    def __init__(self, kind: str, what: str) -> None:
        super().__init__(f"{kind}: {what}")
        self.kind = kind


class _Version:
    __slots__ = ("bit", "covers", "day", "deleted", "id", "name")

    def __init__(self, number: int, record: Record) -> None:
        self.name = f"#{number}"
        self.bit = self.covers = 1 << number
        self.id, self.deleted, self.day = record.id, record.deleted, day_of(record.stamp)


class Oracle:
    """Knows every version, what covers what, and what was acknowledged to a user."""

    def __init__(self) -> None:
        self._versions: dict[bytes, _Version] = {}
        self._by_id: dict[str, list[_Version]] = {}
        self.acknowledged: list[tuple[Digest, str]] = []
        self._excused = 0
        self._decided: set[tuple[bytes, bytes]] = set()
        self.conflicts = 0
        self.false_conflicts: list[str] = []
        self.seen: Counter[str] = Counter()

    # --- versions ------------------------------------------------------------------------------------------------

    def note(self, record: Record) -> None:
        """A version exists."""
        if record.hash not in self._versions:
            version = self._versions[record.hash] = _Version(len(self._versions), record)
            self._by_id.setdefault(version.id, []).append(version)

    def ids(self) -> list[str]:
        return list(self._by_id)

    def name(self, hash: bytes | None) -> str:
        return self._versions[hash].name if hash else "-"

    def covers(self, new: bytes, old: bytes) -> bool:
        """Whether ``new`` took the place of ``old``, directly or not; every version covers itself."""
        return self._versions[new].covers & self._versions[old].bit != 0

    def replaced(self, old: bytes, new: bytes) -> None:
        """``new`` took the place of ``old`` rightly."""
        self._cover(self._versions[new], self._versions[old])

    def _cover(self, new: _Version, old: _Version) -> None:
        if not new.covers & old.bit:
            for version in self._by_id[new.id]:
                if version.covers & new.bit:
                    version.covers |= old.covers

    # --- excuses: what nobody can be blamed for -------------------------------------------------------------------

    def excuse(self, hash: bytes) -> None:
        """The version may vanish: its only copy was lost on purpose, or it is kept in a conflict log."""
        self._excused |= self._versions[hash].bit

    def excuse_if_restored(self, tombstone: bytes, restored: Iterable[bytes]) -> None:
        """A delete was forgotten on the word of an upstream that was restored since: what that holds may come back."""
        bit = self._versions[tombstone]
        if any(bit.covers & self._versions[hash].bit and not self._versions[hash].deleted for hash in restored):
            self._excused |= bit.bit

    def excuse_deletes_of(self, hash: bytes) -> None:
        """The version may come back: its store offers it to one whose history it does not know."""
        version = self._versions[hash]
        for each in self._by_id[version.id]:
            if each.deleted and each.covers & version.bit:
                self._excused |= each.bit

    def _leads_to_excused(self, version: _Version) -> bool:
        return any(other.covers & version.bit for other in self._by_id[version.id] if self._excused & other.bit)

    def excuse_lost(self, here: Iterable[bytes], horizons: Mapping[str, int], delivered: Container[bytes]) -> None:
        """A store lost data on purpose: what nobody else holds is nobody's fault.

        Args:
            here: Every version that any store holds now.
            horizons: By id, the day below which the store's upstreams have forgotten deletes, rightly.
            delivered: Versions that one of them ever held.
        """
        held = list(here)
        at_risk = {hash for hash, _ in self.acknowledged} | {h for h, each in self._versions.items() if each.deleted}
        for hash in at_risk:
            version = self._versions[hash]
            if self._excused & version.bit or self._covered(version, held):
                continue
            if version.deleted:
                forgotten = hash in delivered and horizons.get(version.id, 0) > version.day
            else:
                forgotten = any(
                    each.deleted and each.covers & version.bit and not self._excused & each.bit
                    for each in self._by_id[version.id]
                )
            if not forgotten:
                self._excused |= version.bit

    def _covered(self, version: _Version, held: Iterable[bytes]) -> bool:
        return any(self._versions[hash].covers & version.bit for hash in held)

    # --- what stores do ------------------------------------------------------------------------------------------

    def saved(self, record: Record, replaced: Digest, where: str, known_deletes: Iterable[bytes] = ()) -> None:
        """A user's write was acknowledged.

        Args:
            known_deletes: Tombstones that the store had, and collected or let sink below its horizon.
        """
        self.note(record)
        for old in (replaced, *known_deletes):
            if old:
                self.replaced(old, record.hash)
        self.acknowledged.append((record.hash, where))

    def deletes_below(self, id: str, horizon: int) -> list[bytes]:
        """Tombstones of an id of days below a horizon."""
        versions = self._versions.items()
        return [hash for hash, each in versions if each.id == id and each.deleted and each.day < horizon]

    def fast_forwarded(self, old: bytes, new: bytes, where: str, horizon: int = 0) -> None:
        """A link replaced ``old`` without logging a conflict: only right when ``new`` covers it.

        Args:
            horizon: Deletes below it may have been forgotten and the id created anew: that covers ``old`` too.
        """
        version, newer = self._versions[old], self._versions[new]
        for each in self._by_id[version.id]:
            if each.deleted and each.covers & version.bit and each.day < horizon:
                self._cover(newer, each)
        if not self.covers(new, old) and not self._leads_to_excused(version):
            raise BrokenPromiseError("missed conflict", f"{where}: {version.name} was overwritten by {newer.name}")

    def dropped(self, old: bytes, where: str) -> None:
        """A link let a row go: only right when it was deleted."""
        version = self._versions[old]
        deleted = any(each.deleted and each.covers & version.bit for each in self._by_id[version.id])
        if not deleted and not self._leads_to_excused(version):
            raise BrokenPromiseError("dropped a live record", f"{where}: {version.name}")

    def decided(self, entry: ConflictEntry, now: Digest | None, where: str) -> None:
        """A conflict was logged, and the row is ``now``."""
        self.note(entry.loser)
        self.conflicts += 1
        self.seen[f"conflict {entry.rule}"] += 1
        if entry.winner is None:
            self._buried(entry, now, where)
            return
        self.note(entry.winner)
        winner, loser = entry.winner.hash, entry.loser.hash
        if now != winner:
            raise BrokenPromiseError(
                "decision not carried out", f"{where}: {self.name(winner)} won, {self.name(now)} is there"
            )
        is_false = self.covers(winner, loser) or self.covers(loser, winner)
        if is_false and (winner, loser) not in self._decided:
            self.false_conflicts.append(f"{where}: {self.name(winner)} over {self.name(loser)} ({entry.rule})")
        self._decided |= {(winner, loser), (loser, winner)}
        self.replaced(loser, winner)

    def _buried(self, entry: ConflictEntry, now: Digest | None, where: str) -> None:
        if now is None or not self._versions[now].deleted:
            raise BrokenPromiseError(
                "decision not carried out", f"{where}: no tombstone over {self.name(entry.loser.hash)}"
            )
        self.replaced(entry.loser.hash, now)
        self.excuse(entry.loser.hash)

    # --- the end -------------------------------------------------------------------------------------------------

    def check_acknowledged(self, held: Iterable[bytes]) -> None:
        """No acknowledged write is missing unless something took its place; nothing deleted is back."""
        here = list(held)
        for acknowledged, where in self.acknowledged:
            version = self._versions[acknowledged]
            if self._excused & version.bit or self._covered(version, here) or self._leads_to_excused(version):
                continue
            if version.deleted:
                self._check_delete(version, here, where)
            elif not any(each.deleted and each.covers & version.bit for each in self._by_id[version.id]):
                raise BrokenPromiseError("lost", f"{version.name} ({version.id}), written at {where}")
        for hash in here:
            self._check_not_resurrected(self._versions[hash])

    def _check_delete(self, tombstone: _Version, held: Iterable[bytes], where: str) -> None:
        """A delete that is forgotten everywhere is fine as long as what it deleted is, too."""
        for hash in held:
            version = self._versions[hash]
            if tombstone.covers & version.bit and not version.deleted:
                raise BrokenPromiseError("resurrected", f"{version.name} ({version.id}), deleted at {where}")

    def _check_not_resurrected(self, version: _Version) -> None:
        if version.deleted:
            return
        for each in self._by_id[version.id]:
            back = each.deleted and each.covers & version.bit and not version.covers & each.bit
            if back and not self._excused & each.bit and not self._leads_to_excused(each):
                raise BrokenPromiseError("resurrected", f"{version.name} ({version.id}) was deleted by {each.name}")
