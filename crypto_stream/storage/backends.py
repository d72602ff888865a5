"""The choice of the stores by the setting `database`: the only module that knows the implementations."""

from __future__ import annotations

from pathlib import Path

from crypto_stream.setting_types import is_postgresql
from crypto_stream.storage.interface import Stores


def make_stores(database: str, data_dir: Path) -> Stores:
    """Return the stores in `database`, an address or `sqlite`; nothing is opened yet.

    `data_dir` also contains what concerns this machine only.
    """
    # Each is imported only if it is used: psycopg alone takes as long to import as all of ours.
    if is_postgresql(database):
        from crypto_stream.storage.postgres_stores import PostgresStores

        return PostgresStores(database, data_dir)
    from crypto_stream.storage.sqlite_stores import SqliteStores

    return SqliteStores(data_dir)
