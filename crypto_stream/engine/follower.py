"""An engine that follows: its sources are connected, and it keeps what it needs to take over at any moment.

It publishes and writes nothing. Sources that are no venues, such as the synthetic one, rest: their prices are
made by the engine that leads.
"""

from __future__ import annotations

import asyncio
import time
from collections import deque
from collections.abc import Callable, Sequence
from typing import NamedTuple

from crypto_stream.engine.composition import Composition
from crypto_stream.engine.engine import Engine
from crypto_stream.engine.timekeeping import live_venues
from crypto_stream.feed.failover import Change
from crypto_stream.history.history import History
from crypto_stream.market.events import Trade, Update
from crypto_stream.market.instruments import Instrument
from crypto_stream.storage.interface import Stores

# Trades are kept for longer than a lease can be without a holder who writes. Of a flood the newest are kept.
_KEPT_NS = 120_000_000_000
_MAX_TRADES = 200_000
_LOOKS_EVERY_S = 0.1
_BEATS_EVERY_S = 0.5


class _Heard(NamedTuple):
    at_ns: int
    source: str
    trade: Trade


class Follower:
    """The listener of a feed, which passes everything on to the engine once there is one.

    Until then it keeps the trades of serving sources: those of the last two minutes, at most `max_trades`.
    """

    def __init__(self, feed: Composition, *, follows: bool, max_trades: int = _MAX_TRADES) -> None:
        """Listen to `feed`; an engine that `follows` lets all sources rest that are no venues."""
        self._feed = feed
        self._engine: Engine | None = None
        self._trades: deque[_Heard] = deque(maxlen=max_trades)
        self._since_ms: dict[str, int] = {}  # since when any source has served an instrument
        if follows:
            feed.loop.resting = frozenset(feed.loop.sources) - frozenset(live_venues(feed.sources))
            feed.accepted.append(self._accepted)
            feed.instruments.listeners.append(self._instruments_changed)

    def switched(self, changes: list[Change]) -> None:
        """Take note of the new serving sources."""
        if self._engine is not None:
            self._engine.switched(changes)
            return
        now_ms = self._feed.clock.now_ms()
        for change in changes:
            if change.after is None:
                self._since_ms.pop(change.symbol, None)
            else:
                self._since_ms.setdefault(change.symbol, now_ms)

    def sources_changed(self) -> None:
        """Let the engine publish the state of the sources."""
        if self._engine is not None:
            self._engine.sources_changed()

    def covered(self) -> dict[str, int]:
        """Return since when (ms) the trades of each instrument are kept, without holes."""
        kept_ns = _KEPT_NS
        if len(self._trades) == self._trades.maxlen:
            kept_ns = time.monotonic_ns() - self._trades[0].at_ns
        kept_ms = self._feed.clock.now_ms() - kept_ns // 1_000_000
        return {symbol: max(since_ms, kept_ms) for symbol, since_ms in self._since_ms.items()}

    def lead(self, engine: Engine, history: History) -> None:
        """Pass everything on to `engine` from now on, and the kept trades to its `history`."""
        feed = self._feed
        self._engine = engine
        serving = feed.failover.serving
        engine.switched(
            [Change(symbol, None, name, f"{name} is live") for symbol, name in serving.items() if name]
        )
        if self._accepted in feed.accepted:
            feed.accepted.remove(self._accepted)
            feed.instruments.listeners.remove(self._instruments_changed)
        history.replay((source, trade) for _, source, trade in self._trades)
        self._trades.clear()
        feed.restore_bars(history.last_bars)
        feed.loop.resting = ()
        feed.loop.changed()

    def _instruments_changed(self, added: Sequence[Instrument], removed: Sequence[Instrument]) -> None:
        """Forget since when removed instruments were served: they may come back."""
        for each in removed:
            self._since_ms.pop(each.symbol, None)

    def _accepted(self, source: str, event: Update | Trade) -> None:
        """Keep a trade of a serving source."""
        if not isinstance(event, Trade):
            return
        if event.time is not None:
            self._feed.clock.observe_trade(source, event.time)
        if self._feed.failover.serving.get(event.symbol) == source:
            now_ns = time.monotonic_ns()
            self._trades.append(_Heard(now_ns, source, event))
            while now_ns - self._trades[0].at_ns > _KEPT_NS:
                self._trades.popleft()


async def follow(stores: Stores, alive: Callable[[], None]) -> None:
    """Return as soon as this engine may write; call `alive` twice a second meanwhile."""
    async with asyncio.TaskGroup() as tasks:
        beating = tasks.create_task(_beat(alive))
        await _acquire(stores)
        beating.cancel()


async def _acquire(stores: Stores) -> None:
    while True:
        if await asyncio.to_thread(stores.acquire):
            return
        await asyncio.sleep(_LOOKS_EVERY_S)


async def _beat(alive: Callable[[], None]) -> None:
    while True:
        alive()
        await asyncio.sleep(_BEATS_EVERY_S)
