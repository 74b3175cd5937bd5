"""Version 2 of a class, and a program that stores all readings as it has them, when no version 1 is left."""

import sys
from typing import Any

import tierfold


def celsius_and_place(document: dict[str, Any]) -> dict[str, Any]:
    """Version 1 had the temperature in Fahrenheit, as ``temp``, and no room."""
    fahrenheit = document.pop("temp", None)
    celsius = None if fahrenheit is None else round((fahrenheit - 32) / 1.8, 1)
    return {**document, "celsius": celsius, "room": "unknown"}


class Reading(tierfold.Entity, partition="{site}", schema=2, upgrade={1: celsius_and_place}, index=["celsius"]):
    site: str
    room: str
    celsius: float | None = None


def main(store: str) -> None:
    with tierfold.blocking.open(store) as data:
        readings = data.repo(Reading)
        upgraded = 0
        for reading in readings.query():
            stored = readings.get_stored(reading.id)
            if stored is not None and stored.meta.schema < 2:
                readings.save(stored.value, if_match=stored.meta.etag)
                upgraded += 1
        print(f"{upgraded} of {readings.query().count()} readings upgraded")


if __name__ == "__main__":
    main(sys.argv[1])
