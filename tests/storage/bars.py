"""Bars for the tests of stores."""

from __future__ import annotations

from hypothesis import strategies as st

from crypto_stream.market.bars import Bar
from crypto_stream.storage.interface import Range, StoredBar

ALL = Range(0, 2**62, 10_000, newest=False)
TEXTS = st.text("0123456789.", min_size=1, max_size=40)
BARS = st.builds(
    Bar,
    st.integers(0, 2**42),  # in the year 2109
    *(TEXTS, TEXTS, TEXTS, TEXTS),
    st.none() | TEXTS,
    st.none() | st.integers(0, 10**9),
    st.sampled_from(["binance", "binance+okx"]),
)


def bar(time: int, price: str = "1") -> Bar:
    """Make a bar of one trade."""
    return Bar(time, price, price, price, price, None, 1, "synthetic")


def seconds(*times: int, symbol: str = "ticker_00") -> list[StoredBar]:
    """Make bars of one second."""
    return [StoredBar(symbol, "1s", bar(time)) for time in times]
