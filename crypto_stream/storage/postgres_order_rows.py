"""The statements that read and write orders in PostgreSQL."""

from __future__ import annotations

from crypto_stream.market.orders import Order, Position, Report, Side
from crypto_stream.storage.interface import LoadedOrders, OwnerSummary, RemainingSize
from crypto_stream.storage.order_rows import ORDER_COLUMNS, REPORT_COLUMNS, order_of, report_of
from crypto_stream.storage.postgres_connection import Connection

# The name of removed owners begins with this, as no client's does.
REMOVED = "removed "
_ROWS = 2_000  # deleted per transaction
# The statements that delete the rows of a removed owner, each limited.
_REMOVE = (
    "DELETE FROM reports WHERE owner = %(owner)s AND seq IN "
    "(SELECT seq FROM reports WHERE owner = %(owner)s LIMIT %(limit)s)",
    "DELETE FROM orders WHERE rank IN "
    "(SELECT rank FROM orders WHERE owner = %(owner)s AND status <> 1 LIMIT %(limit)s)",
    "DELETE FROM orders WHERE rank IN "
    "(SELECT rank FROM orders WHERE owner = %(owner)s AND status = 1 LIMIT %(limit)s)",
    "DELETE FROM positions WHERE owner = %(owner)s",
    "DELETE FROM owners WHERE id = %(owner)s",
)

GET_OWNERS = "SELECT name, id FROM owners WHERE name = ANY(%s)"
NEW_OWNERS = (
    "INSERT INTO owners (name, anonymous, last_seq, used_s) "
    "SELECT name, anonymous, 0, %s FROM unnest(%s::text[], %s::boolean[]) AS given (name, anonymous) "
    "RETURNING name, id"
)
PUT_SEQS = (
    "UPDATE owners SET last_seq = given.seq FROM unnest(%s::integer[], %s::bigint[]) AS given (id, seq) "
    "WHERE owners.id = given.id"
)
# After a restore, a client may acknowledge reports that do not exist yet.
PUT_READ = (
    "UPDATE owners SET told = greatest(told, least(given.seq, last_seq)) "
    "FROM unnest(%s::text[], %s::bigint[]) AS given (name, seq) WHERE owners.name = given.name"
)
PUT_USED = "UPDATE owners SET used_s = %s WHERE name = ANY(%s)"
COPY_ORDERS = "COPY orders FROM STDIN"
COPY_REPORTS = "COPY reports FROM STDIN"
CHANGE_ORDERS = (
    "UPDATE orders SET status = given.status, changed_ms = given.changed_ms, cum_amount = given.cum_amount, "
    "cum_value = given.cum_value, newest = given.newest "
    "FROM unnest(%s::bigint[], %s::smallint[], %s::bigint[], %s::text[], %s::text[], %s::bigint[]) "
    "AS given (rank, status, changed_ms, cum_amount, cum_value, newest) "
    "WHERE orders.rank = given.rank RETURNING orders.rank"
)
GET_POSITIONS = (
    "SELECT owner, symbol, bought_amount, bought_value, sold_amount, sold_value FROM positions "
    "JOIN unnest(%s::integer[], %s::integer[]) AS given (owner, symbol) USING (owner, symbol)"
)
PUT_POSITIONS = (
    "INSERT INTO positions SELECT * FROM "
    "unnest(%s::integer[], %s::integer[], %s::text[], %s::text[], %s::text[], %s::text[]) "
    "ON CONFLICT (owner, symbol) DO UPDATE SET "
    "bought_amount = excluded.bought_amount, bought_value = excluded.bought_value, "
    "sold_amount = excluded.sold_amount, sold_value = excluded.sold_value"
)
PUT_REMAINING = (
    "INSERT INTO taken SELECT * FROM "
    "unnest(%s::integer[], %s::integer[], %s::smallint[], %s::text[], %s::text[], %s::text[]) "
    "ON CONFLICT (symbol, source, side) DO UPDATE SET "
    "price = excluded.price, size = excluded.size, rest = excluded.rest"
)
_GET_REMAINING = (
    "SELECT symbols.text, sources.text, side, price, size, rest FROM taken "
    "JOIN names AS symbols ON symbols.id = taken.symbol JOIN names AS sources ON sources.id = taken.source"
)

