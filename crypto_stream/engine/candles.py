"""The topic of live bars: the bars of a series that closed since the last update, and the open bar."""

from __future__ import annotations

from collections.abc import Callable

from crypto_stream.bus.messages import LiveBars
from crypto_stream.history.history import History
from crypto_stream.history.series import Closed
from crypto_stream.market.bars import INTERVALS, Bar


class Candles:
    """Keys are `symbol/interval`, updates are `LiveBars`.

    Each update contains the bars closed since the previous update and the open one, so whoever receives all
    updates has all bars. A missed update shows in `previous`.
    """

    name = "candles"
    every_s = 0.25

    def __init__(self, history: History, epoch: str, seq: Callable[[], int]) -> None:
        """Listen to `history`; `seq` returns the current sequence number."""
        self._history = history
        self._epoch = epoch
        self._seq = seq
        self._closed: dict[str, list[Bar]] = {}
        self._sent: dict[str, LiveBars] = {}
        history.closed.append(self._on_closed)

    def has(self, key: str) -> bool:
        """Return whether this series exists."""
        symbol, _, interval = key.partition("/")
        return symbol in self._history.series and interval in INTERVALS

    def current(self, key: str) -> LiveBars:
        """Return the open bar."""
        return self._live(key, [])

    def asked(self, key: str) -> LiveBars:
        """Return the open bar."""
        return self.current(key)

    def start(self, key: str) -> LiveBars:
        """Return the open bar, and collect closed bars from now on."""
        found = self._sent[key] = self.current(key)
        return found

    def changes(self, key: str) -> LiveBars | None:
        """Return the bars closed since the last update, and the open bar; None if nothing has changed."""
        found = self._live(key, self._closed.pop(key, []))
        sent = self._sent[key]
        if (sent.bars, sent.gap) == (found.bars, found.gap):
            return None
        self._sent[key] = found
        return found

    def stop(self, key: str) -> None:
        """Stop collecting bars of this series."""
        self._sent.pop(key, None)
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
        """Return the time of the last bar before `time` that was already sent."""
        sent = self._sent[key]
        earlier = [bar.time for bar in sent.bars if bar.time < time]
        return earlier[-1] if earlier else sent.previous

    def _on_closed(self, symbol: str, closed: Closed) -> None:
        key = f"{symbol}/{closed.interval}"
        if key in self._sent:
            self._closed.setdefault(key, []).append(closed.bar)
