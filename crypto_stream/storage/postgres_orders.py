"""The writer of the orders in PostgreSQL: each batch is one fenced transaction, new rows go in by COPY."""

from __future__ import annotations

import logging
import time
from collections.abc import Collection, Iterable, Mapping, Sequence
from contextlib import closing
from pathlib import Path

from crypto_stream.market.orders import ExecType, Report
from crypto_stream.storage.interface import (
    MAX_UNREAD,
    LoadedOrders,
    OrderBatch,
    OwnerState,
    RemainingSize,
)
from crypto_stream.storage.order_mark import Mark, MarkFile
from crypto_stream.storage.order_rows import Row, order_row, position_row, report_row, traded_keys
from crypto_stream.storage.postgres_connection import Connection, failing_as_os_error, storable
from crypto_stream.storage.postgres_lease import Lease
from crypto_stream.storage.postgres_order_rows import (
    CHANGE_ORDERS,
    COPY_ORDERS,
    COPY_REPORTS,
    GET_OWNERS,
    GET_POSITIONS,
    NAMED,
    NEW_OWNERS,
    NEWEST_REPORT,
    OWNER_ID,
    PUT_POSITIONS,
    PUT_READ,
    PUT_REMAINING,
    PUT_SEQS,
    PUT_USED,
    REMOVED,
    REPORTS,
    load,
    reports,
    tidy,
)
from crypto_stream.storage.postgres_session import Writer, open_session

log = logging.getLogger(__name__)

_LOAD_S = 60.0
_MAX_OWNERS = 100_000  # whose ids are cached; beyond this the cache is cleared


class PostgresOrderWriter:
    """Writes the orders. `store` counts the commits: each must find the number that the previous one left."""

    advice = "repair the database, or restore a backup, then restart the engine"

    def __init__(self, lease: Lease, path: Path) -> None:
        """Write to the database of `lease`; the mark of acknowledged commits is kept beside `path`."""
        self._lease = lease
        self._writer = Writer(lease)
        self._mark = MarkFile(path)
        self._marked = Mark("", 0)
        self._owners: dict[str, int] = {}
        self._ran_s = 0
        self._opened_s = 0.0
        self._untidy = True

    def open(self) -> LoadedOrders:
        """Load everything, after a commit of ours; may be called again after a failure.

        A commit of which we do not know whether it succeeded holds the row of `store` until it is decided.
        """
        self._owners.clear()
        with self._writer.transaction("SELECT identity, commits, ran_s FROM store FOR UPDATE") as found:
            ((identity, commits, ran_s),) = found.fetchall()
            lost = self._missing(Mark(identity, commits))
            new = "gen_random_uuid()::text" if lost else "identity"  # seq starts again, and clients must know
            query = f"UPDATE store SET commits = commits + 1, identity = {new} RETURNING identity, commits"
            ((identity, commits),) = found.connection.execute(query.encode()).fetchall()
        with (
            closing(open_session(self._lease, _LOAD_S)) as reading,
            failing_as_os_error(),
        ):
            loaded = load(reading)
        self._marked, self._ran_s, self._untidy = Mark(identity, commits), ran_s, True
        self._opened_s = time.monotonic()
        self._mark.put(self._marked)
        return loaded._replace(lost=lost)

    def write(self, batch: OrderBatch) -> None:
        """Store the batch atomically and durably."""
        marked, ran_s = self._next()
        before = marked.commits - 1
        count = f"UPDATE store SET commits = {marked.commits}, ran_s = {ran_s} WHERE commits = {before}"
        try:
            with self._writer.transaction(count) as counted:
                if counted.rowcount != 1:
                    raise OSError("PostgreSQL: the orders have changed meanwhile")
                self._write(batch, ran_s)
        except BaseException:
            self._owners.clear()
            raise
        self._marked = marked
        self._mark.put(marked)

    def owner(self, owner: str, after: int = 0) -> OwnerState:
        """Return an owner's state, with its oldest MAX_UNREAD reports beyond seq `after`."""
        with self._writer.reading() as database:
            query = "SELECT last_seq, told FROM owners WHERE name = %s"
            row = database.execute(query, (owner,)).fetchone()
            if row is None:
                return OwnerState(0, [])
            query = f"{REPORTS} reports.owner = {OWNER_ID} AND seq > %s ORDER BY seq LIMIT {MAX_UNREAD}"
            return OwnerState(row[0], reports(database, query, (owner, max(row[1], after))))

    def existing(self, names: Collection[tuple[str, str]]) -> dict[tuple[str, str], Report]:
        """Return the newest reports of existing orders, by owner and client_order_id."""
        given = ([owner for owner, _ in names], [name for _, name in names])
        with self._writer.reading() as database:
            ranks = [rank for (rank,) in database.execute(NAMED, given)]
            found = reports(database, f"{NEWEST_REPORT} orders.rank = ANY(%s)", (ranks,)) if ranks else []
        return {(each.order.owner, each.order.ticket.client_order_id or ""): each for each in found}

    def unused(self, seconds: float, limit: int) -> list[str]:
        """Return owners unused for `seconds`, counted while the store was in use."""
        query = "SELECT name FROM owners WHERE used_s < %s AND NOT starts_with(name, %s) LIMIT %s"
        with self._writer.reading() as database:
            found = database.execute(query, (self._next()[1] - seconds, REMOVED, limit))
            return [name for (name,) in found]

    def remove(self, owner: str) -> None:
        """Remove an owner; `tidy` deletes its rows in small steps."""
        with self._writer.transaction() as begun:
            begun.connection.execute("UPDATE owners SET name = %s || id WHERE name = %s", (REMOVED, owner))
        self._owners.pop(owner, None)
        self._untidy = True

    def tidy(self) -> bool:
        """Delete some rows of removed owners; return False if there are none."""
        if self._untidy:
            with self._writer.transaction():
                self._untidy = tidy(self._writer.connection())
        return self._untidy

    def close(self) -> None:
        """Close the session; `open` begins another one."""
        self._writer.close()
        self._mark.close()

    def _next(self) -> tuple[Mark, int]:
        """Return the mark of the next commit, and how many seconds the store has been in use."""
        ran_s = self._ran_s + int(time.monotonic() - self._opened_s)
        return Mark(self._marked.store, self._marked.commits + 1), ran_s

    def _missing(self, stored: Mark) -> str | None:
        """Return, and log, how many acknowledged changes the database lacks; None if it lacks none."""
        marked = self._mark.read()
        if marked is None or marked.store != stored.store or marked.commits <= stored.commits:
            return None
        text = (
            f"the database is missing the last {marked.commits - stored.commits} of {marked.commits} "
            "acknowledged changes: it was replaced by an older one"
        )
        log.error("acknowledged changes of orders are missing", extra={"reason": text})
        return text

    def _write(self, batch: OrderBatch, ran_s: int) -> None:
        database = self._writer.connection()
        texts = {report.order.ticket.symbol for report in batch.reports}
        texts |= {report.source for report in batch.reports if report.source is not None}
        texts |= {text for each in batch.remaining for text in (each.symbol, each.source)}
        ids = self._writer.ids(texts)
        if batch.reports:
            owners = self._put_owners(database, batch, ran_s)
            _put_orders(database, batch.reports, owners, ids)
            _add_trades(database, batch.reports, owners, ids)
        if batch.read:
            database.execute(PUT_READ, (list(batch.read), list(batch.read.values())))
        if batch.used:
            database.execute(PUT_USED, (ran_s, list(batch.used)))
        if batch.remaining:
            database.execute(PUT_REMAINING, _columns([_remaining_row(each, ids) for each in batch.remaining]))

    def _put_owners(self, database: Connection, batch: OrderBatch, ran_s: int) -> Mapping[str, int]:
        """Store the owners of a batch with the seq of their newest report; return their ids."""
        newest = {report.order.owner: report.seq for report in batch.reports}
        if len(self._owners) > _MAX_OWNERS:
            self._owners.clear()
        missing = [owner for owner in newest if owner not in self._owners]
        if missing:
            self._owners.update(database.execute(GET_OWNERS, (missing,)).fetchall())
        if new := [owner for owner in missing if owner not in self._owners]:
            values = (ran_s, new, [owner in batch.anonymous for owner in new])
            self._owners.update(database.execute(NEW_OWNERS, values).fetchall())
        database.execute(PUT_SEQS, ([self._owners[owner] for owner in newest], list(newest.values())))
        return self._owners


