"""The topic of live bars: of a series, what closed since the last update, and the open bar."""

from __future__ import annotations

from collections.abc import Callable

from crypto_stream.bus.messages import LiveBars
from crypto_stream.history.history import History
from crypto_stream.history.series import Closed
from crypto_stream.market.bars import INTERVALS, Bar


class Candles:
    """Keys are `symbol/interval`; updates are `LiveBars`.

    Every update holds the bars closed since the one before and the open one, so who gets all of them knows
    all; what somebody misses shows in `previous`.
    """

    name = "candles"

    def __init__(self, history: History, epoch: str, seq: Callable[[], int]) -> None:
        """Listen to `history`; `seq` is the state's number."""
        self._history = history
        self._epoch = epoch
        self._seq = seq
        self._closed: dict[str, list[Bar]] = {}
        self._told: dict[str, LiveBars] = {}
        history.closed.append(self._on_closed)

    def knows(self, key: str) -> bool:
        """Say whether there are bars of this series."""
        symbol, _, interval = key.partition("/")
        return symbol in self._history.series and interval in INTERVALS

    def now(self, key: str) -> LiveBars:
        """Give the open bar."""
        return self._live(key, [])

    def begin(self, key: str) -> LiveBars:
        """Give the open bar, and collect what closes from now on."""
        found = self._told[key] = self.now(key)
        return found

    def news(self, key: str) -> LiveBars | None:
        """Give what closed since the last update, and the open bar."""
        found = self._live(key, self._closed.pop(key, []))
        told = self._told[key]
        if (told.bars, told.gap) == (found.bars, found.gap):
            return None
        self._told[key] = found
        return found

    def end(self, key: str) -> None:
        """Collect no more of this series."""
        self._told.pop(key, None)
        self._closed.pop(key, None)

    def _live(self, key: str, closed: list[Bar]) -> LiveBars:
        symbol, _, interval = key.partition("/")
        series = self._history.series[symbol]
        live = series.live(interval)
        bars = [*closed, *([] if live is None else [live])]
        previous = series.previous.get(interval) if not closed else self._before(key, closed[0].time)
        gap = self._history.gaps.open.get(symbol)
        return LiveBars(self._epoch, symbol, interval, self._seq(), previous, bars, gap)

    def _before(self, key: str, time: int) -> int | None:
        """Tell which bar those who were told last have before the one at `time`."""
        told = self._told[key]
        earlier = [bar.time for bar in told.bars if bar.time < time]
        return earlier[-1] if earlier else told.previous

    def _on_closed(self, symbol: str, closed: Closed) -> None:
        key = f"{symbol}/{closed.interval}"
        if key in self._told:
            self._closed.setdefault(key, []).append(closed.bar)
