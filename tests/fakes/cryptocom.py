"""A fake Crypto.com v1: heartbeats to be answered, the first data of a channel as its acknowledgement."""

from __future__ import annotations

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

_KINDS = ("ticker", "trade", "book")
_DEPTHS = {"10", "50"}
_MOST_CHANNELS, _REQUESTS_PER_S = 400, 100
_MISSED_HEARTBEATS = 2
_HISTORY = 3
_MAX_BARS = 300
_PUSH = -1  # the id of what answers no request
_PERPETUAL = {
    "symbol": "BTCUSD-PERP", "inst_type": "PERPETUAL_SWAP", "display_name": "BTCUSD Perpetual",
    "base_ccy": "BTC", "quote_ccy": "USD", "price_tick_size": "0.1", "qty_tick_size": "0.0001",
    "tradable": True,
}  # fmt: skip


class FakeCryptocom(FakeVenue):
    """Crypto.com as its fact sheet describes it; it has no price of 24 h ago.

    It sends a heartbeat every `heartbeat_s`, and at the third one closes if none was answered.
    """

    name = "cryptocom"
    ws_paths = ("/exchange/v1/market",)
    price_factor = Decimal("1.005")
    figures = FakeVenue.figures - {"open_24h"}
    halted = "not tradable"
    book_channel = "book"
    book_depth = 50

    def __init__(self, *given: Any, heartbeat_s: float = 30.0, **named: Any) -> None:
        """Take the arguments of every fake, and the seconds between heartbeats."""
        super().__init__(*given, **named)
        self.heartbeat_s = heartbeat_s
        self.answered = 0
        self._announced = 0
        self._heartbeats: dict[Client, list[int]] = {}  # those without an answer
        self._beaten: dict[Client, float] = {}
        self._requests = Rate(_REQUESTS_PER_S, 1.0)

    def received(self, client: Client, text: str) -> None:
        """Answer one request: {"id":1,"method":"subscribe","params":{"channels":["ticker.BTC_USDT"]}}."""
        try:
            request = json.loads(text)
            number, method = request["id"], request["method"]
            names = request.get("params", {}).get("channels", [])
            channels = [each.partition(".")[::2] for each in names]
        except (ValueError, TypeError, KeyError, AttributeError):
            return  # it does not answer such a message
        if method == "public/respond-heartbeat":
            self._heartbeat_answered(client, number)
        elif self._requests.is_exceeded(client):
            self.violations.append("more than 100 requests in one second")
            client.send(_refusal(number, method, 42901, "Rate limit exceeded"))
        elif method == "subscribe":
            self._subscribe_all(client, number, channels, text)
        elif method == "unsubscribe":
            for kind, name in channels:
                client.streams.discard((kind, _symbol(name.partition(".")[0])))
                client.send(_said(number, method, channel=f"{kind}.{name}"))
        else:
            client.send(_refusal(number, method, 40003, "No such method"))

    def tick(self, client: Client, now: float) -> None:
        """Send a heartbeat; close if the last two were not answered."""
        if now - self._beaten.get(client, client.opened_at) < self.heartbeat_s:
            return
        self._beaten[client] = now
        missed = self._heartbeats.setdefault(client, [])
        if len(missed) >= _MISSED_HEARTBEATS:
            self.violations.append("two heartbeats without an answer")
            self.soon(client.close(1000, ""))
            return
        missed.append(time.time_ns() // 1_000_000)
        client.send(_said(missed[-1], "public/heartbeat"))

    def frames(self, walk: Walk, what: str) -> list[tuple[str, str]]:
        """Return the push of one channel; the ticker has the 24 h figures at each change."""
        kind = "trade" if what == "trade" else "ticker"
        return [(kind, _push(walk, kind, [_trade(walk, 0)] if kind == "trade" else [_ticker(walk)]))]

    def book_frame(self, walk: Walk, sent: Sent) -> str:
        """Return the push of a book, whole each time."""
        now = time.time_ns() // 1_000_000
        item: dict[str, object] = {"asks": _rows(sent.asks), "bids": _rows(sent.bids), "t": now, "tt": now,
                                   "u": sent.number, "cs": 1}  # fmt: skip
        return _push(walk, "book", [item])

    def announcement(self) -> str:
        """Send a heartbeat: this venue announces no shutdown."""
        self._announced = time.time_ns() // 1_000_000
        return _said(self._announced, "public/heartbeat")

    def unknown_event(self) -> str:
        """Send a channel that does not exist yet."""
        result = {"instrument_name": "BTC_USDT", "subscription": "novelty.BTC_USDT", "channel": "novelty"}
        return _said(_PUSH, "subscribe", result=result | {"data": [{}]})

    def rest(self, path: str, query: dict[str, str]) -> object:
        """Answer instruments, a perpetual one among them, and candles (one finished minute, one running)."""
        if path == "/exchange/v1/public/get-instruments":
            return _answer([_PERPETUAL, *(self._listed(walk) for walk in self.walks.values())])
        if path != "/exchange/v1/public/get-candlestick":
            return HTTPStatus.NOT_FOUND
        walk = self.walks.get(_symbol(query.get("instrument_name", "")))
        if walk is None:
            return {"id": -1, "method": "public/get-candlestick", "code": 40004, "message": "Invalid input"}
        if query.get("timeframe") != "1m" or int(query.get("count", "25")) > _MAX_BARS:
            return {"id": -1, "method": "public/get-candlestick", "code": 40003, "message": "Invalid request"}
        opened = time.time_ns() // 60_000_000_000 * 60_000 - 60_000
        numbers = {"o": walk.open, "h": walk.high, "l": walk.low, "c": walk.price, "v": walk.volume}
        bar = {name: f"{value:f}" for name, value in numbers.items()}
        return _answer([{**bar, "t": opened}, {**bar, "t": opened + 60_000}])

    def _heartbeat_answered(self, client: Client, number: int) -> None:
        if number in self._heartbeats.get(client, []):
            missed = self._heartbeats[client]
            self._heartbeats[client] = [each for each in missed if each > number]
            self.answered += 1
        elif number != self._announced:
            self.violations.append("an answer to no heartbeat")

    def _subscribe_all(self, client: Client, number: int, channels: list[tuple[str, str]], text: str) -> None:
        whole = self.current.refuses_all({_symbol(name.partition(".")[0]) for _, name in channels})
        if whole == "busy":
            client.send(_refusal(number, "subscribe", 42901, "Rate limit exceeded"))
        elif whole == "echo":
            client.send(_refusal(number, "subscribe", 10004, f"Bad request: {text[:500]}"))
        elif whole:
            client.send(_refusal(_PUSH, "subscribe", 10004, "Bad request"))
        elif len(client.streams | {(kind, _symbol(name)) for kind, name in channels}) > _MOST_CHANNELS:
            self.violations.append("more than 400 channels on one connection")
            for _ in range(8):  # it repeats itself
                client.send(_refusal(number, "subscribe", 40107, "Maximum subscriptions exceeded"))
        else:
            for kind, name in channels:
                self._subscribe(client, number, kind, name)

    def _subscribe(self, client: Client, number: int, kind: str, name: str) -> None:
        """Send the first data of a channel, which acknowledges it, unless a fault delays that.

        A book has an acknowledgement of its own.
        """
        channel = f"{kind}.{name}"
        name, _, depth = name.partition(".")
        symbol = _symbol(name)
        walk = self.walks.get(symbol)
        if kind not in _KINDS or (kind == "book") != (depth in _DEPTHS):
            client.send(_refusal(number, "subscribe", 40003, "Unrecognized channel", channel))
            return
        if walk is None or name != f"{walk.base}_{walk.quote}" or self.current.refuses(symbol):
            client.send(_refusal(number, "subscribe", 40003, "Unknown symbol", channel))
            return
        client.streams.add((kind, symbol))
        if kind == "book":
            self.acknowledge(client, _said(number, "subscribe", channel=channel), {symbol})
            self.send_book(client, walk)
            return
        acknowledges = self.current.acks("", {symbol}) == 0
        items = [_trade(walk, each) for each in range(_HISTORY)] if kind == "trade" else [_ticker(walk)]
        self.deliver(client, kind, symbol, _push(walk, kind, items, number if acknowledges else _PUSH))
        if not acknowledges:
            self.acknowledge(client, _said(number, "subscribe", channel=channel), {symbol})

    def _listed(self, walk: Walk) -> dict[str, object]:
        rules = self.rules[walk.symbol]
        return {
            "symbol": f"{walk.base}_{walk.quote}", "inst_type": "CCY_PAIR",
            "display_name": f"{walk.base}/{walk.quote}", "base_ccy": walk.base, "quote_ccy": walk.quote,
            "price_tick_size": rules.tick or "", "qty_tick_size": rules.lot or "",
            "tradable": walk.symbol not in self.states,
        }  # fmt: skip


def _said(number: int, method: str, **more: object) -> str:
    return json.dumps({"id": number, "method": method, "code": 0, **more}, separators=(",", ":"))


def _refusal(number: int, method: str, code: int, message: str, channel: str = "") -> str:
    return _said(number, method, code=code, **({"channel": channel} if channel else {}), message=message)


def _push(walk: Walk, kind: str, items: list[dict[str, object]], number: int = _PUSH) -> str:
    name = f"{walk.base}_{walk.quote}"
    channel = f"book.{name}.50" if kind == "book" else f"{kind}.{name}"
    result = {"instrument_name": name, "subscription": channel, "channel": kind, "data": items}
    return _said(number, "subscribe", result=result)


def _ticker(walk: Walk) -> dict[str, object]:
    return {
        "i": f"{walk.base}_{walk.quote}", "h": f"{walk.high:f}", "l": f"{walk.low:f}", "a": f"{walk.price:f}",
        "b": f"{walk.bid:f}", "bs": f"{walk.size:f}", "k": f"{walk.ask:f}", "ks": f"{walk.size:f}",
        "c": f"{walk.price / walk.open - 1:.4f}", "v": f"{walk.volume:f}",
        "vv": f"{walk.volume * walk.open:f}", "oi": "0", "t": time.time_ns() // 1_000_000,
    }  # fmt: skip


def _trade(walk: Walk, earlier: int) -> dict[str, object]:
    return {
        "d": str(10**18 + walk.trade_id - earlier), "t": time.time_ns() // 1_000_000 - 60_000 * earlier,
        "p": f"{walk.price:f}", "q": f"{walk.size:f}", "s": "BUY", "i": f"{walk.base}_{walk.quote}",
    }  # fmt: skip


def _rows(rows: list[Row]) -> list[list[str]]:
    return [[f"{price:f}", f"{size:f}", "1"] for price, size in rows]


def _answer(rows: list[dict[str, object]]) -> dict[str, object]:
    return {"id": -1, "method": "public/get", "code": 0, "result": {"data": rows}}


def _symbol(name: str) -> str:
    return name.replace("_", "").lower()