def _put_orders(
    database: Connection, happened: Sequence[Report], owners: Mapping[str, int], ids: Mapping[str, int]
) -> None:
    """Store the reports, and each order as of its newest one: new orders by COPY, the others changed."""
    newest = {report.order.rank: report for report in happened}
    new = {report.order.rank for report in happened if report.exec_type is ExecType.NEW}
    if changed := [report for rank, report in newest.items() if rank not in new]:
        values = [
            (
                *(report.order.rank, report.order.status.value, report.order.changed_ms),
                *(report.order.cum_amount, report.order.cum_value, report.seq),
            )
            for report in changed
        ]
        known = {rank for (rank,) in database.execute(CHANGE_ORDERS, _columns(values))}
        new |= {report.order.rank for report in changed} - known
    _copy(
        database,
        COPY_ORDERS,
        (
            order_row(report, owners[report.order.owner], ids.__getitem__)
            for rank, report in newest.items()
            if rank in new
        ),
    )
    rows = (report_row(report, owners[report.order.owner], ids.__getitem__) for report in happened)
    _copy(database, COPY_REPORTS, ((*row[:-1], storable(row[-1])) for row in rows))


def _add_trades(
    database: Connection, happened: Sequence[Report], owners: Mapping[str, int], ids: Mapping[str, int]
) -> None:
    trades = traded_keys(happened, owners, ids.__getitem__)
    if not trades:
        return
    found = database.execute(GET_POSITIONS, _columns(trades))
    before = {(owner, symbol): tuple(sums) for owner, symbol, *sums in found}
    rows = [position_row(key, before.get(key), reports) for key, reports in trades.items()]
    database.execute(PUT_POSITIONS, _columns(rows))


def _copy(database: Connection, statement: str, rows: Iterable[Row]) -> None:
    values = list(rows)
    if values:
        with database.cursor().copy(statement.encode()) as copy:
            for row in values:
                copy.write_row(row)


def _columns(rows: Iterable[Row]) -> list[list[object]]:
    """Return the columns of rows, each an array for `unnest`."""
    return [list(column) for column in zip(*rows, strict=True)]


def _remaining_row(row: RemainingSize, ids: Mapping[str, int]) -> Row:
    return (ids[row.symbol], ids[row.source], row.side.value, row.price, row.size, row.remaining)
