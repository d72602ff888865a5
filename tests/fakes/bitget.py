"""A fake Bitget v2 spot: text pings that it insists on, an answer per argument, trades newest first."""

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

_CHANNEL_OF = {"top": "books1", "trade": "trade", "ticker": "ticker"}
_KNOWN = {*_CHANNEL_OF.values(), "books", "books5", "books15", "candle1m", "candle1H"}
_SPOT = "SPOT"
_MESSAGES_PER_S, _SUBSCRIBES_PER_HOUR = 10, 240
_MOST_CHANNELS, _MOST_BYTES = 1000, 4096
_MOST_CONNECTS, _CONNECTS_S = 300, 300.0
_HISTORY = 3
_MAX_BARS = 1000


class FakeBitget(FakeVenue):
    """Bitget as its fact sheet describes it.

    It disconnects clients that sent no ping for `idle_s`, whatever else they and it sent.
    """

    name = "bitget"
    ws_paths = ("/v2/ws/public",)
    price_factor = Decimal("1.004")
    book_channel = "books"
    book_depth = 500

    def __init__(self, *given: Any, idle_s: float = 120.0, **named: Any) -> None:
        """Take the arguments of every fake, and the seconds within which it expects a ping."""
        super().__init__(*given, **named)
        self.idle_s = idle_s
        self._pinged: dict[Client, float] = {}
        self._connects = Rate(_MOST_CONNECTS, _CONNECTS_S)
        self._messages = Rate(_MESSAGES_PER_S, 1.0)
        self._subscribes = Rate(_SUBSCRIBES_PER_HOUR, 3600.0)

    def opened(self, client: Client) -> None:
        """Check the rate of connecting: 300 in five minutes."""
        if self._connects.is_exceeded():
            self.violations.append("more than 300 connects in 5 minutes")

    def received(self, client: Client, text: str) -> None:
        """Answer one request: `ping`, {"op":"subscribe","args":[{"instType":"SPOT",...}]}."""
        if self._messages.is_exceeded(client):
            self.violations.append("more than 10 messages in one second")
            client.abort()
            return
        if text == "ping":
            self._pinged[client] = time.monotonic()
            client.send("pong")
            return
        try:
            request = json.loads(text)
            operation = request["op"]
            args = [(arg["instType"], arg["channel"], arg["instId"]) for arg in request["args"]]
        except (ValueError, TypeError, KeyError):
            self._error(client, 30002, "Illegal request")
            return
        if len(json.dumps(request["args"], separators=(",", ":")).encode()) > _MOST_BYTES:
            self.violations.append("arguments of more than 4,096 bytes")
        if operation == "subscribe":
            self._subscribe_all(client, args, text)
        elif operation == "unsubscribe":
            for arg in args:
                client.streams.discard((arg[1], arg[2].lower()))
                client.send(_said("unsubscribe", arg))
        else:
            self._error(client, 30003, "Invalid op")

    def tick(self, client: Client, now: float) -> None:
        """Cut clients that do not ping, although data is sent."""
        if now - self._pinged.get(client, client.opened_at) > self.idle_s:
            self.violations.append("no ping in time")
            client.abort()

    def frames(self, walk: Walk, what: str) -> list[tuple[str, str]]:
        """Return the push of one channel; a top of book is always complete."""
        now = time.time_ns() // 1_000_000
        if what == "trade":
            return [("trade", _push(walk, "trade", "update", [_trade(walk, 0, now)], now))]
        channel = _CHANNEL_OF[what]
        item: dict[str, object]
        if what == "top":
            size = _text(walk.size)
            item = {"asks": [[_text(walk.ask), size]], "bids": [[_text(walk.bid), size]], "ts": str(now),
                    "seq": walk.update_id, "pseq": 0}  # fmt: skip
        else:
            item = _day(walk, now)
        return [(channel, _push(walk, channel, "snapshot", [item], now))]

    def book_frame(self, walk: Walk, sent: Sent) -> str:
        """Return the push of a book; the whole one names none before it."""
        now = time.time_ns() // 1_000_000
        item: dict[str, object] = {
            "asks": _rows(sent.changed_asks), "bids": _rows(sent.changed_bids), "ts": str(now),
            "seq": sent.number, "pseq": 0 if sent.whole else sent.after,
        }  # fmt: skip
        return _push(walk, "books", "snapshot" if sent.whole else "update", [item], now)

    def announcement(self) -> str:
        """Answer a ping that was not sent: this venue announces no shutdown."""
        return "pong"

    def unknown_event(self) -> str:
        """Send an event that does not exist yet."""
        return json.dumps({"event": "novelty", "arg": {"instType": _SPOT, "channel": "new"}})

    def rest(self, path: str, query: dict[str, str]) -> object:
        """Answer symbols and candles (one finished minute, one running, oldest first)."""
        if path == "/api/v2/spot/public/symbols":
            return _answer([self._listed(walk) for walk in self.walks.values()])
        if path != "/api/v2/spot/market/candles":
            return HTTPStatus.NOT_FOUND
        walk = self.walks.get(query.get("symbol", "").lower())
        if walk is None:
            return {"code": "40034", "msg": "Parameter does not exist", "requestTime": 1, "data": None}
        if query.get("granularity") != "1min" or int(query.get("limit", "100")) > _MAX_BARS:
            return {"code": "40017", "msg": "Parameter verification failed", "requestTime": 1, "data": None}
        opened = time.time_ns() // 60_000_000_000 * 60_000 - 60_000
        numbers = [_text(value) for value in (walk.open, walk.high, walk.low, walk.price, walk.volume)]
        return _answer([[str(opened + 60_000 * at), *numbers, "1", "1"] for at in range(2)])

    def _subscribe_all(self, client: Client, args: list[tuple[str, str, str]], text: str) -> None:
        if self._subscribes.is_exceeded(client):
            self.violations.append("more than 240 subscribe requests in an hour")
        whole = self.current.refuses_all({name.lower() for _, _, name in args})
        if whole == "busy":
            self._error(client, 30006, "Too many requests")
        elif whole:
            message = "Illegal request" + (f": {text[:500]}" if whole == "echo" else "")
            self._error(client, 30002, message)
        else:
            for arg in args:
                self._subscribe(client, arg)

    def _subscribe(self, client: Client, arg: tuple[str, str, str]) -> None:
        """Acknowledge one argument, then send the state so far; another market's are never sent."""
        market, channel, name = arg
        symbol = name.lower()
        is_spot = market == _SPOT
        if channel not in _KNOWN:
            self._error(client, 30016, "Param error", arg)
        elif self.current.refuses(symbol) or (is_spot and (symbol not in self.walks or name != name.upper())):
            message = f"instType:{market},channel:{channel},instId:{name} doesn't exist"
            self._error(client, 30001, message, arg)
        elif len(client.streams) >= _MOST_CHANNELS:
            self.violations.append("more than 1,000 channels on one connection")
            self._error(client, 30007, "Over limit", arg)
            client.abort()
        else:
            self.acknowledge(client, _said("subscribe", arg), {symbol})
            if is_spot:
                client.streams.add((channel, symbol))
                for frame in self._state(self.walks[symbol], channel):
                    self.deliver(client, channel, symbol, frame)
                if channel == self.book_channel:
                    self.send_book(client, self.walks[symbol])

    def _state(self, walk: Walk, channel: str) -> list[str]:
        """Return what a new subscriber gets: earlier trades, newest first, or the latest values."""
        now = time.time_ns() // 1_000_000
        if channel == "trade":
            rows = [_trade(walk, number, now - 60_000 * number) for number in range(_HISTORY)]
            return [_push(walk, channel, "snapshot", rows, now)]
        what = next((what for what, known in _CHANNEL_OF.items() if known == channel), None)
        return [] if what is None else [frame for _, frame in self.frames(walk, what)]

    def _error(
        self, client: Client, code: int, message: str, arg: tuple[str, str, str] | None = None
    ) -> None:
        said = {"event": "error", "code": code, "msg": message, "op": "subscribe"}
        client.send(json.dumps(said | ({} if arg is None else {"arg": _arg(*arg)})))

    def _listed(self, walk: Walk) -> dict[str, object]:
        rules = self.rules[walk.symbol]
        return {
            "symbol": f"{walk.base}{walk.quote}", "baseCoin": walk.base, "quoteCoin": walk.quote,
            "minTradeAmount": rules.min_amount or "0", "maxTradeAmount": "900000000000000000000",
            "pricePrecision": _places(rules.tick), "quantityPrecision": _places(rules.lot),
            "status": self.states.get(walk.symbol, "online"), "minTradeUSDT": rules.min_notional or "0",
        }  # fmt: skip


