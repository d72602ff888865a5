"""The tables of orders.db, and the conversion of rows into orders, reports and positions."""

from __future__ import annotations

import sqlite3

from crypto_stream.market.orders import Order, Position, Report
from crypto_stream.storage.order_rows import ORDER_COLUMNS, REPORT_COLUMNS, order_of, report_of
from crypto_stream.storage.sqlite_tables import Tables

# Owners, symbols and sources are stored once. An owner's reports are adjacent, by seq; each contains what it
# changed of its order. `newest` of an order is the seq of its newest report.
_FIRST = """
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
"""
_UUID = (
    "lower(printf('%s-%s-4%s-8%s-%s', hex(randomblob(4)), hex(randomblob(2)), substr(hex(randomblob(2)), 2), "
    "substr(hex(randomblob(2)), 2), hex(randomblob(6))))"
)
NEW_STORE = f"UPDATE store SET identity = {_UUID}"
# `store`: the identity, the number of acknowledged commits, and how long the store was in use; an owner's
# `used_s` is on that time scale. `taken`: what remains of displayed sizes.
_SECOND = f"""
CREATE TABLE store (identity TEXT NOT NULL, commits INTEGER NOT NULL, ran_s INTEGER NOT NULL) STRICT;
INSERT INTO store VALUES ({_UUID}, 0, 0);
ALTER TABLE owners ADD COLUMN used_s INTEGER NOT NULL DEFAULT 0;
CREATE TABLE taken (
    symbol INTEGER NOT NULL, source INTEGER NOT NULL, side INTEGER NOT NULL,
    price TEXT NOT NULL, size TEXT, rest TEXT,
    PRIMARY KEY (symbol, source, side)
) STRICT, WITHOUT ROWID;
"""
TABLES = Tables(
    "orders.db", frozenset({"names", "owners", "orders", "reports", "positions"}), [_FIRST, _SECOND]
)

PUT_OWNER = (
    "INSERT INTO owners (name, anonymous, last_seq, used_s) VALUES (?, ?, ?, ?) "
    "ON CONFLICT (name) DO UPDATE SET last_seq = excluded.last_seq RETURNING id"
)
# After a restore, a client may acknowledge reports that do not exist yet.
PUT_READ = "UPDATE owners SET told = max(told, min(?, last_seq)) WHERE name = ?"
PUT_USED = "UPDATE owners SET used_s = ? WHERE name = ?"
PUT_REMAINING = "INSERT OR REPLACE INTO taken VALUES (?, ?, ?, ?, ?, ?)"
GET_REMAINING = (
    "SELECT symbols.text, sources.text, side, price, size, rest FROM taken "
    "JOIN names AS symbols ON symbols.id = taken.symbol JOIN names AS sources ON sources.id = taken.source"
)
# The name of removed owners begins with this, as no client's does.
REMOVED = "removed "
# The statements that delete its rows, each limited.
REMOVE = (
    "DELETE FROM reports WHERE owner = :owner AND seq IN "
    "(SELECT seq FROM reports WHERE owner = :owner LIMIT :limit)",
    "DELETE FROM orders WHERE rank IN "
    "(SELECT rank FROM orders INDEXED BY closed WHERE owner = :owner AND status <> 1 LIMIT :limit)",
    "DELETE FROM orders WHERE rank IN "
    "(SELECT rank FROM orders INDEXED BY active WHERE owner = :owner AND status = 1 LIMIT :limit)",
    "DELETE FROM positions WHERE owner = :owner",
    "DELETE FROM owners WHERE id = :owner",
)
PUT_ORDER = (
    "INSERT INTO orders VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?) "
    "ON CONFLICT (rank) DO UPDATE SET status = excluded.status, changed_ms = excluded.changed_ms, "
    "cum_amount = excluded.cum_amount, cum_value = excluded.cum_value, newest = excluded.newest"
)
PUT_REPORT = "INSERT INTO reports VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)"
GET_POSITION = (
    "SELECT bought_amount, bought_value, sold_amount, sold_value FROM positions "
    "WHERE owner = ? AND symbol = ?"
)
PUT_POSITION = "INSERT OR REPLACE INTO positions VALUES (?, ?, ?, ?, ?, ?)"

# CROSS fixes the order of the joins: from the few selected orders to their related rows.
_JOINS = (
    "CROSS JOIN owners ON owners.id = orders.owner CROSS JOIN names AS symbols ON symbols.id = orders.symbol"
)
_ORDERS = f"SELECT {ORDER_COLUMNS} FROM orders {{index}} {_JOINS} WHERE "
ORDERS = _ORDERS.format(index="")
ACTIVE_ORDERS = f"{_ORDERS.format(index='INDEXED BY active')} orders.status = 1 "
CLOSED_ORDERS = f"{_ORDERS.format(index='INDEXED BY closed')} orders.status <> 1 "
_WITH_SOURCE = "LEFT JOIN names AS sources ON sources.id = reports.source WHERE "
_REPORTS = (
    f"SELECT {REPORT_COLUMNS} FROM reports {{index}} "
    f"CROSS JOIN orders ON orders.rank = reports.rank {_JOINS} {_WITH_SOURCE}"
)
REPORTS = _REPORTS.format(index="")
TRADES = f"{_REPORTS.format(index='INDEXED BY traded')} exec_type = 'trade' "
NEWEST_REPORT = (
    f"SELECT {REPORT_COLUMNS} FROM orders {_JOINS} "
    f"CROSS JOIN reports ON reports.owner = orders.owner AND reports.seq = orders.newest {_WITH_SOURCE}"
)
# Given pairs of owner and client_order_id as JSON, the indexes of pairs with an existing order.
NAMED = (
    "SELECT given.key FROM json_each(?) AS given "
    "CROSS JOIN owners ON owners.name = json_extract(given.value, '$[0]') "
    "CROSS JOIN orders ON orders.owner = owners.id "
    "AND client_order_id = json_extract(given.value, '$[1]')"
)
OWNER_ID = "(SELECT id FROM owners WHERE name = ?)"


def orders(database: sqlite3.Connection, query: str, values: tuple[object, ...] = ()) -> list[Order]:
    """Return the orders of a query that begins like ORDERS; raise ValueError if a row is invalid."""
    return [order_of(row) for row in database.execute(query, values)]


def reports(database: sqlite3.Connection, query: str, values: tuple[object, ...]) -> list[Report]:
    """Return the reports of a query that begins like REPORTS; raise ValueError if a row is invalid."""
    return [report_of(row) for row in database.execute(query, values)]


def positions(database: sqlite3.Connection, owner: str) -> list[Position]:
    """Return the positions of an owner, by symbol."""
    query = (
        "SELECT text, bought_amount, bought_value, sold_amount, sold_value FROM positions "
        f"JOIN names ON names.id = symbol WHERE owner = {OWNER_ID} ORDER BY text"
    )
    return [Position(*row) for row in database.execute(query, (owner,))]
