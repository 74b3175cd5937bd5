"""Programs with class versions of different age on one store, and on two that a link joins: nothing is lost."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import anyio
import pytest
from core.tests.layer.remote import Remote
from core.tests.layer.waiting import until

import tierfold
from tierfold.abc.store import LocalStore

pytestmark = pytest.mark.anyio

calls: list[dict[str, Any]] = []


def rename(document: dict[str, Any]) -> dict[str, Any]:
    calls.append(dict(document))
    document["title"] = document.pop("name")
    return document


class BookOne(tierfold.Entity, name="Book"):
    name: str = ""
    pages: int = 0


class BookTwo(tierfold.Entity, name="Book", schema=2, upgrade={1: rename}):
    title: str = ""
    pages: int = 0
    author: str = ""


def broken(document: dict[str, Any]) -> dict[str, Any]:
    raise ZeroDivisionError


class BookBroken(tierfold.Entity, name="Book", schema=2, upgrade={1: broken}):
    title: str = ""


async def document(data: tierfold.DataLayer, id: str) -> dict[str, Any]:
    found = await data.repo("Book").get(id)
    assert found is not None
    return {name: value for name, value in found.items() if name not in ("id", "created_at", "updated_at", "version")}


async def schema(data: tierfold.DataLayer, id: str) -> int:
    meta = await data.repo(BookTwo).meta(id)
    assert meta is not None
    return meta.schema


async def test_an_older_document_is_upgraded_on_every_read_and_never_written_back() -> None:
    async with tierfold.open("memory:") as data:
        old = await data.repo(BookOne).save(BookOne(name="a", pages=3))
        books = data.repo(BookTwo)
        for _ in range(2):
            book = await books.get(old.id)
            assert book is not None
            assert (book.title, book.pages, book.id, book.version) == ("a", 3, old.id, 1)
        stored = await books.get_stored(old.id)
        assert stored is not None
        assert (stored.value.title, stored.meta.schema) == ("a", 1)
        assert [book.title async for book in books.query()] == ["a"]
        assert [book.title for book in (await books.get_many([old.id])).values()] == ["a"]
        assert (await document(data, old.id), await schema(data, old.id)) == ({"name": "a", "pages": 3}, 1)


async def test_a_save_over_an_older_document_keeps_what_is_unknown_and_brings_no_old_name_back() -> None:
    async with tierfold.open("memory:") as data:
        documents, books = data.repo("Book"), data.repo(BookTwo)
        old = await documents.save({"id": "global.x", "name": "a", "pages": 3, "felt": [1]})
        book = await books.get(old["id"])
        assert book is not None
        book.author = "b"
        await books.save(book)
        assert await document(data, "global.x") == {"title": "a", "pages": 3, "author": "b", "felt": [1]}
        assert (await schema(data, "global.x"), book.version) == (2, 2)


async def test_every_way_to_write_merges_with_the_upgraded_document() -> None:
    async with tierfold.open("memory:") as data:
        documents, books = data.repo("Book"), data.repo(BookTwo)
        ids = [f"global.{number}" for number in range(4)]
        await documents.save_many({"id": id, "name": "a", "pages": 1, "felt": id} for id in ids)
        await books.save_many([BookTwo(id=id, title="b") for id in ids[:2]] + [BookTwo(id="global.9")])

        def retitle(book: BookTwo) -> None:
            book.title += "c"

        await books.modify("global.2", retitle)
        meta = await books.meta("global.3")
        assert meta is not None
        await books.save(BookTwo(id="global.3", title="d"), if_match=meta.etag)
        found = [await document(data, id) for id in ids]
        assert [each.get("title") for each in found] == ["b", "b", "ac", "d"]
        assert [each["felt"] for each in found] == ids
        assert not any("name" in each for each in found)


async def test_a_moved_entity_takes_the_upgraded_document_along() -> None:
    class PlacedOne(tierfold.Entity, name="Placed", partition="{site}"):
        site: str
        name: str = ""

    class PlacedTwo(tierfold.Entity, name="Placed", partition="{site}", schema=2, upgrade={1: rename}):
        site: str
        title: str = ""

    async with tierfold.open("memory:") as data:
        old = await data.repo(PlacedOne).save(PlacedOne(site="oslo", name="a"))
        moved = await data.repo(PlacedTwo).move(old.id, site="bergen")
        found = await data.repo("Placed").get(moved.id)
        assert found is not None
        assert (found["title"], "name" in found) == ("a", False)


async def test_a_stale_save_is_refused_with_the_entity_as_the_class_knows_it() -> None:
    async with tierfold.open("memory:") as data:
        books = data.repo(BookTwo)
        old = await data.repo(BookOne).save(BookOne(name="a"))
        meta = await books.meta(old.id)
        assert meta is not None
        old.pages = 4
        await data.repo(BookOne).save(old)
        with pytest.raises(tierfold.StaleWriteError) as caught:
            await books.save(BookTwo(id=old.id, title="b"), if_match=meta.etag)
        assert isinstance(caught.value.current, BookTwo)
        assert (caught.value.current.title, caught.value.current.pages) == ("a", 4)


async def test_a_create_over_an_older_entity_is_refused() -> None:
    async with tierfold.open("memory:") as data:
        old = await data.repo(BookOne).save(BookOne(name="a"))
        with pytest.raises(tierfold.AlreadyExistsError):
            await data.repo(BookTwo).create(BookTwo(id=old.id))


async def test_what_was_deleted_is_saved_anew_without_an_upgrade() -> None:
    async with tierfold.open("memory:") as data:
        old = await data.repo(BookOne).save(BookOne(name="a"))
        assert await data.repo(BookTwo).delete(old.id)
        await data.repo(BookTwo).save(BookTwo(id=old.id, title="b"))
        assert await document(data, old.id) == {"title": "b", "pages": 0, "author": ""}


async def test_a_failing_upgrade_refuses_reads_and_saves_and_leaves_the_document_alone() -> None:
    async with tierfold.open("memory:") as data:
        old = await data.repo(BookOne).save(BookOne(name="a"))
        books = data.repo(BookBroken)
        for attempt in (books.get(old.id), books.save(BookBroken(id=old.id))):
            with pytest.raises(tierfold.ValidationError, match="upgrade 1 -> 2 failed with ZeroDivisionError") as error:
                await attempt
            assert error.value.id == old.id
        assert await document(data, old.id) == {"name": "a", "pages": 0}


async def test_up_to_date_documents_are_not_upgraded() -> None:
    async with tierfold.open("memory:") as data:
        books = data.repo(BookTwo)
        calls.clear()
        saved = await books.save(BookTwo(title="a"))
        await books.save(saved)
        assert await books.get(saved.id) == saved
        assert calls == []


async def test_no_upgrade_runs_while_the_store_writes(monkeypatch: pytest.MonkeyPatch) -> None:
    """Users' code in the writer would stop every other save, and could not call back."""
    async with tierfold.open("memory:") as data:
        old = await data.repo(BookOne).save(BookOne(name="a"))
        store = data.tiers[0].store
        assert isinstance(store, LocalStore)
        writing = 0
        write = store.write

        async def watched(writes: Any) -> Any:
            nonlocal writing
            writing += 1
            try:
                return await write(writes)
            finally:
                writing -= 1

        monkeypatch.setattr(store, "write", watched)
        during: list[int] = []

        def upgrade(document: dict[str, Any]) -> dict[str, Any]:
            during.append(writing)
            return rename(document)

        class BookWatched(tierfold.Entity, name="Book", schema=2, upgrade={1: upgrade}):
            title: str = ""

        await data.repo(BookWatched).save(BookWatched(id=old.id, title="b"))
        assert during == [0]
        assert (await document(data, old.id))["title"] == "b"


