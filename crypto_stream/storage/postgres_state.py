"""The engine's small values in PostgreSQL, and a copy of them in the data directory.

With the copy an engine can start while PostgreSQL cannot be reached: its epoch, pin and bans are those of the
last time. Each save is marked: if the stored values turn out to be newer than the copy, because an engine on
another machine has saved since, this engine must end and start again with them.
"""

from __future__ import annotations

import logging
import secrets
import threading
from contextlib import suppress

from crypto_stream.storage.interface import StateStore
from crypto_stream.storage.postgres_lease import Lease
from crypto_stream.storage.postgres_session import Readers, Writer

log = logging.getLogger(__name__)

_SAVED = "saved"  # the key of the mark
# Most values stay the same from one save to the next, and one may be long: it is not written again.
_REMOVE_OTHERS = "DELETE FROM state WHERE key <> ALL(%s::text[])"
_PUT = (
    "INSERT INTO state SELECT * FROM unnest(%s::text[], %s::text[]) "
    "ON CONFLICT (key) DO UPDATE SET value = excluded.value WHERE state.value <> excluded.value"
)


class PostgresStateStore:
    """Stores the engine's small values."""

    def __init__(self, lease: Lease, readers: Readers, copy: StateStore) -> None:
        """Store in the database of `lease`, and in `copy`; `readers` are closed by the caller."""
        self._writer = Writer(lease)
        self._readers = readers
        self._lease = lease
        self._copy = copy
        self._lock = threading.Lock()
        self._loaded: str | None = None  # its mark
        self._life = secrets.token_hex(8)  # with which our own marks begin, also those of failed saves
        self._saves = 0

    def load(self) -> dict[str, str]:
        """Return all values, and keep a copy of them; what was copied last if they cannot be read."""
        try:
            found = self._stored()
        except OSError as error:
            log.error("state cannot be read, starting with the copy", extra={"reason": str(error)})
            found = self._copy.load()
        else:
            with suppress(OSError):  # it is an older one then
                self._copy.save(found)
        self._loaded = found.pop(_SAVED, None)
        return found

    def peek(self) -> dict[str, str]:
        """Return all values that any engine has stored; raise OSError if they cannot be read."""
        found = self._stored()
        found.pop(_SAVED, None)
        return found

    def save(self, state: dict[str, str]) -> None:
        """Replace all values atomically; raise OSError if that fails.

        Raises FencedError if there are newer ones than those that were loaded.
        """
        with self._lock:
            self._save(state)

    def _stored(self) -> dict[str, str]:
        return dict(self._readers.rows("SELECT key, value FROM state"))

    def _save(self, state: dict[str, str]) -> None:
        self._saves += 1
        marked = {**state, _SAVED: f"{self._life}.{self._saves}"}
        try:
            with self._writer.transaction("SELECT key, value FROM state FOR UPDATE") as found:
                stored = dict(found.fetchall()).get(_SAVED)
                if stored != self._loaded and not (stored or "").startswith(self._life):
                    raise self._lease.lose("the stored state is newer than this engine's")
                database = found.connection
                database.execute(_REMOVE_OTHERS, (list(marked),))
                database.execute(_PUT, (list(marked), list(marked.values())))
        finally:
            self._writer.close()  # it is rarely used
        self._copy.save(marked)
