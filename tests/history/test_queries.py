"""What is read for a query, and how the result is limited."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from crypto_stream.errors import RefusedError
from crypto_stream.history.queries import DEFAULT_BARS, MAX_BARS, MAX_TIME_MS, HistoryQuery, assemble, plan
from crypto_stream.market.bars import INTERVALS, Bar, folded

NOW = 1_700_000_000_000
HOUR = 3_600_000
NOTHING = HistoryQuery(None, None, None, None, None)


def bar(time: int, closed: bool = True) -> Bar:
    return Bar(time, "1", "1", "1", "1", "1", 1, "binance", closed)


@pytest.mark.parametrize(
    ("question", "name"),
    [
        (NOTHING._replace(interval="2m"), "interval"),
        (NOTHING._replace(interval=""), "interval"),
        (NOTHING._replace(interval="1m", points=5), "points"),
        *((NOTHING._replace(points=number), "points") for number in (0, -1, MAX_BARS + 1)),
        *((NOTHING._replace(limit=number), "limit") for number in (0, -1, MAX_BARS + 1)),
        *((NOTHING._replace(from_ms=number), "from") for number in (-1, 2**63)),
        *((NOTHING._replace(to_ms=number), "to") for number in (-1, 2**63)),
        (NOTHING._replace(from_ms=5, to_ms=5), "from"),
        (NOTHING._replace(from_ms=6, to_ms=5), "from"),
    ],
)
def test_invalid_parameters_are_named(question: HistoryQuery, name: str) -> None:
    """The text begins with the parameter and says what is allowed."""
    with pytest.raises(RefusedError, match=f"^{name} ") as refused:
        plan(question, {}, NOW)

    assert refused.value.code == "bad_parameter"


def test_the_default_is_the_newest_minutes() -> None:
    """The default number of them."""
    made = plan(NOTHING, {}, NOW)

    assert (made.interval, made.limit, made.range.newest) == ("1m", DEFAULT_BARS, True)
    assert (made.range.from_ms, made.range.to_ms) == (0, MAX_TIME_MS)


def test_a_range_contains_the_bars_that_begin_in_it() -> None:
    """Each bar is read completely."""
    made = plan(NOTHING._replace(interval="5m", from_ms=1, to_ms=300_001), {}, NOW)

    assert (made.range.from_ms, made.range.to_ms) == (300_000, 600_000)


@pytest.mark.parametrize(
    ("hours", "points", "interval"),
    [(1, 5000, "1s"), (1, 3000, "5s"), (1, 61, "1m"), (1, 12, "15m"), (24, 1500, "1m"), (24, 5000, "1m"),
     (24 * 30, 5000, "15m"), (24 * 365, 400, "1d"), (24 * 365, 5, "1d")],
)  # fmt: skip
def test_points_choose_the_finest_interval_that_fits_and_reaches(
    hours: int, points: int, interval: str
) -> None:
    """Seconds are kept for 12 hours here, minutes for 30 days, hours for ever."""
    first = {"1s": NOW - 12 * HOUR, "1m": NOW - 30 * 24 * HOUR, "1h": NOW - 1000 * 24 * HOUR}
    question = NOTHING._replace(points=points, from_ms=NOW - hours * HOUR, to_ms=NOW)

    assert plan(question, first, NOW).interval == interval


def test_points_without_a_range_cover_everything() -> None:
    """From the oldest bar on."""
    assert plan(NOTHING._replace(points=100), {"1s": NOW - 90_000}, NOW).interval == "1s"
    assert plan(NOTHING._replace(points=50), {"1s": NOW - 90_000}, NOW).interval == "5s"
    assert plan(NOTHING._replace(points=50), {}, NOW).interval == "1s"


@given(
    st.sampled_from(list(INTERVALS)),
    st.lists(st.integers(0, 5000), unique=True, max_size=80).map(sorted),
    st.integers(1, 20),
    st.booleans(),
    st.booleans(),
)
def test_pages_together_are_everything_once(
    interval: str, places: list[int], limit: int, newest: bool, open_at_the_end: bool
) -> None:
    """Continuing where a page ended returns each bar once, in order."""
    length = INTERVALS[interval]
    made = plan(NOTHING._replace(interval=interval, limit=limit), {}, NOW)
    step = INTERVALS[made.stored]
    rows = [bar(place * step) for place in places]
    live = None
    if rows and open_at_the_end:
        live = bar(list(folded(rows, length))[-1].time, closed=False)
    whole = [one for one in folded(rows, length) if live is None or one.time < live.time]
    whole += [] if live is None else [live]

    seen: list[Bar] = []
    edge = None
    for _ in range(len(whole) + 1):
        question = NOTHING._replace(interval=interval, limit=limit)
        question = question._replace(**({"to_ms": edge} if newest else {"from_ms": edge or 0}))
        if newest and edge == 0:
            break
        asked = plan(question, {}, NOW)
        kept = [row for row in rows if asked.range.from_ms <= row.time < asked.range.to_ms]
        kept = kept[-asked.range.limit :] if newest else kept[: asked.range.limit]
        bars, more = assemble(asked, kept, live)
        assert len(bars) <= limit
        seen = [*bars, *seen] if newest else [*seen, *bars]
        if not more:
            break
        edge = bars[0].time if newest else bars[-1].time + length

    assert seen == whole


def test_the_open_bar_replaces_its_parts() -> None:
    """It already includes the closed parts."""
    made = plan(NOTHING._replace(interval="5m"), {}, NOW)

    bars, more = assemble(made, [bar(0), bar(60_000), bar(300_000)], bar(300_000, closed=False))

    assert ([(one.time, one.closed) for one in bars], more) == ([(0, True), (300_000, False)], False)
