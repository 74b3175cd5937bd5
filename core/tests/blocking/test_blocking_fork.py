"""A forked child is told what to do instead, whatever it calls, and leaves its parent's layer alone."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

SCRIPT = """
import os, sys
import tierfold
from tierfold.errors import StoreForkedError

class Thing(tierfold.Entity, index=["n"]):
    n: int = 0

def refused(call):
    try:
        call()
    except StoreForkedError as error:
        return "post_fork" in str(error)
    return False

with tierfold.blocking.open(*sys.argv[1:]) as data:
    things = data.repo(Thing)
    thing = things.save(Thing(n=1))
    changes, query = data.events(), things.query()
    if os.fork() == 0:
        calls = {
            "get": lambda: things.get(thing.id),
            "get_many": lambda: things.get_many([thing.id]),
            "save": lambda: things.save(Thing()),
            "delete": lambda: things.delete(thing.id),
            "query": query.all,
            "count": query.count,
            "iterate": lambda: next(iter(query)),
            "indexes": things.indexes,
            "repo": lambda: data.repo("Other").get("global.a"),
            "observe": lambda: list(things.observe(thing.id, timeout_s=5)),
        }
        print(*[name for name, call in calls.items() if not refused(call)], flush=True)
        data.close()
        os._exit(7)
    print(os.waitstatus_to_exitcode(os.wait()[1]))
    assert things.save(Thing(n=2)).version == 1
    assert things.query().count() == 2
    assert data.sync_now().ok
"""


@pytest.mark.parametrize("urls", [["memory:"], ["lmdb:a"], ["lmdb:a", "lmdb:b"]], ids=" ".join)
def test_a_forked_child_is_told_to_open_its_own(urls: list[str], tmp_path: Path) -> None:
    run = [sys.executable, "-c", SCRIPT, *urls]
    done = subprocess.run(run, cwd=tmp_path, capture_output=True, text=True, check=False, timeout=15)
    assert (done.stdout.splitlines(), done.stderr) == (["", "7"], "")


WORKERS = """
import os, sys
import tierfold

class Thing(tierfold.Entity):
    n: int = 0

for number in range(3):
    if os.fork() == 0:
        with tierfold.blocking.open(*sys.argv[1:]) as data:
            data.repo(Thing).save(Thing(n=number))
        os._exit(0)
for _ in range(3):
    assert os.waitstatus_to_exitcode(os.wait()[1]) == 0
with tierfold.blocking.open(*sys.argv[1:]) as data:
    print(sorted(thing.n for thing in data.repo(Thing).query()))
"""


def test_workers_that_open_their_own_layer_share_the_store(tmp_path: Path) -> None:
    run = [sys.executable, "-c", WORKERS, "lmdb:a"]
    done = subprocess.run(run, cwd=tmp_path, capture_output=True, text=True, check=False, timeout=15)
    assert (done.stdout.splitlines(), done.stderr) == (["[0, 1, 2]"], "")
