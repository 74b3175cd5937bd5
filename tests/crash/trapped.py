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
    """Calls ``spring(name)`` behind each of the named methods, before its caller has the answer."""

    def trap(self, names: tuple[str, ...], spring: Callable[[str], object]) -> None:
        for name in names:
            setattr(self, name, _trapped(getattr(self, name), name, spring))


def _trapped(
    method: Callable[..., Awaitable[Any]], name: str, spring: Callable[[str], object]
) -> Callable[..., Awaitable[Any]]:
    @wraps(method)
    async def call(*arguments: Any, **options: Any) -> Any:
        answer = await method(*arguments, **options)
        spring(name)
        return answer

    return call
