"""Bars (candles): trades aggregated over an interval, and shorter bars folded into longer ones. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from decimal import Context, Decimal

import msgspec

from crypto_stream.market.decimals import decimal_text

# Milliseconds of every interval we serve, shortest first.
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
# The intervals we store; all others are folded from the longest of these that divides them.
STORED = ("1s", "1m", "1h")
# Suffix of the `source` of bars taken from a venue's REST interface.
CANDLES_SUFFIX = ":candles"

# Precise enough for exact sums of volumes, which have at most 40 characters each.
_exact = Context(prec=120)


class Bar(msgspec.Struct, frozen=True, gc=False):
    """The trades of one interval beginning at `time` (ms since the epoch, UTC); numbers are decimal text.

    Prices are the venue's own text. `volume` is an exact sum, or None if no trade had a size. `trades` is
    None if the bar is a venue's own candle that has no count. `source` names all sources of the trades
    ("binance+okx"), or "binance:candles" for a venue's candle. A `closed` bar never changes again.
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
    """No source was live for the instrument from `from` until `to` (ms; None: until now)."""

    from_: int = msgspec.field(name="from")
    to: int | None
    reason: str


class Fold:
    """A bar under construction."""

    __slots__ = ("_high", "_low", "_sources", "_volume", "close", "high", "low", "open", "time", "trades")

    def __init__(self, time: int) -> None:
        """Begin the bar at `time`, without trades."""
        self.time = time
        self.trades: int | None = 0
        self.open = self.high = self.low = self.close = ""
        self._high = self._low = Decimal(0)
        self._volume: Decimal | None = None
        self._sources: dict[str, None] = {}

    @property
    def empty(self) -> bool:
        """Whether nothing was added yet."""
        return not self._sources

    def trade(self, price: str, size: str | None, source: str) -> None:
        """Add one trade."""
        self._extend(price, price, price, price)
        self._add(size, 1)
        self._sources[source] = None

    def add(self, bar: Bar) -> None:
        """Add a shorter bar that is later than everything added before."""
        self._extend(bar.open, bar.high, bar.low, bar.close)
        self._add(bar.volume, bar.trades)
        self._sources.update(dict.fromkeys(bar.source.split("+")))

    def bar(self, *, closed: bool) -> Bar:
        """Return the bar; it must not be empty."""
        return Bar(
            time=self.time,
            open=self.open,
            high=self.high,
            low=self.low,
            close=self.close,
            volume=None if self._volume is None else format(self._volume, "f"),
            trades=self.trades,
            source="+".join(self._sources),
            closed=closed,
        )

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


def venue_bar(time: int, numbers: Sequence[str], trades: int | None, venue: str) -> Bar:
    """Make a bar of a venue's own candle; `numbers` are open, high, low, close and volume.

    Raises ValueError if they are not numbers or a price is missing.
    """
    open_, high, low, close, volume = (decimal_text(text) for text in numbers)
    if open_ is None or high is None or low is None or close is None:
        raise ValueError("a candle without a price")
    return Bar(
        time=time,
        open=open_,
        high=high,
        low=low,
        close=close,
        volume=volume,
        trades=trades,
        source=venue + CANDLES_SUFFIX,
    )


def start(time: int, interval_ms: int) -> int:
    """Return the start of the bar that contains `time`."""
    return time - time % interval_ms


def stored_for(interval: str) -> str:
    """Return the stored interval from which bars of `interval` are folded."""
    return next(name for name in reversed(STORED) if INTERVALS[interval] % INTERVALS[name] == 0)


def retention_block_ms(stored: str) -> int:
    """Return the length of the blocks in which bars of a stored interval are deleted.

    Any longer bar folded from them, and any open bar restored from them, lies within one block.
    """
    return {"1s": INTERVALS["1m"], "1m": INTERVALS["1h"], "1h": INTERVALS["1d"]}[stored]


def folded(bars: Iterable[Bar], interval_ms: int) -> Iterator[Bar]:
    """Fold bars, oldest first, into longer ones; one that contains an open bar is open."""
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
