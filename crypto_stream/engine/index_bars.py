"""Record the indexes as bars in the history."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterable
from itertools import islice

from crypto_stream.engine.index import Indexes
from crypto_stream.feed.deadlines import Deadlines
from crypto_stream.history.history import History
from crypto_stream.market.events import Trade, Update
from crypto_stream.market.index import Index, series_name
from crypto_stream.market.instruments import Instrument

# The `source` of these bars.
SOURCE = "index"
_EVERY_NS = 1_000_000_000
_TICK_S = 0.1
# Values per tick: 250 a second cost about a hundredth of a core. If more instruments change, they take turns.
_PER_TICK = 25


class IndexBars:
    """Record a value of each index that changes, once a second, so that its history has bars and gaps.

    `symbols` are the instruments whose indexes have a series. An event costs one look-up in a set, and an
    instrument without events a value every `recheck_ns`, by which a lost index is noticed.
    """

    def __init__(self, indexes: Indexes, history: History, symbols: Iterable[str], recheck_ns: int) -> None:
        self._indexes = indexes
        self._history = history
        self._recheck_ns = recheck_ns
        self._unchanged = set(symbols)
        self._changed: dict[str, int] = {}  # by symbol, in the order of change: when the next value is due
        self._due_ns = dict.fromkeys(self._unchanged, 0)
        self._live: set[str] = set()
        self._rechecks: Deadlines[str] = Deadlines()

    def accepted(self, source: str, event: Update | Trade) -> None:
        """Take note that something changed at a source."""
        symbol = event.instrument.symbol
        if symbol in self._unchanged:
            self._note(symbol)

    async def run(self) -> None:
        """Record values until cancelled."""
        while True:
            await asyncio.sleep(_TICK_S)
            self.tick(time.monotonic_ns())

    def tick(self, now_ns: int) -> None:
        """Record the values that are due, at most `_PER_TICK`."""
        for symbol in self._rechecks.due(now_ns):
            if symbol in self._unchanged:
                self._note(symbol)
        for symbol, due_ns in list(islice(self._changed.items(), _PER_TICK)):
            if due_ns > now_ns:
                break  # those behind it changed later
            del self._changed[symbol]
            self._unchanged.add(symbol)
            self._due_ns[symbol] = now_ns + _EVERY_NS
            self._record(symbol, self._indexes.current(symbol), now_ns)

    def _note(self, symbol: str) -> None:
        self._unchanged.discard(symbol)
        self._changed[symbol] = self._due_ns[symbol]

    def _record(self, symbol: str, found: Index, now_ns: int) -> None:
        name = series_name(symbol)
        if found.stale or found.price is None:
            if symbol in self._live:
                self._live.discard(symbol)
                self._history.switched(name, None, found.reason or "")
            return
        if symbol not in self._live:
            self._live.add(symbol)
            self._history.switched(name, SOURCE, "enough sources agree")
        self._rechecks.add(symbol, now_ns + self._recheck_ns)
        value = Trade(Instrument(name, None, None), SOURCE, 0, found.time, found.price, None)
        self._history.record(SOURCE, value, SOURCE)
