"""One instrument's bars: closed once, by the venue's time, and the same after a restart."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from crypto_stream.history.series import CLOSES_AFTER_MS, Closed, Series
from crypto_stream.market.bars import INTERVALS, STORED, Bar, start
from crypto_stream.market.events import Trade
from tests.history.trading import SECOND, expected_bars, in_order, numbers, trade
from tests.instruments import named

FOREVER = 10**18


def closed_by(series: Series, trades: list[Trade]) -> list[Closed]:
    """Add all the trades, and let enough time pass to close everything."""
    closed = [each for one in trades for each in series.trade(one, "binance", 0)]
    return closed + series.tick(FOREVER)


def of(interval: str, closed: list[Closed]) -> list[Bar]:
    return [bar for name, bar in closed if name == interval]


@given(in_order())
def test_bars_of_every_interval_are_those_of_the_trades(trades: list[Trade]) -> None:
    """Nothing is missing or duplicated, whatever the pauses."""
    closed = closed_by(Series(), trades)

    for interval, length in INTERVALS.items():
        bars = of(interval, closed)
        assert [numbers(bar) for bar in bars] == expected_bars(trades, length), interval
        assert all(bar.closed for bar in bars)


@given(in_order(), st.data())
def test_the_open_bar_and_the_closed_ones_are_all_the_trades_at_any_moment(
    trades: list[Trade], data: st.DataObject
) -> None:
    """A chart with the closed bars and the open one is complete."""
    series, closed = Series(), []
    until = data.draw(st.integers(1, len(trades)))
    for one in trades[:until]:
        closed += series.trade(one, "binance", 0)

    for interval, length in INTERVALS.items():
        live = series.live(interval)
        bars = [*of(interval, closed), *([] if live is None else [live])]
        assert [numbers(bar) for bar in bars] == expected_bars(trades[:until], length), interval
        assert live is not None
        assert not live.closed
        assert series.boundary(interval) == live.time


@given(in_order(), st.data())
def test_after_a_restart_the_bars_are_the_same(trades: list[Trade], data: st.DataObject) -> None:
    """Bars closed before and after it are those of one uninterrupted run.

    The open second is not stored: a killed engine loses it.
    """
    until = data.draw(st.integers(0, len(trades)))
    first, before = Series(), []
    for one in trades[:until]:
        before += first.trade(one, "binance", 0)
    second = first.live("1s")
    lost = start(second.time, 1000) if second else None
    rest = [one for one in trades[until:] if lost is None or start(one.time or 0, 1000) != lost]
    again = Series()
    again.restore(stored(before), 0)
    after = closed_by(again, rest)

    kept = [one for one in trades if lost is None or start(one.time or 0, 1000) != lost]
    for interval in STORED:
        bars = {bar.time: bar for bar in (*of(interval, after), *of(interval, before))}
        assert [numbers(bars[at]) for at in sorted(bars)] == expected_bars(kept, INTERVALS[interval]), (
            interval
        )


def stored(closed: list[Closed]) -> dict[str, list[Bar]]:
    """Return the stored bars as a start loads them: of the newest bar's day, hour and minute."""
    kept = {name: of(name, closed) for name in STORED}
    at = max((bar.time for bars in kept.values() for bar in bars), default=0)
    begins = {
        "1h": start(at, INTERVALS["1d"]),
        "1m": start(at, INTERVALS["1h"]),
        "1s": start(at, INTERVALS["1m"]),
    }
    return {name: [bar for bar in bars if bar.time >= begins[name]] for name, bars in kept.items()}


def test_a_bar_closes_a_second_after_its_end_without_a_trade() -> None:
    """The venue's clock is assumed to run on from its newest trade."""
    series = Series()
    series.trade(trade(10_400), "binance", 5 * SECOND)
    end_ns = 5 * SECOND + (600 + CLOSES_AFTER_MS) * 1_000_000

    assert series.tick(end_ns - 1_000_000) == []
    assert [name for name, _ in series.tick(end_ns)] == ["1s"]
    assert series.live("1s") is None
    assert series.live("1m") is not None


@given(in_order(), st.integers(0, 10**12))
def test_a_series_says_when_it_closes_its_next_bar(trades: list[Trade], now_ns: int) -> None:
    """Neither sooner nor later; never once all are closed."""
    series = Series()
    assert series.due_ns() is None
    for one in trades:
        series.trade(one, "binance", now_ns)
    while (due_ns := series.due_ns()) is not None:
        assert series.tick(due_ns - 1) == []
        assert series.tick(due_ns) != []
    assert [series.live(interval) for interval in INTERVALS if interval in STORED] == [None] * len(STORED)


def test_a_bar_closes_at_the_first_trade_of_a_later_one() -> None:
    """Without waiting for the clock."""
    series = Series()
    series.trade(trade(10_999, "5"), "binance", 0)

    assert series.trade(trade(11_000, "6"), "binance", 0) == [
        Closed("1s", Bar(10_000, "5", "5", "5", "5", None, 1, "binance"))
    ]


@pytest.mark.parametrize("late", [9_999, 10_000, 10_999])
def test_a_late_trade_changes_nothing(late: int) -> None:
    """A closed bar never changes."""
    series = Series()
    series.trade(trade(10_500, "5"), "binance", 0)
    series.trade(trade(11_500, "6"), "binance", 0)
    before = {interval: series.live(interval) for interval in INTERVALS}

    assert series.trade(trade(late, "999"), "binance", 0) == []
    assert {interval: series.live(interval) for interval in INTERVALS} == before


def test_a_trade_without_a_time_is_not_recorded() -> None:
    """There is no bar it could belong to."""
    series = Series()
    assert series.trade(Trade(named("btcusdt"), "trades", 1, None, "5", None), "binance", 0) == []
    assert series.live("1s") is None


def test_trades_within_a_second_may_come_out_of_order() -> None:
    """Their bar is still open."""
    series = Series()
    for time, price in ((10_900, "5"), (10_100, "6")):
        series.trade(trade(time, price), "binance", 0)

    live = series.live("1s")
    assert live is not None
    assert (live.close, live.trades) == ("6", 2)


def test_what_was_closed_before_a_restart_stays_closed() -> None:
    """A trade for such a bar is late."""
    series = Series()
    series.restore({"1h": [], "1m": [], "1s": [Bar(10_000, "5", "5", "5", "5", None, 1, "binance")]}, 0)

    assert series.trade(trade(10_500, "6"), "binance", 0) == []
    assert series.live("1s") is None


def test_an_open_minute_of_the_previous_run_closes_by_the_time_of_this_run() -> None:
    """Even if no trade ever arrives; the venue's time is at least that late."""
    series = Series()
    series.restore({"1h": [], "1m": [], "1s": [Bar(10_000, "5", "5", "5", "5", None, 1, "binance")]}, 0)

    assert series.tick(4 * SECOND) == []
    assert [name for name, _ in series.tick(49 * SECOND)] == ["5s", "15s"]
    assert [name for name, _ in series.tick(50 * SECOND)] == ["1m"]
