"""Bars from before our first moment, which a venue gives: where they are missing, and which are taken."""

from __future__ import annotations

from collections.abc import Sequence

from crypto_stream.history.queries import MAX_TIME_MS
from crypto_stream.market.bars import CANDLES_SUFFIX, INTERVALS, STORED, Bar
from crypto_stream.market.clock import EngineClock
from crypto_stream.storage.interface import HistoryReader, Range


class Backfill:
    """Know where the bars of each instrument begin, and which series a venue was asked for."""

    def __init__(self, reader: HistoryReader, clock: EngineClock) -> None:
        self._reader = reader
        self._clock = clock
        self._first_ms: dict[str, int] = {}  # symbol → its first trade of all
        self._known: set[tuple[str, str]] = set()

    def needs(self, symbol: str, interval: str) -> bool:
        """Say whether nothing is known from before this life's first moment."""
        return (symbol, interval) not in self._known

    def traded(self, symbol: str, time: int) -> None:
        """Notice a trade of ours: what a venue gives ends before the first one."""
        self._first_ms.setdefault(symbol, time)

    def choose(self, symbol: str, interval: str, bars: Sequence[Bar]) -> list[Bar]:
        """Return which of a venue's bars are of before the first moment, and finished.

        Before the first trade the venues' time tells which are finished: our clock may be ahead.
        """
        length, now_ms = INTERVALS[interval], min(self._clock.now_ms(), self._clock.venues_ms())
        first_ms = min(self._first_ms.get(symbol, now_ms), now_ms)
        self._known.add((symbol, interval))
        return [bar for bar in bars if bar.time % length == 0 and bar.time + length <= first_ms]

    def restore(self, symbol: str) -> None:
        """See where the stored bars of an instrument begin, and which of them a venue gave. Blocking."""
        for interval in STORED:
            for oldest in self._reader.bars(symbol, interval, Range(0, MAX_TIME_MS, 1, newest=False)):
                if oldest.source.endswith(CANDLES_SUFFIX):
                    self._known.add((symbol, interval))
                else:
                    first_ms = self._first_ms.get(symbol, oldest.time)
                    self._first_ms[symbol] = min(first_ms, oldest.time)
