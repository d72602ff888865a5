"""The common part of all fake venues: the server, the clock that generates data, the control page."""

from __future__ import annotations

import asyncio
import logging
import time
from collections import deque
from collections.abc import Coroutine, Iterable
from decimal import Decimal
from http import HTTPStatus
from types import TracebackType
from typing import Any, Self
from urllib.parse import parse_qsl, urlsplit

from websockets.asyncio.server import Server, ServerConnection, serve
from websockets.exceptions import ConnectionClosed
from websockets.http11 import Request, Response

from crypto_stream.market.orders import Rules
from tests.fakes.books import FakeBook, Sent
from tests.fakes.client import Client, WatchedConnection
from tests.fakes.control import as_json, control
from tests.fakes.fault import Fault
from tests.fakes.faults import make_fault
from tests.fakes.walk import Walk

_CONTROL = "/_fake"
_LOGGER = logging.getLogger("tests.fakes")
_LOGGER.setLevel(logging.CRITICAL)  # cut handshakes are what this server is for
_TICKER_EVERY_S = 1.0
_LOT = "0.00001"


class FakeVenue:
    """A venue's server on `port` (0: any free one), with data, rules and faults.

    `rate` is top-of-book changes per second and symbol (0: only what `push` sends); every fourth comes with a
    trade, the 24 h figures each second. Subclasses define frames and rules, and which of the 24 h `figures`
    there are.
    """

    name = ""
    ws_paths: tuple[str, ...] = ()
    price_factor = Decimal(1)
    figures = frozenset({"open_24h", "high_24h", "low_24h", "volume_24h"})
    # What the list makes of this word in `states`; "" if it names none, None if it has no states at all.
    halted: str | None = "closed for the night"
    lists_ticks = True
    # Whether its volumes can be fetched. Usually not: the default pairs would become those that it lists.
    tells_volumes = False
    # Whether every request over HTTP is refused from now on.
    forbids_http = False
    # The channel of its books, None if it has none here; how many levels of a side it shows (None: all); and
    # whether it tells that a level is no longer among these.
    book_channel: str | None = None
    book_depth: int | None = None
    tells_dropped = False

    def __init__(
        self,
        symbols: Iterable[str],
        *,
        rate: float = 20.0,
        port: int = 0,
        price: str | None = None,
        near: str | None = None,
        seed: int = 1,
        host: str = "127.0.0.1",
    ) -> None:
        """Prepare; `async with` starts and stops."""
        distance = None if near is None else Decimal(near)
        walks = [Walk(symbol, seed, price, self.price_factor, distance) for symbol in symbols]
        self.walks = {walk.symbol: walk for walk in walks}
        self.rate = rate
        self.host = host
        self.port = port
        self.clients: set[Client] = set()
        self.current = Fault(self)
        self.connects: list[float] = []
        self.requests: deque[str] = deque(maxlen=1000)
        self.violations: list[str] = []
        self.states: dict[str, str] = {}
        self._untold: set[str] = set()  # traded since the last 24 h figures
        self.books: dict[str, FakeBook] = {}
        self.lost_books = 0  # how many of the next frames of books get lost
        self.rules = {walk.symbol: Rules(f"{walk.tick:f}", _LOT, _LOT, "1") for walk in self.walks.values()}
        self._server: Server | None = None
        self._group = asyncio.TaskGroup()
        self._tasks: set[asyncio.Task[None]] = set()

    # What a venue says in its own words.

    def opened(self, client: Client) -> None:
        """Record a new connection (streams named in its address)."""

    def received(self, client: Client, text: str) -> None:
        """Answer one text frame of a client."""
        raise NotImplementedError

    def heard(self, client: Client) -> None:
        """Check any incoming frame, control frames too."""

    def tick(self, client: Client, now: float) -> None:
        """Do what is due on one connection: pings, closes after silence."""

    def frames(self, walk: Walk, what: str) -> list[tuple[str, str]]:
        """Return (channel, frame) of `what`: "top", "trade" or "ticker"."""
        raise NotImplementedError

    def book_frame(self, walk: Walk, sent: Sent) -> str:
        """Return the frame of a book: all of it, or what changed."""
        raise NotImplementedError

    def book_frames(self, walk: Walk, sent: Sent) -> list[str]:
        """Return all frames of what `sent` says, for venues that need several."""
        return [self.book_frame(walk, sent)]

    def introduction(self) -> list[str]:
        """Return frames that a reader needs before it can read those of `frames`."""
        return []

    def introduction_of_books(self) -> list[str]:
        """Return frames that a reader needs before it can read those of `book_frames`."""
        return []

    def lose_frame(self) -> None:
        """Count a frame that is never sent, on each connection, if the venue numbers its frames."""

    def announcement(self) -> str:
        """Return the frame that announces a shutdown."""
        raise NotImplementedError

    def unknown_event(self) -> str:
        """Return a frame that no client knows."""
        raise NotImplementedError

    def rest(self, path: str, query: dict[str, str]) -> object:
        """Answer a REST request with JSON-ready values, or with the HTTPStatus of a failure."""
        raise NotImplementedError

    def post(self, path: str, body: bytes) -> object:
        """Answer a POST request likewise."""
        return HTTPStatus.METHOD_NOT_ALLOWED

    def id_of(self, walk: Walk) -> str | None:
        """Return the id of a pair that only the venue's list tells; None if it follows from the pair."""
        return None

    def encode(self, frame: str, client: Client | None = None) -> str | bytes:
        """Return a text as it is sent to `client`, whatever it is: `frames` and faults make text only."""
        return frame

    # Life.

    async def __aenter__(self) -> Self:
        """Listen, and start generating data."""
        await self._group.__aenter__()
        await self.listen()
        self.soon(self._run())
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Stop everything, cut open connections."""
        await self.current.stop()
        self.cut_all()
        await self.unlisten()
        for task in self._tasks:
            task.cancel()
        await self._group.__aexit__(kind, error, trace)

    async def listen(self) -> None:
        """Accept connections, again on the same port after `unlisten`."""
        if self._server is None:
            self._server = await serve(
                self._serve, self.host, self.port, process_request=self._upgrade, compression=None,
                ping_interval=None, open_timeout=None, close_timeout=2, logger=_LOGGER,
                create_connection=WatchedConnection,
            )  # fmt: skip
            self.port = next(iter(self._server.sockets)).getsockname()[1]

    async def unlisten(self) -> None:
        """Refuse connections from now on."""
        server, self._server = self._server, None
        if server is not None:
            server.close()
            await server.wait_closed()

    @property
    def url(self) -> str:
        """The WebSocket base address, without path."""
        return f"ws://{self.host}:{self.port}"

    @property
    def rest_url(self) -> str:
        """The REST base address."""
        return f"http://{self.host}:{self.port}"

    # Control.

    async def fault(self, name: str, symbol: str = "", *, seconds: float = 0.0) -> None:
        """Replace the current fault: a name of `FAULTS`, `name:argument` if it takes one, or "none".

        `symbol` (several with commas) limits it where that makes sense; after `seconds` (0: never) it ends.
        """
        new = make_fault(self, name, symbol)
        await self.current.stop()
        self.current = new
        await new.start()
        if seconds:
            self.soon(self._end_after(new, seconds))

    async def push(
        self, symbol: str, *, bid: str | None = None, ask: str | None = None, price: str | None = None
    ) -> None:
        """Send exact values now: a top of book for `bid` or `ask`, a trade for `price`."""
        walk = self.walks[symbol]
        if price is not None:
            walk.trade_at(Decimal(price))
            self.publish(walk, "trade")
        if bid is not None or ask is not None:
            walk.quote_at(*(None if text is None else Decimal(text) for text in (bid, ask)))
            self.publish(walk, "top")

    def calm(self, symbol: str, calm: bool = True) -> None:
        """Stop activity on one symbol; its 24 h figures continue only where a change would send them."""
        self.walks[symbol].calm = calm

    def announce(self) -> None:
        """Announce a shutdown that does not happen: clients move to a new connection, under any fault."""
        for client in self.clients:
            client.send(self.announcement())

    def soon(self, coroutine: Coroutine[Any, Any, None]) -> None:
        """Run `coroutine` concurrently, at most until the venue stops."""
        task = self._group.create_task(coroutine)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    def cut_all(self, *, reset: bool = False) -> None:
        """Cut every open connection."""
        for client in list(self.clients):
            client.abort(reset=reset)

    def publish(self, walk: Walk, what: str) -> None:
        """Send `what` of one symbol to its subscribers, through the current fault."""
        walk.sent_at = time.monotonic()
        for channel, frame in self.frames(self.current.told(walk), what):
            for client in list(self.clients):
                if (channel, walk.symbol) in client.streams:
                    self.deliver(client, channel, walk.symbol, frame)
        if what == "top":
            self._publish_book(walk)

    def deliver(self, client: Client, channel: str, symbol: str, frame: str) -> None:
        """Send one data frame, through the current fault."""
        for piece in self.current.data(client, channel, symbol, frame):
            client.send(piece)

    def book(self, walk: Walk) -> FakeBook:
        """Return the book of one symbol."""
        if walk.symbol not in self.books:
            self.books[walk.symbol] = FakeBook(walk, self.book_depth, told=self.tells_dropped)
        return self.books[walk.symbol]

    def send_book(self, client: Client, walk: Walk) -> None:
        """Send one client the whole book as it is now."""
        assert self.book_channel is not None
        frame = self.book_frame(walk, self.book(walk).whole())
        self.deliver(client, self.book_channel, walk.symbol, frame)

    def _publish_book(self, walk: Walk) -> None:
        """Let a book that somebody is subscribed to follow its walk, and send what changed."""
        if (channel := self.book_channel) is None:
            return
        clients = [client for client in self.clients if (channel, walk.symbol) in client.streams]
        if not clients:
            return
        for frame in self.book_frames(walk, self.book(walk).step()):
            if self.lost_books:
                self.lost_books -= 1
                for client in clients:
                    self.encode(frame, client)  # the venue has numbered it for each
                continue
            for client in clients:
                self.deliver(client, channel, walk.symbol, frame)

    def acknowledge(self, client: Client, frame: str, symbols: set[str]) -> None:
        """Send the acknowledgement of `symbols`, through the current fault."""
        delay = self.current.acks(frame, symbols)
        if delay:
            self.soon(_send_after(delay, client, frame))
        elif delay is not None:
            client.send(frame)

    def counters(self) -> dict[str, object]:
        """Return what this venue has seen, as JSON-ready values."""
        return {
            "venue": self.name,
            "fault": self.current.name,
            "open": len(self.clients),
            "connects": self.connects,
            "requests": list(self.requests),
            "violations": self.violations,
            "symbols": {symbol: walk.values() for symbol, walk in self.walks.items()},
        }

    # Inside.

    async def _end_after(self, fault: Fault, seconds: float) -> None:
        await asyncio.sleep(seconds)
        if self.current is fault:
            await self.fault("none")

    async def _run(self) -> None:
        owed, last, next_ticker = 0.0, time.monotonic(), 0.0
        while True:
            rate = self.current.rate(self.rate)
            await asyncio.sleep(min(max(1 / rate, 0.005), 0.1) if rate else 0.1)
            now = time.monotonic()
            owed, last = owed + (now - last) * rate, now
            steps, owed = int(owed), owed % 1
            ticker = rate > 0 and now >= next_ticker
            next_ticker = now + _TICKER_EVERY_S if ticker else next_ticker
            for walk in self.walks.values():
                told = not walk.calm or walk.symbol in self._untold
                self._advance(walk, 0 if walk.calm else steps, ticker=ticker and told)
            if not self.current.mute:
                for client in list(self.clients):
                    self.tick(client, now)

    def _advance(self, walk: Walk, steps: int, *, ticker: bool) -> None:
        for _ in range(steps):
            walk.step()
            self.publish(walk, "top")
            if walk.update_id % 4 == 0:
                walk.trade()
                self.publish(walk, "trade")
                self._untold.add(walk.symbol)
        if ticker:
            self.publish(walk, "ticker")
            self._untold.discard(walk.symbol)

    async def _serve(self, connection: ServerConnection) -> None:
        assert isinstance(connection, WatchedConnection)
        assert connection.request is not None
        client = Client(connection, connection.request.path, self.encode)
        connection.watch = lambda: self.heard(client)
        self.clients.add(client)
        try:
            await self.current.opened(client)
            self.opened(client)
            async for message in connection:
                text = message if isinstance(message, str) else message.decode("utf-8", "replace")
                client.active_at = time.monotonic()
                self.requests.append(text)
                self.received(client, text)
        except ConnectionClosed:
            pass
        finally:
            self.clients.discard(client)

    async def _upgrade(self, connection: ServerConnection, request: Request) -> Response | None:
        address = urlsplit(request.path)
        query = dict(parse_qsl(address.query))
        if address.path == _CONTROL:
            return await control(self, connection, query)
        if request.headers.get("Upgrade", "").lower() != "websocket":
            is_post = request.method == "POST"
            assert isinstance(connection, WatchedConnection)
            answer = self.post(address.path, connection.body) if is_post else self.rest(address.path, query)
            answer = HTTPStatus.FORBIDDEN if self.forbids_http else answer
            return as_json(connection, answer, answer if isinstance(answer, HTTPStatus) else HTTPStatus.OK)
        self.connects.append(time.monotonic())
        if refused := await self.current.upgrade(connection):
            return refused
        known = address.path.startswith(self.ws_paths)
        return None if known else connection.respond(HTTPStatus.NOT_FOUND, "no such path\n")


async def _send_after(delay: float, client: Client, frame: str) -> None:
    await asyncio.sleep(delay)
    client.send(frame)
