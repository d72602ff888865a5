"""The stores in one PostgreSQL database, of which one engine has the lease."""

from __future__ import annotations

import asyncio
import secrets
import time
from contextlib import suppress
from pathlib import Path

from crypto_stream.errors import SettingError
from crypto_stream.private_files import write_new
from crypto_stream.storage.interface import (
    HistoryReader,
    HistoryWriter,
    OrderReader,
    OrderWriter,
    StateStore,
)
from crypto_stream.storage.postgres_history import PostgresHistoryWriter
from crypto_stream.storage.postgres_history_reader import PostgresHistoryReader
from crypto_stream.storage.postgres_lease import Lease
from crypto_stream.storage.postgres_order_reader import PostgresOrderReader
from crypto_stream.storage.postgres_orders import PostgresOrderWriter
from crypto_stream.storage.postgres_session import Readers
from crypto_stream.storage.postgres_state import PostgresStateStore
from crypto_stream.storage.sqlite import SqliteStateStore

_HOLDER = "engine-id"
_COPY = "state.db"
MARK = "orders.postgresql"
_PULSE_S = 0.5


class PostgresStores:
    """The stores of the engine that has locked the data directory, in the database at `address`."""

    def __init__(self, address: str, data_dir: Path) -> None:
        """Prepare the stores; nothing is opened yet."""
        self._data_dir = data_dir
        self.lease = Lease(address, _holder(data_dir))
        self._readers = Readers(self.lease)

    @property
    def followers(self) -> int | None:
        """How many engines follow, while this one leads; None if that is not known."""
        return self.lease.followers

    def acquire(self) -> bool:
        """Take the lease if it is free; see `Stores.acquire`."""
        return self.lease.acquire()

    async def run(self) -> None:
        """Run until cancelled; raise FencedError as soon as the lease is lost."""
        loop, lost = asyncio.get_running_loop(), asyncio.Event()

        def told() -> None:
            with suppress(RuntimeError):  # the loop has ended
                loop.call_soon_threadsafe(lost.set)

        self.lease.listen(told)
        try:
            while not lost.is_set():
                self.lease.pulse(time.monotonic())
                with suppress(TimeoutError):
                    async with asyncio.timeout(_PULSE_S):
                        await lost.wait()
        finally:
            self.lease.pulse(None)  # while it ends, the engine waits for its writers
        _ = self.lease.term  # raises

    def close(self) -> None:
        """Release the lease, and close the sessions for reading."""
        self._readers.close()
        self.lease.close()

    def state(self) -> StateStore:
        """Return the store of the engine's small values."""
        return PostgresStateStore(self.lease, self._readers, SqliteStateStore(self._data_dir / _COPY))

    def history(self) -> tuple[HistoryWriter, HistoryReader]:
        """Return writer and reader of the history; nothing is opened yet."""
        return PostgresHistoryWriter(self.lease), PostgresHistoryReader(self._readers)

    def orders(self) -> tuple[OrderWriter, OrderReader]:
        """Return writer and reader of the orders; nothing is opened yet."""
        writer = PostgresOrderWriter(self.lease, self._data_dir / MARK)
        return writer, PostgresOrderReader(self.lease)


def _holder(data_dir: Path) -> str:
    """Return the random id of a data directory, generated at the first start."""
    path = data_dir / _HOLDER
    try:
        write_new(path, secrets.token_hex(8))
        holder = path.read_text("ascii").strip()
    except (OSError, UnicodeDecodeError) as error:
        raise SettingError(f"data_dir: {path} cannot be used: {error}") from None
    if not holder.isalnum() or len(holder) > 32:
        raise SettingError(f"data_dir: {path} does not contain an id; delete it and start again")
    return holder
