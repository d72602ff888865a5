"""The best bid and ask of an instrument over all live sources. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from decimal import Context, Decimal
from typing import NamedTuple

import msgspec
from msgspec.structs import replace

from crypto_stream.market.exact import EXACT
from crypto_stream.market.prices import INVERTED, LeftOut, Prices, middle_of, sides, total_of

NO_TOP = "no top of book"
NONE_COUNTS = "no live source with a usable top of book"
_BPS = Decimal(10_000)
# Far more digits than are shown.
_PRECISE = Context(prec=100)


class Share(msgspec.Struct, frozen=True):
    """What one source has at the best price; `age_ms` is the age of its top of book."""

    source: str
    size: str | None
    age_ms: int | None


class BestSide(msgspec.Struct, frozen=True):
    """The best price of one side, and the sources that have it, in order of preference.

    `price` is the text of the first of them; `size` is the exact sum, None if one of the sizes is unknown.
    """

    price: str
    size: str | None
    sources: list[Share]


class Best(msgspec.Struct, frozen=True):
    """The best bid and ask of one instrument; None where no live source has that side.

    `sources` are those that took part, `left_out` the others, with reasons. `spread_bps` is ask minus bid in
    hundredths of a percent of their middle, with two decimals: negative if they are `crossed`, which means
    that the best bid is at or above the best ask and that they are of different sources.
    """

    symbol: str
    stale: bool
    reason: str | None
    bid: BestSide | None
    ask: BestSide | None
    spread_bps: str | None
    crossed: bool
    sources: list[str]
    left_out: list[LeftOut]


class _Level(NamedTuple):
    """One source's top of one side: the price as a number and as text."""

    price: Decimal
    text: str
    share: Share


def best(prices: Prices) -> Best:
    """Return the best bid and ask among the live sources.

    A source whose own bid is above its ask is left out. Prices below 0 exist at synthetic sources.
    """
    left_out = list(prices.left_out)
    sources: list[str] = []
    bids: list[_Level] = []
    asks: list[_Level] = []
    for each in prices.live:
        own = sides(each)
        if (own.bid is None and own.ask is None) or own.inverted:
            left_out.append(LeftOut(each.source, INVERTED if own.inverted else NO_TOP))
            continue
        sources.append(each.source)
        if own.bid is not None and each.bid is not None:
            bids.append(_Level(own.bid, each.bid, Share(each.source, each.bid_size, each.top_age_ms)))
        if own.ask is not None and each.ask is not None:
            asks.append(_Level(own.ask, each.ask, Share(each.source, each.ask_size, each.top_age_ms)))
    bids = _at(bids, max((level.price for level in bids), default=None))
    asks = _at(asks, min((level.price for level in asks), default=None))
    return Best(
        symbol=prices.symbol,
        stale=not sources,
        reason=None if sources else NONE_COUNTS,
        bid=_side(bids),
        ask=_side(asks),
        spread_bps=_spread_bps(bids, asks),
        crossed=_is_crossed(bids, asks),
        sources=sources,
        left_out=left_out,
    )


def lost(symbol: str, reason: str) -> Best:
    """Return what is shown of an instrument while nothing is known of its sources."""
    return Best(symbol, True, reason, None, None, None, False, [], [])


def without_ages(value: Best) -> Best:
    """Return the value without ages, to compare it with another one."""
    return replace(value, bid=_ageless(value.bid), ask=_ageless(value.ask))


def _ageless(side: BestSide | None) -> BestSide | None:
    if side is None:
        return None
    return replace(side, sources=[replace(share, age_ms=None) for share in side.sources])


def _at(levels: Sequence[_Level], price: Decimal | None) -> list[_Level]:
    return [level for level in levels if level.price == price]


def _side(levels: Sequence[_Level]) -> BestSide | None:
    """Return one side from the levels that share the best price."""
    if not levels:
        return None
    shares = [level.share for level in levels]
    sizes = [share.size for share in shares if share.size is not None]
    total = f"{total_of(map(Decimal, sizes)):f}" if len(sizes) == len(shares) else None
    return BestSide(levels[0].text, total, shares)


def _spread_bps(bids: Sequence[_Level], asks: Sequence[_Level]) -> str | None:
    if not bids or not asks:
        return None
    bid, ask = bids[0].price, asks[0].price
    if (mid := middle_of(bid, ask)) <= 0:
        return None
    text = f"{_PRECISE.divide(EXACT.multiply(EXACT.subtract(ask, bid), _BPS), mid):.2f}"
    return "0.00" if text == "-0.00" else text


def _is_crossed(bids: Sequence[_Level], asks: Sequence[_Level]) -> bool:
    if not bids or not asks or bids[0].price < asks[0].price:
        return False
    return len({level.share.source for level in (*bids, *asks)}) > 1
