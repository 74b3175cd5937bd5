"""The strongest earthquakes, in every browser that looks, as soon as they are known."""

import os
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import asynccontextmanager

from fastapi import FastAPI, Request
from fastapi.sse import EventSourceResponse, ServerSentEvent

import tierfold
from tierfold import DataLayer, F


class Quake(tierfold.Entity, partition="{net}", index=["mag"]):
    net: str
    place: str
    mag: float


@asynccontextmanager
async def lifespan(app: FastAPI) -> AsyncGenerator[dict[str, DataLayer]]:
    async with tierfold.open(os.environ.get("QUAKES_STORE", "lmdb:./quakes")) as data:
        yield {"data": data}


app = FastAPI(lifespan=lifespan)


@app.post("/quakes", status_code=201)
async def report(quake: Quake, request: Request) -> Quake:
    data: DataLayer = request.state.data
    return await data.repo(Quake).create(quake)


@app.get("/strongest", response_class=EventSourceResponse)
async def strongest(request: Request, at_least: float = 4.0) -> AsyncIterator[ServerSentEvent]:
    data: DataLayer = request.state.data
    async with data.repo(Quake).observe_all(F.mag >= at_least, sort=["-mag"], limit=20) as live:
        async for snapshot in live:
            if snapshot.state == "loading":
                continue
            yield ServerSentEvent(
                event="quakes",
                data={
                    "quakes": [{"place": quake.place, "mag": quake.mag} for quake in snapshot.value],
                    "new": [change.id for change in snapshot.changes if change.kind == "saved"],
                    "complete": snapshot.state == "ready",
                },
            )
