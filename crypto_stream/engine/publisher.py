"""Publication of quotes: accepted events and failover's decisions become numbered quotes on the bus."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Iterable

from crypto_stream.bus.messages import Quotes, Switched, ToGateway
from crypto_stream.feed.failover import Change, Failover
from crypto_stream.market.book import Book, Entry
from crypto_stream.market.events import Trade, Update
from crypto_stream.market.instruments import Instruments
from crypto_stream.market.quotes import Quote
from crypto_stream.market.status import Switch
from crypto_stream.wall_clock import wall_ms

_UNKNOWN = Entry()


class Publisher:
    """Publish each changed instrument's newest quote once per iteration of the event loop.

    `epoch` identifies the data directory. `seq` increases with each published quote; it follows the clock in
    µs, so that it increases over restarts, too. A quote always names the source of its prices; if no live
    source serves an instrument, its last quote remains and is `stale`. Functions in `published` receive the
    quotes of each iteration.
    """

    def __init__(
        self,
        instruments: Instruments,
        book: Book,
        failover: Failover,
        publish: Callable[[ToGateway], None],
        *,
        epoch: str,
        seq: int,
    ) -> None:
        """Start with empty quotes, numbered above `seq`."""
        self.epoch = epoch
        self.seq = seq
        self.quotes: dict[str, Quote] = {}
        self.published: list[Callable[[list[Quote]], None]] = []
        self.instruments = instruments
        self._book = book
        self._failover = failover
        self._publish = publish
        self._source: dict[str, str] = {}
        self._dirty: set[str] = set()
        self.add(self.instruments)

    def add(self, symbols: Iterable[str]) -> list[Quote]:
        """Compose, and return, the empty quotes of new instruments."""
        now_ms, now_ns = wall_ms(), time.monotonic_ns()
        return [self._compose(symbol, now_ms, now_ns) for symbol in symbols]

    def remove(self, symbol: str) -> None:
        """Publish an instrument no longer."""
        self.quotes.pop(symbol, None)
        self._source.pop(symbol, None)
        self._dirty.discard(symbol)

    def accepted(self, source: str, event: Update | Trade) -> None:
        """Schedule the event's instrument for publication if `source` serves it."""
        symbol = event.instrument.symbol
        if self._failover.serving.get(symbol) == source:
            if symbol not in self._dirty:
                self._mark(symbol)
        elif self._failover.halted_source.get(symbol) == source:
            self._source[symbol] = source  # its market is halted: published, but stale
            self._mark(symbol)

    def switched(self, changes: list[Change]) -> list[Switch]:
        """Publish and return which source serves what now, grouped by reason; schedule the new quotes."""
        groups: dict[tuple[str | None, str | None, str], list[str]] = {}
        for symbol, before, after, reason in changes:
            if shown := after or self._failover.halted_source.get(symbol):
                self._source[symbol] = shown
            groups.setdefault((before, after, reason), []).append(symbol)
            self._mark(symbol)
        now_ms = wall_ms()
        switches = [
            Switch(symbols=symbols, from_=before, to=after, reason=reason, time=now_ms)
            for (before, after, reason), symbols in groups.items()
        ]
        for switch in switches:
            self._publish(Switched(switch))
        return switches

    def adopt_first_prices(self) -> None:
        """Publish a first, stale price of instruments that no source has served yet."""
        for symbol in self.instruments.keys() - self._source.keys():
            held_back = self._failover.held_back.get(symbol, ())
            known = (
                name
                for name in self._failover.chains[symbol]
                if name not in held_back and self._book.entry(name, symbol)
            )
            if source := next(known, None):
                self._source[symbol] = source
                self._mark(symbol)

    def reasons(self, symbols: Iterable[str]) -> dict[str, str]:
        """Return why the stale ones among `symbols` are stale."""
        serving, reasons = self._failover.serving, self._failover.reasons
        return {symbol: reasons[symbol] for symbol in symbols if serving[symbol] is None}

    def _mark(self, symbol: str) -> None:
        if not self._dirty:
            asyncio.get_running_loop().call_soon(self._flush)
        self._dirty.add(symbol)

    def _flush(self) -> None:
        now_ms, now_ns = wall_ms(), time.monotonic_ns()
        dirty, self._dirty = self._dirty, set()
        quotes = [self._compose(symbol, now_ms, now_ns) for symbol in dirty if symbol in self.instruments]
        if quotes:
            stale = [quote.symbol for quote in quotes if quote.stale]
            self._publish(Quotes(self.seq, quotes, self.reasons(stale)))
            for listener in self.published:
                listener(quotes)

    def _compose(self, symbol: str, now_ms: int, now_ns: int) -> Quote:
        source = self._source.get(symbol)
        entry = self._book.entry(source, symbol) if source else None
        received = None if entry is None else now_ms - (now_ns - entry.received_ns) // 1_000_000
        self.seq = max(self.seq + 1, time.time_ns() // 1000)
        quote = self.quotes[symbol] = (entry or _UNKNOWN).quote(
            self.instruments[symbol],
            source,
            received=received,
            published=now_ms,
            seq=self.seq,
            stale=self._failover.serving[symbol] is None,
        )
        return quote