def _arg(market: str, channel: str, name: str) -> dict[str, str]:
    return {"instType": market, "channel": channel, "instId": name}


def _said(event: str, arg: tuple[str, str, str]) -> str:
    return json.dumps({"event": event, "arg": _arg(*arg)}, separators=(",", ":"))


def _push(walk: Walk, channel: str, action: str, items: list[dict[str, object]], now: int) -> str:
    arg = _arg(_SPOT, channel, f"{walk.base}{walk.quote}")
    return json.dumps({"action": action, "arg": arg, "data": items, "ts": now}, separators=(",", ":"))


def _trade(walk: Walk, earlier: int, now: int) -> dict[str, object]:
    number = str(10**18 + walk.trade_id - earlier)
    return {"ts": str(now), "price": _text(walk.price), "size": _text(walk.size), "side": "buy",
            "tradeId": number}  # fmt: skip


def _day(walk: Walk, now: int) -> dict[str, object]:
    return {
        "instId": f"{walk.base}{walk.quote}", "lastPr": _text(walk.price), "open24h": _text(walk.open),
        "high24h": _text(walk.high), "low24h": _text(walk.low),
        "change24h": f"{walk.price / walk.open - 1:.5f}", "bidPr": _text(walk.bid), "askPr": _text(walk.ask),
        "bidSz": _text(walk.size), "askSz": _text(walk.size), "baseVolume": _text(walk.volume),
        "quoteVolume": _text(walk.volume * walk.open), "openUtc": _text(walk.open), "changeUtc24h": "0",
        "ts": str(now),
    }  # fmt: skip


def _answer(rows: list[Any]) -> dict[str, object]:
    return {"code": "00000", "msg": "success", "requestTime": 1, "data": rows}


def _rows(rows: list[Row]) -> list[list[str]]:
    return [[_text(price), _text(size)] for price, size in rows]


def _places(step: str | None) -> str:
    exponent = Decimal(step or "1").as_tuple().exponent
    assert isinstance(exponent, int)
    return str(-exponent)


def _text(value: Decimal) -> str:
    text = format(value, "f")
    return text.rstrip("0").rstrip(".") if "." in text else text
