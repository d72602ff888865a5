"""Check that another source's price is that of the same coin before failing over to it. Pure.

Two coins may have one name: NEIRO costs 0.0003 at one venue and 0.03 at another.
"""

from __future__ import annotations

from collections.abc import Iterable
from decimal import Decimal
from typing import NamedTuple

from crypto_stream.market.bars import CANDLES_SUFFIX
from crypto_stream.market.book import Book, Entry

_HOUR_NS = 3_600_000_000_000


class Reference(NamedTuple):
    """The last fresh price of an instrument, its sources, and when it arrived (monotonic, ns)."""

    sources: tuple[str, ...]
    price: Decimal
    at_ns: int


def reference_of_bar(source: str, price: str, at_ns: int) -> Reference | None:
    """Create a reference from a stored bar, whose `source` may name several; None if it has no price."""
    names = tuple(name.removesuffix(CANDLES_SUFFIX) for name in source.split("+"))
    number = Decimal(price)
    return Reference(names, number, at_ns) if number > 0 else None


class JumpGuard:
    """Compare each source that could serve next with the one that served last.

    `percent` is the allowed distance (0: any). It grows with the square root of the last price's age in
    hours, because an old price is weaker evidence.
    """

    def __init__(self, book: Book, percent: float) -> None:
        self._book = book
        self.percent = Decimal(str(percent))
        self._restored: dict[str, Reference] = {}
        self._served: dict[str, str] = {}

    def has_served(self, symbol: str) -> bool:
        """Return whether any source has served `symbol`, in a previous run too."""
        return symbol in self._served or symbol in self._restored

    def restore(self, symbol: str, reference: Reference | None) -> None:
        """Set the reference from the previous run."""
        if reference is not None:
            self._restored[symbol] = reference

    def retain(self, symbol: str) -> None:
        """Retain the last price, because the book will forget it."""
        self.restore(symbol, self._reference(symbol))
        self._served.pop(symbol, None)

    def set_serving(self, symbol: str, source: str) -> None:
        """Record that `source` serves `symbol` from now on."""
        self._served[symbol] = source

    def objection(self, symbol: str, name: str, others: Iterable[str], now_ns: int) -> str | None:
        """Return why `name` must not serve `symbol` next; None if it may.

        It may if the price of one of the `others`, which are live, is close to its own.
        """
        last = self._reference(symbol) if self.percent else None
        if last is None or name in last.sources:
            return None
        whose = " and ".join(last.sources)
        price = middle(self._book.entry(name, symbol))
        if price is None:
            return f"it has sent no price yet to compare with {whose}'s"
        distance = _percent_apart(last.price, price)
        if distance <= self.percent:  # as is usual: age allows more, never less
            return None
        hours = Decimal(max(0, now_ns - last.at_ns)) / _HOUR_NS
        allowed = self.percent * max(Decimal(1), hours.sqrt())
        if distance <= allowed or any(self.agree(symbol, name, other) for other in others):
            return None
        return (
            f"its price {_rounded(price)} is {_rounded(distance)} % away from {whose}'s last price "
            f"{_rounded(last.price)}, and no second source confirms it "
            f"(jump_guard allows {_rounded(allowed)} %)"
        )

    def is_enabled(self) -> bool:
        """Return whether prices are compared at all."""
        return bool(self.percent)

    def allowed_ns(self, symbol: str, name: str) -> int | None:
        """Return when the last price will be so old that `name` may serve; None if age does not matter."""
        last, price = self._reference(symbol), middle(self._book.entry(name, symbol))
        if last is None or price is None or not self.percent:
            return None
        hours = (_percent_apart(last.price, price) / self.percent) ** 2
        return last.at_ns + int(hours * _HOUR_NS)

    def agree(self, symbol: str, one: str, other: str) -> bool:
        """Return whether two sources' prices are within the allowed distance of each other."""
        first, second = (middle(self._book.entry(name, symbol)) for name in (one, other))
        return first is not None and second is not None and _percent_apart(first, second) <= self.percent

    def comparable(self, symbol: str, one: str, other: str) -> bool:
        """Return whether two sources may be compared: their prices do not show them to be two coins."""
        if not self.percent:
            return True
        known = all(middle(self._book.entry(name, symbol)) is not None for name in (one, other))
        return not known or self.agree(symbol, one, other)

    def _reference(self, symbol: str) -> Reference | None:
        source = self._served.get(symbol)
        entry = self._book.entry(source, symbol) if source else None
        if source is None or entry is None:
            return self._restored.get(symbol)
        price = middle(entry)
        return None if price is None else Reference((source,), price, entry.received_ns)


def middle(entry: Entry | None) -> Decimal | None:
    """Return the middle of bid and ask, else the last price; None if there is neither."""
    if entry is None:
        return None
    bid, ask = Decimal(entry.bid or 0), Decimal(entry.ask or 0)
    if bid > 0 and ask > 0:
        return (bid + ask) / 2
    price = Decimal(entry.price or 0)
    return price if price > 0 else None


def _percent_apart(before: Decimal, after: Decimal) -> Decimal:
    return abs(after - before) / before * 100


def _rounded(number: Decimal) -> str:
    """Format a number for users: five digits, no exponent."""
    return f"{Decimal(f'{number:.5g}'):f}"
