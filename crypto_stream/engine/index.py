"""The indexes of all instruments, from the sources that are live now."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping

from msgspec.structs import replace

from crypto_stream.feed.split import SplitSource
from crypto_stream.market.clock import EngineClock
from crypto_stream.market.index import Index, IndexRule, index
from crypto_stream.market.prices import Prices


class Indexes:
    """Compute an index when it is asked for, and remember its last value; nothing is computed otherwise."""

    def __init__(
        self,
        prices: Callable[[str, int], Prices],
        rule: IndexRule,
        sources: Mapping[str, SplitSource],
        clock: EngineClock,
        monotonic_ns: Callable[[], int] = time.monotonic_ns,
    ) -> None:
        """Take what returns the live prices, and the `sources` whose rules contain the ticks of prices."""
        self._prices = prices
        self._rule = rule
        self._sources = sources
        self._clock = clock
        self._monotonic_ns = monotonic_ns
        self._last: dict[str, Index] = {}

    def current(self, symbol: str) -> Index:
        """Return the index of an instrument; a stale one has the price and time of the last value."""
        prices = self._prices(symbol, self._monotonic_ns())
        found = index(prices, self._rule, self._ticks(symbol), self._clock.now_ms())
        if not found.stale:
            self._last[symbol] = found
        elif last := self._last.get(symbol):
            found = replace(found, price=last.price, time=last.time)
        return found

    def forget(self, symbol: str) -> None:
        """Forget the last value of an instrument that was removed."""
        self._last.pop(symbol, None)

    def _ticks(self, symbol: str) -> list[str]:
        known = (source.listing.rules.get(symbol) for source in self._sources.values())
        return [rules.tick for rules in known if rules is not None and rules.tick is not None]
