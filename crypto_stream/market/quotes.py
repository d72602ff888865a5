"""The quote: what the outside sees of one instrument at one instant."""

from __future__ import annotations

from decimal import Decimal, InvalidOperation

import msgspec


class Quote(msgspec.Struct, frozen=True, gc=False):
    """Top of book, last price and 24 h figures of one instrument from one source.

    Numbers are the venue's text or None; times are ms since the epoch (UTC); `received` and `published` are
    our own clock, `time` the venue's. `seq` counts published changes within one life of the engine.
    """

    symbol: str
    base: str | None
    quote: str | None
    source: str | None
    price: str | None
    bid: str | None
    bid_size: str | None
    ask: str | None
    ask_size: str | None
    open_24h: str | None
    high_24h: str | None
    low_24h: str | None
    volume_24h: str | None
    change_24h: str | None
    time: int | None
    received: int | None
    published: int
    seq: int
    stale: bool
    synthetic: bool


def change_percent(price: str | None, opening: str | None) -> str | None:
    """Compute (price - open) / open in percent with two digits; None where it has no meaning."""
    if price is None or opening is None:
        return None
    try:
        before = Decimal(opening)
        if not before > 0:  # of less than nothing there is no share: a fall would seem a rise
            return None
        text = format((Decimal(price) - before) / before * 100, ".2f")
        return "0.00" if text == "-0.00" else text
    except (InvalidOperation, ValueError):
        return None
