"""Short histories by hand: the verbs to tell them with, and those that break a promise when one rule is left out."""

from __future__ import annotations

from collections.abc import Sequence
from random import Random
from typing import Final

from tests.simulation.oracle import BrokenPromiseError
from tests.simulation.tier import Tier, drive
from tests.simulation.wire import Request, Run
from tests.simulation.world import HOUR_MS, World

from tierfold.clock import DAY_MS
from tierfold.model import Digest

__all__ = ["CHAIN", "PAIR", "Story"]

PAIR: Final = (None, 0)
CHAIN: Final = (None, 0, 1)


class Story:
    """A world and the verbs of a history, on the partition ``p``: a root, the tier near it, in a chain its child."""

    def __init__(self, parents: Sequence[int | None], *, volatile: Sequence[int] = ()) -> None:
        self.world = World(Random(1), parents, volatile=volatile)
        self.root, self.near, *more = self.world.tiers
        self.child = more[0] if more else self.near

    # --- users ---------------------------------------------------------------------------------------------------

    def save(self, tier: Tier, letter: str = "a") -> Digest:
        self.world.moment.ms += 1
        record = self.world.save(tier, f"p.{letter}")
        assert record is not None
        return record.hash

    def delete(self, tier: Tier, letter: str = "a") -> Digest:
        self.world.moment.ms += 1
        record = self.world.save(tier, f"p.{letter}", delete=True)
        assert record is not None
        return record.hash

    # --- links ---------------------------------------------------------------------------------------------------

    def sync(self, *tiers: Tier) -> Run:
        """A whole run over the partition, of each tier in turn; by default of the one near the root."""
        return [self.world.finish(tier, "p") for tier in tiers or (self.near,)][-1]

    def stop_before(self, near: Tier, method: str) -> Run:
        """A run that has not yet sent a request."""
        run = self.world.start(near, "p")
        while run.request is not None and run.request.method != method:
            self.world.step(run)
        assert run.request is not None, f"the run never asked for {method}"
        return run

    def stop_behind(self, near: Tier, method: str) -> Run:
        """A run that has the answer to a request, and has not used it."""
        run = self.stop_before(near, method)
        self.world.step(run)
        return run

    def finish(self, run: Run) -> None:
        while run.request is not None:
            self.world.step(run)

    def cut_before(self, near: Tier, method: str) -> Request:
        """A run dies before it has sent a request, which is returned: it may arrive late."""
        run = self.stop_before(near, method)
        request = run.request
        run.cut()
        assert request is not None
        return request

    def cut_behind(self, near: Tier, method: str) -> None:
        """A run dies when it has used the answer to a request in the nearer store."""
        run = self.stop_behind(near, method)
        while run.request is not None and not run.request.crosses_the_link:
            self.world.step(run)
        run.cut()

    def lose_answer(self, near: Tier, method: str) -> None:
        """A request arrives, its answer never."""
        self.world.perform(self.cut_before(near, method))

    # --- stores --------------------------------------------------------------------------------------------------

    def days(self, count: float) -> None:
        self.world.moment.ms += int(count * DAY_MS)

    def collect(self, tier: Tier) -> None:
        self.world.collect(tier, "p")

    def evict(self, tier: Tier) -> Request:
        """Let go of the partition; returns what unregisters it."""
        request = self.world.evict(tier, "p")
        assert request is not None
        return request

    def evict_and_unregister(self, tier: Tier) -> None:
        self.world.perform(self.evict(tier))

    def forget_deleted(self, letter: str = "a") -> None:
        """Delete a record at the root, which forgets the delete while nobody looks."""
        self.delete(self.root, letter)
        self.days(9)
        self.collect(self.root)

    # --- promises ------------------------------------------------------------------------------------------------

    def heal(self) -> None:
        self.world.heal(["p"])

    def live(self, tier: Tier) -> set[str]:
        """Letters of the live records."""
        return {id[-1] for id, record in tier.held().items() if not record.deleted}

    @property
    def rules(self) -> list[str]:
        """What the conflict logs of all tiers say, in no order."""
        logs = [drive(tier.store.conflict_log(0, 100)) for tier in self.world.tiers]
        return sorted(entry.rule for log in logs for _, entry in log)

    def promise(self, kept: object, what: str) -> None:
        if not kept:
            raise BrokenPromiseError("promise", what)

    def heal_with(self, live: str, rules: Sequence[str] = ()) -> None:
        """Everybody agrees in the end: on these records, after these decisions."""
        self.heal()
        self.promise(self.live(self.root) == set(live), f"{sorted(self.live(self.root))} are there, not {live}")
        self.promise(self.rules == sorted(rules), f"decided by {self.rules}, not {rules}")


