"""The ladders of an instrument at several venues, and the one that they form together. Pure.

The merged ladder is exact: it ends where the known levels of a venue end, since what that venue has beyond is
unknown. So it may be shorter than a venue's, but never shows less at a price than there is.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from decimal import Decimal
from typing import NamedTuple

import msgspec
from msgspec.structs import replace

from crypto_stream.market.ladder import LEVELS, Level
from crypto_stream.market.prices import INVERTED, LeftOut, total_of

NO_BOOK = "no order book is taken from this venue"
NONE_COUNTS = "no venue's book is known now"


class VenueDepth(msgspec.Struct, frozen=True):
    """The first levels of one venue's book, best first, each price and size in the venue's own text.

    At most `levels` of a side are known; if there are fewer, these are all that the venue has. `time` is the
    venue's own, in ms, None if it sends none; `age_ms` is how long ago its last change arrived.
    """

    source: str
    time: int | None
    age_ms: int
    levels: int
    bids: Sequence[Level]
    asks: Sequence[Level]


class MergedLevel(msgspec.Struct, frozen=True):
    """A price, the exact sum of the sizes there, and the size of each source that has it, by preference."""

    price: str
    size: str
    sources: dict[str, str]


class Depth(msgspec.Struct, frozen=True):
    """The books of one instrument: merged, and those of the `venues` that count, by preference.

    `crossed`: the best bid is at or above the best ask, which are of different venues. `left_out` are the
    sources that do not count, with reasons.
    """

    symbol: str
    stale: bool
    reason: str | None
    bids: list[MergedLevel]
    asks: list[MergedLevel]
    crossed: bool
    venues: list[VenueDepth]
    left_out: list[LeftOut]


class _Side(NamedTuple):
    """One side of a venue's book, of which at most `known` levels are known."""

    source: str
    levels: Sequence[Level]
    known: int


class _Priced(NamedTuple):
    size: Decimal
    level: Level
    source: str


def depth(symbol: str, venues: Sequence[VenueDepth], left_out: Sequence[LeftOut] = ()) -> Depth:
    """Merge the books of `venues`; one whose own bid is above its ask is left out."""
    counted = [each for each in venues if not _is_inverted(each)]
    others = [LeftOut(each.source, INVERTED) for each in venues if _is_inverted(each)]
    bids = _merged([_Side(each.source, each.bids, each.levels) for each in counted], is_bid=True)
    asks = _merged([_Side(each.source, each.asks, each.levels) for each in counted], is_bid=False)
    return Depth(
        symbol=symbol,
        stale=not counted,
        reason=None if counted else NONE_COUNTS,
        bids=bids,
        asks=asks,
        crossed=_is_crossed(bids, asks),
        venues=counted,
        left_out=[*left_out, *others],
    )


def lost(symbol: str, reason: str) -> Depth:
    """Return what is shown of an instrument while nothing is known of its sources."""
    return Depth(symbol, True, reason, [], [], False, [], [])


def without_ages(value: Depth) -> Depth:
    """Return the value without ages, to compare it with another one."""
    return replace(value, venues=[replace(each, age_ms=0, time=None) for each in value.venues])


def shortened(value: Depth, levels: int) -> Depth:
    """Return only the first levels of each side."""
    venues = [
        replace(each, levels=min(levels, each.levels), bids=each.bids[:levels], asks=each.asks[:levels])
        for each in value.venues
    ]
    return replace(value, bids=value.bids[:levels], asks=value.asks[:levels], venues=venues)


def _merged(sides: Sequence[_Side], *, is_bid: bool) -> list[MergedLevel]:
    """Merge one side of several books; a price has the text of the first source that has it."""
    by_price: dict[Decimal, list[_Priced]] = {}
    ends: list[Decimal] = []
    for side in sides:
        price = Decimal(0)
        for level in side.levels:
            price = Decimal(level[0])
            by_price.setdefault(price, []).append(_Priced(Decimal(level[1]), level, side.source))
        if len(side.levels) >= side.known:
            ends.append(price)
    prices = sorted(by_price, reverse=is_bid)
    if ends:
        prices = [each for each in prices if (each >= max(ends) if is_bid else each <= min(ends))]
    return [_level(by_price[price]) for price in prices[:LEVELS]]


def _level(parts: Sequence[_Priced]) -> MergedLevel:
    sources = {each.source: each.level[1] for each in parts}
    if len(parts) == 1:  # as nearly all are
        return MergedLevel(parts[0].level[0], parts[0].level[1], sources)
    return MergedLevel(parts[0].level[0], f"{total_of(each.size for each in parts):f}", sources)


def _is_inverted(venue: VenueDepth) -> bool:
    if not venue.bids or not venue.asks:
        return False
    return Decimal(venue.bids[0][0]) > Decimal(venue.asks[0][0])


def _is_crossed(bids: Sequence[MergedLevel], asks: Sequence[MergedLevel]) -> bool:
    if not bids or not asks or Decimal(bids[0].price) < Decimal(asks[0].price):
        return False
    return len(_sources(bids[0].sources, asks[0].sources)) > 1


def _sources(*sides: Mapping[str, str]) -> set[str]:
    return set().union(*sides)
