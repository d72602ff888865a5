"""The quote: what is published about one instrument at one instant."""

from __future__ import annotations

from decimal import Decimal, InvalidOperation
from functools import lru_cache

import msgspec

from crypto_stream.market.exact import subtract


class Quote(msgspec.Struct, frozen=True, gc=False):
    """Top of book, last price and 24 h figures of one instrument from one source.

    Numbers are the venue's text or None. Times are ms since the epoch (UTC): `time` by the venue's clock,
    `received` and `published` by ours. `seq` increases with every published change.
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
    change_abs_24h: str | None
    time: int | None
    received: int | None
    published: int
    seq: int
    stale: bool
    synthetic: bool


@lru_cache(maxsize=1024)  # most changes of a quote are none of its last price
def day_change(price: str | None, opening: str | None) -> tuple[str | None, str | None]:
    """Return the change since `opening` in percent with two decimals, and exactly; None where unknown.

    There is no percentage unless `opening` is above 0, as a fall could otherwise look like a rise.
    """
    if price is None or opening is None:
        return None, None
    try:
        before = Decimal(opening)
        change = subtract(Decimal(price), before)
    except InvalidOperation:
        return None, None
    absolute = f"{change:f}"
    if not before > 0:
        return None, absolute
    percent = f"{change / before * 100:.2f}"
    return "0.00" if percent == "-0.00" else percent, absolute
