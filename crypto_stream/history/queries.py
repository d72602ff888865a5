"""Queries of the history: which stored bars to read, and how to assemble the result. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import NamedTuple

from crypto_stream.errors import RefusedError
from crypto_stream.market.bars import INTERVALS, STORED, Bar, folded, stored_for
from crypto_stream.storage.interface import Range

MAX_BARS = 5_000
DEFAULT_BARS = 500
# Later than every stored time; fits into an SQLite integer.
MAX_TIME_MS = 2**62


class HistoryQuery(NamedTuple):
    """Bars of `interval`, or of the finest with at most `points`, from `from_ms` (inclusive) to `to_ms`."""

    interval: str | None
    points: int | None
    from_ms: int | None
    to_ms: int | None
    limit: int | None


class Plan(NamedTuple):
    """What to read: `range` rows of the stored series `stored`, to be folded into bars of `interval`."""

    interval: str
    stored: str
    range: Range
    limit: int


def plan(query: HistoryQuery, first_ms: Mapping[str, int], now_ms: int) -> Plan:
    """Choose the interval and what to read; raise RefusedError("bad_parameter") if the query is invalid.

    `first_ms`: stored interval → time of its oldest bar, if it has one.
    """
    _check(query)
    interval = query.interval or _finest(query, first_ms, now_ms)
    limit = min(query.limit or query.points or DEFAULT_BARS, MAX_BARS)
    length, stored = INTERVALS[interval], stored_for(interval)
    begin = -(-(query.from_ms or 0) // length) * length
    end = MAX_TIME_MS if query.to_ms is None else -(-query.to_ms // length) * length
    rows = (limit + 1) * (length // INTERVALS[stored])
    return Plan(interval, stored, Range(begin, end, rows, query.from_ms is None), limit)


def assemble(plan: Plan, rows: Iterable[Bar], live: Bar | None) -> tuple[list[Bar], bool]:
    """Fold the stored bars and apply the limit; return the bars, and whether there are more beyond it.

    `rows` are closed bars of the stored series, oldest first; `live` is the open bar of the interval.
    """
    wanted, length = plan.range, INTERVALS[plan.interval]
    rows = [row for row in rows if wanted.from_ms <= row.time < wanted.to_ms]
    bars = list(folded(rows, length)) if plan.stored != plan.interval else rows
    cut = len(rows) >= wanted.limit
    if cut and wanted.newest and plan.stored != plan.interval:
        bars = bars[1:]  # it may be incomplete
    if live is not None and wanted.from_ms <= live.time < wanted.to_ms:
        bars = [*(bar for bar in bars if bar.time < live.time), live]
    more = cut or len(bars) > plan.limit
    return bars[-plan.limit :] if wanted.newest else bars[: plan.limit], more


def _check(query: HistoryQuery) -> None:
    if query.interval is not None and query.interval not in INTERVALS:
        raise _bad("interval", f"is one of {', '.join(INTERVALS)}")
    if query.interval is not None and query.points is not None:
        raise _bad("points", "and interval cannot be used together")
    for name, number in (("points", query.points), ("limit", query.limit)):
        if number is not None and not 1 <= number <= MAX_BARS:
            raise _bad(name, f"is a whole number from 1 to {MAX_BARS}")
    for name, time in (("from", query.from_ms), ("to", query.to_ms)):
        if time is not None and not 0 <= time <= MAX_TIME_MS:
            raise _bad(name, "is a time in milliseconds since 1970")
    if None not in (query.from_ms, query.to_ms) and query.from_ms >= query.to_ms:  # type: ignore[operator]
        raise _bad("from", "must be before to")


def _finest(query: HistoryQuery, first_ms: Mapping[str, int], now_ms: int) -> str:
    """Return the shortest interval with at most `points` bars in the range and bars at its beginning."""
    if query.points is None:
        return "1m"
    complete = _complete_intervals(first_ms)
    oldest = max(
        (first_ms[name] for name in complete), default=now_ms
    )  # the shortest interval is the most precise
    begin = oldest if query.from_ms is None else max(query.from_ms, oldest)
    end = now_ms + 1 if query.to_ms is None else query.to_ms
    for interval, length in INTERVALS.items():
        stored = stored_for(interval)
        count = -(-end // length) - begin // length
        reaches = stored in complete or first_ms.get(stored, now_ms) <= begin + length
        if count <= query.points and (reaches or stored == STORED[-1]):
            return interval
    return next(reversed(INTERVALS))


def _complete_intervals(first_ms: Mapping[str, int]) -> set[str]:
    """Return the stored intervals without removed bars: no longer interval goes back further."""
    return {
        name
        for name, at in first_ms.items()
        if all(at < first + INTERVALS[longer] for longer, first in first_ms.items())
    }


def _bad(name: str, text: str) -> RefusedError:
    return RefusedError("bad_parameter", f"{name} {text}")
