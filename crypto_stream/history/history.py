"""The history of all instruments: recording, gaps, writing and queries."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Mapping, Sequence
from types import MappingProxyType

from crypto_stream.history.deferred_trades import NEAR_MS
from crypto_stream.history.gaps import NOT_CONFIGURED, STOPPED
from crypto_stream.history.outages import Outages
from crypto_stream.history.queries import MAX_TIME_MS, HistoryQuery
from crypto_stream.history.reader import BarReader, Page
from crypto_stream.history.recorder import Past, Recorder
from crypto_stream.history.series import CLOSES_AFTER_MS
from crypto_stream.history.suspension import Suspension, Uptime
from crypto_stream.history.writer import BarWriter
from crypto_stream.market.bars import INTERVALS, STORED, Bar, start
from crypto_stream.market.clock import EngineClock
from crypto_stream.market.events import Trade
from crypto_stream.storage.interface import ALL_SYMBOLS, Batch, HistoryReader, Retention

_TICK_S = 0.25
_ALIVE_EVERY_MS = 1_000
_SECOND_MS = INTERVALS["1s"]
_ENDS_WITHIN_S = 5.0
# When the engine stores that it is alive, all bars that ended this long before have been stored.
_CLOSED_BEFORE_MS = CLOSES_AFTER_MS + 1_000


class History:
    """Record, store and query the bars of each instrument, made from the trades of its serving source.

    Closed bars are stored within a quarter of a second; a killed engine loses no bar that was closed a second
    earlier. Its parts: `recorder` (with `recent`, the sparks and 24 h figures, and `backfill`), `outages`
    (with `gaps`), `writer`, and the pages that `query` reads.
    """

    def __init__(
        self,
        symbols: Iterable[str],
        reader: HistoryReader,
        writer: BarWriter,
        clock: EngineClock,
        suspension: Suspension | None = None,
    ) -> None:
        """Start empty; `restore` continues from what is stored."""
        self.clock = clock
        self.writer = writer
        self.outages = Outages(clock)
        self.gaps = self.outages.gaps
        self.recorder = Recorder(symbols, reader, writer, clock, self.outages)
        self.series = self.recorder.series
        self.recent = self.recorder.recent
        self.last_bars = self.recorder.last_bars
        self.closed = self.recorder.closed
        self.needs_backfill = self.recorder.backfill.needs
        self._bar_reader = BarReader(reader, writer, self.recorder, self.gaps)
        self._reader = reader
        self._suspension = suspension or Suspension(clock.clocks.running_ns)
        self._uptime = Uptime()
        self._alive_ms = 0
        self._replays_from: dict[str, int] = {}

    @property
    def late_trades(self) -> int:
        """The number of trades in this run whose bar was already closed."""
        return self.recorder.late_trades

    @property
    def trouble(self) -> str | None:
        """Which instruments' trades are not recorded; None if there are none."""
        return self.recorder.late.trouble

    def restore(self, covered: Mapping[str, int] = MappingProxyType({})) -> None:
        """Continue where the previous run ended; raise OSError if that cannot be read.

        `covered` says since when (ms) the trades of an instrument are known, and will be passed to `replay`:
        there is no gap since then.
        """
        self._replays_from = dict.fromkeys(covered, 0)
        now_ms, now_ns = self.clock.now_ms(), self._now_ns()
        self.outages.begin(now_ms, now_ns)
        anchor = self._reader.anchor()
        alive_ms = min(self._reader.alive_ms() or 0, now_ms)  # the clock may have been set back
        newest = {name: self._reader.newest(name) for name in STORED}
        self.recorder.restore_all(newest, now_ns)
        open_gaps = self._reader.open_gaps()
        for symbol in {symbol for times in newest.values() for symbol in times} | self.series.keys():
            times = {name: newest[name][symbol] for name in STORED if symbol in newest[name]}
            open_then = [*open_gaps.get(symbol, ()), *open_gaps.get(ALL_SYMBOLS, ())]
            open_then.sort(key=lambda gap: gap.from_)
            if not times and not open_then:
                continue
            by_venue = anchor is not None and symbol not in self.recorder.synthetic
            alive = anchor.venue_ms if anchor is not None and by_venue else alive_ms
            reason = STOPPED if symbol in self.series else NOT_CONFIGURED
            since_ms = _known_to(times, alive, now_ms)
            begins_ms = self.gaps.resume(symbol, open_then, since_ms, reason, covered.get(symbol))
            if symbol in covered:
                self._replays_from[symbol] = start(begins_ms, _SECOND_MS)

    def read_past(self, symbols: Iterable[str]) -> dict[str, Past]:
        """Read what new instruments continue from, if they were recorded before. Blocking, on any thread.

        Raises OSError if it cannot be read.
        """
        newest = [self._reader.newest(name) for name in STORED]
        known = [symbol for symbol in symbols if any(symbol in times for times in newest)]
        return {symbol: self.recorder.read_past(symbol, MAX_TIME_MS) for symbol in known}

    def add(self, symbol: str, past: Past | None = None) -> None:
        """Record one more instrument, or index, from now on; `past` is what `read_past` found."""
        self.recorder.add(symbol, past, self._now_ns())
        self.writer.add(symbol)

    def remove(self, symbol: str) -> None:
        """Record an instrument, or index, no longer: there is a gap until it is added again."""
        self.outages.removed(symbol, self.recorder.remove(symbol, self._now_ns()))

    def add_backfill(self, symbol: str, interval: str, bars: Sequence[Bar]) -> int:
        """Add a venue's bars from before our first trade; return how many are used."""
        older = self.recorder.backfill.choose(symbol, interval, bars)
        self.recorder.prepend(symbol, interval, older)
        return len(older)

    def replay(self, trades: Iterable[tuple[str, Trade]]) -> None:
        """Record earlier trades of the sources that served then, with `restore`, oldest first.

        Those that stored bars or gaps cover are left out.
        """
        for source, trade in trades:
            begin = self._replays_from.get(trade.symbol)
            if begin is None or trade.time is None:
                continue
            if trade.time >= max(begin, self.series[trade.symbol].floor):
                self.record(source, trade, source)

    def record(self, source: str, trade: Trade, serving: str | None) -> bool:
        """Record an accepted trade; only those of the `serving` source are added to bars.

        Returns False if it has no time, or its bar is closed.
        """
        now_ns = self._now_ns()
        if trade.time is not None:
            self.clock.observe_trade(source, trade.time)
        return self.recorder.record(source, trade, serving, now_ns)

    def no_trades(self, symbol: str, for_ns: int, reason: str) -> None:
        """Begin a gap that ends with the next trade: the serving source has sent none for `for_ns`."""
        closed_ms = self.series[symbol].previous.get("1s", -_SECOND_MS) + _SECOND_MS
        self.outages.no_trades(symbol, for_ns // 1_000_000, closed_ms, reason)

    def switched(self, symbol: str, source: str | None, reason: str) -> None:
        """Record the new serving source; without one a gap begins."""
        now_ns = self._now_ns()
        early = self.recorder.pop_early(symbol, source, now_ns)
        times = [deferred.trade.time for deferred in early if deferred.trade.time]
        self.outages.switched(symbol, source, reason, times, now_ns)
        for deferred in early:
            self.recorder.fold(deferred.source, deferred.trade, deferred.received_ns)

    async def query(self, symbol: str, query: HistoryQuery) -> Page:
        """Return a page as of this moment, without bars that close while the disk is read.

        Raises RefusedError if the query is invalid, OSError if the history cannot be read.
        """
        return await self._bar_reader.read(symbol, query, self.clock.now_ms())

    async def run(self) -> None:
        """Close and store what is due until cancelled; write what is pending at the end."""
        self.writer.start()
        try:
            async with asyncio.TaskGroup() as tasks:
                tasks.create_task(self.recent.run())
                while True:
                    await asyncio.sleep(_TICK_S)
                    self.tick()
        finally:
            self.tick()
            self.writer.stop(_ENDS_WITHIN_S)

    def tick(self) -> None:
        """Close the bars that are due, and write everything new."""
        now_ns = self._now_ns()
        if not self._suspension.settling:  # otherwise trades that are not read yet would be late
            self.recorder.close_due(now_ns)
        self.outages.tick(now_ns)
        self.recorder.check_late()
        now_ms = self.clock.now_ms()
        has_changes = self.recorder.unwritten or self.gaps.has_changes or self.outages.set_asides
        if has_changes or abs(now_ms - self._alive_ms) >= _ALIVE_EVERY_MS:
            self._alive_ms = now_ms
            self._write(now_ms)

    def _write(self, now_ms: int) -> None:
        """Pass everything new to the writer."""
        clock, anchor = self.clock, self.clock.anchor()
        set_asides, self.outages.set_asides = self.outages.set_asides, []
        bars, self.recorder.unwritten = self.recorder.unwritten, []
        by = None if clock.disputed else Retention(min(now_ms, anchor.wall_ms), clock.steady)
        self.writer.put(Batch(bars, self.gaps.changed(), now_ms, set_asides, anchor, by))

    def _now_ns(self) -> int:
        """Return how long this process has run; begin gaps if it, or its machine, was suspended."""
        suspended_ms = self._suspension.measure()
        now_ns = self._uptime.count(self.clock.clocks.monotonic_ns())
        if suspended_ms:
            self.outages.suspended(suspended_ms, lambda symbol: self.series[symbol].newest_end)
        return now_ns


def _known_to(newest: Mapping[str, int], alive_ms: int, now_ms: int) -> int:
    """Return up to when the bars of an instrument are stored: `newest` are those of each interval."""
    ends = (at + INTERVALS[name] for name, at in newest.items())
    past = [end for end in ends if end <= max(now_ms, alive_ms) + NEAR_MS]
    return max(*past, alive_ms - _CLOSED_BEFORE_MS, 0)
