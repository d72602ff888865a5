"""The history of all instruments: what is built, what is stored, what is asked, joined."""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from collections.abc import Callable, Iterable, Sequence
from functools import partial

from crypto_stream.history.below import NEAR_MS, Below, Kept
from crypto_stream.history.day import STEP, Day, Figures
from crypto_stream.history.gaps import CLOCK_SET, NOT_CONFIGURED, STOOD_STILL, STOPPED, Gaps
from crypto_stream.history.keeper import Keeper
from crypto_stream.history.pages import Page, Present, first_times, read_page
from crypto_stream.history.past import read_past
from crypto_stream.history.queries import FOREVER_MS, Plan, Question, plan
from crypto_stream.history.reading import Reading
from crypto_stream.history.series import CLOSES_AFTER_MS, Closed, Series
from crypto_stream.history.standstill import Lived, Standstill
from crypto_stream.market.bars import GIVEN, INTERVALS, STORED, Bar, folded, start
from crypto_stream.market.clock import EngineClock
from crypto_stream.market.events import Trade
from crypto_stream.market.instruments import is_synthetic
from crypto_stream.storage.interface import (
    Aside,
    Batch,
    CorruptError,
    HistoryReader,
    Range,
    Retention,
    StoredBar,
)

log = logging.getLogger(__name__)

_TICK_S = 0.25
_ALIVE_EVERY_MS = 1_000
_DAY_MS = INTERVALS["1d"]
_HOUR_MS = INTERVALS["1h"]
_SECOND_MS = INTERVALS["1s"]
_MINUTES = 60
# Trades kept while nothing serves the instrument: the first ones of a source that soon will.
_MOST_EARLY = 1_000
_EARLY_NS = 1_000_000_000
_FRESH_MS = 2_000  # what a venue tells first can be hours old
# A source that is no live venue and whose clock is further from ours than this is a recording.
_CLOCKS_DIFFER_MS = 600_000
# So long a source that serves may take to tell its time, before a gap is ended by our clock.
_TELLS_WITHIN_NS = 5_000_000_000
# A trade further ahead of every clock than this has a wrong time: it would close all bars until then.
_MOST_AHEAD_MS = _DAY_MS
_ENDS_WITHIN_S = 5.0
_START_NS = 2_000_000_000  # what the first source may take to be live before that is why there are no prices
# An engine that says that it lives has stored all bars that ended so long before, on the venue's clock.
_CLOSED_BEFORE_MS = CLOSES_AFTER_MS + 1_000


