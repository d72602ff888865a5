"""The history in one SQLite file: its tables and its writer; reads are concurrent (WAL)."""

from __future__ import annotations

import logging
import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

from crypto_stream.errors import SettingError
from crypto_stream.market.bars import INTERVALS, retention_block_ms, start
from crypto_stream.storage.interface import Batch, CorruptError, Retention, SetAside, StoredBar, UnusableError
from crypto_stream.storage.sqlite_file import BUSY_S, Identity, failing_as_os_error, identity, parts
from crypto_stream.storage.sqlite_tables import Tables, upgrade
from crypto_stream.wall_clock import wall_ms

log = logging.getLogger(__name__)

# Names are stored once and referred to by id. The rows of a series are adjacent: a range is one read.
_FIRST = """
CREATE TABLE IF NOT EXISTS name (id INTEGER PRIMARY KEY, text TEXT NOT NULL UNIQUE) STRICT;
CREATE TABLE IF NOT EXISTS bar (
    symbol INTEGER NOT NULL, length_ms INTEGER NOT NULL, time INTEGER NOT NULL,
    open TEXT NOT NULL, high TEXT NOT NULL, low TEXT NOT NULL, close TEXT NOT NULL,
    volume TEXT, trades INTEGER, source INTEGER NOT NULL,
    PRIMARY KEY (symbol, length_ms, time)
) STRICT, WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS gap (
    symbol INTEGER NOT NULL, "from" INTEGER NOT NULL, "to" INTEGER, reason TEXT NOT NULL,
    PRIMARY KEY (symbol, "from")
) STRICT, WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS life (alive_ms INTEGER NOT NULL) STRICT;
"""
_SECOND = """
CREATE TABLE IF NOT EXISTS clock (
    id INTEGER PRIMARY KEY CHECK (id = 1),
    at_ms INTEGER NOT NULL, venue_ms INTEGER NOT NULL, wall_ms INTEGER NOT NULL, boot TEXT, up_ms INTEGER
) STRICT;
CREATE TABLE IF NOT EXISTS aside (
    symbol INTEGER NOT NULL, length_ms INTEGER NOT NULL, time INTEGER NOT NULL,
    open TEXT NOT NULL, high TEXT NOT NULL, low TEXT NOT NULL, close TEXT NOT NULL,
    volume TEXT, trades INTEGER, source INTEGER NOT NULL,
    PRIMARY KEY (symbol, length_ms, time)
) STRICT, WITHOUT ROWID;
"""
TABLES = Tables("history.db", frozenset({"name", "bar", "gap", "life"}), [_FIRST, _SECOND])
# Pages of the log after which a write checkpoints, if `tidy` did not; new bars then wait for the disk.
_CHECKPOINT_PAGES = 25_000
# More bars of a series, and a larger share, than normally expire between two calls of `prune`.
_MANY = 1_000
_LARGE_SHARE = 0.1


