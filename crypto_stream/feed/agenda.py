"""Which instruments are to be decided anew, and when. Pure."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence, Set

from crypto_stream.feed.channel_watch import ChannelWatch
from crypto_stream.feed.deadlines import Deadlines
from crypto_stream.feed.fact_changes import FactChanges
from crypto_stream.feed.facts import Facts
from crypto_stream.feed.silence import Silence
from crypto_stream.market.book import Book, SourceBook


class Agenda:
    """Collect what gives reason to look at an instrument again; one that nothing happened to is not touched.

    There are four reasons: a source's facts or the pin changed; an event came at a source where it was
    awaited; a deadline passed; the last decision itself was news.
    """

    def __init__(self, book: Book, silence: Silence, watch: ChannelWatch) -> None:
        """Begin with no instrument."""
        self._book = book
        self._silence = silence
        self._watch = watch
        self._facts = FactChanges()
        self._parts: dict[str, SourceBook] = {}
        self._now: set[str] = set()
        self._deadlines: Deadlines[str] = Deadlines()
        self._heeded: dict[str, frozenset[str]] = {}
        self._pin: str | None = None

    def add(self, symbol: str, chain: Sequence[str]) -> None:
        """Begin with an instrument: it is looked at next time."""
        self._facts.add(symbol, chain)
        self._now.add(symbol)
        self._parts.update({name: self._book.of(name) for name in chain})

    def remove(self, symbol: str) -> None:
        """Forget an instrument; where it is still awaited, its next event is passed over."""
        self._facts.remove(symbol)
        self._now.discard(symbol)
        self._deadlines.discard(symbol)
        self._heeded.pop(symbol, None)

    def look_again(self, symbol: str) -> None:
        """Have an instrument decided in the next round."""
        self._now.add(symbol)

    def plan(self, symbol: str, chain: Sequence[str], heeded: Collection[str], times: Iterable[int]) -> None:
        """Have an instrument decided with the next event at one of the `heeded` sources, or at a time.

        At a source that lacks something of it only what was lacking matters; that is waited for, too.
        """
        if heeded:
            self._heeded[symbol] = frozenset(heeded)
        else:
            self._heeded.pop(symbol, None)
        overdue = symbol in self._watch.overdue
        for name in chain:
            if overdue or name in heeded or (name, symbol) in self._watch.lacking:
                self._parts[name].awaited.add(symbol)
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
        """Take out the instruments to decide now."""
        due, self._now = self._now, set()
        if pin != self._pin:
            self._pin = pin
            due.update(serving)
        due.update(self._facts.look(facts, unserved, self._watch.lacking))
        due.update(self._silence.due(now_ns, serving))
        due.update(self._deadlines.due(now_ns))
        for name, part in self._parts.items():
            if part.arrived:
                arrived, part.arrived = part.arrived, set()
                due.update(symbol for symbol in arrived if self._matters(name, part, symbol))
        return due

    def _matters(self, name: str, part: SourceBook, symbol: str) -> bool:
        """Say whether an event that came decides something; channels have rounds of their own."""
        if symbol in self._watch.overdue:
            self._watch.note((symbol,))
        if name in self._heeded.get(symbol, ()):
            return True
        if (name, symbol) not in self._watch.lacking:
            return False
        if self._watch.gave(name, symbol):
            return True
        part.awaited.add(symbol)
        return False
