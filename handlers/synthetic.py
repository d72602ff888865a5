"""The synthetic source: walks that need no network and can never be taken for a real price.

`ticker_00` … `ticker_99` start at 0 and move by exactly 1 each second; EUR/USD, EUR/RUB and USD/RUB wander
close around a settable price. After a restart each goes on from its last price. Every instrument has a random
state of its own, made of the seed and its symbol: the same seed gives the same steps, and one instrument more
changes no other.
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

# Currency pairs: digits after the point, that is the size of a tick.
_DIGITS = {"eurusd": 4, "eurrub": 2, "usdrub": 2}
_TICKERS = [f"ticker_{number:02d}" for number in range(100)]
INSTRUMENTS = [
    *(Instrument(symbol, None, None, synthetic=True) for symbol in _TICKERS),
    *(Instrument(symbol, symbol[:3].upper(), symbol[3:].upper(), synthetic=True) for symbol in _DIGITS),
]
# Bid and ask of a ticker stand on halves. Amounts are as the client likes.
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

# Seconds made up for after a blocked loop; a machine that slept skips the rest: a gap of the history.
_MOST_CAUGHT_UP = 30
_CLOCK_SET_BACK_S = 1.5
_SLOWED_S = 1.1
_FAR_AHEAD_S = 61.0
_SWING = 4  # ticks
# Half the distance is kept, up to `_SWING` is added: 7 // 2 + 4 = 7 is as far as it gets.
_FARTHEST = 7
_LONGEST = 16  # characters of an option's number


class Quoted(NamedTuple):
    """One second of one instrument: last price, best bid and ask as text, displayed size or None."""

    price: str
    bid: str
    ask: str
    size: str | None


class Walk(Protocol):
    """A repeatable walk: where it is, and one second further."""

    def now(self) -> Quoted:
        """Say where the walk is."""

    def step(self) -> None:
        """Move one second on."""


class UnitWalk:
    """Start at 0, move by exactly -1 or +1 each second; bid and ask stand one half around."""

    def __init__(self, chance: random.Random, price: int) -> None:
        """Take the walk's own random state, and where it stands."""
        self._chance = chance
        self._price = price

    def now(self) -> Quoted:
        """Say where the walk is; prices may be negative."""
        return Quoted(str(self._price), _halves(2 * self._price - 1), _halves(2 * self._price + 1), None)

    def step(self) -> None:
        """Move one down or one up."""
        self._price += -1 if self._chance.random() < 0.5 else 1


class PairWalk:
    """Wander on whole ticks around a price, at most 7 ticks away, pulled back by half each second.

    So strong a pull makes every price near the middle come back again and again: from any state the walk is
    at least one tick below its price within a minute but once in 10^10 times.
    """

    def __init__(self, chance: random.Random, digits: int, price: str, spread: str, size: str) -> None:
        """Take the random state, the digits of a tick, and price, spread and displayed size as text."""
        self._chance = chance
        self._digits = digits
        self._middle = _ticks(price, digits)
        self._spread = _ticks(spread, digits)
        self._size = size
        self._offset = 0

    def go_on_from(self, price: str) -> None:
        """Stand at `price`, unless it is too far from the middle to be this walk's."""
        offset = _ticks(price, self._digits) - self._middle
        if abs(offset) <= _FARTHEST:
            self._offset = offset

    def now(self) -> Quoted:
        """Say where the walk is; the bid is half a spread below the price, rounded down to a tick."""
        price = self._middle + self._offset
        bid = price - (self._spread + 1) // 2
        return Quoted(self._text(price), self._text(bid), self._text(bid + self._spread), self._size)

    def step(self) -> None:
        """Go half the way back, then up to 4 ticks either way."""
        self._offset = int(self._offset / 2) + self._chance.randint(-_SWING, _SWING)

    def _text(self, ticks: int) -> str:
        unit = 10**self._digits
        return f"{ticks // unit}.{ticks % unit:0{self._digits}d}"


