"""What of the bars stays at hand: the last hour by minutes, and the last day for its figures."""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from collections.abc import Mapping, Sequence

from crypto_stream.history.rolling_24h import STEP, Figures, Rolling24h
from crypto_stream.history.series import Closed, Series
from crypto_stream.market.bars import INTERVALS, Bar, folded
from crypto_stream.storage.interface import HistoryReader, Range

log = logging.getLogger(__name__)

_MINUTES = 60
_HOUR_MS = INTERVALS["1h"]
_DAY_MS = INTERVALS["1d"]


class Recent:
    """The last hour and day of each instrument; those of a former life are read in the background."""

    def __init__(self, series: Mapping[str, Series], reader: HistoryReader) -> None:
        self._series = series
        self._reader = reader
        self._days = {symbol: Rolling24h() for symbol in series}
        self._minutes = {symbol: deque[Bar](maxlen=_MINUTES) for symbol in self._days}
        # Symbol → time of the newest bar from before, and of the first step of the day that is of now.
        self._unread: dict[str, tuple[int, int]] = {}
        self._unknown: set[str] = set()  # symbols whose day is not read yet
        self._wanted = asyncio.Event()

    def restore(self, symbol: str, newest: int, ours: int) -> None:
        """Begin anew, after a bar that began `newest`; steps of the day from `ours` on will close."""
        self._days[symbol] = Rolling24h()
        self._minutes[symbol].clear()
        self._unread[symbol] = (newest, ours)
        self._unknown.add(symbol)
        self._wanted.set()

    def prepend(self, symbol: str, minutes: Sequence[Bar]) -> None:
        """Put minutes before those that are known."""
        self._minutes[symbol] = deque([*minutes, *self._minutes[symbol]], _MINUTES)

    def close(self, symbol: str, closed: Closed) -> None:
        """Take a bar that has just closed."""
        if closed.interval == "1m":
            self._minutes[symbol].append(closed.bar)
        elif closed.interval == STEP:
            self._days[symbol].close(closed.bar)

    def spark(self, symbol: str) -> list[tuple[int, str]]:
        """Give the last price of each minute of the last hour: (time, price), oldest first."""
        live = self._series[symbol].live("1m")
        bars = (*self._minutes[symbol], *([] if live is None else [live]))
        points = [(bar.time, bar.close) for bar in bars]
        since = points[-1][0] - _HOUR_MS if points else 0
        return [point for point in points if point[0] > since]

    def figures(self, symbol: str) -> Figures | None:
        """Give the 24 h figures of an instrument's own bars; None until the day before is read."""
        if symbol in self._unknown:
            return None
        return self._days[symbol].figures(self._series[symbol].live(STEP))

    async def run(self) -> None:
        """Read the last day of each instrument, for ever: so much that nobody should wait for it."""
        while True:
            while self._unread:
                symbol, known = self._unread.popitem()
                await self._recall(symbol, known)
                if symbol not in self._unread:
                    self._unknown.discard(symbol)
            self._wanted.clear()
            await self._wanted.wait()

    async def _recall(self, symbol: str, known: tuple[int, int]) -> None:
        newest, ours = known
        wanted = Range(newest - _DAY_MS, newest + 1, _DAY_MS // INTERVALS["1m"] + 1, newest=True)
        try:
            bars, steps = await asyncio.to_thread(self._read, symbol, wanted, ours)
        except OSError as error:
            log.warning("24 h figures start again", extra={"symbol": symbol, "reason": str(error)})
            return
        self.prepend(symbol, bars)
        self._days[symbol].prepend(steps)

    def _read(self, symbol: str, wanted: Range, ours: int) -> tuple[list[Bar], list[Bar]]:
        """Read minutes, and fold those before `ours` into steps of a day."""
        bars = self._reader.bars(symbol, "1m", wanted)
        return bars, list(folded((bar for bar in bars if bar.time < ours), INTERVALS[STEP]))