# --- the same write is not a conflict ----------------------------------------------------------------------------


def lost_answer_and_edit() -> None:
    """A lone writer's batch is applied, the answer is lost, and the row is edited again."""
    story = Story(PAIR)
    story.sync()
    story.save(story.near)
    story.lose_answer(story.near, "apply")
    story.save(story.near)
    story.heal_with("a")


def late_batch_of_a_deleted_record() -> None:
    """A batch arrives after later runs have created, deleted and forgotten what it says."""
    story = Story(PAIR)
    story.sync()
    story.save(story.near)
    late = story.cut_before(story.near, "apply")
    story.sync()
    story.delete(story.near)
    story.sync()
    story.days(4)
    story.sync()
    story.collect(story.root)
    story.sync()
    story.collect(story.near)
    story.world.deliver_late(late)
    story.heal_with("")


def edit_between_sending_and_acknowledgement() -> None:
    story = Story(PAIR)
    story.sync()
    story.save(story.near)
    run = story.stop_behind(story.near, "apply")
    newest = story.save(story.near)
    story.finish(run)
    story.heal_with("a")
    story.promise(story.root.held()["p.a"].hash == newest, "the edit did not arrive")


def edit_of_a_record_while_its_batch_is_under_way_and_upstream_edit() -> None:
    """Both edit on top of the acknowledged version, which must be known as their base."""
    story = Story(PAIR)
    story.sync()
    story.save(story.near)
    run = story.stop_behind(story.near, "apply")
    story.save(story.near)
    story.finish(run)
    story.save(story.near)
    story.heal_with("a")


def create_anew_what_was_deleted_and_forgotten() -> None:
    """The base of the new record is a tombstone that the farther side has collected."""
    story = Story(PAIR)
    story.save(story.near)
    story.sync()
    story.delete(story.near)
    story.sync()
    story.days(4)
    story.sync()
    story.collect(story.root)
    story.save(story.near)
    story.heal_with("a")


# --- clocks ------------------------------------------------------------------------------------------------------


def record_from_the_future() -> None:
    """A record is deferred, and meanwhile the farther side changes the same one."""
    story = Story(PAIR)
    story.save(story.root)
    story.sync()
    story.near.offset_ms = HOUR_MS
    story.save(story.near)
    story.near.offset_ms = 0
    run = story.sync()
    story.promise(run.report and run.report.verified is None and run.report.deferred, "verified all the same")
    story.save(story.root)
    story.heal_with("a", ["lww"])


def root_whose_clock_was_fast() -> None:
    """Everybody's stamps are ahead of the wall then, and edits of the root's own records must still be let in."""
    story = Story(PAIR)
    story.root.offset_ms = HOUR_MS
    story.save(story.root)
    story.root.offset_ms = 0
    story.sync()
    newest = story.save(story.near)
    story.sync()
    story.promise(story.root.held()["p.a"].hash == newest, "the edit is held back")
    story.heal_with("a")


# --- known history -----------------------------------------------------------------------------------------------


