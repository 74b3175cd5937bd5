"""Devices of several organizations, over HTTP."""

import os
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from typing import Annotated

from fastapi import Depends, FastAPI, Header, HTTPException, Request, Response
from fastapi.responses import JSONResponse
from pydantic import BaseModel, StringConstraints

import tierfold
from tierfold import DataLayer, Repository, Stored

Slug = Annotated[str, StringConstraints(pattern="^[a-z0-9-]+$")]


class Device(tierfold.Entity, partition="{org}", index=["hostname"]):
    org: Slug
    hostname: str
    rack: str | None = None


class DevicePage(BaseModel):
    items: list[Device]
    next: str | None
    complete: bool


@asynccontextmanager
async def lifespan(app: FastAPI) -> AsyncGenerator[dict[str, DataLayer]]:
    """One layer for each process, open as long as the process serves."""
    async with tierfold.open(os.environ.get("DEVICES_STORE", "lmdb:./devices")) as data:
        yield {"data": data}


app = FastAPI(lifespan=lifespan)


def the_layer(request: Request) -> DataLayer:
    data: DataLayer = request.state.data
    return data


Data = Annotated[DataLayer, Depends(the_layer)]


def the_devices(data: Data) -> Repository[Device]:
    return data.repo(Device)


Devices = Annotated[Repository[Device], Depends(the_devices)]


def shown(stored: Stored[Device] | None, response: Response) -> Device:
    """An entity and its etag, which are of the same moment."""
    if stored is None:
        raise HTTPException(404)
    response.headers["ETag"] = f'"{stored.meta.etag}"'
    return stored.value


@app.post("/devices", status_code=201)
async def add(device: Device, devices: Devices, response: Response) -> Device:
    await devices.create(device)
    response.headers["Location"] = f"/devices/{device.id}"
    return shown(await devices.get_stored(device.id), response)


@app.get("/devices/{id}")
async def read(id: str, devices: Devices, response: Response) -> Device:
    return shown(await devices.get_stored(id), response)


@app.put("/devices/{id}")
async def replace(
    id: str, device: Device, devices: Devices, response: Response, if_match: Annotated[str, Header()]
) -> Device:
    device.id = id
    await devices.save(device, if_match=if_match)
    return shown(await devices.get_stored(id), response)


@app.delete("/devices/{id}", status_code=204)
async def remove(id: str, devices: Devices) -> None:
    if not await devices.delete(id):
        raise HTTPException(404)


@app.get("/devices")
async def page(org: Slug, devices: Devices, after: str | None = None) -> DevicePage:
    found = await devices.query(partitions=[org], sort=["hostname"]).page(after=after, size=50)
    return DevicePage(items=list(found), next=found.next, complete=found.complete)


@app.post("/devices/{id}/exchange/{other}", status_code=204)
async def exchange(id: str, other: str, data: Data, devices: Devices) -> None:
    """Two devices change places: both, or neither."""
    async with data.transaction():
        one, two = await devices.get_stored(id), await devices.get_stored(other)
        if one is None or two is None:
            raise HTTPException(404)
        one.value.rack, two.value.rack = two.value.rack, one.value.rack
        await devices.save(one.value, if_match=one.meta.etag)
        await devices.save(two.value, if_match=two.meta.etag)


STATUS_OF: dict[type[tierfold.TierfoldError], int] = {
    tierfold.ValidationError: 422,
    tierfold.QueryError: 422,
    tierfold.NotFoundError: 404,
    tierfold.AlreadyExistsError: 409,
    tierfold.PayloadTooLargeError: 413,
    tierfold.StoreFullError: 507,
}


@app.exception_handler(tierfold.TierfoldError)
async def refuse(request: Request, error: tierfold.TierfoldError) -> JSONResponse:
    headers: dict[str, str] = {}
    status = STATUS_OF.get(type(error))
    if isinstance(error, tierfold.StaleWriteError):  # the client's condition failed, or a transaction did
        status = 412 if "if-match" in request.headers else 409
        if error.current_etag is not None:
            headers["ETag"] = f'"{error.current_etag}"'
    elif error.transient:
        status, headers["Retry-After"] = 503, "5"
    if status is None:
        raise error
    return JSONResponse({"detail": str(error)}, status, headers)
