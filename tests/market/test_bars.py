"""Folding bars into longer ones: exact, and the same however it is done."""

from __future__ import annotations

from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from crypto_stream.market.bars import INTERVALS, STORED, Bar, Fold, folded, start, stored_for
from crypto_stream.market.events import Trade
from tests.history.trading import expected_bars, in_order, numbers


@pytest.mark.parametrize(
    ("interval", "stored"),
    [("1s", "1s"), ("5s", "1s"), ("15s", "1s"), ("1m", "1m"), ("5m", "1m"), ("15m", "1m"), ("1h", "1h"),
     ("4h", "1h"), ("1d", "1h")],
)  # fmt: skip
def test_each_interval_is_folded_from_the_longest_stored_one_that_divides_it(
    interval: str, stored: str
) -> None:
    """A day is 24 rows, not 86,400."""
    assert stored_for(interval) == stored


def test_every_interval_divides_a_day() -> None:
    """So a bar never reaches into two days, and bars of all intervals nest."""
    lengths = list(INTERVALS.values())
    assert all(INTERVALS["1d"] % length == 0 for length in lengths)
    assert lengths == sorted(lengths)
    assert set(STORED) <= set(INTERVALS)


def test_a_bar_keeps_the_venues_text() -> None:
    """Prices are compared as numbers and kept as they were written."""
    fold = Fold(0)
    for price in ("10.0", "9.50", "010", "100.00"):
        fold.trade(price, None, "binance")

    assert fold.bar(closed=True) == Bar(0, "10.0", "100.00", "9.50", "100.00", None, 4, "binance")


def test_volumes_are_summed_exactly() -> None:
    """No digit is lost between the largest and the smallest size a text can hold."""
    fold = Fold(0)
    for size in ("9" * 40, None, "0." + "0" * 37 + "1"):
        fold.trade("1", size, "okx")

    assert fold.bar(closed=True).volume == "9" * 40 + "." + "0" * 37 + "1"


def test_a_bar_names_each_of_its_sources_once() -> None:
    """After a failover a bar has trades of two venues."""
    fold = Fold(0)
    for source in ("binance", "okx", "binance"):
        fold.trade("1", "1", source)
    longer = Fold(0)
    longer.add(fold.bar(closed=True))
    longer.add(Bar(1000, "1", "1", "1", "1", None, None, "okx+kraken"))

    assert longer.bar(closed=False) == Bar(0, "1", "1", "1", "1", "3", None, "binance+okx+kraken", False)


@given(in_order(), st.sampled_from(list(INTERVALS)), st.sampled_from(list(INTERVALS)))
def test_folding_in_two_steps_is_folding_in_one(trades: list[Trade], one: str, other: str) -> None:
    """Whatever lies between: the result is that of the trades themselves."""
    shorter, longer = sorted((INTERVALS[one], INTERVALS[other]))
    seconds: dict[int, Fold] = {}
    for each in trades:
        assert each.time is not None
        time = start(each.time, 1000)
        seconds.setdefault(time, Fold(time)).trade(each.price, each.size, "binance")
    bars = [fold.bar(closed=True) for fold in seconds.values()]

    twice = list(folded(folded(bars, shorter), longer))

    assert twice == list(folded(bars, longer))
    assert [numbers(bar) for bar in twice] == expected_bars(trades, longer)


def test_a_longer_bar_with_an_open_part_is_open() -> None:
    """What may still change is never called closed."""
    bars = [Bar(time, "1", "1", "1", "1", None, 1, "x", time != 3000) for time in (0, 1000, 2000, 3000)]

    assert [bar.closed for bar in folded(bars, 2000)] == [True, False]


@given(st.integers(0, 2**50), st.sampled_from(list(INTERVALS.values())))
def test_a_bar_holds_the_times_from_its_start_on(time: int, length: int) -> None:
    """The start is at or before the time, less than one length away, on a whole length."""
    begin = start(time, length)
    assert begin <= time < begin + length
    assert begin % length == 0


def test_an_empty_fold_is_empty() -> None:
    """Until the first trade."""
    fold = Fold(0)
    assert fold.empty
    fold.trade("1", None, "x")
    assert not fold.empty
    assert Decimal(fold.high) == 1
