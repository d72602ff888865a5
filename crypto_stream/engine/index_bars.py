"""Record the indexes as bars in the history."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterable

from crypto_stream.deadlines import Deadlines
from crypto_stream.engine.index import Indexes
from crypto_stream.history.history import History
from crypto_stream.market.events import Trade
from crypto_stream.market.index import Index, series_name
from crypto_stream.market.instruments import Instrument

# The `source` of these bars.
SOURCE = "index"
_EVERY_NS = 1_000_000_000
_TICK_S = 0.1
# Values per tick. If more instruments change within a second than ten ticks record, they take turns.
_PER_TICK = 10


class IndexBars:
    """Record a value of each index to which something happened, once a second: its history has bars and gaps.

    `symbols` are the instruments whose indexes have a series. If nothing happens, nothing is computed.
    """

    def __init__(self, indexes: Indexes, history: History, symbols: Iterable[str]) -> None:
        self._indexes = indexes
        self._history = history
        self._next_ns: dict[str, int] = {}  # when the next value may be recorded
        self._unchanged: set[str] = set()
        self._due: Deadlines[str] = Deadlines()
        self._live: set[str] = set()
        for symbol in symbols:
            self.add(symbol)

    def add(self, symbol: str) -> None:
        """Record one more index."""
        self._next_ns[symbol] = 0
        self._unchanged.add(symbol)

    def remove(self, symbol: str) -> bool:
        """Record an index no longer; return whether it was recorded."""
        self._unchanged.discard(symbol)
        self._due.discard(symbol)
        self._live.discard(symbol)
        return self._next_ns.pop(symbol, None) is not None

    def happened(self, symbol: str) -> None:
        """Take note that something happened to an instrument."""
        if symbol in self._unchanged:
            self._unchanged.discard(symbol)
            self._due.add(symbol, self._next_ns[symbol])

    async def run(self) -> None:
        """Record values until cancelled."""
        while True:
            await asyncio.sleep(_TICK_S)
            self.tick(time.monotonic_ns())

    def tick(self, now_ns: int) -> None:
        """Record the values that are due, at most `_PER_TICK`, those first that have waited longest."""
        for symbol in self._due.due(now_ns, _PER_TICK):
            self._unchanged.add(symbol)
            self._next_ns[symbol] = now_ns + _EVERY_NS
            self._record(symbol, self._indexes.current(symbol))

    def _record(self, symbol: str, found: Index) -> None:
        name = series_name(symbol)
        if found.stale or found.price is None:
            if symbol in self._live:
                self._live.discard(symbol)
                self._history.switched(name, None, found.reason or "")
            return
        if symbol not in self._live:
            self._live.add(symbol)
            self._history.switched(name, SOURCE, "enough sources agree")
        value = Trade(Instrument(name, None, None), SOURCE, 0, found.time, found.price, None)
        self._history.record(SOURCE, value, SOURCE)
