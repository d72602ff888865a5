"""Record the bars of all instruments from the trades of their serving sources."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import NamedTuple

from crypto_stream.deadlines import Deadlines
from crypto_stream.history.backfill import Backfill
from crypto_stream.history.deferred_trades import NEAR_MS, DeferredTrade, EarlyTrades, LateTrades
from crypto_stream.history.outages import Outages
from crypto_stream.history.queries import MAX_TIME_MS
from crypto_stream.history.recent import Recent
from crypto_stream.history.rolling_24h import STEP
from crypto_stream.history.series import Closed, Series
from crypto_stream.history.writer import BarWriter
from crypto_stream.market.bars import INTERVALS, STORED, Bar, start
from crypto_stream.market.clock import EngineClock
from crypto_stream.market.events import Trade
from crypto_stream.market.instruments import is_synthetic
from crypto_stream.storage.interface import HistoryReader, Range, StoredBar

log = logging.getLogger(__name__)

# A trade further ahead of all clocks than this has a wrong time: it would close all bars until then.
_MAX_AHEAD_MS = INTERVALS["1d"]
# A series continues from the bars of each stored interval since the newest bar's day, hour or minute began.
_SINCE = {"1h": "1d", "1m": "1h", "1s": "1m"}
_MAX_READ = 100_000


class Past(NamedTuple):
    """What a series continues from: bars by interval, and the oldest stored one of each."""

    bars: Mapping[str, list[Bar]]
    oldest: Mapping[str, Bar]


class Recorder:
    """Add each trade to its bar, and collect closed bars until they are written.

    The listeners in `closed` are called with each bar that closes. Trades and bars are passed on to `recent`,
    `backfill` and `outages`.
    """

    def __init__(
        self,
        symbols: Iterable[str],
        reader: HistoryReader,
        writer: BarWriter,
        clock: EngineClock,
        outages: Outages,
    ) -> None:
        self.series = {symbol: Series() for symbol in symbols}
        self.synthetic = {symbol for symbol in self.series if is_synthetic(symbol)}
        self.late_trades = 0  # whose bar was already closed
        self.last_bars: dict[str, Bar] = {}  # of the previous run
        self.closed: list[Callable[[str, Closed], None]] = []
        self.unwritten: list[StoredBar] = []
        self.recent = Recent(self.series, reader)
        self.backfill = Backfill(reader, clock)
        self.late = LateTrades()
        self._early = EarlyTrades()
        self._reader = reader
        self._writer = writer
        self._clock = clock
        self._outages = outages
        self._rewound: list[str] = []
        self._ahead: set[str] = set()
        self._due: Deadlines[str] = Deadlines()  # when bars must be closed although no trade arrives

    def record(self, source: str, trade: Trade, serving: str | None, now_ns: int) -> bool:
        """Record a trade; only those of the `serving` source are added to bars.

        Returns False if it has no time, or its bar is closed.
        """
        if serving == source:
            return self.fold(source, trade, now_ns)
        if serving is None:
            self._early.add(DeferredTrade(source, trade, now_ns))
        return trade.time is not None

    def pop_early(self, symbol: str, source: str | None, now_ns: int) -> list[DeferredTrade]:
        """Return, and remove, the trades of the last second from a source that now serves."""
        return self._early.pop(symbol, source, now_ns)

    def fold(self, source: str, trade: Trade, now_ns: int) -> bool:
        """Add a trade of the serving source to its bar; return False if there is none for it."""
        symbol, time = trade.symbol, trade.time
        series = self.series[symbol]
        if time is None:
            return False
        if time < series.floor:
            return self._take_late(source, trade, now_ns)
        known_ms = series.clock(now_ns) or 0
        if time > max(self._clock.now_ms(), known_ms) + _MAX_AHEAD_MS:
            self._reject_future(source, trade)
            return False
        self.late.on_time(symbol)
        self.backfill.traded(symbol, time)
        self._outages.traded(symbol, time)
        if symbol in self.synthetic and series.begun and time > known_ms + NEAR_MS:
            self._outages.clock_jumped(symbol, known_ms, time)
        self._close(symbol, series.trade(trade, source, now_ns))
        self._await_end(symbol)
        return True

    def close_due(self, now_ns: int) -> None:
        """Close the bars that are due although no trade arrived."""
        for symbol in self._due.due(now_ns):
            self._close(symbol, self.series[symbol].tick(now_ns))
            self._await_end(symbol)

    def check_late(self) -> None:
        """Check for, and log, instruments whose trades are older than their closed bars."""
        self.late.check()
        if self._rewound:
            extra = {"instruments": len(self._rewound), "symbols": ",".join(self._rewound[:10])}
            log.warning("bars were in the future, recording continues at the present time", extra=extra)
            self._rewound.clear()

    def prepend(self, symbol: str, interval: str, bars: Sequence[Bar]) -> None:
        """Add a venue's older bars."""
        self.unwritten += [StoredBar(symbol, interval, bar) for bar in bars]
        if interval == "1m":
            self.recent.prepend(symbol, bars)

    def unwritten_of(self, symbol: str, interval: str) -> list[Bar]:
        """List the closed bars of one series that were not passed to the writer yet."""
        return [bar for of, kind, bar in self.unwritten if of == symbol and kind == interval]

    def restore(self, symbol: str, before: int, now_ns: int) -> None:
        """Continue after the newest stored bar that ended `before` (ms). Blocking."""
        self._resume(symbol, self.read_past(symbol, before), before, now_ns)

    def restore_all(self, newest: Mapping[str, Mapping[str, int]], now_ns: int) -> None:
        """Continue after the `newest` stored bars, by interval and symbol, before anything is recorded.

        Blocking, with few queries however many instruments there are: an engine that takes over waits for it.
        """
        latest: dict[str, int] = {}
        for symbol, at in (each for times in newest.values() for each in times.items()):
            if symbol in self.series:
                latest[symbol] = max(at, latest.get(symbol, at))
        bars = {
            name: self._reader.bars_since(
                name, {symbol: start(at, INTERVALS[since]) for symbol, at in latest.items()}
            )
            for name, since in _SINCE.items()
        }
        oldest = self.backfill.read_all(latest)
        for symbol in latest:
            past = Past({name: bars[name].get(symbol, []) for name in STORED}, oldest[symbol])
            self._resume(symbol, past, MAX_TIME_MS, now_ns)

    def read_past(self, symbol: str, before: int) -> Past:
        """Read what a series continues from. Blocking; may be called on another thread."""
        bars = _read_previous(self._reader, symbol, before, lambda name: self._writer.waiting(symbol, name))
        return Past(bars, self.backfill.read(symbol))

    def add(self, symbol: str, past: Past | None, now_ns: int) -> None:
        """Record one more instrument from now on, continuing from its `past` if there is one."""
        self.series[symbol] = Series()
        self.recent.add(symbol)
        if is_synthetic(symbol):
            self.synthetic.add(symbol)
        if past is not None:
            self._resume(symbol, past, MAX_TIME_MS, now_ns)

    def remove(self, symbol: str, now_ns: int) -> int:
        """Record an instrument no longer; return when its newest bar ends (ms), 0 if it has none.

        The open bars are lost, as when the engine is killed: of the last second, or two.
        """
        series = self.series[symbol]
        self._close(symbol, series.tick(now_ns))
        del self.series[symbol]
        self._due.discard(symbol)
        self.recent.remove(symbol)
        self.backfill.forget(symbol)
        self.late.on_time(symbol)
        self._early.pop(symbol, None, now_ns)
        self.last_bars.pop(symbol, None)
        self._ahead.discard(symbol)
        return series.floor

    def _resume(self, symbol: str, past: Past, before: int, now_ns: int) -> None:
        """Continue after the newest bar of the `past`, which ended `before`."""
        bars = past.bars
        self.series[symbol].restore(bars, now_ns)
        self._await_end(symbol)
        newest = next((bars[name][-1] for name in STORED if bars[name]), None)
        if newest is not None:
            self.last_bars[symbol] = newest
        began = before if newest is None else newest.time
        self.recent.restore(symbol, began, self.series[symbol].boundary(STEP))
        self.backfill.restore(symbol, past.oldest)

    def _take_late(self, source: str, trade: Trade, now_ns: int) -> bool:
        """Handle a trade older than the closed bars: it is late, unless those are in the future."""
        series = self.series[trade.symbol]
        self.late_trades += 1
        deferred = self.late.add(DeferredTrade(source, trade, now_ns), series.floor, self._clock.now_ms())
        if deferred:
            self._rewind(trade.symbol, deferred, now_ns)
        return bool(deferred)

    def _rewind(self, symbol: str, deferred: Sequence[DeferredTrade], now_ns: int) -> None:
        """Continue from the time of the trades; later bars came from a wrong clock.

        Those bars are set aside if a venue confirms the present time; otherwise they remain.
        """
        at = start(min(each.trade.time or 0 for each in deferred), INTERVALS["1s"])
        self.late_trades -= len(deferred)
        if self._clock.confirmed:
            self.unwritten = [
                each
                for each in self.unwritten
                if each.symbol != symbol or each.bar.time + INTERVALS[each.interval] <= at
            ]
            self._outages.discard_after(symbol, at, bars=True)
        self.series[symbol] = Series()
        self.restore(symbol, at, now_ns)
        self._rewound.append(symbol)
        for each in deferred:
            self.fold(each.source, each.trade, now_ns)

    def _reject_future(self, source: str, trade: Trade) -> None:
        """Log, once per instrument, that trades from the future are not recorded."""
        if trade.symbol not in self._ahead:
            self._ahead.add(trade.symbol)
            extra = {"source": source, "symbol": trade.symbol, "time": trade.time}
            log.warning("trades with a time in the future are not recorded", extra=extra)

    def _await_end(self, symbol: str) -> None:
        if (due_ns := self.series[symbol].due_ns()) is not None:
            self._due.add(symbol, due_ns)

    def _close(self, symbol: str, closed: Iterable[Closed]) -> None:
        for each in closed:
            if each.interval in STORED:
                self.unwritten.append(StoredBar(symbol, each.interval, each.bar))
            self.recent.close(symbol, each)
            for listener in self.closed:
                listener(symbol, each)