def farther_store_restored_to_before_what_it_accepted() -> None:
    """It has the position that was pulled last, and not the one of the last acceptance."""
    story = Story(PAIR)
    story.save(story.root)
    story.sync()
    story.root.back_up()
    story.save(story.near)
    story.cut_behind(story.near, "apply")
    story.world.restore(story.root, in_place=True)
    story.save(story.root)
    story.heal_with("a", ["restored"])


def farther_store_restored_after_a_lost_answer_was_asked_for() -> None:
    """The acceptance was learned from an open, and the process died before it read anything."""
    story = Story(PAIR)
    story.save(story.root)
    story.sync()
    story.root.back_up()
    story.save(story.near)
    story.lose_answer(story.near, "apply")
    story.stop_behind(story.near, "settle").cut()
    story.world.restore(story.root, in_place=True)
    story.save(story.root)
    story.heal_with("a", ["restored"])


def farther_store_restored_and_written_past_the_position() -> None:
    story = Story(PAIR)
    story.save(story.root)
    story.sync()
    story.root.back_up()
    story.save(story.root)
    story.sync()
    story.world.restore(story.root, in_place=True)
    story.save(story.root)
    story.save(story.root, "b")
    story.heal_with("ab", ["restored"])


def row_read_by_a_descent_from_a_store_restored_since() -> None:
    """The row was written after the changelog was read, so no position that was pulled covers it."""
    story = Story(PAIR)
    story.save(story.root)
    story.save(story.root, "b")
    story.sync()
    story.root.back_up()
    story.world.damage(story.near, "p.b")
    run = story.stop_behind(story.near, "roots")
    newest = story.save(story.root, "b")
    while newest not in {record.hash for record in story.near.held().values()}:
        story.world.step(run)
    run.cut()
    story.world.restore(story.root, in_place=True)
    story.save(story.root, "b")
    story.heal_with("ab", ["restored"])


def farther_store_restored_while_its_changes_were_read() -> None:
    """The first page ends before the acceptance, which must not be forgotten over it."""
    story = Story(PAIR)
    story.world.page_bytes = 1
    story.save(story.root)
    story.sync()
    story.save(story.near)
    run = story.stop_before(story.near, "apply")
    story.save(story.root, "b")
    story.save(story.root, "c")
    story.root.back_up()
    story.world.step(run)
    story.world.step(run)
    story.world.step(run)
    run.cut()
    story.promise(story.root.held()["p.a"] == story.near.held()["p.a"], "nothing was accepted")
    run = story.stop_behind(story.near, "changes")
    while "p.b" not in story.near.held():
        story.world.step(run)
    run.cut()
    story.world.restore(story.root, in_place=True)
    story.save(story.root)
    story.heal_with("abc", ["restored"])


def farther_store_restored_twice() -> None:
    """A descent learned its history anew, and read a row that was written meanwhile."""
    story = Story(PAIR)
    story.save(story.root)
    story.sync()
    story.root.back_up()
    story.save(story.root)
    story.sync()
    story.world.restore(story.root, in_place=True)
    run = story.stop_before(story.near, "rows")
    story.save(story.root)
    while run.request is not None and run.request.method != "roots":
        story.world.step(run)
    run.cut()
    story.world.restore(story.root, in_place=True)
    story.save(story.root)
    story.heal_with("a", ["restored", "restored"])


def restored_root_behind_a_tier_that_had_let_go() -> None:
    """The middle tier hydrates old data, which its child must not take for the history it knows."""
    story = Story(CHAIN)
    story.save(story.root)
    story.sync(story.near, story.child)
    story.root.back_up()
    story.save(story.child)
    story.sync(story.child, story.near, story.child)
    story.evict_and_unregister(story.near)
    story.world.restore(story.root, in_place=True)
    story.heal_with("a", ["restored"])


def copied_root_behind_a_tier_that_had_let_go() -> None:
    """The same, and the restored root is another store."""
    story = Story(CHAIN)
    story.save(story.root)
    story.sync(story.near, story.child)
    story.root.back_up()
    story.save(story.child)
    story.sync(story.child, story.near, story.child)
    story.evict_and_unregister(story.near)
    story.world.restore(story.root, in_place=False)
    story.heal_with("a", ["restored"])


