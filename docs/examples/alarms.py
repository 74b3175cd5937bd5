"""Alarms that are raised here and acknowledged anywhere."""

from datetime import datetime

import tierfold
from tierfold import DataLayer


class Alarm(tierfold.Entity, partition="{site}", id="{door}"):
    site: str
    door: str
    since: datetime
    seen_by: str | None = None


async def raise_alarm(data: DataLayer, site: str, door: str, now: datetime) -> Alarm:
    """The alarm of a door; there is one at most, however often the door reports."""
    alarms = data.repo(Alarm)
    known = await alarms.get(f"{site}.{door}")
    return known or await alarms.save(Alarm(site=site, door=door, since=now))


async def acknowledge(data: DataLayer, id: str, by: str) -> Alarm:
    def note(alarm: Alarm) -> None:
        alarm.seen_by = alarm.seen_by or by

    return await data.repo(Alarm).modify(id, note)


async def unseen(data: DataLayer) -> list[Alarm]:
    return await data.repo(Alarm).query({"seen_by": None}, sort=["since"]).all()
