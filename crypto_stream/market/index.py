"""The index of an instrument: a fair price out of several sources that no single one can move. Pure.

Of the live sources' prices those far from the median are left out; the volume-weighted median of the others
is the index. No source has half of the weight, so the index always lies between prices of the others.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from decimal import Context, Decimal
from typing import Literal, NamedTuple

import msgspec
from msgspec.structs import replace

from crypto_stream.market.exact import EXACT, ZERO, plain
from crypto_stream.market.prices import (
    INVERTED,
    LeftOut,
    Prices,
    SourcePrices,
    is_inverted,
    middle_of,
    positive,
)

NO_PRICE = "neither a top of book nor a last trade"
# The series of an index in the history is called `index:btcusdt`; no symbol contains a colon.
_PREFIX = "index:"
_HUNDRED = Decimal(100)
_TWO = Decimal(2)
# Of what the others weigh together: less than that, so that the heaviest source has less than half.
_MOST_OF_OTHERS = Decimal("0.9")
# For numbers in sentences only.
_ROUGH = Context(prec=5)

By = Literal["mid", "trade"]


class IndexRule(NamedTuple):
    """An index needs `minimum` sources within `band` percent of their median."""

    minimum: int
    band: Decimal


class Constituent(msgspec.Struct, frozen=True):
    """A source's part in the index.

    `price` is exact: the middle of its bid and ask (`by` mid) or, without a top of book, its last trade.
    `weight` is its 24 h volume, limited as `weights` describes. `age_ms` is the age of the price.
    """

    source: str
    price: str
    by: By
    weight: str
    age_ms: int | None


class Index(msgspec.Struct, frozen=True):
    """The index of one instrument as of `time` (ms since the epoch, our clock).

    While too few sources agree it is `stale` and `reason` says why; `price` and `time` are then those of the
    last value, None if there was none, and the `constituents` are those that would count now.
    """

    symbol: str
    price: str | None
    time: int | None
    stale: bool
    reason: str | None
    constituents: list[Constituent]
    left_out: list[LeftOut]


class _Candidate(NamedTuple):
    """One source's price as a number."""

    price: Decimal
    by: By
    age_ms: int | None
    prices: SourcePrices


def series_name(symbol: str) -> str:
    """Return the name of the index's bars in the history."""
    return _PREFIX + symbol


def symbol_of_series(name: str) -> str | None:
    """Return the symbol in the name of an index's bars; None if `name` is not one."""
    return name.removeprefix(_PREFIX) if name.startswith(_PREFIX) else None


def index(prices: Prices, rule: IndexRule, ticks: Iterable[str], time_ms: int) -> Index:
    """Compute the index at `time_ms`, rounded once, to the finest of the `ticks` of the sources' prices.

    If no tick is known, it is rounded to as many decimals as the sources' own numbers have.
    """
    left_out = list(prices.left_out)
    candidates = _candidates(prices.live, left_out)
    enough = len(candidates) >= rule.minimum
    kept = _within_band(candidates, rule.band, left_out) if enough else candidates
    weighing = weights([each.prices.volume for each in kept])
    found = Index(
        symbol=prices.symbol,
        price=None,
        time=None,
        stale=True,
        reason=None,
        constituents=[_constituent(*each) for each in zip(kept, weighing, strict=True)],
        left_out=left_out,
    )
    if not enough:
        return replace(found, reason=f"{_sources(len(kept))} usable, {rule.minimum} needed")
    if len(kept) < rule.minimum:
        text = f"{_sources(len(kept))} within {_text(rule.band)} % of the median, {rule.minimum} needed"
        return replace(found, reason=text)
    exact = weighted_median([(each.price, weight) for each, weight in zip(kept, weighing, strict=True)])
    rounded = round_to(exact, finest_tick(ticks, _texts(kept), exact))
    return replace(found, price=rounded, time=time_ms, stale=False)


def lost(last: Index, reason: str) -> Index:
    """Return the last value as it is shown while nothing is known of the sources."""
    return replace(last, stale=True, reason=reason, constituents=[], left_out=[])


def without_ages(value: Index) -> Index:
    """Return the value without time and ages, to compare it with another one."""
    ageless = [replace(each, age_ms=None) for each in value.constituents]
    return replace(value, time=None, constituents=ageless)


def weights(volumes: Sequence[str | None]) -> list[Decimal]:
    """Return the weight of each source from its 24 h volume.

    A source of unknown volume weighs as little as the lightest known one. The heaviest weighs at most nine
    tenths of what the others weigh together (or as much as the second, if that is more): otherwise it alone
    would decide.
    """
    known = [positive(volume) for volume in volumes]
    lightest = min((weight for weight in known if weight is not None), default=Decimal(1))
    found = [lightest if weight is None else weight for weight in known]
    if len(found) < 2:
        return found
    heaviest = max(range(len(found)), key=found.__getitem__)
    others = found[:heaviest] + found[heaviest + 1 :]
    most = max(max(others), EXACT.multiply(_sum(others), _MOST_OF_OTHERS))
    found[heaviest] = min(found[heaviest], most)
    return found


