"""The identity of a store of orders, its acknowledged commits, its use; older and foreign files."""

from __future__ import annotations

import os
import shutil
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from crypto_stream.storage.interface import UnusableError
from crypto_stream.storage.sqlite_orders import SqliteOrderWriter
from crypto_stream.storage.sqlite_tables import Tables, upgrade, version
from tests.storage.reports import ANN, BOB, MOST, batch, placed, told
from tests.storage.test_sqlite_orders import contents

# The tables as they were before files said which store they are.
VERSION_1 = """
BEGIN IMMEDIATE;
CREATE TABLE names (id INTEGER PRIMARY KEY, text TEXT NOT NULL UNIQUE) STRICT;
CREATE TABLE owners (
    id INTEGER PRIMARY KEY, name TEXT NOT NULL UNIQUE, anonymous INTEGER NOT NULL,
    last_seq INTEGER NOT NULL, told INTEGER NOT NULL DEFAULT 0
) STRICT;
CREATE TABLE orders (
    rank INTEGER PRIMARY KEY, order_id TEXT NOT NULL UNIQUE, owner INTEGER NOT NULL, symbol INTEGER NOT NULL,
    side INTEGER NOT NULL, amount TEXT NOT NULL, price TEXT, kind TEXT NOT NULL, time_in_force TEXT NOT NULL,
    client_order_id TEXT, outcome TEXT, created_ms INTEGER NOT NULL, due_ms INTEGER NOT NULL,
    status INTEGER NOT NULL, changed_ms INTEGER NOT NULL, cum_amount TEXT NOT NULL, cum_value TEXT NOT NULL,
    newest INTEGER NOT NULL
) STRICT;
CREATE INDEX active ON orders (owner) WHERE status = 1;
CREATE INDEX closed ON orders (owner) WHERE status <> 1;
CREATE UNIQUE INDEX named ON orders (owner, client_order_id) WHERE client_order_id IS NOT NULL;
CREATE TABLE reports (
    owner INTEGER NOT NULL, seq INTEGER NOT NULL, rank INTEGER NOT NULL, symbol INTEGER NOT NULL,
    exec_id TEXT NOT NULL, exec_type TEXT NOT NULL, time INTEGER NOT NULL,
    status INTEGER NOT NULL, changed_ms INTEGER NOT NULL, cum_amount TEXT NOT NULL, cum_value TEXT NOT NULL,
    last_amount TEXT, last_price TEXT, source INTEGER, reason TEXT,
    PRIMARY KEY (owner, seq)
) STRICT, WITHOUT ROWID;
CREATE INDEX traded ON reports (owner, symbol) WHERE exec_type = 'trade';
CREATE TABLE positions (
    owner INTEGER NOT NULL, symbol INTEGER NOT NULL, bought_amount TEXT NOT NULL, bought_value TEXT NOT NULL,
    sold_amount TEXT NOT NULL, sold_value TEXT NOT NULL,
    PRIMARY KEY (owner, symbol)
) STRICT, WITHOUT ROWID;
PRAGMA user_version = 1;
INSERT INTO names VALUES (1, 'eurrub');
INSERT INTO owners VALUES (1, 'ann', 0, 1, 0);
INSERT INTO orders VALUES
    (7, 'order-7', 1, 1, 1, '10', '87', 'limit', 'gtc', NULL, NULL, 5, 6, 1, 5, '0', '0', 1);
INSERT INTO reports VALUES (1, 1, 7, 1, 'exec-1', 'new', 5, 1, 5, '0', '0', NULL, NULL, NULL, NULL);
COMMIT;
"""


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "orders.db"


@pytest.fixture
def writer(path: Path) -> Iterator[SqliteOrderWriter]:
    made = SqliteOrderWriter(path)
    made.open()
    yield made
    made.close()


def killed(path: Path, folder: str, orders: int = 40) -> Path:
    """Leave the files of a killed engine that acknowledged so many orders, all of them in the log."""
    there = path.parent / folder / path.name
    there.parent.mkdir()
    writer = SqliteOrderWriter(path)
    writer.open()
    for rank in range(1, orders + 1):
        writer.write(batch(told(placed(rank), rank)))
    for part in path.parent.glob("orders.db*"):
        if part.is_file():
            shutil.copy(part, there.parent)
    writer.close()
    return there


def test_a_file_of_the_previous_version_is_migrated(path: Path) -> None:
    """Its orders are there, it is writable, and its owners count as just used."""
    with closing(sqlite3.connect(path)) as old:
        old.executescript(VERSION_1)
        old.execute("PRAGMA journal_mode = WAL")
    with closing(SqliteOrderWriter(path)) as writer:
        found = writer.open()
        writer.write(batch(told(placed(8, "ann"), 2)))
        after = writer.owner("ann")
        unused = writer.unused(3600, MOST)
    with closing(SqliteOrderWriter(path)) as writer:
        again = writer.open()

    assert [(order.rank, order.owner) for order in found.active] == [(7, "ann")]
    assert (found.next_rank, found.lost) == (8, None)
    assert after.last_seq == 2
    assert unused == []
    assert again.store == found.store != ""
    assert [order.rank for order in again.active] == [7, 8]