# --- going back in time ------------------------------------------------------------------------------------------


def nearer_store_restored_to_before_it_pushed() -> None:
    """Its new record was pushed since, deleted and forgotten."""
    story = Story(PAIR)
    story.sync()
    story.save(story.near)
    story.near.back_up()
    story.sync()
    story.delete(story.root)
    story.sync()
    story.days(5)
    story.sync()
    story.collect(story.root)
    story.sync()
    story.world.restore(story.near, in_place=True)
    story.heal_with("", ["restored"])


def nearer_store_restored_after_it_had_let_go() -> None:
    """The same, and the partition was unregistered in between."""
    story = Story(PAIR)
    story.sync()
    story.save(story.near)
    story.near.back_up()
    story.sync()
    story.delete(story.root)
    story.sync()
    story.days(5)
    story.sync()
    story.collect(story.root)
    story.sync()
    story.evict_and_unregister(story.near)
    story.world.restore(story.near, in_place=True)
    story.heal_with("", ["restored"])


def nearer_store_restored_to_before_it_pushed_what_it_had_created_anew() -> None:
    """The record in the backup has a tombstone as its base; it was pushed since, deleted again and forgotten."""
    story = Story(PAIR)
    story.save(story.near)
    story.sync()
    story.delete(story.near)
    story.sync()
    story.save(story.near)
    story.near.back_up()
    story.sync()
    story.delete(story.root)
    story.sync()
    story.days(5)
    story.sync()
    story.collect(story.root)
    story.sync()
    story.world.restore(story.near, in_place=True)
    story.heal_with("", ["restored"])


def nearer_store_restored_while_others_write() -> None:
    """Nothing is verified as long as they do, and still it gets back what it had delivered."""
    story = Story(PAIR)
    story.sync()
    story.near.back_up()
    story.save(story.near)
    story.sync()
    story.world.restore(story.near, in_place=True)
    run = story.stop_before(story.near, "roots")
    story.save(story.root, "b")
    story.finish(run)
    story.promise("a" in story.live(story.near), "its own write came back")
    story.heal_with("ab")


def copy_of_a_nearer_store() -> None:
    """A copied backup is another store, of which the farther side remembers nothing."""
    story = Story(PAIR)
    story.sync()
    story.save(story.near)
    story.near.back_up()
    story.sync()
    story.delete(story.root)
    story.sync()
    story.days(5)
    story.sync()
    story.collect(story.root)
    story.world.restore(story.near, in_place=False)
    story.heal_with("", ["restored"])


def copy_from_before_there_was_an_upstream() -> None:
    """The copied backup was made before the store was ever linked: all it holds was sent, deleted and forgotten."""
    story = Story(PAIR)
    story.save(story.near)
    story.near.back_up()
    story.sync()
    story.delete(story.root)
    story.sync()
    story.days(5)
    story.sync()
    story.collect(story.root)
    story.world.restore(story.near, in_place=False)
    story.heal_with("", ["restored"])


def raised_floor() -> None:
    """A tier notices that its upstream was restored, dies before it tells its new position, and notices again."""
    story = Story(PAIR)
    story.save(story.root)
    story.save(story.root, "b")
    story.sync()
    story.delete(story.root, "b")
    story.sync()
    story.save(story.near, "c")
    story.days(4)
    story.collect(story.root)
    story.root.back_up()
    story.save(story.root)
    story.cut_before(story.near, "apply")
    story.world.restore(story.root, in_place=True)
    story.cut_behind(story.near, "register")
    story.heal_with("ac", ["restored"])


def nearer_store_restored_to_before_a_later_hydration() -> None:
    story = Story(PAIR)
    story.save(story.root)
    story.sync()
    story.near.back_up()
    story.evict(story.near)
    story.sync()
    story.world.restore(story.near, in_place=True)
    story.save(story.near, "b")
    story.heal_with("ab")


