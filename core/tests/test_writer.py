"""Who runs units, in which order their commits are told, and what one unit's failure does to the others."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable, Iterator
from threading import Event, Thread, get_ident
from typing import Any, cast

import anyio
import pytest

from tierfold.abc.engine import WriteTransaction
from tierfold.errors import BlockingCallError, StoreClosedError, StoreError, StoreFullError, StoreTimeoutError
from tierfold.kv.memory import MemoryEngine
from tierfold.kv.writer import InlineWriter, Writer, WriterThread, start_writer

MIB = 1024 * 1024


class Rows:
    """A session that remembers its keys and writes them at once."""

    def __init__(self, txn: WriteTransaction) -> None:
        self.txn = txn
        self.keys: list[bytes] = []
        self.size_bytes = 0

    def put(self, key: bytes, size_bytes: int) -> None:
        self.txn.put(key, b"")
        self.keys.append(key)
        self.size_bytes += size_bytes

    def flush(self) -> None:
        self.txn.put(b"last", self.keys[-1])


class Put:
    """A unit that can be told to refuse, to break off after its put, and to hold the writer until released."""

    def __init__(
        self, name: str, *, size_bytes: int = 1, refuse: bool = False, unless: bytes = b"", spoil: bool = False
    ) -> None:
        self.key = name.encode()
        self.unless = unless
        self.size_bytes = size_bytes
        self.refuse = refuse
        self.spoil = spoil
        self.started = Event()
        self.released = Event()
        self.released.set()

    def held(self) -> Put:
        self.released.clear()
        return self

    def check(self, session: Rows) -> None:
        if self.refuse or (self.unless and session.txn.get(self.unless) is not None):
            raise StoreError(f"{self.key!r} is refused")

    def put(self, session: Rows) -> str:
        self.started.set()
        self.released.wait(10)
        session.put(self.key, self.size_bytes)
        if self.spoil:
            raise RuntimeError(f"{self.key!r} is broken")
        return self.key.decode()


class Scene:
    """A memory engine, a writer on it and what was delivered."""

    def __init__(
        self,
        kind: type[Writer[Rows]],
        engine: MemoryEngine | None = None,
        on_delivery: Callable[[], object] = lambda: None,
    ) -> None:
        self.engine = engine or MemoryEngine("test")
        self.delivered: list[list[str]] = []
        self.on_delivery = on_delivery
        self.writer = kind(self.engine, Rows, self._deliver)

    def _deliver(self, session: Rows) -> None:
        self.delivered.append([key.decode() for key in session.keys])
        self.on_delivery()

    @property
    def told(self) -> list[str]:
        return [name for names in self.delivered for name in names]

    def stored(self) -> list[str]:
        with self.engine.read() as (_, txn):
            return [key.decode() for key, _ in txn.scan(b"\x00", b"\xff") if key != b"last"]


@pytest.fixture
def make_scene() -> Iterator[Callable[..., Scene]]:
    made: list[Scene] = []

    def make(*arguments: object, **options: object) -> Scene:
        made.append(Scene(*arguments, **options))  # type: ignore[arg-type] # passed on as given
        return made[-1]

    yield make
    for scene in made:
        scene.writer.close()


Make = Callable[..., Scene]
both = pytest.mark.parametrize("kind", [InlineWriter, WriterThread])


def run_group(scene: Scene, *units: Put) -> list[Exception | str]:
    """Run units in one transaction of a writer thread, and return what became of each."""
    holder = Put("holder").held()
    scene.writer.submit(holder)
    holder.started.wait(10)
    tickets = [scene.writer.submit(unit) for unit in units]
    holder.released.set()
    scene.writer.close()
    return [ticket._error or ticket.result() for ticket in tickets]


# --- groups ------------------------------------------------------------------------------------------------------


def test_units_that_wait_together_commit_together(make_scene: Make) -> None:
    scene = make_scene(WriterThread)
    assert run_group(scene, Put("a"), Put("b")) == ["a", "b"]
    assert scene.delivered == [["holder", "a", "b"]]


def test_a_unit_that_is_refused_fails_alone_and_leaves_nothing(make_scene: Make) -> None:
    scene = make_scene(WriterThread)
    outcomes = run_group(scene, Put("a"), Put("b", refuse=True), Put("c"))
    assert (outcomes[0], type(outcomes[1]), outcomes[2]) == ("a", StoreError, "c")
    assert scene.delivered == [["holder", "a", "c"]]
    assert scene.stored() == ["a", "c", "holder"]


def test_a_unit_that_raises_inside_a_group_leaves_nothing_and_disturbs_nobody(make_scene: Make) -> None:
    scene = make_scene(WriterThread)
    outcomes = run_group(scene, Put("a"), Put("b", spoil=True), Put("c"))
    assert (outcomes[0], type(outcomes[1]), outcomes[2]) == ("a", RuntimeError, "c")
    assert scene.delivered == [["holder"], ["a"], ["c"]]
    assert scene.stored() == ["a", "c", "holder"]


def test_a_group_that_only_refuses_commits_nothing(make_scene: Make) -> None:
    scene = make_scene(WriterThread)
    with pytest.raises(StoreError, match="refused"):
        scene.writer.run_blocking(Put("a", refuse=True))
    assert (scene.delivered, scene.engine.transaction_id()) == ([], 0)


def test_a_group_ends_at_four_mebibytes(make_scene: Make) -> None:
    scene = make_scene(WriterThread)
    run_group(scene, *(Put(name, size_bytes=3 * MIB) for name in "abcd"))
    assert scene.delivered == [["holder", "a", "b"], ["c", "d"]]


def test_a_group_ends_after_fifty_milliseconds(make_scene: Make) -> None:
    scene = make_scene(WriterThread)
    slow = Put("slow").held()

    def release_late() -> None:
        slow.started.wait(10)
        Event().wait(0.06)
        slow.released.set()

    Thread(target=release_late).start()
    run_group(scene, slow, Put("a"))
    assert scene.delivered == [["holder", "slow"], ["a"]]


def test_another_process_gets_its_turn_between_full_groups(make_scene: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    """Who takes the writing lock again at once leaves nothing to those who wait for it."""
    engine = MemoryEngine("shared")
    turns: list[tuple[float, int, int]] = []

    def write_elsewhere(pause_s: float) -> None:
        before = engine.commits
        txn = engine.begin()
        txn.put(b"elsewhere", str(before).encode())
        txn.commit()
        turns.append((pause_s, before, engine.commits))

    monkeypatch.setattr("tierfold.kv.writer.time.sleep", write_elsewhere)
    scene = make_scene(WriterThread, engine)
    run_group(scene, *(Put(name, size_bytes=5 * MIB) for name in "abc"))
    assert scene.delivered == [["holder", "a"], ["b"], ["c"]]
    assert turns[:2] == [(0.0002, 1, 2), (0.0002, 3, 4)]


class SmallEngine(MemoryEngine):
    """Holds a few bytes of keys, and can be asked for more a few times."""

    def __init__(self, room: int, growths: int = 0) -> None:
        super().__init__("small")
        self.room = room
        self.growths = growths

    def begin(self) -> WriteTransaction:
        return cast(WriteTransaction, Filling(super().begin(), self))

    def make_room(self) -> bool:
        self.growths -= 1
        self.room += 10 * (self.growths >= 0)
        return self.growths >= 0


class Filling:
    def __init__(self, txn: WriteTransaction, engine: SmallEngine) -> None:
        self._txn = txn
        self._engine = engine

    def __getattr__(self, name: str) -> Any:
        return getattr(self._txn, name)

    def commit(self) -> None:
        if sum(len(key) for key, _ in self._txn.scan(b"\x00", b"\xff")) > self._engine.room:
            raise StoreFullError("no room")
        self._txn.commit()


def test_a_full_map_fails_only_the_unit_that_is_too_big(make_scene: Make) -> None:
    scene = make_scene(WriterThread, SmallEngine(room=20))
    outcomes = run_group(scene, Put("a"), Put("b" * 100), Put("c"))
    assert (outcomes[0], type(outcomes[1]), outcomes[2]) == ("a", StoreFullError, "c")
    assert scene.stored() == ["a", "c", "holder"]


def test_a_unit_refused_because_of_one_that_never_happened_is_asked_again(make_scene: Make) -> None:
    scene = make_scene(WriterThread, SmallEngine(room=20))
    outcomes = run_group(scene, Put("a" * 100), Put("b", unless=b"a" * 100))
    assert isinstance(outcomes[0], StoreFullError)
    assert outcomes[1] == "b"
    assert scene.stored() == ["b", "holder"]


@both
def test_a_full_map_is_enlarged_and_the_unit_repeated(make_scene: Make, kind: type[Writer[Rows]]) -> None:
    scene = make_scene(kind, SmallEngine(room=10, growths=3))
    assert scene.writer.run_blocking(Put("a" * 30)) == "a" * 30
    with pytest.raises(StoreFullError):
        scene.writer.run_blocking(Put("b" * 30))
    assert scene.told == ["a" * 30]


# --- order of events and callers ---------------------------------------------------------------------------------


@both
def test_events_come_in_commit_order_and_before_each_caller_returns(make_scene: Make, kind: type[Writer[Rows]]) -> None:
    scene = make_scene(kind)
    late: list[str] = []

    def write(prefix: str) -> None:
        for number in range(100):
            name = scene.writer.run_blocking(Put(f"{prefix}{number}"))
            if name not in scene.told:
                late.append(name)

    threads = [Thread(target=write, args=(prefix,)) for prefix in "abcd"]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert late == []
    with scene.engine.read() as (_, txn):
        assert txn.get(b"last") == scene.told[-1].encode()
    assert all([n for n in scene.told if n[0] == p] == [f"{p}{number}" for number in range(100)] for p in "abcd")


@pytest.mark.anyio
@both
async def test_the_event_is_out_before_an_awaited_call_returns(make_scene: Make, kind: type[Writer[Rows]]) -> None:
    scene = make_scene(kind)
    late: list[str] = []

    async def write(prefix: str) -> None:
        for number in range(20):
            name = await scene.writer.run(Put(f"{prefix}{number}"))
            if name not in scene.told:
                late.append(name)

    async with anyio.create_task_group() as tasks:
        for prefix in "abcdefgh":
            tasks.start_soon(write, prefix)
    assert (late, len(scene.told)) == ([], 160)


def test_without_a_waiter_the_writer_delivers_itself(make_scene: Make) -> None:
    threads: list[int] = []
    delivered = Event()

    def note() -> None:
        threads.append(get_ident())
        delivered.set()

    scene = make_scene(WriterThread, on_delivery=note)
    scene.writer.submit(Put("a"))
    assert delivered.wait(10)
    assert threads != [get_ident()]


def test_a_delivery_that_raises_is_logged_and_the_call_returns(
    make_scene: Make, caplog: pytest.LogCaptureFixture
) -> None:
    def fail() -> None:
        raise RuntimeError("a subscriber is broken")

    scene = make_scene(WriterThread, on_delivery=fail)
    assert scene.writer.run_blocking(Put("a")) == "a"
    assert scene.writer.run_blocking(Put("b")) == "b"
    assert [record.message for record in caplog.records] == ["a commit could not be delivered"] * 2


def test_a_unit_submitted_in_a_delivery_is_delivered_after_it(make_scene: Make) -> None:
    scene = make_scene(InlineWriter)
    more = [Put("b"), Put("c")]
    scene.on_delivery = lambda: more and scene.writer.submit(more.pop(0))
    scene.writer.run_blocking(Put("a"))
    assert scene.delivered == [["a"], ["b"], ["c"]]


# --- cancelling, timing out, ended loops ---------------------------------------------------------------------------


@pytest.mark.anyio
async def test_a_unit_whose_caller_is_cancelled_before_it_starts_does_not_run(make_scene: Make) -> None:
    scene = make_scene(WriterThread)
    holder = Put("holder").held()
    scene.writer.submit(holder)
    with anyio.move_on_after(0.01) as cancelled:
        await scene.writer.run(Put("a"))
    assert cancelled.cancelled_caught
    holder.released.set()
    assert await scene.writer.run(Put("b")) == "b"
    assert scene.stored() == ["b", "holder"]


async def give_up_once_started(scene: Scene, unit: Put) -> None:
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(scene.writer.run, unit)
        await anyio.to_thread.run_sync(unit.started.wait, 10)
        tasks.cancel_scope.cancel()


@pytest.mark.anyio
async def test_the_event_comes_out_though_its_caller_was_cancelled_after_the_start(make_scene: Make) -> None:
    delivered = anyio.Event()
    scene = make_scene(WriterThread, on_delivery=delivered.set)
    unit = Put("a").held()
    await give_up_once_started(scene, unit)
    unit.released.set()
    with anyio.fail_after(5):
        await delivered.wait()
    assert (scene.told, scene.stored()) == (["a"], ["a"])


@pytest.mark.parametrize("backend", ["asyncio", "trio"])
def test_a_loop_closed_while_the_writer_works_harms_nobody(make_scene: Make, backend: str) -> None:
    delivered = Event()
    scene = make_scene(WriterThread, on_delivery=delivered.set)
    unit = Put("a").held()

    anyio.run(give_up_once_started, scene, unit, backend=backend)
    unit.released.set()
    assert delivered.wait(10)
    assert scene.writer.run_blocking(Put("b")) == "b"
    assert scene.told == ["a", "b"]


def test_a_blocking_call_that_times_out_before_the_start_is_withdrawn(make_scene: Make) -> None:
    scene = make_scene(WriterThread)
    holder = Put("holder").held()
    scene.writer.submit(holder)
    with pytest.raises(StoreTimeoutError, match="has not started"):
        scene.writer.run_blocking(Put("a"), timeout_s=0.01)
    holder.released.set()
    scene.writer.close()
    assert scene.told == ["holder"]


def test_a_blocking_call_that_times_out_after_the_start_leaves_commit_and_event(make_scene: Make) -> None:
    delivered = Event()
    scene = make_scene(WriterThread, on_delivery=delivered.set)
    unit = Put("a").held()
    with pytest.raises(StoreTimeoutError, match="goes on"):
        scene.writer.run_blocking(unit, timeout_s=0.3)
    unit.released.set()
    assert delivered.wait(10)
    assert scene.stored() == ["a"]


# --- blocking where it must not ------------------------------------------------------------------------------------


@pytest.mark.anyio
@both
async def test_a_blocking_call_in_an_event_loop_is_refused(make_scene: Make, kind: type[Writer[Rows]]) -> None:
    with pytest.raises(BlockingCallError, match="event loop"):
        make_scene(kind).writer.run_blocking(Put("a"))


@both
def test_a_blocking_call_or_a_close_in_a_delivery_is_refused(make_scene: Make, kind: type[Writer[Rows]]) -> None:
    refused: list[Exception] = []

    def call_back() -> None:
        for call in (lambda: scene.writer.run_blocking(Put("b")), scene.writer.close):
            try:
                call()
            except BlockingCallError as error:
                refused.append(error)

    scene = make_scene(kind, on_delivery=call_back)
    scene.writer.run_blocking(Put("a"))
    assert len(refused) == 2
    assert scene.told == ["a"]


def test_an_inline_unit_adds_no_suspension(make_scene: Make) -> None:
    call = make_scene(InlineWriter).writer.run(Put("a"))
    with pytest.raises(StopIteration) as returned:
        call.send(None)
    assert returned.value.value == "a"


# --- ends ----------------------------------------------------------------------------------------------------------


def test_closing_runs_what_was_submitted_and_refuses_the_rest(make_scene: Make) -> None:
    scene = make_scene(WriterThread)
    holder = Put("holder").held()
    scene.writer.submit(holder)
    tickets = [scene.writer.submit(Put(name, size_bytes=5 * MIB)) for name in "abc"]
    Thread(target=holder.released.set).start()
    scene.writer.close()
    assert [ticket.result() for ticket in tickets] == ["a", "b", "c"]
    assert scene.told == ["holder", "a", "b", "c"]


@both
def test_a_closed_writer_refuses_units_and_closes_again(make_scene: Make, kind: type[Writer[Rows]]) -> None:
    writer = make_scene(kind).writer
    writer.close()
    writer.close()
    with pytest.raises(StoreClosedError):
        writer.submit(Put("a"))
    with pytest.raises(StoreClosedError):
        writer.run_blocking(Put("a"))


def test_an_engine_that_is_closed_first_fails_the_unit_and_not_the_thread(make_scene: Make) -> None:
    scene = make_scene(WriterThread)
    scene.engine.close()
    for _ in range(2):
        with pytest.raises(StoreClosedError):
            scene.writer.run_blocking(Put("a"))


def test_a_durable_engine_gets_the_thread_and_another_does_not() -> None:
    writer = start_writer(MemoryEngine("test"), Rows, lambda _: None)
    assert isinstance(writer, InlineWriter)


IN_A_CHILD = """
import os, sys, warnings
warnings.simplefilter("ignore")
from tierfold.errors import StoreForkedError
from tierfold.kv.memory import MemoryEngine
from tierfold.kv.writer import InlineWriter, WriterThread

class Rows:
    size_bytes = 0
    def __init__(self, txn): self.txn = txn
    def flush(self): pass

class Put:
    def check(self, session): pass
    def put(self, session): session.txn.put(b"a", b"")

engine = MemoryEngine("test")
writer = globals()[sys.argv[1]](engine, Rows, lambda _: None)
writer.run_blocking(Put())
if os.fork() == 0:
    refused = 0
    write, read = lambda: writer.run_blocking(Put()), lambda: engine.fetch(b"a")
    for call in (lambda: writer.submit(Put()), write, read, engine.begin):
        try:
            call()
        except StoreForkedError:
            refused += 1
    writer.close()
    sys.exit(refused)
print(os.waitstatus_to_exitcode(os.wait()[1]))
writer.run_blocking(Put())
writer.close()
print(engine.transaction_id())
"""


@pytest.mark.parametrize("kind", ["InlineWriter", "WriterThread"])
def test_a_forked_child_is_refused_and_the_parent_goes_on(kind: str) -> None:
    answer = subprocess.run(
        [sys.executable, "-c", IN_A_CHILD, kind], capture_output=True, text=True, check=True, timeout=15
    )
    assert answer.stdout.split() == ["4", "2"]
