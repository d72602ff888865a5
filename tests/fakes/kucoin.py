"""A fake KuCoin, its newer public socket: binary frames, a topic per message, numbers also as texts."""

from __future__ import annotations

import asyncio
import json
import time
from decimal import Decimal
from http import HTTPStatus
from typing import Any

from tests.fakes.books import Row, Sent
from tests.fakes.client import Client
from tests.fakes.rate import Rate
from tests.fakes.venue import FakeVenue
from tests.fakes.walk import Walk

_CHANNELS = {"obu", "trade", "ticker", "kline"}
_MOST_MESSAGES, _MESSAGES_S = 300, 10.0
_MOST_TOPICS = 600
_MOST_CONNECTS, _CONNECTS_S = 250, 300.0


class FakeKucoin(FakeVenue):
    """KuCoin as its fact sheet describes it.

    A connection without a subscription is cut after `idle_s`; pings may come every `ping_s`. It welcomes a
    client `welcome_s` after it has connected, before which nothing may be sent.
    """

    name = "kucoin"
    ws_paths = ("/",)
    price_factor = Decimal("1.005")
    halted = "disabled"
    book_channel = "obu of 50"  # one subscription among those of `obu`
    book_depth = 50

    def __init__(
        self,
        *given: Any,
        idle_s: float = 60.0,
        ping_s: float = 1.0,
        welcome_s: float = 0.05,
        **named: Any,
    ) -> None:
        """Take the arguments of every fake."""
        super().__init__(*given, **named)
        self._idle_s = idle_s
        self._ping_s = ping_s
        self._welcome_s = welcome_s
        self._welcomed: set[Client] = set()
        self._messages = Rate(_MOST_MESSAGES, _MESSAGES_S)
        self._connects = Rate(_MOST_CONNECTS, _CONNECTS_S)
        self._pings: dict[Client, float] = {}

    def opened(self, client: Client) -> None:
        """Welcome a client; check the rate of connecting."""
        if self._connects.is_exceeded():
            self.violations.append("more than 250 connects in 5 minutes")
        self.soon(self._welcome(client))

    def received(self, client: Client, text: str) -> None:
        """Answer {"id":"1","action":"SUBSCRIBE","channel":"trade","tradeType":"SPOT","symbol":"BTC-USDT"}."""
        if self._messages.is_exceeded(client):
            self.violations.append("more than 300 messages in 10 s")
        if client not in self._welcomed:
            self.violations.append("a message before the welcome")
        try:
            request = json.loads(text)
            number = str(request["id"])
            if request.get("type") == "ping":
                self._pong(client, number)
                return
            action, _ = request["action"].upper(), request["channel"]
            names = request.get("symbols") or [request["symbol"]]
            symbols = {_symbol(name) for name in names}
        except (ValueError, TypeError, KeyError, AttributeError):
            self._refuse(client, "", "invalid request data")
            return
        self._subscribe(client, request, action, symbols)

    def _subscribe(self, client: Client, request: dict[str, Any], action: str, symbols: set[str]) -> None:
        """Change the subscriptions of a client as it requests, or refuse that."""
        number, channel = str(request["id"]), request["channel"]
        if channel == "obu" and "symbols" in request:
            reason = "symbols are not supported for topic obu"
            _send(client, {"id": number, "result": False, "reason": reason})
        elif not _is_valid(request, action):
            self._refuse(client, number, "invalid request data")
        elif whole := self.current.refuses_all(symbols):
            said = {"busy": "too many requests", "echo": f"invalid request data: {json.dumps(request)[:500]}"}
            self._refuse(client, number, said.get(whole, "invalid request data"))
        elif any(map(self.current.refuses, symbols)):
            self._refuse(client, number, "invalid request data")
        else:
            stream = self.book_channel if request.get("depth") == str(self.book_depth) else channel
            self._change(client, action, {(stream, symbol) for symbol in symbols})
            self.acknowledge(client, json.dumps({"id": number, "result": True}), symbols)
            if stream == self.book_channel and action == "SUBSCRIBE":
                for symbol in symbols & self.walks.keys():
                    self.send_book(client, self.walks[symbol])

    def tick(self, client: Client, now: float) -> None:
        """Cut a connection that has no subscription for long, whatever it sends."""
        if not client.streams and now - client.opened_at >= self._idle_s:
            self.violations.append("no subscription in time")
            client.abort()

    def frames(self, walk: Walk, what: str) -> list[tuple[str, str]]:
        """Return the push of one topic, every other one with long integers as texts; no 24 h figures."""
        as_text = (walk.update_id + walk.trade_id) % 2 == 1
        now_ns = _number(time.time_ns(), as_text)
        if what == "ticker":
            return []
        if what == "trade":
            trade = {
                "E": _number(walk.trade_id, as_text), "M": now_ns, "S": "sell", "p": f"{walk.price:f}",
                "q": f"{walk.size:f}", "s": _name(walk), "ti": str(walk.trade_id),
            }  # fmt: skip
            return [("trade", json.dumps({"T": "trade.SPOT", "P": now_ns, "d": trade}))]
        sides = ([(walk.bid, walk.size)], [(walk.ask, walk.size)])
        return [("obu", _levels(walk, "1", walk.update_id, sides, as_text=as_text))]

    def book_frame(self, walk: Walk, sent: Sent) -> str:
        """Return the push of a book, whole each time."""
        return _levels(walk, "50", sent.number, (sent.bids, sent.asks), as_text=sent.number % 2 == 1)

    def encode(self, frame: str, client: Client | None = None) -> bytes:
        """Send text in binary frames, as the venue does with all of it."""
        return frame.encode()

    def announcement(self) -> str:
        """Send a pong: the venue cuts connections without notice."""
        return json.dumps({"type": "pong", "id": "1", "ts": time.time_ns()})

    def unknown_event(self) -> str:
        """Send a topic that does not exist yet."""
        return json.dumps({"T": "novelty.SPOT", "P": time.time_ns(), "d": {"s": "BTC-USDT"}})

    def rest(self, path: str, query: dict[str, str]) -> object:
        """Answer symbols, and candles (one finished minute, one running), newest first."""
        if path == "/api/v2/symbols":
            return _success([self._listed(walk) for walk in self.walks.values()])
        if path != "/api/v1/market/candles":
            return HTTPStatus.NOT_FOUND
        walk = self.walks.get(_symbol(query.get("symbol", "")))
        if walk is None or query.get("type") != "1min":
            return {"code": "400100", "msg": "This pair is not provided at present", "data": None}
        opened = time.time_ns() // 60_000_000_000 * 60 - 60
        prices = [f"{value:f}" for value in (walk.open, walk.price, walk.high, walk.low)]
        row = [*prices, f"{walk.volume:f}", f"{walk.volume * walk.price:f}"]
        return _success([[str(opened + 60), *row], [str(opened), *row]])

    async def _welcome(self, client: Client) -> None:
        await asyncio.sleep(self._welcome_s)
        self._welcomed.add(client)
        client.send(json.dumps({"sessionId": "d2c9a1c2", "message": "welcome", "pingInterval": 18000}))

    def _pong(self, client: Client, number: str) -> None:
        now = time.monotonic()
        if now - self._pings.get(client, 0.0) < self._ping_s:
            self.violations.append("pings too often")
        self._pings[client] = now
        _send(client, {"type": "pong", "id": number, "ts": time.time_ns()})

    def _change(self, client: Client, action: str, streams: set[tuple[str, str]]) -> None:
        """Subscribe or unsubscribe; what is unknown is accepted, and silent."""
        if action == "UNSUBSCRIBE":
            client.streams -= streams
            return
        client.streams |= streams
        if len(client.streams) > _MOST_TOPICS:
            self.violations.append("more than 600 topics on one connection")

    def _refuse(self, client: Client, number: str, message: str) -> None:
        _send(client, {"id": number, "result": False, "message": message})

    def _listed(self, walk: Walk) -> dict[str, object]:
        rules = self.rules[walk.symbol]
        return {
            "symbol": _name(walk), "name": _name(walk), "baseCurrency": walk.base,
            "quoteCurrency": walk.quote, "baseMinSize": rules.min_amount or "", "quoteMinSize": "0.1",
            "baseMaxSize": "10000000000", "quoteMaxSize": "99999999", "baseIncrement": rules.lot or "",
            "quoteIncrement": rules.tick or "", "priceIncrement": rules.tick or "",
            "minFunds": rules.min_notional, "enableTrading": walk.symbol not in self.states, "st": False,
        }  # fmt: skip


