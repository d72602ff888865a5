"""Bars: the trades of one stretch of time, and how trades and bars are folded into longer ones. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from decimal import Context, Decimal

import msgspec

from crypto_stream.market.decimals import decimal_text

# Milliseconds of every interval that is served, shortest first.
INTERVALS = {
    "1s": 1_000,
    "5s": 5_000,
    "15s": 15_000,
    "1m": 60_000,
    "5m": 300_000,
    "15m": 900_000,
    "1h": 3_600_000,
    "4h": 14_400_000,
    "1d": 86_400_000,
}
# The intervals kept; each other one is folded from the longest of these that divides it.
STORED = ("1s", "1m", "1h")
# How the source of a bar ends that a venue's REST interface gave whole.
GIVEN = ":candles"

# Sums of volumes are exact: a price text has at most 40 characters.
_exact = Context(prec=120)


class Bar(msgspec.Struct, frozen=True, gc=False):
    """Trades from `time` (ms since the epoch, UTC, inclusive) for one interval; numbers are decimal text.

    Prices are the venue's own text, `volume` is an exact sum, None where no trade told its size. `trades` is
    None where a venue's own candle does not count them. `source` names every source the trades came from
    ("binance+okx"), "binance:candles" for what a venue's REST gave. A `closed` bar never changes again.
    """

    time: int
    open: str
    high: str
    low: str
    close: str
    volume: str | None
    trades: int | None
    source: str
    closed: bool = True


class Gap(msgspec.Struct, frozen=True):
    """No source was live for the instrument from `from` until `to` (ms; None: it still is so)."""

    from_: int = msgspec.field(name="from")
    to: int | None
    reason: str


class Fold:
    """One bar while it grows."""

    __slots__ = ("_high", "_low", "_sources", "_volume", "close", "high", "low", "open", "time", "trades")

    def __init__(self, time: int) -> None:
        """Begin without a trade; `time` is the bar's."""
        self.time = time
        self.trades: int | None = 0
        self.open = self.high = self.low = self.close = ""
        self._high = self._low = Decimal(0)
        self._volume: Decimal | None = None
        self._sources: dict[str, None] = {}

    @property
    def empty(self) -> bool:
        """Say whether nothing was folded in yet."""
        return not self._sources

    def trade(self, price: str, size: str | None, source: str) -> None:
        """Fold in one trade."""
        self._extend(price, price, price, price)
        self._add(size, 1)
        self._sources[source] = None

    def add(self, bar: Bar) -> None:
        """Fold in a shorter bar that follows all before it."""
        self._extend(bar.open, bar.high, bar.low, bar.close)
        self._add(bar.volume, bar.trades)
        self._sources.update(dict.fromkeys(bar.source.split("+")))

    def bar(self, *, closed: bool) -> Bar:
        """Give what was folded; there must be something."""
        volume = None if self._volume is None else format(self._volume, "f")
        source = "+".join(self._sources)
        return Bar(self.time, self.open, self.high, self.low, self.close, volume, self.trades, source, closed)

    def _extend(self, first: str, high: str, low: str, last: str) -> None:
        highest, lowest = Decimal(high), Decimal(low)
        if self.empty:
            self.open, self.high, self.low = first, high, low
            self._high, self._low = highest, lowest
        if highest > self._high:
            self.high, self._high = high, highest
        if lowest < self._low:
            self.low, self._low = low, lowest
        self.close = last

    def _add(self, volume: str | None, trades: int | None) -> None:
        if volume is not None:
            self._volume = _exact.add(self._volume or Decimal(0), Decimal(volume))
        self.trades = None if trades is None or self.trades is None else self.trades + trades


def given(time: int, numbers: Sequence[str], trades: int | None, venue: str) -> Bar:
    """Make a bar that a venue's REST interface gave whole; ValueError for what are no numbers.

    `numbers`: open, high, low, close, volume.
    """
    open_, high, low, close, volume = (decimal_text(text) for text in numbers)
    if open_ is None or high is None or low is None or close is None:
        raise ValueError("a candle without a price")
    return Bar(time, open_, high, low, close, volume, trades, venue + GIVEN)


def start(time: int, interval_ms: int) -> int:
    """Return the start of the bar that holds `time`."""
    return time - time % interval_ms


def stored_for(interval: str) -> str:
    """Name the stored interval that bars of `interval` are folded from."""
    return next(name for name in reversed(STORED) if INTERVALS[interval] % INTERVALS[name] == 0)


def stretch(stored: str) -> int:
    """Return ms of the stretch of a stored interval that is forgotten as a whole.

    Every bar that is folded from it, or restored from it while it is open, lies within one.
    """
    return {"1s": INTERVALS["1m"], "1m": INTERVALS["1h"], "1h": INTERVALS["1d"]}[stored]


def folded(bars: Iterable[Bar], interval_ms: int) -> Iterator[Bar]:
    """Fold bars, oldest first, into longer ones; one that holds an open bar is open."""
    fold: Fold | None = None
    closed = True
    for bar in bars:
        begin = start(bar.time, interval_ms)
        if fold is None or begin != fold.time:
            if fold is not None:
                yield fold.bar(closed=closed)
            fold, closed = Fold(begin), True
        fold.add(bar)
        closed = closed and bar.closed
    if fold is not None:
        yield fold.bar(closed=closed)
