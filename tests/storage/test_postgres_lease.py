"""The lease: one engine writes at a time, whatever happens to the others, and at whatever statement."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import closing, suppress
from itertools import count
from pathlib import Path

import psycopg
import pytest

from crypto_stream.market.orders import Order
from crypto_stream.storage.interface import FencedError, OrderWriter
from crypto_stream.storage.postgres_stores import PostgresStores
from tests.postgres import Server
from tests.storage.forwarder import Forwarder
from tests.storage.reports import batch, placed, told, traded
from tests.waiting import DEADLINE_S, SCALE

pytestmark = pytest.mark.timeout(300 * SCALE)


@pytest.fixture
def address(postgres: Server) -> str:
    return postgres.database()


Make = Callable[[str, str], PostgresStores]


@pytest.fixture
def made(tmp_path: Path) -> Iterator[Make]:
    """Return a function: the stores of an engine on a data directory of this name."""
    engines: list[PostgresStores] = []

    def make(address: str, name: str) -> PostgresStores:
        place = tmp_path / name
        place.mkdir(exist_ok=True)
        engines.append(PostgresStores(address, place))
        return engines[-1]

    yield make
    for each in engines:
        each.close()


def kill(stores: PostgresStores) -> None:
    """Let an engine neither keep nor release its lease."""
    stores.lease._over.set()
    stores.lease._thread.join()


def _never() -> None:
    raise AssertionError("somebody else has the lease")


class ImpatientError(Exception):
    """The end of a wait."""


def _give_up() -> None:
    raise ImpatientError


def execute(address: str, query: str) -> list[tuple[object, ...]]:
    with psycopg.connect(address, autocommit=True) as session:
        found = session.execute(query.encode())
        return found.fetchall() if found.description else []


def expire(address: str) -> None:
    """Let the lease run out, as if nobody had kept it."""
    execute(address, "UPDATE lease SET until = clock_timestamp() - interval '1 s'")


def until_lost(stores: PostgresStores) -> None:
    """Wait until the stores know that another engine has them."""
    deadline = time.monotonic() + DEADLINE_S
    while True:
        try:
            _ = stores.lease.term
        except FencedError:
            return
        assert time.monotonic() < deadline
        time.sleep(0.01)


def until_taken(stores: PostgresStores) -> int:
    """Wait until the stores have the lease; return its term."""
    deadline = time.monotonic() + DEADLINE_S
    while True:
        try:
            return stores.lease.term
        except OSError:
            assert time.monotonic() < deadline
            time.sleep(0.01)


def test_a_second_engine_waits_until_the_first_ends(address: str, made: Make) -> None:
    """It changes nothing meanwhile; a clean end lets it in at once, under the next term."""
    first, second = made(address, "first"), made(address, "second")
    first.acquire(_never)
    with pytest.raises(ImpatientError):
        second.acquire(_give_up)
    term = first.lease.term
    first.close()
    second.acquire(_never)

    assert second.lease.term == term + 1


def test_the_lease_of_a_dead_engine_runs_out(address: str, made: Make) -> None:
    """Another one takes it after a while; the next life of the same one does at once."""
    first = made(address, "first")
    first.acquire(_never)
    kill(first)
    again = made(address, "first")
    again.acquire(_never)
    kill(again)
    other = made(address, "other")
    waits: list[None] = []
    other.acquire(lambda: waits.append(None))

    assert len(waits) > 1
    assert other.lease.term == again.lease.term + 1 == first.lease.term + 2


def test_who_lost_the_lease_cannot_write(address: str, made: Make) -> None:
    """The first write of an engine that was paused is refused, and it knows at once."""
    first, second = made(address, "first"), made(address, "second")
    first.acquire(_never)
    orders, history, state = first.orders()[0], first.history()[0], first.state()
    orders.open()
    state.load()
    kill(first)
    expire(address)
    second.acquire(_never)
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
    first.acquire(_never)
    first.lease.listen(lambda: heard.append(None))
    # The former holder keeps it twice a second: take it as soon as it has run out.
    deadline = time.monotonic() + DEADLINE_S
    while True:
        expire(address)
        with suppress(ImpatientError):
            second.acquire(_give_up)
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
            stores.acquire(_never)
            state = stores.state()
            state.load()
            state.save({"pin": pin})
    postgres.stop()
    with closing(made(address, "first")) as again:
        again.acquire(_never)
        state = again.state()
        old = state.load()
        postgres.start()
        until_taken(again)
        with pytest.raises(FencedError, match="newer"):
            state.save({**old, "ban": "1"})
        until_lost(again)

    assert old == {"pin": "okx"}
    assert execute(address, "SELECT value FROM state WHERE key = 'pin'") == [("binance",)]


@pytest.fixture
def forwarder(postgres: Server) -> Iterator[Forwarder]:
    one = Forwarder(postgres.port)
    yield one
    one.close()


@pytest.mark.parametrize("delivered", [False, True])
def test_no_row_of_an_older_term_comes_after_one_of_a_newer(
    postgres: Server, forwarder: Forwarder, made: Make, delivered: bool
) -> None:
    """Cut off at each message of a transaction, while another engine takes over; then everything arrives.

    The message is delivered, but not answered, or not delivered either.
    """
    outcomes = []
    for at in count(1):
        outcomes.append(_cut_off_at(at, postgres, forwarder, made, delivered=delivered))
        if outcomes[-1] == "whole":
            break

    assert outcomes.count("nothing") > 5  # BEGIN, owners, two COPYs, positions, COMMIT
    assert set(outcomes) == {"nothing", "whole"}


def _cut_off_at(at: int, postgres: Server, forwarder: Forwarder, made: Make, *, delivered: bool) -> str:
    """Stall the older engine at its message `at`; return what of its batch was stored."""
    address = postgres.database()
    older = made(address.replace(str(postgres.port), str(forwarder.port)), f"older-{at}")
    newer = made(address, f"newer-{at}")
    older.acquire(_never)
    writer, _ = older.orders()
    writer.open()
    writer.write(batch(told(placed(1), 1)))
    kill(older)  # only the writer's messages count
    forwarder.stall_at(at, delivered=delivered)
    errors: list[OSError] = []
    writing = threading.Thread(target=_write, args=(writer, errors))
    writing.start()
    while writing.is_alive() and not forwarder.stalled.is_set():
        time.sleep(0.001)
    expire(address)
    # The sessions of the older one end if they hold on to the lease.
    newer.acquire(lambda: None)
    taken, _ = newer.orders()
    found = _until_open(taken)
    rows = _rows(address)
    taken.write(batch(told(placed(10, "bob"), 1)))
    forwarder.resume()
    writing.join()
    with pytest.raises(OSError, match=r"."):
        writer.write(batch(told(placed(4), 4)))
    after = _rows(address)
    for each in (writer, taken):
        each.close()

    assert [row for row in after if row[0] != 10] == rows
    assert [order.rank for order in found] == [rank for rank, status in rows if status == 1]
    if rows == [(1, 1)]:
        assert errors
        return "nothing"
    assert rows == [(1, 2), (2, 1)]
    return "whole"


def _write(writer: OrderWriter, errors: list[OSError]) -> None:
    try:
        writer.write(batch(traded(placed(1), 2), told(placed(2), 3)))
    except OSError as error:
        errors.append(error)


def _until_open(writer: OrderWriter) -> list[Order]:
    """Open the orders; a transaction of the older engine may hold their row for a moment."""
    deadline = time.monotonic() + DEADLINE_S
    while True:
        try:
            return writer.open().active
        except OSError:
            assert time.monotonic() < deadline


def _rows(address: str) -> list[tuple[object, ...]]:
    return execute(address, "SELECT rank, status FROM orders ORDER BY rank")


def test_ending_a_hanging_holder_ends_its_sessions_only(address: str, made: Make) -> None:
    """A session that holds the lease's row for longer than its lease is ended by who takes it."""
    first, second = made(address, "first"), made(address, "second")
    first.acquire(_never)
    kill(first)
    with closing(psycopg.connect(address, application_name=first.lease.name)) as hangs:
        hangs.execute("SELECT 1 FROM lease FOR KEY SHARE")
        expire(address)
        second.acquire(lambda: None)
        term = until_taken(second)
        with pytest.raises(psycopg.OperationalError):
            hangs.execute("SELECT 1")

    assert term == first.lease.term + 1
    second.close()
