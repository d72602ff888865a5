"""Checks and opens the file of the orders: new, ours, not ours, or without acknowledged changes."""

from __future__ import annotations

import logging
import sqlite3
from contextlib import closing
from pathlib import Path

from crypto_stream import layout
from crypto_stream.market.orders import Order, Side
from crypto_stream.storage.interface import LoadedOrders, RemainingSize, UnusableError
from crypto_stream.storage.order_mark import Mark, mark_path
from crypto_stream.storage.sqlite_file import Identity, connect, identity, parts
from crypto_stream.storage.sqlite_order_rows import ACTIVE_ORDERS, GET_REMAINING, TABLES, orders
from crypto_stream.storage.sqlite_tables import upgrade, version

log = logging.getLogger(__name__)


def inspect(path: Path, marked: Mark | None, own: Identity) -> tuple[LoadedOrders | None, str | None]:
    """Check the file without writing; return its contents, None if there is none yet.

    Also returns which acknowledged changes an operator has discarded, if any. Raises CorruptError or
    UnusableError if the file must not be used; `own` is the one that was used until now.
    """
    file, wal, _ = parts(path)
    found = identity(file)
    if own not in (None, found):
        raise UnusableError(f"{file} is not the file that was used until now: put it back, or restart")
    has_log = identity(wal) is not None and wal.stat().st_size > 0
    if found is None or not file.stat().st_size:
        # SQLite would delete such a log, and with it the last acknowledged changes.
        if has_log:
            raise UnusableError(
                f"{file} is missing, but its log {wal.name} exists: put it back, or move the log away"
            )
        return None, _describe_missing(path, marked, marked.commits) if marked and marked.commits else None
    if not file.is_file():
        raise UnusableError(f"{file} is not a file")
    loaded, stored = _read(file)
    return loaded, _compare(path, marked, stored, has_log=has_log)


def _read(file: Path) -> tuple[LoadedOrders, Mark | None]:
    """Return the contents of the file and the mark that is stored in it."""
    with closing(connect(file, "ro")) as database:
        if not version(database, TABLES):
            raise UnusableError(
                f"{file} has no tables: it was copied while in use, or its log is damaged; "
                f"restore a backup ({layout.COMMAND} restore), or move it away to start again"
            )
        return load(database), stored_mark(database)


def _compare(path: Path, marked: Mark | None, stored: Mark | None, *, has_log: bool) -> str | None:
    """Compare a store with the mark beside it; see `inspect`."""
    if marked is None:
        return None
    if stored is None or stored.store != marked.store:
        log.warning("orders.db is a different store than before", extra={"file": str(path)})
        return None
    missing = marked.commits - stored.commits
    if missing <= 0:
        return None
    if has_log:
        raise UnusableError(
            f"{path} is missing the last {missing} of {marked.commits} acknowledged changes, its log is "
            f"damaged: restore a backup, or delete {mark_path(path).name} to continue without them"
        )
    return _describe_missing(path, marked, missing)


def open_for_writing(path: Path) -> sqlite3.Connection:
    """Open the file for writing, with the current tables; create it atomically if there is none."""
    if identity(path) is None or not path.stat().st_size:
        _make(path)
    database = connect(path, "rw")
    try:
        database.execute("PRAGMA journal_mode = WAL")
        database.execute("PRAGMA synchronous = FULL")  # a commit waits for the disk
        upgrade(database, TABLES)
    except BaseException:
        database.close()
        raise
    return database


def stored_mark(database: sqlite3.Connection) -> Mark | None:
    """Return the identity and number of commits of a store; None for an old version without them."""
    if version(database, TABLES) < TABLES.version:
        return None
    ((store, commits),) = database.execute("SELECT identity, commits FROM store")
    return Mark(store, commits)


def load(database: sqlite3.Connection) -> LoadedOrders:
    """Load what a start needs."""
    active = sorted(orders(database, ACTIVE_ORDERS), key=_rank)
    query = (
        "SELECT name FROM owners WHERE anonymous AND id IN "
        "(SELECT owner FROM orders INDEXED BY active WHERE status = 1)"
    )
    anonymous = frozenset(name for (name,) in database.execute(query))
    ((rank,),) = database.execute("SELECT coalesce(max(rank), 0) + 1 FROM orders")
    stored = stored_mark(database)
    remaining = () if stored is None else [_remaining(*row) for row in database.execute(GET_REMAINING)]
    return LoadedOrders(active, anonymous, rank, stored.store if stored else "", remaining=remaining)


def _make(path: Path) -> None:
    """Create it under another name first, so that a file without tables never exists."""
    draft = path.with_name(f"{path.name}-new")
    for part in parts(draft):
        part.unlink(missing_ok=True)
    with closing(connect(draft, "rwc")) as database:
        upgrade(database, TABLES)
        database.execute("PRAGMA journal_mode = WAL")
    draft.replace(path)


def _describe_missing(path: Path, marked: Mark, missing: int) -> str:
    text = (
        f"{path.name} is missing the last {missing} of {marked.commits} acknowledged changes: "
        "it was deleted, or replaced by an older one"
    )
    log.error("acknowledged changes of orders are missing", extra={"reason": text})
    return text


def _remaining(
    symbol: str, source: str, side: int, price: str, size: str | None, remaining: str | None
) -> RemainingSize:
    return RemainingSize(symbol, source, Side(side), price, size, remaining)


def _rank(order: Order) -> int:
    return order.rank
