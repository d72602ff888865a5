"""The lease: one engine writes at a time, whatever happens to the others."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from contextlib import closing
from typing import TypeVar

import psycopg
import pytest

from crypto_stream.storage.interface import FencedError, OrderWriter
from crypto_stream.storage.postgres_stores import PostgresStores
from tests.postgres import Server
from tests.storage.leases import Make, acquire, execute, expire, kill, until_lost
from tests.storage.reports import batch, placed, told
from tests.waiting import DEADLINE_S, SCALE

Result = TypeVar("Result")
pytestmark = pytest.mark.timeout(300 * SCALE)


@pytest.fixture
def address(postgres: Server) -> str:
    return postgres.database()


def soon(act: Callable[[], Result]) -> Result:
    """Return the result of `act()` once it raises OSError no longer."""
    deadline = time.monotonic() + DEADLINE_S
    while True:
        try:
            return act()
        except OSError:
            assert time.monotonic() < deadline
            time.sleep(0.05)


def failure(writer: OrderWriter, rank: int) -> OSError | None:
    """Write one order; return the error, None if there is none."""
    try:
        writer.write(batch(told(placed(rank), rank)))
    except OSError as error:
        return error
    return None


def until_taken(stores: PostgresStores) -> int:
    """Wait until the stores have the lease; return its term."""
    deadline = time.monotonic() + DEADLINE_S
    while True:
        try:
            return stores.lease.term
        except OSError:
            assert time.monotonic() < deadline
            time.sleep(0.01)


def until_followed(stores: PostgresStores, count: int, asking: Sequence[PostgresStores] = ()) -> None:
    """Wait until that many engines follow, while these ask for the lease."""
    deadline = time.monotonic() + DEADLINE_S
    while stores.followers != count:
        assert time.monotonic() < deadline
        assert not any(other.acquire() for other in asking)
        time.sleep(0.1)


def test_a_second_engine_waits_until_the_first_ends(address: str, made: Make) -> None:
    """It changes nothing meanwhile; a clean end lets it in at once, under the next term."""
    first, second = made(address, "first"), made(address, "second")
    assert first.acquire()
    assert not second.acquire()
    term = first.lease.term
    first.close()
    assert second.acquire()

    assert second.lease.term == term + 1


def test_the_lease_of_a_dead_engine_runs_out(address: str, made: Make) -> None:
    """Another one takes it after a while; the next life of the same one does at once."""
    first = made(address, "first")
    assert first.acquire()
    kill(first)
    again = made(address, "first")
    assert again.acquire()
    kill(again)
    other = made(address, "other")
    asked = acquire(other)

    assert asked > 1
    assert other.lease.term == again.lease.term + 1 == first.lease.term + 2


def test_who_lost_the_lease_cannot_write(address: str, made: Make) -> None:
    """The first write of an engine that was paused is refused, and it knows at once."""
    first, second = made(address, "first"), made(address, "second")
    assert first.acquire()
    orders, history, state = first.orders()[0], first.history()[0], first.state()
    orders.open()
    state.load()
    kill(first)
    expire(address)
    assert second.acquire()
    for act in (lambda: orders.write(batch(told(placed(1), 1))), orders.open, lambda: state.save({})):
        with pytest.raises(FencedError):
            act()

    assert execute(address, "SELECT * FROM orders") == []
    for each in (orders, history):
        each.close()


def test_the_keeper_notices_that_it_lost_the_lease(address: str, made: Make) -> None:
    """Without any write."""
    first, second = made(address, "first"), made(address, "second")
    heard: list[None] = []
    assert first.acquire()
    first.lease.listen(lambda: heard.append(None))
    # The former holder keeps it twice a second: take it as soon as it has run out.
    deadline = time.monotonic() + DEADLINE_S
    while True:
        expire(address)
        if second.acquire():
            break
        assert time.monotonic() < deadline
    until_lost(first)

    assert heard == [None]
    first.close()


def test_state_that_another_engine_saved_is_not_overwritten(
    postgres: Server, address: str, made: Make
) -> None:
    """An engine that started with its copy of the state must start again with the newer one."""
    for name, pin in (("first", "okx"), ("second", "binance")):
        with closing(made(address, name)) as stores:
            assert stores.acquire()
            state = stores.state()
            state.load()
            state.save({"pin": pin})
    postgres.stop()
    with closing(made(address, "first")) as again:
        assert again.acquire()
        state = again.state()
        old = state.load()
        postgres.start()
        until_taken(again)
        with pytest.raises(FencedError, match="newer"):
            state.save({**old, "ban": "1"})
        until_lost(again)

    assert old == {"pin": "okx"}
    assert execute(address, "SELECT value FROM state WHERE key = 'pin'") == [("binance",)]


def test_a_follower_has_a_copy_of_the_state(postgres: Server, address: str, made: Make) -> None:
    """So it knows the epoch, should PostgreSQL be away at the moment when it takes over."""
    first, second = made(address, "first"), made(address, "second")
    assert first.acquire()
    state = first.state()
    state.load()
    state.save({"epoch": "e", "pin": "okx"})
    assert not second.acquire()
    follower = second.state()
    before = follower.load()
    postgres.stop()
    again = follower.load()
    postgres.start()

    assert before == again == {"epoch": "e", "pin": "okx"}


def test_ending_a_hanging_holder_ends_its_sessions_only(address: str, made: Make) -> None:
    """A session that holds the lease's row for longer than its lease is ended by who takes it."""
    first, second = made(address, "first"), made(address, "second")
    assert first.acquire()
    kill(first)
    with closing(psycopg.connect(address, application_name=first.lease.name)) as hangs:
        hangs.execute("SELECT 1 FROM lease FOR KEY SHARE")
        expire(address)
        acquire(second)
        term = until_taken(second)
        with pytest.raises(psycopg.OperationalError):
            hangs.execute("SELECT 1")

    assert term == first.lease.term + 1
    second.close()


