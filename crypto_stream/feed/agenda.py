"""Which instruments failover must reconsider, and when. Pure."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence, Set

from crypto_stream.deadlines import Deadlines
from crypto_stream.feed.channel_watch import ChannelWatch
from crypto_stream.feed.fact_changes import FactChanges
from crypto_stream.feed.facts import Facts
from crypto_stream.feed.silence import Silence
from crypto_stream.market.book import Book, SourceBook


class Agenda:
    """Collect the instruments to reconsider; those to which nothing happened cost nothing.

    An instrument is due if a source's facts or the pin changed, an awaited event arrived, a deadline passed,
    or its serving source has just changed.
    """

    def __init__(self, book: Book, silence: Silence, watch: ChannelWatch) -> None:
        self._book = book
        self._silence = silence
        self._watch = watch
        self._facts = FactChanges()
        self._books: dict[str, SourceBook] = {}
        self._due: set[str] = set()
        self._deadlines: Deadlines[str] = Deadlines()
        self._triggers: dict[str, frozenset[str]] = {}
        self._pin: str | None = None

    def add(self, symbol: str, chain: Sequence[str]) -> None:
        """Add an instrument; it is due in the next round."""
        self._facts.add(symbol, chain)
        self._due.add(symbol)
        self._books.update({name: self._book.of(name) for name in chain})

    def remove(self, symbol: str) -> None:
        """Remove an instrument; an event of it that is still awaited is then ignored."""
        self._facts.remove(symbol)
        self._due.discard(symbol)
        self._deadlines.discard(symbol)
        self._triggers.pop(symbol, None)

    def reconsider(self, symbol: str) -> None:
        """Make an instrument due in the next round."""
        self._due.add(symbol)

    def plan(
        self, symbol: str, chain: Sequence[str], triggers: Collection[str], times: Iterable[int]
    ) -> None:
        """Make an instrument due at the next event from one of the `triggers` sources, or at a time.

        An event from a source with missing channels counts only if it is of such a channel.
        """
        if triggers:
            self._triggers[symbol] = frozenset(triggers)
        else:
            self._triggers.pop(symbol, None)
        overdue = symbol in self._watch.overdue
        for name in chain:
            if overdue or name in triggers or (name, symbol) in self._watch.missing:
                self._books[name].awaited.add(symbol)
        if (next_ns := min(times, default=None)) is not None:
            self._deadlines.add(symbol, next_ns)

    def due(
        self,
        now_ns: int,
        facts: Facts,
        pin: str | None,
        serving: Mapping[str, str | None],
        unserved: Set[str],
    ) -> set[str]:
        """Return, and remove, the instruments to reconsider now."""
        due, self._due = self._due, set()
        if pin != self._pin:
            self._pin = pin
            due.update(serving)
        due.update(self._facts.check(facts, unserved, self._watch.missing))
        due.update(self._silence.due(now_ns, serving))
        due.update(self._deadlines.due(now_ns))
        for name, book in self._books.items():
            if book.arrived:
                arrived, book.arrived = book.arrived, set()
                due.update(symbol for symbol in arrived if self._matters(name, book, symbol))
        return due

    def _matters(self, name: str, book: SourceBook, symbol: str) -> bool:
        """Return whether an event may change the decision about `symbol`."""
        if symbol in self._watch.overdue:
            self._watch.mark((symbol,))
        if name in self._triggers.get(symbol, ()):
            return True
        if (name, symbol) not in self._watch.missing:
            return False
        if self._watch.has_resumed(name, symbol):
            return True
        book.awaited.add(symbol)
        return False
