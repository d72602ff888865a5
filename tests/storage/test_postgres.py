"""PostgreSQL as it fails: crashed, hanging, down at the start, with a wrong password, of another version."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from pathlib import Path
from typing import TypeVar

import psycopg
import pytest

from crypto_stream.errors import SettingError
from crypto_stream.storage.interface import Batch, OrderWriter, Retention, StoredBar
from crypto_stream.storage.postgres_connection import connect
from crypto_stream.storage.postgres_schema import migrate, steps
from crypto_stream.storage.postgres_stores import PostgresStores
from tests.postgres import Server
from tests.storage.bars import ALL, bar
from tests.storage.reports import ANN, MOST, batch, placed, told
from tests.waiting import DEADLINE_S, SCALE

HOUR, DAY = 3_600_000, 86_400_000
Result = TypeVar("Result")
pytestmark = pytest.mark.timeout(120 * SCALE)


@pytest.fixture
def address(postgres: Server) -> str:
    return postgres.database()


@pytest.fixture
def stores(address: str, tmp_path: Path) -> Iterator[PostgresStores]:
    made = PostgresStores(address, tmp_path)
    assert made.acquire()
    yield made
    made.close()


def soon(act: Callable[[], Result]) -> Result:
    """Return the result of `act()` once it raises OSError no longer."""
    deadline = time.monotonic() + 6 * DEADLINE_S
    while True:
        try:
            return act()
        except OSError:
            if time.monotonic() > deadline:
                raise
            time.sleep(0.05)


def acknowledged(writer: OrderWriter, first: int, until: threading.Event) -> int:
    """Write orders one after the other until that fails; return the rank of the last one acknowledged."""
    for rank in range(first, MOST):
        try:
            writer.write(batch(told(placed(rank), rank)))
        except OSError:
            return rank - 1
        if rank == first + 5:
            until.set()
    raise AssertionError


def _crash(postgres: Server, after: threading.Event) -> None:
    assert after.wait(DEADLINE_S)
    postgres.crash()


def test_a_crash_loses_nothing_that_was_acknowledged(stores: PostgresStores, postgres: Server) -> None:
    """The writer fails, and opens with everything once the server is back; at most one order more."""
    writer, reader = stores.orders()
    rank = writer.open().next_rank - 1
    for _ in range(3):
        begun = threading.Event()
        crashing = threading.Thread(target=_crash, args=(postgres, begun))
        crashing.start()
        rank = acknowledged(writer, rank + 1, begun)
        crashing.join()
        with pytest.raises(OSError, match="PostgreSQL: "):
            writer.open()
        postgres.start()
        found = soon(writer.open)
        ranks = [order.rank for order in found.active]

        assert ranks in (list(range(1, rank + 1)), list(range(1, rank + 2)))
        rank = ranks[-1]
        assert writer.owner(ANN).last_seq == rank
        assert [order.rank for order in reader.orders(ANN, MOST)] == ranks
        assert found.lost is None
    writer.close()
    reader.close()


def test_nothing_waits_for_a_server_that_hangs(stores: PostgresStores, postgres: Server) -> None:
    """Writing and opening fail in seconds; afterwards each order is there, or it is not, for good."""
    writer, _ = stores.orders()
    writer.open()
    writer.write(batch(told(placed(1), 1)))
    began = time.monotonic()
    with postgres.hanging():
        for act in (lambda: writer.write(batch(told(placed(2), 2))), writer.open):
            with pytest.raises(OSError, match="PostgreSQL: "):
                act()
        took = time.monotonic() - began
    soon(writer.open)
    ranks = [order.rank for order in writer.open().active]
    writer.write(batch(told(placed(3), ranks[-1] + 1)))

    assert took < 6 * DEADLINE_S  # it would be endless
    assert ranks in ([1], [1, 2])
    assert [order.rank for order in writer.open().active] == [*ranks, 3]
    writer.close()


def test_history_waits_for_the_server(stores: PostgresStores, postgres: Server) -> None:
    """A batch fails as a whole, and is written once the server is back."""
    writer, reader = stores.history()
    writer.write(Batch([StoredBar("eurusd", "1s", bar(1000))], [], 1))
    postgres.stop()
    later = Batch([StoredBar("eurusd", "1s", bar(2000))], [], 2)
    with pytest.raises(OSError, match="PostgreSQL: "):
        writer.write(later)
    with pytest.raises(OSError, match="PostgreSQL: "):
        reader.bars("eurusd", "1s", ALL)
    postgres.start()
    soon(lambda: writer.write(later))

    assert [one.time for one in reader.bars("eurusd", "1s", ALL)] == [1000, 2000]
    writer.close()


def test_a_start_without_the_server_takes_the_lease_later(
    address: str, postgres: Server, tmp_path: Path
) -> None:
    """Until then nothing can be written; the state is that of the last time."""
    with closing(PostgresStores(address, tmp_path)) as stores:
        assert stores.acquire()
        state = stores.state()
        state.load()
        state.save({"pin": "okx"})
    postgres.stop()
    with closing(PostgresStores(address, tmp_path)) as stores:
        assert stores.acquire()
        state = stores.state()
        writer, _ = stores.orders()
        loaded = state.load()
        with pytest.raises(OSError, match="PostgreSQL: "):
            writer.open()
        postgres.start()
        soon(writer.open)
        state.save({**loaded, "ban": "1"})
        again = stores.state().load()
        writer.close()

    assert loaded == {"pin": "okx"}
    assert again == {"pin": "okx", "ban": "1"}


def test_nothing_can_be_looked_at_without_the_server(address: str, postgres: Server, tmp_path: Path) -> None:
    """An engine that follows must not take the copy of its own last life for news."""
    with closing(PostgresStores(address, tmp_path)) as stores:
        assert stores.acquire()
        state = stores.state()
        state.load()
        state.save({"pin": "okx"})
        seen = state.peek()
        postgres.stop()
        with pytest.raises(OSError, match="PostgreSQL: "):
            state.peek()
        postgres.start()
        soon(state.peek)

    assert seen == {"pin": "okx"}


def test_only_values_of_the_state_that_differ_are_written(stores: PostgresStores, address: str) -> None:
    """The chosen pairs may be long: they are not written again with each switch of a source."""
    state = stores.state()
    state.load()
    state.save({"pairs": "[1]", "timeline": "[]", "pin": "okx"})
    written = "SELECT key, xmin::text FROM state"  # by which transaction
    before = execute(address, written)
    state.save({"pairs": "[1]", "timeline": "[2]", "seq": "1"})
    after = execute(address, written)

    assert {key for key, _ in set(after).difference(before)} == {"timeline", "seq", "saved"}
    assert state.load() == {"pairs": "[1]", "timeline": "[2]", "seq": "1"}


@pytest.mark.parametrize("wrong", ["password", "database"])
def test_what_is_wrong_with_the_address_is_said_in_one_line(
    postgres: Server, tmp_path: Path, wrong: str
) -> None:
    """A wrong password, or a database that does not exist; the line does not repeat the password."""
    address = (
        postgres.address("postgres", "a-wrong-one") if wrong == "password" else postgres.address("no_such")
    )
    with pytest.raises(SettingError, match=r"^database: PostgreSQL: [^\n]*$") as caught:
        PostgresStores(address, tmp_path).acquire()

    assert "a-wrong-one" not in str(caught.value)
    assert ("authentication failed" if wrong == "password" else "no_such") in str(caught.value)


@pytest.mark.parametrize(
    "address", ["postgresql://me:se%zzsame@127.0.0.1/x", "postgresql://me:sesame@[::1/x"]
)
def test_a_malformed_address_is_not_repeated(tmp_path: Path, address: str) -> None:
    """It may contain a password."""
    with pytest.raises(SettingError, match=r"^database: [^\n]*$") as caught:
        PostgresStores(address, tmp_path).acquire()

    assert "sesame" not in str(caught.value)
    assert "zz" not in str(caught.value)


def execute(address: str, query: str) -> list[tuple[object, ...]]:
    with psycopg.connect(address, autocommit=True) as session:
        found = session.execute(query.encode())
        return found.fetchall() if found.description else []


@pytest.mark.parametrize(
    ("query", "words"),
    [
        ("UPDATE schema_version SET number = 99", "tables of version 99, this program supports up to"),
        ("DROP TABLE schema_version", "tables of another program"),
    ],
)
def test_tables_of_a_newer_version_are_not_changed(
    address: str, tmp_path: Path, query: str, words: str
) -> None:
    """An older program must not write there; nor into a database of another program."""
    with closing(PostgresStores(address, tmp_path)) as stores:
        assert stores.acquire()
    execute(address, query)
    before = execute(address, "SELECT * FROM lease")
    with pytest.raises(SettingError, match=words):
        PostgresStores(address, tmp_path).acquire()

    assert execute(address, "SELECT * FROM lease") == before


def test_many_engines_migrate_at_once(address: str) -> None:
    """One of them does; the others wait for it."""
    with ThreadPoolExecutor(6) as engines:
        done = [engines.submit(migrate, address, "test") for _ in range(6)]

    assert [one.exception() for one in done] == [None] * 6
    assert execute(address, "SELECT number FROM schema_version") == [(len(steps()),)]


def test_partitions_are_dropped_when_all_of_their_bars_are_old(stores: PostgresStores, address: str) -> None:
    """Days of seconds and months of minutes, only by a steady clock; the next one is always there already."""
    writer, reader = stores.history()
    seconds = [StoredBar("eurusd", "1s", bar(day * DAY)) for day in range(4)]
    # Of January, February and March.
    minutes = [StoredBar("eurusd", "1m", bar(day * DAY)) for day in (0, 31, 59)]
    writer.write(Batch([*seconds, *minutes], [], 1))
    made = tables(address)
    now = 5 * DAY
    unsteady = writer.prune("eurusd", "1s", DAY, Retention(now, steady=False))
    kept = [one.time for one in reader.bars("eurusd", "1s", ALL)]
    many = writer.prune("eurusd", "1s", DAY, Retention(now, steady=True))
    one = writer.prune("usdrub", "1m", 28 * DAY, Retention(365 * DAY, steady=True))

    assert made == [
        *("bar_1m_197001", "bar_1m_197002", "bar_1m_197003", "bar_1m_197004"),
        *("bar_1s_19700101", "bar_1s_19700102", "bar_1s_19700103", "bar_1s_19700104", "bar_1s_19700105"),
    ]
    assert (unsteady, kept) == (0, [0, DAY, 2 * DAY, 3 * DAY])
    assert (many, [bar.time for bar in reader.bars("eurusd", "1s", ALL)]) == (2, [2 * DAY, 3 * DAY])
    assert (one, [bar.time for bar in reader.bars("eurusd", "1m", ALL)]) == (0, [31 * DAY, 59 * DAY])
    assert tables(address) == [*made[1:4], *made[6:]]
    writer.close()


def tables(address: str) -> list[object]:
    query = "SELECT relname FROM pg_class WHERE relkind = 'r' AND relname ~ '^bar.*_[0-9]+$' ORDER BY relname"
    return [name for (name,) in execute(address, query)]


def test_a_session_waits_for_nothing_for_long(address: str) -> None:
    """Statements, locks and pauses within a transaction have limits, and a commit waits for the disk."""
    with closing(connect(address, "cs:test")) as session:
        values = {
            name: session.execute("SELECT current_setting(%s)", (name,)).fetchone()
            for name in ("statement_timeout", "lock_timeout", "idle_in_transaction_session_timeout")
        }
        name = session.execute("SELECT application_name FROM pg_stat_activity WHERE pid = pg_backend_pid()")
        execute(address, f"ALTER DATABASE {session.info.dbname} SET synchronous_commit = off")
        assert name.fetchone() == ("cs:test",)
    with closing(connect(address, "cs:test")) as session:
        durable = session.execute("SELECT current_setting('synchronous_commit')").fetchone()

    assert values == {
        "statement_timeout": ("3s",),
        "lock_timeout": ("1s",),
        "idle_in_transaction_session_timeout": ("2s",),
    }
    assert durable == ("on",)


def test_a_database_that_lost_acknowledged_changes_is_another_store(
    stores: PostgresStores, address: str
) -> None:
    """As after a fail-over to a standby that lagged: clients count its reports again, and it is reported."""
    writer, _ = stores.orders()
    before = writer.open()
    for rank in (1, 2, 3):
        writer.write(batch(told(placed(rank), rank)))
    writer.close()
    execute(address, "UPDATE store SET commits = commits - 2")
    found = writer.open()
    again = writer.open()

    assert "is missing the last 2 of 4 acknowledged changes" in str(found.lost)
    assert found.store != before.store
    assert (again.lost, again.store) == (None, found.store)
    writer.close()
