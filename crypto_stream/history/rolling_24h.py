"""The 24 h figures of an instrument, from its own bars. Pure."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable
from decimal import Decimal
from typing import NamedTuple

from crypto_stream.market.bars import INTERVALS, Bar

# The day moves on in steps of this.
STEP = "5m"
_DAY_MS = 24 * 3_600_000


class Figures(NamedTuple):
    """First, highest and lowest price of the last 24 h."""

    open: str
    high: str
    low: str


class Rolling24h:
    """The bars of the last 24 h, and what is newer than the last of them."""

    def __init__(self) -> None:
        self._bars: deque[Bar] = deque()
        self._past: Figures | None = None

    def prepend(self, bars: Iterable[Bar]) -> None:
        """Put closed bars of 5 minutes, oldest first, before those that are known."""
        self._bars = deque([*bars, *self._bars])
        self._past = _over(self._bars)

    def close(self, bar: Bar) -> None:
        """Take a closed bar of 5 minutes; those that are over 24 h old are forgotten."""
        self._bars.append(bar)
        oldest = bar.time + INTERVALS[STEP] - _DAY_MS
        while self._bars[0].time < oldest:
            self._bars.popleft()
        self._past = _over(self._bars)

    def figures(self, live: Bar | None) -> Figures | None:
        """Give the figures with the open bar of 5 minutes; None without any trade."""
        if live is None:
            return self._past
        now = Figures(live.open, live.high, live.low)
        past = self._past
        if past is None:
            return now
        return Figures(past.open, _most(past.high, now.high), _least(past.low, now.low))


def _over(bars: Iterable[Bar]) -> Figures | None:
    bars = list(bars)
    if not bars:
        return None
    return Figures(
        bars[0].open,
        max((bar.high for bar in bars), key=Decimal),
        min((bar.low for bar in bars), key=Decimal),
    )


def _most(one: str, other: str) -> str:
    return other if Decimal(other) > Decimal(one) else one


def _least(one: str, other: str) -> str:
    return other if Decimal(other) < Decimal(one) else one
