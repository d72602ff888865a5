"""The books of a venue that are wanted now, each requested until it is known, and after a loss. Pure."""

from __future__ import annotations

from collections.abc import Collection
from typing import NamedTuple

from crypto_stream.backoff import Backoff
from crypto_stream.market.ladder import DepthChange, HoleError, Ladder

AWAITED = "its book was requested"
# After a loss a book is requested at once, unless it was just requested: then after a delay that doubles.
_FIRST_NS, _LONGEST_NS = 1_000_000_000, 300_000_000_000
_KEYS = 5_000  # of requests that are remembered
_STEADY_NS = 60_000_000_000  # known for as long, a book is no longer one that is lost again and again


class Known(NamedTuple):
    """A ladder that is the venue's book, and when its last change was received (monotonic)."""

    ladder: Ladder
    received_ns: int


class _Book:
    __slots__ = (
        "due_ns",
        "known_ns",
        "ladder",
        "losses",
        "number",
        "reason",
        "received_ns",
        "requested_ns",
        "requests",
    )

    def __init__(self, now_ns: int, ack_ns: int, number: int) -> None:
        self.ladder = Ladder()
        self.reason = AWAITED
        self.requests = Backoff(ack_ns, _LONGEST_NS)
        self.losses = Backoff(_FIRST_NS, _LONGEST_NS)
        self.due_ns = self.requested_ns = now_ns
        self.known_ns: int | None = None
        self.received_ns = 0
        self.number = number


class Requested:
    """Which books the newest requests were about, by the keys that their refusals name."""

    def __init__(self) -> None:
        self._symbols: dict[str, frozenset[str]] = {}

    def note(self, keys: Collection[str], symbols: Collection[str]) -> None:
        """Remember a request; the oldest ones are forgotten."""
        for key in keys:
            self._symbols.pop(key, None)
            self._symbols[key] = frozenset(symbols)
        while len(self._symbols) > _KEYS:
            del self._symbols[next(iter(self._symbols))]

    def of(self, key: str) -> Collection[str]:
        """Return the symbols of a request; none if it did not request a book."""
        return self._symbols.get(key, ())


class Books:
    """Keep a ladder for each wanted symbol.

    A request without an answer is repeated after `ack_ns`, then after twice as long each time.
    """

    def __init__(self, ack_ns: int) -> None:
        self._ack_ns = ack_ns
        self._books: dict[str, _Book] = {}
        self._changes = 0  # of all books
        self._forgotten = 0  # the number of the last one that was forgotten

    def __contains__(self, symbol: str) -> bool:
        return symbol in self._books

    def want(self, symbols: Collection[str], now_ns: int) -> list[str]:
        """Keep the books of these symbols only; return those that are no longer wanted."""
        gone = [symbol for symbol in self._books if symbol not in symbols]
        for symbol in gone:
            del self._books[symbol]
            self._forgotten = self._next()
        for symbol in symbols:
            if symbol not in self._books:
                self._books[symbol] = _Book(now_ns, self._ack_ns, self._next())
        return gone

    def due(self, now_ns: int) -> list[str]:
        """Return the symbols whose books must be requested now, and plan when they would be again."""
        due = [
            symbol for symbol, book in self._books.items() if not book.ladder.known and book.due_ns <= now_ns
        ]
        for symbol in due:
            book = self._books[symbol]
            book.requested_ns = now_ns
            book.due_ns = now_ns + round(book.requests.next_delay())
        return due

    def take(self, change: DepthChange, received_ns: int) -> str | None:
        """Apply what the venue sent of a book; return why that loses the book, None if it does not.

        What is ignored does not make a book younger: an old one may have to be judged by its age.
        """
        book = self._books.get(change.instrument.symbol)
        if book is None:
            return None
        was_known = book.ladder.known
        try:
            if not book.ladder.apply(change):
                return None
        except HoleError as error:
            self.lose(change.instrument.symbol, str(error), received_ns)
            return str(error)
        if not was_known:
            book.known_ns = received_ns
            book.requests.reset()
        book.received_ns = received_ns
        book.number = self._next()
        return None

    def lose(self, symbol: str, reason: str, now_ns: int) -> None:
        """Forget a book, which may have missed a change, and plan to request it.

        One that is not known is already planned: it is requested again if it does not come.
        """
        book = self._books.get(symbol)
        if book is None or book.known_ns is None:
            return
        if now_ns - book.known_ns > _STEADY_NS:
            book.losses.reset()
        book.ladder.lose()
        book.number = self._next()
        book.known_ns = None
        book.reason = reason
        book.due_ns = max(now_ns, book.requested_ns + round(book.losses.next_delay()))

    def lose_all(self, reason: str, now_ns: int) -> None:
        """Forget all books."""
        for symbol in self._books:
            self.lose(symbol, reason, now_ns)

    def renew(self, reason: str, now_ns: int) -> None:
        """Forget all books because their connection ended; a new one requests them at once."""
        for symbol in self._books:
            book = self._books[symbol] = _Book(now_ns, self._ack_ns, self._next())
            book.reason = reason

    def refuse(self, symbol: str, reason: str) -> None:
        """Note why the venue does not send a book that was requested."""
        book = self._books.get(symbol)
        if book is not None and not book.ladder.known:
            book.reason = reason
            book.number = self._next()

    def awaited(self) -> list[str]:
        """Return the symbols whose books were requested, and neither came nor were refused."""
        return [symbol for symbol, book in self._books.items() if self._is_awaited(book)]

    def is_awaited(self, symbol: str) -> bool:
        """Return whether a book was requested, and neither came nor was refused."""
        book = self._books.get(symbol)
        return book is not None and self._is_awaited(book)

    def known(self, symbol: str) -> Known | None:
        """Return the ladder of a symbol; None while it is unknown."""
        book = self._books.get(symbol)
        return Known(book.ladder, book.received_ns) if book is not None and book.ladder.known else None

    def reason(self, symbol: str) -> str:
        """Return why there is no ladder."""
        book = self._books.get(symbol)
        return AWAITED if book is None else book.reason

    def number(self, symbol: str) -> int:
        """Return a number that grows with each change of what is known of a symbol's book.

        It never gets smaller, not even when the book is no longer wanted and then wanted again.
        """
        book = self._books.get(symbol)
        return self._forgotten if book is None else book.number

    def _next(self) -> int:
        self._changes += 1
        return self._changes

    @staticmethod
    def _is_awaited(book: _Book) -> bool:
        return not book.ladder.known and book.reason == AWAITED
