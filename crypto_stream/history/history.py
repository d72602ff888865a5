"""The history of all instruments: what is built, what is stored, what is asked, joined."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Iterable, Sequence

from crypto_stream.history.absences import Absences
from crypto_stream.history.answers import Answers
from crypto_stream.history.below import NEAR_MS, Kept, LeftOut
from crypto_stream.history.early import Early
from crypto_stream.history.gaps import NOT_CONFIGURED, STOPPED
from crypto_stream.history.past import read_past
from crypto_stream.history.queries import FOREVER_MS, Plan
from crypto_stream.history.reader import Present
from crypto_stream.history.recent import Recent
from crypto_stream.history.rolling_24h import STEP, Figures
from crypto_stream.history.series import CLOSES_AFTER_MS, Closed, Series
from crypto_stream.history.suspension import Lived, Suspension
from crypto_stream.history.writer import WriterThread
from crypto_stream.market.bars import CANDLES_SUFFIX, INTERVALS, STORED, Bar, start
from crypto_stream.market.clock import EngineClock
from crypto_stream.market.events import Trade
from crypto_stream.market.instruments import is_synthetic
from crypto_stream.storage.interface import Batch, HistoryReader, Range, Retention, StoredBar

log = logging.getLogger(__name__)

_TICK_S = 0.25
_ALIVE_EVERY_MS = 1_000
_SECOND_MS = INTERVALS["1s"]
# A trade further ahead of every clock than this has a wrong time: it would close all bars until then.
_MOST_AHEAD_MS = INTERVALS["1d"]
_ENDS_WITHIN_S = 5.0
_START_NS = 2_000_000_000  # what the first source may take to be live before that is why there are no prices
# An engine that says that it lives has stored all bars that ended so long before, on the venue's clock.
_CLOSED_BEFORE_MS = CLOSES_AFTER_MS + 1_000


class History:
    """Build the bars of each instrument from the trades of the source that serves it, keep and give them.

    What is closed is stored within a quarter of a second; a killed engine loses no bar that was closed a
    second before. The listeners in `closed` are called with each bar that closes; `writer` tells how the
    storing goes.
    """

    def __init__(
        self,
        symbols: Iterable[str],
        reader: HistoryReader,
        writer: WriterThread,
        clock: EngineClock,
        standstill: Suspension | None = None,
    ) -> None:
        """Begin without a past; `restore` brings it."""
        self.clock = clock
        self.series = {symbol: Series() for symbol in symbols}
        self.absences = Absences(clock)
        self.gaps = self.absences.gaps
        self.last_bars: dict[str, Bar] = {}  # of a former life
        self.closed: list[Callable[[str, Closed], None]] = []
        self._reader = reader
        self._recent = Recent(self.series, reader)
        self.writer = writer
        self._suspension = standstill or Suspension(self.clock.clocks.running_ns)
        self._lived = Lived()
        self._synthetic = {symbol for symbol in self.series if is_synthetic(symbol)}
        self._left_out = LeftOut()
        self._rewound: list[str] = []
        self._early = Early()
        self._bars: list[StoredBar] = []
        self._began_ms = self._began_ns = 0
        self._starting = False
        self._alive_ms = 0
        self._ahead: set[str] = set()
        self._first_ms: dict[str, int] = {}  # symbol → its first trade of all
        self._has_past: set[tuple[str, str]] = set()
        self.ask = Answers(reader, writer, clock, self._present).ask

    @property
    def late_trades(self) -> int:
        """Count the trades of this life whose bar had closed: they change nothing."""
        return sum(series.late for series in self.series.values())

    @property
    def trouble(self) -> str | None:
        """Say whose trades make no bars although they come; None: nobody's."""
        return self._left_out.trouble

    def restore(self) -> None:
        """Go on where another life ended; OSError when what it left cannot be read."""
        now_ms, now_ns = self.clock.now_ms(), self._now_ns()
        self._began_ms, self._began_ns, self._starting = now_ms, now_ns, True
        left = self._reader.anchor()
        alive_ms = min(self._reader.alive_ms() or 0, now_ms)  # a clock may have been set back
        newest = {name: self._reader.newest(name) for name in STORED}
        for symbol in {symbol for times in newest.values() for symbol in times} | self.series.keys():
            times = {name: newest[name][symbol] for name in STORED if symbol in newest[name]}
            open_then = self._reader.gaps(symbol, FOREVER_MS - 1, FOREVER_MS)
            if not times and not open_then:
                continue
            if times and symbol in self.series:
                self._restore_series(symbol, FOREVER_MS, now_ns)
            by_venue = left is not None and symbol not in self._synthetic
            alive = left.venue_ms if left is not None and by_venue else alive_ms
            ends = (at + INTERVALS[name] for name, at in times.items())
            past = [end for end in ends if end <= max(now_ms, alive) + NEAR_MS]
            reason = STOPPED if symbol in self.series else NOT_CONFIGURED
            self.gaps.resume(symbol, open_then, max(*past, alive - _CLOSED_BEFORE_MS, 0), reason)

    def wants_past(self, symbol: str, interval: str) -> bool:
        """Say whether nothing is known from before this life's first moment."""
        return (symbol, interval) not in self._has_past

    def seed(self, symbol: str, interval: str, bars: Sequence[Bar]) -> int:
        """Take a venue's own bars from before the first moment; return how many are kept.

        Before the first trade the venues' time tells which are finished: our clock may be ahead.
        """
        length, now_ms = INTERVALS[interval], min(self.clock.now_ms(), self.clock.venues_ms())
        first_ms = min(self._first_ms.get(symbol, now_ms), now_ms)
        older = [bar for bar in bars if bar.time % length == 0 and bar.time + length <= first_ms]
        self._bars += [StoredBar(symbol, interval, bar) for bar in older]
        self._has_past.add((symbol, interval))
        if interval == "1m":
            self._recent.precede(symbol, older)
        return len(older)

    def take(self, source: str, trade: Trade, serving: str | None) -> bool:
        """Take an accepted trade; only those of the `serving` source make bars.

        False: it could be of use to no bar, as it has no time, or its bar has closed.
        """
        now_ns = self._now_ns()
        if trade.time is not None:
            self.clock.observe_trade(source, trade.time)
        if serving == source:
            return self._fold(source, trade, now_ns)
        if serving is None:
            self._early.keep(source, trade, now_ns)
        return trade.time is not None

    def starved(self, symbol: str, for_ns: int, reason: str) -> None:
        """Begin a gap that ends with the next trade: the serving source gave none for so long."""
        closed_ms = self.series[symbol].previous.get("1s", -_SECOND_MS) + _SECOND_MS
        self.absences.starved(symbol, for_ns // 1_000_000, closed_ms, reason)

    def switched(self, symbol: str, source: str | None, reason: str) -> None:
        """Notice who serves the instrument now; nobody: a gap begins."""
        now_ns = self._now_ns()
        came = self._early.take(symbol, source, now_ns)
        times = [trade.time for _, trade in came if trade.time]
        self.absences.switched(symbol, source, reason, times, now_ns)
        for came_ns, trade in came:
            self._fold(source or "", trade, came_ns)

    def spark(self, symbol: str) -> list[tuple[int, str]]:
        """Give the last price of each minute of the last hour: (time, price), oldest first."""
        return self._recent.spark(symbol, self.series[symbol].live("1m"))

    def figures(self, symbol: str) -> Figures | None:
        """Give the 24 h figures of an instrument's own bars."""
        return self._recent.figures(symbol, self.series[symbol].live(STEP))

    async def run(self) -> None:
        """Close what is due and hand it to the disk, for ever; what is left is written at the end."""
        self.writer.start()
        try:
            async with asyncio.TaskGroup() as tasks:
                tasks.create_task(self._recent.run())
                while True:
                    await asyncio.sleep(_TICK_S)
                    self.tick()
        finally:
            self.tick()
            self.writer.stop(_ENDS_WITHIN_S)

    def tick(self) -> None:
        """Close what is due although no trade came, and have all that is new written."""
        now_ns = self._now_ns()
        if not self._suspension.settling:  # else trades that wait to be read would come too late
            for symbol, series in self.series.items():
                self._keep(symbol, series.tick(now_ns))
        self.absences.tick(now_ns)
        if self._starting and now_ns - self._began_ns > _START_NS:
            self._starting = False
            self.gaps.started(self._began_ms)
        self._left_out.say()
        if self._rewound:
            extra = {"instruments": len(self._rewound), "symbols": ",".join(self._rewound[:10])}
            log.warning("bars lay in the future, they go on at the present", extra=extra)
            self._rewound.clear()
        now_ms = self.clock.now_ms()
        if (
            self._bars
            or self.gaps.news
            or self.absences.beyond
            or abs(now_ms - self._alive_ms) >= _ALIVE_EVERY_MS
        ):
            self._alive_ms = now_ms
            self._hand_over()

    def _hand_over(self) -> None:
        """Have all that is new written."""
        clock = self.clock
        asides, self.absences.beyond = self.absences.beyond, []
        bars, self._bars = self._bars, []
        now_ms = clock.now_ms()
        anchor = clock.anchor()
        by = None if clock.disputed else Retention(min(now_ms, anchor.wall_ms), clock.steady)
        self.writer.put(Batch(bars, self.gaps.changed(), now_ms, asides, anchor, by))

    def _present(self, symbol: str, planned: Plan) -> Present:
        """Gather what a reading thread joins with the disk: the state of this moment."""
        series, stored = self.series[symbol], planned.stored
        return Present(
            series.boundary(stored) or FOREVER_MS,  # nothing is our own yet: all that is there is of venues
            [*self.writer.waiting(symbol, stored), *self._unsent(symbol, stored)],
            series.live(planned.interval),
            [*self.writer.waiting_gaps(symbol), *self.gaps.unwritten(symbol)],
        )

    def _unsent(self, symbol: str, interval: str) -> list[Bar]:
        return [bar for of, kind, bar in self._bars if of == symbol and kind == interval]

    def _fold(self, source: str, trade: Trade, now_ns: int) -> bool:
        """Let a trade of the serving source into its bar; False where there is none for it."""
        symbol, time = trade.symbol, trade.time
        series = self.series[symbol]
        if time is None:
            return False
        if time < series.floor:
            return self._take_below(source, trade, now_ns)
        known_ms = series.clock(now_ns) or 0
        if time > max(self.clock.now_ms(), known_ms) + _MOST_AHEAD_MS:
            self._leave_out(source, trade)
            return False
        self._left_out.in_time(symbol)
        self._first_ms.setdefault(symbol, time)
        self.absences.traded(symbol, time)
        if symbol in self._synthetic and series.begun and time > known_ms + NEAR_MS:
            self.absences.leapt(symbol, known_ms, time)
        self._keep(symbol, series.trade(trade, source, now_ns))
        return True

    def _take_below(self, source: str, trade: Trade, now_ns: int) -> bool:
        """Take a trade that is older than what is closed: it is late, unless that lies in the future."""
        series = self.series[trade.symbol]
        series.late += 1
        kept = self._left_out.take(Kept(source, trade, now_ns), series.floor, self.clock.now_ms())
        if kept:
            self._rewind(trade.symbol, kept, now_ns)
        return bool(kept)

    def _rewind(self, symbol: str, kept: Sequence[Kept], now_ns: int) -> None:
        """Go on from where the trades are; bars beyond that were made by a clock that was wrong.

        They are put aside if a venue confirms the present, else they stay where they are: nobody can tell.
        """
        at = start(min(one.trade.time or 0 for one in kept), INTERVALS["1s"])
        late = self.series[symbol].late - len(kept)
        if self.clock.confirmed:
            length = INTERVALS
            self._bars = [
                one for one in self._bars if one.symbol != symbol or one.bar.time + length[one.interval] <= at
            ]
            self.absences.forget(symbol, at, bars=True)
        self.series[symbol] = Series()
        self.series[symbol].late = late
        self._restore_series(symbol, at, now_ns)
        self._rewound.append(symbol)
        for one in kept:
            self._fold(one.source, one.trade, now_ns)

    def _now_ns(self) -> int:
        """Tell how long this process has lived, and notice where it, or its machine, stood still."""
        stood_ms = self._suspension.look()
        now_ns = self._lived.count(self.clock.clocks.monotonic_ns())
        if stood_ms:
            self.absences.stood_still(stood_ms, lambda symbol: self.series[symbol].told_to)
        return now_ns

    def _leave_out(self, source: str, trade: Trade) -> None:
        """Take no trade from the future: it would close every bar until then."""
        if trade.symbol not in self._ahead:
            self._ahead.add(trade.symbol)
            extra = {"source": source, "symbol": trade.symbol, "time": trade.time}
            log.warning("trades with a time in the future are left out of the bars", extra=extra)

    def _keep(self, symbol: str, closed: Iterable[Closed]) -> None:
        for each in closed:
            if each.interval in STORED:
                self._bars.append(StoredBar(symbol, each.interval, each.bar))
            self._recent.close(symbol, each)
            for listener in self.closed:
                listener(symbol, each)

    def _restore_series(self, symbol: str, before: int, now_ns: int) -> None:
        """Go on after the newest stored bar of those that had ended `before`."""
        past = read_past(self._reader, symbol, before, lambda name: self.writer.waiting(symbol, name))
        self.series[symbol].restore(past, now_ns)
        newest = next((past[name][-1] for name in STORED if past[name]), None)
        if newest is not None:
            self.last_bars[symbol] = newest
        began = before if newest is None else newest.time
        self._recent.restore(symbol, began, self.series[symbol].boundary(STEP))
        self._look_back(symbol)

    def _look_back(self, symbol: str) -> None:
        """See where the stored bars begin, and which of them a venue gave."""
        for interval in STORED:
            for oldest in self._reader.bars(symbol, interval, Range(0, FOREVER_MS, 1, newest=False)):
                if oldest.source.endswith(CANDLES_SUFFIX):
                    self._has_past.add((symbol, interval))
                else:
                    first = self._first_ms.get(symbol, oldest.time)
                    self._first_ms[symbol] = min(first, oldest.time)
