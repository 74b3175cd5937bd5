"""The data set of the demo, and the entity class for it, declared as any program would declare one."""

from __future__ import annotations

import gzip
from importlib.resources import files
from typing import Any, Final

import msgspec

import tierfold

__all__ = ["Quake", "data_set"]

_FILE: Final = "usgs-earthquakes.ndjson.gz"


class Quake(tierfold.Entity, partition="{net}", id="{usgs_id}"):
    """An earthquake as the United States Geological Survey published it; a partition holds those of one network."""

    usgs_id: str
    net: str
    place: str
    title: str
    mag: int | float
    magType: str  # noqa: N815 - fields are called as in the data
    time: int
    updated: int
    tz: int
    longitude: int | float
    latitude: int | float
    depth_km: int | float
    status: str
    type: str
    types: str
    code: str
    ids: str
    sources: str
    url: str
    detail: str
    tsunami: int
    sig: int
    alert: str | None
    felt: int | None
    cdi: int | float | None
    mmi: int | float | None
    nst: int | None
    dmin: int | float | None
    rms: int | float | None
    gap: int | float | None


def data_set() -> dict[str, dict[str, Any]]:
    """The documents by the id that they get as entities. See `data/SOURCE.md`."""
    lines = gzip.decompress(files("tierfold.demo").joinpath("data", _FILE).read_bytes()).splitlines()
    documents = [msgspec.json.decode(line, type=dict[str, Any]) for line in lines]
    return {f"{document['net']}.{document['usgs_id']}": document for document in documents}
