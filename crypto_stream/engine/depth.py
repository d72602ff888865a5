"""The topic `depth`: the books of the instruments that somebody looks at, by venue and merged.

Books are taken from the venues only while they are watched, or were needed a moment ago, by an HTTP request
or a paper order.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Container, Sequence
from contextlib import suppress
from decimal import Decimal
from itertools import islice

from crypto_stream.deadlines import Deadlines
from crypto_stream.engine.activity import Activity
from crypto_stream.engine.composition import Composition
from crypto_stream.engine.whole_topic import WholeTopic
from crypto_stream.errors import RefusedError
from crypto_stream.feed.depth import DepthFeed
from crypto_stream.feed.reconnect import ReconnectingSource
from crypto_stream.feed.sources import Venue
from crypto_stream.market import depth
from crypto_stream.market.depth import NO_BOOK, Depth, VenueDepth
from crypto_stream.market.prices import LeftOut, SourcePrices

# Instruments whose books are kept at once.
MOST = 200
TOO_MANY = f"the books of {MOST} instruments are kept already"
BEHIND = "its book does not follow its quotes"
FAR = "its book is far from its quotes"
_TICK_S = 0.1
# What cannot be reached for prices is not tried for books: both share a source's budget of attempts.
_DELIVERING = ("connected", "live", "stale")
# How long a book is kept for those who do not watch it, and after the last one who did.
_LEASE_NS = 30_000_000_000
_LINGER_NS = 5_000_000_000
# What else decides which books count is looked at this often; their own changes at once.
_OTHERS_NS = 250_000_000
# How long a request, or an order, waits for books that were not kept before.
_WAIT_S = 3.0


class DepthBooks:
    """The books of all venues that give any, each requested while it is wanted."""

    def __init__(self, feed: Composition, activity: Activity) -> None:
        """Connect to nothing before `run`; `listeners` are called with a symbol whose books changed."""
        self._sources = feed.loop.sources
        self._activity = activity
        self._configs = feed.session_configs
        self._band = feed.index_rule.band  # percent
        self._feeds = {
            name: DepthFeed(config, self._sources[name], self._on_change)
            for name, config in feed.session_configs.items()
            if isinstance(config.source, Venue) and config.source.gives_depth
        }
        self._watched: set[str] = set()
        self._kept: dict[str, int] = {}  # symbol → since when (monotonic ns)
        self._others: dict[str, tuple[int, int]] = {}  # symbol → when it was looked at, its number then
        self._until_ns: dict[str, int] = {}  # symbol → when nobody will need it any more
        self._expiry: Deadlines[str] = Deadlines()  # when to look at these; they are prolonged very often
        self._settled = False  # whether what is kept is what is wanted, as long as `_reached` does not change
        self._connections: dict[str, list[ReconnectingSource]] = {}  # of each source, for what is kept
        self._reached: Sequence[object] = ()
        self._changed = asyncio.Event()
        self.listeners: list[Callable[[str], None]] = []

    def watch(self, symbol: str) -> None:
        """Keep the books of an instrument until `unwatch`."""
        self._watched.add(symbol)
        self._settled = False
        if symbol not in self._kept and self._has_books(symbol):
            self._apply(time.monotonic_ns())

    def unwatch(self, symbol: str) -> None:
        """Keep them for a few seconds more: pages are reloaded."""
        self._watched.discard(symbol)
        self._others.pop(symbol, None)
        self._settled = False
        self._keep(symbol, _LINGER_NS)

    def forget(self, symbol: str) -> None:
        """Keep nothing of an instrument that was removed; its subscriptions end with the next round."""
        self._watched.discard(symbol)
        self._others.pop(symbol, None)
        self._until_ns.pop(symbol, None)
        self._expiry.discard(symbol)
        self._settled = False

    def need(self, symbol: str) -> None:
        """Keep the books of an instrument for half a minute; called for each order.

        If as many as possible are kept, it must wait until one of them is not needed any more.
        """
        self._keep(symbol, _LEASE_NS)
        if symbol not in self._kept and len(self._kept) < MOST and self._has_books(symbol):
            self._apply(time.monotonic_ns())

    async def complete(self, symbol: str) -> None:
        """Wait until the books of an instrument that is needed have come or were refused, or for a while.

        A source that is not live for it is not waited for: its book would not count.
        """
        self.need(symbol)
        live = self._activity.prices(symbol, time.monotonic_ns()).live
        feeds = [self._feeds[each.source] for each in live if each.source in self._feeds]
        with suppress(TimeoutError):
            async with asyncio.timeout(_WAIT_S):
                while any(each.is_awaited(symbol) for each in feeds):
                    self._changed.clear()
                    await self._changed.wait()

    def number(self, symbol: str) -> int:
        """Return a number that grows whenever the depth of an instrument may have changed."""
        now_ns = time.monotonic_ns()
        at_ns, others = self._others.get(symbol, (0, 0))
        if now_ns - at_ns > _OTHERS_NS:
            others = self._activity.number(symbol)
            self._others[symbol] = (now_ns, others)
        return others + sum(each.number(symbol) for each in self._feeds.values())

    def current(self, symbol: str) -> Depth:
        """Return the books of an instrument at the sources that are live for it."""
        now_ns = time.monotonic_ns()
        prices = self._activity.prices(symbol, now_ns)
        venues: list[VenueDepth] = []
        left_out = list(prices.left_out)
        for each in prices.live:
            found = self._of(each, symbol, now_ns)
            if isinstance(found, VenueDepth):
                venues.append(found)
            else:
                left_out.append(LeftOut(each.source, found))
        return depth.depth(symbol, venues, left_out)

    def awaits(self, source: str, symbol: str) -> bool:
        """Return whether the book of one source was requested a moment ago, and neither came nor was refused.

        A venue that never answers is waited for only that long, however often the book is needed.
        """
        feed, since_ns = self._feeds.get(source), self._kept.get(symbol)
        if feed is None or since_ns is None or not feed.is_awaited(symbol):
            return False
        return time.monotonic_ns() - since_ns < _WAIT_S * 1e9

    def at(self, source: str, symbol: str) -> VenueDepth | None:
        """Return the book of one source, and keep it for half a minute.

        None while it is unknown, does not agree with its quotes, or the source does not count.
        """
        feed = self._feeds.get(source)
        if feed is None or not feed.carries(symbol):
            return None
        self._keep(symbol, _LEASE_NS)
        if feed.known(symbol) is None:
            return None
        now_ns = time.monotonic_ns()
        live = self._activity.prices(symbol, now_ns).live
        found = next((self._of(each, symbol, now_ns) for each in live if each.source == source), None)
        return found if isinstance(found, VenueDepth) else None

    async def run(self) -> None:
        """Keep the wanted books until cancelled."""
        async with asyncio.TaskGroup() as tasks:
            for each in self._feeds.values():
                tasks.create_task(each.run())
            while True:
                await asyncio.sleep(_TICK_S)
                self._tick(time.monotonic_ns())

    def _tick(self, now_ns: int) -> None:
        """Request what is due; determine what is kept only if something has changed that it depends on."""
        self._expire(now_ns)
        if self._settled and self._reached == self._reach():
            for each in self._feeds.values():
                each.check(now_ns)
        else:
            self._apply(now_ns)

    def _expire(self, now_ns: int) -> None:
        for symbol in self._expiry.due(now_ns):
            if (until_ns := self._until_ns[symbol]) > now_ns:
                self._expiry.add(symbol, until_ns)
            else:
                del self._until_ns[symbol]
                self._settled &= symbol not in self._kept

    def _reach(self) -> Sequence[object]:
        """Return what the sources carry, by its version, and which of their connections deliver."""
        return [
            (self._configs[name].names.version, [each.state in _DELIVERING for each in connections])
            for name, connections in self._connections.items()
        ]

    def _keep(self, symbol: str, lease_ns: int) -> None:
        if self._has_books(symbol):
            until_ns = time.monotonic_ns() + lease_ns
            self._until_ns[symbol] = max(until_ns, self._until_ns.get(symbol, 0))
            self._expiry.add(symbol, until_ns)
            self._settled &= symbol in self._kept or len(self._kept) >= MOST

    def _has_books(self, symbol: str) -> bool:
        """Return whether any source can give a book; generated prices must not fill what is kept."""
        return any(each.carries(symbol) for each in self._feeds.values())

    def _apply(self, now_ns: int) -> None:
        """Request what is watched, then what is needed, over connections that deliver prices now."""
        self._expire(now_ns)
        symbols = dict.fromkeys([*sorted(self._watched), *self._until_ns])
        kept = islice(filter(self._has_books, symbols), MOST)
        self._kept = {symbol: self._kept.get(symbol, now_ns) for symbol in kept}
        for name, each in self._feeds.items():
            carrying = {symbol: self._sources[name].of(symbol) for symbol in self._kept}
            self._connections[name] = list(dict.fromkeys(carrying.values()))
            delivering = {one for one in self._connections[name] if one.state in _DELIVERING}
            each.want(
                [symbol for symbol, one in carrying.items() if one in delivering], now_ns, self._watched
            )
        self._settled, self._reached = True, self._reach()

    def _of(self, prices: SourcePrices, symbol: str, now_ns: int) -> VenueDepth | str:
        """Return the book of one source, or why there is none."""
        feed = self._feeds.get(prices.source)
        if feed is None:
            return NO_BOOK
        found = self._ladder(prices.source, symbol, now_ns)
        if found is None:
            return feed.reason(symbol) if symbol in self._kept else TOO_MANY
        if self._is_behind(found, prices):
            feed.lose(symbol, BEHIND)
            return BEHIND
        return FAR if self._is_far(found, prices) else found

    def _ladder(self, source: str, symbol: str, now_ns: int) -> VenueDepth | None:
        if (known := self._feeds[source].known(symbol)) is None:
            return None
        ladder = known.ladder
        age_ms = (now_ns - known.received_ns) // 1_000_000
        return VenueDepth(source, ladder.time, age_ms, ladder.levels, ladder.bids(), ladder.asks())

    def _is_behind(self, book: VenueDepth, prices: SourcePrices) -> bool:
        """Return whether the venue's quotes have moved away from a book that no longer changes."""
        allowed_ms = self._configs[book.source].stale_after_ns // 1_000_000
        if prices.top_age_ms is None or book.age_ms - prices.top_age_ms <= allowed_ms:
            return False
        return any(quote != level for quote, level in _tops(book, prices))

    def _is_far(self, book: VenueDepth, prices: SourcePrices) -> bool:
        """Return whether a book contradicts the same venue's quotes by more than one source may differ."""
        allowed = self._band / 100
        return any(abs(level - quote) > quote * allowed for quote, level in _tops(book, prices))

    def _on_change(self, symbol: str) -> None:
        self._changed.set()
        for listener in self.listeners:
            listener(symbol)


