"""What a series goes on from: its stored bars before some moment. Blocking."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

from crypto_stream.market.bars import INTERVALS, STORED, Bar, start
from crypto_stream.storage.interface import HistoryReader, Range

# Of each stored interval, what is read: since the newest bar's day, hour and minute began.
_SINCE = {"1h": "1d", "1m": "1h", "1s": "1m"}
_MOST = 100_000


def read_past(
    reader: HistoryReader, symbol: str, before: int, waiting: Callable[[str], Sequence[Bar]]
) -> Mapping[str, list[Bar]]:
    """Read the bars that had ended at `before` (ms), of the day, the hour and the minute of the newest.

    `waiting` gives those of an interval that are not on the disk yet. OSError when it cannot be read.
    """
    newest = max((_newest(reader, symbol, name, before, waiting(name)) for name in STORED), default=-1)
    if newest < 0:
        return {name: [] for name in STORED}
    return {
        name: _read(reader, symbol, name, start(newest, INTERVALS[since]), before, waiting(name))
        for name, since in _SINCE.items()
    }


def _newest(reader: HistoryReader, symbol: str, interval: str, before: int, waiting: Sequence[Bar]) -> int:
    ends = before - INTERVALS[interval] + 1
    found = reader.bars(symbol, interval, Range(0, max(ends, 0), 1, newest=True))
    return max((bar.time for bar in (*found, *waiting) if bar.time < ends), default=-1)


def _read(
    reader: HistoryReader, symbol: str, interval: str, begin: int, before: int, waiting: Sequence[Bar]
) -> list[Bar]:
    ends = before - INTERVALS[interval] + 1
    rows = reader.bars(symbol, interval, Range(begin, max(ends, begin), _MOST, newest=False))
    known = {bar.time: bar for bar in (*waiting, *rows) if begin <= bar.time < ends}
    return [known[at] for at in sorted(known)]
