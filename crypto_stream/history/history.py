"""The history of all instruments: what is built, what is stored, what is asked, joined."""

from __future__ import annotations

import asyncio
import logging
import time
from collections import deque
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import NamedTuple

from crypto_stream.history.day import STEP, Day, Figures
from crypto_stream.history.keeper import Keeper
from crypto_stream.history.queries import FOREVER_MS, Question, answer, plan
from crypto_stream.history.series import Closed, Series
from crypto_stream.market.bars import GIVEN, INTERVALS, STORED, Bar, Gap, folded, start
from crypto_stream.market.events import Trade
from crypto_stream.storage.interface import Batch, HistoryReader, Range, StoredBar

log = logging.getLogger(__name__)

_TICK_S = 0.25
_ALIVE_EVERY_MS = 1_000
_DAY_MS = INTERVALS["1d"]
_HOUR_MS = INTERVALS["1h"]
_MINUTES = 60
# Trades kept while nothing serves the instrument: the first ones of a source that soon will.
_MOST_EARLY = 100
_EARLY_NS = 1_000_000_000
_ENDS_WITHIN_S = 5.0
_STOPPED = "the engine was not running"
_NONE_LIVE = "no source was live"
_START_MS = 2_000  # what the first source may take to be live, and no gap of its own is made


class Page(NamedTuple):
    """Bars and gaps of one question, oldest first; where an older and a newer page begin."""

    interval: str
    bars: list[Bar]
    gaps: list[Gap]
    older: int | None
    newer: int | None


