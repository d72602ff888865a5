"""Which instruments fell completely silent on a live source. Pure."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from crypto_stream.feed.facts import Facts, FailoverTimes
from crypto_stream.market.book import Book

# A move of another venue this soon after our last data is the same move, seen there a little later.
_SAME_MOVE_NS = 1_000_000_000


class Silence:
    """Finds silent instruments; `dead` maps (source, symbol) to when that was found (monotonic, ns)."""

    def __init__(self, book: Book, limits: FailoverTimes) -> None:
        """Start with nothing silent."""
        self.dead: dict[tuple[str, str], int] = {}
        self._book = book
        self._limits = limits

    def is_live(self, source: str, symbol: str, facts: Facts) -> bool:
        """Return whether `source` is live for `symbol`: connected, fresh, with data since it connected."""
        line = facts[source].of(symbol)
        if line.state != "live" or (source, symbol) in self.dead:
            return False
        entry = self._book.entry(source, symbol)
        return entry is not None and entry.received_ns >= line.unbroken_since_ns

    def clear_resumed(self) -> dict[tuple[str, str], int]:
        """Remove sources that deliver data again; return when that arrived."""
        resumed: dict[tuple[str, str], int] = {}
        for source, symbol in list(self.dead):
            entry = self._book.entry(source, symbol)
            if entry is not None and entry.received_ns > self.dead[source, symbol]:
                del self.dead[source, symbol]
                resumed[source, symbol] = entry.received_ns
        return resumed

    def check(
        self,
        now_ns: int,
        symbol: str,
        chain: Sequence[str],
        serving: str,
        facts: Facts,
        comparable: Callable[[str, str, str], bool],
    ) -> None:
        """Mark the serving source dead if it is silent while another moved, or silent very long.

        `comparable(symbol, source, other)` returns whether two sources may be the same coin.
        """
        entry = self._book.entry(serving, symbol)
        if entry is None or now_ns - entry.received_ns < self._limits.stale_after_ns:
            return
        if not self.is_live(serving, symbol, facts):
            return
        others = [
            (facts[name].of(symbol).live_since_ns, other)
            for name in chain
            if name != serving and self.is_live(name, symbol, facts)
            if comparable(symbol, serving, name)
            if (other := self._book.entry(name, symbol)) is not None
        ]
        # What a source says first after it connected is its state, not a move.
        moved = any(
            other.moved_ns > max(entry.received_ns, live_since_ns) + _SAME_MOVE_NS
            for live_since_ns, other in others
        )
        if moved or (not others and now_ns - entry.received_ns >= self._limits.quiet_after_ns):
            self.dead[serving, symbol] = now_ns
