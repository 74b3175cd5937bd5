"""The second process as the first one sees it."""

from __future__ import annotations

import sys
from collections.abc import AsyncGenerator, Sequence
from contextlib import asynccontextmanager
from typing import Final, TypeVar

import anyio
import msgspec
from anyio.abc import Process
from anyio.streams.buffered import BufferedByteReceiveStream
from msgspec import Struct

from tierfold.demo.messages import Change, Fold, Pause, Read, Reading, Request, Show, Shown, Version, Write
from tierfold.demo.side import Side
from tierfold.errors import TierfoldError
from tierfold.status import LinkReport

__all__ = ["ProcessSide", "start_second"]

A = TypeVar("A")

_LINE_LIMIT_BYTES: Final = 64 * 1024 * 1024
_END_LIMIT_S: Final = 10


@asynccontextmanager
async def start_second(near: str, shared: str) -> AsyncGenerator[ProcessSide]:
    """Start the second process; at the end its input is closed, and it is given time to close its stores."""
    command = [sys.executable, "-m", "tierfold.demo.second", near, shared]
    async with await anyio.open_process(command, stderr=None) as process:
        yield ProcessSide(process)
        assert process.stdin is not None
        await process.stdin.aclose()
        with anyio.move_on_after(_END_LIMIT_S):
            await process.wait()


class _Answer(Struct, frozen=True):
    answer: msgspec.Raw = msgspec.Raw(b"null")
    error: str | None = None


class ProcessSide(Side):
    """A program in another process. One request at a time."""

    def __init__(self, process: Process) -> None:
        assert process.stdin is not None
        assert process.stdout is not None
        self.pid: int = process.pid
        self._requests = process.stdin
        self._answers = BufferedByteReceiveStream(process.stdout)

    async def read(self) -> Reading:
        return await self._ask(Read(), Reading)

    async def write(self, changes: Sequence[Change]) -> list[Version]:
        return await self._ask(Write(list(changes)), list[Version])

    async def pause(self) -> None:
        await self._ask(Pause(), object)

    async def fold(self) -> LinkReport:
        return await self._ask(Fold(), LinkReport)

    async def show(self) -> Shown:
        return await self._ask(Show(), Shown)

    async def _ask(self, request: Request, kind: type[A]) -> A:
        try:
            await self._requests.send(msgspec.json.encode(request) + b"\n")
            line = await self._answers.receive_until(b"\n", _LINE_LIMIT_BYTES)
        except (anyio.BrokenResourceError, anyio.IncompleteRead) as error:
            raise TierfoldError("the second process has ended; what it said stands above") from error
        answer = msgspec.json.decode(line, type=_Answer)
        if answer.error is not None:
            raise TierfoldError(f"the second process: {answer.error}")
        return msgspec.json.decode(answer.answer, type=kind)
