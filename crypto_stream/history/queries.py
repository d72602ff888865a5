"""What is asked of the history, and how it is cut from what is kept. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import NamedTuple

from crypto_stream.errors import RefusedError
from crypto_stream.market.bars import INTERVALS, STORED, Bar, folded, stored_for
from crypto_stream.storage.interface import Range

MOST_BARS = 5_000
USUAL_BARS = 500
# Later than every time that is kept; SQLite holds it.
FOREVER_MS = 2**62


class Question(NamedTuple):
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


def plan(question: Question, first_ms: Mapping[str, int], now_ms: int) -> Plan:
    """Choose the interval and what to read; RefusedError("bad_parameter") names what cannot be.

    `first_ms`: stored interval → time of its oldest bar, where it has one.
    """
    _check(question)
    interval = question.interval or _finest(question, first_ms, now_ms)
    limit = min(question.limit or question.points or USUAL_BARS, MOST_BARS)
    length, stored = INTERVALS[interval], stored_for(interval)
    begin = -(-(question.from_ms or 0) // length) * length
    end = FOREVER_MS if question.to_ms is None else -(-question.to_ms // length) * length
    rows = (limit + 1) * (length // INTERVALS[stored])
    return Plan(interval, stored, Range(begin, end, rows, question.from_ms is None), limit)


def answer(plan: Plan, rows: Iterable[Bar], live: Bar | None) -> tuple[list[Bar], bool]:
    """Fold and cut; True when there are more bars on the far side of the limit.

    `rows` are closed bars of the stored series, oldest first; `live` is the open bar of the interval asked.
    """
    wanted, length = plan.range, INTERVALS[plan.interval]
    rows = [row for row in rows if wanted.from_ms <= row.time < wanted.to_ms]
    bars = list(folded(rows, length)) if plan.stored != plan.interval else rows
    cut = len(rows) >= wanted.limit
    if cut and wanted.newest and plan.stored != plan.interval:
        bars = bars[1:]  # its first part may have been cut off
    if live is not None and wanted.from_ms <= live.time < wanted.to_ms:
        bars = [*(bar for bar in bars if bar.time < live.time), live]
    more = cut or len(bars) > plan.limit
    return bars[-plan.limit :] if wanted.newest else bars[: plan.limit], more


def _check(question: Question) -> None:
    if question.interval is not None and question.interval not in INTERVALS:
        raise _bad("interval", f"is one of {', '.join(INTERVALS)}")
    if question.interval is not None and question.points is not None:
        raise _bad("points", "and interval cannot be asked together")
    for name, number in (("points", question.points), ("limit", question.limit)):
        if number is not None and not 1 <= number <= MOST_BARS:
            raise _bad(name, f"is a whole number from 1 to {MOST_BARS}")
    for name, time in (("from", question.from_ms), ("to", question.to_ms)):
        if time is not None and not 0 <= time <= FOREVER_MS:
            raise _bad(name, "is a time in milliseconds since 1970")
    if None not in (question.from_ms, question.to_ms) and question.from_ms >= question.to_ms:  # type: ignore[operator]
        raise _bad("from", "must be before to")


def _finest(question: Question, first_ms: Mapping[str, int], now_ms: int) -> str:
    """Name the shortest interval that has at most `points` bars in the range, and bars at its beginning."""
    if question.points is None:
        return "1m"
    kept = _kept_from_the_beginning(first_ms)
    oldest = max((first_ms[name] for name in kept), default=now_ms)  # the shortest tells it best
    begin = oldest if question.from_ms is None else max(question.from_ms, oldest)
    end = now_ms + 1 if question.to_ms is None else question.to_ms
    for interval, length in INTERVALS.items():
        stored = stored_for(interval)
        count = -(-end // length) - begin // length
        reaches = stored in kept or first_ms.get(stored, now_ms) <= begin + length
        if count <= question.points and (reaches or stored == STORED[-1]):
            return interval
    return next(reversed(INTERVALS))


def _kept_from_the_beginning(first_ms: Mapping[str, int]) -> set[str]:
    """Name the stored intervals of which nothing was forgotten: none longer reaches back further."""
    return {
        name
        for name, at in first_ms.items()
        if all(at < first + INTERVALS[longer] for longer, first in first_ms.items())
    }


def _bad(name: str, text: str) -> RefusedError:
    return RefusedError("bad_parameter", f"{name} {text}")
