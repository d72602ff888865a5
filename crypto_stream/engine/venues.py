"""The topic of an instrument's quotes at all sources, and the best bid and ask among the live ones."""

from __future__ import annotations

import time
from collections.abc import Mapping

from msgspec.structs import replace

from crypto_stream.feed.failover import Failover
from crypto_stream.feed.split import ManagedSource
from crypto_stream.market.book import Book, Entry, best
from crypto_stream.market.status import VenueRow, Venues

_UNKNOWN = Entry()


class VenueQuotes:
    """Keys are symbols, updates are complete `Venues`; a change of ages alone is not sent."""

    name = "venues"

    def __init__(self, failover: Failover, sources: Mapping[str, ManagedSource], book: Book) -> None:
        """Describe the quotes in `book`; `failover` decides which of the `sources` serves."""
        self._failover = failover
        self._sources = sources
        self._book = book
        self._sent: dict[str, Venues] = {}

    def has(self, key: str) -> bool:
        """Return whether this instrument exists."""
        return key in self._failover.chains

    def start(self, key: str) -> Venues:
        """Return the instrument's quotes, with which `changes` compares."""
        found = self.current(key)
        self._sent[key] = _without_ages(found)
        return found

    def changes(self, key: str) -> Venues | None:
        """Return the instrument's quotes if anything but an age has changed."""
        found = self.current(key)
        if _without_ages(found) == self._sent.get(key):
            return None
        self._sent[key] = _without_ages(found)
        return found

    def stop(self, key: str) -> None:
        """Forget what was sent."""
        self._sent.pop(key, None)

    def current(self, symbol: str) -> Venues:
        """Return the quotes of `symbol` at each source of its chain that is connected or has a quote."""
        failover = self._failover
        now_ns = time.monotonic_ns()
        serving = failover.serving[symbol]
        rows = [row for name in failover.chains[symbol] if (row := self._row(symbol, name, now_ns))]
        # A source that lacks other data (trades, say) can still have the best bid or ask.
        why = failover.watch.describe
        live = [row for row in rows if not row.stale and row.reason in (None, why(row.source, symbol))]
        bid_source, bid = best([(row.source, row.bid) for row in live if row.bid is not None], highest=True)
        ask_source, ask = best([(row.source, row.ask) for row in live if row.ask is not None], highest=False)
        return Venues(
            symbol=symbol,
            serving=serving,
            stale=serving is None,
            reason=failover.missing_at(serving, symbol) if serving else failover.reasons[symbol],
            best_bid=bid,
            best_bid_source=bid_source,
            best_ask=ask,
            best_ask_source=ask_source,
            sources=rows,
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


def _without_ages(venues: Venues) -> Venues:
    return replace(venues, sources=[replace(row, age_ms=None) for row in venues.sources])
