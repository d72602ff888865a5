"""Pages of the history, as of one moment: stored data merged with what is not written yet."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from functools import partial
from typing import NamedTuple

from crypto_stream.errors import RefusedError
from crypto_stream.history.gaps import Gaps
from crypto_stream.history.queries import MAX_TIME_MS, HistoryQuery, Plan, assemble, plan
from crypto_stream.history.read_limiter import ReadLimiter
from crypto_stream.history.recorder import Recorder
from crypto_stream.history.writer import BarWriter
from crypto_stream.log_throttle import TroubleLog
from crypto_stream.market.bars import INTERVALS, STORED, Bar, Gap
from crypto_stream.storage.interface import CorruptError, HistoryReader

log = logging.getLogger(__name__)


class Page(NamedTuple):
    """Bars and gaps, oldest first, and the times with which to query an older and a newer page."""

    interval: str
    bars: list[Bar]
    gaps: list[Gap]
    older: int | None
    newer: int | None


class Pending(NamedTuple):
    """What is not stored at one moment: closed bars and gaps that are not written yet, and the open bar.

    If a gap occurs twice, the later state counts. Closed bars of the stored series end at `boundary` (ms);
    bars that close later are ignored.
    """

    boundary: int
    bars: Sequence[Bar]
    live: Bar | None
    gaps: Sequence[Gap]


class BarReader:
    """Answers queries; logs once when the history becomes unreadable, and once when it is readable again."""

    def __init__(self, reader: HistoryReader, writer: BarWriter, recorder: Recorder, gaps: Gaps) -> None:
        self._reader = reader
        self._writer = writer
        self._recorder = recorder
        self._gaps = gaps
        self._limiter = ReadLimiter()
        self._trouble = TroubleLog(log, "history cannot be read", "history can be read again")

    async def read(self, symbol: str, query: HistoryQuery, now_ms: int) -> Page:
        """Return a page as of this moment, without bars that close while the disk is read.

        Raises RefusedError if the query is invalid, OSError if the history cannot be read.
        """
        try:
            find_first = partial(_first_times, self._reader, symbol)
            first = await self._limiter(lambda: find_first) if query.points else {}
            planned = plan(query, first, now_ms)
            page = await self._limiter(
                lambda: partial(
                    _read_page, self._reader, symbol, query, planned, self._pending(symbol, planned)
                )
            )
        except OSError as error:
            if isinstance(error, CorruptError):
                self._writer.check_later(str(error))
            self._trouble.fails(str(error))
            raise
        self._trouble.works()
        return page

    def _pending(self, symbol: str, planned: Plan) -> Pending:
        """Collect what is not stored at this moment, for the reading thread."""
        if symbol not in self._recorder.series:
            raise RefusedError("unknown_symbol", f"{symbol} was removed meanwhile.")
        series, stored = self._recorder.series[symbol], planned.stored
        return Pending(
            series.boundary(stored) or MAX_TIME_MS,  # no bar of our own yet: all stored ones are backfilled
            [*self._writer.waiting(symbol, stored), *self._recorder.unwritten_of(symbol, stored)],
            series.live(planned.interval),
            [*self._writer.waiting_gaps(symbol), *self._gaps.unwritten(symbol)],
        )


def _first_times(reader: HistoryReader, symbol: str) -> dict[str, int]:
    """Read the time of the oldest bar of each stored interval that has one."""
    found = {name: reader.first(symbol, name) for name in STORED}
    return {name: at for name, at in found.items() if at is not None}


def _read_page(reader: HistoryReader, symbol: str, query: HistoryQuery, plan: Plan, pending: Pending) -> Page:
    """Read the planned bars and merge the pending ones; raise OSError if the history cannot be read."""
    wanted = plan.range
    rows = reader.bars(symbol, plan.stored, wanted._replace(to_ms=min(wanted.to_ms, pending.boundary)))
    waiting = (bar for bar in pending.bars if wanted.from_ms <= bar.time < wanted.to_ms)
    known = {bar.time: bar for bar in (*waiting, *rows)}
    merged = [known[at] for at in sorted(known)]
    merged = merged[-wanted.limit :] if wanted.newest else merged[: wanted.limit]
    bars, more = assemble(plan, merged, pending.live)
    more = more and bool(bars)
    newer = bars[-1].time + INTERVALS[plan.interval] if more and not wanted.newest else None
    # On the side where the limit applies, gaps are included as far as the bars.
    begin = query.from_ms if query.from_ms is not None else bars[0].time if bars else 0
    end = newer or (MAX_TIME_MS if query.to_ms is None else query.to_ms)
    return Page(
        interval=plan.interval,
        bars=bars,
        gaps=_gaps(reader, symbol, begin, end, pending.gaps),
        older=bars[0].time if more and wanted.newest else None,
        newer=newer,
    )


def _gaps(reader: HistoryReader, symbol: str, begin: int, end: int, waiting: Sequence[Gap]) -> list[Gap]:
    """Read the gaps that overlap a time range, and merge those that are not written yet."""
    found = {gap.from_: gap for gap in reader.gaps(symbol, begin, end)}
    found |= {gap.from_: gap for gap in waiting}
    return [gap for _, gap in sorted(found.items()) if gap.from_ < end and (gap.to is None or gap.to > begin)]
