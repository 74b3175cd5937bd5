"""Files that are copied, and files that go back in time: it is noticed, and nothing is lost that anybody else has."""

from __future__ import annotations

from pathlib import Path
from typing import Final

import anyio
import pytest
from tests.processes.program import Note
from tests.processes.programs import Holdings, back_up, examine, restore, text_of, url

import tierfold
from tierfold.model import SegmentName, Stamp

BERGEN: Final = SegmentName("Note", "app.bergen")


class Site:
    """A nearer and a farther store."""

    def __init__(self, directory: Path) -> None:
        self.near, self.far, self.copy = directory / "near", directory / "far", directory / "copy"

    def save(self, directory: Path, **texts: str | None) -> None:
        """Save notes, or delete them (None), in this one store only, as a program does offline."""

        async def run() -> None:
            async with tierfold.open(url(directory)) as data:
                for name, text in texts.items():
                    if text is None:
                        await data.repo(Note).delete(f"oslo.{name}")
                    else:
                        await data.repo(Note).save(Note(site="oslo", name=name, text=text))

        anyio.run(run)

    def sync(self, near: Path | None = None) -> tuple[Holdings, Holdings]:
        """Bring a nearer store and the farther one into agreement, and close both."""
        near = near or self.near

        async def run() -> None:
            async with tierfold.open(url(near), url(self.far)) as data:
                await data.repo(Note).get("oslo.a")
                assert (await data.sync_now(timeout_s=10)).verified

        anyio.run(run)
        return examine(near), examine(self.far)

    def stamps(self, directory: Path, count: int) -> set[Stamp]:
        """Stamps of notes saved at a clock that stands still."""

        async def run() -> None:
            async with tierfold.open(url(directory), clock=lambda: 4_000_000_000_000) as data:
                for number in range(count):
                    await data.repo(Note).save(Note(site="bergen", name=str(number), text=""))

        anyio.run(run)
        return {record.stamp for record in examine(directory).content[BERGEN].values()}


@pytest.fixture
def site(tmp_path: Path) -> Site:
    site = Site(tmp_path)
    site.save(site.near, a="1", b="1")
    site.sync()
    return site


def conflicts(holdings: Holdings) -> list[tuple[str, str | None, str]]:
    """Rule, winner and loser of every decision that was logged."""
    return [
        (entry.rule, text_of(entry.winner) if entry.winner else None, text_of(entry.loser))
        for entry in holdings.conflicts
    ]


# --- copies ------------------------------------------------------------------------------------------------------


def test_a_copied_file_becomes_another_store_and_its_partitions_are_marked(site: Site) -> None:
    restore(site.copy, back_up(site.near))
    original, copy = examine(site.near), examine(site.copy)
    assert copy.store != original.store
    assert copy.node != original.node
    assert copy.incarnations == original.incarnations + 1
    assert copy.content == original.content
    assert (copy.gone_back, original.gone_back) == ({"app.oslo"}, set())
    again = examine(site.copy)
    assert (again.store, again.incarnations) == (copy.store, copy.incarnations)


def test_a_copy_and_its_original_write_at_the_same_time_and_all_of_it_stays(site: Site) -> None:
    restore(site.copy, back_up(site.near))
    site.save(site.near, a="original", c="original")
    site.save(site.copy, b="copy", d="copy")
    site.sync(site.copy)
    site.sync()
    copy, far = site.sync(site.copy)
    near = examine(site.near)
    assert near.texts() == {"oslo.a": "original", "oslo.b": "copy", "oslo.c": "original", "oslo.d": "copy"}
    assert near.content == far.content == copy.content
    assert copy.gone_back == set()
    assert conflicts(near) == conflicts(copy) == []


def test_a_copy_and_its_original_never_make_equal_stamps(site: Site) -> None:
    restore(site.copy, back_up(site.near))
    assert len(site.stamps(site.near, 20) | site.stamps(site.copy, 20)) == 40


