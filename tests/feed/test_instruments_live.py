"""Instruments added to and removed from sources while they are connected to fake venues."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from itertools import pairwise

import msgspec
import pytest

from crypto_stream.feed.handler import Limits
from crypto_stream.feed.loading import load_sources
from crypto_stream.feed.split import SplitSource
from crypto_stream.market.choices import Chosen
from crypto_stream.market.instruments import pair
from tests.fakes import FAKES, FakeBinance, FakeOKX, FakeVenue
from tests.feed.rig import Feed, fed, running, settings
from tests.waiting import SCALE, until

pytestmark = pytest.mark.timeout(60 * SCALE)

LISTED = ("ethusdt", "xrpusdt", "solusdt", "adausdt", "dotusdt", "btcusdt")


@asynccontextmanager
async def small_connections(
    venue: FakeVenue, *pairs: str, size: int = 2, most: int = 3
) -> AsyncIterator[Feed]:
    """Run the feed on a venue that allows few instruments per connection."""
    chosen = settings(sources=venue.name, pairs=",".join(pairs), stale_after=60 * SCALE)
    address = {venue.name: {"url": venue.url, "rest_url": venue.rest_url}}
    chosen = chosen.model_copy(update={"handler_options": address})
    limits = Limits(instruments=size, connections=most, pace_s=0.01)
    sources = [msgspec.structs.replace(source, limits=limits) for source in load_sources(chosen)]
    async with fed(chosen, sources) as feed:
        yield feed


def add(feed: Feed, *symbols: str) -> list[str]:
    """Add pairs, which any source may carry."""
    return feed.composition.add([Chosen(pair(symbol)) for symbol in symbols])


async def test_a_full_connection_is_followed_by_another_one() -> None:
    """One that becomes empty is closed, and opened again for the next ones; the rest is left out."""
    async with FakeBinance(LISTED) as binance, small_connections(binance, "ethusdt", "xrpusdt") as feed:
        source = feed.composition.loop.sources["binance"]
        assert isinstance(source, SplitSource)
        await until(lambda: feed.serving("ethusdt") and feed.serving("xrpusdt"))
        first = len(binance.clients)
        added = add(feed, "solusdt", "adausdt", "dotusdt")
        await until(lambda: all(feed.serving(symbol) for symbol in added))
        three = len(binance.clients)
        left = add(feed, "btcusdt"), add(feed, "bnbusdt")
        feed.composition.remove({"dotusdt"})
        feed.composition.remove({"btcusdt"})
        await until(lambda: len(binance.clients) == 2)
        again = add(feed, "dotusdt")
        await until(lambda: feed.serving("dotusdt"))

        assert (first, three) == (1, 3)
        assert added == ["solusdt", "adausdt", "dotusdt"]
        assert left == (["btcusdt"], [])
        assert again == ["dotusdt"]
        assert len(binance.clients) == 3
        assert source.carries == {"ethusdt", "xrpusdt", "solusdt", "adausdt", "dotusdt"}
        assert source.room == 1
        assert source.status(time.monotonic_ns(), pin=None, serving=5).real == 5
        assert feed.state("binance") == "live"
        assert binance.violations == []


async def test_a_source_gets_room_when_pairs_leave() -> None:
    """What it had no room for moves up; the other source served it meanwhile, and its quote never ends."""
    async with FakeBinance(LISTED) as binance, FakeOKX(LISTED) as okx:
        chosen = settings(sources="binance,okx", pairs="ethusdt,xrpusdt", standby="all")
        address = {fake.name: {"url": fake.url, "rest_url": fake.rest_url} for fake in (binance, okx)}
        chosen = chosen.model_copy(update={"handler_options": address})
        first, second = load_sources(chosen)
        first = msgspec.structs.replace(first, limits=Limits(instruments=2, pace_s=0.01))
        async with fed(chosen, [first, second]) as feed:
            await until(lambda: feed.served() == {"binance"})
            add(feed, "solusdt")
            await until(lambda: feed.serving("solusdt") == "okx")
            status = feed.composition.loop.sources["binance"].status(0, pin=None, serving=0)
            feed.changes.clear()
            feed.composition.remove({"ethusdt"})
            feed.composition.use_room("binance")
            await until(lambda: feed.serving("solusdt") == "binance")
            later = feed.composition.loop.sources["binance"].status(0, pin=None, serving=0)

            assert status.left_out == ["solusdt"]
            assert later.left_out == []
            assert [(change.before, change.after) for change in feed.changes] == [("okx", "binance")]
            assert "ethusdt" not in feed.composition.failover.serving


async def test_others_miss_no_event_while_one_comes_and_goes() -> None:
    """The numbers of their trades and tops of book have no hole, over fifty rounds."""
    async with (
        FakeBinance(LISTED, rate=50) as binance,
        FakeOKX(LISTED, rate=50) as okx,
        running(binance, okx, pairs="ethusdt,xrpusdt", standby="all") as feed,
    ):
        await until(lambda: all(feed.received(name, "xrpusdt") for name in ("binance", "okx")))
        feed.events.clear()
        for number in range(50):
            symbol = ("solusdt", "adausdt", "btcusdt")[number % 3]
            assert add(feed, symbol) == [symbol]
            await asyncio.sleep(0.02 * SCALE)
            feed.composition.remove({symbol})
        removed = len(feed.events)
        await until(lambda: _count(feed, "binance", "xrpusdt") > 100 and _count(feed, "okx", "xrpusdt") > 100)
        await until(lambda: len(feed.events) > removed + 50)

        for source in ("binance", "okx"):
            for symbol in ("ethusdt", "xrpusdt"):
                assert _holes(feed, source, symbol) == 0
        assert {event.symbol for _, event in feed.events[removed:]} <= {"ethusdt", "xrpusdt", "btcusdt"}
        assert (binance.violations, okx.violations) == ([], [])
        assert feed.state("binance") == feed.state("okx") == "live"


def _count(feed: Feed, source: str, symbol: str) -> int:
    return sum(name == source and event.symbol == symbol for name, event in feed.events)


def _holes(feed: Feed, source: str, symbol: str) -> int:
    """Count the missing numbers of an instrument's trades and tops of book."""
    holes = 0
    for channels in ({"aggTrade", "trades"}, {"bookTicker", "bbo-tbt"}):
        keys = [
            event.key
            for name, event in feed.events
            if name == source and event.symbol == symbol and event.channel in channels
        ]
        assert keys
        holes += sum(after - before != 1 for before, after in pairwise(keys))
    return holes


