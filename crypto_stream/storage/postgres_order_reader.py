"""Reads of the orders in PostgreSQL, concurrent with their writer."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypeVar

from crypto_stream.market.orders import Order, Position, Report
from crypto_stream.storage.interface import OwnerSummary
from crypto_stream.storage.postgres_connection import Connection
from crypto_stream.storage.postgres_lease import Lease
from crypto_stream.storage.postgres_order_rows import (
    NEWEST_REPORT,
    ORDERS,
    OWNER_ID,
    REPORTS,
    orders,
    owners,
    positions,
    reports,
)
from crypto_stream.storage.postgres_session import Readers

Found = TypeVar("Found")


class PostgresOrderReader:
    """Reads the orders."""

    def __init__(self, lease: Lease) -> None:
        """Read the database of `lease`; nothing is opened before the first read."""
        self._readers = Readers(lease)

    def order(self, owner: str, order_id: str) -> Order | None:
        """Return one order of this owner."""
        query = f"{ORDERS} order_id = %s AND owners.name = %s"
        return _one(self._readers.read(lambda database: orders(database, query, (order_id, owner))))

    def newest_report(self, owner: str, order_id: str) -> Report | None:
        """Return the newest report of one order of this owner."""
        query = f"{NEWEST_REPORT} order_id = %s AND owners.name = %s"
        return _one(self._readers.read(lambda database: reports(database, query, (order_id, owner))))

    def orders(self, owner: str, max_closed: int) -> list[Order]:
        """Return all active orders and the newest others, by rank."""
        closed = (
            f"{ORDERS} orders.status <> 1 AND orders.owner = {OWNER_ID} ORDER BY orders.rank DESC LIMIT %s"
        )
        active = f"{ORDERS} orders.status = 1 AND orders.owner = {OWNER_ID}"

        def read(database: Connection) -> list[Order]:
            # An order that ends in between is in both: it counts as it is in the second answer.
            found = [*orders(database, active, (owner,)), *orders(database, closed, (owner, max_closed))]
            return list({order.rank: order for order in found}.values())

        return sorted(self._readers.read(read), key=lambda order: order.rank)

    def trades(self, owner: str, symbol: str, limit: int) -> list[Report]:
        """Return the newest trades in one instrument, oldest first."""
        query = (
            f"{REPORTS} exec_type = 'trade' AND reports.owner = {OWNER_ID} "
            "AND reports.symbol = (SELECT id FROM names WHERE text = %s) ORDER BY seq DESC LIMIT %s"
        )
        return self._readers.read(lambda database: reports(database, query, (owner, symbol, limit)))[::-1]

    def positions(self, owner: str) -> list[Position]:
        """Return the sums of all trades of an owner, by symbol."""
        return self._readers.read(lambda database: positions(database, owner))

    def owners(self, limit: int) -> list[OwnerSummary]:
        """Return the owners with the most active orders."""
        return self._readers.read(lambda database: owners(database, limit))

    def close(self) -> None:
        """Close the sessions; the next read opens another one."""
        self._readers.close()


def _one(found: Sequence[Found]) -> Found | None:
    return found[0] if found else None
