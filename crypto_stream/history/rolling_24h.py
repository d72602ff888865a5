"""The 24 h figures of an instrument, from its own bars. Pure."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable
from decimal import Decimal
from typing import NamedTuple

from crypto_stream.market.bars import INTERVALS, Bar

# The length of the bars that are added and dropped.
STEP = "5m"
_DAY_MS = 24 * 3_600_000


class Figures(NamedTuple):
    """First, highest and lowest price of the last 24 h."""

    open: str
    high: str
    low: str


class Rolling24h:
    """The 5-minute bars of the last 24 h."""

    def __init__(self) -> None:
        self._bars: deque[Bar] = deque()
        self._past: Figures | None = None

    def prepend(self, bars: Iterable[Bar]) -> None:
        """Insert older closed 5-minute bars, oldest first."""
        self._bars = deque([*bars, *self._bars])
        self._past = _figures_of(self._bars)

    def close(self, bar: Bar) -> None:
        """Add a closed 5-minute bar, and drop those more than 24 h old."""
        self._bars.append(bar)
        oldest = bar.time + INTERVALS[STEP] - _DAY_MS
        while self._bars[0].time < oldest:
            self._bars.popleft()
        self._past = _figures_of(self._bars)

    def figures(self, live: Bar | None) -> Figures | None:
        """Return the figures including the open 5-minute bar; None without any trade."""
        if live is None:
            return self._past
        now = Figures(live.open, live.high, live.low)
        past = self._past
        if past is None:
            return now
        return Figures(past.open, _higher(past.high, now.high), _lower(past.low, now.low))


def _figures_of(bars: Iterable[Bar]) -> Figures | None:
    bars = list(bars)
    if not bars:
        return None
    return Figures(
        bars[0].open,
        max((bar.high for bar in bars), key=Decimal),
        min((bar.low for bar in bars), key=Decimal),
    )


def _higher(one: str, other: str) -> str:
    return other if Decimal(other) > Decimal(one) else one


def _lower(one: str, other: str) -> str:
    return other if Decimal(other) < Decimal(one) else one
