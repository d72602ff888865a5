"""Whether another source's price can be that of the same coin: a failover never changes the coin. Pure.

One name can be two coins: NEIRO is 0.0003 at one venue and 0.03 at another.
"""

from __future__ import annotations

from collections.abc import Iterable
from decimal import Decimal
from typing import NamedTuple

from crypto_stream.market.bars import CANDLES_SUFFIX
from crypto_stream.market.book import Book, Entry

_HOUR_NS = 3_600_000_000_000


class Reference(NamedTuple):
    """The last fresh price of an instrument: whose, and when it came (monotonic, ns)."""

    sources: tuple[str, ...]
    price: Decimal
    at_ns: int


def former(source: str, price: str, at_ns: int) -> Reference | None:
    """Make the reference of a stored bar, whose `source` may name several; None where it has no price."""
    names = tuple(name.removesuffix(CANDLES_SUFFIX) for name in source.split("+"))
    number = Decimal(price)
    return Reference(names, number, at_ns) if number > 0 else None


class JumpGuard:
    """Compare each source that could serve next with the one that served last.

    `percent` is the distance allowed (0: any). It grows with the square root of the hours that the last price
    is old: a price of yesterday says less.
    """

    def __init__(self, book: Book, percent: float) -> None:
        self._book = book
        self._percent = Decimal(str(percent))
        self._former: dict[str, Reference] = {}
        self._served: dict[str, str] = {}

    def knows(self, symbol: str) -> bool:
        """Say whether anything has served `symbol`, in a former life too."""
        return symbol in self._served or symbol in self._former

    def restore(self, symbol: str, reference: Reference | None) -> None:
        """Take what a former life of the engine left."""
        if reference is not None:
            self._former[symbol] = reference

    def serves(self, symbol: str, source: str) -> None:
        """Notice that `source` serves `symbol` from now on."""
        self._served[symbol] = source

    def objection(self, symbol: str, name: str, others: Iterable[str], now_ns: int) -> str | None:
        """Say why `name` must not serve `symbol` next; None when it may.

        One of the `others`, which are live, that agrees with it is enough.
        """
        last = self._reference(symbol) if self._percent else None
        if last is None or name in last.sources:
            return None
        whose = " and ".join(last.sources)
        price = middle(self._book.entry(name, symbol))
        if price is None:
            return f"it has given no price yet to compare with {whose}'s"
        hours = Decimal(max(0, now_ns - last.at_ns)) / _HOUR_NS
        allowed = self._percent * max(Decimal(1), hours.sqrt())
        distance = _percent_apart(last.price, price)
        if distance <= allowed or any(self.agree(symbol, name, other) for other in others):
            return None
        return (
            f"its price {_short(price)} is {_short(distance)} % away from {whose}'s last price "
            f"{_short(last.price)}, and no second source confirms it (jump_guard allows {_short(allowed)} %)"
        )

    def asks(self) -> bool:
        """Say whether prices matter at all."""
        return bool(self._percent)

    def allowed_ns(self, symbol: str, name: str) -> int | None:
        """Tell when the last price will be so old that `name` may serve; None where age does not matter."""
        last, price = self._reference(symbol), middle(self._book.entry(name, symbol))
        if last is None or price is None or not self._percent:
            return None
        hours = (_percent_apart(last.price, price) / self._percent) ** 2
        return last.at_ns + int(hours * _HOUR_NS)

    def agree(self, symbol: str, one: str, other: str) -> bool:
        """Say whether two sources' prices are within the guard's distance of each other."""
        first, second = (middle(self._book.entry(name, symbol)) for name in (one, other))
        return first is not None and second is not None and _percent_apart(first, second) <= self._percent

    def comparable(self, symbol: str, one: str, other: str) -> bool:
        """Say whether what one source shows may tell something of the other: not known to be two coins."""
        if not self._percent:
            return True
        known = all(middle(self._book.entry(name, symbol)) is not None for name in (one, other))
        return not known or self.agree(symbol, one, other)

    def _reference(self, symbol: str) -> Reference | None:
        source = self._served.get(symbol)
        entry = self._book.entry(source, symbol) if source else None
        if source is None or entry is None:
            return self._former.get(symbol)
        price = middle(entry)
        return None if price is None else Reference((source,), price, entry.received_ns)


def middle(entry: Entry | None) -> Decimal | None:
    """Return the middle between bid and ask, else the last price; None where there is neither."""
    if entry is None:
        return None
    bid, ask = Decimal(entry.bid or 0), Decimal(entry.ask or 0)
    if bid > 0 and ask > 0:
        return (bid + ask) / 2
    price = Decimal(entry.price or 0)
    return price if price > 0 else None


def _percent_apart(before: Decimal, after: Decimal) -> Decimal:
    return abs(after - before) / before * 100


def _short(number: Decimal) -> str:
    """Write a number for people: five digits, no exponent."""
    return f"{Decimal(f'{number:.5g}'):f}"
