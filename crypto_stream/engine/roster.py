"""The instruments while the engine runs: added to, and removed from, all of its parts."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from typing import NamedTuple

from crypto_stream.bus.messages import InstrumentsChanged, Quotes, ToGateway
from crypto_stream.engine.activity import Activity
from crypto_stream.engine.composition import Composition
from crypto_stream.engine.depth import DepthBooks
from crypto_stream.engine.index import Indexes
from crypto_stream.engine.index_bars import IndexBars
from crypto_stream.engine.publisher import Publisher
from crypto_stream.engine.topics import Topics
from crypto_stream.history.history import History
from crypto_stream.history.recorder import Past
from crypto_stream.market.choices import Chosen
from crypto_stream.market.index import series_name
from crypto_stream.market.instruments import few
from crypto_stream.orders.service import Orders

log = logging.getLogger(__name__)

# Instruments removed in one iteration of the event loop.
_REMOVED_AT_ONCE = 50


class Parts(NamedTuple):
    """The parts of the engine that know each instrument, besides the feed."""

    history: History
    publisher: Publisher
    activity: Activity
    indexes: Indexes
    index_bars: IndexBars
    books: DepthBooks
    topics: Topics
    trading: Orders


class Roster:
    """Add and remove instruments in all parts at once, and tell the gateways with `publish`."""

    def __init__(self, feed: Composition, parts: Parts, publish: Callable[[ToGateway], None]) -> None:
        self._feed = feed
        self._parts = parts
        self._publish = publish
        self._minimum = feed.index_rule.minimum
        self.grown = asyncio.Event()

    async def add(self, chosen: Sequence[Chosen]) -> list[str]:
        """Add pairs; return the symbols of those that are new and that some source has room for."""
        if not chosen:
            return []
        symbols = [self._feed.instruments.named(each.instrument).symbol for each in chosen]
        past = await asyncio.to_thread(self._read_past, symbols)
        # Nothing below waits: no event may find an instrument in some of the parts only.
        added = self._feed.add(chosen)
        self._record(added, past)
        parts = self._parts
        quotes = parts.publisher.add(added)
        parts.trading.add_instruments(added)
        if added:
            self._publish(InstrumentsChanged([self._feed.instruments[symbol] for symbol in added], []))
            self._publish(Quotes(parts.publisher.seq, quotes, parts.publisher.reasons(added)))
            log.info("instruments added", extra={"instruments": len(added), "symbols": few(added)})
            self.grown.set()
        return added

    def extend(self, symbol: str, names: Collection[str]) -> None:
        """Let further sources carry a pair, as far as they have room for it."""
        self._feed.extend(symbol, names)
        self._record_index(symbol, {})

    async def remove(self, symbols: Sequence[str]) -> None:
        """Remove instruments: their orders are cancelled, their bars remain stored.

        The event loop runs in between, because there may be thousands of them, and very many orders; the
        caller must add none of them meanwhile. If this is cancelled, the rest is done at once.
        """
        steps = self._removal(symbols)
        try:
            for _ in steps:
                await asyncio.sleep(0)
        finally:
            for _ in steps:
                pass

    def _removal(self, symbols: Sequence[str]) -> Iterator[None]:
        """Remove instruments step by step: each leaves all parts at once, and nothing trades in it any more.

        Gateways are told of all together.
        """
        if not symbols:
            return
        groups = [symbols[at : at + _REMOVED_AT_ONCE] for at in range(0, len(symbols), _REMOVED_AT_ONCE)]
        for group in groups:
            self._remove(group)
            yield
        self._publish(InstrumentsChanged([], list(symbols)))
        log.info("instruments removed", extra={"instruments": len(symbols), "symbols": few(symbols)})
        for name in self._feed.loop.sources:
            for symbol in self._feed.use_room(name):
                self._record_index(symbol, {})
            yield
        for group in groups:
            while self._parts.trading.remove_instruments(group):
                yield

    def _remove(self, symbols: Sequence[str]) -> None:
        """Remove instruments from all parts, where some of their orders may remain to be cancelled."""
        parts = self._parts
        self._feed.remove(set(symbols))
        for symbol in symbols:
            parts.publisher.remove(symbol)
            parts.activity.forget(symbol)
            parts.indexes.forget(symbol)
            parts.books.forget(symbol)
            parts.history.remove(symbol)
            if parts.index_bars.remove(symbol):
                parts.history.remove(series_name(symbol))
        parts.topics.drop_unknown()
        parts.trading.remove_instruments(symbols)

    def _read_past(self, symbols: Iterable[str]) -> Mapping[str, Past]:
        """Read what bars continue from; without it they begin anew."""
        names = [name for symbol in symbols for name in (symbol, series_name(symbol))]
        try:
            return self._parts.history.read_past(names)
        except OSError as error:
            log.warning("the history of new instruments cannot be read", extra={"reason": str(error)})
            return {}

    def _record(self, symbols: Sequence[str], past: Mapping[str, Past]) -> None:
        """Record bars, and those of each index that enough sources can form."""
        history = self._parts.history
        for symbol in symbols:
            history.add(symbol, past.get(symbol))
            self._record_index(symbol, past)
        bars = {symbol: bar for symbol in symbols if (bar := history.last_bars.get(symbol)) is not None}
        self._feed.restore_bars(bars)

    def _record_index(self, symbol: str, past: Mapping[str, Past]) -> None:
        """Record the index of an instrument, if enough sources carry it, unless it is recorded already."""
        name, history = series_name(symbol), self._parts.history
        if name not in history.series and len(self._feed.failover.chains[symbol]) >= self._minimum:
            history.add(name, past.get(name))
            self._parts.index_bars.add(symbol)
