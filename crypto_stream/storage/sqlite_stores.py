"""The stores in a data directory, one SQLite file each; a lock on the directory keeps other engines out."""

from __future__ import annotations

import asyncio
from pathlib import Path

from crypto_stream.storage.interface import (
    HistoryReader,
    HistoryWriter,
    OrderReader,
    OrderWriter,
    StateStore,
)
from crypto_stream.storage.sqlite import SqliteStateStore
from crypto_stream.storage.sqlite_history import SqliteHistoryWriter
from crypto_stream.storage.sqlite_history_reader import SqliteHistoryReader
from crypto_stream.storage.sqlite_order_reader import SqliteOrderReader
from crypto_stream.storage.sqlite_orders import SqliteOrderWriter

STATE, HISTORY, ORDERS = "state.db", "history.db", "orders.db"


class SqliteStores:
    """The stores of the engine that has locked the data directory."""

    def __init__(self, data_dir: Path) -> None:
        """Use the files in `data_dir`; nothing is opened yet."""
        self._data_dir = data_dir

    @property
    def followers(self) -> int | None:
        """None: no engine can follow."""
        return None

    def acquire(self) -> bool:
        """Return True: the lock on the data directory is enough."""
        return True

    async def run(self) -> None:
        """Run until cancelled."""
        await asyncio.Event().wait()

    def close(self) -> None:
        """Do nothing: each store closes its own file."""

    def state(self) -> StateStore:
        """Return the store of the engine's small values."""
        return SqliteStateStore(self._data_dir / STATE)

    def history(self) -> tuple[HistoryWriter, HistoryReader]:
        """Return writer and reader of the history; nothing is opened yet."""
        path = self._data_dir / HISTORY
        return SqliteHistoryWriter(path), SqliteHistoryReader(path)

    def orders(self) -> tuple[OrderWriter, OrderReader]:
        """Return writer and reader of the orders; nothing is opened yet."""
        path = self._data_dir / ORDERS
        return SqliteOrderWriter(path), SqliteOrderReader(path)
