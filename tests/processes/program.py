"""A program with an open data layer that does what it is told, one line of JSON at a time.

    python -m tests.processes.program BACKEND CLOCK TIER...

It reads ``[command, argument...]`` and answers ``["answer", value]`` or ``["error", class, message]``. CLOCK is a file
of a `SharedClock`, or a number of milliseconds at which the clock stands still. A tier is a url, or a JSON object of
`tierfold.Tier`'s fields; beside ``lmdb:`` there is ``trapped:``, the same with a trap that the command `arm` sets.
"""

from __future__ import annotations

import gc
import json
import os
import signal
import sys
import time
from collections.abc import AsyncGenerator, Callable, Coroutine
from contextlib import ExitStack, asynccontextmanager
from datetime import datetime
from pathlib import Path
from random import Random
from typing import Any, Final, cast

import anyio
import anyio.to_thread
from anyio.abc import TaskGroup
from tests.crash.ledger import Attempt
from tests.crash.trapped import EVERY_CALL, WRITING_CALLS, TrappedStore
from tests.processes.shared_clock import SharedClock

import tierfold
from tierfold.errors import TierfoldError
from tierfold.spi import EntityStore, OpenContext, StoreSpec
from tierfold_lmdb.engine import LmdbEngine
from tierfold_lmdb.options import LmdbOptions

SHARED_IDS: Final = 8
_IDS: Final = 20


class Note(tierfold.Entity, name="Note", partition="{site}", id="{name}"):
    """What all programs save."""

    site: str
    name: str
    text: str


def say(*parts: object) -> None:
    os.write(sys.stdout.fileno(), json.dumps(parts).encode() + b"\n")


class Trap:
    """A plugin with a kind of store that freezes its process at a chosen call, as a suspended machine does.

    It does so between two commits: frozen in the middle of one, a process holds up every writer of the same file, for
    LMDB's lock is given back by who dies, not by who sleeps.
    """

    def __init__(self) -> None:
        self.call = ""
        self._engines: list[LmdbEngine] = []

    @tierfold.hookimpl
    def provide_stores(self) -> list[StoreSpec[LmdbOptions]]:
        return [StoreSpec("trapped", self._open, LmdbOptions)]

    @asynccontextmanager
    async def _open(self, location: str, options: LmdbOptions, context: OpenContext) -> AsyncGenerator[EntityStore]:
        engine = LmdbEngine(location, options)
        self._engines.append(engine)
        store = TrappedStore(engine, context)
        store.trap(EVERY_CALL, self._spring)
        store.trap_before(WRITING_CALLS, self._spring)
        try:
            await store.identify()
            yield store
        finally:
            store.close()

    def _spring(self, call: str) -> None:
        if call == self.call:
            self.call = ""
            self.freeze()

    def freeze(self) -> None:
        with ExitStack() as stack:
            for engine in self._engines:
                stack.enter_context(engine._environment._writing)
            os.kill(os.getpid(), signal.SIGSTOP)


def private_bytes() -> int:
    """Memory of this process alone: no pages of files, such as LMDB's map, and none shared with others."""
    gc.collect()
    lines = Path("/proc/self/smaps_rollup").read_text().splitlines()
    return sum(int(line.split()[1]) * 1024 for line in lines if line.startswith("Private_Dirty"))


