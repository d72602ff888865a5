"""The synthetic source: random walks that need no network and cannot be mistaken for real prices.

`ticker_00` … `ticker_99` start at 0 and move by exactly 1 each second; EUR/USD, EUR/RUB and USD/RUB stay
close to a configurable price. After a restart each continues from its last price. Each instrument has its own
random generator, seeded by `seed` and symbol: the same seed gives the same steps, whatever other instruments
exist.
"""

from __future__ import annotations

import asyncio
import itertools
import random
import time
from collections.abc import AsyncGenerator, Iterator, Mapping, Sequence
from decimal import Decimal
from typing import NamedTuple, Protocol

from crypto_stream.feed.handler import Event, Instrument, Rules, Running, Trade, Update

SYNTHETIC = True

# Currency pairs and their number of decimals, which is the tick size.
_DIGITS = {"eurusd": 4, "eurrub": 2, "usdrub": 2}
_TICKERS = [f"ticker_{number:02d}" for number in range(100)]
INSTRUMENTS = [
    *(Instrument(symbol, None, None, synthetic=True) for symbol in _TICKERS),
    *(Instrument(symbol, symbol[:3].upper(), symbol[3:].upper(), synthetic=True) for symbol in _DIGITS),
]
# Bid and ask of a ticker are multiples of one half. There are no rules for amounts.
RULES = {
    **{symbol: Rules(tick="0.5") for symbol in _TICKERS},
    **{symbol: Rules(tick=f"0.{1:0{digits}d}") for symbol, digits in _DIGITS.items()},
}
OPTIONS = {
    "eurusd_price": "1.0800",
    "eurusd_spread": "0.0002",
    "eurusd_size": "100000",
    "eurrub_price": "87",
    "eurrub_spread": "0.02",
    "eurrub_size": "100000",
    "usdrub_price": "80.56",
    "usdrub_spread": "0.02",
    "usdrub_size": "100000",
}

# Seconds caught up on after a blocked event loop; after a longer pause the history has a gap.
_MAX_CATCH_UP = 30
_CLOCK_SET_BACK_S = 1.5
_SLOWED_S = 1.1
_FAR_AHEAD_S = 61.0
_SWING = 4  # ticks
# Each step halves the distance and adds up to `_SWING`, so the maximum is 7: 7 // 2 + 4 = 7.
_MAX_DISTANCE = 7
_MAX_LENGTH = 16  # characters of an option's number


class Quoted(NamedTuple):
    """An instrument in one second: last price, bid and ask as text, displayed size or None."""

    price: str
    bid: str
    ask: str
    size: str | None


class Walk(Protocol):
    """A random walk in steps of one second."""

    def now(self) -> Quoted:
        """Return the current quote."""

    def step(self) -> None:
        """Advance by one second."""


class UnitWalk:
    """Move by exactly -1 or +1 each second from `price` on; bid and ask are one half below and above."""

    def __init__(self, generator: random.Random, price: int) -> None:
        self._random = generator
        self._price = price

    def now(self) -> Quoted:
        """Return the current quote; prices may be negative."""
        return Quoted(str(self._price), _halves(2 * self._price - 1), _halves(2 * self._price + 1), None)

    def step(self) -> None:
        """Move one down or one up."""
        self._price += -1 if self._random.random() < 0.5 else 1


class PairWalk:
    """Stay within 7 ticks of a price: each second the distance is halved, and up to 4 ticks are added.

    Every price near the middle therefore recurs often: from any state the walk is at least one tick below its
    price within a minute, except for one case in 10^10. `digits` is the number of decimals of a tick.
    """

    def __init__(self, generator: random.Random, digits: int, price: str, spread: str, size: str) -> None:
        self._random = generator
        self._digits = digits
        self._middle = _ticks(price, digits)
        self._spread = _ticks(spread, digits)
        self._size = size
        self._offset = 0

    def resume(self, price: str) -> None:
        """Continue from `price`, unless it is too far from the middle."""
        offset = _ticks(price, self._digits) - self._middle
        if abs(offset) <= _MAX_DISTANCE:
            self._offset = offset

    def now(self) -> Quoted:
        """Return the current quote; the bid is half a spread below the price, rounded down to a tick."""
        price = self._middle + self._offset
        bid = price - (self._spread + 1) // 2
        return Quoted(self._text(price), self._text(bid), self._text(bid + self._spread), self._size)

    def step(self) -> None:
        """Halve the distance, then move by up to 4 ticks."""
        self._offset = int(self._offset / 2) + self._random.randint(-_SWING, _SWING)

    def _text(self, ticks: int) -> str:
        unit = 10**self._digits
        return f"{ticks // unit}.{ticks % unit:0{self._digits}d}"


