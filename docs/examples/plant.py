"""What the programs of a plant have in common: the entities, declared in one place."""

from datetime import datetime

import tierfold


class Sample(tierfold.Entity, partition="date(time, day)", id="{sensor}-{time:%H%M%S%f}", index=["time"]):
    sensor: str
    time: datetime
    celsius: float
