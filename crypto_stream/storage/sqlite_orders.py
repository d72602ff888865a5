"""The writer of the orders: one SQLite file, never replaced. `sqlite_order_reader` reads beside it (WAL)."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from decimal import Decimal
from pathlib import Path
from typing import TypeVar

from crypto_stream.market.exact import add, multiply, plain
from crypto_stream.market.orders import ExecType, Order, Report, Side
from crypto_stream.storage.interface import (
    MOST_UNTOLD,
    OrderBatch,
    OrdersFound,
    OwnerFound,
    UnusableError,
)
from crypto_stream.storage.sqlite_file import Identity, connect, failing_as_os_error, identity, parts, reading
from crypto_stream.storage.sqlite_order_rows import (
    ACTIVE_ORDERS,
    GET_POSITION,
    NAMED,
    NEWEST_REPORT,
    OWNER_ID,
    PUT_ORDER,
    PUT_OWNER,
    PUT_POSITION,
    PUT_REPORT,
    PUT_TOLD,
    REPORTS,
    SCHEMA,
    VERSION,
    orders,
    reports,
)

Found = TypeVar("Found")


class SqliteOrderWriter:
    """Write the orders; a file that is corrupt, or gone, waits for a person."""

    def __init__(self, path: Path) -> None:
        """Use the file at `path`; nothing is opened before `open`."""
        self._path = path
        self._database: sqlite3.Connection | None = None
        self._own: Identity = None  # the file that this process has used, also while it is closed
        self._stood: list[Identity] = []
        self._names: dict[str, int] = {}

    def open(self) -> OrdersFound:
        """Open what is kept, made where there is nothing; may be called again after a failure.

        It returns only when something can be written, too.
        """
        with reading(self._path):
            if self._database is None:
                # A first look cannot write: to close a connection that may carries the log over into the
                # file, and a corrupt one is to stay as it is.
                found = self._look()
                self._database = _prepared(self._path)
                self._own = identity(self._path)
                self._stood = self._standing()
            else:
                found = _found(self._usable())
            with self._transaction() as database:
                database.execute(f"PRAGMA user_version = {VERSION}")  # as it is: this is to try
            return found

    def write(self, batch: OrderBatch) -> None:
        """Keep the batch, all or nothing; on disk (synchronous) when this returns."""
        with failing_as_os_error(self._path), self._transaction() as database:
            owners = _put_owners(database, batch)
            newest = {report.order.rank: report for report in batch.reports}
            database.executemany(PUT_ORDER, [self._order_row(each, owners) for each in newest.values()])
            database.executemany(PUT_REPORT, [self._report_row(each, owners) for each in batch.reports])
            self._add_trades(database, batch.reports, owners)
            database.executemany(PUT_TOLD, [(seq, owner) for owner, seq in batch.told.items()])

    def owner(self, owner: str, after: int = 0) -> OwnerFound:
        """Return what is known of an owner, of its reports the oldest MOST_UNTOLD beyond seq `after`."""
        with reading(self._path):
            database = self._usable()
            row = database.execute("SELECT last_seq, told FROM owners WHERE name = ?", (owner,)).fetchone()
            if row is None:
                return OwnerFound(0, [])
            query = f"{REPORTS} reports.owner = {OWNER_ID} AND seq > ? ORDER BY seq LIMIT {MOST_UNTOLD}"
            return OwnerFound(row[0], reports(database, query, (owner, max(row[1], after))))

    def named(self, names: Collection[tuple[str, str]]) -> dict[tuple[str, str], Report]:
        """Return the newest reports of those orders that exist, by owner and client_order_id."""
        query = f"{NEWEST_REPORT} orders.owner = {OWNER_ID} AND client_order_id = ?"
        asked = list(names)
        with reading(self._path):
            database = self._usable()
            known = [asked[key] for (key,) in database.execute(NAMED, (json.dumps(asked),)).fetchall()]
            return {name: reports(database, query, name)[0] for name in known}

    def close(self) -> None:
        """Close the file; `open` opens it again."""
        self._names.clear()
        if self._database is not None:
            self._database.close()
            self._database = None

    def _look(self) -> OrdersFound:
        here, log, _ = parts(self._path)
        found = identity(here)
        if self._own not in (None, found):
            raise UnusableError(f"{here} is not the file that was used until now: put it back, or restart")
        if found is None or not here.stat().st_size:
            # SQLite would throw such a log away, and with it what was acknowledged last.
            if identity(log) is not None and log.stat().st_size:
                raise UnusableError(f"{here} is gone, its log {log.name} is not: put it back, or move that")
            return OrdersFound([], frozenset(), 1)
        if not here.is_file():
            raise UnusableError(f"{here} is no file")
        with closing(connect(here, "ro")) as database:
            return _found(database)

    def _standing(self) -> list[Identity]:
        return [identity(part) for part in parts(self._path)]

    def _usable(self) -> sqlite3.Connection:
        """Return the open file; UnusableError when it, or a part of it, is no longer at its place."""
        if self._database is None:
            raise OSError(f"{self._path} is not open")
        if self._standing() != self._stood:
            raise UnusableError(f"{self._path} was moved or deleted while in use: put it back, or restart")
        return self._database

    @contextmanager
    def _transaction(self) -> Iterator[sqlite3.Connection]:
        """Do all or nothing. The file stays open even so: on a full disk it could not be opened again."""
        database = self._usable()
        try:
            database.execute("BEGIN IMMEDIATE")
            yield database
            database.execute("COMMIT")
        except BaseException:
            self._names.clear()
            if database.in_transaction:
                try:
                    database.execute("ROLLBACK")
                except sqlite3.Error:
                    self.close()
            raise
        self._usable()

    def _order_row(self, report: Report, owners: Mapping[str, int]) -> tuple[object, ...]:
        # Enums as what they stand for: sqlite3 is slow with all that is not exactly a str or an int.
        order = report.order
        ticket = order.ticket
        outcome = ticket.outcome and ticket.outcome.value
        return (
            *(
                order.rank,
                order.order_id,
                owners[order.owner],
                self._number(ticket.symbol),
                ticket.side.value,
            ),
            *(ticket.amount, ticket.price, ticket.kind.value, ticket.time_in_force.value),
            *(ticket.client_order_id, outcome, order.created_ms, order.due_ms),
            *(order.status.value, order.changed_ms, order.cum_amount, order.cum_value, report.seq),
        )

    def _report_row(self, report: Report, owners: Mapping[str, int]) -> tuple[object, ...]:
        order = report.order
        return (
            *(owners[order.owner], report.seq, order.rank, self._number(order.ticket.symbol)),
            *(report.exec_id, report.exec_type.value, report.time),
            *(order.status.value, order.changed_ms, order.cum_amount, order.cum_value),
            *(report.last_amount, report.last_price),
            *(None if report.source is None else self._number(report.source), report.reason),
        )

    def _add_trades(
        self, database: sqlite3.Connection, happened: Sequence[Report], owners: Mapping[str, int]
    ) -> None:
        sums: dict[tuple[int, int], list[Decimal]] = {}
        for report in happened:
            if report.exec_type is not ExecType.TRADE:
                continue
            ticket = report.order.ticket
            key = (owners[report.order.owner], self._number(ticket.symbol))
            if key not in sums:
                kept = database.execute(GET_POSITION, key).fetchone() or ("0", "0", "0", "0")
                sums[key] = [Decimal(each) for each in kept]
            amount, price = Decimal(report.last_amount or 0), Decimal(report.last_price or 0)
            at = 0 if ticket.side is Side.BUY else 2
            sums[key][at] = add(sums[key][at], amount)
            sums[key][at + 1] = add(multiply(amount, price), sums[key][at + 1])
        rows = [(*key, *map(plain, kept)) for key, kept in sums.items()]
        database.executemany(PUT_POSITION, rows)

    def _number(self, name: str) -> int:
        number = self._names.get(name)
        if number is None:
            assert self._database is not None
            self._database.execute("INSERT OR IGNORE INTO names (text) VALUES (?)", (name,))
            (number,) = self._database.execute("SELECT id FROM names WHERE text = ?", (name,)).fetchone()
            self._names[name] = number
        return number


def _prepared(path: Path) -> sqlite3.Connection:
    database = connect(path, "rwc")
    try:
        database.execute("PRAGMA journal_mode = WAL")
        database.execute("PRAGMA synchronous = FULL")  # a commit waits for the disk
        if not _version(database):
            database.executescript(SCHEMA)
    except BaseException:
        database.close()
        raise
    return database


def _version(database: sqlite3.Connection) -> int:
    """Return the version of the tables, 0 for a file without any; UnusableError for another's."""
    ((version,),) = database.execute("PRAGMA user_version")
    ((tables,),) = database.execute("SELECT count(*) FROM sqlite_master")
    if version != (VERSION if tables else 0):
        raise UnusableError(f"the file has tables of version {version}; this program knows {VERSION}")
    return int(version)


def _found(database: sqlite3.Connection) -> OrdersFound:
    if not _version(database):
        return OrdersFound([], frozenset(), 1)
    active = sorted(orders(database, ACTIVE_ORDERS), key=_rank)
    query = (
        "SELECT name FROM owners WHERE anonymous AND id IN "
        "(SELECT owner FROM orders INDEXED BY active WHERE status = 1)"
    )
    anonymous = frozenset(name for (name,) in database.execute(query))
    ((rank,),) = database.execute("SELECT coalesce(max(rank), 0) + 1 FROM orders")
    return OrdersFound(active, anonymous, rank)


def _put_owners(database: sqlite3.Connection, batch: OrderBatch) -> dict[str, int]:
    """Keep the owners of a batch with the seq of their newest report; return their numbers."""
    newest = {report.order.owner: report.seq for report in batch.reports}
    numbers = {}
    for owner, seq in newest.items():
        values = (owner, owner in batch.anonymous, seq)
        ((numbers[owner],),) = database.execute(PUT_OWNER, values)
    return numbers


def _rank(order: Order) -> int:
    return order.rank
