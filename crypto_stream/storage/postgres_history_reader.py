"""Reads of the history in PostgreSQL, concurrent with its writer."""

from __future__ import annotations

from collections.abc import Collection, Mapping

from crypto_stream.market.bars import INTERVALS, Bar, Gap
from crypto_stream.market.clock import Anchor, Boot
from crypto_stream.storage.interface import ALL_SYMBOLS, MAX_GAPS, Range
from crypto_stream.storage.postgres_connection import Row
from crypto_stream.storage.postgres_session import Readers

_SYMBOL = "(SELECT id FROM names WHERE text = %s)"
_BAR = "time, open, high, low, close, volume, trades"


class PostgresHistoryReader:
    """Reads the history, on any thread."""

    def __init__(self, readers: Readers) -> None:
        """Read over the sessions of `readers`; nothing is opened before the first read."""
        self._rows = readers.rows

    def bars(self, symbol: str, interval: str, wanted: Range) -> list[Bar]:
        """Return closed bars, oldest first."""
        rows = self._rows(
            f"SELECT {_BAR}, source.text FROM bar "
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

    def bars_since(self, interval: str, since_ms: Mapping[str, int]) -> Mapping[str, list[Bar]]:
        """Return the closed bars of these symbols, of each from its time on, oldest first."""
        found: dict[str, list[Bar]] = {}
        # The smallest time once more: then the planner leaves out the partitions of earlier bars.
        for symbol, *row in self._of_each(
            list(since_ms),
            list(since_ms.values()),
            f"length_ms = {INTERVALS[interval]} AND time >= {min(since_ms.values(), default=0)} "
            "AND time >= since ORDER BY time",
        ):
            found.setdefault(symbol, []).append(Bar(*row))
        return found

    def oldest(self, interval: str, symbols: Collection[str]) -> Mapping[str, Bar]:
        """Return the oldest bar of each of these symbols."""
        which = f"length_ms = {INTERVALS[interval]} ORDER BY time LIMIT 1"
        rows = self._of_each(list(symbols), [0] * len(symbols), which)
        return {symbol: Bar(*row) for symbol, *row in rows}

    def open_gaps(self) -> Mapping[str, list[Gap]]:
        """Return each symbol's gaps that have not ended, oldest first."""
        found: dict[str, list[Gap]] = {}
        for symbol, *row in self._rows(
            "SELECT text, from_ms, to_ms, reason FROM gap JOIN names ON id = symbol "
            "WHERE to_ms IS NULL ORDER BY from_ms"
        ):
            found.setdefault(symbol, []).append(Gap(*row))
        return found

    def _of_each(self, symbols: list[str], since_ms: list[int], which: str) -> list[Row]:
        """Return symbol and bar of `which` bars of each symbol; within it, `since` is the symbol's time."""
        return self._rows(
            "SELECT symbols.text, found.* FROM unnest(%s::text[], %s::bigint[]) AS given (text, since) "
            "JOIN names AS symbols ON symbols.text = given.text CROSS JOIN LATERAL "
            f"(SELECT {_BAR}, source.text FROM bar JOIN names AS source ON source.id = bar.source "
            # OFFSET 0: each symbol's bars are looked up by the index, whatever the planner expects.
            f"WHERE symbol = symbols.id AND {which} OFFSET 0) AS found",
            (symbols, since_ms),
        )

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
