"""Recent bars in memory: the minutes of the last hour, and the last day for the 24 h figures."""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from collections.abc import Mapping, Sequence

from crypto_stream.history.rolling_24h import STEP, Figures, Rolling24h
from crypto_stream.history.series import Closed, Series
from crypto_stream.market.bars import INTERVALS, Bar, folded
from crypto_stream.market.index import symbol_of_series
from crypto_stream.storage.interface import HistoryReader, Range

log = logging.getLogger(__name__)

_MINUTES = 60
_HOUR_MS = INTERVALS["1h"]
_DAY_MS = INTERVALS["1d"]


class Recent:
    """The last hour and day of each instrument; those of the previous run are read in the background.

    Indexes are not included: their 24 h figures and sparklines would need as much memory again.
    """

    def __init__(self, series: Mapping[str, Series], reader: HistoryReader) -> None:
        self._series = series
        self._reader = reader
        self.symbols = [name for name in series if symbol_of_series(name) is None]
        self._days = {symbol: Rolling24h() for symbol in self.symbols}
        self._minutes = {symbol: deque[Bar](maxlen=_MINUTES) for symbol in self.symbols}
        # Symbol → time of the newest stored bar, and of the first 5-minute bar of this run.
        self._unread: dict[str, tuple[int, int]] = {}
        self._unknown: set[str] = set()  # symbols whose last day is not read yet
        self._wanted = asyncio.Event()

    def add(self, symbol: str) -> None:
        """Add an instrument, or an index."""
        if symbol_of_series(symbol) is None:
            self.symbols.append(symbol)
            self._days[symbol] = Rolling24h()
            self._minutes[symbol] = deque(maxlen=_MINUTES)

    def remove(self, symbol: str) -> None:
        """Remove an instrument, or an index."""
        if symbol in self._days:
            self.symbols.remove(symbol)
            del self._days[symbol], self._minutes[symbol]
            self._unread.pop(symbol, None)
            self._unknown.discard(symbol)

    def restore(self, symbol: str, newest: int, ours: int) -> None:
        """Start again after the bar at `newest`; 5-minute bars from `ours` on will be added by `close`."""
        if symbol not in self._days:
            return
        self._days[symbol] = Rolling24h()
        self._minutes[symbol].clear()
        self._unread[symbol] = (newest, ours)
        self._unknown.add(symbol)
        self._wanted.set()

    def prepend(self, symbol: str, minutes: Sequence[Bar]) -> None:
        """Insert older minutes."""
        if symbol not in self._days:
            return
        self._minutes[symbol] = deque([*minutes, *self._minutes[symbol]], _MINUTES)

    def close(self, symbol: str, closed: Closed) -> None:
        """Add a bar that has just closed."""
        if symbol not in self._days:
            return
        if closed.interval == "1m":
            self._minutes[symbol].append(closed.bar)
        elif closed.interval == STEP:
            self._days[symbol].close(closed.bar)

    def spark(self, symbol: str) -> list[tuple[int, str]]:
        """Return the last price of each minute of the last hour: (time, price), oldest first."""
        live = self._series[symbol].live("1m")
        bars = (*self._minutes[symbol], *([] if live is None else [live]))
        since = bars[-1].time - _HOUR_MS if bars else 0
        return [(bar.time, bar.close) for bar in bars if bar.time > since]

    def figures(self, symbol: str) -> Figures | None:
        """Return the 24 h figures from an instrument's bars; None until its last day is read."""
        if symbol in self._unknown:
            return None
        return self._days[symbol].figures(self._series[symbol].live(STEP))

    async def run(self) -> None:
        """Read the last day of each instrument in the background, until cancelled."""
        while True:
            while self._unread:
                symbol, known = self._unread.popitem()
                await self._load_day(symbol, known)
                if symbol not in self._unread:
                    self._unknown.discard(symbol)
            self._wanted.clear()
            await self._wanted.wait()

    async def _load_day(self, symbol: str, known: tuple[int, int]) -> None:
        newest, ours = known
        wanted = Range(newest - _DAY_MS, newest + 1, _DAY_MS // INTERVALS["1m"] + 1, newest=True)
        try:
            bars, steps = await asyncio.to_thread(self._read, symbol, wanted, ours)
        except OSError as error:
            log.warning("24 h figures start again", extra={"symbol": symbol, "reason": str(error)})
            return
        self.prepend(symbol, bars)
        if symbol in self._days:  # it may have been removed meanwhile
            self._days[symbol].prepend(steps)

    def _read(self, symbol: str, wanted: Range, ours: int) -> tuple[list[Bar], list[Bar]]:
        """Read minutes, and fold those before `ours` into 5-minute bars."""
        bars = self._reader.bars(symbol, "1m", wanted)
        return bars, list(folded((bar for bar in bars if bar.time < ours), INTERVALS[STEP]))
