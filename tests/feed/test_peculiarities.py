"""Peculiarities of venues: tokens, greetings, pings, losses, several connections, polling."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from http import HTTPStatus
from pathlib import Path
from typing import Any

import pytest
from msgspec.structs import replace
from websockets.asyncio.server import Server, ServerConnection, serve
from websockets.exceptions import ConnectionClosed
from websockets.http11 import Request, Response

from crypto_stream.feed.loading import load_source
from crypto_stream.feed.split import SplitSource
from tests.feed.assembled import assembled
from tests.feed.rig import Feed
from tests.waiting import until

FOLDER = Path(__file__).parent / "odd_venues"
PAIRS = ("btcusdt", "ethusdt", "xrpusdt", "adausdt")


class Habits:
    """The venue: one port for its REST interface and its WebSockets."""

    def __init__(self) -> None:
        self.connections: list[ServerConnection] = []
        self.said: dict[ServerConnection, list[dict[str, object]]] = {}
        self.tokens: list[str] = []
        self.newest: list[dict[str, object]] = []
        self.asked: list[str] = []
        self.refuses = False
        self._used: set[str] = set()
        self._server: Server | None = None

    @property
    def address(self) -> str:
        """Host and port."""
        assert self._server is not None
        return f"127.0.0.1:{next(iter(self._server.sockets)).getsockname()[1]}"

    @asynccontextmanager
    async def running(self) -> AsyncIterator[Habits]:
        """Listen."""
        async with serve(self._serve, "127.0.0.1", 0, process_request=self._answer) as self._server:
            yield self

    def _answer(self, connection: ServerConnection, request: Request) -> Response | None:
        if request.path == "/token":
            self.tokens.append(f"t{len(self.tokens)}")
            return connection.respond(HTTPStatus.OK, json.dumps(self.tokens[-1]))
        if request.path.startswith("/newest"):
            self.asked.append(request.path)
            if self.refuses:
                return connection.respond(HTTPStatus.SERVICE_UNAVAILABLE, "")
            return connection.respond(HTTPStatus.OK, json.dumps(self.newest))
        token = request.path.removeprefix("/stream?token=")
        right = token in self.tokens and token not in self._used and request.headers["X-Habit"] == "yes"
        self._used.add(token)
        return None if right else connection.respond(HTTPStatus.FORBIDDEN, "")

    async def _serve(self, connection: ServerConnection) -> None:
        self.connections.append(connection)
        said = self.said[connection] = []
        async for text in connection:
            said.append(heard := json.loads(text))
            if heard["do"] == "subscribe":
                await self.send(connection, is_a="ack", of=heard["of"], topic=heard["topic"])
            elif heard["do"] == "ping":
                await self.send(connection, is_a="pong")

    async def send(self, connection: ServerConnection, **frame: object) -> None:
        """Send one frame."""
        with suppress(ConnectionClosed):
            await connection.send(json.dumps(frame))

    async def trade(self, of: str, number: int) -> None:
        """Send a trade to all subscribers."""
        for connection, said in self.said.items():
            if {"do": "subscribe", "topic": "trades", "of": of} in said:
                await self.send(connection, is_a="trade", of=of, number=number, text="9.50", size="1")

    def count(self, do: str, **more: object) -> int:
        """Count the connections that sent this."""
        wanted = {"do": do, **more}
        return sum(wanted.items() <= each.items() for said in self.said.values() for each in said)


@asynccontextmanager
async def fed(
    name: str, *pairs: str, pace_s: float = 0.0, **given: Any
) -> AsyncIterator[tuple[Habits, Feed]]:
    """Run the feed on this venue only, which takes a request each `pace_s`."""
    async with Habits().running() as venue:
        options = {"url": f"ws://{venue.address}", "rest_url": f"http://{venue.address}"}
        if name == "asked":
            del options["url"]
        source = load_source(name, FOLDER, options)
        source = replace(source, limits=source.limits._replace(pace_s=pace_s))
        async with assembled(source, pairs=",".join(pairs), **given) as feed:
            yield venue, feed


async def test_token_headers_and_greeting_open_each_connection() -> None:
    """The token is fetched for each connection; the greeting is sent before any subscription."""
    async with fed("habits", "btcusdt", stale_after=60) as (venue, feed):
        await until(lambda: feed.state("habits") == "connected")
        first = venue.said[venue.connections[0]][:2]
        await venue.connections[0].close()
        await until(lambda: len(venue.connections) == 2 and venue.said.get(venue.connections[1]))

        assert [each["do"] for each in first] == ["greet", "subscribe"]
        assert len(venue.tokens) == 2
        assert venue.said[venue.connections[1]][0] == {"do": "greet"}


async def test_its_own_ping_is_answered_and_ours_does_not_wait_for_silence() -> None:
    """The venue's pings are answered at once; with `always`, our pings are sent even while data arrives."""
    async with fed("habits", "btcusdt", stale_after=60) as (venue, feed):
        await until(lambda: feed.state("habits") == "connected")
        for number in range(1, 1_000):
            await venue.trade("BTC/USDT", number)
            await asyncio.sleep(0.01)
            if venue.count("ping") >= 3:
                break
        await venue.send(venue.connections[0], is_a="ping", number=7)
        await until(lambda: venue.count("pong", number=7))

        assert venue.count("ping") >= 3
        assert len(venue.connections) == 1


