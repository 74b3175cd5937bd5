"""R9: a forked child cannot use what its parent opened, and nothing it does or how it ends harms the parent."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

START = """
import os, sys
from tierfold.errors import StoreError, StoreForkedError
from tierfold_lmdb.engine import LmdbEngine
engine = LmdbEngine(sys.argv[1])

def put(value):
    txn = engine.begin()
    txn.put(b"a", value)
    txn.commit()

def in_child(work):
    "What work() says in a child; it is minus something when the child failed."
    if os.fork() == 0:
        sys.exit(100 + work())
    return os.waitstatus_to_exitcode(os.wait()[1]) - 100

def is_refused(call):
    try:
        call()
    except StoreForkedError:
        return 1
    return 0

def look():
    with engine.read() as (_, view):
        view.get(b"a")

put(b"old")
"""

EVERY_CALL = """
def work():
    calls = [lambda: engine.fetch(b"a"), engine.transaction_id, look, engine.begin, engine.make_room]
    refused = sum(map(is_refused, calls))
    engine.close()
    return refused
print(in_child(work))
put(b"new")
print(engine.fetch(b"a"))
"""


def test_every_call_in_the_child_is_refused_and_the_parent_goes_on(
    tmp_path: Path, run_script: Callable[..., str]
) -> None:
    assert run_script(START + EVERY_CALL, tmp_path).splitlines() == ["5", "(2, b'new')"]


AGAIN = "print(in_child(lambda: is_refused(lambda: LmdbEngine(sys.argv[1])))); print(engine.fetch(b'a'))"


def test_opening_the_same_file_again_in_the_child_is_refused(tmp_path: Path, run_script: Callable[..., str]) -> None:
    assert run_script(START + AGAIN, tmp_path).splitlines() == ["1", "(1, b'old')"]


OTHER_FILE = """
def work():
    other = LmdbEngine(sys.argv[1] + "/other")
    print(other.fetch(b"a"), flush=True)
    other.close()
    return 0
print(in_child(work))
"""


def test_another_file_can_be_opened_in_the_child(tmp_path: Path, run_script: Callable[..., str]) -> None:
    assert run_script(START + OTHER_FILE, tmp_path).splitlines() == ["(0, None)", "0"]


# Whoever frees the slot of a snapshot lets its pages be used again, under the feet of the reader.
SNAPSHOT = """
def work():
    refused = is_refused(lambda: view.get(b"a"))
    block.__exit__(None, None, None)
    return refused
block = engine.read()
_, view = block.__enter__()
print(in_child(work))
for number in range(20):
    put(b"new %d" % number)
print(view.get(b"a"))
block.__exit__(None, None, None)
"""

RAW_SNAPSHOT = """
import lmdb, os, sys
environment = lmdb.Environment(sys.argv[1])
def put(value):
    with environment.begin(write=True) as txn:
        txn.put(b"a", value)
put(b"old")
snapshot = environment.begin()
if os.fork() == 0:
    snapshot.abort()
    os._exit(0)
os.wait()
for number in range(20):
    put(b"new %d" % number)
try:
    print(snapshot.get(b"a"))
except lmdb.Error as error:
    print(error)
"""


def test_a_snapshot_of_the_parent_outlives_the_childs_end_of_it(tmp_path: Path, run_script: Callable[..., str]) -> None:
    assert run_script(START + SNAPSHOT, tmp_path).splitlines() == ["1", "b'old'"]


def test_with_the_driver_alone_a_child_ends_the_snapshot_of_its_parent(
    tmp_path: Path, run_script: Callable[..., str]
) -> None:
    assert run_script(RAW_SNAPSHOT, tmp_path).strip() != "b'old'"


OPEN_WRITE = """
txn = engine.begin()
txn.put(b"a", b"parent")
def work():
    refused = is_refused(lambda: txn.put(b"a", b"child")) + is_refused(txn.commit)
    txn.abort()
    return refused
print(in_child(work))
txn.commit()
print(engine.fetch(b"a"))
"""


def test_a_child_cannot_write_by_a_transaction_of_its_parent(tmp_path: Path, run_script: Callable[..., str]) -> None:
    assert run_script(START + OPEN_WRITE, tmp_path).splitlines() == ["2", "(2, b'parent')"]


SLOTS = """
engine.fetch(b"a")
rows = engine._environment._env.readers
before = rows()
print(in_child(lambda: 0), before == rows())
"""


def test_the_end_of_a_child_leaves_the_readers_of_its_parent(tmp_path: Path, run_script: Callable[..., str]) -> None:
    assert run_script(START + SLOTS, tmp_path).split() == ["0", "True"]