def check_options(options: Mapping[str, str]) -> None:
    """Raise ValueError, naming the option, for a value that no walk could keep to."""
    for symbol, digits in _DIGITS.items():
        ticks = {}
        for name in ("price", "spread"):
            option = f"{symbol}_{name}"
            value = options.get(option, OPTIONS[option])
            ticks[name] = _checked(option, value, digits)
        # At its farthest the walk is 7 ticks down, and the bid half a spread lower: that must be above 0.
        lowest = ticks["price"] - _FARTHEST - (ticks["spread"] + 1) // 2
        if lowest < 1:
            raise ValueError(f"{symbol}_price: too low for its spread: the bid would reach 0 or less")
        _checked(f"{symbol}_size", options.get(f"{symbol}_size", OPTIONS[f"{symbol}_size"]), 8)


def make_walk(symbol: str, seed: int | None, options: Mapping[str, str], last: str | None = None) -> Walk:
    """Make the walk of `symbol`, going on from its `last` price; without a seed a different one each time."""
    chance = random.Random() if seed is None else random.Random(f"{seed} {symbol}")
    if symbol not in _DIGITS:
        return UnitWalk(chance, int(last or 0))
    price, spread, size = (options[f"{symbol}_{name}"] for name in ("price", "spread", "size"))
    walk = PairWalk(chance, _DIGITS[symbol], price, spread, size)
    if last is not None:
        walk.go_on_from(last)
    return walk


async def events(running: Running, instruments: Sequence[Instrument]) -> AsyncGenerator[Event]:
    """Yield a trade and a top of book per instrument: the start at once, then each step on the whole second.

    Times are that second in ms, by the engine's clock. Seconds that a blocked loop missed follow at once, up
    to 30; of a longer pause the last 30. Where the clock goes back by up to a minute the steps go on ahead of
    it, a tenth slower until it has caught up; where by more, they go on at its new time.
    """
    check_options(running.options)
    options = {**OPTIONS, **running.options}
    walks = [
        (each, make_walk(each.symbol, running.seed, options, running.last_price(each.symbol)))
        for each in instruments
    ]
    second = running.now_ms() // 1000
    keys = itertools.count(time.monotonic_ns() // 1_000_000)  # their times may go back, their order may not
    for event in _said(walks, second, next(keys)):
        yield event
    while True:
        await asyncio.sleep(until_next(second, running.now_ms() / 1000))
        moments = due(second, running.now_ms() / 1000)
        for moment in moments:
            for _, walk in walks:
                walk.step()
            for event in _said(walks, moment, next(keys)):
                yield event
        second = moments[-1]


def until_next(second: int, now: float) -> float:
    """Return how long to wait for the second after `second`; a clock set back does not stretch it."""
    ahead = second + 1 - now
    if ahead > _FAR_AHEAD_S:
        return 1.0 - now % 1
    return _SLOWED_S if ahead > _CLOCK_SET_BACK_S else max(ahead, 0.0)


def due(second: int, now: float) -> range:
    """Return the seconds to tell after `second`: the next one, those missed up to `now`, at most 30.

    Where `now` is more than a minute before `second` it is the second of `now`.
    """
    if second + 1 - now > _FAR_AHEAD_S:
        return range(int(now), int(now) + 1)
    last = max(int(now), second + 1)
    return range(max(second + 1, last - _MOST_CAUGHT_UP + 1), last + 1)


def _said(walks: Sequence[tuple[Instrument, Walk]], second: int, key: int) -> Iterator[Event]:
    time_ms = second * 1000
    for instrument, walk in walks:
        at = walk.now()
        yield Trade(instrument, "walk", key, time_ms, at.price, None)
        yield Update(
            instrument, "top", key, time_ms, bid=at.bid, bid_size=at.size, ask=at.ask, ask_size=at.size
        )


def _halves(number: int) -> str:
    """Write an odd number of halves: -1 is -0.5."""
    return f"{'-' if number < 0 else ''}{abs(number) // 2}.5"


def _ticks(text: str, digits: int) -> int:
    return int(Decimal(text).scaleb(digits))


def _checked(option: str, value: str, digits: int) -> int:
    plain = value.replace(".", "", 1).isdecimal() and value.isascii() and len(value) <= _LONGEST
    ticks = Decimal(value).scaleb(digits) if plain else Decimal(0)
    if ticks <= 0 or ticks != int(ticks):
        allowed = f"a number above 0 with at most {digits} digits after the point"
        raise ValueError(f"{option}: {value[:_LONGEST]!r} is not allowed: write {allowed}")
    return int(ticks)