async def test_the_busy_instrument_can_be_added_and_removed() -> None:
    """It is watched before and after, so that the venue is known to be alive; added, it serves at once."""
    async with (
        FakeBinance(LISTED) as binance,
        running(binance, pairs="ethusdt") as feed,
    ):
        await until(lambda: feed.received("binance", "btcusdt"))
        add(feed, "btcusdt")
        await until(lambda: feed.serving("btcusdt") == "binance")
        asked = [text for text in binance.requests if "btcusdt" in text]
        feed.composition.remove({"btcusdt"})
        await until(lambda: feed.received("binance", "btcusdt"))

        assert len(asked) == 1
        assert "btcusdt" not in feed.composition.failover.serving
        assert feed.composition.loop.sources["binance"].carries == {"ethusdt"}


@pytest.mark.parametrize("name", sorted(FAKES))
async def test_every_venue_takes_a_change_on_an_open_connection(name: str) -> None:
    """The new pair is served over the same connection, a removed one falls silent, the first one goes on."""
    async with (
        FAKES[name](["btcusdt", "ethusdt", "xrpusdt"]) as venue,
        running(venue, pairs="btcusdt,ethusdt") as feed,
    ):
        await until(lambda: feed.served() == {name}, 20 * SCALE)
        connects = len(venue.connects)
        add(feed, "xrpusdt")
        await until(lambda: feed.serving("xrpusdt") == name, 20 * SCALE)
        feed.composition.remove({"ethusdt"})
        at_ns = feed.received(name, "btcusdt")
        await until(lambda: feed.received(name, "btcusdt") > at_ns)
        add(feed, "ethusdt")
        await until(lambda: feed.serving("ethusdt") == name, 20 * SCALE)

        assert len(venue.connects) == connects
        assert feed.composition.loop.sources[name].refused == {}
        assert venue.violations == []


async def test_what_leaves_together_costs_one_request() -> None:
    """A venue that allows few requests is not asked once for each."""
    async with FakeBinance(LISTED) as binance, running(binance, pairs="ethusdt,xrpusdt,solusdt") as feed:
        await until(lambda: all(feed.serving(symbol) for symbol in ("ethusdt", "xrpusdt", "solusdt")))
        feed.composition.remove({"ethusdt", "solusdt"})
        await until(lambda: any("UNSUBSCRIBE" in text for text in binance.requests))
        feed.composition.add([Chosen(pair("adausdt"))])
        await until(lambda: feed.serving("adausdt"))
        ended = [text for text in binance.requests if "UNSUBSCRIBE" in text]

        assert len(ended) == 1
        assert all(symbol in ended[0] for symbol in ("ethusdt", "solusdt"))