def test_an_old_copy_that_replaces_a_lost_store_takes_over_what_the_lost_one_delivered(site: Site) -> None:
    backup = back_up(site.near)
    site.save(site.near, a="2", c="1")
    site.sync()
    restore(site.copy, backup)
    copy, far = site.sync(site.copy)
    assert copy.texts() == {"oslo.a": "2", "oslo.b": "1", "oslo.c": "1"}
    assert copy.content == far.content


# --- the nearer store goes back in time --------------------------------------------------------------------------


def test_a_nearer_store_restored_in_place_is_noticed_and_gets_back_what_it_delivered(site: Site) -> None:
    backup, before = back_up(site.near), examine(site.near)
    site.save(site.near, a="2", c="1")
    site.sync()
    restore(site.near, backup)
    near, far = site.sync()
    assert near.store == before.store
    assert near.incarnations > before.incarnations
    assert near.texts() == {"oslo.a": "2", "oslo.b": "1", "oslo.c": "1"}
    assert near.content == far.content
    assert near.gone_back == set()
    assert conflicts(near) == []


def test_a_write_after_a_restore_meets_what_was_delivered_before_it_as_a_conflict_named_restored(site: Site) -> None:
    backup = back_up(site.near)
    site.save(site.near, a="2", c="1")
    site.sync()
    restore(site.near, backup)
    site.save(site.near, a="3", d="1")
    near, far = site.sync()
    assert near.texts() == {"oslo.a": "3", "oslo.b": "1", "oslo.c": "1", "oslo.d": "1"}
    assert near.content == far.content
    assert conflicts(near) == [("restored", "3", "2")]


def test_a_delete_that_was_delivered_is_not_undone_by_a_restore(site: Site) -> None:
    backup = back_up(site.near)
    site.save(site.near, a=None)
    site.sync()
    restore(site.near, backup)
    near, far = site.sync()
    assert near.texts() == far.texts() == {"oslo.b": "1"}


def test_a_batch_sent_after_a_restore_is_not_taken_for_one_sent_before_it(site: Site) -> None:
    """The restored store counts its batches again from where the backup stood."""
    backup = back_up(site.near)
    for number in range(4):
        site.save(site.near, c=str(number))
        site.sync()
    restore(site.near, backup)
    site.save(site.near, d="new", e="new")
    near, far = site.sync()
    assert far.texts() == {"oslo.a": "1", "oslo.b": "1", "oslo.c": "3", "oslo.d": "new", "oslo.e": "new"}
    assert near.content == far.content


# --- the farther store goes back in time -------------------------------------------------------------------------


def test_what_a_restored_farther_store_forgot_is_delivered_again(site: Site) -> None:
    backup = back_up(site.far)
    site.save(site.near, a="2", c="1")
    site.sync()
    restore(site.far, backup)
    near, far = site.sync()
    assert far.texts() == {"oslo.a": "2", "oslo.b": "1", "oslo.c": "1"}
    assert near.content == far.content


def test_a_clean_row_is_not_overwritten_by_a_farther_store_that_was_restored_and_written_to(site: Site) -> None:
    """Backed up at 1, accepted A, restored in place, wrote X: position 1 was valid and clean A was overwritten."""
    backup = back_up(site.far)
    site.save(site.near, a="A")
    site.sync()
    restore(site.far, backup)
    site.save(site.far, b="X", c="X")
    near, far = site.sync()
    assert near.texts() == {"oslo.a": "A", "oslo.b": "X", "oslo.c": "X"}
    assert near.content == far.content
    assert {rule for rule, _, _ in conflicts(near)} == {"restored"}
    assert ("restored", "A", "1") in conflicts(near)


def test_what_both_sides_wrote_around_a_restore_of_the_farther_one_is_decided_and_logged(site: Site) -> None:
    backup = back_up(site.far)
    site.save(site.near, a="A")
    site.sync()
    restore(site.far, backup)
    site.save(site.far, a="X")
    near, far = site.sync()
    assert near.texts() == far.texts() == {"oslo.a": "X", "oslo.b": "1"}
    assert conflicts(near) == [("restored", "X", "A")]
