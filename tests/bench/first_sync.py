"""First sync: 100,000 records of 200 bytes go to an empty LMDB store in another process, or come from one.

Run as a program it is the other process: ``python -m tests.bench.first_sync pull|push NEAR FAR ID``. It opens its own
empty near store in front of the shared far one, says that it is ready, waits for a line, syncs, and reports.
"""

from __future__ import annotations

import sys
from pathlib import Path
from statistics import median
from time import perf_counter, process_time
from typing import Final

import anyio
import anyio.to_thread
from anyio.streams.buffered import BufferedByteReceiveStream
from tests.bench.figure import Figure
from tests.bench.raw import fill
from tests.bench.samples import Sample, samples

import tierfold

__all__ = ["measure"]

_LIMIT_S: Final = 1.5
_ROUNDS: Final = 5
_RECORDS: Final = 100_000
_PAYLOAD_BYTES: Final = 200


_Took = tuple[float, float]
"""Seconds until the other process was done, and seconds that it kept a processor busy."""


async def measure(place: Path) -> list[Figure]:
    """Both directions; the time is from the word to go until the other process says that both sides are equal."""
    pulls: list[_Took] = []
    pushes: list[_Took] = []
    async with tierfold.open(f"lmdb:{place}/shared") as data:
        repo = data.repo(Sample)
        entities = samples(0, _RECORDS)
        await fill(repo, entities)
        for number in range(_ROUNDS):
            own, near, far = (place / f"{name}{number}" for name in ("own", "near", "far"))
            pulls.append(await _timed("pull", own, place / "shared", entities[0].id))
            await _require_all(own)
            async with tierfold.open(f"lmdb:{far}"):
                pushes.append(await _timed("push", near, far, "-"))
            await _require_all(far)
    return [
        _figure("100,000 records of 200 bytes from a shared store to an empty one of another process", pulls),
        _figure("100,000 records of 200 bytes from another process, written while alone, to an empty store", pushes),
    ]


def _figure(what: str, rounds: list[_Took]) -> Figure:
    took = tuple(seconds for seconds, _ in rounds)
    rate, work_s = _RECORDS / median(took), median(seconds for _, seconds in rounds)
    beside = f"{rate:,.0f} records/s, {rate * _PAYLOAD_BYTES / 1e6:.0f} MB/s; {work_s:.2f} s of processor"
    return Figure(what, "s", took, _LIMIT_S, beside)


async def _timed(direction: str, near: Path, far: Path, id: str) -> _Took:
    command = [sys.executable, "-m", "tests.bench.first_sync", direction, str(near), str(far), id]
    async with await anyio.open_process(command, stderr=None) as child:
        assert child.stdin is not None
        assert child.stdout is not None
        lines = BufferedByteReceiveStream(child.stdout)
        await lines.receive_until(b"\n", 1_000)
        started = perf_counter()
        await child.stdin.send(b"go\n")
        line = await lines.receive_until(b"\n", 1_000)
        seconds = perf_counter() - started
    verdict, work_s = line.split()
    assert verdict == b"True", line
    return seconds, float(work_s)


async def _require_all(directory: Path) -> None:
    async with tierfold.open(f"lmdb:{directory}") as data:
        assert sum([1 async for _ in data.repo(Sample).query()]) == _RECORDS


# --- the other process -------------------------------------------------------------------------------------------


async def _pull(data: tierfold.DataLayer, id: str) -> float:
    begun_s = await _wait_for_go()
    assert await data.repo(Sample).get(id) is not None
    return begun_s


async def _push(data: tierfold.DataLayer, _: str) -> float:
    (link,) = data.links.values()
    link.pause()
    await fill(data.repo(Sample), samples(0, _RECORDS))
    begun_s = await _wait_for_go()
    link.resume()
    return begun_s


async def _wait_for_go() -> float:
    """Processor time of this process at the word to go."""
    print("ready", flush=True)
    await anyio.to_thread.run_sync(sys.stdin.readline)
    return process_time()


async def _work(direction: str, near: str, far: str, id: str) -> None:
    async with tierfold.open(f"lmdb:{near}", f"lmdb:{far}") as data:
        begun_s = await {"pull": _pull, "push": _push}[direction](data, id)
        report = await data.sync_now()
        print(report.verified, process_time() - begun_s, flush=True)


if __name__ == "__main__":
    _, direction, near, far, id = sys.argv
    anyio.run(_work, direction, near, far, id)
