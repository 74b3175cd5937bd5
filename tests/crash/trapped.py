"""A store on LMDB in which something happens at a chosen call of the contract."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from functools import wraps
from typing import Any, Final

from tierfold.kv.store import KvStore

__all__ = ["EVERY_CALL", "WRITING_CALLS", "TrappedStore"]

WRITING_CALLS: Final = (
    *("declare", "register", "apply", "acknowledge"),
    *("lease", "attach", "note_feed", "settle", "mark_partition", "mark_gone_back"),
)
EVERY_CALL: Final = (
    *WRITING_CALLS,
    *("feed", "scope_root", "roots", "changes", "snapshot_page", "leaves", "heads", "rows"),
    *("view", "pending", "own_root", "near_rows", "dirty_rows"),
)


class TrappedStore(KvStore):
    """A store whose methods can be trapped, as often as one likes."""

    def trap(self, names: tuple[str, ...], spring: Callable[[str], object]) -> None:
        """Call ``spring(name)`` behind each of the named methods, before its caller has the answer."""
        for name in names:
            setattr(self, name, _trapped_behind(getattr(self, name), name, spring))

    def trap_before(self, names: tuple[str, ...], spring: Callable[[str], object]) -> None:
        """Call ``spring("before " + name)`` when each of the named methods was called and has done nothing yet."""
        for name in names:
            setattr(self, name, _trapped_before(getattr(self, name), name, spring))


def _trapped_behind(
    method: Callable[..., Awaitable[Any]], name: str, spring: Callable[[str], object]
) -> Callable[..., Awaitable[Any]]:
    @wraps(method)
    async def call(*arguments: Any, **options: Any) -> Any:
        answer = await method(*arguments, **options)
        spring(name)
        return answer

    return call


def _trapped_before(
    method: Callable[..., Awaitable[Any]], name: str, spring: Callable[[str], object]
) -> Callable[..., Awaitable[Any]]:
    @wraps(method)
    async def call(*arguments: Any, **options: Any) -> Any:
        spring(f"before {name}")
        return await method(*arguments, **options)

    return call
