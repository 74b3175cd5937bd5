"""The fault wrappers do what they promise to those who test against them."""

from __future__ import annotations

from collections.abc import AsyncIterator

import anyio
import pytest

from tierfold.abc.syncable import SyncableStore
from tierfold.errors import StoreUnavailableError
from tierfold.kv.memory import MemoryEngine
from tierfold.kv.store import KvStore, open_kv_store
from tierfold.testing.fakes import FakeClock, fake_context, seeded_bytes
from tierfold.testing.faults import FailNthCall, Fault, FlakyStore, SlowStore, faulty
from tierfold.testing.samples import OSLO, put

pytestmark = pytest.mark.anyio


@pytest.fixture
async def store() -> AsyncIterator[KvStore]:
    async with open_kv_store(MemoryEngine("a"), fake_context()) as store:
        yield store


async def test_a_fault_without_effect_lets_everything_pass(store: KvStore) -> None:
    fault = Fault()
    wrapped = faulty(store, fault)
    assert isinstance(wrapped, SyncableStore)
    await wrapped.write([put("oslo.1")])
    assert await wrapped.get(OSLO, "oslo.1") == store.find(OSLO, "oslo.1")
    assert await wrapped.collect(OSLO.partition, min_ttl_s=1, peer_ttl_s=1) == 0
    assert fault.calls == ["write", "get", "collect"]


async def test_a_flaky_store_fails_while_it_is_down(store: KvStore) -> None:
    fault = FlakyStore(down=True)
    with pytest.raises(StoreUnavailableError):
        await faulty(store, fault).write([put("oslo.1")])
    fault.down = False
    await faulty(store, fault).write([put("oslo.2")])
    assert [record.id for record in store.page(OSLO, None, 10)] == ["oslo.2"]


async def test_a_fault_may_concern_some_methods_only(store: KvStore) -> None:
    wrapped = faulty(store, FlakyStore(down=True, only=["get"]))
    await wrapped.write([put("oslo.1")])
    with pytest.raises(StoreUnavailableError):
        await wrapped.get(OSLO, "oslo.1")


async def test_the_nth_request_is_lost_before_the_store_hears_of_it(store: KvStore) -> None:
    fault = FailNthCall(2, only=["write"])
    wrapped = faulty(store, fault)
    await wrapped.write([put("oslo.1")])
    with pytest.raises(StoreUnavailableError):
        await wrapped.write([put("oslo.2")])
    await wrapped.write([put("oslo.3")])
    assert sorted(record.id for record in store.page(OSLO, None, 10)) == ["oslo.1", "oslo.3"]
    assert fault.happened


async def test_the_nth_answer_is_lost_after_the_store_did_it(store: KvStore) -> None:
    wrapped = faulty(store, FailNthCall(1, lost="answer"))
    with pytest.raises(StoreUnavailableError):
        await wrapped.write([put("oslo.1")])
    assert store.find(OSLO, "oslo.1") is not None


async def test_a_slow_store_answers_when_its_gate_opens(store: KvStore) -> None:
    fault = SlowStore(only=["get"])
    fault.gate = anyio.Event()
    wrapped = faulty(store, fault)
    await wrapped.write([put("oslo.1")])
    with anyio.move_on_after(0.01) as limit:
        await wrapped.get(OSLO, "oslo.1")
    fault.gate.set()
    assert limit.cancelled_caught
    assert await wrapped.get(OSLO, "oslo.1") is not None


def test_a_fake_clock_stands_still_until_it_is_moved() -> None:
    clock = FakeClock(5)
    assert (clock(), clock()) == (5, 5)
    clock.advance(ms=1, s=2, days=3)
    assert clock() == 5 + 1 + 2000 + 3 * 86_400_000


def test_a_seed_gives_the_same_bytes_again() -> None:
    assert seeded_bytes(1)(16) == seeded_bytes(1)(16) != seeded_bytes(2)(16)
