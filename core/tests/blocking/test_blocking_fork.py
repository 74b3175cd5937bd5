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
    changes, query, links = data.events(), things.query(), list(data.links.values())
    observed, results, block = things.observe(thing.id), iter(query), data.transaction()
    next(observed)
    if os.fork() == 0:
        calls = {
            "get": lambda: things.get(thing.id),
            "get_many": lambda: things.get_many([thing.id]),
            "save": lambda: things.save(Thing()),
            "delete": lambda: things.delete(thing.id),
            "query": query.all,
            "count": query.count,
            "iterate": lambda: next(iter(query)),
            "iterate on": lambda: next(results),
            "page": query.page,
            "explain": query.explain,
            "indexes": things.indexes,
            "repo": lambda: data.repo("Other").get("global.a"),
            "observe": lambda: list(things.observe(thing.id)),
            "observe on": lambda: list(observed),
            "observe query": lambda: list(query.observe()),
            "events": data.events,
            "events on": lambda: list(changes),
            "transaction": data.transaction,
            "enter": block.__enter__,
            "status": data.status,
            "dirty": lambda: data.dirty,
            "sync_now": data.sync_now,
            "partition": things.partition,
            "link": lambda: links[0].status if links else data.status(),
        }
        print(*[name for name, call in calls.items() if not refused(call)], sep=", ", flush=True)
        observed.close()
        changes.close()
        data.close()
        os._exit(7)
    print(os.waitstatus_to_exitcode(os.wait()[1]))
    assert things.save(Thing(n=2)).version == 1
    assert things.query().count() == 2
    assert data.sync_now().ok
    observed.close()
    assert next(changes).kind == "saved"
"""


@pytest.mark.parametrize("urls", [["memory:"], ["lmdb:a"], ["lmdb:a", "lmdb:b"], ["memory:", "lmdb:a"]], ids=" ".join)
def test_a_forked_child_is_told_to_open_its_own(urls: list[str], tmp_path: Path) -> None:
    run = [sys.executable, "-c", SCRIPT, *urls]
    done = subprocess.run(run, cwd=tmp_path, capture_output=True, text=True, check=False, timeout=15)
    assert (done.stdout.splitlines(), done.stderr) == (["", "7"], "")


HELD_LOCK = """
import os, threading
import tierfold

class Thing(tierfold.Entity):
    n: int = 0

with tierfold.blocking.open("memory:") as data:
    things = data.repo(Thing)
    thing = things.save(Thing(n=1))
    observed = things.observe(thing.id)
    next(observed)
    waiting = threading.Thread(target=lambda: list(observed))
    waiting.start()
    while not observed._lock.locked():
        pass
    if os.fork() == 0:
        try:
            next(observed)
        except tierfold.StoreForkedError:
            os._exit(7)
        os._exit(8)
    print(os.waitstatus_to_exitcode(os.wait()[1]))
    observed.close()
    waiting.join()
"""


def test_a_child_does_not_wait_for_the_thread_that_used_an_observer(tmp_path: Path) -> None:
    run = [sys.executable, "-c", HELD_LOCK]
    done = subprocess.run(run, cwd=tmp_path, capture_output=True, text=True, check=False, timeout=15)
    assert (done.stdout.split(), done.stderr) == (["7"], "")


BLOCK = """
import os
import tierfold
from tierfold.errors import StoreForkedError

class Thing(tierfold.Entity):
    n: int = 0

with tierfold.blocking.open("memory:") as data:
    things = data.repo(Thing)
    try:
        with data.transaction():
            things.save(Thing(n=1))
            child = os.fork() == 0
    except StoreForkedError as error:
        assert "post_fork" in str(error)
        with tierfold.blocking.open("memory:") as own:
            own.repo(Thing).save(Thing(n=2))
            os._exit(own.repo(Thing).query().count())
    print(os.waitstatus_to_exitcode(os.wait()[1]), things.query().count())
"""


def test_a_child_that_leaves_its_parents_transaction_is_in_none(tmp_path: Path) -> None:
    run = [sys.executable, "-c", BLOCK]
    done = subprocess.run(run, cwd=tmp_path, capture_output=True, text=True, check=False, timeout=15)
    assert (done.stdout.split(), done.stderr) == (["1", "1"], "")


REOPEN = """
import os, sys
import tierfold
with tierfold.blocking.open(*sys.argv[1:]):
    if os.fork() == 0:
        try:
            tierfold.blocking.open(*sys.argv[1:]).__enter__()
        except tierfold.StoreForkedError as error:
            print(error, flush=True)
        os._exit(0)
    os.wait()
"""


def test_a_child_that_opens_the_same_store_again_is_told_what_to_do(tmp_path: Path) -> None:
    run = [sys.executable, "-c", REOPEN, "lmdb:a"]
    done = subprocess.run(run, cwd=tmp_path, capture_output=True, text=True, check=False, timeout=15)
    assert "open when this process was forked" in done.stdout
    assert "`post_fork`" in done.stdout


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
