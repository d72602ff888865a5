"""Which instruments something happened to, so that what is made of all their sources is made only then."""

from __future__ import annotations

import asyncio
import time
from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence

from crypto_stream.deadlines import Deadlines
from crypto_stream.feed.facts import Facts
from crypto_stream.feed.live_prices import LivePrices
from crypto_stream.market.events import Trade, Update
from crypto_stream.market.prices import Prices

_TICK_S = 0.1


class Activity:
    """Number what happens to each instrument: what is made of its prices stays true until its number grows.

    Something happened when an event was accepted, failover reconsidered the instrument, or a time passed at
    which its prices change without an event. An event costs one addition and a call of each listener.
    """

    def __init__(self, prices: LivePrices, facts: Facts) -> None:
        """Start with nothing; `listeners` are called with the symbol whenever something happened."""
        self.listeners: list[Callable[[str], None]] = []
        self._prices = prices
        self._facts = facts
        self._numbers: defaultdict[str, int] = defaultdict(int)
        self._deadlines: Deadlines[str] = Deadlines()
        self._reasons: Sequence[object] = ()
        self._of_all = 0  # changes of what is said of whole sources

    def number(self, symbol: str) -> int:
        """Return the number of the last thing that happened to an instrument."""
        return self._numbers.get(symbol, 0) + self._of_all

    def prices(self, symbol: str, now_ns: int) -> Prices:
        """Return the prices of an instrument, and make sure that its number grows when time changes them."""
        found = self._prices.of(symbol, now_ns)
        if found.until_ns is not None:
            self._deadlines.add(symbol, found.until_ns)
        return found

    def accepted(self, source: str, event: Update | Trade) -> None:
        """Note that the book accepted an event."""
        self._note(event.instrument.symbol)

    def forget(self, symbol: str) -> None:
        """Forget an instrument that was removed; its number goes on, since topics may have seen it."""
        self._deadlines.discard(symbol)

    def reconsidered(self, symbols: Iterable[str]) -> None:
        """Note that failover reconsidered instruments."""
        for symbol in symbols:
            self._note(symbol)

    async def run(self) -> None:
        """Watch time and sources until cancelled."""
        while True:
            await asyncio.sleep(_TICK_S)
            self.tick(time.monotonic_ns())

    def tick(self, now_ns: int) -> None:
        """Note what time changed; what is said of a source may be shown with each of its instruments."""
        for symbol in self._deadlines.due(now_ns):
            self._note(symbol)
        reasons = [(each.state, each.reason) for each in self._facts.values()]
        if reasons != self._reasons:
            self._reasons = reasons
            self._of_all += 1

    def _note(self, symbol: str) -> None:
        self._numbers[symbol] += 1
        for listener in self.listeners:
            listener(symbol)
