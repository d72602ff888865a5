"""The prices of one instrument at several sources, from which best and index are computed. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from decimal import Decimal
from typing import NamedTuple

import msgspec

from crypto_stream.market.exact import EXACT, ZERO

_HALF = Decimal("0.5")


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
    """The sources that are live for an instrument, in order of preference, and those that are left out."""

    symbol: str
    live: Sequence[SourcePrices]
    left_out: Sequence[LeftOut] = ()


def positive(text: str | None) -> Decimal | None:
    """Return a number above 0; None for any other: some venues send 0 for what there is not."""
    number = ZERO if text is None else Decimal(text)
    return number if number > 0 else None


def middle_of(one: Decimal, other: Decimal) -> Decimal:
    """Return the exact middle of two numbers."""
    return EXACT.multiply(EXACT.add(one, other), _HALF)


def is_inverted(prices: SourcePrices) -> bool:
    """Return whether a source's bid is above its own ask, which no market can have."""
    bid, ask = positive(prices.bid), positive(prices.ask)
    return bid is not None and ask is not None and bid > ask


INVERTED = "its bid is above its ask"
