"""The program with a class of schema 1: `Book` has a ``name``."""

from __future__ import annotations

from typing import Any

from tests.processes.program import Program, run

import tierfold


class Book(tierfold.Entity, partition="{shelf}", id="{number}", index=["name", "pages"]):
    shelf: str
    number: int
    name: str = ""
    pages: int = 0


class FirstEdition(Program):
    """Commands of an old program."""

    async def add_book(self, shelf: str, number: int, name: str) -> str:
        return (await self._data.repo(Book).save(Book(shelf=shelf, number=number, name=name))).id

    async def read_book(self, id: str) -> dict[str, Any] | None:
        book = await self._data.repo(Book).get(id)
        return None if book is None else {"name": book.name, "pages": book.pages, "version": book.version}

    async def add_page(self, id: str, times: int) -> None:
        """One page more, again and again."""

        def longer(book: Book) -> None:
            book.pages += 1

        for _ in range(times):
            await self._data.repo(Book).modify(id, longer)

    async def indexes(self) -> dict[str, str]:
        """The state of each index."""
        return {".".join(index.path): index.state for index in self._data.repo(Book).indexes()}


if __name__ == "__main__":
    run(FirstEdition)
