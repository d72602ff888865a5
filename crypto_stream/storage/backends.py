"""Creates the stores: the only module that knows the implementations."""

from __future__ import annotations

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

_STATE, _HISTORY, _ORDERS = "state.db", "history.db", "orders.db"


def state_store(data_dir: Path) -> StateStore:
    """Return the store of the engine's small values."""
    return SqliteStateStore(data_dir / _STATE)


def history_stores(data_dir: Path) -> tuple[HistoryWriter, HistoryReader]:
    """Return writer and reader of the history; nothing is opened yet."""
    return SqliteHistoryWriter(data_dir / _HISTORY), SqliteHistoryReader(data_dir / _HISTORY)


def order_stores(data_dir: Path) -> tuple[OrderWriter, OrderReader]:
    """Return writer and reader of the orders; nothing is opened yet."""
    return SqliteOrderWriter(data_dir / _ORDERS), SqliteOrderReader(data_dir / _ORDERS)
