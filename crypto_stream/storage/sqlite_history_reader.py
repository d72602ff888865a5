"""Reads of the history, concurrent with its writer, each over a connection of its own."""

from __future__ import annotations

import sqlite3
from collections.abc import Collection, Mapping
from contextlib import closing
from pathlib import Path
from typing import Any

from crypto_stream.market.bars import INTERVALS, Bar, Gap
from crypto_stream.market.clock import Anchor, Boot
from crypto_stream.storage.interface import ALL_SYMBOLS, MAX_GAPS, Range
from crypto_stream.storage.sqlite_file import BUSY_S, failing_as_os_error, parts

_END_MS = 2**62  # later than any bar
# SQLite's errors if it cannot create its files beside the database.
_NO_AUXILIARY_FILES = {sqlite3.SQLITE_FULL, sqlite3.SQLITE_IOERR, sqlite3.SQLITE_CANTOPEN}


class SqliteHistoryReader:
    """Read the history, each call over a read-only connection of its own."""

    def __init__(self, path: Path) -> None:
        """Read the file at `path`; without a file there is no history."""
        self._path = path

    def bars(self, symbol: str, interval: str, wanted: Range) -> list[Bar]:
        """Return closed bars, oldest first."""
        rows = self._rows(
            "SELECT time, open, high, low, close, volume, trades, source.text FROM bar "
            "JOIN name AS source ON source.id = bar.source "
            "WHERE symbol = (SELECT id FROM name WHERE text = ?) AND length_ms = ? "
            f"AND time >= ? AND time < ? ORDER BY time {'DESC' if wanted.newest else 'ASC'} LIMIT ?",
            (symbol, INTERVALS[interval], wanted.from_ms, wanted.to_ms, wanted.limit),
        )
        if wanted.newest:
            rows.reverse()
        return [Bar(*row) for row in rows]

    def gaps(self, symbol: str, from_ms: int, to_ms: int) -> list[Gap]:
        """Return the newest gaps that overlap this time, oldest first."""
        rows = self._rows(
            'SELECT "from", "to", reason FROM gap '
            "WHERE symbol IN (SELECT id FROM name WHERE text IN (?, ?)) "
            'AND "from" < ? AND ("to" IS NULL OR "to" > ?) ORDER BY "from" DESC LIMIT ?',
            (symbol, ALL_SYMBOLS, to_ms, from_ms, MAX_GAPS),
        )
        return [Gap(*row) for row in reversed(rows)]

    def first(self, symbol: str, interval: str) -> int | None:
        """Return the time of the oldest bar of a series."""
        rows = self._rows(
            "SELECT min(time) FROM bar WHERE symbol = (SELECT id FROM name WHERE text = ?) AND length_ms = ?",
            (symbol, INTERVALS[interval]),
        )
        return rows[0][0] if rows else None

    def newest(self, interval: str) -> Mapping[str, int]:
        """Return the time of each symbol's newest bar."""
        rows = self._rows(
            "SELECT text, (SELECT max(time) FROM bar WHERE symbol = id AND length_ms = ?) AS newest "
            "FROM name WHERE newest IS NOT NULL",
            (INTERVALS[interval],),
        )
        return dict(rows)

    def bars_since(self, interval: str, since_ms: Mapping[str, int]) -> Mapping[str, list[Bar]]:
        """Return the closed bars of these symbols, of each from its time on, oldest first."""
        ranges = {symbol: Range(at_ms, _END_MS, -1, newest=False) for symbol, at_ms in since_ms.items()}
        found = {symbol: self.bars(symbol, interval, wanted) for symbol, wanted in ranges.items()}
        return {symbol: bars for symbol, bars in found.items() if bars}

    def oldest(self, interval: str, symbols: Collection[str]) -> Mapping[str, Bar]:
        """Return the oldest bar of each of these symbols."""
        beginning = Range(0, _END_MS, 1, newest=False)
        found = {symbol: self.bars(symbol, interval, beginning) for symbol in symbols}
        return {symbol: bars[0] for symbol, bars in found.items() if bars}

    def open_gaps(self) -> Mapping[str, list[Gap]]:
        """Return each symbol's gaps that have not ended, oldest first."""
        found: dict[str, list[Gap]] = {}
        for symbol, *row in self._rows(
            'SELECT text, "from", "to", reason FROM gap JOIN name ON id = symbol '
            'WHERE "to" IS NULL ORDER BY "from"',
            (),
        ):
            found.setdefault(symbol, []).append(Gap(*row))
        return found

    def alive_ms(self) -> int | None:
        """Return when an engine last recorded that it is alive."""
        rows = self._rows("SELECT alive_ms FROM life WHERE alive_ms > 0", ())
        return rows[0][0] if rows else None

    def anchor(self) -> Anchor | None:
        """Return what the clocks showed then."""
        if not self._rows("SELECT name FROM sqlite_schema WHERE name = 'clock'", ()):
            return None  # a file of an earlier version
        rows = self._rows("SELECT at_ms, venue_ms, wall_ms, boot, up_ms FROM clock", ())
        if not rows:
            return None
        at_ms, venue_ms, wall_ms, boot, up_ms = rows[0]
        return Anchor(at_ms, venue_ms, wall_ms, None if boot is None or up_ms is None else Boot(boot, up_ms))

    def _rows(self, query: str, values: tuple[object, ...]) -> list[Any]:
        if not self._path.exists():
            return []
        with failing_as_os_error(self._path):
            try:
                return self._fetched("mode=ro", query, values)
            except sqlite3.OperationalError as error:
                # SQLite creates files beside the database even for reading, which fails on a full disk.
                # Without a log the database file alone is complete.
                if error.sqlite_errorcode & 0xFF not in _NO_AUXILIARY_FILES or _has_log(self._path):
                    raise
                return self._fetched("mode=ro&immutable=1", query, values)

    def _fetched(self, how: str, query: str, values: tuple[object, ...]) -> list[Any]:
        uri = f"{self._path.absolute().as_uri()}?{how}"
        with closing(sqlite3.connect(uri, uri=True, timeout=BUSY_S)) as database:
            return database.execute(query, values).fetchall()


def _has_log(path: Path) -> bool:
    _, log_path, _ = parts(path)
    return log_path.exists() and log_path.stat().st_size > 0