async def test_pings_without_end_are_not_all_answered() -> None:
    """Faster than we may send: the newest is answered, and nothing piles up behind it."""
    async with fed("habits", "btcusdt", pace_s=0.05, stale_after=60) as (venue, feed):
        await until(lambda: feed.state("habits") == "connected")
        for number in range(1, 501):
            await venue.send(venue.connections[0], is_a="ping", number=number)
        await until(lambda: venue.count("pong", number=500))
        answered, ours = venue.count("pong"), venue.count("ping")
        await until(lambda: venue.count("ping") >= ours + 3)  # for more than half a second

        assert venue.count("pong") == answered
        assert len(venue.connections) == 1


async def test_silence_after_our_ping_ends_the_connection() -> None:
    """Also with `always`, an unanswered ping ends the connection."""
    async with fed("habits", "btcusdt", stale_after=60) as (venue, feed):
        await until(lambda: feed.state("habits") == "connected")
        mute = venue.connections[0]
        venue.said[mute].clear()
        mute.transport.pause_reading()
        await until(lambda: len(venue.connections) == 2)

        assert "no answer to a ping" in str(feed.composition.loop.sources["habits"].last_error)


async def test_only_the_lost_topic_is_resubscribed() -> None:
    """If a reader misses a number, that topic is unsubscribed and subscribed again."""
    async with fed("habits", "btcusdt", "ethusdt", stale_after=60) as (venue, feed):
        await until(lambda: feed.state("habits") == "connected")
        for number in (1, 2, 4):
            await venue.trade("BTC/USDT", number)
        await until(lambda: venue.count("subscribe", topic="trades", of="BTC/USDT") == 2)

        assert venue.count("unsubscribe") == 1
        assert venue.count("unsubscribe", topic="trades", of="BTC/USDT") == 1
        assert venue.count("subscribe") == 5
        entry = feed.composition.book.entry("habits", "btcusdt")
        assert entry is not None
        assert entry.price == "9.50"


async def test_order_of_arrival_is_an_order() -> None:
    """Frames without any number are ordered by arrival."""
    async with fed("habits", "btcusdt", stale_after=60) as (venue, feed):
        await until(lambda: feed.state("habits") == "connected")
        for bid in ("1.5", "1.4", "1.50"):
            await venue.send(venue.connections[0], is_a="top", of="BTC/USDT", text=bid)

        def newest() -> str | None:
            entry = feed.composition.book.entry("habits", "btcusdt")
            return entry.bid if entry else None

        await until(lambda: newest() == "1.50")


