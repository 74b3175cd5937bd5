"""The second process of the demo: ``python -m tierfold.demo.second NEAR SHARED`` answers requests on its input."""

from __future__ import annotations

import sys
from typing import Final

import anyio
import msgspec

from tierfold.demo.messages import Fold, Pause, Read, Request, Show
from tierfold.demo.side import Side, open_side
from tierfold.errors import TierfoldError

__all__: list[str] = []

_DECODER: Final = msgspec.json.Decoder(Request)


async def _answer(side: Side, request: Request) -> object:
    match request:
        case Read():
            return await side.read()
        case Pause():
            await side.pause()
            return None
        case Fold():
            return await side.fold()
        case Show():
            return await side.show()
        case _:
            return await side.write(request.changes)


async def _answer_or_error(side: Side, line: bytes) -> object:
    try:
        return {"answer": await _answer(side, _DECODER.decode(line))}
    except TierfoldError as error:
        return {"error": f"{type(error).__name__}: {error}"}


async def _serve(near: str, shared: str) -> None:
    requests, answers = sys.stdin.buffer, sys.stdout.buffer
    async with open_side(near, shared) as side:
        while line := await anyio.to_thread.run_sync(requests.readline):
            answers.write(msgspec.json.encode(await _answer_or_error(side, line)) + b"\n")
            answers.flush()


if __name__ == "__main__":
    anyio.run(_serve, sys.argv[1], sys.argv[2])
