"""Reads of the orders, concurrent with their writer."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TypeVar

from crypto_stream.market.orders import Order, Position, Report
from crypto_stream.storage.interface import OwnerSummary
from crypto_stream.storage.sqlite_file import Identity, connect, identity, reading
from crypto_stream.storage.sqlite_order_owners import owners
from crypto_stream.storage.sqlite_order_rows import (
    ACTIVE_ORDERS,
    CLOSED_ORDERS,
    NEWEST_REPORT,
    ORDERS,
    OWNER_ID,
    TRADES,
    orders,
    positions,
    reports,
)

Found = TypeVar("Found")


class SqliteOrderReader:
    """Reads the orders over one read-only connection, opened at the first read."""

    def __init__(self, path: Path) -> None:
        """Read the file at `path`, which a writer has created."""
        self._path = path
        self._database: sqlite3.Connection | None = None
        self._opened: Identity = None

    def order(self, owner: str, order_id: str) -> Order | None:
        """Return one order of this owner."""
        query = f"{ORDERS} order_id = ? AND owners.name = ?"
        return _one(self._read(lambda database: orders(database, query, (order_id, owner))))

    def newest_report(self, owner: str, order_id: str) -> Report | None:
        """Return the newest report of one order of this owner."""
        query = f"{NEWEST_REPORT} order_id = ? AND owners.name = ?"
        return _one(self._read(lambda database: reports(database, query, (order_id, owner))))

    def orders(self, owner: str, max_closed: int) -> list[Order]:
        """Return all active orders and the newest others, by rank."""
        active = f"{ACTIVE_ORDERS} AND orders.owner = {OWNER_ID}"
        closed = f"{CLOSED_ORDERS} AND orders.owner = {OWNER_ID} ORDER BY orders.rank DESC LIMIT ?"
        found = self._read(
            lambda database: (
                orders(database, active, (owner,)) + orders(database, closed, (owner, max_closed))
            )
        )
        return sorted(found, key=lambda order: order.rank)

    def trades(self, owner: str, symbol: str, limit: int) -> list[Report]:
        """Return the newest trades in one instrument, oldest first."""
        query = (
            f"{TRADES} AND reports.owner = {OWNER_ID} "
            "AND reports.symbol = (SELECT id FROM names WHERE text = ?) ORDER BY seq DESC LIMIT ?"
        )
        return self._read(lambda database: reports(database, query, (owner, symbol, limit)))[::-1]

    def positions(self, owner: str) -> list[Position]:
        """Return the sums of all trades of an owner, by symbol."""
        return self._read(lambda database: positions(database, owner))

    def owners(self, limit: int) -> list[OwnerSummary]:
        """Return the owners with the most active orders."""
        return self._read(lambda database: owners(database, limit))

    def close(self) -> None:
        """Close the file; the next read opens it again."""
        if self._database is not None:
            self._database.close()
            self._database = None

    def _read(self, query: Callable[[sqlite3.Connection], Found]) -> Found:
        with reading(self._path):
            if identity(self._path) != self._opened:
                self.close()
            if self._database is None:
                self._database = connect(self._path, "ro")
                self._opened = identity(self._path)
            return query(self._database)


def _one(found: Sequence[Found]) -> Found | None:
    return found[0] if found else None
