"""The owners in the file of the orders: which are in use, which are not, and their removal."""

from __future__ import annotations

import sqlite3
from collections.abc import Mapping

from crypto_stream.storage.interface import OrderBatch, OwnerSummary
from crypto_stream.storage.sqlite_order_rows import PUT_OWNER, PUT_USED, REMOVE, REMOVED

_ROWS = 2_000  # deleted per transaction


def put_owners(database: sqlite3.Connection, batch: OrderBatch, ran_s: int) -> Mapping[str, int]:
    """Store the owners of a batch with the seq of their newest report; return their ids."""
    newest = {report.order.owner: report.seq for report in batch.reports}
    numbers = {}
    for owner, seq in newest.items():
        values = (owner, owner in batch.anonymous, seq, ran_s)
        ((numbers[owner],),) = database.execute(PUT_OWNER, values)
    database.executemany(PUT_USED, [(ran_s, owner) for owner in batch.used])
    return numbers


def unused(database: sqlite3.Connection, before_s: float, limit: int) -> list[str]:
    """Return owners that were not used since then."""
    query = "SELECT name FROM owners WHERE used_s < ? AND name NOT LIKE ? LIMIT ?"
    return [name for (name,) in database.execute(query, (before_s, f"{REMOVED}%", limit))]


def rename(database: sqlite3.Connection, owner: str) -> None:
    """Mark an owner as removed; `tidy` deletes its rows."""
    database.execute("UPDATE owners SET name = ? || id WHERE name = ?", (REMOVED, owner))


def tidy(database: sqlite3.Connection) -> bool:
    """Delete some rows of a removed owner; return False if there is none."""
    row = database.execute("SELECT id FROM owners WHERE name LIKE ? LIMIT 1", (f"{REMOVED}%",)).fetchone()
    if row is None:
        return False
    for statement in REMOVE:
        if database.execute(statement, {"owner": row[0], "limit": _ROWS}).rowcount >= _ROWS:
            break
    return True


def owners(database: sqlite3.Connection, limit: int) -> list[OwnerSummary]:
    """Return the owners with the most active orders."""
    query = (
        "SELECT name, anonymous, count(orders.rank) AS active, last_seq, "
        "(SELECT ran_s FROM store) - used_s FROM owners "
        "LEFT JOIN orders ON orders.owner = owners.id AND orders.status = 1 "
        "WHERE name NOT LIKE ? GROUP BY owners.id ORDER BY active DESC, last_seq DESC LIMIT ?"
    )
    rows = database.execute(query, (f"{REMOVED}%", limit))
    return [
        OwnerSummary(name, bool(anonymous), active, reports, max(0, unused_s))
        for name, anonymous, active, reports, unused_s in rows
    ]
