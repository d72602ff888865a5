"""The stores that every contract test of stores runs on."""

from __future__ import annotations

from pathlib import Path

from crypto_stream.storage.interface import Stores
from crypto_stream.storage.postgres_stores import PostgresStores
from crypto_stream.storage.sqlite_stores import SqliteStores
from tests.postgres import Server


class StoreFactory:
    """Makes stores of one kind, one after the other; each is empty."""

    def __init__(self, folder: Path, server: Server | None) -> None:
        """Make them in folders of `folder`, or in databases of `server`."""
        self._folder = folder
        self._server = server
        self._open: list[Stores] = []

    def stores(self) -> Stores:
        """Return empty stores, acquired."""
        folder = self._folder / f"stores-{len(self._open)}"
        folder.mkdir()
        stores: Stores = SqliteStores(folder)
        if self._server is not None:
            stores = PostgresStores(self._server.database(), folder)
        assert stores.acquire()
        self._open.append(stores)
        return stores

    def close(self) -> None:
        """Release them all."""
        for each in self._open:
            each.close()
