"""The instruments as GET /instruments lists them, for programs and for the pages' list to pick from."""

from __future__ import annotations

import msgspec

from crypto_stream.market.coins import coin_name
from crypto_stream.market.instruments import Catalogue


class Listed(msgspec.Struct, frozen=True):
    """An instrument, and the name of its base currency; "" if that is unknown."""

    symbol: str
    base: str | None
    quote: str | None
    synthetic: bool
    coin: str


class Listing(msgspec.Struct, frozen=True):
    """The answer of GET /instruments: all of them, in their order."""

    instruments: list[Listed]


def listing(catalogue: Catalogue) -> Listing:
    """List the instruments of `catalogue`."""
    return Listing(
        [Listed(one.symbol, one.base, one.quote, one.synthetic, coin_name(one.base)) for one in catalogue]
    )