# --- several processes -------------------------------------------------------------------------------------------


def stalled_holder_of_the_lease() -> None:
    """A run sleeps behind its batch's answer, others go on, and it wakes up."""
    story = Story(PAIR)
    story.sync()
    story.save(story.near)
    stalled = story.stop_behind(story.near, "apply")
    story.sync()
    story.save(story.near)
    story.lose_answer(story.near, "apply")
    story.save(story.near)
    story.finish(stalled)
    story.heal_with("a")


def page_from_before_a_write_through() -> None:
    """A cache gets a copy of what was saved behind it while an older page is on its way, with the copy before it."""
    story = Story(PAIR, volatile=[1])
    story.save(story.root)
    story.sync()
    story.save(story.root, "b")
    story.world.moment.ms += 1
    story.world.save_through(story.near, "p.a")
    run = story.stop_behind(story.near, "changes")
    story.world.moment.ms += 1
    story.world.save_through(story.near, "p.a")
    story.finish(run)
    story.heal_with("ab")


def farther_tier_lets_go_in_the_middle_of_a_run() -> None:
    """What its child then finds missing was not deleted, and what the child offers was."""
    story = Story(CHAIN)
    story.save(story.root)
    story.sync(story.near, story.child)
    story.save(story.child, "b")
    run = story.stop_behind(story.child, "register")
    story.evict_and_unregister(story.near)
    story.forget_deleted()
    story.finish(run)
    story.heal_with("b")


# --- deletes -----------------------------------------------------------------------------------------------------


def peer_comes_back_after_it_expired() -> None:
    """With a clean copy of what was deleted and forgotten."""
    story = Story(PAIR)
    story.save(story.root)
    story.save(story.root, "b")
    story.sync()
    story.forget_deleted()
    story.heal_with("b")


def lost_answer_and_forgotten_delete() -> None:
    """Created, accepted, the answer lost; deleted and forgotten after the peer expired."""
    story = Story(PAIR)
    story.sync()
    story.save(story.near)
    story.lose_answer(story.near, "apply")
    story.forget_deleted()
    story.heal_with("")


def damaged_farther_store() -> None:
    """It lost one row for no reason: the good copy repairs it."""
    story = Story(PAIR)
    story.save(story.root)
    story.sync()
    story.world.damage(story.root, "p.a")
    story.heal_with("a")


def drop_and_death() -> None:
    """The middle tier drops what was deleted and forgotten, and dies; its child still has it."""
    story = Story(CHAIN)
    story.save(story.root)
    story.save(story.root, "b")
    story.sync(story.near, story.child)
    story.forget_deleted()
    story.cut_behind(story.near, "rows")
    story.promise(story.live(story.near) == {"b"}, "nothing was dropped")
    story.sync(story.child)
    story.heal_with("b")


def hydration_and_death() -> None:
    """The middle tier holds the partition again, and dies before its run is verified; its child still has the row."""
    story = Story(CHAIN)
    story.save(story.root)
    story.save(story.root, "b")
    story.sync(story.near, story.child)
    story.delete(story.root)
    story.evict_and_unregister(story.near)
    story.days(4)
    story.collect(story.root)
    story.cut_before(story.near, "roots")
    story.sync(story.child)
    story.heal_with("b")


def drop_in_the_middle_of_the_childs_run() -> None:
    story = Story(CHAIN)
    story.save(story.root)
    story.save(story.root, "b")
    story.sync(story.near, story.child)
    story.forget_deleted()
    story.save(story.child, "c")
    run = story.stop_behind(story.child, "register")
    story.sync(story.near)
    story.finish(run)
    story.heal_with("bc")


def drop_in_the_middle_of_the_childs_descent() -> None:
    story = Story(CHAIN)
    story.save(story.root)
    story.save(story.root, "b")
    story.sync(story.near, story.child)
    story.forget_deleted()
    story.world.damage(story.near, "p.b")
    run = story.stop_behind(story.child, "roots")
    story.sync(story.near)
    story.finish(run)
    story.heal_with("b")


