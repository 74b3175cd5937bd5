"""The layer without an event loop: every call, in any thread, and nothing in the thread of a loop."""

from __future__ import annotations

import inspect
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, TypeVar

import anyio
import pytest
from core.tests.layer.remote import Remote

import tierfold
from tierfold import F, blocking
from tierfold.errors import BlockingCallError, TransactionError
from tierfold.testing.faults import FlakyStore

T = TypeVar("T")


class Thing(tierfold.Entity, partition="{site}", index=["n"]):
    site: str = "oslo"
    n: int = 0


class Other(tierfold.Entity):
    name: str


@pytest.fixture(params=["memory", "lmdb", "two tiers"])
def data(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[blocking.DataLayer]:
    urls = {
        "memory": ["memory:"],
        "lmdb": [f"lmdb:{tmp_path / 'a'}"],
        "two tiers": [f"lmdb:{tmp_path / 'a'}", f"lmdb:{tmp_path / 'b'}"],
    }
    with blocking.open(*urls[request.param]) as layer:
        yield layer


# --- every call --------------------------------------------------------------------------------------------------


def test_entities_are_saved_read_changed_and_deleted(data: blocking.DataLayer) -> None:
    things = data.repo(Thing)
    thing = things.save(Thing(n=1))
    assert thing.version == 1
    assert things.get(thing.id) == thing
    assert things.get("oslo.none") is None
    stored = things.get_stored(thing.id)
    assert stored is not None
    assert stored.value == thing
    assert things.meta(thing.id) == stored.meta
    assert things.modify(thing.id, lambda read: setattr(read, "n", 2)).n == 2
    with pytest.raises(tierfold.StaleWriteError):
        things.save(thing, if_match=stored.meta.etag)
    with pytest.raises(tierfold.AlreadyExistsError):
        things.create(Thing(id=thing.id))
    moved = things.move(thing.id, site="rome")
    assert moved.id.startswith("rome.")
    more = things.save_many([Thing(n=3), Thing(n=4)])
    assert list(things.get_many([more[0].id, "oslo.none", moved.id])) == [more[0].id, moved.id]
    assert things.delete(moved.id)
    assert not things.delete(moved.id)
    assert things.load(things.dump(more[0])) == more[0]
    assert (data.repo("Thing").get(more[1].id) or {})["n"] == 4


def test_queries_are_iterated_paged_counted_and_explained(data: blocking.DataLayer) -> None:
    things = data.repo(Thing)
    saved = things.save_many(Thing(n=number) for number in range(600))
    query = things.query(F.n >= 300, sort=["n"])
    assert [thing.n for thing in query] == [*range(300, 600)]
    assert query.all() == saved[300:]
    assert query.first() == saved[300]
    assert query.count() == 300
    page = query.page(size=2)
    assert list(query.page(after=page.next, size=2)) == saved[302:304]
    assert query.explain().returned == 300
    assert [index.path for index in things.indexes()] == [("n",)]
    assert repr(query).startswith("<Query of Thing")


def test_a_transaction_stores_all_or_nothing(data: blocking.DataLayer) -> None:
    things = data.repo(Thing)
    with data.transaction():
        thing = things.save(Thing(n=1))
        with data.transaction():
            data.repo(Other).save(Other(name="a"))
        assert things.get(thing.id) == thing
        assert things.query(F.n == 1).all() == [thing]
        with pytest.raises(TransactionError):
            data.sync_now()
    assert thing.version == 1
    assert things.get(thing.id) == thing

    def block() -> None:
        with data.transaction():
            things.delete(thing.id)
            raise KeyError

    with pytest.raises(KeyError):
        block()
    assert things.get(thing.id) == thing


def test_a_transaction_is_seen_by_its_own_thread_alone(data: blocking.DataLayer) -> None:
    things = data.repo(Thing)
    with ThreadPoolExecutor(1) as other, data.transaction():
        thing = things.save(Thing())
        assert other.submit(things.get, thing.id).result() is None
        theirs = other.submit(things.save, Thing(n=2)).result()
        assert theirs.version == 1
        assert things.get(theirs.id) == theirs


def test_a_conflicting_write_of_another_thread_is_stale(data: blocking.DataLayer) -> None:
    things = data.repo(Thing)
    thing = things.save(Thing())

    def block(other: ThreadPoolExecutor) -> None:
        with data.transaction():
            things.modify(thing.id, lambda read: setattr(read, "n", 1))
            other.submit(things.modify, thing.id, lambda read: setattr(read, "n", 2)).result()

    with ThreadPoolExecutor(1) as other, pytest.raises(tierfold.StaleWriteError) as raised:
        block(other)
    assert isinstance(raised.value.current, Thing)
    assert raised.value.current.n == 2


def test_changes_are_told_to_plain_loops(data: blocking.DataLayer) -> None:
    things = data.repo(Thing)
    with data.events(timeout_s=0.05) as changes:
        assert list(changes) == []
        thing = things.save(Thing())
        assert next(changes).id == thing.id
        assert changes.lagged == 0
        with ThreadPoolExecutor(1) as other:
            waiting = other.submit(next, data.events(timeout_s=10))
            while not waiting.running():
                pass
            later = things.save(Thing())
            assert [change.id for change in changes] == [later.id]
            things.save(Thing())
            assert waiting.result().kind == "saved"
    assert changes.closed
    assert data.status().durable is not None


def ready(live: blocking.Live[T]) -> tierfold.Snapshot[T]:
    """The first snapshot that is not of what is still being brought down."""
    return next(snapshot for snapshot in live if snapshot.state == "ready")


def test_observers_are_plain_loops(data: blocking.DataLayer) -> None:
    things = data.repo(Thing)
    thing = things.save(Thing(n=1))
    one, several = things.observe(thing.id, timeout_s=5), things.query(F.n >= 1).observe(timeout_s=5)
    everything = things.observe_all(timeout_s=5)
    for live in (several, everything):
        assert [each.id for each in ready(live).value] == [thing.id]
    assert ready(one).value == thing
    with ThreadPoolExecutor(1) as other:
        waiting = other.submit(next, one)
        thing.n = 5
        things.save(thing)
        assert waiting.result().value == thing
    assert next(several).value == [thing]
    for live in (several, everything):
        live.close()
        assert [snapshot.value for snapshot in live][1:] == []


def test_a_closed_layer_ends_its_loops_and_refuses_calls(data: blocking.DataLayer) -> None:
    changes, things = data.events(), data.repo(Thing)
    with ThreadPoolExecutor(1) as other:
        waiting = other.submit(list, changes)
        data.close()
        assert waiting.result() == []
    data.close(timeout_s=1)
    with pytest.raises(tierfold.StoreClosedError):
        things.save(Thing())
    with pytest.raises(tierfold.StoreClosedError):
        things.get("oslo.a")
    with pytest.raises(tierfold.StoreClosedError):
        data.sync_now()
    assert data.dirty is False


def test_many_threads_use_one_layer(data: blocking.DataLayer) -> None:
    data.repo(Thing).save(Thing(id="oslo.count"))

    def work(number: int) -> None:
        things = data.repo(Thing)
        for _ in range(10):
            things.modify("oslo.count", lambda thing: setattr(thing, "n", thing.n + 1))
            things.save(Thing(site=f"s{number}"))

    with ThreadPoolExecutor(8) as threads:
        list(threads.map(work, range(8)))
    counted = data.repo(Thing).get("oslo.count")
    assert counted is not None
    assert counted.n == 80
    assert data.repo(Thing).query().count() == 81


# --- where it must not be called ---------------------------------------------------------------------------------

CALLS: dict[str, Callable[[blocking.DataLayer], object]] = {
    "repo": lambda data: data.repo(Other),
    "get": lambda data: data.repo(Thing).get("oslo.a"),
    "save": lambda data: data.repo(Thing).save(Thing()),
    "query": lambda data: data.repo(Thing).query(),
    "transaction": lambda data: data.transaction(),
    "events": lambda data: data.events(),
    "status": lambda data: data.status(),
    "sync_now": lambda data: data.sync_now(),
    "close": lambda data: data.close(),
}


@pytest.mark.parametrize("backend", ["asyncio", "trio"])
def test_every_call_is_refused_in_the_thread_of_a_loop(data: blocking.DataLayer, backend: str) -> None:
    things = data.repo(Thing)
    query, changes, live = things.query(), data.events(), things.observe("oslo.a")
    calls: list[Callable[[], object]] = [
        *(lambda call=call: call(data) for call in CALLS.values()),
        lambda: things.get("oslo.a"),
        lambda: things.save(Thing()),
        lambda: things.observe("oslo.a"),
        things.indexes,
        query.all,
        query.count,
        lambda: next(iter(query)),
        lambda: next(changes),
        lambda: next(live),
        lambda: blocking.open("memory:").__enter__(),
        lambda: data.dirty,
    ]

    async def call_all() -> None:
        for call in calls:
            with pytest.raises(BlockingCallError, match="event loop"):
                call()

    anyio.run(call_all, backend=backend)
    assert things.save(Thing()).version == 1


def test_a_thread_beside_a_loop_may_call_it(data: blocking.DataLayer) -> None:
    async def save() -> Thing:
        return await anyio.to_thread.run_sync(data.repo(Thing).save, Thing())

    things = data.repo(Thing)

    async def beside() -> Thing:
        return await anyio.to_thread.run_sync(things.save, Thing())

    assert anyio.run(beside).version == 1


def test_calls_may_be_made_while_a_change_is_computed(data: blocking.DataLayer) -> None:
    things = data.repo(Thing)
    thing, other = things.save_many([Thing(n=1), Thing(n=2)])

    def change(read: Thing) -> None:
        found = things.get(other.id)
        assert found is not None
        found.n = 9
        read.n = things.save(found).n

    assert things.modify(thing.id, change).n == 9


# --- threads and imports -----------------------------------------------------------------------------------------

SCRIPT = """
import sys, threading
import tierfold
from tierfold import F

class Thing(tierfold.Entity, partition="{site}", index=["n"]):
    site: str = "oslo"
    n: int = 0

with tierfold.blocking.open(sys.argv[1]) as data:
    things = data.repo(Thing)
    thing = things.save(Thing(n=5))
    assert things.get(thing.id) == thing
    assert things.query(F.n >= 5).all() == [thing]
    with data.transaction():
        things.save(Thing(n=6))
    assert len(things.query().page()) == 2
    assert data.sync_now().ok
    names = [thread.name.partition("-writer")[0] for thread in threading.enumerate()]
    assert next(things.observe(thing.id)).value == thing
print(*names, sep=",")
print(*sorted({"asyncio", "trio"} & sys.modules.keys()))
"""


@pytest.mark.parametrize(("scheme", "threads"), [("memory:", "MainThread"), ("lmdb:a", "MainThread,tierfold")])
def test_a_local_layer_brings_no_event_loop(scheme: str, threads: str, tmp_path: Path) -> None:
    run = [sys.executable, "-c", SCRIPT, scheme]
    done = subprocess.run(run, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.stderr == ""
    assert done.stdout.splitlines() == [threads, ""]


def test_the_thread_of_the_links_ends_with_the_layer(tmp_path: Path) -> None:
    before = threading.active_count()
    with blocking.open(f"lmdb:{tmp_path / 'a'}", f"lmdb:{tmp_path / 'b'}") as data:
        assert "tierfold" in {thread.name for thread in threading.enumerate()}
        assert data.sync_now().verified
    assert threading.active_count() == before


def test_an_index_over_much_data_is_built_beside_the_calls(tmp_path: Path) -> None:
    class Plain(tierfold.Entity, name="Kind"):
        n: int = 0

    class Indexed(tierfold.Entity, name="Kind", index=["n"]):
        n: int = 0

    with blocking.open(f"lmdb:{tmp_path / 'a'}") as data:
        data.repo(Plain).save_many(Plain(n=number) for number in range(5_000))
    with blocking.open(f"lmdb:{tmp_path / 'a'}") as data:
        kinds = data.repo(Indexed)
        assert kinds.query(F.n == 7).count() == 1
        for thread in threading.enumerate():
            if thread.name == "tierfold-indexes":
                thread.join()
        assert [index.state for index in kinds.indexes()] == ["ready"]
        assert kinds.query(F.n == 7).explain().index == "n"


# --- opening and tiers -------------------------------------------------------------------------------------------


@pytest.mark.parametrize("urls", [["nowhere:"], ["memory:", "nowhere:"], []])
def test_errors_of_opening_arise_on_entry(urls: list[str]) -> None:
    opening = blocking.open(*urls)
    with pytest.raises(tierfold.TierfoldError):
        opening.__enter__()


def test_an_opening_is_used_once() -> None:
    opening = blocking.open("memory:")
    opening.__enter__().close()
    with pytest.raises(tierfold.ConfigError):
        opening.__enter__()


def test_partitions_are_brought_down_for_threads(tmp_path: Path) -> None:
    with blocking.open(f"lmdb:{tmp_path / 'far'}") as data:
        saved = [data.repo(Thing).save(Thing(site=f"s{number}")) for number in range(50)]
    with blocking.open(f"lmdb:{tmp_path / 'near'}", f"lmdb:{tmp_path / 'far'}") as data:
        things = data.repo(Thing)
        with ThreadPoolExecutor(4) as threads:
            assert list(threads.map(things.get, [thing.id for thing in saved[:20]])) == saved[:20]
        assert things.query().count() == 50
        assert things.modify(saved[30].id, lambda thing: setattr(thing, "n", 3)).n == 3


def test_what_cannot_be_reached_is_said_at_once(tmp_path: Path) -> None:
    remote = Remote(reachable=False)
    with blocking.open(f"lmdb:{tmp_path / 'a'}", "remote:", plugins=[remote], close_timeout_s=0.1) as data:
        with pytest.raises(tierfold.PartitionUnavailableError):
            data.repo(Thing).get("oslo.a")
        things = data.repo(Thing)
        thing = Thing(id="oslo.b")
        with pytest.raises(tierfold.PartitionUnavailableError):
            things.create(thing)
        page = things.query(partitions=["oslo"]).page()
        assert (page.complete, page.missing) == (False, ("oslo",))


def test_a_remote_tier_is_asked_in_its_own_loop() -> None:
    remote = Remote()
    with blocking.open("memory:", "remote:", plugins=[remote]) as data:
        things = data.repo(Thing)
        saved = things.save_many(Thing(site=f"s{number}") for number in range(5))
        assert data.sync_now(timeout_s=10).verified
        assert data.links["remote"].status.state == "idle"
        data.links["remote"].pause()
        assert not data.sync_now().ok
        data.links["remote"].resume()
        assert data.sync_now("remote").ok
        assert not data.links["remote"].dirty
    with blocking.open("memory:", "remote:", plugins=[remote]) as data:
        found = data.repo(Thing).query().all()
        assert sorted(thing.id for thing in found) == sorted(thing.id for thing in saved)
        remote.use(FlakyStore(down=True))
        assert not data.sync_now(timeout_s=1).ok


# --- the same names ----------------------------------------------------------------------------------------------

TWINS: list[tuple[type, type]] = [
    (tierfold.DataLayer, blocking.DataLayer),
    (tierfold.Repository, blocking.Repository),
    (tierfold.Query, blocking.Query),
    (tierfold.Subscription, blocking.Subscription),
    (tierfold.Live, blocking.Live),
]
OTHERWISE = {"aclose": "close"}
NOT_FOR_USERS = {
    *("start", "leave", "look", "send_errands"),  # how the layer is run
    "get_here",
    "push",
}


def names(cls: type) -> set[str]:
    return {name for name in dir(cls) if not name.startswith("_")}


@pytest.mark.parametrize(("asynchronous", "twin"), TWINS, ids=lambda cls: cls.__name__)
def test_every_name_has_its_blocking_twin(asynchronous: type, twin: type) -> None:
    expected = {OTHERWISE.get(name, name) for name in names(asynchronous) - NOT_FOR_USERS}
    assert expected <= names(twin) | {"closed", "lagged"}
    assert names(twin) - expected <= {"closed", "lagged", "links"}


@pytest.mark.parametrize(
    ("asynchronous", "twin", "name"),
    [
        (asynchronous, twin, name)
        for asynchronous, twin in TWINS
        for name in sorted(names(asynchronous) - NOT_FOR_USERS)
        if inspect.isroutine(getattr(asynchronous, name))
    ],
)
def test_twins_take_the_same_parameters(asynchronous: type, twin: type, name: str) -> None:
    ours = parameters(getattr(twin, OTHERWISE.get(name, name)))
    theirs = parameters(getattr(asynchronous, name))
    if name in ("observe", "observe_all", "events"):
        assert str(ours.pop("timeout_s")) == "timeout_s: 'float | None' = None"
    assert ours == theirs


def parameters(function: Any) -> dict[str, inspect.Parameter]:
    return dict(inspect.signature(function).parameters)


def test_open_takes_what_the_asynchronous_one_takes() -> None:
    assert parameters(blocking.open) == parameters(tierfold.open)
    assert "__getattr__" not in {name for _, twin in TWINS for name in vars(twin)}
