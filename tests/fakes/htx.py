"""A fake HTX: gzip frames, a topic in each message, JSON numbers with exponents, pings to be answered."""

from __future__ import annotations

import gzip
import json
import time
from decimal import Decimal
from http import HTTPStatus
from typing import Any

import msgspec
from msgspec import Raw

from tests.fakes.books import Row, Sent
from tests.fakes.client import Client
from tests.fakes.rate import Rate
from tests.fakes.venue import FakeVenue
from tests.fakes.walk import Walk

_KIND_OF = {"top": "bbo", "trade": "trade.detail", "ticker": "ticker"}
_KNOWN = {*_KIND_OF.values(), "detail", "depth.step0", "mbp.refresh.20"}
_SUBSCRIPTIONS_PER_S = 40
_MOST_TOPICS = 150  # more were never seen on one connection
_MISSED_PINGS = 4
_HISTORY = 3
_MAX_BARS = 2000


class FakeHtx(FakeVenue):
    """HTX as its fact sheet describes it.

    It pings every `ping_s`, and closes when four pings were not answered. What is listed as not online is
    acknowledged and silent.
    """

    name = "htx"
    ws_paths = ("/ws",)
    price_factor = Decimal("1.006")
    book_channel = "mbp.refresh.20"
    book_depth = 20

    def __init__(self, *given: Any, ping_s: float = 5.0, **named: Any) -> None:
        """Take the arguments of every fake, and the seconds between pings."""
        super().__init__(*given, **named)
        self.ping_s = ping_s
        self.answered = 0
        self._announced = 0
        self._pings: dict[Client, list[int]] = {}  # those without an answer
        self._pinged: dict[Client, float] = {}
        self._subscriptions = Rate(_SUBSCRIPTIONS_PER_S, 1.0)

    def received(self, client: Client, text: str) -> None:
        """Answer one request: {"sub":"market.btcusdt.bbo","id":"1"}, {"pong":1764300452378}."""
        try:
            request = json.loads(text)
            if "pong" in request:
                self._ping_answered(client, request["pong"])
            elif "sub" in request:
                self._subscribe(client, request["sub"], request.get("id"), text)
            elif "unsub" in request:
                kind, name = _split(request["unsub"])
                client.streams.discard((kind, name))
                client.send(_said(request.get("id"), status="ok", unsubbed=request["unsub"]))
            elif "ping" not in request:  # pings are not answered
                client.send(_refusal(request.get("id"), "invalid topic"))
        except (ValueError, TypeError, AttributeError):
            client.send(_refusal(None, f"not json, {text[:50]}"))

    def tick(self, client: Client, now: float) -> None:
        """Ping; close if the last four pings were not answered."""
        if now - self._pinged.get(client, client.opened_at) < self.ping_s:
            return
        self._pinged[client] = now
        missed = self._pings.setdefault(client, [])
        if len(missed) >= _MISSED_PINGS:
            self.violations.append("four pings without an answer")
            self.soon(client.close(1003, "ping check expired"))
            return
        missed.append(time.time_ns() // 1_000_000)
        client.send(json.dumps({"ping": missed[-1]}))

    def frames(self, walk: Walk, what: str) -> list[tuple[str, str]]:
        """Return the push of one topic."""
        kind = _KIND_OF[what]
        return [(kind, _push(walk, kind, 1))]

    def book_frame(self, walk: Walk, sent: Sent) -> str:
        """Return the push of a book, whole each time."""
        tick = {"seqNum": sent.number, "bids": _rows(sent.bids), "asks": _rows(sent.asks)}
        topic = f"market.{walk.symbol}.{self.book_channel}"
        return msgspec.json.encode({"ch": topic, "ts": time.time_ns() // 1_000_000, "tick": tick}).decode()

    def encode(self, frame: str, client: Client | None = None) -> bytes:
        """Compress every frame."""
        return gzip.compress(frame.encode(), 1, mtime=0)

    def announcement(self) -> str:
        """Send a ping: this venue announces no shutdown."""
        self._announced = time.time_ns() // 1_000_000
        return json.dumps({"ping": self._announced})

    def unknown_event(self) -> str:
        """Send a topic that does not exist yet."""
        return json.dumps({"ch": "market.btcusdt.novelty", "ts": 1, "tick": {}})

    def rest(self, path: str, query: dict[str, str]) -> object:
        """Answer symbols and candles (one finished minute, one running, newest first)."""
        if path == "/v1/common/symbols":
            return {"status": "ok", "data": [self._listed(walk) for walk in self.walks.values()]}
        if path != "/market/history/kline":
            return HTTPStatus.NOT_FOUND
        walk = self.walks.get(query.get("symbol", ""))
        if walk is None or query.get("period") != "1min" or int(query.get("size", "150")) > _MAX_BARS:
            return {"status": "error", "err-code": "invalid-parameter", "err-msg": "invalid symbol"}
        opened = time.time_ns() // 60_000_000_000 * 60 - 60
        bar = {
            "open": float(walk.open), "close": float(walk.price), "low": float(walk.low),
            "high": float(walk.high), "amount": float(walk.volume), "vol": 1.5, "count": 7,
        }  # fmt: skip
        return {"status": "ok", "ts": 1, "data": [{"id": opened + 60, **bar}, {"id": opened, **bar}]}

    def _ping_answered(self, client: Client, number: int) -> None:
        if number in self._pings.get(client, []):
            self._pings[client] = [each for each in self._pings[client] if each > number]
            self.answered += 1
        elif number != self._announced:
            self.violations.append("an answer to no ping")

    def _subscribe(self, client: Client, topic: str, number: object, text: str) -> None:
        """Acknowledge a topic, then send the latest values."""
        if self._subscriptions.is_exceeded(client):
            self.violations.append("more than 40 subscriptions in one second")
        kind, name = _split(topic)
        if whole := self.current.refuses_all({name}):
            said = {"busy": "too many requests", "echo": f"invalid topic {text[:200]}"}
            client.send(_refusal(None, said.get(whole, "bad request")))
            return
        if kind not in _KNOWN:
            client.send(_refusal(number, f"invalid topic {topic}"))
            return
        if name not in self.walks or self.current.refuses(name):
            client.send(_refusal(number, f"invalid symbol {name}"))
            return
        self.acknowledge(client, _said(number, status="ok", subbed=topic), {name})
        if name in self.states:
            return  # it does not trade
        client.streams.add((kind, name))
        if len(client.streams) > _MOST_TOPICS:
            self.violations.append("more than 150 topics on one connection")
        if kind in _KIND_OF.values():
            self.deliver(client, kind, name, _push(self.walks[name], kind, _HISTORY))
        elif kind == self.book_channel:
            self.send_book(client, self.walks[name])

    def _listed(self, walk: Walk) -> dict[str, object]:
        rules = self.rules[walk.symbol]
        return {
            "base-currency": walk.base.lower(), "quote-currency": walk.quote.lower(),
            "price-precision": _places(rules.tick), "amount-precision": _places(rules.lot),
            "symbol-partition": "main", "symbol": f"{walk.base}{walk.quote}".lower(),
            "state": self.states.get(walk.symbol, "online"), "value-precision": 8,
            "min-order-value": float(rules.min_notional or 0),
            "limit-order-min-order-amt": float(rules.min_amount or 0), "limit-order-max-order-amt": 1000,
            "api-trading": "enabled", "tags": "",
        }  # fmt: skip


def _split(topic: str) -> tuple[str, str]:
    """Return the kind and the venue's id of `market.btcusdt.trade.detail`."""
    name, _, kind = topic.removeprefix("market.").partition(".")
    return kind, name


def _said(number: object, **more: object) -> str:
    said = {} if number is None else {"id": number}
    return json.dumps(said | more | {"ts": time.time_ns() // 1_000_000}, separators=(",", ":"))


def _refusal(number: object, message: str) -> str:
    said = {"status": "error", "err-code": "bad-request", "err-msg": message}
    return _said(number, **said)


def _push(walk: Walk, kind: str, trades: int) -> str:
    """Make a push; of `trade.detail` with so many of the latest trades, newest first."""
    now = time.time_ns() // 1_000_000
    size = _number(walk.size)
    touch = {"bid": _number(walk.bid), "bidSize": size, "ask": _number(walk.ask), "askSize": size}
    tick: dict[str, object]
    if kind == "bbo":
        tick = {"seqId": walk.update_id, **touch, "quoteTime": now, "symbol": walk.symbol}
    elif kind == "ticker":
        tick = {
            "open": _number(walk.open), "high": _number(walk.high), "low": _number(walk.low),
            "close": _number(walk.price), "amount": _number(walk.volume),
            "vol": _number(walk.volume * walk.open), "count": 7, **touch,
            "lastPrice": _number(walk.price), "lastSize": size,
        }  # fmt: skip
    else:
        rows = [_trade(walk, earlier, now - 60_000 * earlier) for earlier in range(trades)]
        tick = {"id": walk.update_id, "ts": now, "data": rows}
    return msgspec.json.encode({"ch": f"market.{walk.symbol}.{kind}", "ts": now, "tick": tick}).decode()


def _trade(walk: Walk, earlier: int, now: int) -> dict[str, object]:
    number = walk.trade_id - earlier
    return {
        "id": Raw(f"100182534526{number:015}".encode()), "ts": now, "tradeId": number,
        "amount": _number(walk.size), "price": _number(walk.price), "direction": "buy",
    }  # fmt: skip


def _rows(rows: list[Row]) -> list[list[Raw]]:
    return [[_number(price), _number(size)] for price, size in rows]


def _number(value: Decimal) -> Raw:
    """Write a number as the venue's Java does: at least one decimal, an exponent beyond 1e-3 and 1e7."""
    if Decimal("1e-3") <= value < Decimal("1e7"):
        text = f"{value.normalize():f}"
        return Raw((text if "." in text else f"{text}.0").encode())
    digits, _, exponent = f"{value.normalize():E}".partition("E")
    return Raw(f"{digits if '.' in digits else f'{digits}.0'}E{int(exponent)}".encode())


def _places(step: str | None) -> int:
    exponent = Decimal(step or "1").as_tuple().exponent
    assert isinstance(exponent, int)
    return -exponent
