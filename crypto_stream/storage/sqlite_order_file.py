"""The file of the orders as a start finds it: new, ours, another's, or short of what was acknowledged."""

from __future__ import annotations

import logging
import sqlite3
from contextlib import closing
from pathlib import Path

from crypto_stream.market.orders import Order, Side
from crypto_stream.storage.interface import OrdersFound, Taken, UnusableError
from crypto_stream.storage.sqlite_file import Identity, connect, identity, parts
from crypto_stream.storage.sqlite_order_mark import Marked, mark_path
from crypto_stream.storage.sqlite_order_rows import ACTIVE_ORDERS, GET_TAKEN, TABLES, orders
from crypto_stream.storage.sqlite_tables import upgrade, version

log = logging.getLogger(__name__)


def look(path: Path, marked: Marked | None, own: Identity) -> str | None:
    """Read the whole file without writing; say what of the acknowledged a person has given up, None: nothing.

    CorruptError and UnusableError for what may not be used; `own` is the file that was used until now.
    """
    here, beside, _ = parts(path)
    there = identity(here)
    if own not in (None, there):
        raise UnusableError(f"{here} is not the file that was used until now: put it back, or restart")
    has_log = identity(beside) is not None and beside.stat().st_size > 0
    if there is None or not here.stat().st_size:
        # SQLite would throw such a log away, and with it what was acknowledged last.
        if has_log:
            raise UnusableError(f"{here} is gone, its log {beside.name} is not: put it back, or move that")
        return _lacks(path, marked, marked.commits) if marked and marked.commits else None
    if not here.is_file():
        raise UnusableError(f"{here} is no file")
    with closing(connect(here, "ro")) as database:
        if not version(database, TABLES):
            raise UnusableError(
                f"{here} has no tables: it is a copy made while it was in use, or its log is damaged; "
                "restore a backup (.venv/bin/python -m crypto_stream restore), or move it away to begin anew"
            )
        found(database)
        if marked is None:
            return None
        kept = kept_mark(database)
    if kept is None or kept.store != marked.store:
        log.warning("orders.db is another store than before", extra={"file": str(here)})
        return None
    if kept.commits >= marked.commits:
        return None
    missing = marked.commits - kept.commits
    if has_log:
        raise UnusableError(
            f"{here} lacks the last {missing} of {marked.commits} acknowledged changes, its log "
            f"{beside.name} is damaged: restore a backup, or delete {mark_path(path).name} "
            "to go on without them"
        )
    return _lacks(path, marked, missing)


def prepared(path: Path) -> sqlite3.Connection:
    """Open the file for writing, with the present tables; made, whole or not at all, where there is none."""
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


def kept_mark(database: sqlite3.Connection) -> Marked | None:
    """Return which store a file is and how many commits it has; None for one of before they were counted."""
    if version(database, TABLES) < TABLES.version:
        return None
    ((store, commits),) = database.execute("SELECT identity, commits FROM store")
    return Marked(store, commits)


def found(database: sqlite3.Connection) -> OrdersFound:
    """Read what a start needs."""
    active = sorted(orders(database, ACTIVE_ORDERS), key=_rank)
    query = (
        "SELECT name FROM owners WHERE anonymous AND id IN "
        "(SELECT owner FROM orders INDEXED BY active WHERE status = 1)"
    )
    anonymous = frozenset(name for (name,) in database.execute(query))
    ((rank,),) = database.execute("SELECT coalesce(max(rank), 0) + 1 FROM orders")
    kept = kept_mark(database)
    taken = () if kept is None else [_taken(*row) for row in database.execute(GET_TAKEN)]
    return OrdersFound(active, anonymous, rank, kept.store if kept else "", taken=taken)


def _make(path: Path) -> None:
    """Make it under another name first: a file without tables is never found at its place."""
    draft = path.with_name(f"{path.name}-new")
    for part in parts(draft):
        part.unlink(missing_ok=True)
    with closing(connect(draft, "rwc")) as database:
        upgrade(database, TABLES)
        database.execute("PRAGMA journal_mode = WAL")
    draft.replace(path)


def _lacks(path: Path, marked: Marked, missing: int) -> str:
    text = (
        f"{path.name} lacks the last {missing} of {marked.commits} acknowledged changes: "
        "somebody has put an older one, or none, in its place"
    )
    log.error("orders that were acknowledged are gone", extra={"reason": text})
    return text


def _taken(symbol: str, source: str, side: int, price: str, size: str | None, left: str | None) -> Taken:
    return Taken(symbol, source, Side(side), price, size, left)


def _rank(order: Order) -> int:
    return order.rank
