"""The best bid and ask of an instrument over all live sources. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from decimal import Context, Decimal
from typing import NamedTuple

import msgspec
from msgspec.structs import replace

from crypto_stream.market.exact import EXACT, ZERO
from crypto_stream.market.prices import INVERTED, LeftOut, Prices, SourcePrices, is_inverted, middle_of

NO_TOP = "no top of book"
NONE_LIVE = "no source is live"
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
    """One source's top of one side."""

    price: Decimal
    text: str
    share: Share


def best(prices: Prices) -> Best:
    """Return the best bid and ask among the live sources.

    A side with price or size 0 is empty. A source whose own bid is above its ask is left out. Prices below 0
    exist at synthetic sources.
    """
    left_out = list(prices.left_out)
    sources: list[str] = []
    bids: list[_Level] = []
    asks: list[_Level] = []
    for each in prices.live:
        own_bid = _level(each, each.bid, each.bid_size)
        own_ask = _level(each, each.ask, each.ask_size)
        if own_bid is None and own_ask is None:
            left_out.append(LeftOut(each.source, NO_TOP))
        elif is_inverted(each):
            left_out.append(LeftOut(each.source, INVERTED))
        else:
            sources.append(each.source)
            bids += [own_bid] if own_bid else []
            asks += [own_ask] if own_ask else []
    bid = max((level.price for level in bids), default=None)
    ask = min((level.price for level in asks), default=None)
    return Best(
        symbol=prices.symbol,
        stale=not sources,
        reason=None if sources else NONE_LIVE,
        bid=_side(bids, bid),
        ask=_side(asks, ask),
        spread_bps=_spread_bps(bid, ask),
        crossed=_is_crossed(bids, bid, asks, ask),
        sources=sources,
        left_out=left_out,
    )


def lost(best_known: Best, reason: str) -> Best:
    """Return what is shown of an instrument while nothing is known of its sources."""
    return Best(best_known.symbol, True, reason, None, None, None, False, [], [])


def without_ages(value: Best) -> Best:
    """Return the value without ages, to compare it with another one."""
    return replace(value, bid=_ageless(value.bid), ask=_ageless(value.ask))


def _ageless(side: BestSide | None) -> BestSide | None:
    if side is None:
        return None
    return replace(side, sources=[replace(share, age_ms=None) for share in side.sources])


def _level(of: SourcePrices, price: str | None, size: str | None) -> _Level | None:
    if price is None or not (number := Decimal(price)) or (size is not None and not Decimal(size)):
        return None
    return _Level(number, price, Share(of.source, size, of.top_age_ms))


def _at(levels: Iterable[_Level], price: Decimal | None) -> list[_Level]:
    return [level for level in levels if level.price == price]


def _side(levels: Sequence[_Level], price: Decimal | None) -> BestSide | None:
    sharing = _at(levels, price)
    if not sharing:
        return None
    shares = [level.share for level in sharing]
    return BestSide(sharing[0].text, _sum([share.size for share in shares]), shares)


def _sum(sizes: Sequence[str | None]) -> str | None:
    total = ZERO
    for size in sizes:
        if size is None:
            return None
        total = EXACT.add(total, Decimal(size))
    return f"{total:f}"


def _spread_bps(bid: Decimal | None, ask: Decimal | None) -> str | None:
    if bid is None or ask is None or (mid := middle_of(bid, ask)) <= 0:
        return None
    text = f"{_PRECISE.divide(EXACT.multiply(EXACT.subtract(ask, bid), _BPS), mid):.2f}"
    return "0.00" if text == "-0.00" else text


def _is_crossed(
    bids: Sequence[_Level], bid: Decimal | None, asks: Sequence[_Level], ask: Decimal | None
) -> bool:
    if bid is None or ask is None or bid < ask:
        return False
    return len({level.share.source for level in (*_at(bids, bid), *_at(asks, ask))}) > 1
