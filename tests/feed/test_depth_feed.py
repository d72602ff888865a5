"""The connection for the books of a source, on a fake venue: what ends it, and what that means."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import Any

from crypto_stream.errors import RetryLaterError, VenueError
from crypto_stream.feed.books import AWAITED, Books
from crypto_stream.feed.depth import FULL, DepthFeed
from crypto_stream.feed.depth_session import DepthSession
from crypto_stream.feed.handler import Request, Wanted
from crypto_stream.market.choices import Chosen
from crypto_stream.market.instruments import pair
from handlers import binance, gate, kraken
from tests.fakes import FakeBinance, FakeGate, FakeKraken, FakeVenue
from tests.feed.assembled import assembled, source_of
from tests.feed.rig import Feed
from tests.waiting import until

PAIR, OTHER = "btcusdt", "ethusdt"


class Line:
    """A connection that keeps what is sent."""

    has_unsent = False

    def __init__(self) -> None:
        self.sent: list[str] = []

    def queue(self, requests: Sequence[Request]) -> None:
        """Keep the texts."""
        self.sent += [request.text for request in requests]

    def reply(self, text: str) -> None:
        """Keep it, too."""
        self.sent.append(text)

    def abort(self, reason: str) -> None:
        """Never end."""


class Depth:
    """The books of a source with prices, and the reasons why there was none, as they were told."""

    def __init__(self, feed: Feed, name: str) -> None:
        self.prices = feed
        self.config = feed.composition.session_configs[name]
        self.reasons: list[str] = []
        self.books = DepthFeed(self.config, feed.composition.loop.sources[name], self._changed)

    def want(self, *symbols: str) -> None:
        """Want these books now."""
        self.books.want(symbols, time.monotonic_ns())

    def has(self, *symbols: str) -> bool:
        """Want these books, as the engine does again and again; return whether all are known."""
        self.want(*symbols)
        return all(self.books.known(symbol) for symbol in symbols)

    def _changed(self, symbol: str) -> None:
        if self.books.known(symbol) is None:
            self.reasons.append(self.books.reason(symbol))


@asynccontextmanager
async def running(fake: FakeVenue, **changed: Any) -> AsyncIterator[Depth]:
    """Run the feed of a venue, and the connection for its books once prices are live."""
    async with assembled(source_of(fake, **changed), pairs=PAIR) as feed:
        await until(lambda: feed.state(fake.name) == "live")
        depth = Depth(feed, fake.name)
        async with asyncio.TaskGroup() as tasks:
            task = tasks.create_task(depth.books.run())
            yield depth
            task.cancel()


async def test_a_bug_in_the_requests_of_a_handler_ends_only_its_connection() -> None:
    """Neither the engine nor the prices; the reason says where to look."""

    class Reader(binance.Reader):
        def subscribe(self, wanted: Sequence[Wanted]) -> list[Request]:
            if any(each.topic == "depth" for each in wanted):
                raise KeyError("depth")
            return super().subscribe(wanted)

    async with FakeBinance([PAIR]) as fake, running(fake, reader=Reader) as depth:
        depth.want(PAIR)
        await until(lambda: depth.reasons)
        state = depth.prices.state(fake.name)

    assert depth.reasons[0] == "error in its handler, see the log"
    assert state == "live"


async def test_who_comes_back_at_once_gets_the_books_again() -> None:
    """That nobody looked for a moment is no failure of the venue, and no reason to give."""
    async with FakeBinance([PAIR]) as fake, running(fake) as depth:
        depth.want(PAIR)
        await until(lambda: depth.books.known(PAIR))
        depth.want()
        depth.want(PAIR)  # the connection has not ended yet
        before = len(fake.connects)
        await until(lambda: depth.books.known(PAIR) and len(fake.connects) > before)

    assert "no book is wanted" not in depth.reasons


async def test_a_venue_that_allows_few_books_gives_no_more() -> None:
    """Those that are kept remain, although others are named before them; one that ends makes room."""
    async with FakeBinance([PAIR, OTHER]) as fake, running(fake, books=1) as depth:
        await until(lambda: depth.has(PAIR))
        depth.prices.composition.add([Chosen(pair("ETH-USDT"))])
        await until(lambda: depth.books.carries(OTHER))
        depth.want(OTHER, PAIR)
        reasons = depth.books.reason(OTHER), depth.books.is_awaited(OTHER)
        streams = {stream for client in fake.clients for stream in client.streams}
        kept = depth.books.known(PAIR) is not None
        await until(lambda: depth.has(OTHER))
        gone = depth.books.known(PAIR)

    assert reasons == (FULL, False)
    assert (fake.book_channel, OTHER) not in streams
    assert (kept, gone) == (True, None)


async def test_a_book_is_not_awaited_while_nobody_may_connect() -> None:
    """Nothing can come before the next attempt; until then an order would wait for nothing."""
    async with FakeBinance([PAIR]) as fake, running(fake) as depth:
        source = depth.prices.composition.loop.sources[fake.name]
        depth.want(PAIR)
        at_first = depth.books.is_awaited(PAIR)
        depth.want()
        await fake.fault("http:429,600")
        await until(lambda: "429" in (source.reason or ""))
        depth.want(PAIR)
        banned = depth.books.is_awaited(PAIR)

    assert at_first
    assert not banned


async def test_books_follow_instruments_that_come_and_go() -> None:
    """The subscription to a removed one ends, although the source has no name for it any more."""
    async with FakeBinance([PAIR, OTHER]) as fake, running(fake) as depth:
        await until(lambda: depth.has(PAIR))
        before = depth.books.carries(OTHER)
        depth.prices.composition.add([Chosen(pair("ETH-USDT"))])
        await until(lambda: depth.has(PAIR, OTHER))
        depth.prices.composition.remove({OTHER})
        depth.want(PAIR, OTHER)
        after = depth.books.carries(OTHER), depth.books.known(OTHER)
        await until(lambda: all((fake.book_channel, OTHER) not in each.streams for each in fake.clients))
        streams = {stream for client in fake.clients for stream in client.streams}
        connections = len(fake.connects)

    assert not before
    assert after == (False, None)
    assert (fake.book_channel, PAIR) in streams
    assert connections == 2  # one for prices, one for books
    assert fake.violations == []


async def test_a_venue_that_asks_to_wait_is_heard_even_if_nobody_wants_a_book_any_more() -> None:
    """Else the next one who looks would break its ban."""
    async with FakeBinance([PAIR]) as fake, running(fake) as depth:
        session = DepthSession(depth.config, None, Books(1), lambda symbol: None)
        session.end("no book is wanted")
        needless = session.is_needless
        session.fail(VenueError("connection cut (1006)"))
        still_needless = session.is_needless
        session.fail(RetryLaterError("HTTP 429", 60.0))

    assert needless
    assert still_needless
    assert not session.is_needless
    assert str(session.error) == "HTTP 429"


async def test_what_was_refused_is_asked_for_again_but_not_cancelled() -> None:
    """There is no subscription to end, and trying to would be refused for another reason."""
    refused = (
        b'{"error":"Currency pair not supported BTC/USDT","method":"subscribe","success":false,'
        b'"symbol":"BTC/USDT","req_id":1}'
    )
    async with FakeKraken([PAIR]) as fake, running(fake) as depth:
        line, books = Line(), Books(1)
        books.want([PAIR], 0)
        session = DepthSession(depth.config, None, books, lambda symbol: None)
        reader = kraken.Reader(depth.config.names.by_id)
        session.begin(line, reader)
        session.read(reader, [refused])
        session.check(time.monotonic_ns())

    assert [json.loads(text)["method"] for text in line.sent] == ["subscribe", "subscribe"]
    assert books.reason(PAIR) == "refused: Currency pair not supported BTC/USDT"


async def test_a_refused_cancellation_is_not_taken_for_a_refused_book() -> None:
    """Kraken answers both as `subscribe`; the later subscription must be cancelled when it is lost."""
    refused = (
        b'{"error":"Subscription Not Found","method":"subscribe","success":false,'
        b'"symbol":"BTC/USDT","req_id":2}'
    )
    async with FakeKraken([PAIR]) as fake, running(fake) as depth:
        line, books = Line(), Books(1)
        books.want([PAIR], 0)
        session = DepthSession(depth.config, None, books, lambda symbol: None)
        reader = kraken.Reader(depth.config.names.by_id)
        session.begin(line, reader)
        session.check(time.monotonic_ns())  # not answered: cancelled and requested again
        asked = [json.loads(text) for text in line.sent]
        session.read(reader, [refused])
        reason = books.reason(PAIR)
        session.check(time.monotonic_ns())

    assert [(each["method"], each["req_id"]) for each in asked] == [
        ("subscribe", 1),
        ("unsubscribe", 2),
        ("subscribe", 3),
    ]
    assert reason == AWAITED
    assert [json.loads(text)["method"] for text in line.sent[3:]] == ["unsubscribe", "subscribe"]


async def test_a_refusal_concerns_the_books_of_its_request_alone() -> None:
    """Gate names the request and not the pair: what another request asked for is still awaited."""
    async with FakeGate([PAIR, OTHER]) as fake, running(fake) as depth:
        depth.prices.composition.add([Chosen(pair("ETH-USDT"))])
        line, books = Line(), Books(1)
        session = DepthSession(depth.config, None, books, lambda symbol: None)
        reader = gate.Reader(depth.config.names.by_id)
        books.want([PAIR], 0)
        session.begin(line, reader)
        books.want([PAIR, OTHER], 0)
        session.check(0)
        number = json.loads(line.sent[-1])["id"]
        refused = {
            "time": 1,
            "id": number,
            "channel": json.loads(line.sent[-1])["channel"],
            "event": "subscribe",
            "error": {"code": 2, "message": "unknown currency pair: ETH_USDT"},
            "result": None,
        }
        session.read(reader, [json.dumps(refused).encode()])

    assert books.awaited() == [PAIR]
    assert books.reason(OTHER) == "refused: unknown currency pair: ETH_USDT"
