"""What orders take from the levels of a book behind its top, each displayed size once. Pure."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from decimal import Decimal
from typing import NamedTuple, Protocol

from crypto_stream.market.depth import VenueDepth
from crypto_stream.market.exact import subtract
from crypto_stream.market.orders import Side

# Levels of a side that are remembered, the newest ones: those of the books of many sources.
_MOST = 400


class Books(Protocol):
    """The books of the sources, while they are needed."""

    def need(self, symbol: str, /) -> None:
        """Request the books of an instrument, so that they are there when an order arrives."""

    def awaits(self, source: str, symbol: str, /) -> bool:
        """Return whether the book of one source was requested a moment ago and may still come."""

    def at(self, source: str, symbol: str, /) -> VenueDepth | None:
        """Return the book of one source; None while it is unknown, or does not follow its quotes."""


class Level(NamedTuple):
    """A price of one source, the size that it displays, and how much of that remains."""

    source: str
    price: Decimal
    size: Decimal
    remaining: Decimal


class Taken:
    """What remains of displayed sizes that orders traded with; a changed size is a new one.

    `active`: an order has traded behind the top of book.
    """

    def __init__(self) -> None:
        self._left: dict[tuple[str, Decimal], tuple[Decimal, Decimal]] = {}
        self.active = False

    def remaining(self, source: str, price: Decimal, size: Decimal) -> Decimal:
        """Return how much remains of a displayed size."""
        known = self._left.get((source, price))
        return known[1] if known is not None and known[0] == size else size

    def note(self, source: str, price: Decimal, size: Decimal, remaining: Decimal) -> None:
        """Remember what remains of a displayed size."""
        self._left.pop((source, price), None)
        if remaining < size:
            self._left[source, price] = (size, remaining)
        if len(self._left) > _MOST:
            del self._left[next(iter(self._left))]

    def moved(self, source: str, top: Decimal, *, is_bid: bool) -> None:
        """Forget the levels of a source that are better than its top is now: they are gone."""
        for key in [key for key in self._left if key[0] == source]:
            if key[1] > top if is_bid else key[1] < top:
                del self._left[key]

    def keep(self, source: str, prices: Collection[Decimal]) -> None:
        """Forget the levels of a source that it no longer displays."""
        gone = [key for key in self._left if key[0] == source and key[1] not in prices]
        for key in gone:
            del self._left[key]


def levels_behind(book: VenueDepth, side: Side, top: Decimal, taken: Taken) -> list[Level]:
    """Return the levels behind the published best price `top`, best first, that an order of `side` meets."""
    rows: Sequence[tuple[str, str]] = book.asks if side is Side.BUY else book.bids
    levels = [(Decimal(price), Decimal(size)) for price, size in rows]
    taken.keep(book.source, {top, *(price for price, _ in levels)})
    return [
        Level(book.source, price, size, taken.remaining(book.source, price, size))
        for price, size in levels
        if (price > top if side is Side.BUY else price < top)
    ]


def after(level: Level, amount: Decimal) -> Decimal:
    """Return what remains of a level after a trade."""
    return subtract(level.remaining, amount)
