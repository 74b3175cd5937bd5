"""Moves the earthquakes of an old database into a store. It may be stopped, and run again: nothing doubles."""

import sqlite3
import sys
from collections.abc import Iterable, Iterator
from contextlib import closing
from itertools import islice

import tierfold
from tierfold import F


class Quake(tierfold.Entity, partition="{net}", id="{code}", index=["mag"]):
    net: str
    code: str
    mag: float | None = None


def rows(old: sqlite3.Connection) -> Iterator[Quake]:
    for net, code, mag in old.execute("select net, code, mag from quake"):
        yield Quake(net=net, code=code, mag=mag)


def batches(quakes: Iterable[Quake], size: int = 1000) -> Iterator[list[Quake]]:
    rest = iter(quakes)
    while batch := list(islice(rest, size)):
        yield batch


def main(database: str, store: str) -> None:
    with closing(sqlite3.connect(database)) as old, tierfold.blocking.open(store) as data:
        quakes = data.repo(Quake)
        for batch in batches(rows(old)):
            quakes.save_many(batch)
        print(f"{quakes.query().count()} earthquakes, {quakes.query(F.mag >= 5).count()} of them strong")


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2])
