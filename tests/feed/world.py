"""Artificial sources for the pure parts: their facts, and a book to go with them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from crypto_stream.feed.facts import FailoverTimes
from crypto_stream.feed.failover import Failover
from crypto_stream.market.book import Book
from crypto_stream.market.events import Trade
from crypto_stream.market.status import SourceState
from tests.instruments import named

S = 1_000_000_000
LIMITS = FailoverTimes(stale_after_ns=5 * S, quiet_after_ns=60 * S, failback_after_ns=30 * S)


@dataclass
class Facts:
    """What failover and standby must know of one source."""

    state: SourceState = "off"
    reason: str | None = None
    failed: bool = False
    live_since_ns: int = 0
    unbroken_since_ns: int = 0
    refused: Mapping[str, str] = field(default_factory=dict)
    halted: Mapping[str, str] = field(default_factory=dict)

    def of(self, symbol: str) -> Facts:
        """Return itself: one connection carries all."""
        return self


class World:
    """Some sources, a book and a clock in seconds; what a test does to them."""

    def __init__(self, chains: Mapping[str, tuple[str, ...]], *, always: tuple[str, ...] = ()) -> None:
        """Begin with all sources off."""
        self.now = 100.0
        self.book = Book()
        self.sources = {name: Facts() for chain in chains.values() for name in chain}
        self.failover = Failover(chains, self.book, LIMITS, always)
        self._key = 0

    @property
    def now_ns(self) -> int:
        """Return the time in ns."""
        return round(self.now * S)

    def live(self, *names: str) -> None:
        """Let connections of these sources begin, and be live."""
        for name in names:
            line = self.sources[name]
            line.state, line.reason = "live", None
            line.live_since_ns = line.unbroken_since_ns = self.now_ns

    def lose(self, name: str, state: SourceState = "lost", reason: str = "connection cut (1006)") -> None:
        """Let a source go."""
        line = self.sources[name]
        line.state, line.reason, line.failed = state, reason, True

    def trade(self, name: str, symbol: str = "btcusdt", price: str = "1") -> None:
        """Let a source give a trade."""
        self._key += 1
        self.book.of(name).apply(Trade(named(symbol), "trades", self._key, None, price, None), self.now_ns)

    def move(self, name: str, symbol: str = "btcusdt") -> None:
        """Let a source give a trade at a price of its own."""
        self.trade(name, symbol, str(self._key))

    def decide(self, pin: str | None = None) -> list[tuple[Any, ...]]:
        """Go round once; return the changes as plain tuples."""
        decision = self.failover.decide(self.now_ns, self.sources, pin)
        self.resubscribed = decision.resubscribe
        return [tuple(change) for change in decision.changes]

    def serving(self, symbol: str = "btcusdt") -> str | None:
        """Return who serves."""
        return self.failover.serving[symbol]
