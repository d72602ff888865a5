"""The prices of one instrument at several sources, from which best and index are computed. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from decimal import Context, Decimal
from functools import lru_cache
from typing import Literal, NamedTuple

import msgspec

from crypto_stream.market.exact import EXACT, ZERO

_HALF = Decimal("0.5")
_ONE = Decimal(1)
_TWO = Decimal(2)
_HUNDRED = Decimal(100)
# For numbers in sentences only.
_ROUGH = Context(prec=5)

By = Literal["mid", "trade"]


class LeftOut(msgspec.Struct, frozen=True):
    """A source whose price does not count, and why."""

    source: str
    reason: str


class SourcePrices(NamedTuple):
    """The top of book, the last trade and the 24 h volume of an instrument at one source.

    Numbers are the venue's own text, None if unknown. Ages are in ms: since the top of book, and since the
    last price, were received.
    """

    source: str
    bid: str | None = None
    bid_size: str | None = None
    ask: str | None = None
    ask_size: str | None = None
    top_age_ms: int | None = None
    price: str | None = None
    price_age_ms: int | None = None
    volume: str | None = None


class Prices(NamedTuple):
    """The sources that are live for an instrument, in order of preference, and those that are left out.

    Without an event, or a change at a source, nothing but ages, and numbers in reasons, changes before
    `until_ns` (monotonic); None: never.
    """

    symbol: str
    live: Sequence[SourcePrices]
    left_out: Sequence[LeftOut] = ()
    until_ns: int | None = None


class Sides(NamedTuple):
    """The bid and ask of one source as numbers; None if that side of its book is empty."""

    bid: Decimal | None
    ask: Decimal | None

    @property
    def inverted(self) -> bool:
        """Whether the bid is above the ask, which no market can have."""
        return self.bid is not None and self.ask is not None and self.bid > self.ask


class Priced(NamedTuple):
    """The one price of a source: the middle of its bid and ask or, without them, its last trade."""

    source: str
    price: Decimal
    by: By
    age_ms: int | None


def sides(prices: SourcePrices) -> Sides:
    """Return bid and ask; a side with price or size 0 is empty: some venues send 0 for what there is not."""
    return Sides(_side(prices.bid, prices.bid_size), _side(prices.ask, prices.ask_size))


@lru_cache(maxsize=64)  # of one value each is asked for twice: to compare the sources, then for the index
def priced(prices: SourcePrices) -> Priced | None:
    """Return the price of a source; None if it has none above 0, or its bid is above its ask."""
    both = sides(prices)
    bid, ask = both
    if both.inverted:
        return None
    if bid is not None and ask is not None and bid > 0:
        return Priced(prices.source, middle_of(bid, ask), "mid", prices.top_age_ms)
    last = positive(prices.price)
    return None if last is None else Priced(prices.source, last, "trade", prices.price_age_ms)


def only_side(prices: SourcePrices) -> Priced | None:
    """Return the one side of a top of book whose other side is empty; None if it has both, or none."""
    bid, ask = sides(prices)
    if bid is None:
        return None if ask is None else Priced(prices.source, ask, "mid", prices.top_age_ms)
    return Priced(prices.source, bid, "mid", prices.top_age_ms) if ask is None else None


def far_from_median(
    candidates: Sequence[Priced], percent: Decimal, others: Sequence[Priced] = ()
) -> dict[str, str]:
    """Return the sources whose price is more than `percent` away from the median of the candidates, and why.

    The `others` are judged, too, but the median is not theirs.
    """
    judged = [*candidates, *others]
    all_prices = [each.price for each in judged]
    if not candidates or _are_close(min(all_prices), max(all_prices), percent):
        return {}
    centre = median([each.price for each in candidates])
    allowed = EXACT.multiply(centre, percent)
    far: dict[str, str] = {}
    for each in judged:
        hundredfold = EXACT.multiply(EXACT.abs(EXACT.subtract(each.price, centre)), _HUNDRED)
        if hundredfold > allowed:
            apart = _ROUGH.divide(hundredfold, centre)
            far[each.source] = (
                f"its price {rough(each.price)} is {rough(apart)} % from the median {rough(centre)}"
            )
    return far


def median(numbers: Sequence[Decimal]) -> Decimal:
    """Return the exact median; of an even number, the middle of the two central ones."""
    return weighted_median([(number, _ONE) for number in numbers])


def weighted_median(weighed: Sequence[tuple[Decimal, Decimal]]) -> Decimal:
    """Return the exact weighted median of (number, weight) pairs, of which there is one at least.

    Weights are above 0. If exactly half of the weight lies below, it is the middle of the two numbers there.
    """
    ordered = sorted(weighed)
    total = total_of(weight for _, weight in ordered)
    passed, at = ZERO, -1
    while EXACT.multiply(_TWO, passed) < total:
        at += 1
        passed = EXACT.add(passed, ordered[at][1])
    if EXACT.multiply(_TWO, passed) == total:
        return middle_of(ordered[at][0], ordered[at + 1][0])
    return ordered[at][0]


def middle_of(one: Decimal, other: Decimal) -> Decimal:
    """Return the exact middle of two numbers."""
    return EXACT.multiply(EXACT.add(one, other), _HALF)


def total_of(numbers: Iterable[Decimal]) -> Decimal:
    """Return the exact sum."""
    total = ZERO
    for number in numbers:
        total = EXACT.add(total, number)
    return total


def positive(text: str | None) -> Decimal | None:
    """Return a number above 0; None for any other."""
    number = ZERO if text is None else Decimal(text)
    return number if number > 0 else None


def rough(number: Decimal) -> str:
    """Format a number for a sentence: at most five digits, no exponent."""
    return f"{_ROUGH.normalize(number):f}"


def _are_close(lowest: Decimal, highest: Decimal, percent: Decimal) -> bool:
    """Return whether none can be far from a median between them, as is usual: then that is not needed."""
    hundredfold = EXACT.multiply(EXACT.subtract(highest, lowest), _HUNDRED)
    return hundredfold <= EXACT.multiply(lowest, percent)


def _side(price: str | None, size: str | None) -> Decimal | None:
    if price is None or (size is not None and not Decimal(size)):
        return None
    return Decimal(price) or None


INVERTED = "its bid is above its ask"
