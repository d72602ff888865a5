"""The partitions of bars: a day of one-second bars each, a month of one-minute bars each, in UTC."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import UTC, datetime, timedelta
from typing import NamedTuple

from crypto_stream.market.bars import INTERVALS
from crypto_stream.storage.postgres_connection import Connection

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_DAY_MS = INTERVALS["1d"]
# Interval → what the name of a partition shows of its first day.
PARTITIONED = {"1s": "%Y%m%d", "1m": "%Y%m"}
_LIST = (
    "SELECT child.relname FROM pg_inherits JOIN pg_class AS child ON child.oid = inhrelid "
    "WHERE inhparent = %s::regclass"
)


class Partition(NamedTuple):
    """One partition: its table, and its bars' times (ms, `end` exclusive)."""

    table: str
    begin: int
    end: int


def partition(interval: str, time_ms: int) -> Partition:
    """Return the partition of the bars of `interval` at `time_ms`, which is before the year 9999."""
    begin = _EPOCH + timedelta(days=time_ms // _DAY_MS)
    end = begin + timedelta(days=1)
    if interval == "1m":
        begin = begin.replace(day=1)
        end = (begin + timedelta(days=31)).replace(day=1)
    return Partition(f"bar_{interval}_{begin.strftime(PARTITIONED[interval])}", _ms(begin), _ms(end))


class Partitions:
    """The partitions that exist, as the only writer knows them."""

    def __init__(self) -> None:
        self._known: dict[str, dict[str, Partition]] = {}

    def forget(self) -> None:
        """Look again before anything else."""
        self._known.clear()

    def make(self, database: Connection, times: Iterable[tuple[str, int]]) -> None:
        """Create the partitions of bars, given by interval and time, and the next one of each interval."""
        needed: dict[str, set[Partition]] = {}
        for interval, time_ms in {(interval, time_ms // _DAY_MS * _DAY_MS) for interval, time_ms in times}:
            if interval in PARTITIONED:
                needed.setdefault(interval, set()).add(partition(interval, time_ms))
        for interval, wanted in needed.items():
            wanted.add(partition(interval, max(each.end for each in wanted)))
            known = self._look(database, interval)
            for each in sorted(wanted - set(known.values())):
                # Attaching locks out other changes of the table only, creating it as a partition would lock
                # out readers as well.
                database.execute(f"CREATE TABLE {each.table} (LIKE bar INCLUDING INDEXES)".encode())
                database.execute(
                    f"ALTER TABLE bar_{interval} ATTACH PARTITION {each.table} "
                    f"FOR VALUES FROM ({each.begin}) TO ({each.end})".encode()
                )
                known[each.table] = each

    def ended(self, interval: str, before_ms: int) -> list[Partition]:
        """Return the known partitions whose bars are all older, oldest first."""
        known = self._known.get(interval, {})
        return sorted(each for each in known.values() if each.end <= before_ms)

    def drop(self, database: Connection, interval: str, before_ms: int) -> int:
        """Drop those partitions; return the number of their bars if there are several, else 0."""
        ended = self.ended(interval, before_ms)
        count = 0
        for each in ended:
            if len(ended) > 1:
                ((bars,),) = database.execute(f"SELECT count(*) FROM {each.table}".encode())
                count += bars
            database.execute(f"DROP TABLE {each.table}".encode())
            del self._known[interval][each.table]
        return count

    def _look(self, database: Connection, interval: str) -> dict[str, Partition]:
        if interval not in self._known:
            found = database.execute(_LIST, (f"bar_{interval}",)).fetchall()
            self._known[interval] = {table: _named(interval, table) for (table,) in found}
        return self._known[interval]


def _named(interval: str, table: str) -> Partition:
    """Return a partition by its table."""
    text = table.rsplit("_", 1)[1]
    day = datetime.strptime(text if interval == "1s" else f"{text}01", "%Y%m%d").replace(tzinfo=UTC)
    return partition(interval, _ms(day))


def _ms(at: datetime) -> int:
    return (at - _EPOCH) // timedelta(milliseconds=1)
