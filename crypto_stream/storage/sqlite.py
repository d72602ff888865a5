"""The engine's small values in an SQLite file."""

from __future__ import annotations

import json
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
# Most values stay the same from one save to the next, and one may be long: it is not written again.
_REMOVE_OTHERS = "DELETE FROM state WHERE key NOT IN (SELECT value FROM json_each(?))"
_PUT = (
    "INSERT INTO state VALUES (?, ?) "
    "ON CONFLICT (key) DO UPDATE SET value = excluded.value WHERE value <> excluded.value"
)


class SqliteStateStore:
    """Stores the engine's small values in one file; a corrupt file is renamed and a new one created."""

    def __init__(self, path: Path) -> None:
        """Use the file at `path`, created at first use."""
        self._path = path

    def load(self) -> dict[str, str]:
        """Return all values, none from a corrupt file; raise SettingError if the file cannot be used."""
        try:
            with closing(self._open()) as database:
                return dict(database.execute("SELECT key, value FROM state"))
        except UnusableError as error:
            raise SettingError(f"data_dir: {self._path}: {error}") from None
        except sqlite3.OperationalError as error:  # locked, or cannot be opened: the data may be intact
            raise SettingError(f"data_dir: {str(self._path)!r} cannot be used: {error}") from None
        except sqlite3.DatabaseError as error:
            aside = self._path.with_name(f"{self._path.name}.corrupt-{int(time.time())}")
            self._path.rename(aside)
            log.error("state file corrupt, renamed", extra={"file": str(aside), "reason": str(error)})
            return {}

    def peek(self) -> dict[str, str]:
        """Return all values, as `load`: no other engine writes to this file."""
        return self.load()

    def save(self, state: dict[str, str]) -> None:
        """Replace all values atomically; raise OSError if that fails."""
        try:
            with closing(self._open()) as database, database:
                database.execute(_REMOVE_OTHERS, (json.dumps([*state]),))
                database.executemany(_PUT, state.items())
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
