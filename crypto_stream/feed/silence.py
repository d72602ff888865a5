"""Which instruments fell silent, whole, on a source that is live. Pure."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

from crypto_stream.feed.deadlines import Deadlines
from crypto_stream.feed.facts import Facts, Limits
from crypto_stream.market.book import Book

# A move of another venue this soon after our last data is the same move, seen there a little later.
_SAME_MOVE_NS = 1_000_000_000


class Silence:
    """Know who is silent; `dead` maps (source, symbol) to when that was found (monotonic, ns)."""

    def __init__(self, book: Book, limits: Limits) -> None:
        """Begin with nothing silent."""
        self.dead: dict[tuple[str, str], int] = {}
        self._book = book
        self._limits = limits
        self._deadlines: Deadlines[str] = Deadlines()

    def is_live(self, source: str, symbol: str, facts: Facts) -> bool:
        """Say whether `source` is live for `symbol`: connected, fresh, with data of it since it connected."""
        line = facts[source].of(symbol)
        if line.state != "live" or (source, symbol) in self.dead:
            return False
        entry = self._book.entry(source, symbol)
        return entry is not None and entry.received_ns >= line.unbroken_since_ns

    def forgive(self, symbol: str, chain: Sequence[str]) -> dict[tuple[str, str], int]:
        """Take out who gives data of `symbol` again; return when they did."""
        revived: dict[tuple[str, str], int] = {}
        for source in chain if self.dead else ():
            found_ns = self.dead.get((source, symbol))
            entry = self._book.entry(source, symbol)
            if found_ns is not None and entry is not None and entry.received_ns > found_ns:
                del self.dead[source, symbol]
                revived[source, symbol] = entry.received_ns
        return revived

    def forget(self, symbol: str, chain: Sequence[str]) -> None:
        """Know nothing of `symbol` any more."""
        self._deadlines.discard(symbol)
        for source in chain:
            self.dead.pop((source, symbol), None)

    def follow(self, now_ns: int, symbol: str, serving: str) -> bool:
        """Have `symbol` fall due once its serving source is silent; say whether it is so already.

        From then on any event of any source may show that it should not be.
        """
        silent_ns = self._silent_ns(symbol, serving)
        if silent_ns > now_ns:
            self._deadlines.add(symbol, silent_ns)
        return silent_ns <= now_ns

    def due(self, now_ns: int, serving: Mapping[str, str | None]) -> list[str]:
        """Name those whose serving source has just become silent; who gave data meanwhile has time again."""
        found: list[str] = []
        for symbol in self._deadlines.due(now_ns):
            source = serving.get(symbol)
            if source is not None and self.follow(now_ns, symbol, source):
                found.append(symbol)
        return found

    def quiet_ns(self, symbol: str, serving: str) -> int:
        """Tell when the serving source will be silent too long even where no other can tell."""
        entry = self._book.entry(serving, symbol)
        return entry.received_ns + self._limits.quiet_after if entry else 0

    def look(
        self,
        now_ns: int,
        symbol: str,
        chain: Sequence[str],
        serving: str,
        facts: Facts,
        comparable: Callable[[str, str, str], bool],
    ) -> bool:
        """Judge the serving source: silent while another moved, or silent very long where nobody can tell.

        Another source says something of an instrument (symbol, source, other) where it is `comparable`.
        Return whether the serving one was found dead.
        """
        entry = self._book.entry(serving, symbol)
        if entry is None or now_ns - entry.received_ns < self._limits.stale_after:
            return False
        if not self.is_live(serving, symbol, facts):
            return False
        others = [name for name in chain if name != serving and self.is_live(name, symbol, facts)]
        # To compare prices takes longest: it is asked last.
        if not any(
            self._moved(name, symbol, facts, entry.received_ns) and comparable(symbol, serving, name)
            for name in others
        ):
            if now_ns - entry.received_ns < self._limits.quiet_after:
                return False
            if any(comparable(symbol, serving, name) for name in others):
                return False
        self.dead[serving, symbol] = now_ns
        return True

    def _moved(self, name: str, symbol: str, facts: Facts, after_ns: int) -> bool:
        """Say whether a price moved there later; what a source says first is its state, not a move."""
        entry = self._book.entry(name, symbol)
        begun_ns = facts[name].of(symbol).live_since_ns
        return entry is not None and entry.moved_ns > max(after_ns, begun_ns) + _SAME_MOVE_NS

    def _silent_ns(self, symbol: str, serving: str) -> int:
        entry = self._book.entry(serving, symbol)
        return entry.received_ns + self._limits.stale_after if entry else 0
