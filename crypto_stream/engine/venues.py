"""The topic of every source's own quote of an instrument, and the best bid and ask among the live ones."""

from __future__ import annotations

import time
from collections.abc import Mapping

from msgspec.structs import replace

from crypto_stream.feed.failover import Failover
from crypto_stream.feed.split import KeptSource
from crypto_stream.market.book import Book, best
from crypto_stream.market.status import VenueRow, Venues


class VenueQuotes:
    """Keys are symbols; updates are `Venues`, whole. Ages alone are no news."""

    name = "venues"

    def __init__(self, failover: Failover, lines: Mapping[str, KeptSource], book: Book) -> None:
        """Describe what `failover` decides over `lines`."""
        self._failover = failover
        self._lines = lines
        self._book = book
        self._told: dict[str, Venues] = {}

    def knows(self, key: str) -> bool:
        """Say whether there is such an instrument."""
        return key in self._failover.chains

    def begin(self, key: str) -> Venues:
        """Describe the instrument at every source, and compare from now on."""
        found = self.now(key)
        self._told[key] = _without_ages(found)
        return found

    def news(self, key: str) -> Venues | None:
        """Describe it where something but its age has changed."""
        found = self.now(key)
        if _without_ages(found) == self._told.get(key):
            return None
        self._told[key] = _without_ages(found)
        return found

    def end(self, key: str) -> None:
        """Compare no more."""
        self._told.pop(key, None)

    def now(self, symbol: str) -> Venues:
        """Describe `symbol` at every source of its chain that is connected or has said something about it."""
        failover, lines = self._failover, self._lines
        now_ns = time.monotonic_ns()
        serving = failover.serving[symbol]
        rows = [
            row
            for name in failover.chains[symbol]
            if (row := _row(symbol, lines[name], failover, lines, self._book, now_ns)) is not None
        ]
        # What a source lacks besides makes its bid and ask no worse.
        why = failover.watch.why
        live = [row for row in rows if not row.stale and row.reason in (None, why(row.source, symbol))]
        bid_source, bid = best([(row.source, row.bid) for row in live if row.bid is not None], highest=True)
        ask_source, ask = best([(row.source, row.ask) for row in live if row.ask is not None], highest=False)
        reason = failover.why_lacking(serving, symbol) if serving else failover.reasons[symbol]
        return Venues(symbol, serving, serving is None, reason, bid, bid_source, ask, ask_source, rows)


def _without_ages(venues: Venues) -> Venues:
    return replace(venues, sources=[replace(row, age_ms=None) for row in venues.sources])


def _row(
    symbol: str,
    line: KeptSource,
    failover: Failover,
    lines: Mapping[str, KeptSource],
    book: Book,
    now_ns: int,
) -> VenueRow | None:
    entry = book.entry(line.name, symbol)
    if entry is None:
        if line.state == "off":
            return None
        none = (None,) * 7
        return VenueRow(line.name, line.state, False, True, *none, failover.why_not(line.name, symbol, lines))
    serving, live = failover.serving[symbol] == line.name, failover.is_live(line.name, symbol, lines)
    halted = symbol in line.halted
    return VenueRow(
        line.name,
        line.state,
        serving,
        halted or not live,
        entry.price,
        entry.bid,
        entry.bid_size,
        entry.ask,
        entry.ask_size,
        entry.time,
        (now_ns - entry.received_ns) // 1_000_000,
        (None if serving or not live else failover.doubt(line.name, symbol, lines, now_ns))
        or failover.why_not(line.name, symbol, lines),
    )
