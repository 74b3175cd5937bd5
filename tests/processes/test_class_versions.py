"""Programs of different ages, whose classes have different schemas: neither takes anything from the other."""

from __future__ import annotations

import time
from pathlib import Path

from tests.processes.programs import Program, examine, url
from tests.processes.shared_clock import SharedClock

OLD, NEW = "tests.processes.first_edition", "tests.processes.second_edition"
EDITS = 40


def schemas(directory: Path) -> dict[str, int]:
    content = examine(directory).content.values()
    return {record.id: record.schema for records in content for record in records.values()}


def test_an_old_and_a_new_program_on_one_store_lose_nothing(tmp_path: Path, clock: SharedClock) -> None:
    """Both change the same entity at the same time, the new one upgrading what the old one wrote first."""
    store = url(tmp_path / "data")
    with Program(clock, store, module=OLD) as old, Program(clock, store, backend="trio", module=NEW) as new:
        id = old.ask("add_book", "a", 1, "Peer Gynt")
        assert new.ask("read_book", id) == {"title": "Peer Gynt", "pages": 0, "edits": 0, "schema": 1}
        working = [(new, new.begin("edit", id, EDITS)), (old, old.begin("add_page", id, EDITS))]
        for program, number in working:
            program.end(number)
        title = {"title": "Peer Gynt", "pages": EDITS, "edits": EDITS, "schema": 2}
        assert new.ask("read_book", id) == title
        assert old.ask("read_book", id) == {"name": "", "pages": EDITS, "version": 2 * EDITS + 1}
        for program in (old, new):
            program.finish()
    assert schemas(tmp_path / "data") == {"a.1": 2}


def test_an_old_and_a_new_program_with_links_to_one_store_lose_nothing(tmp_path: Path, clock: SharedClock) -> None:
    near, far = [url(tmp_path / name) for name in ("near1", "near2")], url(tmp_path / "far")
    with Program(clock, near[0], far, module=OLD) as old, Program(clock, near[1], far, module=NEW) as new:
        ids = [old.ask("add_book", "a", number, f"book {number}") for number in range(3)]
        old.sync_until_verified()
        new.sync_until_verified()
        assert [new.ask("read_book", id)["title"] for id in ids] == ["book 0", "book 1", "book 2"]
        new.ask("edit", ids[0], 2)
        new.sync_until_verified()
        old.sync_until_verified()
        old.ask("add_page", ids[0], 3)
        old.ask("add_page", ids[1], 1)
        old.sync_until_verified()
        new.sync_until_verified()
        assert new.ask("read_book", ids[0]) == {"title": "book 0", "pages": 3, "edits": 2, "schema": 2}
        assert new.ask("read_book", ids[1]) == {"title": "book 1", "pages": 1, "edits": 0, "schema": 1}
        documents = [new.ask("document", id) for id in ids]
        assert [("name" in document, document.get("title")) for document in documents] == [
            (True, "book 0"),
            (True, None),
            (True, None),
        ]
        for program in (old, new):
            program.finish()
    held = [schemas(tmp_path / name) for name in ("near1", "near2", "far")]
    assert held == [{"a.0": 2, "a.1": 1, "a.2": 1}] * 3
    assert [examine(tmp_path / name).conflicts for name in ("near1", "near2", "far")] == [[], [], []]


def wait_for_indexes(program: Program, *paths: str) -> None:
    """Until exactly these are ready."""
    ready = dict.fromkeys(paths, "ready")
    end_s = time.monotonic() + 15
    while (found := program.ask("indexes")) != ready:
        assert time.monotonic() < end_s, f"{found} instead of {ready}"
        time.sleep(0.02)


def test_what_either_program_wants_is_indexed_and_what_only_an_ended_one_wanted_goes_with_the_next(
    tmp_path: Path, clock: SharedClock
) -> None:
    store = url(tmp_path / "data")
    with Program(clock, store, module=OLD) as old:
        for number in range(3):
            old.ask("add_book", "a", number, f"book {number}")
        wait_for_indexes(old, "name", "pages")
        with Program(clock, store, backend="trio", module=NEW) as new:
            wait_for_indexes(new, "name", "pages", "title")
            assert old.ask("indexes") == new.ask("indexes")
            old.finish()
            assert set(new.ask("indexes")) == {"name", "pages", "title"}
            new.finish()
    with Program(clock, store, module=NEW) as new:
        wait_for_indexes(new, "pages", "title")
        new.finish()
    examine(tmp_path / "data")


def test_an_index_over_documents_of_an_older_schema_is_used_once_they_are_saved(
    tmp_path: Path, clock: SharedClock
) -> None:
    """Their values are not what this program's class would read, and it says so."""
    store = url(tmp_path / "data")
    with Program(clock, store, module=OLD) as old, Program(clock, store, module=NEW) as new:
        ids = [old.ask("add_book", "a", number, "Brand") for number in range(3)]
        wait_for_indexes(new, "name", "pages", "title")
        found = new.ask("how_titles_are_found", "Brand")
        assert (sorted(found["ids"]), found["index"]) == (ids, None)
        assert "3 entities as they were before schema 2" in found["warning"]
        new.ask("save_all")
        found = new.ask("how_titles_are_found", "Brand")
        assert (sorted(found["ids"]), found["index"], found["warning"]) == (ids, "title", None)
        for program in (old, new):
            program.finish()
