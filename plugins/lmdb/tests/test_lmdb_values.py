"""R6: what is read is the caller's own bytes, not a view of the map, which changes and goes away underneath."""

from __future__ import annotations

import signal
import subprocess
import sys
from pathlib import Path

from tierfold_lmdb.engine import LmdbEngine

ROWS = [(b"%02d" % number, bytes([number]) * 3_000) for number in range(20)]


def test_what_was_read_outlives_its_transaction_later_writes_and_the_engine(tmp_path: Path) -> None:
    engine = LmdbEngine(str(tmp_path))
    txn = engine.begin()
    txn.put_sorted(ROWS)
    found = [txn.get(b"00"), txn.get_many([b"01"])[0]]
    txn.commit()
    with engine.read() as (_, view):
        found += [view.get(b"02"), view.get_many([b"03"])[0]]
        pairs = [*view.scan(b"04", b"19"), view.last(b"", b"\xff")]
    found.append(engine.fetch(b"00")[1])
    for _ in range(5):
        txn = engine.begin()
        txn.put_sorted([(key, b"!" * 3_000) for key, _ in ROWS])
        txn.commit()
    engine.close()
    assert {type(part) for pair in pairs if pair for part in pair} | {type(value) for value in found} == {bytes}
    assert found == [ROWS[number][1] for number in (0, 1, 2, 3, 0)]
    assert pairs == ROWS[4:]


VIEW = """
import lmdb, sys
environment = lmdb.Environment(sys.argv[1])
def write(value):
    with environment.begin(write=True) as txn:
        txn.put(b"a", value * 3_000)
write(b"x")
reader = environment.begin(buffers=True)
view = reader.get(b"a")
reader.abort()
for value in (b"1", b"2", b"3"):
    write(value)
print(bytes(view[:1]).decode(), flush=True)
environment.close()
print(bytes(view[:1]))
"""


def test_with_the_driver_alone_a_view_changes_after_its_transaction_and_kills_the_process_after_closing(
    tmp_path: Path,
) -> None:
    command = [sys.executable, "-c", VIEW, str(tmp_path)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.stdout.strip() in {"1", "2", "3"}
    assert done.returncode == -signal.SIGSEGV
