"""A fake Hyperliquid: ids that only its list tells, POST, trades without an order, cuts for unknown coins."""

from __future__ import annotations

import json
import time
from decimal import Decimal
from http import HTTPStatus
from typing import Any

from tests.fakes.client import Client
from tests.fakes.rate import Rate
from tests.fakes.venue import FakeVenue
from tests.fakes.walk import Walk

_TYPES = {"top": "bbo", "trade": "trades", "ticker": "activeAssetCtx"}
_MOST_SUBSCRIPTIONS, _MOST_CONNECTIONS = 1000, 10
_MOST_CONNECTS, _MOST_MESSAGES = 30, 2000  # a minute
_FIRST_INDEX, _FIRST_TOKEN = 107, 150
_MOST_DECIMALS = 8
_SNAPSHOT_MS = 20_000


class FakeHyperliquid(FakeVenue):
    """Hyperliquid as its fact sheet describes it; after `idle_s` in which it sent nothing it closes.

    A trade of 20 s ago is sent when trades are requested.
    """

    name = "hyperliquid"
    ws_paths = ("/ws",)
    price_factor = Decimal("1.004")
    figures = frozenset({"open_24h", "volume_24h"})
    halted = None

    def __init__(self, *given: Any, idle_s: float = 60.0, **named: Any) -> None:
        """Take the arguments of every fake, and the seconds of silence after which it closes."""
        super().__init__(*given, **named)
        self.idle_s = idle_s
        self._now_ms = 0
        self._connects = Rate(_MOST_CONNECTS, 60.0)
        self._messages = Rate(_MOST_MESSAGES, 60.0)  # of all clients: they have one address

    def opened(self, client: Client) -> None:
        """Check how many connections there are, and the rate of connecting."""
        if len(self.clients) > _MOST_CONNECTIONS:
            self.violations.append("more than 10 connections")
        if self._connects.is_exceeded():
            self.violations.append("more than 30 connects in one minute")

    def received(self, client: Client, text: str) -> None:
        """Answer one request: {"method":"subscribe","subscription":{"type":"bbo","coin":"@107"}}."""
        if self._messages.is_exceeded():
            self.violations.append("more than 2,000 messages in one minute")
        try:
            request = json.loads(text)
            method = request["method"]
            if method == "ping":
                client.send('{"channel":"pong"}')
                return
            subscription = request["subscription"]
            kind, coin = subscription["type"], subscription["coin"]
        except (ValueError, TypeError, KeyError):
            self._refuse(client, f"Error parsing JSON into valid websocket request: {text}")
            return
        walk = self._walk(coin)
        if walk is None or self.current.refuses(walk.symbol):
            self.violations.append(f"a request for the unknown coin {coin}")
            client.abort()
        elif kind not in _TYPES.values() or self.current.refuses_all({walk.symbol}):
            self._refuse(client, f"Invalid subscription {json.dumps(subscription)}")
        elif method == "unsubscribe":
            self._unsubscribe(client, kind, walk, subscription)
        else:
            self._subscribe(client, kind, walk, subscription)

    def tick(self, client: Client, now: float) -> None:
        """Close connections to which nothing was sent for too long."""
        if now - client.active_at > self.idle_s:
            self.soon(client.close(1000, "Inactive"))

    def frames(self, walk: Walk, what: str) -> list[tuple[str, str]]:
        """Return the push of one type; numbers are text."""
        now, coin = self._moment(), self.id_of(walk)
        channel = "activeSpotAssetCtx" if what == "ticker" else _TYPES[what]
        data: object
        if what == "top":
            sides = [{"px": f"{price:f}", "sz": f"{walk.size:f}", "n": 3} for price in (walk.bid, walk.ask)]
            data = {"coin": coin, "time": now, "bbo": sides}
        elif what == "trade":
            data = [self._trade(walk, now)]
        else:
            context = {
                "prevDayPx": f"{walk.open:f}", "dayNtlVlm": f"{walk.volume * walk.price:f}",
                "markPx": f"{walk.price:f}", "midPx": None, "circulatingSupply": "298462370.4079165459",
                "coin": coin, "totalSupply": "998882916.6303099394", "dayBaseVlm": f"{walk.volume:f}",
            }  # fmt: skip
            data = {"coin": coin, "ctx": context}
        return [(_TYPES[what], json.dumps({"channel": channel, "data": data}, separators=(",", ":")))]

    def announcement(self) -> str:
        """Send a pong: the venue announces no shutdown."""
        return '{"channel":"pong"}'

    def unknown_event(self) -> str:
        """Send a channel that does not exist yet."""
        return '{"channel":"novelty","data":{"coin":"@107"}}'

    def rest(self, path: str, query: dict[str, str]) -> object:
        """Answer no GET."""
        return HTTPStatus.METHOD_NOT_ALLOWED

    def post(self, path: str, body: bytes) -> object:
        """Answer the list, and candles (one finished minute, one running)."""
        try:
            request = json.loads(body)
            kind = request["type"]
            if path == "/info" and kind == "spotMeta":
                return self._listed()
            asked = request["req"]
            walk = self._walk(asked["coin"])
            is_right = kind == "candleSnapshot" and asked["interval"] == "1m"
            is_right = is_right and 0 < asked["endTime"] - asked["startTime"] <= 5000 * 60_000
        except (ValueError, TypeError, KeyError):
            return HTTPStatus.UNPROCESSABLE_ENTITY
        if path != "/info" or walk is None or not is_right:
            return HTTPStatus.UNPROCESSABLE_ENTITY
        opened = time.time_ns() // 60_000_000_000 * 60_000
        return [self._candle(walk, opened - 60_000), self._candle(walk, opened)]

    def id_of(self, walk: Walk) -> str:
        """Return the id of a pair: its place in the list, except of the first pair of all."""
        if walk.symbol == "purrusdc":
            return "PURR/USDC"
        return f"@{_FIRST_INDEX + list(self.walks).index(walk.symbol)}"

    def _subscribe(self, client: Client, kind: str, walk: Walk, subscription: dict[str, str]) -> None:
        """Acknowledge, then send the state so far; a repeated request is an error."""
        if (kind, walk.symbol) in client.streams:
            self._refuse(client, f"Already subscribed: {json.dumps(subscription)}")
            return
        client.streams.add((kind, walk.symbol))
        if sum(len(each.streams) for each in self.clients) > _MOST_SUBSCRIPTIONS:
            self.violations.append("more than 1,000 subscriptions")
        self._respond(client, "subscribe", subscription, walk)
        what = next(what for what, known in _TYPES.items() if known == kind)
        frames = self.frames(walk, what)
        if what == "trade":
            frames = [(kind, json.dumps({"channel": "trades", "data": [self._old_trade(walk)]}))]
        for channel, frame in frames:
            self.deliver(client, channel, walk.symbol, frame)

    def _unsubscribe(self, client: Client, kind: str, walk: Walk, subscription: dict[str, str]) -> None:
        if (kind, walk.symbol) not in client.streams:
            self._refuse(client, f"Already unsubscribed: {json.dumps(subscription)}")
            return
        client.streams.discard((kind, walk.symbol))
        self._respond(client, "unsubscribe", subscription, walk)

    def _respond(self, client: Client, method: str, subscription: dict[str, str], walk: Walk) -> None:
        data = {"method": method, "subscription": subscription}
        self.acknowledge(client, json.dumps({"channel": "subscriptionResponse", "data": data}), {walk.symbol})

    def _refuse(self, client: Client, reason: str) -> None:
        client.send(json.dumps({"channel": "error", "data": reason}))

    def _trade(self, walk: Walk, moment: int) -> dict[str, object]:
        return {
            "coin": self.id_of(walk), "side": "B", "px": f"{walk.price:f}", "sz": f"{walk.size:f}",
            "time": moment, "hash": "0x" + "0" * 64, "tid": walk.trade_id * 48_271 % 2**50,
            "users": ["0x" + "1" * 40, "0x" + "2" * 40],
        }  # fmt: skip

    def _old_trade(self, walk: Walk) -> dict[str, object]:
        return self._trade(walk, self._moment() - _SNAPSHOT_MS)

    def _listed(self) -> dict[str, object]:
        """Return the list, without pairs that are refused, and with one of an unknown token."""
        walks = self.walks.values()
        names = dict.fromkeys(["USDC", *(name for walk in walks for name in (walk.quote, walk.base))])
        indexes = {name: _FIRST_TOKEN + number for number, name in enumerate(names)}
        decimals = {walk.base: _MOST_DECIMALS - _places(walk.tick) for walk in walks}
        tokens = [
            {"name": name, "szDecimals": decimals.get(name, 8), "weiDecimals": 8, "index": index}
            for name, index in indexes.items()
        ]
        universe = [
            {"name": self.id_of(walk), "tokens": [indexes[walk.base], indexes[walk.quote]], "index": number}
            for number, walk in enumerate(walks)
            if not self.current.refuses(walk.symbol)
        ]
        return {"universe": [*universe, {"name": "@1", "tokens": [1, 2], "index": 1}], "tokens": tokens}

    def _walk(self, coin: str) -> Walk | None:
        return next((walk for walk in self.walks.values() if self.id_of(walk) == coin), None)

    def _candle(self, walk: Walk, opened: int) -> dict[str, object]:
        return {
            "t": opened, "T": opened + 59_999, "s": self.id_of(walk), "i": "1m", "n": 36,
            "o": f"{walk.open:f}", "c": f"{walk.price:f}", "h": f"{walk.high:f}", "l": f"{walk.low:f}",
            "v": f"{walk.volume:f}",
        }  # fmt: skip

    def _moment(self) -> int:
        """Return the time in ms, never the same twice."""
        self._now_ms = max(self._now_ms + 1, time.time_ns() // 1_000_000)
        return self._now_ms


def _places(step: Decimal) -> int:
    exponent = step.as_tuple().exponent
    assert isinstance(exponent, int)
    return -exponent