def test_a_transaction_that_outlives_a_released_lease_is_ended(address: str, made: Make) -> None:
    """As one that waits in its commit for a standby. Its engine gave its name away with the lease."""
    first, second = made(address, "first"), made(address, "second")
    assert first.acquire()
    assert not second.acquire()
    term = first.lease.term
    with closing(psycopg.connect(address, application_name=first.lease.name)) as hangs:
        hangs.execute("SELECT 1 FROM lease FOR KEY SHARE")
        first.close()
        acquire(second)
        with pytest.raises(psycopg.OperationalError):
            hangs.execute("SELECT 1")

    assert second.lease.term == term + 1


def test_the_next_life_of_a_leader_gives_the_lead_to_who_follows(address: str, made: Make) -> None:
    """Its own sources are not connected yet; the other one's are, and the lease need not run out."""
    first, second = made(address, "first"), made(address, "second")
    assert first.acquire()
    assert not second.acquire()
    kill(first)
    again = made(address, "first")
    gave = not again.acquire()
    took = second.acquire()

    assert gave
    assert took
    assert second.lease.term == first.lease.term + 1
    assert not again.acquire()


def test_a_leader_knows_how_many_engines_follow(address: str, made: Make) -> None:
    """Those that ask for the lease; one that asks no longer does not count, though its session remains."""
    first, second, third = (made(address, name) for name in ("first", "second", "third"))
    assert first.acquire()
    first.state().load()
    until_followed(first, 0)
    until_followed(first, 2, asking=(second, third))
    until_followed(first, 1, asking=(third,))
    third.close()
    until_followed(first, 0)

    assert third.followers is None


def test_a_restart_of_the_server_changes_no_leader(postgres: Server, address: str, made: Make) -> None:
    """The lease may have run out meanwhile: its holder is given the time to connect again."""
    first, second = made(address, "first"), made(address, "second")
    assert first.acquire()
    assert not second.acquire()
    term = first.lease.term
    postgres.stop()
    away = second.acquire()
    postgres.start()
    expire(address)
    asked = []
    for _ in range(10):
        asked.append(second.acquire())
        time.sleep(0.1)

    assert not away
    assert not any(asked)
    assert first.lease.term == term


def test_a_follower_that_alone_was_cut_off_waits_no_longer_than_others(address: str, made: Make) -> None:
    """The leader keeps the lease meanwhile, so that it need not be given time to connect again."""
    first, second = made(address, "first"), made(address, "second")
    assert first.acquire()
    assert not second.acquire()
    sessions = "FROM pg_stat_activity WHERE starts_with(application_name, 'cs:second:')"
    execute(address, f"SELECT pg_terminate_backend(pid) {sessions}")
    assert not second.acquire()
    seen: set[object] = set()
    while len(seen) < 3:  # it looks before and after the lease is kept
        assert not second.acquire()
        seen.add(execute(address, "SELECT until FROM lease")[0])
    kill(first)
    expire(address)

    assert second.acquire()


def test_what_no_standby_has_confirmed_is_not_reported_as_written(
    postgres: Server, address: str, made: Make
) -> None:
    """A time-out of the server would report success. The lease goes on: it needs no standby."""
    stores = made(address, "first")
    assert stores.acquire()
    writer, _ = stores.orders()
    writer.open()
    admin = postgres.admin()
    with closing(admin):
        for statement in ("ALTER SYSTEM SET synchronous_standby_names = 'absent'", "SELECT pg_reload_conf()"):
            admin.execute(statement.encode())
        try:
            failed, rank = None, 0
            while failed is None:  # the server takes note of the setting in a moment
                rank += 1
                failed = failure(writer, rank)
            term = stores.lease.term
        finally:
            for statement in ("ALTER SYSTEM RESET synchronous_standby_names", "SELECT pg_reload_conf()"):
                admin.execute(statement.encode())
    found = soon(writer.open)
    writer.close()

    assert term == 1
    assert "no answer" in str(failed)
    assert [order.rank for order in found.active] == list(range(1, rank + 1))  # confirmed in the end
