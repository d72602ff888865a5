"""The writer of the history in PostgreSQL; reads are concurrent."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence

from crypto_stream.market.bars import INTERVALS, Gap, retention_block_ms, start
from crypto_stream.market.clock import Anchor
from crypto_stream.storage.interface import Batch, Retention, SetAside, StoredBar, UnusableError
from crypto_stream.storage.postgres_connection import Connection, storable
from crypto_stream.storage.postgres_lease import Lease
from crypto_stream.storage.postgres_partitions import PARTITIONED, Partitions
from crypto_stream.storage.postgres_session import Writer

_SET_UP = "CREATE TEMPORARY TABLE fresh (LIKE bar) ON COMMIT DELETE ROWS"
# After a partition could not be dropped, as while all of the database is being copied: each attempt waits for
# a lock, and new bars wait for it.
_DROPS_AGAIN_S = 60.0
_PUT_BARS = "INSERT INTO bar SELECT * FROM fresh ON CONFLICT DO NOTHING"
_PUT_GAPS = (
    "INSERT INTO gap SELECT * FROM unnest(%s::integer[], %s::bigint[], %s::bigint[], %s::text[]) "
    "ON CONFLICT (symbol, from_ms) DO UPDATE SET to_ms = excluded.to_ms, reason = excluded.reason"
)
_PUT_CLOCK = (
    "INSERT INTO clock VALUES (1, %s, %s, %s, %s, %s) ON CONFLICT (id) DO UPDATE SET at_ms = excluded.at_ms, "
    "venue_ms = excluded.venue_ms, wall_ms = excluded.wall_ms, boot = excluded.boot, up_ms = excluded.up_ms"
)
_SET_ASIDE = (
    "WITH moved AS (DELETE FROM bar WHERE symbol = %s AND time + length_ms > %s RETURNING *) "
    "INSERT INTO aside SELECT * FROM moved ON CONFLICT (symbol, length_ms, time) DO UPDATE SET "
    "open = excluded.open, high = excluded.high, low = excluded.low, close = excluded.close, "
    "volume = excluded.volume, trades = excluded.trades, source = excluded.source"
)


class PostgresHistoryWriter:
    """Writes the history. Old bars of a partitioned interval are removed by dropping whole partitions."""

    def __init__(self, lease: Lease) -> None:
        """Write to the database of `lease`; nothing is opened before the first call."""
        self._writer = Writer(lease, _SET_UP)
        self._partitions = Partitions()
        self._newest: dict[str, int] = {}  # the time of the newest bar written in this run, by interval
        self._drops_from_s = 0.0

    def prepare(self) -> None:
        """Do nothing: the first write opens the store."""

    def write(self, batch: Batch) -> None:
        """Store the batch atomically; raise OSError if that fails."""
        try:
            self._write(batch)
        except BaseException:
            self._partitions.forget()  # those that were made may have been rolled back
            raise
        for stored in batch.bars:
            self._newest[stored.interval] = max(stored.bar.time, self._newest.get(stored.interval, 0))

    def prune(self, symbol: str, interval: str, keep_ms: int, by: Retention) -> int:
        """Remove old bars, only by a steady clock; see `HistoryWriter.prune`.

        Of a partitioned interval, partitions that are too old as a whole are dropped for all symbols at once,
        counted from the newest bar of them all. The return value is the number of bars if more than one
        partition is dropped.
        """
        if not by.steady:
            return 0
        if interval not in PARTITIONED:
            self._delete(symbol, interval, keep_ms, by)
            return 0
        keep_from = start(
            min(self._newest.get(interval, 0), by.now_ms) - keep_ms, retention_block_ms(interval)
        )
        if not self._partitions.ended(interval, keep_from) or time.monotonic() < self._drops_from_s:
            return 0
        try:
            with self._writer.transaction():
                return self._partitions.drop(self._writer.connection(), interval, keep_from)
        except BaseException:
            self._drops_from_s = time.monotonic() + _DROPS_AGAIN_S
            self._partitions.forget()
            raise

    def tidy(self) -> None:
        """Do nothing: PostgreSQL does its maintenance itself."""

    def check(self, reason: str) -> None:
        """Do nothing: a damaged database is repaired by an operator."""

    def move_aside(self, reason: str) -> None:
        """Raise UnusableError: a database is never replaced automatically."""
        raise UnusableError(f"PostgreSQL: {reason}")

    def close(self) -> None:
        """Close the session; the next call opens another one."""
        self._writer.close()
        self._partitions.forget()

    def _write(self, batch: Batch) -> None:
        names = {stored.symbol for stored in batch.bars} | {stored.bar.source for stored in batch.bars}
        names |= {symbol for symbol, _ in batch.gaps} | {aside.symbol for aside in batch.set_asides}
        alive = f"UPDATE life SET alive_ms = {int(batch.alive_ms)}"
        with self._writer.transaction(alive):
            database, ids = self._writer.connection(), self._writer.ids(names)
            for aside in batch.set_asides:
                _set_aside(database, ids[aside.symbol], aside)
            if batch.bars:
                self._partitions.make(database, ((each.interval, each.bar.time) for each in batch.bars))
                _put_bars(database, batch.bars, ids)
            if batch.gaps:
                _put_gaps(database, batch.gaps, ids)
            if batch.anchor is not None:
                _put_anchor(database, batch.anchor)

    def _delete(self, symbol: str, interval: str, keep_ms: int, by: Retention) -> None:
        """Delete the bars of one series that are too old."""
        series = (symbol, INTERVALS[interval])
        where = "FROM bar WHERE symbol = (SELECT id FROM names WHERE text = %s) AND length_ms = %s"
        with self._writer.reading() as database:
            ((oldest, newest),) = database.execute(f"SELECT min(time), max(time) {where}".encode(), series)
        if newest is None:
            return
        keep_from = start(min(newest, by.now_ms) - keep_ms, retention_block_ms(interval))
        if oldest < keep_from:
            with self._writer.transaction() as begun:
                begun.connection.execute(f"DELETE {where} AND time < %s".encode(), (*series, keep_from))


def _put_bars(database: Connection, bars: Sequence[StoredBar], ids: Mapping[str, int]) -> None:
    with database.cursor().copy("COPY fresh FROM STDIN") as copy:
        for symbol, interval, bar in bars:
            copy.write_row(
                (
                    *(ids[symbol], INTERVALS[interval], bar.time, bar.open, bar.high, bar.low, bar.close),
                    *(bar.volume, bar.trades, ids[bar.source]),
                )
            )
    database.execute(_PUT_BARS)


def _put_gaps(database: Connection, gaps: Sequence[tuple[str, Gap]], ids: Mapping[str, int]) -> None:
    newest = {(ids[symbol], gap.from_): gap for symbol, gap in gaps}  # the last state of each
    database.execute(
        _PUT_GAPS,
        (
            [symbol for symbol, _ in newest],
            [from_ms for _, from_ms in newest],
            [gap.to for gap in newest.values()],
            [storable(gap.reason) for gap in newest.values()],
        ),
    )


def _put_anchor(database: Connection, anchor: Anchor) -> None:
    boot_id, boot_ms = anchor.boot or (None, None)
    database.execute(_PUT_CLOCK, (anchor.at_ms, anchor.venue_ms, anchor.wall_ms, boot_id, boot_ms))


def _set_aside(database: Connection, symbol: int, aside: SetAside) -> None:
    at = aside.from_ms
    if aside.bars:
        database.execute(_SET_ASIDE, (symbol, at))
    database.execute("DELETE FROM gap WHERE symbol = %s AND from_ms >= %s", (symbol, at))
    database.execute("UPDATE gap SET to_ms = %s WHERE symbol = %s AND to_ms > %s", (at, symbol, at))