class History:
    """Build the bars of each instrument from the trades of the source that serves it, keep and give them.

    What is closed is stored within a quarter of a second; a killed engine loses no bar that was closed a
    second before. `closed` is called with each bar that closes.
    """

    def __init__(self, symbols: Iterable[str], reader: HistoryReader, keeper: Keeper) -> None:
        """Begin without a past; `restore` brings it."""
        self.series = {symbol: Series() for symbol in symbols}
        self.gaps: dict[str, Gap] = {}
        self.last_prices: dict[str, str] = {}
        self.closed: Callable[[str, Closed], None] = _nobody
        self._days: dict[str, Day] = {symbol: Day() for symbol in self.series}
        self._minutes = {symbol: deque[Bar](maxlen=_MINUTES) for symbol in self.series}
        self._reader = reader
        self._keeper = keeper
        self._early: dict[tuple[str, str], deque[tuple[int, Trade]]] = {}
        self._bars: list[StoredBar] = []
        self._changed_gaps: list[tuple[str, Gap]] = []
        self._restored: dict[str, int] = {}  # symbol → time of the newest bar of another life
        self._began_ms = 0
        self._alive_ms = 0
        self._first_ms: dict[str, int] = {}  # symbol → its first trade of all
        self._has_past: set[tuple[str, str]] = set()

    @property
    def trouble(self) -> str | None:
        """Say why nothing is stored; None while it is."""
        return self._keeper.trouble

    def restore(self) -> None:
        """Go on where another life ended; OSError when what it left cannot be read."""
        now_ms, now_ns = _wall_ms(), time.monotonic_ns()
        self._began_ms = now_ms
        alive_ms = self._reader.alive_ms()
        newest = {name: self._reader.newest(name) for name in STORED}
        for symbol, series in self.series.items():
            at = max((times[symbol] for times in newest.values() if symbol in times), default=None)
            if at is None:
                continue
            past = self._past(symbol, at)
            series.restore(past, now_ms, now_ns)
            self.last_prices[symbol] = next(past[name][-1].close for name in STORED if past[name])
            self._restored[symbol] = at
            self._look_back(symbol)
            if alive_ms is not None:
                self._end_old_gaps(symbol, alive_ms)
                self._open_gap(symbol, Gap(alive_ms, None, _STOPPED))

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
        if serving == source:
            self._fold(source, trade, time.monotonic_ns())
        elif serving is None:
            came = deque[tuple[int, Trade]](maxlen=_MOST_EARLY)
            self._early.setdefault((trade.symbol, source), came).append((time.monotonic_ns(), trade))

    def switched(self, symbol: str, source: str | None, reason: str) -> None:
        """Notice who serves the instrument now; nobody: a gap begins."""
        now_ns = time.monotonic_ns()
        now_ms = self._now_ms(symbol, now_ns)
        early = {of: self._early.pop((symbol, of)) for of in self._who_came_early(symbol)}
        if source is None:
            self._open_gap(symbol, Gap(now_ms, None, reason))
            return
        if gap := self.gaps.pop(symbol, None):
            self._changed_gaps += [(symbol, part) for part in self._ended(gap, now_ms)]
        for came_ns, trade in early.get(source, ()):
            if now_ns - came_ns < _EARLY_NS:
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
        self._keeper.start()
        try:
            await self._recall_days()
            while True:
                await asyncio.sleep(_TICK_S)
                self.tick(time.monotonic_ns())
        finally:
            self.tick(time.monotonic_ns())
            self._keeper.stop(_ENDS_WITHIN_S)

    def tick(self, now_ns: int) -> None:
        """Close what is due although no trade came, and have all that is new written."""
        for symbol, series in self.series.items():
            self._keep(symbol, series.tick(now_ns))
        now_ms = _wall_ms()
        if self._bars or self._changed_gaps or now_ms - self._alive_ms >= _ALIVE_EVERY_MS:
            self._alive_ms = now_ms
            self._keeper.put(Batch(self._bars, self._changed_gaps, now_ms))
            self._bars, self._changed_gaps = [], []

    async def ask(self, symbol: str, question: Question) -> Page:
        """Answer with the state of this moment; what closes while the disk is read is left out.

        Raises RefusedError for a question that cannot be, OSError when the history cannot be read.
        """
        first = await asyncio.to_thread(self._first, symbol) if question.points else {}
        planned = plan(question, first, _wall_ms())
        series, wanted = self.series[symbol], planned.range
        boundary, live = series.boundary(planned.stored), series.live(planned.interval)
        unwritten = [
            bar
            for bar in (*self._keeper.waiting(symbol, planned.stored), *self._unsent(symbol, planned.stored))
            if wanted.from_ms <= bar.time < wanted.to_ms
        ]
        open_gap = self.gaps.get(symbol)
        rows = await asyncio.to_thread(self._reader.bars, symbol, planned.stored, wanted)
        known = {bar.time: bar for bar in (*unwritten, *(row for row in rows if row.time < boundary))}
        merged = [known[at] for at in sorted(known)]
        merged = merged[-wanted.limit :] if wanted.newest else merged[: wanted.limit]
        bars, more = answer(planned, merged, live)
        gaps = await asyncio.to_thread(self._gaps, symbol, bars, question, open_gap)
        return Page(
            planned.interval,
            bars,
            gaps,
            older=bars[0].time if bars and (more and wanted.newest) else None,
            newer=bars[-1].time + INTERVALS[planned.interval]
            if bars and more and not wanted.newest
            else None,
        )

    async def _recall_days(self) -> None:
        """Read the last day of each instrument: so much that nobody should wait for it."""
        for symbol, at in self._restored.items():
            try:
                bars = await asyncio.to_thread(self._read, symbol, "1m", at - _DAY_MS)
            except OSError as error:
                log.warning("24 h figures begin anew", extra={"symbol": symbol, "reason": str(error)})
                continue
            self._minutes[symbol] = deque([*bars, *self._minutes[symbol]], _MINUTES)
            past = [bar for bar in bars if bar.time < start(at, INTERVALS[STEP])]
            self._days[symbol].precede(folded(past, INTERVALS[STEP]))

    def _gaps(self, symbol: str, bars: list[Bar], question: Question, open_gap: Gap | None) -> list[Gap]:
        begin = question.from_ms if question.from_ms is not None else bars[0].time if bars else 0
        end = FOREVER_MS if question.to_ms is None else question.to_ms
        found = {gap.from_: gap for gap in self._reader.gaps(symbol, begin, end)}
        if open_gap is not None and open_gap.from_ < end:
            found[open_gap.from_] = open_gap
        return [found[at] for at in sorted(found)]

    def _unsent(self, symbol: str, interval: str) -> list[Bar]:
        return [bar for of, kind, bar in self._bars if of == symbol and kind == interval]

    def _fold(self, source: str, trade: Trade, now_ns: int) -> None:
        if trade.time is not None:
            self._first_ms.setdefault(trade.symbol, trade.time)
        self._keep(trade.symbol, self.series[trade.symbol].trade(trade, source, now_ns))

    def _keep(self, symbol: str, closed: Iterable[Closed]) -> None:
        for each in closed:
            if each.interval in STORED:
                self._bars.append(StoredBar(symbol, each.interval, each.bar))
            if each.interval == "1m":
                self._minutes[symbol].append(each.bar)
            if each.interval == STEP:
                self._days[symbol].close(each.bar)
            self.closed(symbol, each)

    def _open_gap(self, symbol: str, gap: Gap) -> None:
        if symbol not in self.gaps:
            self.gaps[symbol] = gap
            self._changed_gaps.append((symbol, gap))

    def _ended(self, gap: Gap, now_ms: int) -> list[Gap]:
        """End a gap; where the engine stood still and then nothing was live there are two."""
        began = self._began_ms
        if gap.reason == _STOPPED and gap.from_ < began and now_ms - began > _START_MS:
            return [Gap(gap.from_, began, _STOPPED), Gap(began, now_ms, _NONE_LIVE)]
        return [Gap(gap.from_, max(gap.from_ + 1, now_ms), gap.reason)]

    def _end_old_gaps(self, symbol: str, at_ms: int) -> None:
        for gap in self._reader.gaps(symbol, at_ms, FOREVER_MS):
            if gap.to is None and gap.from_ < at_ms:
                self._changed_gaps.append((symbol, Gap(gap.from_, at_ms, gap.reason)))

    def _who_came_early(self, symbol: str) -> list[str]:
        return [source for of, source in self._early if of == symbol]

    def _now_ms(self, symbol: str, now_ns: int) -> int:
        now = self.series[symbol].clock(now_ns)
        return _wall_ms() if now is None else now

    def _first(self, symbol: str) -> dict[str, int]:
        found = {name: self._reader.first(symbol, name) for name in STORED}
        return {name: at for name, at in found.items() if at is not None}

    def _past(self, symbol: str, at: int) -> Mapping[str, list[Bar]]:
        """Read the stored bars of the day, the hour and the minute of a series' newest bar."""
        begins = {"1h": start(at, INTERVALS["1d"]), "1m": start(at, INTERVALS["1h"])}
        begins["1s"] = start(at, INTERVALS["1m"])
        return {name: self._read(symbol, name, begin) for name, begin in begins.items()}

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
