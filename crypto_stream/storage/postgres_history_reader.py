"""Reads of the history in PostgreSQL, concurrent with its writer."""

from __future__ import annotations

from collections.abc import Mapping

from crypto_stream.market.bars import INTERVALS, Bar, Gap
from crypto_stream.market.clock import Anchor, Boot
from crypto_stream.storage.interface import ALL_SYMBOLS, MAX_GAPS, Range
from crypto_stream.storage.postgres_session import Readers

_SYMBOL = "(SELECT id FROM names WHERE text = %s)"


class PostgresHistoryReader:
    """Reads the history, on any thread."""

    def __init__(self, readers: Readers) -> None:
        """Read over the sessions of `readers`; nothing is opened before the first read."""
        self._rows = readers.rows

    def bars(self, symbol: str, interval: str, wanted: Range) -> list[Bar]:
        """Return closed bars, oldest first."""
        rows = self._rows(
            "SELECT time, open, high, low, close, volume, trades, source.text FROM bar "
            f"JOIN names AS source ON source.id = bar.source WHERE symbol = {_SYMBOL} AND length_ms = %s "
            f"AND time >= %s AND time < %s ORDER BY time {'DESC' if wanted.newest else 'ASC'} LIMIT %s",
            (symbol, INTERVALS[interval], wanted.from_ms, wanted.to_ms, wanted.limit),
        )
        if wanted.newest:
            rows.reverse()
        return [Bar(*row) for row in rows]

    def gaps(self, symbol: str, from_ms: int, to_ms: int) -> list[Gap]:
        """Return the newest gaps that overlap this time, oldest first."""
        rows = self._rows(
            "SELECT from_ms, to_ms, reason FROM gap "
            "WHERE symbol IN (SELECT id FROM names WHERE text IN (%s, %s)) "
            "AND from_ms < %s AND (to_ms IS NULL OR to_ms > %s) ORDER BY from_ms DESC LIMIT %s",
            (symbol, ALL_SYMBOLS, to_ms, from_ms, MAX_GAPS),
        )
        return [Gap(*row) for row in reversed(rows)]

    def first(self, symbol: str, interval: str) -> int | None:
        """Return the time of the oldest bar of a series."""
        rows = self._rows(
            f"SELECT min(time) FROM bar WHERE symbol = {_SYMBOL} AND length_ms = %s",
            (symbol, INTERVALS[interval]),
        )
        return rows[0][0] if rows else None

    def newest(self, interval: str) -> Mapping[str, int]:
        """Return the time of each symbol's newest bar."""
        rows = self._rows(
            "SELECT text, newest FROM (SELECT text, "
            "(SELECT max(time) FROM bar WHERE symbol = id AND length_ms = %s) AS newest FROM names) AS found "
            "WHERE newest IS NOT NULL",
            (INTERVALS[interval],),
        )
        return dict(rows)

    def alive_ms(self) -> int | None:
        """Return when an engine last recorded that it is alive."""
        rows = self._rows("SELECT alive_ms FROM life WHERE alive_ms > 0")
        return rows[0][0] if rows else None

    def anchor(self) -> Anchor | None:
        """Return what the clocks showed then."""
        rows = self._rows("SELECT at_ms, venue_ms, wall_ms, boot, up_ms FROM clock")
        if not rows:
            return None
        at_ms, venue_ms, wall_ms, boot, up_ms = rows[0]
        return Anchor(at_ms, venue_ms, wall_ms, None if boot is None or up_ms is None else Boot(boot, up_ms))
