"""Every story keeps its promise, and breaks it as soon as the rule it is about is switched off."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import Final

import pytest
from tests.simulation import stories
from tests.simulation.oracle import BrokenPromiseError
from tests.simulation.without import WITHOUT

Tell = Callable[[], None]


def _is_story(thing: object) -> bool:
    return inspect.isfunction(thing) and thing.__module__ == stories.__name__


STORIES: Final[dict[str, Tell]] = {name: thing for name, thing in vars(stories).items() if _is_story(thing)}

BREAKS: Final[dict[str, Tell]] = {
    "seen": stories.farther_store_restored_to_before_what_it_accepted,
    "unknown history": stories.farther_store_restored_and_written_past_the_position,
    "raised floors": stories.restored_root_behind_a_tier_that_had_let_go,
    "raised floors under another upstream": stories.copied_root_behind_a_tier_that_had_let_go,
    "what is remembered of peers": stories.nearer_store_restored_after_it_had_let_go,
    "marking a copy": stories.copy_of_a_nearer_store,
    "telling floors from going back": stories.raised_floor,
    "own rows after going back": stories.nearer_store_restored_while_others_write,
    "newer generations": stories.nearer_store_restored_to_before_a_later_hydration,
    "kept answers": stories.lost_answer_and_edit,
    "batch numbers": stories.late_batch_of_a_deleted_record,
    "acknowledgement by hash": stories.edit_between_sending_and_acknowledgement,
    "acknowledged bases": stories.edit_between_sending_and_acknowledgement,
    "deferring": stories.record_from_the_future,
    "the high-water of the clock": stories.root_whose_clock_was_fast,
    "absent base tombstones": stories.create_anew_what_was_deleted_and_forgotten,
    "fencing": stories.stalled_holder_of_the_lease,
    "presence in every request": stories.farther_tier_lets_go_in_the_middle_of_a_run,
    "pages that are too old": stories.page_from_before_a_write_through,
    "conflicts by base": stories.farther_store_restored_and_written_past_the_position,
    "merging hydration": stories.write_while_hydrating,
    "horizons": stories.peer_comes_back_after_it_expired,
    "dropping only below the horizon": stories.damaged_farther_store,
    "drops that raise the horizon": stories.drop_and_death,
    "hydration that raises the horizon": stories.hydration_and_death,
    "fresh tombstones": stories.edit_of_what_was_deleted_and_forgotten,
    "acknowledgements of this registration": stories.collection_between_registration_and_snapshot,
    "unregistering by generation": stories.late_unregistration,
    "keeping dirty tombstones": stories.tombstone_of_a_slow_clock,
    "collecting from the root outwards": stories.delete_forgotten_here_before_it_is_forgotten_upstream,
    "absence below the horizon": stories.create_anew_over_a_tombstone_that_counts_no_more,
    "tombstone sums": stories.tombstones_that_differ_while_live_sums_are_equal,
}


@pytest.mark.parametrize("name", STORIES)
def test_story_keeps_its_promise(name: str) -> None:
    STORIES[name]()


@pytest.mark.parametrize("rule", WITHOUT)
def test_story_breaks_its_promise_without(rule: str, monkeypatch: pytest.MonkeyPatch) -> None:
    WITHOUT[rule](monkeypatch)
    with pytest.raises(BrokenPromiseError):
        BREAKS[rule]()
