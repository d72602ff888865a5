"""Orders that may walk the book, and the book that they walk."""

from __future__ import annotations

from crypto_stream.market.depth import VenueDepth
from crypto_stream.market.ladder import LEVELS, Level
from crypto_stream.market.orders import Kind, Order, Side, Ticket, TimeInForce
from crypto_stream.orders.matching import ActiveOrder, active_order

ASKS: list[Level] = [("100", "1"), ("101", "2"), ("102.5", "0.5"), ("104", "10")]


def order(
    amount: str,
    price: str | None = None,
    side: Side = Side.BUY,
    time_in_force: TimeInForce = TimeInForce.IOC,
    *,
    walks: bool = True,
    rank: int = 1,
) -> ActiveOrder:
    """Make an order that may walk the book."""
    kind = Kind.MARKET if price is None else Kind.LIMIT
    made = active_order(Order("1", "me", rank, Ticket("s", side, amount, price, kind, time_in_force), 0, 0))
    made.walks = walks
    return made


def book(asks: list[Level] = ASKS, bids: list[Level] | None = None, source: str = "one") -> VenueDepth:
    """Make the book of a source."""
    return VenueDepth(source, None, 5, LEVELS, bids or [], asks)
