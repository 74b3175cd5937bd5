"""A program that runs a link between two LMDB stores until both hold the same, in pages of a few records.

    python -m tests.crash.linker NEAR FAR CALL COUNT AHEAD_MS

It kills itself with SIGKILL behind the COUNT-th call of the name CALL, with the answer lost; otherwise it says what the
last run reported. Its clock is AHEAD_MS ahead of the machine's.
"""

from __future__ import annotations

import json
import os
import signal
import sys
import time

import anyio
from tests.crash.trapped import WRITING_CALLS, TrappedStore

from tierfold.digest import Hasher
from tierfold.links import runner as runner_module
from tierfold.links.runner import LinkServices, Runner
from tierfold.resolve import LWW
from tierfold.specs import OpenContext
from tierfold_lmdb.engine import LmdbEngine

ROUNDS = 6


class Fuse:
    """Ends the process behind the ``left``-th call of a name."""

    def __init__(self, name: str, left: int) -> None:
        self._name, self._left = name, left

    def burn(self, name: str) -> None:
        self._left -= name == self._name
        if name == self._name and self._left == 0:
            os.kill(os.getpid(), signal.SIGKILL)


async def prepared(*_: object) -> None:
    """The farther store is the root: it holds every partition."""


async def main(near_directory: str, far_directory: str, fuse: Fuse, ahead_ms: int) -> None:
    context = OpenContext(lambda: time.time_ns() // 1_000_000 + ahead_ms, os.urandom)
    near = TrappedStore(LmdbEngine(near_directory), context)
    far = TrappedStore(LmdbEngine(far_directory), context)
    for store in (near, far):
        await store.identify()
        store.trap(WRITING_CALLS, fuse.burn)
    services = LinkServices(context, context.random_bytes(16), lambda _: LWW, Hasher)
    runner = Runner("far", near, far, prepared, services)
    reports = []
    for partition in (await far.partitions()) | (await near.partitions()):
        assert await runner.hold()
        await runner.hydrate(partition)
    for _ in range(ROUNDS):
        assert await runner.hold()
        reports.append(await runner.run())
    await runner.release()
    print(json.dumps({"verified": reports[-1].verified, "moved": reports[-1].moved}))
    near.close()
    far.close()


if __name__ == "__main__":
    setattr(runner_module, "_PAGE_BYTES", 500)  # noqa: B010 - a constant of the program, but not of its tests
    _, near_place, far_place, call, count, ahead = sys.argv
    anyio.run(main, near_place, far_place, Fuse(call, int(count)), int(ahead))