def _tops(book: VenueDepth, prices: SourcePrices) -> list[tuple[Decimal, Decimal]]:
    """Return the best prices of both, the quote's first, of each side that both have."""
    sides = ((prices.bid, book.bids), (prices.ask, book.asks))
    return [
        (Decimal(price), Decimal(levels[0][0])) for price, levels in sides if price is not None and levels
    ]


class DepthTopic(WholeTopic[Depth]):
    """Watch the books of an instrument; they are kept only while somebody does."""

    # The first change after a pause is sent at once (`Topics.happened`), further ones this often.
    every_s = 0.05

    def __init__(self, books: DepthBooks, symbols: Container[str]) -> None:
        super().__init__(
            "depth",
            symbols,
            current=books.current,
            number=books.number,
            without_ages=depth.without_ages,
        )
        self._books = books

    async def asked(self, key: str) -> Depth:
        """Return the books once they have come."""
        await self._books.complete(key)
        if not self.has(key):  # it was removed meanwhile
            raise RefusedError("unknown_key", f"there is no {self.name} of {key!r}")
        return self.current(key)

    def start(self, key: str) -> Depth:
        """Begin to keep the books."""
        self._books.watch(key)
        return super().start(key)

    def stop(self, key: str) -> None:
        """Keep them no longer."""
        self._books.unwatch(key)
        super().stop(key)