async def test_a_venue_in_maintenance_serves_nothing_until_it_ends() -> None:
    """Its word is the reason of each of its instruments."""
    async with fed("habits", "btcusdt", "ethusdt", stale_after=60) as (venue, feed):
        await until(lambda: feed.state("habits") == "connected")
        await venue.trade("BTC/USDT", 1)
        await until(lambda: feed.serving("btcusdt") == "habits")
        await venue.send(venue.connections[0], is_a="state", text="maintenance")
        await until(lambda: feed.serving("btcusdt") is None)
        why = feed.composition.failover.reasons["btcusdt"]
        await venue.send(venue.connections[0], is_a="state", text="")
        await until(lambda: feed.serving("btcusdt") == "habits")

        assert "maintenance" in why


async def test_frames_as_large_as_the_handler_allows() -> None:
    """A frame of 3 MiB is read; one beyond the handler's limit ends the connection."""
    async with fed("habits", "btcusdt", stale_after=60) as (venue, feed):
        await until(lambda: feed.state("habits") == "connected")
        await venue.send(venue.connections[0], is_a="book", text="x" * 3 * 1024 * 1024)
        await venue.trade("BTC/USDT", 1)
        await until(lambda: feed.serving("btcusdt") == "habits")
        connections = len(venue.connections)
        await venue.send(venue.connections[0], is_a="book", text="x" * 5 * 1024 * 1024)
        await until(lambda: len(venue.connections) == 2)

        assert connections == 1


async def test_instruments_are_split_over_connections() -> None:
    """Each connection has a part; a lost one affects only its own."""
    async with fed("habits", *PAIRS, stale_after=60) as (venue, feed):
        source = feed.composition.loop.sources["habits"]
        assert isinstance(source, SplitSource)
        await until(lambda: feed.state("habits") == "connected")
        for number, of in enumerate(("BTC/USDT", "ETH/USDT", "XRP/USDT", "ADA/USDT"), 1):
            await venue.trade(of, number)
        await until(lambda: feed.served() == {"habits"})
        shares = [{each["of"] for each in said if each["do"] == "subscribe"} for said in venue.said.values()]
        feed.changes.clear()
        broken = next(one for one, said in venue.said.items() if "XRP/USDT" in str(said))
        await broken.close(1011, "one of two")
        await until(lambda: feed.changes)
        status = source.status(0, pin=None, serving=2)
        await until(lambda: feed.state("habits") == "connected" or len(venue.connections) == 3)

        assert sorted(map(len, shares)) == [2, 2]
        assert not shares[0] & shares[1]
        assert {change.symbol for change in feed.changes if change.after is None} == {"xrpusdt", "adausdt"}
        assert "1 of 2 connections" in str(status.reason)
        assert status.carries == 4
        assert feed.serving("btcusdt") == "habits"


async def test_a_polled_venue() -> None:
    """One request for all of its instruments, repeatedly; a failure is a loss with its reason."""
    async with fed("asked", "btcusdt", "ethusdt") as (venue, feed):
        venue.newest = [{"id": "BTC-USDT", "n": 1, "bid": "5.10", "ask": "5.20"}]
        await until(lambda: feed.serving("btcusdt") == "asked")
        entry = feed.composition.book.entry("asked", "btcusdt")
        assert entry is not None
        values = (entry.price, entry.bid, entry.ask)
        venue.refuses = True
        await until(lambda: feed.state("asked") == "lost")
        why = feed.composition.loop.sources["asked"].last_error
        venue.refuses = False
        venue.newest = [{"id": "BTC-USDT", "n": 2, "bid": "5.30", "ask": "5.40"}]
        await until(lambda: feed.serving("btcusdt") == "asked")

        assert values == ("5.10", "5.10", "5.20")
        assert "503" in str(why)
        assert all("BTC-USDT" in path and "ETH-USDT" in path for path in venue.asked)


@pytest.mark.parametrize("name", ["habits", "asked"])
def test_both_kinds_are_loaded_by_what_they_define(name: str) -> None:
    """There is no list of handlers."""
    assert load_source(name, FOLDER, {}).name == name