class History:
    """Build the bars of each instrument from the trades of the source that serves it, keep and give them.

    What is closed is stored within a quarter of a second; a killed engine loses no bar that was closed a
    second before. `closed` is called with each bar that closes; `keeper` tells how the storing goes.
    """

    def __init__(
        self,
        symbols: Iterable[str],
        reader: HistoryReader,
        keeper: Keeper,
        clock: EngineClock,
        standstill: Standstill | None = None,
    ) -> None:
        """Begin without a past; `restore` brings it."""
        self.clock = clock
        self.series = {symbol: Series() for symbol in symbols}
        self.gaps = Gaps()
        self.last_bars: dict[str, Bar] = {}  # of a former life
        self.closed: Callable[[str, Closed], None] = _nobody
        self._days: dict[str, Day] = {symbol: Day() for symbol in self.series}
        self._minutes = {symbol: deque[Bar](maxlen=_MINUTES) for symbol in self.series}
        self._reader = reader
        self.keeper = keeper
        self._standstill = standstill or Standstill(self.clock.clocks.running_ns)
        self._lived = Lived()
        self._until_trade: set[str] = set()  # symbols whose open gap ends with their next trade
        self._synthetic = {symbol for symbol in self.series if is_synthetic(symbol)}
        self._serving: dict[str, str | None] = {}
        self._ending: dict[str, int] = {}  # symbol → when a source began to serve that told no time yet
        self._below: dict[str, Below] = {}
        self._left_out: set[str] = set()  # symbols whose trades have been left out for long
        self._rewound: list[str] = []
        self._asides: list[Aside] = []
        self._recalling = asyncio.Event()
        self._early: dict[tuple[str, str], deque[tuple[int, Trade]]] = {}
        self._bars: list[StoredBar] = []
        # Symbol → time of another life's newest bar, and of the first step of the day that is this life's.
        self._restored: dict[str, tuple[int, int]] = {}
        self._began_ms = self._began_ns = 0
        self._starting = False
        self._alive_ms = 0
        self._unreadable = False
        self._ahead: set[str] = set()
        self._reading = Reading()
        self._first_ms: dict[str, int] = {}  # symbol → its first trade of all
        self._has_past: set[tuple[str, str]] = set()

    @property
    def late_trades(self) -> int:
        """Count the trades of this life whose bar had closed: they change nothing."""
        return sum(series.late for series in self.series.values())

    @property
    def trouble(self) -> str | None:
        """Say whose trades make no bars although they come; None: nobody's."""
        if not self._left_out:
            return None
        names = ", ".join(sorted(self._left_out)[:3])
        return f"trades of {len(self._left_out)} instruments are older than their closed bars ({names})"

    def restore(self) -> None:
        """Go on where another life ended; OSError when what it left cannot be read."""
        now_ms, now_ns = self.clock.now_ms(), self._now_ns()
        self._began_ms, self._began_ns, self._starting = now_ms, now_ns, True
        left = self._reader.anchor()
        alive_ms = min(self._reader.alive_ms() or 0, now_ms)  # a clock may have been set back
        newest = {name: self._reader.newest(name) for name in STORED}
        for symbol in {symbol for times in newest.values() for symbol in times}:
            times = {name: newest[name][symbol] for name in STORED if symbol in newest[name]}
            if symbol in self.series:
                self._restore_series(symbol, FOREVER_MS, now_ns)
            by_venue = left is not None and symbol not in self._synthetic
            alive = left.venue_ms if left is not None and by_venue else alive_ms
            ends = (at + INTERVALS[name] for name, at in times.items())
            past = [end for end in ends if end <= max(now_ms, alive) + NEAR_MS]
            open_then = self._reader.gaps(symbol, FOREVER_MS - 1, FOREVER_MS)
            reason = STOPPED if symbol in self.series else NOT_CONFIGURED
            self.gaps.resume(symbol, open_then, max(*past, alive - _CLOSED_BEFORE_MS, 0), reason)

    def wants_past(self, symbol: str, interval: str) -> bool:
        """Say whether nothing is known from before this life's first moment."""
        return (symbol, interval) not in self._has_past

    def seed(self, symbol: str, interval: str, bars: Sequence[Bar]) -> int:
        """Take a venue's own bars from before the first moment; return how many are kept."""
        length, first_ms = INTERVALS[interval], self._first_ms.get(symbol, self.clock.now_ms())
        older = [bar for bar in bars if bar.time % length == 0 and bar.time + length <= first_ms]
        self._bars += [StoredBar(symbol, interval, bar) for bar in older]
        self._has_past.add((symbol, interval))
        if interval == "1m":
            self._minutes[symbol] = deque([*older, *self._minutes[symbol]], _MINUTES)
        return len(older)

    def take(self, source: str, trade: Trade, serving: str | None) -> bool:
        """Take an accepted trade; only those of the `serving` source make bars.

        False: it could be of use to no bar, as it has no time, or its bar has closed.
        """
        now_ns = self._now_ns()
        if trade.time is not None:
            self.clock.heard(source, trade.time)
        if serving == source:
            return self._fold(source, trade, now_ns)
        if serving is None:
            came = self._early.setdefault((trade.symbol, source), deque(maxlen=_MOST_EARLY))
            while came and now_ns - came[0][0] > _EARLY_NS:
                came.popleft()
            came.append((now_ns, trade))
        return trade.time is not None

    def starved(self, symbol: str, for_ns: int, reason: str) -> None:
        """Begin a gap that ends with the next trade: the serving source gave none for so long."""
        if symbol not in self.gaps.open:
            since_ms = self._time_at(self._serving.get(symbol)) - for_ns // 1_000_000
            closed_ms = self.series[symbol].previous.get("1s", -_SECOND_MS) + _SECOND_MS
            self.gaps.begin(symbol, max(since_ms, closed_ms), reason)
        self._ending.pop(symbol, None)
        self._until_trade.add(symbol)

    def switched(self, symbol: str, source: str | None, reason: str) -> None:
        """Notice who serves the instrument now; nobody: a gap begins."""
        now_ns = self._now_ns()
        self._until_trade.discard(symbol)
        self._ending.pop(symbol, None)
        before, self._serving[symbol] = self._serving.get(symbol), source
        early = {of: self._early.pop((symbol, of)) for of in self._who_came_early(symbol)}
        if source is None:
            self.gaps.begin(symbol, self._time_at(before), reason)
            return
        came = [(came_ns, trade) for came_ns, trade in early.get(source, ()) if now_ns - came_ns < _EARLY_NS]
        if self.clock.tells(source):
            now_ms = self._time_at(source)
            fresh = (trade.time for _, trade in came if trade.time and trade.time > now_ms - _FRESH_MS)
            self._end_gap(symbol, min(now_ms, *fresh, now_ms))
        else:
            self._ending[symbol] = now_ns
        for came_ns, trade in came:
            self._fold(source, trade, came_ns)

    def spark(self, symbol: str) -> list[tuple[int, str]]:
        """Give the last price of each minute of the last hour: (time, price), oldest first."""
        minutes = self._minutes[symbol]
        live = self.series[symbol].live("1m")
        points = [(bar.time, bar.close) for bar in (*minutes, *([] if live is None else [live]))]
        since = points[-1][0] - _HOUR_MS if points else 0
        return [point for point in points if point[0] > since]

    def figures(self, symbol: str) -> Figures | None:
        """Give the 24 h figures of an instrument's own bars."""
        return self._days[symbol].figures(self.series[symbol].live(STEP))

    async def run(self) -> None:
        """Close what is due and hand it to the disk, for ever; what is left is written at the end."""
        self.keeper.start()
        try:
            async with asyncio.TaskGroup() as tasks:
                tasks.create_task(self._recall_days())
                while True:
                    await asyncio.sleep(_TICK_S)
                    self.tick()
        finally:
            self.tick()
            self.keeper.stop(_ENDS_WITHIN_S)

    def tick(self) -> None:
        """Close what is due although no trade came, and have all that is new written."""
        now_ns = self._now_ns()
        if not self._standstill.settling:  # else trades that wait to be read would come too late
            for symbol, series in self.series.items():
                self._keep(symbol, series.tick(now_ns))
        self._end_gaps(now_ns)
        if self._starting and now_ns - self._began_ns > _START_NS:
            self._starting = False
            self.gaps.started(self._began_ms)
        self._say_what_is_left_out()
        now_ms = self.clock.now_ms()
        if self._bars or self.gaps.news or self._asides or abs(now_ms - self._alive_ms) >= _ALIVE_EVERY_MS:
            self._alive_ms = now_ms
            self._hand_over()

    def _hand_over(self) -> None:
        """Have all that is new written."""
        clock = self.clock
        asides, self._asides = self._asides, []
        bars, self._bars = self._bars, []
        now_ms = clock.now_ms()
        anchor = clock.anchor()
        steady_ms = min(now_ms, anchor.wall_ms)
        self.keeper.put(
            Batch(bars, self.gaps.changed(), now_ms, asides, anchor, Retention(steady_ms, clock.steady))
        )

    async def ask(self, symbol: str, question: Question) -> Page:
        """Answer with the state of this moment; what closes while the disk is read is left out.

        Raises RefusedError for a question that cannot be, OSError when the history cannot be read.
        """
        try:
            page = await self._page(symbol, question)
        except OSError as error:
            if isinstance(error, CorruptError):
                self.keeper.doubt(str(error))
            self._note_readable(str(error))
            raise
        self._note_readable(None)
        return page

    def _note_readable(self, trouble: str | None) -> None:
        """Say once that the history cannot be read, and once that it can be again."""
        if trouble and not self._unreadable:
            log.warning("history cannot be read", extra={"reason": trouble})
        elif self._unreadable and not trouble:
            log.info("history can be read again")
        self._unreadable = trouble is not None

    async def _recall_days(self) -> None:
        """Read the last day of each instrument: so much that nobody should wait for it."""
        while True:
            while self._restored:
                await self._recall_day(*self._restored.popitem())
            self._recalling.clear()
            await self._recalling.wait()

    async def _recall_day(self, symbol: str, known: tuple[int, int]) -> None:
        at, ours = known
        wanted = Range(at - _DAY_MS, at + 1, _DAY_MS // INTERVALS["1m"] + 1, newest=True)
        try:
            bars, steps = await asyncio.to_thread(self._minutes_of, symbol, wanted, ours)
        except OSError as error:
            log.warning("24 h figures begin anew", extra={"symbol": symbol, "reason": str(error)})
            return
        self._minutes[symbol] = deque([*bars, *self._minutes[symbol]], _MINUTES)
        self._days[symbol].precede(steps)

    def _minutes_of(self, symbol: str, wanted: Range, ours: int) -> tuple[list[Bar], list[Bar]]:
        """Read minutes, and fold those before `ours` into steps of a day."""
        bars = self._reader.bars(symbol, "1m", wanted)
        return bars, list(folded((bar for bar in bars if bar.time < ours), INTERVALS[STEP]))

    async def _page(self, symbol: str, question: Question) -> Page:
        find_first = partial(first_times, self._reader, symbol)
        first = await self._reading(lambda: find_first) if question.points else {}
        planned = plan(question, first, self.clock.now_ms())
        return await self._reading(lambda: partial(read_page, *self._of_now(symbol, question, planned)))

    def _of_now(
        self, symbol: str, question: Question, planned: Plan
    ) -> tuple[HistoryReader, str, Question, Plan, Present]:
        """Gather what the reading thread joins with the disk: the state of this moment."""
        series, stored = self.series[symbol], planned.stored
        present = Present(
            series.boundary(stored) or FOREVER_MS,  # nothing is our own yet: all that is there is of venues
            [*self.keeper.waiting(symbol, stored), *self._unsent(symbol, stored)],
            series.live(planned.interval),
            [*self.keeper.waiting_gaps(symbol), *self.gaps.unwritten(symbol)],
        )
        return self._reader, symbol, question, planned, present

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
        if self._below:
            self._below.pop(symbol, None)
        self._first_ms.setdefault(symbol, time)
        if symbol in self._until_trade or (symbol in self._ending and time > self._gap_from(symbol)):
            self._until_trade.discard(symbol)
            self._ending.pop(symbol, None)
            self._end_gap(symbol, time)
        elif symbol in self._synthetic and series.begun and time > known_ms + NEAR_MS:
            self.gaps.begin(symbol, known_ms, CLOCK_SET)
            self.gaps.end(symbol, time)
        self._keep(symbol, series.trade(trade, source, now_ns))
        return True

    def _take_below(self, source: str, trade: Trade, now_ns: int) -> bool:
        """Take a trade that is older than what is closed: it is late, unless that lies in the future."""
        series = self.series[trade.symbol]
        series.late += 1
        below = self._below.setdefault(trade.symbol, Below())
        if below.take(Kept(source, trade, now_ns), series.floor, self.clock.now_ms()):
            self._rewind(trade.symbol, self._below.pop(trade.symbol).clear(), now_ns)
            return True
        return False

    def _rewind(self, symbol: str, kept: Sequence[Kept], now_ns: int) -> None:
        """Go on from where the trades are; bars beyond that were made by a clock that was wrong.

        They are put aside if a venue confirms the present, else they stay where they are: nobody can tell.
        """
        at = start(min(one.trade.time or 0 for one in kept), INTERVALS["1s"])
        late = self.series[symbol].late - len(kept)
        self._hand_over()
        if self.clock.confirmed:
            self._asides.append(Aside(symbol, at, bars=True))
            self.gaps.forget(symbol, at)
        self.series[symbol] = Series()
        self.series[symbol].late = late
        self._minutes[symbol] = deque(maxlen=_MINUTES)
        self._days[symbol] = Day()
        self._restore_series(symbol, at, now_ns)
        self._recalling.set()
        self._rewound.append(symbol)
        for one in kept:
            self._fold(one.source, one.trade, now_ns)

    def _say_what_is_left_out(self) -> None:
        if self._rewound:
            extra = {"instruments": len(self._rewound), "symbols": ",".join(self._rewound[:10])}
            log.warning("bars lay in the future, they go on at the present", extra=extra)
            self._rewound.clear()
        lasting = {symbol for symbol, below in self._below.items() if below.lasts}
        if more := sorted(lasting - self._left_out):
            extra = {"instruments": len(more), "symbols": ",".join(more[:10])}
            log.warning("trades make no bars, they are older than closed ones", extra=extra)
        self._left_out = lasting

    def _now_ns(self) -> int:
        """Tell how long this process has lived, and notice where it, or its machine, stood still."""
        stood_ms = self._standstill.look()
        now_ns = self._lived.count(self.clock.clocks.monotonic_ns())
        if stood_ms:
            for symbol, source in self._serving.items():
                if source is not None and symbol not in self.gaps.open and not self._is_recording(source):
                    self.gaps.begin(symbol, self._time_at(source) - stood_ms, STOOD_STILL)
                    self._until_trade.add(symbol)
        return now_ns

    def _is_recording(self, source: str) -> bool:
        now_ms = self.clock.now_ms()
        far = abs((self.clock.venue_ms(source) or now_ms) - now_ms) > _CLOCKS_DIFFER_MS
        return far and source not in self.clock.timekeepers

    def _time_at(self, source: str | None) -> int:
        """Tell the time for a gap: the source's, like that of its bars, where it is known."""
        venue_ms = None if source is None else self.clock.venue_ms(source)
        return self.clock.now_ms() if venue_ms is None else venue_ms

    def _gap_from(self, symbol: str) -> int:
        gap = self.gaps.open.get(symbol)
        return 0 if gap is None else gap.from_

    def _end_gaps(self, now_ns: int) -> None:
        """End the gaps of instruments that are served again, as soon as their source tells its time."""
        for symbol, since_ns in list(self._ending.items()):
            source = self._serving[symbol] or ""
            if self.clock.tells(source) or now_ns - since_ns > _TELLS_WITHIN_NS:
                del self._ending[symbol]
                self._end_gap(symbol, self._time_at(source) - (now_ns - since_ns) // 1_000_000)

    def _end_gap(self, symbol: str, at_ms: int) -> None:
        """End the open gap; what lies beyond its end was told by a clock that was ahead."""
        if self.gaps.end(symbol, at_ms) is not None and self.clock.now_ms() > at_ms + NEAR_MS:
            self._hand_over()
            self._asides.append(Aside(symbol, at_ms, bars=False))

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
            if each.interval == "1m":
                self._minutes[symbol].append(each.bar)
            if each.interval == STEP:
                self._days[symbol].close(each.bar)
            self.closed(symbol, each)

    def _who_came_early(self, symbol: str) -> list[str]:
        return [source for of, source in self._early if of == symbol]

    def _restore_series(self, symbol: str, before: int, now_ns: int) -> None:
        """Go on after the newest stored bar of those that had ended `before`."""
        past = read_past(self._reader, symbol, before, lambda name: self.keeper.waiting(symbol, name))
        self.series[symbol].restore(past, now_ns)
        newest = next((past[name][-1] for name in STORED if past[name]), None)
        if newest is not None:
            self.last_bars[symbol] = newest
            self._restored[symbol] = (newest.time, self.series[symbol].boundary(STEP))
        self._look_back(symbol)

    def _look_back(self, symbol: str) -> None:
        """See where the stored bars begin, and which of them a venue gave."""
        for interval in STORED:
            for oldest in self._reader.bars(symbol, interval, Range(0, FOREVER_MS, 1, newest=False)):
                if oldest.source.endswith(GIVEN):
                    self._has_past.add((symbol, interval))
                else:
                    first = self._first_ms.get(symbol, oldest.time)
                    self._first_ms[symbol] = min(first, oldest.time)


def _nobody(_symbol: str, _closed: Closed) -> None:
    """Stand in until somebody listens."""
