"""Answers from the history: what is on the disk joined with what is not yet. Blocking: for a thread."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from crypto_stream.history.queries import FOREVER_MS, Plan, Question, answer
from crypto_stream.market.bars import INTERVALS, STORED, Bar, Gap
from crypto_stream.storage.interface import HistoryReader


class Page(NamedTuple):
    """Bars and gaps of one question, oldest first; where an older and a newer page begin."""

    interval: str
    bars: list[Bar]
    gaps: list[Gap]
    older: int | None
    newer: int | None


class Present(NamedTuple):
    """What is not on the disk, at one moment: closed bars and gaps that wait, the open bar.

    A gap may be there twice: the later state counts. Closed bars of the stored series end at `boundary` (ms);
    what closes later is not of this moment.
    """

    boundary: int
    waiting: Sequence[Bar]
    live: Bar | None
    gaps: Sequence[Gap]


def first_times(reader: HistoryReader, symbol: str) -> dict[str, int]:
    """Read the time of the oldest bar of each stored interval that has one."""
    found = {name: reader.first(symbol, name) for name in STORED}
    return {name: at for name, at in found.items() if at is not None}


def read_page(reader: HistoryReader, symbol: str, question: Question, plan: Plan, present: Present) -> Page:
    """Read what is planned and join it with the present; OSError when the history cannot be read."""
    wanted = plan.range
    rows = reader.bars(symbol, plan.stored, wanted._replace(to_ms=min(wanted.to_ms, present.boundary)))
    waiting = (bar for bar in present.waiting if wanted.from_ms <= bar.time < wanted.to_ms)
    known = {bar.time: bar for bar in (*waiting, *rows)}
    merged = [known[at] for at in sorted(known)]
    merged = merged[-wanted.limit :] if wanted.newest else merged[: wanted.limit]
    bars, more = answer(plan, merged, present.live)
    more = more and bool(bars)
    newer = bars[-1].time + INTERVALS[plan.interval] if more and not wanted.newest else None
    return Page(
        plan.interval,
        bars,
        _gaps(reader, symbol, question, bars, newer, present.gaps),
        older=bars[0].time if more and wanted.newest else None,
        newer=newer,
    )


def _gaps(
    reader: HistoryReader,
    symbol: str,
    question: Question,
    bars: Sequence[Bar],
    newer: int | None,
    waiting: Sequence[Gap],
) -> list[Gap]:
    """Read the gaps of a page: as far as its bars reach on the side where the limit cut them."""
    begin = question.from_ms if question.from_ms is not None else bars[0].time if bars else 0
    end = newer or (FOREVER_MS if question.to_ms is None else question.to_ms)
    found = {gap.from_: gap for gap in reader.gaps(symbol, begin, end)}
    found |= {gap.from_: gap for gap in waiting}
    return [gap for _, gap in sorted(found.items()) if gap.from_ < end and (gap.to is None or gap.to > begin)]