def test_a_failed_migration_changes_nothing(path: Path) -> None:
    """Each step is atomic."""
    tables = Tables(
        "things.db", frozenset({"a"}), ["CREATE TABLE a (x)", "CREATE TABLE b (x); SELECT * FROM c"]
    )
    with closing(sqlite3.connect(path, isolation_level=None)) as database:
        with pytest.raises(sqlite3.OperationalError):
            upgrade(database, tables)
        names = [name for (name,) in database.execute("SELECT name FROM sqlite_master")]

        assert (version(database, tables), names) == (1, ["a"])


@pytest.mark.parametrize("start", [0, 32, 9_000])
def test_a_log_that_was_damaged_before_a_kill_is_noticed(path: Path, start: int) -> None:
    """Random bytes in orders.db-wal: acknowledged changes are not lost silently, nothing is written."""
    there = killed(path, "killed")
    log = there.with_name("orders.db-wal")
    content = log.read_bytes()
    log.write_bytes(content[:start] + os.urandom(len(content) - start))
    before = contents(there)
    for _ in range(2):
        with pytest.raises(UnusableError, match=r"orders\.db"):
            SqliteOrderWriter(there).open()

    assert {name: data for name, data in contents(there).items() if "shm" not in name} == {
        name: data for name, data in before.items() if "shm" not in name
    }


def test_an_operator_can_continue_without_the_damaged_log(path: Path) -> None:
    """The text says how many changes are missing and what to delete."""
    there = killed(path, "killed")
    log = there.with_name("orders.db-wal")
    content = log.read_bytes()
    log.write_bytes(content[: len(content) // 2] + os.urandom(len(content) - len(content) // 2))
    with pytest.raises(
        UnusableError, match=r"is missing the last \d+ of 40 acknowledged.*delete orders\.db-mark"
    ):
        SqliteOrderWriter(there).open()
    there.with_name("orders.db-mark").unlink()
    with closing(SqliteOrderWriter(there)) as writer:
        found = writer.open()

    assert 0 < len(found.active) < 40
    assert found.lost is None


def test_a_restored_older_file_is_a_different_store(path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """It is used, with a log line, under a new identity: clients count its reports again."""
    with closing(SqliteOrderWriter(path)) as writer:
        before = writer.open()
        writer.write(batch(told(placed(1), 1)))
    aside = path.with_name("older")
    shutil.copy(path, aside)
    with closing(SqliteOrderWriter(path)) as writer:
        writer.open()
        writer.write(batch(told(placed(2), 2)))
    shutil.copy(aside, path)
    with closing(SqliteOrderWriter(path)) as writer:
        found = writer.open()
    with closing(SqliteOrderWriter(path)) as writer:
        again = writer.open()

    assert [order.rank for order in found.active] == [1]
    assert "is missing the last 1 of 2" in str(found.lost)
    assert [record.levelname for record in caplog.records].count("ERROR") == 1
    assert found.store != before.store
    assert (again.store, again.lost) == (found.store, None)


def test_a_missing_file_is_reported_once(path: Path) -> None:
    """A new one is created; deleting the mark too confirms that the old one is not needed."""
    with closing(SqliteOrderWriter(path)) as writer:
        before = writer.open()
        writer.write(batch(told(placed(1), 1)))
    path.unlink()
    with closing(SqliteOrderWriter(path)) as writer:
        found = writer.open()
    for part in path.parent.glob("orders.db*"):
        part.unlink()
    with closing(SqliteOrderWriter(path)) as writer:
        fresh = writer.open()

    assert found.active == []
    assert "is missing the last" in str(found.lost)
    assert len({before.store, found.store, fresh.store}) == 3
    assert fresh.lost is None


def test_a_copy_made_while_it_is_in_use_is_not_taken_for_a_new_store(
    writer: SqliteOrderWriter, path: Path
) -> None:
    """`cp` copies a file without tables, because they are in the log; the text says what to do."""
    copied = path.parent / "copy" / path.name
    copied.parent.mkdir()
    with closing(sqlite3.connect(copied)) as bare:
        bare.execute("PRAGMA journal_mode = WAL")
    before = copied.read_bytes()
    with pytest.raises(UnusableError, match=r"has no tables.*restore"):
        SqliteOrderWriter(copied).open()

    assert copied.read_bytes() == before != b""


def test_an_unreadable_mark_is_logged(path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """Orders are accepted all the same."""
    with closing(SqliteOrderWriter(path)) as writer:
        writer.open()
        writer.write(batch(told(placed(1), 1)))
    path.with_name("orders.db-mark").write_bytes(os.urandom(33))
    with closing(SqliteOrderWriter(path)) as writer:
        found = writer.open()

    assert [order.rank for order in found.active] == [1]
    assert "the mark of orders.db cannot be read" in caplog.text


def test_only_time_in_use_makes_an_owner_unused(path: Path) -> None:
    """Years in which the store was not used do not count."""
    with closing(SqliteOrderWriter(path)) as writer:
        writer.open()
        writer.write(batch(told(placed(1), 1), told(placed(2, BOB), 1)))
    with closing(sqlite3.connect(path)) as other, other:
        other.execute("UPDATE store SET ran_s = 1000000")
        other.execute("UPDATE owners SET used_s = 999000 WHERE name = ?", (BOB,))
    with closing(SqliteOrderWriter(path)) as writer:
        writer.open()

        assert writer.unused(2_000, MOST) == [ANN]
