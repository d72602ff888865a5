"""The writer of the orders: one SQLite file, never replaced automatically; reads are concurrent (WAL)."""

from __future__ import annotations

import json
import sqlite3
import time
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

from crypto_stream.market.orders import Report
from crypto_stream.storage.interface import (
    MAX_UNREAD,
    LoadedOrders,
    OrderBatch,
    OwnerState,
    RemainingSize,
    UnusableError,
)
from crypto_stream.storage.order_mark import Mark, MarkFile
from crypto_stream.storage.order_rows import order_row, position_row, report_row, traded_keys
from crypto_stream.storage.sqlite_file import Identity, failing_as_os_error, identity, parts, reading
from crypto_stream.storage.sqlite_order_file import inspect, load, open_for_writing
from crypto_stream.storage.sqlite_order_owners import put_owners, rename, tidy, unused
from crypto_stream.storage.sqlite_order_rows import (
    GET_POSITION,
    NAMED,
    NEW_STORE,
    NEWEST_REPORT,
    OWNER_ID,
    PUT_ORDER,
    PUT_POSITION,
    PUT_READ,
    PUT_REMAINING,
    PUT_REPORT,
    REPORTS,
    TABLES,
    reports,
)


class SqliteOrderWriter:
    """Writes the orders; a corrupt or missing file needs an operator."""

    advice = "orders.db is never replaced automatically: repair or move it, then restart the engine"

    def __init__(self, path: Path) -> None:
        """Use the file at `path`; nothing is opened before `open`."""
        self._path = path
        self._parts = [str(part) for part in parts(path)]  # looked at twice in each commit
        self._database: sqlite3.Connection | None = None
        self._own: Identity = None  # the file used by this process, also while it is closed
        self._identities: list[Identity] = []
        self._names: dict[str, int] = {}
        self._mark = MarkFile(path)
        self._marked = Mark("", 0)
        self._ran_s = 0
        self._opened_s = 0.0
        self._untidy = True

    def open(self) -> LoadedOrders:
        """Open or create the store; may be called again after a failure.

        Returns only if the store is writable, too.
        """
        loaded: LoadedOrders | None = None
        lost = None
        with reading(self._path):
            if self._database is None:
                # Check read-only first: closing a writing connection would checkpoint the log, and a
                # corrupt file must remain unchanged.
                loaded, lost = inspect(self._path, self._mark.read(), self._own)
                self._database = open_for_writing(self._path)
                self._own = identity(self._path)
                self._identities = self._current_identities()
                self._opened_s = time.monotonic()
            with self._transaction() as database:
                if lost:  # seq starts again, and clients must know
                    database.execute(NEW_STORE)
                database.execute(f"PRAGMA user_version = {TABLES.version}")  # unchanged: a test write
            if loaded is None:
                loaded = load(self._usable())
            ((store, commits, ran_s),) = self._usable().execute("SELECT * FROM store")
        self._marked, self._ran_s, self._untidy = Mark(store, commits), ran_s, True
        self._opened_s = time.monotonic()
        self._mark.put(self._marked)
        return loaded._replace(store=store, lost=lost)

    def write(self, batch: OrderBatch) -> None:
        """Store the batch atomically and durably."""
        marked, ran_s = self._next()
        with failing_as_os_error(self._path), self._transaction() as database:
            database.execute("UPDATE store SET commits = ?, ran_s = ?", (marked.commits, ran_s))
            owners = put_owners(database, batch, ran_s)
            newest = {report.order.rank: report for report in batch.reports}
            number = self._number
            database.executemany(
                PUT_ORDER, [order_row(each, owners[each.order.owner], number) for each in newest.values()]
            )
            database.executemany(
                PUT_REPORT, [report_row(each, owners[each.order.owner], number) for each in batch.reports]
            )
            self._add_trades(database, batch.reports, owners)
            database.executemany(PUT_READ, [(seq, owner) for owner, seq in batch.read.items()])
            database.executemany(PUT_REMAINING, [self._remaining_row(each) for each in batch.remaining])
        self._marked = marked
        self._mark.put(marked)

    def owner(self, owner: str, after: int = 0) -> OwnerState:
        """Return an owner's state, with its oldest MAX_UNREAD reports beyond seq `after`."""
        with reading(self._path):
            database = self._usable()
            row = database.execute("SELECT last_seq, told FROM owners WHERE name = ?", (owner,)).fetchone()
            if row is None:
                return OwnerState(0, [])
            query = f"{REPORTS} reports.owner = {OWNER_ID} AND seq > ? ORDER BY seq LIMIT {MAX_UNREAD}"
            return OwnerState(row[0], reports(database, query, (owner, max(row[1], after))))

    def existing(self, names: Collection[tuple[str, str]]) -> dict[tuple[str, str], Report]:
        """Return the newest reports of existing orders, by owner and client_order_id."""
        query = f"{NEWEST_REPORT} orders.owner = {OWNER_ID} AND client_order_id = ?"
        given = list(names)
        with reading(self._path):
            database = self._usable()
            known = [given[key] for (key,) in database.execute(NAMED, (json.dumps(given),)).fetchall()]
            return {name: reports(database, query, name)[0] for name in known}

    def unused(self, seconds: float, limit: int) -> list[str]:
        """Return owners unused for `seconds`, counted while the store was in use."""
        with reading(self._path):
            return unused(self._usable(), self._next()[1] - seconds, limit)

    def remove(self, owner: str) -> None:
        """Remove an owner; `tidy` deletes its rows in small steps."""
        with failing_as_os_error(self._path), self._transaction() as database:
            rename(database, owner)
        self._untidy = True

    def tidy(self) -> bool:
        """Delete some rows of removed owners; return False if there are none."""
        if self._untidy and self._database is not None:
            with failing_as_os_error(self._path), self._transaction() as database:
                self._untidy = tidy(database)
        return self._untidy

    def close(self) -> None:
        """Close the file; `open` opens it again."""
        self._names.clear()
        if self._database is not None:
            self._database.close()
            self._database = None
            self._mark.close()

    def _next(self) -> tuple[Mark, int]:
        """Return the mark of the next commit, and how many seconds the store has been in use."""
        ran_s = self._ran_s + int(time.monotonic() - self._opened_s)
        return Mark(self._marked.store, self._marked.commits + 1), ran_s

    def _remaining_row(self, row: RemainingSize) -> tuple[object, ...]:
        names = (self._number(row.symbol), self._number(row.source), row.side.value)
        return (*names, row.price, row.size, row.remaining)

    def _current_identities(self) -> list[Identity]:
        return [identity(part) for part in self._parts]

    def _usable(self) -> sqlite3.Connection:
        """Return the open database; raise UnusableError if one of its files was moved or deleted."""
        if self._database is None:
            raise OSError(f"{self._path} is not open")
        if self._current_identities() != self._identities:
            raise UnusableError(f"{self._path} was moved or deleted while in use: put it back, or restart")
        return self._database

    @contextmanager
    def _transaction(self) -> Iterator[sqlite3.Connection]:
        """Run a transaction. After errors the file stays open: a full disk might prevent opening it."""
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

    def _add_trades(
        self, database: sqlite3.Connection, happened: Sequence[Report], owners: Mapping[str, int]
    ) -> None:
        rows = [
            position_row(key, database.execute(GET_POSITION, key).fetchone(), trades)
            for key, trades in traded_keys(happened, owners, self._number).items()
        ]
        database.executemany(PUT_POSITION, rows)

    def _number(self, name: str) -> int:
        number = self._names.get(name)
        if number is None:
            assert self._database is not None
            self._database.execute("INSERT OR IGNORE INTO names (text) VALUES (?)", (name,))
            (number,) = self._database.execute("SELECT id FROM names WHERE text = ?", (name,)).fetchone()
            self._names[name] = number
        return number
