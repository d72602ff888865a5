"""Best and index by the sentences of docs/contracts.md, in fractions."""

from __future__ import annotations

import statistics
from collections.abc import Sequence
from decimal import Decimal
from fractions import Fraction
from typing import Any, NamedTuple

from tests.recomputed.figures import Figures
from tests.recomputed.said import Tops

_MOST = Fraction(9, 10)  # of what the others weigh together


class Known(NamedTuple):
    """What is known of an instrument at one venue."""

    source: str
    tops: Tops
    price: str | None
    volume: str | None

    @classmethod
    def of(cls, source: str, figures: Figures, symbol: str) -> Known:
        """Take it from a venue's figures."""
        tops = figures.tops[symbol][0] if symbol in figures.tops else (None, None, None, None)
        price = figures.prices[symbol].text if symbol in figures.prices else None
        return cls(source, tops, price, figures.volumes.get(symbol))

    def side(self, at: int) -> Fraction | None:
        """Return the bid (0) or the ask (2); a price or a size of 0 is none."""
        price, size = self.tops[at], self.tops[at + 1]
        if price is None or not Fraction(price) or (size is not None and not Fraction(size)):
            return None
        return Fraction(price)

    @property
    def is_inverted(self) -> bool:
        """Whether its bid is above its ask."""
        bid, ask = self.side(0), self.side(2)
        return bid is not None and ask is not None and bid > ask

    def one_price(self) -> tuple[Fraction, str] | None:
        """Return the middle of bid and ask, else the last trade."""
        bid, ask = self.side(0), self.side(2)
        if self.is_inverted:
            return None
        if bid is not None and ask is not None:
            return (bid + ask) / 2, "mid"
        return (Fraction(self.price), "trade") if self.price is not None else None


def index(known: Sequence[Known], minimum: int, band: str, ticks: Sequence[str]) -> dict[str, Any]:
    """Return the index and who makes it."""
    priced = [(each, found) for each in known if (found := each.one_price()) is not None]
    out = [each.source for each in known if each.one_price() is None]
    is_enough = len(priced) >= minimum
    if is_enough:
        centre = statistics.median(price for _, (price, _) in priced)
        far = [pair for pair in priced if abs(pair[1][0] - centre) * 100 > centre * Fraction(band)]
        out += [each.source for each, _ in far]
        priced = [pair for pair in priced if pair not in far]
        is_enough = len(priced) >= minimum
    weights = _weights([each.volume for each, _ in priced])
    prices = [price for _, (price, _) in priced]
    tick = min(Fraction(each) for each in ticks)
    digits = max(len(each.partition(".")[2]) for each in ticks)
    return {
        "price": _rounded(_median(prices, weights), tick, digits) if is_enough else None,
        "constituents": [
            (each.source, _text(price), by, _text(weight))
            for (each, (price, by)), weight in zip(priced, weights, strict=True)
        ],
        "left_out": out,
    }


def _weights(volumes: Sequence[str | None]) -> list[Fraction]:
    known = [Fraction(each) for each in volumes if each is not None and Fraction(each) > 0]
    lightest = min(known, default=Fraction(1))
    found = [Fraction(each or 0) or lightest for each in volumes]
    if len(found) > 1:
        at = found.index(max(found))
        others = [each for place, each in enumerate(found) if place != at]
        found[at] = min(found[at], max(*others, _MOST * sum(others)))
    return found


def _median(prices: Sequence[Fraction], weights: Sequence[Fraction]) -> Fraction:
    """Return the middle between the lower and the upper weighted median."""
    total = sum(weights)
    pairs = list(zip(prices, weights, strict=True))
    lower = min(one for one in prices if 2 * sum(weight for price, weight in pairs if price <= one) >= total)
    upper = max(one for one in prices if 2 * sum(weight for price, weight in pairs if price >= one) >= total)
    return (lower + upper) / 2


def _rounded(number: Fraction, tick: Fraction, digits: int) -> str:
    count = round(number / tick)  # a tie to the even one
    return f"{Decimal(count * tick.numerator) / tick.denominator:.{digits}f}"


def _text(number: Fraction) -> str:
    """Write a number without superfluous zeros."""
    text = f"{Decimal(number.numerator) / number.denominator:f}"
    return text.rstrip("0").rstrip(".") if "." in text else text


def best(known: Sequence[Known]) -> dict[str, Any]:
    """Return the best bid and ask, and who has them."""
    part = [each for each in known if not each.is_inverted and (each.side(0), each.side(2)) != (None, None)]
    bids = {each.source: price for each in part if (price := each.side(0)) is not None}
    asks = {each.source: price for each in part if (price := each.side(2)) is not None}
    bid, ask = max(bids.values(), default=None), min(asks.values(), default=None)
    spread, crossed = None, False
    if bid is not None and ask is not None:
        hundredths = round((ask - bid) / ((ask + bid) / 2) * 10_000 * 100)
        spread = f"{Decimal(hundredths) / 100:.2f}"
        involved = {name for name, price in bids.items() if price == bid}
        involved |= {name for name, price in asks.items() if price == ask}
        crossed = bid >= ask and len(involved) > 1
    return {
        "bid": _side(part, 0, bid),
        "ask": _side(part, 2, ask),
        "spread_bps": spread,
        "crossed": crossed,
        "sources": [each.source for each in part],
    }


def _side(part: Sequence[Known], at: int, price: Fraction | None) -> Any:
    if price is None:
        return None
    have = [each for each in part if each.side(at) == price]
    sizes = [each.tops[at + 1] for each in have]
    total = None if None in sizes else sum((Decimal(each or 0) for each in sizes), Decimal(0))
    return have[0].tops[at], None if total is None else f"{total:f}", [each.source for each in have]
