"""The index of an instrument: a fair price out of several sources that no single one can move. Pure.

Of the live sources' prices those far from the median are left out; the volume-weighted median of the others
is the index. No source has half of the weight, so the index always lies between prices of the others.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from decimal import Decimal
from typing import NamedTuple

import msgspec
from msgspec.structs import replace

from crypto_stream.market.exact import EXACT, plain
from crypto_stream.market.prices import (
    INVERTED,
    By,
    LeftOut,
    Priced,
    Prices,
    SourcePrices,
    far_from_median,
    positive,
    priced,
    rough,
    sides,
    total_of,
    weighted_median,
)

NO_PRICE = "neither a top of book nor a recent trade"
# The series of an index in the history is called `index:btcusdt`; no symbol contains a colon.
_PREFIX = "index:"
_ONE = Decimal(1)
_TWO = Decimal(2)
_HUNDRED = Decimal(100)
# Of what the others weigh together: less than that, so that the heaviest source has less than half.
_MOST_OF_OTHERS = Decimal("0.9")


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
    """A source that has a price."""

    priced: Priced
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
    reason = None
    if len(candidates) < rule.minimum:
        reason = f"{_sources(len(candidates))} usable, {rule.minimum} needed"
    else:
        candidates = _within_band(candidates, rule.band, left_out)
        if len(candidates) < rule.minimum:
            within = f"within {rough(rule.band)} % of the median"
            reason = f"{_sources(len(candidates))} {within}, {rule.minimum} needed"
    weighing = weights([each.prices.volume for each in candidates])
    price = None if reason else _price(candidates, weighing, ticks)
    return Index(
        symbol=prices.symbol,
        price=price,
        time=None if price is None else time_ms,
        stale=price is None,
        reason=reason,
        constituents=[_constituent(*each) for each in zip(candidates, weighing, strict=True)],
        left_out=left_out,
    )


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
    lightest = min((weight for weight in known if weight is not None), default=_ONE)
    found = [lightest if weight is None else weight for weight in known]
    if len(found) < 2:
        return found
    heaviest = max(range(len(found)), key=found.__getitem__)
    others = found[:heaviest] + found[heaviest + 1 :]
    most = max(*others, EXACT.multiply(total_of(others), _MOST_OF_OTHERS))
    found[heaviest] = min(found[heaviest], most)
    return found


def round_to(number: Decimal, tick: Decimal) -> str:
    """Round a number above 0 to a multiple of `tick`, a tie to the even one; keep all digits of the tick."""
    count = EXACT.divide_int(number, tick)
    rest = EXACT.multiply(_TWO, EXACT.subtract(number, EXACT.multiply(count, tick)))
    if rest > tick or (rest == tick and EXACT.remainder(count, _TWO)):
        count = EXACT.add(count, _ONE)
    return f"{EXACT.multiply(count, tick):f}"


def finest_tick(ticks: Iterable[str], texts: Iterable[str], price: Decimal) -> Decimal:
    """Return the finest tick for a price; if there is none, the unit of the digits in `texts`, 1 at most.

    A tick above a hundredth of the price is a mistake, and ignored: rounding to it would move the price.
    """
    known = [tick for text in ticks if (tick := positive(text)) is not None]
    plausible = [tick for tick in known if EXACT.multiply(tick, _HUNDRED) <= price]
    if plausible:
        return min(plausible)
    places = max((len(plain(Decimal(text)).partition(".")[2]) for text in texts), default=0)
    return Decimal((0, (1,), -places))


def _candidates(live: Iterable[SourcePrices], left_out: list[LeftOut]) -> list[_Candidate]:
    """Return the price of each source; those without a usable one are added to `left_out`."""
    found: list[_Candidate] = []
    for prices in live:
        if (one := priced(prices)) is not None:
            found.append(_Candidate(one, prices))
        else:
            reason = INVERTED if sides(prices).inverted else NO_PRICE
            left_out.append(LeftOut(prices.source, reason))
    return found


def _within_band(
    candidates: Sequence[_Candidate], band: Decimal, left_out: list[LeftOut]
) -> list[_Candidate]:
    """Return the candidates within `band` percent of their median; the others are added to `left_out`."""
    far = far_from_median([each.priced for each in candidates], band)
    left_out += [LeftOut(source, reason) for source, reason in far.items()]
    return [each for each in candidates if each.priced.source not in far]


def _price(candidates: Sequence[_Candidate], weighing: Sequence[Decimal], ticks: Iterable[str]) -> str:
    weighed = [(each.priced.price, weight) for each, weight in zip(candidates, weighing, strict=True)]
    exact = weighted_median(weighed)
    return round_to(exact, finest_tick(ticks, _texts(candidates), exact))


def _constituent(candidate: _Candidate, weight: Decimal) -> Constituent:
    source, price, by, age_ms = candidate.priced
    return Constituent(source, plain(price), by, plain(weight), age_ms)


def _texts(candidates: Iterable[_Candidate]) -> list[str]:
    """Return the numbers, as their venues sent them, that the prices come from."""
    return [
        text
        for (_, _, by, _), prices in candidates
        for text in ((prices.bid, prices.ask) if by == "mid" else (prices.price,))
        if text is not None
    ]


def _sources(count: int) -> str:
    return "1 source is" if count == 1 else f"{count} sources are"
