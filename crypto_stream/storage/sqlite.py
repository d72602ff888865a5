"""Storage in SQLite files of the data directory."""

from __future__ import annotations

import logging
import sqlite3
import time
from contextlib import closing
from pathlib import Path

from crypto_stream.errors import SettingError
from crypto_stream.storage.interface import UnusableError
from crypto_stream.storage.sqlite_tables import Tables, upgrade

log = logging.getLogger(__name__)

TABLES = Tables(
    "state.db",
    frozenset({"state"}),
    ["CREATE TABLE IF NOT EXISTS state (key TEXT PRIMARY KEY, value TEXT NOT NULL) STRICT"],
)


class SqliteStateStore:
    """Keep the engine's small facts in one file; a corrupt file is kept aside and a new one begun."""

    def __init__(self, path: Path) -> None:
        """Use the file at `path`, made at the first use."""
        self._path = path

    def load(self) -> dict[str, str]:
        """Return everything kept; nothing from a corrupt file; SettingError if it cannot be used."""
        try:
            with closing(self._open()) as database:
                return dict(database.execute("SELECT key, value FROM state"))
        except UnusableError as error:
            raise SettingError(f"data_dir: {self._path}: {error}") from None
        except (
            sqlite3.OperationalError
        ) as error:  # locked or not to be opened: nothing is wrong with what is in it
            raise SettingError(f"data_dir: {str(self._path)!r} cannot be used: {error}") from None
        except sqlite3.DatabaseError as error:
            aside = self._path.with_name(f"{self._path.name}.corrupt-{int(time.time())}")
            self._path.rename(aside)
            log.error("state file corrupt, kept aside", extra={"file": str(aside), "reason": str(error)})
            return {}

    def save(self, state: dict[str, str]) -> None:
        """Replace everything kept, all or nothing; OSError when it could not be written."""
        try:
            with closing(self._open()) as database, database:
                database.execute("DELETE FROM state")
                database.executemany("INSERT INTO state VALUES (?, ?)", state.items())
        except sqlite3.Error as error:
            raise OSError(f"{self._path}: {error}") from None

    def _open(self) -> sqlite3.Connection:
        database = sqlite3.connect(self._path, timeout=5.0)
        try:
            upgrade(database, TABLES)
        except BaseException:
            database.close()
            raise
        return database
