"""Removes the samples of days long past. For cron: `nightly.py lmdb:/var/lib/logger lmdb:/srv/office`."""

import sys
from datetime import UTC, datetime, timedelta

from plant import Sample

import tierfold
from tierfold import F


def main(*tiers: str, days: int = 14) -> int:
    with tierfold.blocking.open(*tiers, prefix="plant") as data:
        samples = data.repo(Sample)
        old = samples.query(F.time < datetime.now(UTC) - timedelta(days=days))
        removed = sum(samples.delete(sample.id) for sample in old)
        report = data.sync_now(timeout_s=60)
    print(f"{removed} samples removed")
    for name, link in report.links.items():
        if link.error is not None:
            print(f"{name}: {link.error}; it will hear of it next time", file=sys.stderr)
    return 0 if report.ok else 75  # "try again later"


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