def _is_valid(request: dict[str, Any], action: str) -> bool:
    channel = request["channel"]
    is_known = channel in _CHANNELS and action in {"SUBSCRIBE", "UNSUBSCRIBE"}
    return (
        is_known
        and request.get("tradeType") == "SPOT"
        and (channel != "obu" or request.get("depth") in {"1", "5", "50"})
    )


def _number(value: int, as_text: bool) -> int | str:
    return str(value) if as_text else value


def _levels(walk: Walk, depth: str, number: int, sides: tuple[list[Row], list[Row]], *, as_text: bool) -> str:
    now_ns = _number(time.time_ns(), as_text)
    bids, asks = ([[f"{price:f}", f"{size:f}"] for price, size in side] for side in sides)
    book = {"C": number, "M": now_ns, "O": number, "s": _name(walk), "a": asks, "b": bids}
    return json.dumps({"T": "obu.SPOT", "dp": depth, "t": "snapshot", "P": now_ns, "d": book})


def _send(client: Client, message: dict[str, object]) -> None:
    client.send(json.dumps(message))


def _success(data: object) -> dict[str, object]:
    return {"code": "200000", "data": data}


def _name(walk: Walk) -> str:
    return f"{walk.base}-{walk.quote}"


def _symbol(name: str) -> str:
    return name.replace("-", "").lower()
