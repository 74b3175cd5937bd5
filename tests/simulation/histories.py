"""Random histories: one seed, one history. What happens how often is decided by the kind of history."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from random import Random
from typing import Final

from msgspec import Struct
from msgspec.structs import replace
from tests.simulation.oracle import BrokenPromiseError
from tests.simulation.tier import Tier, drive
from tests.simulation.wire import Request, Run
from tests.simulation.world import HOUR_MS, World

from tierfold.clock import DAY_MS
from tierfold.kv.store import KvStore
from tierfold.model import ANY, Digest

__all__ = ["KINDS", "History", "Kind", "Weights", "fates"]

TREES: Final = (
    (None, 0),
    (None, 0, 0),
    (None, 0, 1),
    (None, 0, 1, 1),
    (None, 0, 0, 1),
    (None, 0, 1, 2),
)


class Weights(Struct, frozen=True):
    """How often each event happens, relative to the others."""

    save: int = 30
    delete: int = 6
    compare_and_set: int = 4
    begin: int = 14
    step: int = 90
    cut: int = 3
    lose_answer: int = 3
    delay: int = 2
    repeat: int = 3
    arrive_late: int = 3
    sync: int = 6
    agree: int = 0
    absence: int = 0
    pause: int = 2
    crash: int = 0
    skew: int = 0
    pass_days: int = 0
    back_up: int = 0
    restore: int = 0
    evict: int = 0
    collect: int = 0
    steal: int = 0


class Kind(Struct, frozen=True):
    """A kind of history.

    Attributes:
        partitions: ``p`` alone, or ``p`` and ``q``.
        letters: Ids of a partition; ``n`` is of a second entity type.
        processes: Programs per store, each with an error of its clock.
        volatile: Whether some leaves lose their rows in a crash.
        through: Volatile leaves are caches: saves go to the tier behind.
        writers: ``all``, ``one`` at a single tier, or ``turns``: everything is synced before another one writes.
        slow_clocks: Clocks are days behind; otherwise wrong by an hour at most.
        long_pause_days: Upper limit of what `Weights.pass_days` lets pass.
        sequential: Nobody ever writes concurrently, so every conflict is a false one.
        loses_history: Backups are restored or deletes forgotten, so some conflicts are unavoidably between a version
            and what took its place.
    """

    weights: Weights = Weights()
    partitions: tuple[str, ...] = ("p",)
    letters: str = "ab"
    processes: int = 1
    volatile: bool = False
    through: bool = False
    writers: str = "all"
    slow_clocks: bool = False
    long_pause_days: int = 3

    @property
    def sequential(self) -> bool:
        return self.writers != "all"

    @property
    def loses_history(self) -> bool:
        return self.weights.restore > 0 or self.weights.collect > 0


_USUAL: Final = Weights()
_DELETING: Final = replace(_USUAL, save=16, delete=14, step=60, sync=25, agree=3, absence=4, pass_days=5, collect=12)

KINDS: Final[Mapping[str, Kind]] = {
    "plain": Kind(),
    "two_types": Kind(replace(_USUAL, crash=1), letters="abn"),
    "crashes": Kind(replace(_USUAL, crash=4, steal=2)),
    "clocks": Kind(replace(_USUAL, skew=6, crash=1)),
    "processes": Kind(replace(_USUAL, steal=6, crash=2, compare_and_set=15), processes=2),
    "evictions": Kind(replace(_USUAL, evict=5, crash=1), partitions=("p", "q")),
    "collections": Kind(_DELETING),
    "evictions_and_collections": Kind(replace(_DELETING, evict=4, crash=1)),
    "expiry": Kind(replace(_DELETING, pass_days=8, pause=6), long_pause_days=5),
    "restores": Kind(replace(_USUAL, back_up=6, restore=6, crash=1, sync=15, agree=2)),
    "readers": Kind(
        replace(_USUAL, evict=8, crash=2, steal=1, back_up=2, restore=2, sync=10, agree=2), partitions=("p", "q", "r")
    ),
    "restores_and_collections": Kind(replace(_DELETING, back_up=6, restore=6)),
    "slow_clocks": Kind(replace(_DELETING, skew=5, evict=1), slow_clocks=True),
    "volatile": Kind(replace(_USUAL, crash=6, pass_days=1, collect=2), volatile=True),
    "caches": Kind(replace(_USUAL, crash=4, compare_and_set=8), volatile=True, through=True),
    "one_writer": Kind(replace(_USUAL, crash=3, steal=2, evict=2), writers="one"),
    "one_writer_and_collections": Kind(replace(_DELETING, evict=2), writers="one"),
    "turns": Kind(replace(_USUAL, steal=1, crash=2), writers="turns"),
    "turns_and_collections": Kind(_DELETING, writers="turns"),
    "everything": Kind(
        replace(_DELETING, crash=3, steal=2, skew=3, evict=3, back_up=4, restore=3, pause=3),
        partitions=("p", "q"),
        letters="an",
        volatile=True,
    ),
}


class History:
    """One history of a kind: events drawn from the seed, then healing."""

    def __init__(self, kind: Kind, seed: int, events: int = 120, *, indexed: bool = False) -> None:
        self.kind, self._events, self._indexed = kind, events, indexed
        self._random = random = Random(seed)
        parents = random.choice(TREES)
        leaves = [number for number in range(1, len(parents)) if number not in parents]
        volatile = [leaf for leaf in leaves if kind.volatile and (kind.through or random.random() < 0.5)]
        self.world = World(random, parents, volatile=volatile, page_bytes=random.choice((1, 100, 5_000)))
        self._ids = [f"{partition}.{letter}" for partition in kind.partitions for letter in kind.letters]
        self._writers = [random.choice(self.world.tiers)] if kind.writers == "one" else list(self.world.tiers)
        self._read: dict[tuple[Tier, str], Digest] = {}
        self._what: dict[str, Callable[[], None]] = {
            name: getattr(self, f"_{name}") for name in Weights.__struct_fields__
        }

        for number in volatile if kind.through else ():
            self.world.connect(self.world.tiers[number])

    def run(self) -> World:
        """Let it happen.

        Raises:
            BrokenPromiseError: A promise was broken.
        """
        weights = [getattr(self.kind.weights, name) for name in self._what]
        for event in self._random.choices(list(self._what), weights, k=self._events):
            self.world.moment.ms += self._random.randrange(1, 1500)
            self._what[event]()
            for tier in self.world.tiers if self._indexed else ():
                tier.tend_indexes()
        self.world.heal(self.kind.partitions)
        if self.kind.sequential and self.world.oracle.conflicts:
            raise BrokenPromiseError(
                "false conflict", f"{self.world.oracle.conflicts} though nobody wrote concurrently"
            )
        return self.world

    # --- writes --------------------------------------------------------------------------------------------------

    def _save(self, *, delete: bool = False) -> None:
        writer = self._writer()
        if writer is not None:
            self._write(writer, self._random.choice(self._ids), delete=delete)

    def _delete(self) -> None:
        self._save(delete=True)

    def _compare_and_set(self) -> None:
        """Read, then write later only if nobody else wrote in between."""
        writer = self._writer()
        id = self._random.choice(self._ids)
        if writer is None:
            return
        if (writer, id) not in self._read or self._random.random() < 0.5:
            record = writer.held().get(id)
            self._read[writer, id] = record.hash if record else Digest(b"")
        if self._read[writer, id]:
            self._write(writer, id, expected=self._read[writer, id])

    def _write(self, writer: Tier, id: str, *, delete: bool = False, expected: Digest = ANY) -> None:
        if self.kind.sequential and not self._has_read(writer, id):
            return
        if self.kind.through and not writer.durable:
            self.world.save_through(writer, id, delete=delete, expected=expected)
            return
        self.world.save(writer, id, delete=delete, expected=expected, process=self._process(writer))

    @staticmethod
    def _has_read(writer: Tier, id: str) -> bool:
        """A lone writer reads before it writes; what it has let go of it cannot read now."""
        view = drive(writer.store.view(id.partition(".")[0]))
        return view.presence == "present" or view.generation == 0

    def _writer(self) -> Tier | None:
        writer = self._random.choice(self._writers)
        if self.kind.writers == "turns" and (writer is not self._writers[0] or self._random.random() < 0.1):
            return self._hand_over(writer)
        return writer

    def _hand_over(self, writer: Tier) -> Tier | None:
        """Sync everything before another one writes."""
        self.world.settle_down(self.kind.partitions)
        self._writers.remove(writer)
        self._writers.insert(0, writer)
        return writer

    def _process(self, tier: Tier) -> KvStore:
        while len(tier.processes) < self.kind.processes:
            tier.processes.append(tier.open_process(self._random.choice((-3000, 0, 3000))))
        return self._random.choice(tier.processes)

    # --- links ---------------------------------------------------------------------------------------------------

    def _near(self) -> Tier:
        return self._random.choice(self.world.nearer)

    def _partition(self) -> str:
        return self._random.choice(self.kind.partitions)

    def _is_running(self, near: Tier) -> bool:
        return any(run.near is near for run in self.world.runs)

    def _begin(self, *, steal: bool = False) -> None:
        near = self._near()
        if near.paused:
            return
        if self._is_running(near) and not steal:
            self._begin_beside(near)
            return
        partition = None if self._random.random() < 0.3 else self._partition()
        self.world.runs.append(self.world.start(near, partition, self._process(near)))

    def _begin_beside(self, near: Tier) -> None:
        """A layer brings a partition down for a reader while it syncs another one."""
        running = [run for run in self.world.runs if run.near is near]
        free = [partition for partition in self.kind.partitions if partition not in {run.partition for run in running}]
        if free and running[0].partition is not None and len({run.holder for run in running}) == 1:
            self.world.runs.append(self.world.start_beside(running[0], self._random.choice(free)))

    def _steal(self) -> None:
        self._begin(steal=True)

    def _sync(self) -> None:
        near = self._near()
        if not near.paused and not self._is_running(near):
            self.world.finish(near, self._partition())

    def _agree(self) -> None:
        """Everybody is online at once, for a moment."""
        self.world.settle_down(self.kind.partitions)

    def _advance(self, run: Run, steps: int) -> bool:
        """Let a run go on; whether it is still under way."""
        for _ in range(steps):
            if run.request is not None:
                self.world.step(run)
        if run.request is None:
            self.world.runs.remove(run)
            if run.refused is not None and run.far.far is not None and not self._is_running(run.far):
                self.world.runs.append(self.world.start(run.far, run.refused))
            return False
        return True

    def _step(self) -> None:
        if self.world.runs:
            self._advance(self._random.choice(self.world.runs), self._random.randrange(1, 9))

    def _before_a_crossing(self) -> tuple[Run, Request] | None:
        """Bring some run to where it has asked the farther side something."""
        if not self.world.runs:
            return None
        run = self._random.choice(self.world.runs)
        if not self._advance(run, self._random.randrange(6)):
            return None
        while run.request is not None and not run.request.crosses_the_link:
            if not self._advance(run, 1):
                return None
        assert run.request is not None
        return run, run.request

    def _end(self, run: Run) -> None:
        run.cut()
        self.world.runs.remove(run)

    def _cut(self) -> None:
        """The connection breaks before the request arrives."""
        found = self._before_a_crossing()
        if found is not None:
            self.world.log(f"  cut before {found[1]}")
            self._end(found[0])

    def _lose_answer(self) -> None:
        found = self._before_a_crossing()
        if found is not None:
            self.world.deliver_late(found[1])
            self.world.log("  its answer is lost")
            self._end(found[0])

    def _delay(self) -> None:
        """The run gives up; the request is still on its way."""
        found = self._before_a_crossing()
        if found is not None:
            self.world.late.append(found[1])
            self._end(found[0])

    def _repeat(self) -> None:
        """The request arrives, and once more later."""
        found = self._before_a_crossing()
        if found is not None:
            self.world.late.append(found[1])
            self._advance(found[0], 1)

    def _arrive_late(self) -> None:
        late = self.world.late
        if late:
            self.world.deliver_late(late.pop(self._random.randrange(len(late))))

    def _pause(self) -> None:
        near = self._near()
        near.paused = not near.paused and self._random.random() < 0.5

    # --- what happens to stores ----------------------------------------------------------------------------------

    def _tier(self) -> Tier:
        return self._random.choice(self.world.tiers)

    def _crash(self) -> None:
        tier = self._tier()
        self.world.crash(tier)
        if self.kind.through and not tier.durable:
            self.world.connect(tier)

    def _skew(self) -> None:
        tier, random = self._tier(), self._random
        if self.kind.slow_clocks:
            tier.offset_ms = -random.randrange(5 * DAY_MS)
        else:
            tier.offset_ms = random.choice((0, 0, -5000, 5000, random.randrange(-HOUR_MS, HOUR_MS)))
        self.world.log(f"skew {tier.name} {tier.offset_ms}")

    def _pass_days(self) -> None:
        self.world.moment.ms += self._random.randrange(DAY_MS // 2, self.kind.long_pause_days * DAY_MS)
        self.world.log(f"day {self.world.moment.ms // DAY_MS}")

    def _back_up(self) -> None:
        tier = self._tier()
        self.world.log(f"back up {tier.name}")
        tier.back_up()

    def _restore(self) -> None:
        tier = self._tier()
        if tier.backup is not None and tier.durable:
            self.world.restore(tier, in_place=self._random.random() < 0.5)

    def _evict(self) -> None:
        near = self._near()
        if not near.paused and not self._is_running(near):
            self._let_go(near)

    def _let_go(self, near: Tier) -> None:
        unregister = self.world.evict(near, self._partition())
        draw = self._random.random()
        if unregister is not None and draw < 0.6:
            self.world.deliver_late(unregister)
        elif unregister is not None and draw < 0.9:
            self.world.late.append(unregister)

    def _absence(self) -> None:
        """One tier is away while the others delete, agree and forget."""
        away, world = self._near(), self.world
        if self._random.random() < 0.5:
            self._let_go(away)
        before = [tier for tier in world.nearer if tier is not away]
        for _ in range(self._random.randrange(1, 3)):
            self._delete()
        for _ in range(self._random.randrange(1, 4)):
            world.settle_down(self.kind.partitions, before)
            world.moment.ms += self._random.randrange(DAY_MS, 3 * DAY_MS)
        for tier in world.tiers:
            for partition in self.kind.partitions:
                world.collect(tier, partition)

    def _collect(self) -> None:
        self.world.collect(self._tier(), self._partition())


def fates(name: str, seeds: range, events: int, *, indexed: bool = False) -> list[str]:
    """Run histories of a kind; a line for each one that broke a promise, with what it takes to see it again."""
    found = []
    for seed in seeds:
        history = History(KINDS[name], seed, events, indexed=indexed)
        try:
            history.run()
        except BrokenPromiseError as violation:
            found.append(f"History(KINDS[{name!r}], {seed}, {events}): {violation}")
        else:
            lies = history.world.oracle.false_conflicts
            if lies and not KINDS[name].loses_history:
                found.append(f"History(KINDS[{name!r}], {seed}, {events}): false conflict {lies[0]}")
    return found