def collection_between_registration_and_snapshot() -> None:
    """The middle tier let go, and what unregisters it was lost; its new registration has acknowledged nothing."""
    story = Story(CHAIN)
    story.save(story.root)
    story.save(story.root, "b")
    story.sync(story.near, story.child)
    story.delete(story.root)
    story.sync(story.near)
    story.evict(story.near)
    story.days(4)
    run = story.stop_before(story.near, "snapshot_page")
    story.collect(story.root)
    story.promise("p.a" in story.root.held(), "collected below a registration that has seen nothing")
    story.finish(run)
    story.heal_with("b")


def late_unregistration() -> None:
    """Of an earlier hydration: the present one stays registered."""
    story = Story(PAIR)
    story.save(story.root)
    story.sync()
    late = story.evict(story.near)
    story.sync()
    story.world.deliver_late(late)
    story.promise(drive(story.root.store.peers()), "a partition that is held is not registered")
    story.heal_with("a")


def tombstone_of_a_slow_clock() -> None:
    """A fresh delete whose stamp lies below the horizon is not forgotten before it was delivered."""
    story = Story(PAIR)
    story.save(story.root)
    story.save(story.root, "b")
    story.sync()
    story.delete(story.root, "b")
    story.sync()
    story.days(4)
    story.sync()
    story.collect(story.root)
    story.sync()
    story.near.offset_ms = -4 * DAY_MS
    story.delete(story.near)
    story.near.offset_ms = 0
    story.collect(story.near)
    story.heal_with("")


def edit_of_what_was_deleted_and_forgotten() -> None:
    """The delete stands, the edit is in the conflict log, and the editor's own child learns of it."""
    story = Story(CHAIN)
    story.save(story.root)
    story.save(story.root, "b")
    story.sync(story.near, story.child)
    story.forget_deleted()
    story.save(story.near)
    story.sync(story.child, story.near)
    story.heal_with("b", ["deleted-upstream"])


def delete_forgotten_here_before_it_is_forgotten_upstream() -> None:
    """The upstream is restored to before the delete, and nobody else remembers it."""
    story = Story(PAIR)
    story.save(story.root)
    story.save(story.root, "b")
    story.sync()
    story.root.back_up()
    story.delete(story.near)
    story.sync()
    story.days(4)
    story.collect(story.near)
    story.world.restore(story.root, in_place=True)
    story.heal_with("b", ["restored"])


def create_anew_over_a_tombstone_that_counts_no_more() -> None:
    """The middle tier's horizon has passed its tombstone, which it still holds; its child never saw it."""
    story = Story(CHAIN)
    story.save(story.root)
    story.save(story.root, "b")
    story.sync()
    story.delete(story.root)
    story.sync()
    story.days(4)
    story.sync()
    story.collect(story.root)
    story.sync(story.near, story.child)
    story.promise("p.a" in story.near.held(), "the middle tier forgot it, too")
    story.save(story.child)
    story.heal_with("ab")


def tombstones_that_differ_while_live_sums_are_equal() -> None:
    """Deleted on both sides at different times; the older delete is forgotten first."""
    story = Story((None, 0, 0))
    story.save(story.root)
    story.save(story.root, "b")
    story.sync(story.near, story.child)
    story.delete(story.root)
    story.days(1)
    story.delete(story.near)
    story.heal_with("b", ["lww"])
    story.promise(len({tier.held()["p.a"].hash for tier in story.world.tiers}) == 1, "tombstones differ")


def write_while_hydrating() -> None:
    """Hydration merges: what was written meanwhile stays."""
    story = Story(PAIR)
    story.save(story.root)
    run = story.stop_behind(story.near, "snapshot_page")
    newest = story.save(story.near)
    story.finish(run)
    story.heal_with("a", ["lww"])
    story.promise(story.root.held()["p.a"].hash == newest, "the write was overwritten")
