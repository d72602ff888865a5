"""The history in one SQLite file: its tables, and a writer for one thread; reads go on beside it (WAL)."""

from __future__ import annotations

import logging
import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

from crypto_stream.errors import SettingError
from crypto_stream.market.bars import INTERVALS, retention_block_ms, start
from crypto_stream.storage.interface import Batch, CorruptError, Retention, SetAside, UnusableError
from crypto_stream.storage.sqlite_file import BUSY_S, Identity, failing_as_os_error, identity, parts
from crypto_stream.storage.sqlite_tables import Tables, upgrade
from crypto_stream.wall_clock import wall_ms

log = logging.getLogger(__name__)

# Names are kept once, bars by number. A row of a series lies beside its neighbours: a range is one read.
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
# Pages of the log after which a write itself tidies, should `tidy` not; new bars then wait for the disk.
_UNTIDY_PAGES = 25_000
# More bars of a series, and a larger share of it, than time alone makes old between two looks.
_MANY = 1_000
_LARGE_SHARE = 0.1


class SqliteHistoryWriter:
    """Write the history; a corrupt file is kept aside under a new name and a new one begun."""

    def __init__(self, path: Path) -> None:
        """Use the file at `path`; nothing is opened before the first call."""
        self._path = path
        self._database: sqlite3.Connection | None = None
        self._opened: Identity = None
        self._names: dict[str, int] = {}

    def prepare(self) -> None:
        """Open the file, made where there is none; SettingError if a person must change something.

        What passes by itself (locked, full) is left to the first write. The file stays open: readers that
        come and go alone would each recover its log, and hold up the first write.
        """
        for _ in range(2):  # the second time if the first one put a corrupt file aside
            try:
                with self._mending():
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
        """Keep the batch, all or nothing; OSError when it could not be written."""
        with self._mending():
            database = self._open()
            with database:
                for aside in batch.set_asides:
                    self._put_aside(database, aside)
                database.executemany(
                    "INSERT OR IGNORE INTO bar VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
                    [
                        (
                            *(self._number(symbol), INTERVALS[interval], bar.time),
                            *(bar.open, bar.high, bar.low, bar.close, bar.volume, bar.trades),
                            self._number(bar.source),
                        )
                        for symbol, interval, bar in batch.bars
                    ],
                )
                database.executemany(
                    "INSERT OR REPLACE INTO gap VALUES (?, ?, ?, ?)",
                    [(self._number(symbol), gap.from_, gap.to, gap.reason) for symbol, gap in batch.gaps],
                )
                database.execute("UPDATE life SET alive_ms = ?", (batch.alive_ms,))
                if (anchor := batch.anchor) is not None:
                    database.execute(
                        "INSERT OR REPLACE INTO clock VALUES (1, ?, ?, ?, ?, ?)",
                        (anchor.at_ms, anchor.venue_ms, anchor.wall_ms, *(anchor.boot or (None, None))),
                    )

    def prune(self, symbol: str, interval: str, keep_ms: int, by: Retention) -> int:
        """Forget the bars of a series that are `keep_ms` older than its newest, or than the present.

        They go by whole stretches: what longer bars are folded from goes together. Returns how many went if
        those were many, 0 else.
        """
        with self._mending():
            database = self._open()
            series = (self._number(symbol), INTERVALS[interval])
            with database:
                (newest,) = database.execute(
                    "SELECT max(time) FROM bar WHERE symbol = ? AND length_ms = ?", series
                ).fetchone()
                if newest is None:
                    return 0
                keep_from = start(min(newest, by.now_ms) - keep_ms, retention_block_ms(interval))
                many = _many(database, series, keep_from)
                if not many or by.steady:
                    database.execute(
                        "DELETE FROM bar WHERE symbol = ? AND length_ms = ? AND time < ?",
                        (*series, keep_from),
                    )
                    return many
                return 0

    def tidy(self) -> None:
        """Carry the log over into the file, over a connection of its own: no write waits for the disk."""
        with failing_as_os_error(self._path):
            address = (
                f"{self._path.absolute().as_uri()}?mode=rw"  # a file that is gone is the writer's affair
            )
            with closing(sqlite3.connect(address, BUSY_S, uri=True)) as database:
                database.execute("PRAGMA wal_checkpoint(PASSIVE)")

    def check(self, reason: str) -> None:
        """Put the file aside if it is corrupt, as somebody found; OSError when that cannot be told now."""
        self.close()
        try:
            with failing_as_os_error(self._path), closing(sqlite3.connect(self._path, BUSY_S)) as database:
                ((found,),) = database.execute("PRAGMA quick_check(1)")
        except CorruptError as error:
            found = str(error)
        if found != "ok":
            self.put_aside(f"{reason}; {found}")

    def put_aside(self, reason: str) -> None:
        """Keep a corrupt file under a new name, say so, and begin anew at the next call.

        Raises UnusableError when it cannot be renamed.
        """
        self.close()
        aside = self._path.with_name(f"{self._path.name}.corrupt-{wall_ms()}")
        try:
            for part, renamed in zip(parts(self._path), parts(aside), strict=True):
                if part.exists():
                    part.rename(renamed)
        except OSError as error:
            raise UnusableError(f"{self._path} is corrupt, and cannot be renamed: {error.strerror}") from None
        log.error("history file corrupt, kept aside", extra={"file": str(aside), "reason": reason})

    def close(self) -> None:
        """Close the file; the next call opens it again."""
        self._names.clear()
        if self._database is not None:
            self._database.close()
            self._database = None

    def _open(self) -> sqlite3.Connection:
        if self._database is not None and identity(self._path) != self._opened:
            log.error("history file gone, a new one begun", extra={"file": str(self._path)})
            self.close()
        if self._database is None:
            # The writer's thread is not the one that prepared it; there is only one at a time.
            database = sqlite3.connect(self._path, timeout=BUSY_S, check_same_thread=False)
            try:
                _make_ready(database)
            except sqlite3.Error:
                database.close()
                raise
            self._database, self._opened = database, identity(self._path)
        return self._database

    def _put_aside(self, database: sqlite3.Connection, aside: SetAside) -> None:
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
    def _mending(self) -> Iterator[None]:
        """Turn what fails into OSError: a corrupt file is put aside first.

        Otherwise the file stays open: on a full disk nobody could read it without what belongs to that.
        """
        try:
            with failing_as_os_error(self._path):
                yield
        except CorruptError as error:
            self.put_aside(str(error))
            raise
        except OSError:
            self._take_back()
            raise

    def _take_back(self) -> None:
        """Leave no transaction open, and no name that may have been taken back with it."""
        self._names.clear()
        if self._database is not None:
            try:
                self._database.rollback()
            except sqlite3.Error:
                self.close()


def _many(database: sqlite3.Connection, series: tuple[int, int], before: int) -> int:
    """Count the bars before `before` if they are a large share of many, else 0."""
    where = "FROM bar WHERE symbol = ? AND length_ms = ?"
    (old,) = database.execute(f"SELECT count(*) {where} AND time < ?", (*series, before)).fetchone()
    if old <= _MANY:
        return 0
    (count,) = database.execute(f"SELECT count(*) {where}", series).fetchone()
    return int(old) if old > _LARGE_SHARE * count else 0


def _make_ready(database: sqlite3.Connection) -> None:
    database.execute("PRAGMA journal_mode = WAL")
    # A killed process loses nothing so; after a power failure the last seconds may be missing.
    database.execute("PRAGMA synchronous = NORMAL")
    database.execute(f"PRAGMA wal_autocheckpoint = {_UNTIDY_PAGES}")
    upgrade(database, TABLES)
    with database:
        database.execute("INSERT INTO life SELECT 0 WHERE NOT EXISTS (SELECT 1 FROM life)")