def check_options(options: Mapping[str, str]) -> None:
    """Raise ValueError, naming the option, if a value is not allowed."""
    for symbol, digits in _DIGITS.items():
        ticks = {}
        for name in ("price", "spread"):
            option = f"{symbol}_{name}"
            value = options.get(option, OPTIONS[option])
            ticks[name] = _checked(option, value, digits)
        # Even 7 ticks below the price, the bid, half a spread lower, must be above 0.
        lowest = ticks["price"] - _MAX_DISTANCE - (ticks["spread"] + 1) // 2
        if lowest < 1:
            raise ValueError(f"{symbol}_price: too low for its spread: the bid would reach 0 or less")
        _checked(f"{symbol}_size", options.get(f"{symbol}_size", OPTIONS[f"{symbol}_size"]), 8)


def make_walk(symbol: str, seed: int | None, options: Mapping[str, str], last: str | None = None) -> Walk:
    """Create the walk of `symbol`, continuing from its `last` price; without a seed it is not repeatable."""
    generator = random.Random() if seed is None else random.Random(f"{seed} {symbol}")
    if symbol not in _DIGITS:
        return UnitWalk(generator, int(last or 0))
    walk = PairWalk(
        generator,
        digits=_DIGITS[symbol],
        price=options[f"{symbol}_price"],
        spread=options[f"{symbol}_spread"],
        size=options[f"{symbol}_size"],
    )
    if last is not None:
        walk.resume(last)
    return walk


async def events(running: Running, instruments: Sequence[Instrument]) -> AsyncGenerator[Event]:
    """Yield a trade and a top of book per instrument, first at once, then at the start of each second.

    Times are that second in ms, by the engine's clock. Missed seconds are caught up on at once, but only the
    last 30. If the clock is set back by up to a minute, the steps continue ahead of it, a tenth slower, until
    it has caught up; if it is set back further, they continue from its new time.
    """
    check_options(running.options)
    options = {**OPTIONS, **running.options}
    walks = [
        (each, make_walk(each.symbol, running.seed, options, running.last_price(each.symbol)))
        for each in instruments
    ]
    second = running.now_ms() // 1000
    keys = itertools.count(time.monotonic_ns() // 1_000_000)  # times may go back, keys must not
    for event in _events_of(walks, second, next(keys)):
        yield event
    while True:
        await asyncio.sleep(until_next(second, running.now_ms() / 1000))
        moments = due(second, running.now_ms() / 1000)
        for moment in moments:
            for _, walk in walks:
                walk.step()
            for event in _events_of(walks, moment, next(keys)):
                yield event
        second = moments[-1]


def until_next(second: int, now: float) -> float:
    """Return the time until the second after `second`, limited in case the clock was set back."""
    ahead = second + 1 - now
    if ahead > _FAR_AHEAD_S:
        return 1.0 - now % 1
    return _SLOWED_S if ahead > _CLOCK_SET_BACK_S else max(ahead, 0.0)


def due(second: int, now: float) -> range:
    """Return the seconds that are due after `second`: the next one and those missed up to `now`, at most 30.

    If `now` is more than a minute before `second`, it is the second of `now`.
    """
    if second + 1 - now > _FAR_AHEAD_S:
        return range(int(now), int(now) + 1)
    last = max(int(now), second + 1)
    return range(max(second + 1, last - _MAX_CATCH_UP + 1), last + 1)


def _events_of(walks: Sequence[tuple[Instrument, Walk]], second: int, key: int) -> Iterator[Event]:
    time_ms = second * 1000
    for instrument, walk in walks:
        at = walk.now()
        yield Trade(instrument=instrument, channel="walk", key=key, time=time_ms, price=at.price, size=None)
        yield Update(
            instrument=instrument,
            channel="top",
            key=key,
            time=time_ms,
            bid=at.bid,
            bid_size=at.size,
            ask=at.ask,
            ask_size=at.size,
        )


def _halves(number: int) -> str:
    """Return an odd number of halves as text: -1 is -0.5."""
    return f"{'-' if number < 0 else ''}{abs(number) // 2}.5"


def _ticks(text: str, digits: int) -> int:
    return int(Decimal(text).scaleb(digits))


def _checked(option: str, value: str, digits: int) -> int:
    is_number = value.replace(".", "", 1).isdecimal() and value.isascii() and len(value) <= _MAX_LENGTH
    ticks = Decimal(value).scaleb(digits) if is_number else Decimal(0)
    if ticks <= 0 or ticks != int(ticks):
        allowed = f"a number above 0 with at most {digits} digits after the point"
        raise ValueError(f"{option}: {value[:_MAX_LENGTH]!r} is not allowed: write {allowed}")
    return int(ticks)
