"""The feed on two fake venues, without engine and bus, for tests of failover."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass, field
from typing import Any

from crypto_stream.engine.composition import Composition
from crypto_stream.feed.connect_to_handler import connect_to_handler
from crypto_stream.feed.connection import Recorder
from crypto_stream.feed.failover import Change
from crypto_stream.feed.loading import load_sources
from crypto_stream.feed.sources import Source
from crypto_stream.market.events import Trade, Update
from crypto_stream.settings import Settings, load
from tests.fakes import FakeBinance, FakeOKX
from tests.fakes.venue import FakeVenue
from tests.waiting import SCALE, until

SYMBOLS = ("btcusdt", "ethusdt", "xrpusdt")
STALE_S = 0.6 * SCALE


@dataclass
class Feed:
    """A running feed and what it reported."""

    composition: Composition
    changes: list[Change] = field(default_factory=list)
    events: list[tuple[str, Update | Trade]] = field(default_factory=list)
    bans: dict[str, int] = field(default_factory=dict)

    def switched(self, changes: list[Change]) -> None:
        """Record changes."""
        self.changes += changes

    def sources_changed(self) -> None:
        """Ignore states: tests read them when needed."""

    def took(self, source: str, event: Update | Trade) -> None:
        """Record what the book accepted."""
        self.events.append((source, event))

    def state(self, source: str) -> str:
        """Return a source's state."""
        return self.composition.loop.sources[source].state

    def serving(self, symbol: str = "btcusdt") -> str | None:
        """Return the source that serves `symbol`."""
        return self.composition.failover.serving[symbol]

    def served(self) -> set[str | None]:
        """Return all sources that serve anything."""
        return set(self.composition.failover.serving.values())

    def received(self, source: str, symbol: str = "btcusdt") -> int:
        """Return when the newest accepted event arrived, on the monotonic clock in ns; 0 for never."""
        entry = self.composition.book.entry(source, symbol)
        return entry.received_ns if entry else 0


def settings(**given: Any) -> Settings:
    """Create settings with short limits."""
    quick = {
        "stale_after": STALE_S,
        "quiet_after": 6 * STALE_S,
        "failback_after": 1.0 * SCALE,
        "pairs": ",".join(SYMBOLS),
    }
    return load({**quick, "connect_timeout": 2.0 * SCALE, **given})


@contextlib.asynccontextmanager
async def fed(
    chosen: Settings, sources: Sequence[Source], recorder: Recorder | None = None
) -> AsyncIterator[Feed]:
    """Run the feed on `sources` with these settings."""
    bans: dict[str, int] = {}
    remember = bans.__setitem__
    composition = Composition(chosen, sources, pin=None, bans={}, remember_ban=remember, recorder=recorder)
    feed = Feed(composition, bans=bans)
    composition.accepted.append(feed.took)
    async with asyncio.TaskGroup() as tasks:
        loop = tasks.create_task(connect_to_handler(composition.loop, feed))
        try:
            yield feed
        finally:
            loop.cancel()


@contextlib.asynccontextmanager
async def running(*fakes: FakeVenue, **given: Any) -> AsyncIterator[Feed]:
    """Run the feed on `fakes`, the first one preferred."""
    addresses = {fake.name: {"url": fake.url, "rest_url": fake.rest_url} for fake in fakes}
    names = ",".join(fake.name for fake in fakes)
    chosen = settings(**{"sources": names, **given})
    chosen = chosen.model_copy(update={"handler_options": addresses})
    async with fed(chosen, load_sources(chosen)) as feed:
        yield feed


@contextlib.asynccontextmanager
async def two_venues(**given: Any) -> AsyncIterator[tuple[FakeBinance, FakeOKX, Feed]]:
    """Run the feed on a fake Binance (preferred) and a fake OKX, both live."""
    async with (
        FakeBinance(SYMBOLS) as binance,
        FakeOKX(SYMBOLS) as okx,
        running(binance, okx, **given) as feed,
    ):
        await until(lambda: feed.served() == {"binance"} and feed.state("okx") == "live")
        await until(lambda: all(feed.received("okx", symbol) for symbol in SYMBOLS))
        feed.changes.clear()
        yield binance, okx, feed
