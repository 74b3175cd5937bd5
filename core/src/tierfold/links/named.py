"""The links of a layer by their names."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import TypeVar

from tierfold.errors import LinkNotFoundError

__all__ = ["NamedLinks"]

L = TypeVar("L")


class NamedLinks(Mapping[str, L]):
    """A mapping that says which links there are when it is asked for another one."""

    def __init__(self, links: Mapping[str, L]) -> None:
        self._links = links

    def __getitem__(self, name: str) -> L:
        try:
            return self._links[name]
        except KeyError:
            raise LinkNotFoundError(name, tuple(self._links)) from None

    def __iter__(self) -> Iterator[str]:
        return iter(self._links)

    def __len__(self) -> int:
        return len(self._links)

    def __repr__(self) -> str:
        return repr(dict(self._links))
