"""The lease and time: engines that hang, a server whose clock is set."""

from __future__ import annotations

import asyncio
import time

import pytest

from tests.postgres import Server
from tests.storage.leases import Make, acquire, execute, kill, until_lost
from tests.waiting import SCALE, until

pytestmark = pytest.mark.timeout(300 * SCALE)


@pytest.fixture
def address(postgres: Server) -> str:
    return postgres.database()


def test_an_engine_that_hangs_keeps_no_lease(address: str, made: Make) -> None:
    """Its thread that keeps the lease may live on: viewers would wait for prices in vain."""
    first, second = made(address, "first"), made(address, "second")
    assert first.acquire()
    assert not second.acquire()
    first.lease.pulse(time.monotonic() - 60)
    acquire(second)
    first.lease.pulse(time.monotonic())
    until_lost(first)

    assert second.lease.term == 2


async def test_an_engine_that_runs_says_so_until_it_ends(address: str, made: Make) -> None:
    """Then it waits for its writers, and must keep the lease for them."""
    stores = made(address, "first")
    assert stores.acquire()
    async with asyncio.TaskGroup() as tasks:
        running = tasks.create_task(stores.run())
        await until(lambda: stores.lease.pulse_s)
        first_s = stores.lease.pulse_s
        await until(lambda: stores.lease.pulse_s != first_s)
        running.cancel()

    assert stores.lease.pulse_s is None


def test_a_lease_kept_before_the_clock_was_set_back_has_run_out(address: str, made: Make) -> None:
    """Else nobody would lead for as long as the server's clock was set back."""
    first, second = made(address, "first"), made(address, "second")
    assert first.acquire()
    kill(first)
    execute(address, "UPDATE lease SET until = clock_timestamp() + interval '2 h'")

    assert second.acquire()
