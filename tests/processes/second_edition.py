"""The program with a class of schema 2: `Book` has a ``title`` for what was the name, and editors; an attrs class."""

from __future__ import annotations

from typing import Any

import attrs
from tests.processes.program import Program, run

import tierfold
from tierfold import F


def rename(document: dict[str, Any]) -> dict[str, Any]:
    if "name" in document:
        document["title"] = document.pop("name")
    return document


@tierfold.entity(partition="{shelf}", id="{number}", schema=2, upgrade={1: rename}, index=["title", "pages"])
@attrs.define
class Book:
    shelf: str
    number: int
    title: str = ""
    pages: int = 0
    edits: int = attrs.field(default=0, validator=attrs.validators.ge(0))
    id: str = ""
    version: int = 0


class SecondEdition(Program):
    """Commands of a new program."""

    async def read_book(self, id: str) -> dict[str, Any] | None:
        stored = await self._data.repo(Book).get_stored(id)
        if stored is None:
            return None
        book = stored.value
        return {"title": book.title, "pages": book.pages, "edits": book.edits, "schema": stored.meta.schema}

    async def edit(self, id: str, times: int) -> None:
        """One edit more, again and again."""

        def edited(book: Book) -> None:
            book.edits += 1

        for _ in range(times):
            await self._data.repo(Book).modify(id, edited)

    async def document(self, id: str) -> dict[str, Any]:
        document = await self._data.repo("Book").get(id)
        assert document is not None
        return {name: document[name] for name in sorted(document) if name not in ("created_at", "updated_at")}

    async def how_titles_are_found(self, title: str) -> dict[str, Any]:
        """Ids of the books, the index that was read, and what is said about it."""
        query = self._data.repo(Book).query(F.title == title)
        explained = await query.explain()
        return {"ids": [book.id async for book in query], "index": explained.index, "warning": explained.warning}

    async def save_all(self) -> None:
        """Store every book as this program has it."""
        books = self._data.repo(Book)
        await books.save_many(await books.query().all())

    async def indexes(self) -> dict[str, str]:
        """The state of each index."""
        return {".".join(index.path): index.state for index in self._data.repo(Book).indexes()}


if __name__ == "__main__":
    run(SecondEdition)
