"""One run of a link over all the nearer store holds: compare one number first, then only the partitions concerned."""

from __future__ import annotations

from collections.abc import Iterable

from msgspec import Struct

from tierfold.abc.syncable import NearerStore, PartitionMarks, SyncableStore
from tierfold.link.partition import Terms
from tierfold.link.report import RunReport
from tierfold.model import FeedToken

__all__ = ["Plan", "finish", "plan"]


class Plan(Struct, frozen=True):
    """What a run has to do, and the feed tokens that will be noted when it is done. Nothing to do = verified.

    Attributes:
        named: Partitions that the farther feed names, held here or not.
    """

    partitions: tuple[str, ...]
    named: tuple[str, ...]
    far_token: FeedToken
    own_token: FeedToken


async def plan(near: NearerStore, far: SyncableStore, terms: Terms, noted: FeedToken | None) -> Plan:
    """Find the partitions that need a run: named by a feed, with rows to deliver, or wanted by a reader."""
    theirs = await far.scope_root(terms.peer)
    own = await near.own_root()
    pending = await near.pending()
    if theirs.root == own.root and not pending and noted == theirs.token:
        return Plan((), (), theirs.token, own.token)
    changed = await _changed(near, far, terms, noted)
    presence = await near.partitions()
    names = [*pending, *(name for name in changed if presence.get(name) == "present" and name not in pending)]
    if not names and theirs.root != own.root:
        names = [name for name, state in presence.items() if state == "present"]
    return Plan(tuple(names), tuple(changed), theirs.token, own.token)


async def _changed(near: NearerStore, far: SyncableStore, terms: Terms, noted: FeedToken | None) -> list[str]:
    """Partitions that the farther feed names; those that were absent there when last looked for are so no more.

    A feed that begins anew may be that of a restored store, which cannot name what it lost: then all that is held.
    """
    feed = await far.feed(noted)
    changed = dict.fromkeys(name.partition for name in feed.segments)
    await _doubt_absence(near, terms, changed)
    presence = await near.partitions()
    held = [name for name, state in presence.items() if state == "present"] if feed.whole else []
    return list(dict.fromkeys((*changed, *held)))


async def _doubt_absence(near: NearerStore, terms: Terms, named: Iterable[str]) -> None:
    presence = await near.partitions()
    for name in named:
        if presence.get(name) == "absent":
            await near.mark_partition(name, PartitionMarks(presence="unknown"), terms.token)


async def finish(
    near: NearerStore, far: SyncableStore, terms: Terms, done: Plan, report: RunReport
) -> FeedToken | None:
    """Note how far both feeds are dealt with; returns the farther token noted, None after an unclean run.

    After a run that moved something the feeds contain that run's own writes. If both sides are equal now, they need no
    look. A partition that was found absent during the run, by a reader who asked before it was created, is so no more.
    """
    if not report.verified or report.failed:
        return None
    await _doubt_absence(near, terms, done.named)
    far_token, own_token = done.far_token, done.own_token
    if report.moved:
        theirs, own = await far.scope_root(terms.peer), await near.own_root()
        await _changed(near, far, terms, far_token)
        if theirs.root == own.root and not await near.pending():
            far_token, own_token = theirs.token, own.token
    await near.note_feed(terms.link, far_token, own_token, terms.token)
    return far_token