class SqliteHistoryWriter:
    """Writes the history; a corrupt file is renamed and a new one created."""

    def __init__(self, path: Path) -> None:
        """Use the file at `path`; nothing is opened before the first call."""
        self._path = path
        self._database: sqlite3.Connection | None = None
        self._opened: Identity = None
        self._names: dict[str, int] = {}

    def prepare(self) -> None:
        """Open or create the file; raise SettingError if the user must change something.

        Temporary problems (locked, full) are left to the first write. The file stays open: otherwise each
        reader would have to recover the log, and would delay the first write.
        """
        for _ in range(2):  # the second time if a corrupt file was moved aside
            try:
                with self._errors_handled():
                    self._open()
                return
            except CorruptError:
                continue
            except UnusableError as error:
                raise SettingError(f"data_dir: {error}") from None
            except OSError as error:
                log.warning("history cannot be opened yet", extra={"reason": str(error)})
                return

    def write(self, batch: Batch) -> None:
        """Store the batch atomically; raise OSError if that fails."""
        with self._errors_handled():
            database = self._open()
            with database:
                for aside in batch.set_asides:
                    self._set_bars_aside(database, aside)
                database.executemany(
                    "INSERT OR IGNORE INTO bar VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
                    map(self._bar_row, batch.bars),
                )
                database.executemany(
                    "INSERT OR REPLACE INTO gap VALUES (?, ?, ?, ?)",
                    [(self._number(symbol), gap.from_, gap.to, gap.reason) for symbol, gap in batch.gaps],
                )
                database.execute("UPDATE life SET alive_ms = ?", (batch.alive_ms,))
                if (anchor := batch.anchor) is not None:
                    boot_id, boot_ms = anchor.boot or (None, None)
                    database.execute(
                        "INSERT OR REPLACE INTO clock VALUES (1, ?, ?, ?, ?, ?)",
                        (anchor.at_ms, anchor.venue_ms, anchor.wall_ms, boot_id, boot_ms),
                    )

    def _bar_row(self, stored: StoredBar) -> tuple[object, ...]:
        symbol, interval, bar = stored
        return (
            self._number(symbol),
            INTERVALS[interval],
            bar.time,
            bar.open,
            bar.high,
            bar.low,
            bar.close,
            bar.volume,
            bar.trades,
            self._number(bar.source),
        )

    def prune(self, symbol: str, interval: str, keep_ms: int, by: Retention) -> int:
        """Remove the bars of a series that are `keep_ms` older than its newest, or than the present.

        Only whole blocks are removed, so that longer bars are never folded from a part. Returns their number
        if it is large, else 0.
        """
        with self._errors_handled():
            database = self._open()
            series = (self._number(symbol), INTERVALS[interval])
            with database:
                (newest,) = database.execute(
                    "SELECT max(time) FROM bar WHERE symbol = ? AND length_ms = ?", series
                ).fetchone()
                if newest is None:
                    return 0
                keep_from = start(min(newest, by.now_ms) - keep_ms, retention_block_ms(interval))
                many = _count_if_many(database, series, keep_from)
                if not many or by.steady:
                    database.execute(
                        "DELETE FROM bar WHERE symbol = ? AND length_ms = ? AND time < ?",
                        (*series, keep_from),
                    )
                    return many
                return 0

    def tidy(self) -> None:
        """Checkpoint the log over a separate connection, so that no write waits for the disk."""
        with failing_as_os_error(self._path):
            address = f"{self._path.absolute().as_uri()}?mode=rw"  # the writer handles a missing file
            with closing(sqlite3.connect(address, BUSY_S, uri=True)) as database:
                database.execute("PRAGMA wal_checkpoint(PASSIVE)")

    def check(self, reason: str) -> None:
        """Move the file aside if it is corrupt, as a reader found; raise OSError if it cannot be checked."""
        self.close()
        try:
            with failing_as_os_error(self._path), closing(sqlite3.connect(self._path, BUSY_S)) as database:
                ((found,),) = database.execute("PRAGMA quick_check(1)")
        except CorruptError as error:
            found = str(error)
        if found != "ok":
            self.move_aside(f"{reason}; {found}")

    def move_aside(self, reason: str) -> None:
        """Rename a corrupt file and log that; the next call creates a new one.

        Raises UnusableError if it cannot be renamed.
        """
        self.close()
        aside = self._path.with_name(f"{self._path.name}.corrupt-{wall_ms()}")
        try:
            for part, renamed in zip(parts(self._path), parts(aside), strict=True):
                if part.exists():
                    part.rename(renamed)
        except OSError as error:
            raise UnusableError(f"{self._path} is corrupt, and cannot be renamed: {error.strerror}") from None
        log.error("history file corrupt, renamed", extra={"file": str(aside), "reason": reason})

    def close(self) -> None:
        """Close the file; the next call opens it again."""
        self._names.clear()
        if self._database is not None:
            self._database.close()
            self._database = None

    def _open(self) -> sqlite3.Connection:
        if self._database is not None and identity(self._path) != self._opened:
            log.error("history file gone, a new one created", extra={"file": str(self._path)})
            self.close()
        if self._database is None:
            # `prepare` runs on another thread than the writes, but never concurrently.
            database = sqlite3.connect(self._path, timeout=BUSY_S, check_same_thread=False)
            try:
                _set_up(database)
            except sqlite3.Error:
                database.close()
                raise
            self._database, self._opened = database, identity(self._path)
        return self._database

    def _set_bars_aside(self, database: sqlite3.Connection, aside: SetAside) -> None:
        symbol, at = self._number(aside.symbol), aside.from_ms
        if aside.bars:
            database.execute(
                "INSERT OR REPLACE INTO aside SELECT * FROM bar WHERE symbol = ? AND time + length_ms > ?",
                (symbol, at),
            )
            database.execute("DELETE FROM bar WHERE symbol = ? AND time + length_ms > ?", (symbol, at))
        database.execute('DELETE FROM gap WHERE symbol = ? AND "from" >= ?', (symbol, at))
        database.execute('UPDATE gap SET "to" = ? WHERE symbol = ? AND "to" > ?', (at, symbol, at))

    def _number(self, name: str) -> int:
        number = self._names.get(name)
        if number is None:
            assert self._database is not None
            self._database.execute("INSERT OR IGNORE INTO name (text) VALUES (?)", (name,))
            (number,) = self._database.execute("SELECT id FROM name WHERE text = ?", (name,)).fetchone()
            self._names[name] = number
        return number

    @contextmanager
    def _errors_handled(self) -> Iterator[None]:
        """Turn errors into OSError; a corrupt file is moved aside first.

        After other errors the file stays open: on a full disk it could not be opened again.
        """
        try:
            with failing_as_os_error(self._path):
                yield
        except CorruptError as error:
            self.move_aside(str(error))
            raise
        except OSError:
            self._roll_back()
            raise

    def _roll_back(self) -> None:
        """Roll back, and clear the cached names, which may have been rolled back too."""
        self._names.clear()
        if self._database is not None:
            try:
                self._database.rollback()
            except sqlite3.Error:
                self.close()


def _count_if_many(database: sqlite3.Connection, series: tuple[int, int], before: int) -> int:
    """Count the bars before `before` if they are a large share of many, else 0."""
    where = "FROM bar WHERE symbol = ? AND length_ms = ?"
    (old,) = database.execute(f"SELECT count(*) {where} AND time < ?", (*series, before)).fetchone()
    if old <= _MANY:
        return 0
    (count,) = database.execute(f"SELECT count(*) {where}", series).fetchone()
    return int(old) if old > _LARGE_SHARE * count else 0


def _set_up(database: sqlite3.Connection) -> None:
    database.execute("PRAGMA journal_mode = WAL")
    # A killed process loses nothing; after a power failure the last seconds may be missing.
    database.execute("PRAGMA synchronous = NORMAL")
    database.execute(f"PRAGMA wal_autocheckpoint = {_CHECKPOINT_PAGES}")
    upgrade(database, TABLES)
    with database:
        database.execute("INSERT INTO life SELECT 0 WHERE NOT EXISTS (SELECT 1 FROM life)")
