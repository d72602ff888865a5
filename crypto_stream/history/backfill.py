"""Backfill: which older bars are missing, and which of a venue's bars to use."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence

from crypto_stream.history.queries import MAX_TIME_MS
from crypto_stream.market.bars import CANDLES_SUFFIX, INTERVALS, STORED, Bar
from crypto_stream.market.clock import EngineClock
from crypto_stream.storage.interface import HistoryReader, Range


class Backfill:
    """Tracks where our own bars of each instrument begin, and which series have been fetched from a venue."""

    def __init__(self, reader: HistoryReader, clock: EngineClock) -> None:
        self._reader = reader
        self._clock = clock
        self._first_ms: dict[str, int] = {}  # symbol → time of its first trade
        self._known: set[tuple[str, str]] = set()

    def needs(self, symbol: str, interval: str) -> bool:
        """Return whether older bars of this series are still to be fetched."""
        return (symbol, interval) not in self._known

    def traded(self, symbol: str, time: int) -> None:
        """Record a trade: backfilled bars end before the first one."""
        self._first_ms.setdefault(symbol, time)

    def choose(self, symbol: str, interval: str, bars: Sequence[Bar]) -> list[Bar]:
        """Return the bars that ended before our first trade.

        If there is no trade yet, venue time decides which bars are closed: our clock may be ahead.
        """
        length, now_ms = INTERVALS[interval], min(self._clock.now_ms(), self._clock.venues_ms())
        first_ms = min(self._first_ms.get(symbol, now_ms), now_ms)
        self._known.add((symbol, interval))
        return [bar for bar in bars if bar.time % length == 0 and bar.time + length <= first_ms]

    def read(self, symbol: str) -> dict[str, Bar]:
        """Read the oldest stored bar of each interval. Blocking."""
        beginning = Range(0, MAX_TIME_MS, 1, newest=False)
        found = {interval: self._reader.bars(symbol, interval, beginning) for interval in STORED}
        return {interval: bars[0] for interval, bars in found.items() if bars}

    def read_all(self, symbols: Collection[str]) -> dict[str, dict[str, Bar]]:
        """Read the same of each of these instruments. Blocking."""
        found = {interval: self._reader.oldest(interval, symbols) for interval in STORED}
        return {
            symbol: {interval: bars[symbol] for interval, bars in found.items() if symbol in bars}
            for symbol in symbols
        }

    def restore(self, symbol: str, oldest: Mapping[str, Bar]) -> None:
        """Learn from the oldest stored bars where ours begin, and which series were backfilled."""
        for interval, bar in oldest.items():
            if bar.source.endswith(CANDLES_SUFFIX):
                self._known.add((symbol, interval))
            else:
                self._first_ms[symbol] = min(self._first_ms.get(symbol, bar.time), bar.time)

    def forget(self, symbol: str) -> None:
        """Forget an instrument; its bars remain stored."""
        self._first_ms.pop(symbol, None)
        self._known.difference_update([(symbol, interval) for interval in STORED])
