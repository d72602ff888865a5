"""The topic of an instrument's quotes at all sources, and the best bid and ask among the live ones."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping

from msgspec.structs import replace

from crypto_stream.feed.failover import Failover
from crypto_stream.feed.split import SplitSource
from crypto_stream.market.best import best
from crypto_stream.market.book import Book, Entry
from crypto_stream.market.prices import Prices
from crypto_stream.market.status import VenueRow, Venues

_UNKNOWN = Entry()


class VenueQuotes:
    """The quotes in `book`; `failover` decides which source serves, `prices` gives the live ones."""

    def __init__(
        self,
        failover: Failover,
        sources: Mapping[str, SplitSource],
        book: Book,
        prices: Callable[[str, int], Prices],
    ) -> None:
        self._failover = failover
        self._sources = sources
        self._book = book
        self._prices = prices

    def current(self, symbol: str) -> Venues:
        """Return the quotes of `symbol` at each source of its chain that is connected or has a quote."""
        failover = self._failover
        now_ns = time.monotonic_ns()
        serving = failover.serving[symbol]
        found = best(self._prices(symbol, now_ns))
        return Venues(
            symbol=symbol,
            serving=serving,
            stale=serving is None,
            reason=failover.missing_at(serving, symbol) if serving else failover.reasons[symbol],
            best_bid=found.bid.price if found.bid else None,
            best_bid_source=found.bid.sources[0].source if found.bid else None,
            best_ask=found.ask.price if found.ask else None,
            best_ask_source=found.ask.sources[0].source if found.ask else None,
            sources=[row for name in failover.chains[symbol] if (row := self._row(symbol, name, now_ns))],
        )

    def _row(self, symbol: str, name: str, now_ns: int) -> VenueRow | None:
        source, failover = self._sources[name], self._failover
        entry = self._book.entry(name, symbol)
        if entry is None and source.state == "off":
            return None
        serving = entry is not None and failover.serving[symbol] == name
        live = entry is not None and failover.is_live(name, symbol, self._sources)
        doubt = failover.objection(name, symbol, self._sources, now_ns) if live and not serving else None
        values = entry or _UNKNOWN
        return VenueRow(
            source=name,
            state=source.state,
            serving=serving,
            stale=not live or symbol in source.halted,
            price=values.price,
            bid=values.bid,
            bid_size=values.bid_size,
            ask=values.ask,
            ask_size=values.ask_size,
            time=values.time,
            age_ms=None if entry is None else (now_ns - entry.received_ns) // 1_000_000,
            reason=doubt or failover.why_not(name, symbol, self._sources),
        )


def without_ages(venues: Venues) -> Venues:
    """Return the value without ages, to compare it with another one."""
    return replace(venues, sources=[replace(row, age_ms=None) for row in venues.sources])