def median(numbers: Sequence[Decimal]) -> Decimal:
    """Return the exact median; of an even number, the middle of the two central ones."""
    return weighted_median([(number, Decimal(1)) for number in numbers])


def weighted_median(weighed: Sequence[tuple[Decimal, Decimal]]) -> Decimal:
    """Return the exact weighted median of (number, weight) pairs, of which there is one at least.

    Weights are above 0. If exactly half of the weight lies below, it is the middle of the two numbers there.
    """
    ordered = sorted(weighed)
    total = _sum([weight for _, weight in ordered])
    passed, at = ZERO, -1
    while EXACT.multiply(_TWO, passed) < total:
        at += 1
        passed = EXACT.add(passed, ordered[at][1])
    if EXACT.multiply(_TWO, passed) == total:
        return middle_of(ordered[at][0], ordered[at + 1][0])
    return ordered[at][0]


def round_to(number: Decimal, tick: Decimal) -> str:
    """Round a number above 0 to a multiple of `tick`, a tie to the even one; keep all digits of the tick."""
    count = EXACT.divide_int(number, tick)
    rest = EXACT.multiply(_TWO, EXACT.subtract(number, EXACT.multiply(count, tick)))
    if rest > tick or (rest == tick and EXACT.remainder(count, _TWO)):
        count = EXACT.add(count, Decimal(1))
    return f"{EXACT.multiply(count, tick):f}"


def finest_tick(ticks: Iterable[str], texts: Iterable[str], price: Decimal) -> Decimal:
    """Return the finest tick for a price; if there is none, the unit of the digits in `texts`, 1 at most.

    A tick above a hundredth of the price is a mistake, and ignored: rounding to it would move the price.
    """
    known = [tick for text in ticks if (tick := positive(text)) is not None]
    plausible = [tick for tick in known if EXACT.multiply(tick, _HUNDRED) <= price]
    if plausible:
        return min(plausible)
    exponents = (EXACT.normalize(Decimal(text)).as_tuple().exponent for text in texts)
    return Decimal((0, (1,), min([0, *(each for each in exponents if isinstance(each, int))])))


def _candidates(live: Iterable[SourcePrices], left_out: list[LeftOut]) -> list[_Candidate]:
    """Return the price of each source; those without a usable one are added to `left_out`."""
    found: list[_Candidate] = []
    for prices in live:
        bid, ask, price = positive(prices.bid), positive(prices.ask), positive(prices.price)
        if is_inverted(prices):
            left_out.append(LeftOut(prices.source, INVERTED))
        elif bid is not None and ask is not None:
            found.append(_Candidate(middle_of(bid, ask), "mid", prices.top_age_ms, prices))
        elif price is not None:
            found.append(_Candidate(price, "trade", prices.price_age_ms, prices))
        else:
            left_out.append(LeftOut(prices.source, NO_PRICE))
    return found


def _within_band(
    candidates: Sequence[_Candidate], band: Decimal, left_out: list[LeftOut]
) -> list[_Candidate]:
    """Return the candidates within `band` percent of their median; the others are added to `left_out`."""
    if not candidates:
        return []
    centre = median([each.price for each in candidates])
    allowed = EXACT.multiply(centre, band)  # of a hundred times the distance
    kept: list[_Candidate] = []
    for each in candidates:
        distance = EXACT.multiply(EXACT.abs(EXACT.subtract(each.price, centre)), _HUNDRED)
        if distance <= allowed:
            kept.append(each)
        else:
            apart = _text(_ROUGH.divide(distance, centre))
            text = f"its price {_text(each.price)} is {apart} % from the median {_text(centre)}"
            left_out.append(LeftOut(each.prices.source, text))
    return kept


def _constituent(candidate: _Candidate, weight: Decimal) -> Constituent:
    price, by, age_ms, prices = candidate
    return Constituent(prices.source, plain(price), by, plain(weight), age_ms)


def _texts(candidates: Iterable[_Candidate]) -> list[str]:
    """Return the numbers, as their venues sent them, that the prices come from."""
    return [
        text
        for _, by, _, prices in candidates
        for text in ((prices.bid, prices.ask) if by == "mid" else (prices.price,))
        if text is not None
    ]


def _sum(numbers: Iterable[Decimal]) -> Decimal:
    total = ZERO
    for number in numbers:
        total = EXACT.add(total, number)
    return total


def _sources(count: int) -> str:
    return "1 source is" if count == 1 else f"{count} sources are"


def _text(number: Decimal) -> str:
    """Format a number for a sentence: at most five digits, no exponent."""
    return f"{_ROUGH.normalize(number):f}"