def _read_previous(
    reader: HistoryReader, symbol: str, before: int, waiting: Callable[[str], Sequence[Bar]]
) -> Mapping[str, list[Bar]]:
    """Read the bars that ended at `before` (ms) or earlier, of the newest one's day, hour and minute.

    `waiting` returns an interval's bars that are not written yet. Raises OSError if reading fails.
    """
    newest = max((_newest(reader, symbol, name, before, waiting(name)) for name in STORED), default=-1)
    if newest < 0:
        return {name: [] for name in STORED}
    past = {}
    for name, since in _SINCE.items():
        begin, end = start(newest, INTERVALS[since]), before - INTERVALS[name] + 1
        rows = reader.bars(symbol, name, Range(begin, max(end, begin), _MAX_READ, newest=False))
        known = {bar.time: bar for bar in (*waiting(name), *rows) if begin <= bar.time < end}
        past[name] = [known[at] for at in sorted(known)]
    return past


def _newest(reader: HistoryReader, symbol: str, interval: str, before: int, waiting: Sequence[Bar]) -> int:
    end = before - INTERVALS[interval] + 1
    found = reader.bars(symbol, interval, Range(0, max(end, 0), 1, newest=True))
    return max((bar.time for bar in (*found, *waiting) if bar.time < end), default=-1)
