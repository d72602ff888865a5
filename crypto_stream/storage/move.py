"""Moves state, orders and history from the files of a data directory to a PostgreSQL database, once."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from pathlib import Path
from typing import NamedTuple

from crypto_stream.errors import UsageError
from crypto_stream.market.bars import INTERVALS
from crypto_stream.storage import sqlite_history
from crypto_stream.storage.order_mark import Mark, MarkFile
from crypto_stream.storage.postgres_connection import (
    Connection,
    Row,
    connect,
    failing_as_os_error,
    storable,
)
from crypto_stream.storage.postgres_lease import Lease
from crypto_stream.storage.postgres_partitions import Partitions
from crypto_stream.storage.postgres_session import FENCE
from crypto_stream.storage.postgres_stores import MARK, PostgresStores
from crypto_stream.storage.sqlite import SqliteStateStore
from crypto_stream.storage.sqlite_file import connect as open_file
from crypto_stream.storage.sqlite_orders import SqliteOrderWriter
from crypto_stream.storage.sqlite_stores import HISTORY, ORDERS, STATE
from crypto_stream.storage.sqlite_tables import upgrade

_STATEMENT_S = 3_600.0
_DAY_MS = INTERVALS["1d"]


class _Table(NamedTuple):
    """A table of a file: its columns as in PostgreSQL, and which of them are ids of names, or free text."""

    name: str
    columns: str
    ids: Sequence[int] = ()
    texts: Sequence[int] = ()
    booleans: Sequence[int] = ()


_BAR = "symbol, length_ms, time, open, high, low, close, volume, trades, source"
_OF_HISTORY = (
    _Table("bar", _BAR, ids=(0, 9)),
    _Table("aside", _BAR, ids=(0, 9)),
    _Table("gap", 'symbol, "from", "to", reason', ids=(0,), texts=(3,)),
    _Table("clock", "id, at_ms, venue_ms, wall_ms, boot, up_ms"),
)
_OF_ORDERS = (
    _Table("owners", "id, name, anonymous, last_seq, told, used_s", booleans=(2,)),
    _Table(
        "orders",
        "rank, order_id, owner, symbol, side, amount, price, kind, time_in_force, client_order_id, outcome, "
        "created_ms, due_ms, status, changed_ms, cum_amount, cum_value, newest",
        ids=(3,),
    ),
    _Table(
        "reports",
        "owner, seq, rank, symbol, exec_id, exec_type, time, status, changed_ms, cum_amount, cum_value, "
        "last_amount, last_price, source, reason",
        ids=(3, 13),
        texts=(14,),
    ),
    _Table("positions", "owner, symbol, bought_amount, bought_value, sold_amount, sold_value", ids=(1,)),
    _Table("taken", "symbol, source, side, price, size, rest", ids=(0, 1)),
)
_EMPTY = ("state", "names", "owners", "orders", "reports", "bar", "gap")


def move(data_dir: Path, address: str) -> dict[str, int]:
    """Copy everything in `data_dir`, which no engine may use, to the empty database at `address`.

    Returns the number of rows of each table. All of it is one transaction; the files remain as they are, but
    for migrations of older ones. Raises UsageError if it cannot be done.
    """
    if not any((data_dir / name).exists() for name in (STATE, HISTORY, ORDERS)):
        raise UsageError(f"data_dir: {data_dir} contains no data; name the folder with --data-dir")
    with closing(PostgresStores(address, data_dir)) as stores:
        if not stores.acquire():
            raise UsageError("database: an engine uses it; stop it first")
        try:
            return _move(data_dir, stores.lease)
        except (OSError, sqlite3.Error) as error:
            raise UsageError(f"move: {stores.lease.trouble or error}; nothing was moved") from None


def _move(data_dir: Path, lease: Lease) -> dict[str, int]:
    begin = f"BEGIN; {FENCE.format(lease.term)}"
    marked: Mark | None = None
    with closing(connect(lease.address, lease.name, _STATEMENT_S)) as database, failing_as_os_error():
        database.execute("SET idle_in_transaction_session_timeout = 0")  # reading the files may take longer
        database.execute(begin.encode(), prepare=False)
        for table in _EMPTY:
            if database.execute(f"SELECT 1 FROM {table} LIMIT 1".encode()).fetchone():
                raise UsageError(f"database: it is not empty: there are rows in its table {table}")
        moved = {"state": _move_state(database, data_dir / STATE)}
        if (data_dir / ORDERS).exists():
            with _orders(data_dir / ORDERS) as file:
                moved |= _copy_tables(database, file, "names", _OF_ORDERS)
                marked = _move_store(database, file)
        if (data_dir / HISTORY).exists():
            with _history(data_dir / HISTORY) as file:
                _make_partitions(database, file)
                moved |= _copy_tables(database, file, "name", _OF_HISTORY)
                ((alive_ms,),) = file.execute("SELECT coalesce(max(alive_ms), 0) FROM life")
                database.execute("UPDATE life SET alive_ms = %s", (alive_ms,))
        _compare(database, moved)
        database.execute("COMMIT")
    if marked is not None:
        mark = MarkFile(data_dir / MARK)
        mark.put(marked)
        mark.close()
    return moved


def _move_state(database: Connection, path: Path) -> int:
    state = SqliteStateStore(path).load() if path.exists() else {}
    values = (list(state), list(state.values()))
    database.execute("INSERT INTO state SELECT * FROM unnest(%s::text[], %s::text[])", values)
    return len(state)


def _copy_tables(
    database: Connection, file: sqlite3.Connection, names: str, tables: Sequence[_Table]
) -> dict[str, int]:
    """Copy the tables of one file, whose names are in its table `names`; return their numbers of rows."""
    ids = _move_names(database, dict(file.execute(f"SELECT id, text FROM {names}")))
    return {table.name: _copy(database, file, table, ids) for table in tables}


def _move_names(database: Connection, texts: Mapping[int, str]) -> Mapping[int, int]:
    """Store the names of a file; return their new ids by their old ones."""
    database.execute(
        "INSERT INTO names (text) SELECT * FROM unnest(%s::text[]) ON CONFLICT DO NOTHING",
        (sorted(texts.values()),),
    )
    found = database.execute("SELECT text, id FROM names WHERE text = ANY(%s)", (list(texts.values()),))
    new: dict[str, int] = dict(found.fetchall())
    return {old: new[text] for old, text in texts.items()}


def _copy(database: Connection, file: sqlite3.Connection, table: _Table, ids: Mapping[int, int]) -> int:
    count = 0
    with database.cursor().copy(f"COPY {table.name} FROM STDIN".encode()) as copy:
        for row in file.execute(f"SELECT {table.columns} FROM {table.name}"):
            copy.write_row(_converted(row, table, ids))
            count += 1
    return count


def _converted(row: Row, table: _Table, ids: Mapping[int, int]) -> Row:
    values = list(row)
    for at in table.ids:
        values[at] = None if values[at] is None else ids[values[at]]
    for at in table.texts:
        values[at] = storable(values[at])
    for at in table.booleans:
        values[at] = bool(values[at])
    return tuple(values)


def _move_store(database: Connection, file: sqlite3.Connection) -> Mark:
    """Store the identity of the orders: for clients they are the same."""
    ((identity, commits, ran_s),) = file.execute("SELECT identity, commits, ran_s FROM store")
    database.execute("UPDATE store SET identity = %s, commits = %s, ran_s = %s", (identity, commits, ran_s))
    # New owners get ids after those of the old ones.
    database.execute(
        "SELECT setval(pg_get_serial_sequence('owners', 'id'), max(id)) FROM owners HAVING max(id) > 0"
    )
    return Mark(identity, commits)


def _make_partitions(database: Connection, file: sqlite3.Connection) -> None:
    intervals = {length_ms: name for name, length_ms in INTERVALS.items()}
    days = file.execute(f"SELECT DISTINCT length_ms, time / {_DAY_MS} FROM bar")
    Partitions().make(database, [(intervals[length_ms], day * _DAY_MS) for length_ms, day in days])


def _compare(database: Connection, moved: Mapping[str, int]) -> None:
    for table, count in moved.items():
        ((found,),) = database.execute(f"SELECT count(*) FROM {table}".encode())
        if found != count:
            raise OSError(f"{found} of {count} rows of the table {table} arrived")


@contextmanager
def _orders(path: Path) -> Iterator[sqlite3.Connection]:
    """Open the orders, after checking and migrating them as an engine does."""
    with closing(SqliteOrderWriter(path)) as writer:
        writer.open()
    with closing(open_file(path, "ro")) as file:
        yield file


@contextmanager
def _history(path: Path) -> Iterator[sqlite3.Connection]:
    with closing(open_file(path, "rw")) as file:
        upgrade(file, sqlite_history.TABLES)
        yield file
