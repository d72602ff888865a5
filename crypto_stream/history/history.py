"""The history of all instruments: what is built, what is stored, what is asked, joined."""

from __future__ import annotations

import asyncio
import logging
import time
from collections import deque
from collections.abc import Callable, Iterable, Mapping, Sequence

from crypto_stream.history.day import STEP, Day, Figures
from crypto_stream.history.gaps import NOT_CONFIGURED, STOOD_STILL, STOPPED, Gaps
from crypto_stream.history.keeper import Keeper
from crypto_stream.history.pages import Page, Present, first_times, read_page
from crypto_stream.history.queries import FOREVER_MS, Question, plan
from crypto_stream.history.series import CLOSES_AFTER_MS, Closed, Series
from crypto_stream.history.standstill import Standstill
from crypto_stream.market.bars import GIVEN, INTERVALS, STORED, Bar, folded, start
from crypto_stream.market.events import Trade
from crypto_stream.storage.interface import Batch, CorruptError, HistoryReader, Range, StoredBar

log = logging.getLogger(__name__)

_TICK_S = 0.25
_ALIVE_EVERY_MS = 1_000
_DAY_MS = INTERVALS["1d"]
_HOUR_MS = INTERVALS["1h"]
_MINUTES = 60
# Trades kept while nothing serves the instrument: the first ones of a source that soon will.
_MOST_EARLY = 1_000
_EARLY_NS = 1_000_000_000
_FRESH_MS = 2_000  # what a venue tells first can be hours old
# A venue's clock further from ours than this is that of an old trade, or of a recording.
_CLOCKS_DIFFER_MS = 600_000
# A trade further ahead of every clock than this has a wrong time: it would close all bars until then.
_MOST_AHEAD_MS = _DAY_MS
# A page is read and folded within milliseconds; many at once would make the event loop wait for its turn.
_READ_AT_ONCE = 2
_ENDS_WITHIN_S = 5.0
_START_MS = 2_000  # what the first source may take to be live before that is why there are no prices
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
        standstill: Standstill | None = None,
    ) -> None:
        """Begin without a past; `restore` brings it."""
        self.series = {symbol: Series() for symbol in symbols}
        self.gaps = Gaps()
        self.last_bars: dict[str, Bar] = {}  # of a former life
        self.closed: Callable[[str, Closed], None] = _nobody
        self._days: dict[str, Day] = {symbol: Day() for symbol in self.series}
        self._minutes = {symbol: deque[Bar](maxlen=_MINUTES) for symbol in self.series}
        self._reader = reader
        self.keeper = keeper
        self._standstill = standstill or Standstill()
        self._slept: set[str] = set()  # symbols without a trade since a standstill
        self._early: dict[tuple[str, str], deque[tuple[int, Trade]]] = {}
        self._bars: list[StoredBar] = []
        # Symbol → time of another life's newest bar, and of the first step of the day that is this life's.
        self._restored: dict[str, tuple[int, int]] = {}
        self._began_ms = 0
        self._starting = False
        self._alive_ms = 0
        self._unreadable = False
        self._ahead: set[str] = set()
        self._reading = asyncio.Semaphore(_READ_AT_ONCE)
        self._first_ms: dict[str, int] = {}  # symbol → its first trade of all
        self._has_past: set[tuple[str, str]] = set()

    @property
    def late_trades(self) -> int:
        """Count the trades of this life whose bar had closed: they change nothing."""
        return sum(series.late for series in self.series.values())

    def restore(self) -> None:
        """Go on where another life ended; OSError when what it left cannot be read."""
        now_ms, now_ns = _wall_ms(), time.monotonic_ns()
        self._began_ms, self._starting = now_ms, True
        alive_ms = min(self._reader.alive_ms() or 0, now_ms)  # a clock may have been set back
        newest = {name: self._reader.newest(name) for name in STORED}
        for symbol in {symbol for times in newest.values() for symbol in times}:
            times = {name: newest[name][symbol] for name in STORED if symbol in newest[name]}
            if symbol in self.series:
                self._restore_series(symbol, max(times.values()), now_ms, now_ns)
            ends = (at + INTERVALS[name] for name, at in times.items())
            open_then = self._reader.gaps(symbol, FOREVER_MS - 1, FOREVER_MS)
            reason = STOPPED if symbol in self.series else NOT_CONFIGURED
            self.gaps.resume(symbol, open_then, max(*ends, alive_ms - _CLOSED_BEFORE_MS), reason)

    def wants_past(self, symbol: str, interval: str) -> bool:
        """Say whether nothing is known from before this life's first moment."""
        return (symbol, interval) not in self._has_past

    def seed(self, symbol: str, interval: str, bars: Sequence[Bar]) -> int:
        """Take a venue's own bars from before the first moment; return how many are kept."""
        length, first_ms = INTERVALS[interval], self._first_ms.get(symbol, _wall_ms())
        older = [bar for bar in bars if bar.time % length == 0 and bar.time + length <= first_ms]
        self._bars += [StoredBar(symbol, interval, bar) for bar in older]
        self._has_past.add((symbol, interval))
        if interval == "1m":
            self._minutes[symbol] = deque([*older, *self._minutes[symbol]], _MINUTES)
        return len(older)

    def take(self, source: str, trade: Trade, serving: str | None) -> None:
        """Take an accepted trade; only those of the `serving` source make bars."""
        now_ns = time.monotonic_ns()
        self._notice_standstill(now_ns)
        if serving == source:
            self._fold(source, trade, now_ns)
        elif serving is None:
            came = self._early.setdefault((trade.symbol, source), deque(maxlen=_MOST_EARLY))
            while came and now_ns - came[0][0] > _EARLY_NS:
                came.popleft()
            came.append((now_ns, trade))

    def switched(self, symbol: str, source: str | None, reason: str) -> None:
        """Notice who serves the instrument now; nobody: a gap begins."""
        now_ns = time.monotonic_ns()
        self._notice_standstill(now_ns)
        self._slept.discard(symbol)
        now_ms = self._now_ms(symbol, now_ns)
        early = {of: self._early.pop((symbol, of)) for of in self._who_came_early(symbol)}
        if source is None:
            self.gaps.begin(symbol, now_ms, reason)
            return
        came = [(came_ns, trade) for came_ns, trade in early.get(source, ()) if now_ns - came_ns < _EARLY_NS]
        fresh = (trade.time for _, trade in came if trade.time and trade.time > now_ms - _FRESH_MS)
        self.gaps.end(symbol, min(now_ms, *fresh, now_ms))
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
                    self.tick(time.monotonic_ns())
        finally:
            self.tick(time.monotonic_ns())
            self.keeper.stop(_ENDS_WITHIN_S)

    def tick(self, now_ns: int) -> None:
        """Close what is due although no trade came, and have all that is new written."""
        self._notice_standstill(now_ns)
        if not self._standstill.settling:  # else trades that wait to be read would come too late
            for symbol, series in self.series.items():
                self._keep(symbol, series.tick(now_ns))
        now_ms = _wall_ms()
        if self._starting and now_ms - self._began_ms > _START_MS:
            self._starting = False
            self.gaps.started(self._began_ms)
        changed_gaps = self.gaps.changed()
        if self._bars or changed_gaps or now_ms - self._alive_ms >= _ALIVE_EVERY_MS:
            self._alive_ms = now_ms
            self.keeper.put(Batch(self._bars, changed_gaps, now_ms))
            self._bars = []

    async def ask(self, symbol: str, question: Question) -> Page:
        """Answer with the state of this moment; what closes while the disk is read is left out.

        Raises RefusedError for a question that cannot be, OSError when the history cannot be read.
        """
        async with self._reading:
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
        for symbol, (at, ours) in self._restored.items():
            wanted = Range(at - _DAY_MS, at + 1, _DAY_MS // INTERVALS["1m"] + 1, newest=True)
            try:
                bars, steps = await asyncio.to_thread(self._minutes_of, symbol, wanted, ours)
            except OSError as error:
                log.warning("24 h figures begin anew", extra={"symbol": symbol, "reason": str(error)})
                continue
            self._minutes[symbol] = deque([*bars, *self._minutes[symbol]], _MINUTES)
            self._days[symbol].precede(steps)

    def _minutes_of(self, symbol: str, wanted: Range, ours: int) -> tuple[list[Bar], list[Bar]]:
        """Read minutes, and fold those before `ours` into steps of a day."""
        bars = self._reader.bars(symbol, "1m", wanted)
        return bars, list(folded((bar for bar in bars if bar.time < ours), INTERVALS[STEP]))

    async def _page(self, symbol: str, question: Question) -> Page:
        first = await asyncio.to_thread(first_times, self._reader, symbol) if question.points else {}
        planned = plan(question, first, _wall_ms())
        series, stored = self.series[symbol], planned.stored
        present = Present(
            series.boundary(stored) or FOREVER_MS,  # nothing is our own yet: all that is there is of venues
            [*self.keeper.waiting(symbol, stored), *self._unsent(symbol, stored)],
            series.live(planned.interval),
            [*self.keeper.waiting_gaps(symbol), *self.gaps.unwritten(symbol)],
        )
        return await asyncio.to_thread(read_page, self._reader, symbol, question, planned, present)

    def _unsent(self, symbol: str, interval: str) -> list[Bar]:
        return [bar for of, kind, bar in self._bars if of == symbol and kind == interval]

    def _fold(self, source: str, trade: Trade, now_ns: int) -> None:
        series = self.series[trade.symbol]
        if trade.time is not None:
            if trade.time > max(_wall_ms(), series.clock(now_ns) or 0) + _MOST_AHEAD_MS:
                self._leave_out(source, trade)
                return
            self._first_ms.setdefault(trade.symbol, trade.time)
            if trade.symbol in self._slept:
                self._slept.discard(trade.symbol)
                self.gaps.end(trade.symbol, trade.time)
        self._keep(trade.symbol, series.trade(trade, source, now_ns))

    def _notice_standstill(self, now_ns: int) -> None:
        """Begin a gap of every instrument where this process stood still for long, or its machine slept."""
        stood_ms = self._standstill.look()
        if not stood_ms:
            return
        now_ms = _wall_ms()
        for symbol, series in self.series.items():
            known_ms = series.clock(now_ns)
            present = known_ms is not None and abs(known_ms - now_ms) <= _CLOCKS_DIFFER_MS + stood_ms
            if present and symbol not in self.gaps.open:
                self.gaps.begin(symbol, now_ms - stood_ms, STOOD_STILL)
                self._slept.add(symbol)

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

    def _now_ms(self, symbol: str, now_ns: int) -> int:
        """Tell the time for a gap: the venue's, like that of its bars, where it can be the present one."""
        now, wall_ms = self.series[symbol].clock(now_ns), _wall_ms()
        return wall_ms if now is None or abs(now - wall_ms) > _CLOCKS_DIFFER_MS else now

    def _past(self, symbol: str, at: int) -> Mapping[str, list[Bar]]:
        """Read the stored bars of the day, the hour and the minute of a series' newest bar."""
        begins = {"1h": start(at, INTERVALS["1d"]), "1m": start(at, INTERVALS["1h"])}
        begins["1s"] = start(at, INTERVALS["1m"])
        return {name: self._read(symbol, name, begin) for name, begin in begins.items()}

    def _restore_series(self, symbol: str, at: int, now_ms: int, now_ns: int) -> None:
        """Go on after the newest stored bar, which began `at`."""
        past = self._past(symbol, at)
        self.series[symbol].restore(past, now_ms, now_ns)
        self.last_bars[symbol] = next(past[name][-1] for name in STORED if past[name])
        self._restored[symbol] = (at, self.series[symbol].boundary(STEP))
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

    def _read(self, symbol: str, interval: str, from_ms: int) -> list[Bar]:
        return self._reader.bars(symbol, interval, Range(from_ms, FOREVER_MS, 100_000, newest=False))


def _nobody(_symbol: str, _closed: Closed) -> None:
    """Stand in until somebody listens."""


def _wall_ms() -> int:
    return time.time_ns() // 1_000_000