async def test_a_save_that_is_overtaken_while_it_upgrades_tries_again(tmp_path: Path) -> None:
    url = f"lmdb:{tmp_path / 'a'}"

    async def overtake(id: str) -> None:
        async with tierfold.open(url) as other:
            await other.repo(BookOne).save(BookOne(id=id, name="b", pages=2))

    taken: list[dict[str, Any]] = []

    def upgrade(document: dict[str, Any]) -> dict[str, Any]:
        taken.append(document)
        if len(taken) == 1:
            with anyio.from_thread.start_blocking_portal() as portal:
                portal.call(overtake, old.id)
        return rename(document)

    class BookSlow(tierfold.Entity, name="Book", schema=2, upgrade={1: upgrade}):
        title: str = ""

    async with tierfold.open(url) as data:
        old = await data.repo(BookOne).save(BookOne(name="a", pages=1))
        await data.repo(BookSlow).save(BookSlow(id=old.id, title="mine"))
        assert await document(data, old.id) == {"title": "mine", "pages": 2}
        assert [each["pages"] for each in taken] == [1, 2]


async def test_a_raw_save_leaves_a_document_in_the_schema_it_was_read_in() -> None:
    """Marked as new, it would never be upgraded."""
    async with tierfold.open("memory:") as data:
        await data.repo(BookTwo).save(BookTwo(title="first"))
        old = await data.repo(BookOne).save(BookOne(name="a"))
        documents = data.repo("Book")
        raw = await documents.get(old.id)
        assert raw is not None
        await documents.save({**raw, "pages": 5})
        book = await data.repo(BookTwo).get(old.id)
        assert book is not None
        assert (book.title, book.pages) == ("a", 5)
        new = await documents.save({"id": "", "title": "b"})
        assert [await schema(data, id) for id in (old.id, new["id"])] == [1, 2]


async def test_old_and_new_programs_on_one_store_take_nothing_from_each_other() -> None:
    async with tierfold.open("memory:") as data:
        old, new = data.repo(BookOne), data.repo(BookTwo)
        saved = await old.save(BookOne(name="a", pages=1))
        book = await new.get(saved.id)
        assert book is not None
        book.author = "b"
        await new.save(book)
        seen = await old.get(saved.id)
        assert seen is not None
        assert (seen.name, seen.pages) == ("", 1)
        seen.pages = 2
        await old.save(seen)
        assert await schema(data, saved.id) == 2
        again = await new.get(saved.id)
        assert again is not None
        assert (again.title, again.author, again.pages, again.version) == ("a", "b", 2, 3)


async def test_old_and_new_programs_with_a_link_between_them_take_nothing_from_each_other() -> None:
    remote = Remote()
    async with (
        tierfold.open("memory:one", "remote:", plugins=[remote]) as one,
        tierfold.open("memory:two", "remote:", plugins=[remote]) as two,
    ):
        old, new = one.repo(BookOne), two.repo(BookTwo)

        async def agreed() -> None:
            for _ in range(2):
                for data in (one, two):
                    assert (await data.sync_now()).verified

        saved = await old.save(BookOne(name="a", pages=1))
        await agreed()
        book = await new.get(saved.id)
        assert book is not None
        assert (book.title, book.pages) == ("a", 1)
        book.author = "b"
        await new.save(book)
        await agreed()
        seen = await old.get(saved.id)
        assert seen is not None
        assert (seen.pages, seen.version) == (1, 2)
        seen.pages = 2
        await old.save(seen)
        await agreed()
        again = await new.get(saved.id)
        assert again is not None
        assert (again.title, again.author, again.pages) == ("a", "b", 2)
        assert [await schema(data, saved.id) for data in (one, two)] == [2, 2]
        await until(lambda: not (one.dirty or two.dirty))
