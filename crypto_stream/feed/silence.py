"""Detect instruments that fell completely silent on a live source. Pure."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

from crypto_stream.deadlines import Deadlines
from crypto_stream.feed.facts import Facts, FailoverTimes
from crypto_stream.market.book import Book

# A price move at another venue this soon after our last data is the same move, seen there a little later.
_SAME_MOVE_NS = 1_000_000_000


class Silence:
    """Find silent instruments; `dead` maps (source, symbol) to when that was found (monotonic, ns)."""

    def __init__(self, book: Book, limits: FailoverTimes) -> None:
        self.dead: dict[tuple[str, str], int] = {}
        self._book = book
        self._limits = limits
        self._deadlines: Deadlines[str] = Deadlines()

    def is_live(self, source: str, symbol: str, facts: Facts) -> bool:
        """Return whether `source` is live for `symbol`: connected, fresh, with data since it connected."""
        connection = facts[source].of(symbol)
        if connection.state != "live" or (source, symbol) in self.dead:
            return False
        entry = self._book.entry(source, symbol)
        return entry is not None and entry.received_ns >= connection.unbroken_since_ns

    def clear_resumed(self, symbol: str, chain: Sequence[str]) -> dict[tuple[str, str], int]:
        """Remove sources that deliver data of `symbol` again; return when that arrived."""
        resumed: dict[tuple[str, str], int] = {}
        for source in chain if self.dead else ():
            found_ns = self.dead.get((source, symbol))
            entry = self._book.entry(source, symbol)
            if found_ns is not None and entry is not None and entry.received_ns > found_ns:
                del self.dead[source, symbol]
                resumed[source, symbol] = entry.received_ns
        return resumed

    def forget(self, symbol: str, chain: Sequence[str]) -> None:
        """Discard everything about `symbol`."""
        self._deadlines.discard(symbol)
        for source in chain:
            self.dead.pop((source, symbol), None)

    def follow(self, now_ns: int, symbol: str, serving: str) -> bool:
        """Return whether the serving source is silent; if not, set a deadline for when it will be.

        Once it is silent, any event of any source may show that it should not be.
        """
        silent_ns = self._silent_ns(symbol, serving)
        if silent_ns > now_ns:
            self._deadlines.add(symbol, silent_ns)
        return silent_ns <= now_ns

    def due(self, now_ns: int, serving: Mapping[str, str | None]) -> list[str]:
        """Return the symbols whose serving source has just become silent; extend the others' deadlines."""
        found: list[str] = []
        for symbol in self._deadlines.due(now_ns):
            source = serving.get(symbol)
            if source is not None and self.follow(now_ns, symbol, source):
                found.append(symbol)
        return found

    def quiet_ns(self, symbol: str, serving: str) -> int:
        """Return when the serving source will be dead even without evidence from another source."""
        entry = self._book.entry(serving, symbol)
        return entry.received_ns + self._limits.quiet_after_ns if entry else 0

    def check(
        self,
        now_ns: int,
        symbol: str,
        chain: Sequence[str],
        serving: str,
        facts: Facts,
        comparable: Callable[[str, str, str], bool],
    ) -> bool:
        """Return whether the serving source was found dead."""
        found = self.should_be_dead(
            now_ns=now_ns, symbol=symbol, chain=chain, source=serving, facts=facts, comparable=comparable
        )
        if found:
            self.dead[serving, symbol] = now_ns
        return found

    def should_be_dead(
        self,
        now_ns: int,
        symbol: str,
        chain: Sequence[str],
        source: str,
        facts: Facts,
        comparable: Callable[[str, str, str], bool],
    ) -> bool:
        """Return whether a live source would be found dead if it served.

        It is dead if it is silent while the price moved at a comparable source, or if it is silent for
        `quiet_after` and no source is `comparable(symbol, source, other)`.
        """
        entry = self._book.entry(source, symbol)
        if entry is None or now_ns - entry.received_ns < self._limits.stale_after_ns:
            return False
        if not self.is_live(source, symbol, facts):
            return False
        others = [name for name in chain if name != source and self.is_live(name, symbol, facts)]
        # Comparing prices is the most expensive part, so it comes last.
        if any(
            self._moved(name, symbol, facts, entry.received_ns) and comparable(symbol, source, name)
            for name in others
        ):
            return True
        if now_ns - entry.received_ns < self._limits.quiet_after_ns:
            return False
        return not any(comparable(symbol, source, name) for name in others)

    def _moved(self, name: str, symbol: str, facts: Facts, after_ns: int) -> bool:
        """Return whether a price moved there later; the first data after connecting is no move."""
        entry = self._book.entry(name, symbol)
        begun_ns = facts[name].of(symbol).live_since_ns
        return entry is not None and entry.moved_ns > max(after_ns, begun_ns) + _SAME_MOVE_NS

    def _silent_ns(self, symbol: str, serving: str) -> int:
        entry = self._book.entry(serving, symbol)
        return entry.received_ns + self._limits.stale_after_ns if entry else 0
