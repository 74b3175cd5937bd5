"""Handles on running programs with a data layer, and a look at their stores from one more process: this one."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import anyio
from msgspec import Struct
from msgspec.msgpack import Decoder
from tests.crash.audit import Content, check_store
from tests.crash.children import Child
from tests.processes.shared_clock import SharedClock

from tierfold.abc.syncable import ConflictEntry, Presence
from tierfold.kv.store import open_kv_store
from tierfold.layout import PARTITION_ROWS, PEER_ROWS, LinkStateRow, PeerRow
from tierfold.model import Record, SegmentName
from tierfold.specs import AsyncBackend, OpenContext
from tierfold_lmdb.engine import LmdbEngine

__all__ = ["Holdings", "Program", "ProgramError", "back_up", "examine", "restore", "text_of", "url"]

_EVER = 2**31


class ProgramError(Exception):
    """A command of a program raised an error of Tierfold's."""

    def __init__(self, kind: str, message: str) -> None:
        super().__init__(f"{kind}: {message}")
        self.kind = kind


class Program(Child):
    """A running `tests.processes.program`, open when this returns.

    Args:
        clock: A number = it stands still there.
        hear: Told of every line that is no answer.
        module: Which program; the others know further commands.
    """

    def __init__(
        self,
        clock: SharedClock | int,
        *tiers: str | dict[str, Any],
        backend: AsyncBackend = "asyncio",
        hear: Callable[[bytes], object] = bool,
        module: str = "tests.processes.program",
    ) -> None:
        self._answers: list[list[Any]] = []
        self._asked = 1
        self._hear_rest = hear
        self.events: list[tuple[float, str, str, str]] = []
        written = [tier if isinstance(tier, str) else json.dumps(tier) for tier in tiers]
        time_of_day = clock.path if isinstance(clock, SharedClock) else clock
        super().__init__(module, backend, time_of_day, *written, hear=self._sort)
        try:
            assert self._answer(0) == "open"
        except BaseException:
            self.kill()
            raise

    def _sort(self, line: bytes) -> bool:
        if not line.endswith(b"\n"):
            return False
        what, *rest = json.loads(line)
        if what in ("answer", "error"):
            self._answers.append([what, *rest])
        elif what == "event":
            self.events.append((rest[0], rest[1], rest[2], rest[3]))
        else:
            return bool(self._hear_rest(line))
        return False

    def ask(self, command: str, *arguments: object, timeout_s: float = 15) -> Any:
        """Have a command carried out and return its answer.

        Raises:
            ProgramError: The command raised an error of Tierfold's.
        """
        number = self.begin(command, *arguments)
        return self._answer(number, timeout_s)

    def begin(self, command: str, *arguments: object) -> int:
        """Have a command carried out; `end` waits for its answer."""
        number, self._asked = self._asked, self._asked + 1
        self.tell(json.dumps([command, *arguments]))
        return number

    def end(self, number: int, timeout_s: float = 15) -> Any:
        return self._answer(number, timeout_s)

    def _answer(self, number: int, timeout_s: float = 15) -> Any:
        self.wait_until(lambda: len(self._answers) > number, timeout_s)
        what, *rest = self._answers[number]
        if what == "error":
            raise ProgramError(*rest)
        return rest[0]

    def sync_until_verified(self, rounds: int = 10) -> dict[str, Any]:
        """Sync until a run says that both sides hold the same."""
        reports: list[dict[str, Any]] = []
        for _ in range(rounds):
            reports.append(self.ask("sync"))
            if reports[-1]["verified"]:
                return reports[-1]
        raise AssertionError(f"not verified: {reports}")


def url(directory: Path, *, scheme: str = "lmdb", **options: object) -> str:
    """A tier on LMDB."""
    query = "&".join(f"{name}={value}" for name, value in options.items())
    return f"{scheme}:{directory}" + ("?" + query if query else "")


def back_up(directory: Path) -> bytes:
    """The data file of a store that nobody has open."""
    return (directory / "data.mdb").read_bytes()


def restore(directory: Path, backup: bytes) -> None:
    """Put a backup there: over the file of a store, which stays the same file, or as a new one."""
    directory.mkdir(mode=0o700, exist_ok=True)
    data = directory / "data.mdb"
    with data.open("r+b" if data.exists() else "xb") as file:
        file.truncate()
        file.write(backup)


# --- looking at a store from outside -----------------------------------------------------------------------------


class Holdings(Struct):
    """A store as it stands, every row of it checked.

    Attributes:
        peers: What the store remembers of nearer ones, by store id and segment number.
        gone_back: Partitions marked so until they are verified.
        states: What the store's link remembers of each segment.
        dirty: Whether rows wait for delivery.
        transaction: Id of the last commit.
    """

    store: bytes
    node: bytes
    incarnations: int
    content: Content
    conflicts: list[ConflictEntry]
    presence: dict[str, Presence]
    states: dict[SegmentName, LinkStateRow]
    peers: dict[bytes, PeerRow]
    gone_back: set[str]
    dirty: bool
    transaction: int

    def texts(self) -> dict[str, str]:
        """Texts of the live notes by id."""
        every = (record for records in self.content.values() for record in records.values())
        return {record.id: text_of(record) for record in every if not record.deleted}


def examine(directory: Path) -> Holdings:
    """Check a store and return what it holds. Other processes may have it open and write."""

    async def look() -> Holdings:
        engine = LmdbEngine(str(directory))
        context = OpenContext(lambda: time.time_ns() // 1_000_000, os.urandom)
        async with open_kv_store(engine, context) as store:
            with store.snapshot() as reading:
                content = check_store(reading)
                states = {name: reading.link_state(state) for name in content if (state := reading.find(name))}
                row = reading.store
                peers = dict(PEER_ROWS.rows(reading.txn))
                partitions = [partition for _, partition in PARTITION_ROWS.rows(reading.txn)]
            return Holdings(
                row.store,
                row.node,
                len(row.incarnations),
                content,
                [entry for _, entry in await store.conflict_log(0, _EVER)],
                await store.partitions(),
                states,
                peers,
                {partition.name for partition in partitions if partition.gone_back},
                store.has_pending(),
                engine.transaction_id(),
            )

    return anyio.run(look)


_document: Decoder[dict[str, Any]] = Decoder(dict[str, Any])


def text_of(record: Record) -> str:
    """The text of a note."""
    return str(_document.decode(record.payload)["text"])
