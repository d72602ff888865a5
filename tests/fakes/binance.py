"""A fake Binance spot: combined and raw streams, SUBSCRIBE, the rules on messages and pings, exchangeInfo."""

from __future__ import annotations

import asyncio
import json
import time
from decimal import Decimal
from http import HTTPStatus
from typing import Any
from urllib.parse import parse_qsl, urlsplit

from websockets.exceptions import ConnectionClosed

from crypto_stream.market.orders import Rules
from tests.fakes.books import Sent
from tests.fakes.client import Client
from tests.fakes.venue import FakeVenue
from tests.fakes.walk import Walk

_MOST_STREAMS = 1024
_LONGEST_REQUEST = 4096
_MOST_CONNECTS = 300  # in 5 minutes
_STREAM_OF = {"top": "bookTicker", "trade": "aggTrade", "ticker": "ticker"}


class FakeBinance(FakeVenue):
    """Binance as `exchange-facts.md` §1 describes it; `ping_s` and `pong_s` are its heartbeat."""

    name = "binance"
    ws_paths = ("/stream", "/ws")
    book_channel = "depth20@100ms"
    book_depth = 20

    def __init__(self, *given: Any, ping_s: float = 20.0, pong_s: float = 60.0, **named: Any) -> None:
        """Take what every fake takes, and the seconds between pings and until a missing pong cuts."""
        super().__init__(*given, **named)
        self.ping_s = ping_s
        self.pong_s = pong_s
        self._pings: dict[Client, float] = {}

    def opened(self, client: Client) -> None:
        """Take the streams named in the address (/ws/<stream>, /stream?streams=a/b); judge the connecting."""
        if sum(at > client.opened_at - 300 for at in self.connects) > _MOST_CONNECTS:
            self.violations.append("more than 300 connects in 5 minutes")
        address = urlsplit(client.path)
        client.wrapped = not address.path.startswith("/ws")
        names = dict(parse_qsl(address.query)).get("streams", "") or address.path[len("/ws/") :]
        if client.wrapped or address.path.startswith("/ws/"):
            self._subscribe(client, [name for name in names.split("/") if "@" in name])

    def heard(self, client: Client) -> None:
        """Disconnect clients that send more than 5 frames, pings and pongs included, in any second."""
        client.arrivals.append(time.monotonic())
        if len(client.arrivals) == 6 and client.arrivals[-1] - client.arrivals[0] < 1.0:
            client.arrivals.clear()
            self.violations.append("more than 5 messages in one second")
            self.soon(client.close(1008, "Too many requests"))

    def received(self, client: Client, text: str) -> None:
        """Answer one request: {"method":"SUBSCRIBE","params":[...],"id":1}; longer ones are not read."""
        if len(text.encode()) >= _LONGEST_REQUEST:
            self.violations.append("a request of 4,096 bytes or more")
            return
        try:
            request = json.loads(text)
            method, params, number = request["method"], request.get("params", []), request["id"]
        except (ValueError, TypeError, KeyError):
            client.send(json.dumps({"error": {"code": 2, "msg": "Invalid request: missing field"}}))
            return
        if not isinstance(params, list):
            self._fail(client, number, 2, "Invalid request: streams must be an array")
        elif method == "SUBSCRIBE":
            self._answer_subscribe(client, number, params)
        elif method == "UNSUBSCRIBE":
            client.streams -= {_split(name) for name in params}
            self._ack(client, number, params)
        elif method == "LIST_SUBSCRIPTIONS":
            client.send(json.dumps({"result": [f"{s}@{c}" for c, s in sorted(client.streams)], "id": number}))
        else:
            self._fail(client, number, 2, f"Invalid request: unknown variant {method}")

    def tick(self, client: Client, now: float) -> None:
        """Ping every 20 s; disconnect clients that do not answer within a minute."""
        if now - self._pings.get(client, client.opened_at) >= self.ping_s:
            self._pings[client] = now
            self.soon(self._ping(client))
        for gone in self._pings.keys() - self.clients:
            del self._pings[gone]

    def frames(self, walk: Walk, what: str) -> list[tuple[str, str]]:
        """Return the wrapped frame; eight digits after the point, as the venue writes."""
        data: dict[str, object]
        now = time.time_ns() // 1_000_000
        name = f"{walk.base}{walk.quote}"
        if what == "top":
            data = {"u": walk.update_id, "s": name, "b": _text(walk.bid), "B": _text(walk.size)}
            data |= {"a": _text(walk.ask), "A": _text(walk.size)}
        elif what == "trade":
            number = walk.trade_id
            data = {"e": "aggTrade", "E": now, "s": name, "a": number, "p": _text(walk.price)}
            data |= {"q": _text(walk.size), "f": number, "l": number, "T": now, "m": False, "M": True}
        else:
            data = _day(walk, name, now)
        channel = _STREAM_OF[what]
        frame = json.dumps({"stream": f"{walk.symbol}@{channel}", "data": data}, separators=(",", ":"))
        return [(channel, frame)]

    def book_frame(self, walk: Walk, sent: Sent) -> str:
        """Return the first 20 levels, whole each time; only the stream names the symbol."""
        bids, asks = (
            [[_text(price), _text(size)] for price, size in side] for side in (sent.bids, sent.asks)
        )
        data = {"lastUpdateId": sent.number, "bids": bids, "asks": asks}
        frame = {"stream": f"{walk.symbol}@{self.book_channel}", "data": data}
        return json.dumps(frame, separators=(",", ":"))

    def deliver(self, client: Client, channel: str, symbol: str, frame: str) -> None:
        """Unwrap it for a client of raw mode."""
        if not client.wrapped:
            frame = json.dumps(json.loads(frame)["data"], separators=(",", ":"))
        super().deliver(client, channel, symbol, frame)

    def announcement(self) -> str:
        """Announce a shutdown to a client of combined streams."""
        data = {"e": "serverShutdown", "E": time.time_ns() // 1_000_000}
        return json.dumps({"stream": "!serverShutdown", "data": data})

    def unknown_event(self) -> str:
        """Send a stream that does not exist yet."""
        return json.dumps({"stream": "btcusdt@novelty", "data": {"e": "novelty", "E": 1, "s": "BTCUSDT"}})

    def rest(self, path: str, query: dict[str, str]) -> object:
        """Answer exchangeInfo and klines (one finished minute)."""
        if path == "/api/v3/exchangeInfo":
            return {"timezone": "UTC", "symbols": [self._listed(walk) for walk in self.walks.values()]}
        if path == "/api/v3/ticker/24hr" and self.tells_volumes:
            now = time.time_ns() // 1_000_000
            return [_volumes(_day(walk, f"{walk.base}{walk.quote}", now)) for walk in self.walks.values()]
        walk = self.walks.get(query.get("symbol", "").lower())
        if path != "/api/v3/klines" or walk is None:
            return HTTPStatus.NOT_FOUND
        opened = time.time_ns() // 60_000_000_000 * 60_000 - 60_000
        prices = [_text(value) for value in (walk.open, walk.high, walk.low, walk.price, walk.volume)]
        return [[opened, *prices, opened + 59_999, _text(walk.volume), 10, "0", "0", "0"]]

    def _listed(self, walk: Walk) -> dict[str, object]:
        status = self.states.get(walk.symbol, "TRADING")
        name = f"{walk.base}{walk.quote}"
        listed = {"symbol": name, "status": status, "baseAsset": walk.base, "quoteAsset": walk.quote}
        return {**listed, "filters": _filters(self.rules[walk.symbol])}

    def _answer_subscribe(self, client: Client, number: object, names: list[str]) -> None:
        whole = self.current.refuses_all({_split(name)[1] for name in names})
        if whole == "busy":
            self._fail(client, number, -1008, "Server is currently overloaded with other requests.")
        elif whole:
            client.send(json.dumps({"error": {"code": 2, "msg": "Invalid request: invalid stream"}}))
        elif any(self.current.refuses(_split(name)[1]) for name in names):
            self._fail(client, number, 2, "Invalid request: invalid stream")
        elif len(client.streams) + len(names) > _MOST_STREAMS:
            self._fail(client, number, 4, "Too many subscriptions")
        else:
            self._subscribe(client, names)
            self._ack(client, number, names)

    def _subscribe(self, client: Client, names: list[str]) -> None:
        # Unknown symbols are taken like any other and stay silent.
        client.streams |= {_split(name) for name in names}

    def _ack(self, client: Client, number: object, names: list[str]) -> None:
        frame = json.dumps({"result": None, "id": number}, separators=(",", ":"))
        self.acknowledge(client, frame, {_split(name)[1] for name in names})

    def _fail(self, client: Client, number: object, code: int, message: str) -> None:
        client.send(json.dumps({"error": {"code": code, "msg": message}, "id": number}))

    async def _ping(self, client: Client) -> None:
        try:
            async with asyncio.timeout(self.pong_s):
                await (await client.connection.ping())
        except TimeoutError:
            self.violations.append("no pong")
            client.abort()
        except ConnectionClosed:
            return


def _split(name: object) -> tuple[str, str]:
    symbol, _, channel = str(name).partition("@")
    return channel, symbol


def _text(value: Decimal) -> str:
    return format(value, ".8f")


def _filters(rules: Rules) -> list[dict[str, object]]:
    """Write rules as the venue does, among filters that are nobody's business here; 0 switches one off."""

    def number(text: str | None) -> str:
        return _text(Decimal(text or 0))

    return [
        {
            "filterType": "PRICE_FILTER",
            "minPrice": number(rules.min_price),
            "maxPrice": number(rules.max_price),
            "tickSize": number(rules.tick),
        },
        {
            "filterType": "LOT_SIZE",
            "minQty": number(rules.min_amount),
            "maxQty": number(rules.max_amount),
            "stepSize": number(rules.lot),
        },
        {"filterType": "ICEBERG_PARTS", "limit": 10},
        {
            "filterType": "MARKET_LOT_SIZE",
            "minQty": number(rules.market_min_amount),
            "maxQty": number(rules.market_max_amount),
            "stepSize": number(rules.market_lot),
        },
        {
            "filterType": "NOTIONAL",
            "minNotional": number(rules.min_notional),
            "maxNotional": number(rules.max_notional),
            "applyMinToMarket": rules.market_min_notional is not None,
            "applyMaxToMarket": rules.market_max_notional is not None,
            "avgPriceMins": 5,
        },
    ]


def _volumes(day: dict[str, object]) -> dict[str, object]:
    """Return the figures with the names of the REST interface, as far as they matter here."""
    names = {
        "s": "symbol",
        "c": "lastPrice",
        "o": "openPrice",
        "v": "volume",
        "q": "quoteVolume",
        "n": "count",
    }
    return {name: day[key] for key, name in names.items()}


def _day(walk: Walk, name: str, now: int) -> dict[str, object]:
    change = walk.price - walk.open
    return {
        "e": "24hrTicker", "E": now, "s": name, "p": _text(change),
        "P": format(change / walk.open * 100, ".3f"), "w": _text(walk.open),
        "x": _text(walk.open), "c": _text(walk.price), "Q": _text(walk.size),
        "b": _text(walk.bid), "B": _text(walk.size), "a": _text(walk.ask), "A": _text(walk.size),
        "o": _text(walk.open), "h": _text(walk.high), "l": _text(walk.low), "v": _text(walk.volume),
        "q": _text(walk.volume * walk.open), "O": now - 86_400_000, "C": now, "F": 1, "L": 2, "n": 2,
    }  # fmt: skip
