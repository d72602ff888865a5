"""Trades for tests, and their bars by the simplest computation."""

from __future__ import annotations

from collections.abc import Iterable
from decimal import Decimal

from hypothesis import strategies as st

from crypto_stream.market.bars import Bar
from crypto_stream.market.events import Trade
from tests.instruments import named

SECOND = 1_000_000_000  # ns
PRICES = st.decimals("0.0001", "99999", allow_nan=False, places=4).map(lambda price: format(price, "f"))
SIZES = st.one_of(st.none(), PRICES)


def trade(time: int, price: str = "1", size: str | None = None, symbol: str = "btcusdt") -> Trade:
    """Create a trade at `time` ms."""
    return Trade(named(symbol), "trades", time, time, price, size)


@st.composite
def in_order(draw: st.DrawFn, longest_ms: int = 90_000) -> list[Trade]:
    """Draw trades whose times never go back."""
    steps = draw(st.lists(st.integers(0, longest_ms), min_size=1, max_size=40))
    time, trades = draw(st.integers(0, 10**12)), []
    for step in steps:
        time += step
        trades.append(trade(time, draw(PRICES), draw(SIZES)))
    return trades


def expected_bars(trades: Iterable[Trade], length_ms: int) -> list[tuple[object, ...]]:
    """Compute the bars of all the trades: time, open, high, low, close, volume, trades."""
    buckets: dict[int, list[Trade]] = {}
    for one in trades:
        assert one.time is not None
        buckets.setdefault(one.time // length_ms * length_ms, []).append(one)
    bars: list[tuple[object, ...]] = []
    for time, inside in sorted(buckets.items()):
        prices = [Decimal(one.price) for one in inside]
        sizes = [Decimal(one.size) for one in inside if one.size is not None]
        first, last = inside[0].price, inside[-1].price
        volume = sum(sizes) if sizes else None
        bars.append((time, Decimal(first), max(prices), min(prices), Decimal(last), volume, len(inside)))
    return bars


def numbers(bar: Bar) -> tuple[object, ...]:
    """Return a bar in the form of `expected_bars`."""
    volume = None if bar.volume is None else Decimal(bar.volume)
    prices = (Decimal(bar.open), Decimal(bar.high), Decimal(bar.low), Decimal(bar.close))
    return (bar.time, *prices, volume, bar.trades)
