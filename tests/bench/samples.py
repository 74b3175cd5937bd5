"""What is stored: earthquakes of the demo's data set, repeated under new ids, and records of a fixed size."""

from __future__ import annotations

from functools import cache
from typing import Any

import tierfold
from tierfold.demo.quakes import Quake as FullQuake
from tierfold.demo.quakes import data_set

__all__ = ["FullQuake", "Quake", "Sample", "full_quakes", "quakes", "samples"]


class Quake(tierfold.Entity, partition="{net}"):
    """What people look at of an earthquake: ten fields, about 250 bytes."""

    net: str
    code: str
    place: str
    title: str
    mag: float
    time: int
    longitude: float
    latitude: float
    depth_km: float
    url: str


class Sample(tierfold.Entity, partition="{site}"):
    """Its payload has 200 bytes."""

    site: str
    at: int
    value: float
    note: str


def quakes(first: int, count: int, *, net: str | None = None) -> list[Quake]:
    """Earthquakes number ``first`` to ``first + count - 1``, in the twelve networks of the data set or in one."""
    found = _documents()
    return [_quake(found[number % len(found)], number, net) for number in range(first, first + count)]


@cache
def _documents() -> list[dict[str, Any]]:
    return list(data_set().values())


def _quake(document: dict[str, Any], number: int, net: str | None) -> Quake:
    return Quake(
        net=net or document["net"],
        code=f"{document['code']}-{number}",
        place=document["place"],
        title=document["title"],
        mag=float(document["mag"]),
        time=document["time"] + number,
        longitude=float(document["longitude"]),
        latitude=float(document["latitude"]),
        depth_km=float(document["depth_km"]),
        url=document["url"],
    )


def full_quakes(first: int, count: int) -> list[FullQuake]:
    """The same with all thirty fields: about 560 bytes."""
    found = _documents()
    return [
        FullQuake(**found[number % len(found)] | {"usgs_id": f"q{number}"}) for number in range(first, first + count)
    ]


def samples(first: int, count: int, *, site: str = "oslo") -> list[Sample]:
    """Records that differ in everything but their site."""
    numbers = range(first, first + count)
    return [Sample(site=site, at=1_700_000_000_000 + n, value=n / 7, note=f"{n:0155}") for n in numbers]
