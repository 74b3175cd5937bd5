"""Waking tasks of either event loop from any thread."""

from __future__ import annotations

import asyncio
import subprocess
import sys
from threading import Thread

import anyio
import pytest
import trio

from tierfold.wake import Home, Signal, current_home


@pytest.mark.anyio
async def test_a_signal_set_in_another_thread_wakes_the_task() -> None:
    signal = Signal()
    with anyio.fail_after(5):
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(signal.wait)
            await anyio.lowlevel.checkpoint()
            Thread(target=signal.set).start()


@pytest.mark.anyio
async def test_a_signal_set_in_the_same_thread_wakes_the_task() -> None:
    signal = Signal()
    with anyio.fail_after(5):
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(signal.wait)
            await anyio.lowlevel.checkpoint()
            signal.set()


@pytest.mark.anyio
async def test_many_sets_before_a_wait_count_as_one() -> None:
    signal = Signal()
    signal.set()
    signal.set()
    await signal.wait()
    with anyio.move_on_after(0.01) as waited:
        await signal.wait()
    assert waited.cancelled_caught


@pytest.mark.anyio
async def test_a_set_during_a_cancelled_wait_is_kept_for_the_next_one() -> None:
    signal = Signal()
    with anyio.CancelScope() as scope:
        scope.cancel()
        await signal.wait()
    signal.set()
    with anyio.fail_after(5):
        await signal.wait()


@pytest.mark.anyio
async def test_the_home_of_a_loop_equals_itself_and_runs_calls_in_its_thread() -> None:
    home = current_home()
    assert home is not None
    assert home == current_home()
    assert len({home, current_home()}) == 1
    seen: list[Home | None] = []
    done = anyio.Event()

    def called() -> None:
        seen.append(current_home())
        done.set()

    Thread(target=home.call, args=(called,)).start()
    with anyio.fail_after(5):
        await done.wait()
    assert seen == [home]


@pytest.mark.anyio
async def test_a_waiter_may_be_woken_twice_or_after_its_task_left() -> None:
    home = current_home()
    assert home is not None
    waiter = home.waiter()
    with anyio.CancelScope() as scope:
        scope.cancel()
        await waiter
    waiter.wake()
    waiter.wake()


def home_of_an_ended_asyncio_loop() -> Home:
    async def find() -> Home:
        home = current_home()
        assert home is not None
        return home

    return asyncio.run(find())


def home_of_an_ended_trio_run() -> Home:
    async def find() -> Home:
        home = current_home()
        assert home is not None
        return home

    return trio.run(find)


def test_calling_into_a_loop_that_has_ended_is_false_and_never_raises() -> None:
    ended = [home_of_an_ended_asyncio_loop(), home_of_an_ended_trio_run()]
    assert [home.call(print) for home in ended] == [False, False]
    assert ended[0] != ended[1]


def test_a_thread_without_a_loop_has_no_home() -> None:
    assert current_home() is None


def test_looking_for_a_loop_imports_none() -> None:
    code = "import sys, tierfold.wake; print(tierfold.wake.current_home(), {'asyncio', 'trio'} & set(sys.modules))"
    answer = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert answer.stdout == "None set()\n"