_JOINS = "JOIN owners ON owners.id = orders.owner JOIN names AS symbols ON symbols.id = orders.symbol"
_WITH_SOURCE = "LEFT JOIN names AS sources ON sources.id = reports.source WHERE "
ORDERS = f"SELECT {ORDER_COLUMNS} FROM orders {_JOINS} WHERE "
REPORTS = (
    f"SELECT {REPORT_COLUMNS} FROM reports JOIN orders ON orders.rank = reports.rank {_JOINS} {_WITH_SOURCE}"
)
NEWEST_REPORT = (
    f"SELECT {REPORT_COLUMNS} FROM orders {_JOINS} "
    f"JOIN reports ON reports.owner = orders.owner AND reports.seq = orders.newest {_WITH_SOURCE}"
)
# The ranks of the orders with these names, of which there are usually none.
NAMED = (
    "SELECT orders.rank FROM unnest(%s::text[], %s::text[]) AS given (owner, name) "
    "JOIN owners ON owners.name = given.owner "
    "JOIN orders ON orders.owner = owners.id AND orders.client_order_id = given.name"
)
OWNER_ID = "(SELECT id FROM owners WHERE name = %s)"


def orders(database: Connection, query: str, values: tuple[object, ...] = ()) -> list[Order]:
    """Return the orders of a query that begins like ORDERS."""
    return [order_of(row) for row in database.execute(query.encode(), values)]


def reports(database: Connection, query: str, values: tuple[object, ...]) -> list[Report]:
    """Return the reports of a query that begins like REPORTS."""
    return [report_of(row) for row in database.execute(query.encode(), values)]


def positions(database: Connection, owner: str) -> list[Position]:
    """Return the positions of an owner, by symbol."""
    query = (
        "SELECT text, bought_amount, bought_value, sold_amount, sold_value FROM positions "
        f'JOIN names ON names.id = symbol WHERE owner = {OWNER_ID} ORDER BY text COLLATE "C"'
    )
    return [Position(*row) for row in database.execute(query, (owner,))]


def owners(database: Connection, limit: int) -> list[OwnerSummary]:
    """Return the owners with the most active orders."""
    query = (
        "SELECT name, anonymous, count(orders.rank) AS active, last_seq, "
        "greatest(0, (SELECT ran_s FROM store) - used_s) FROM owners "
        "LEFT JOIN orders ON orders.owner = owners.id AND orders.status = 1 "
        "WHERE NOT starts_with(name, %s) GROUP BY owners.id ORDER BY active DESC, last_seq DESC LIMIT %s"
    )
    return [OwnerSummary(*row) for row in database.execute(query, (REMOVED, limit))]


def load(database: Connection) -> LoadedOrders:
    """Load what a start needs."""
    active = orders(database, f"{ORDERS} orders.status = 1 ORDER BY orders.rank")
    query = "SELECT name FROM owners WHERE anonymous AND id IN (SELECT owner FROM orders WHERE status = 1)"
    anonymous = frozenset(name for (name,) in database.execute(query))
    ((rank,),) = database.execute("SELECT coalesce(max(rank), 0) + 1 FROM orders")
    ((store,),) = database.execute("SELECT identity FROM store")
    remaining = [
        RemainingSize(symbol, source, Side(side), *rest)
        for symbol, source, side, *rest in database.execute(_GET_REMAINING)
    ]
    return LoadedOrders(active, anonymous, rank, store, remaining=remaining)


def tidy(database: Connection) -> bool:
    """Delete some rows of a removed owner; return False if there is none."""
    query = "SELECT id FROM owners WHERE starts_with(name, %s) LIMIT 1"
    row = database.execute(query, (REMOVED,)).fetchone()
    if row is None:
        return False
    for statement in _REMOVE:
        if database.execute(statement.encode(), {"owner": row[0], "limit": _ROWS}).rowcount >= _ROWS:
            break
    return True