class Program:
    """The commands; each public coroutine is one."""

    def __init__(self, data: tierfold.DataLayer, trap: Trap, tasks: TaskGroup) -> None:
        self._data, self._trap, self._tasks = data, trap, tasks
        self._notes = data.repo(Note)
        self._writing = False

    # --- entities ------------------------------------------------------------------------------------------------

    async def save(self, site: str, name: str, text: str) -> str:
        """The etag of what was saved."""
        note = await self._notes.save(Note(site=site, name=name, text=text))
        meta = await self._notes.meta(note.id)
        assert meta is not None
        return meta.etag

    async def save_many(self, notes: list[tuple[str, str, str]]) -> int:
        saved = await self._notes.save_many(Note(site=site, name=name, text=text) for site, name, text in notes)
        return len(saved)

    async def save_each(self, site: str, count: int) -> None:
        """Save notes 0, 1, 2 … one after the other."""
        for number in range(count):
            await self._notes.save(Note(site=site, name=str(number), text=""))

    async def fill(self, site: str, count: int, size: int) -> None:
        """Save notes 0, 1, 2 … with long texts, a thousand at a time."""
        for start in range(0, count, 1000):
            await self._notes.save_many(
                Note(site=site, name=str(number), text=str(number).ljust(size, "."))
                for number in range(start, min(start + 1000, count))
            )

    async def get(self, id: str) -> str | None:
        note = await self._notes.get(id)
        return None if note is None else note.text

    async def count_up(self, id: str, times: int) -> None:
        """Add one to the number in a note, again and again."""

        def add_one(note: Note) -> None:
            note.text = str(int(note.text) + 1)

        for _ in range(times):
            await self._notes.modify(id, add_one)

    async def delete(self, id: str) -> bool:
        return await self._notes.delete(id)

    async def pending(self, id: str) -> list[str]:
        meta = await self._notes.meta(id)
        return [] if meta is None else list(meta.pending)

    async def read_all(self, site: str, count: int) -> int:
        """Read ``count`` notes one by one; the memory of this process afterwards, in bytes."""
        for number in range(count):
            assert await self._notes.get(f"{site}.{number}") is not None
        return private_bytes()

    # --- links ---------------------------------------------------------------------------------------------------

    async def sync(self, timeout_s: float = 10) -> dict[str, Any]:
        """What the sync reports, summed over links."""
        report = await self._data.sync_now(timeout_s=timeout_s)
        links = report.links.values()
        counts = {name: sum(getattr(link, name) for link in links) for name in ("pulled", "pushed", "conflicts")}
        errors = [link.error for link in links if link.error]
        deferred = [id for link in links for _, id in link.deferred]
        return {"verified": report.verified, "errors": errors, "deferred": deferred, **counts}

    async def states(self) -> list[str]:
        return [link.status.state for link in self._data.links.values()]

    async def dirty(self) -> bool:
        return self._data.dirty

    async def durable(self) -> bool:
        return self._data.status().durable

    async def pause(self) -> None:
        for link in self._data.links.values():
            link.pause()

    async def resume(self) -> None:
        for link in self._data.links.values():
            link.resume()

    async def arm(self, call: str) -> None:
        """Have this whole process stop behind the next call of that name of a trapped store, or ``before`` it."""
        self._trap.call = call

    async def freeze(self) -> None:
        """Stop this whole process, which has trapped stores; answers when it is told to go on."""
        self._trap.freeze()

    # --- work in the background ----------------------------------------------------------------------------------

    async def watch(self) -> None:
        """Tell of every change from now on, with the seconds since the machine started."""
        events = self._data.events()

        async def tell() -> None:
            async for change in events:
                say("event", time.monotonic(), change.kind, change.id, change.origin)

        self._tasks.start_soon(tell)

    async def write_on(self, seed: str, own: list[str], shared: str) -> None:
        """Write until `write_off`, as fast as it goes: ids of one's own in lanes, and ids that other programs write."""
        self._writing = True
        for lane in own:
            self._tasks.start_soon(self._write_lane, lane, Random(f"{seed}/{lane}"), seed)
        if shared:
            self._tasks.start_soon(self._write_shared, shared, seed)

    async def write_off(self) -> None:
        """Finish what was begun, and write no more."""
        self._writing = False
        await anyio.wait_all_tasks_blocked()

    async def _write_lane(self, lane: str, random: Random, seed: str) -> None:
        count = 0
        while self._writing:
            count += 1
            attempt = _attempt(lane, random, f"{seed}/{lane}/{count}")
            os.write(sys.stdout.fileno(), attempt.line())
            await self._carry_out(attempt)
            os.write(sys.stdout.fileno(), attempt.acknowledgement())

    async def _carry_out(self, attempt: Attempt) -> None:
        notes = []
        for _, partition, id, text, _ in attempt.batch:
            if text is None:
                await self._notes.delete(id)
            else:
                notes.append(Note(site=partition.removeprefix("app."), name=id.partition(".")[2], text=text))
        if len(notes) == 1:
            await self._notes.save(notes[0])
        elif notes:
            await self._notes.save_many(notes)

    async def _write_shared(self, side: str, seed: str) -> None:
        """Write shared notes in turn. What is there never becomes older, for the newest wins everywhere."""
        newest: dict[str, datetime] = {}
        count = 0
        while self._writing:
            count += 1
            name, text = f"s{count % SHARED_IDS}", f"{side}/{seed}/{count}"
            id = f"both.{name}"
            found = await self._notes.get(id)
            if id in newest and (found is None or found.updated_at < newest[id]):
                say("older", side, id)
            say("offer", side, id, text)
            newest[id] = (await self._notes.save(Note(site="both", name=name, text=text))).updated_at
            say("kept", side, id)
            await anyio.sleep(0.005)  # a link has to get in between, or the last one to write always wins


def _attempt(lane: str, random: Random, mark: str) -> Attempt:
    site = random.choice((lane, "both"))
    if random.random() < 0.2:
        return Attempt(lane, [("Note", f"app.{site}", f"{site}.{lane}-{random.randrange(_IDS)}", None, 0)])
    numbers = random.sample(range(_IDS), 1 if random.random() < 0.5 else random.randint(2, 12))
    return Attempt(
        lane, [("Note", f"app.{site}", f"{site}.{lane}-{number}", f"{mark}/{number}", 0) for number in numbers]
    )


async def obey(program: object) -> None:
    """Carry out commands until standard input ends."""
    while line := await anyio.to_thread.run_sync(sys.stdin.readline, abandon_on_cancel=True):
        name, *arguments = json.loads(line)
        command = cast(Callable[..., Coroutine[Any, Any, object]], getattr(program, name))
        try:
            say("answer", await command(*arguments))
        except TierfoldError as error:
            say("error", type(error).__name__, str(error))


async def main(clock: Callable[[], int], tiers: list[str], commands: type[Program] = Program) -> None:
    trap = Trap()
    asked = [tierfold.Tier(**json.loads(tier)) if tier.startswith("{") else tier for tier in tiers]
    async with tierfold.open(*asked, clock=clock, plugins=[trap]) as data, anyio.create_task_group() as tasks:
        say("answer", "open")
        await obey(commands(data, trap, tasks))
        tasks.cancel_scope.cancel()


def run(commands: type[Program]) -> None:
    """Be the program, with these commands."""
    _, event_loop, time_of_day, *places = sys.argv
    now_ms = (lambda: int(time_of_day)) if time_of_day.isdecimal() else SharedClock(Path(time_of_day))
    anyio.run(main, now_ms, places, commands, backend=event_loop)


if __name__ == "__main__":
    run(Program)
