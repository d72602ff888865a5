"""A fake Gate v4: a request refused by one unknown pair, text with fractions as time, candles close first."""

from __future__ import annotations

import json
import time
from decimal import Decimal
from http import HTTPStatus
from typing import Any

from tests.fakes.books import Sent
from tests.fakes.client import Client
from tests.fakes.venue import FakeVenue
from tests.fakes.walk import Walk

_CHANNELS = {"spot.book_ticker", "spot.trades", "spot.tickers", "spot.candlesticks", "spot.order_book"}
_LARGEST_ID = 2**31 - 1
_MOST_BARS = 1000


class FakeGate(FakeVenue):
    """Gate as its fact sheet describes it; a connection without a subscription is cut after `idle_s`."""

    name = "gate"
    ws_paths = ("/ws/v4/",)
    price_factor = Decimal("1.004")
    figures = frozenset({"high_24h", "low_24h", "volume_24h"})
    book_channel = "spot.order_book"
    book_depth = 20

    def __init__(self, *given: Any, idle_s: float = 30.5, **named: Any) -> None:
        """Take the arguments of every fake."""
        super().__init__(*given, **named)
        self._idle_s = idle_s

    def received(self, client: Client, text: str) -> None:
        """Answer one request: {"id":1,"channel":"spot.trades","event":"subscribe","payload":[...]}."""
        try:
            request = json.loads(text)
            channel, event = request["channel"], request.get("event", "")
            pairs = request.get("payload", [])
            if channel == self.book_channel:  # one pair, the number of levels, how often
                if pairs[1:] != [str(self.book_depth), "100ms"]:
                    self.violations.append("another book than the first 20 levels")
                pairs = pairs[:1]
            symbols = {_symbol(each) for each in pairs}
            if not isinstance(request["time"], int):
                self.violations.append("a request without a time")
        except (ValueError, TypeError, KeyError, AttributeError, IndexError):
            self._answer(client, {"channel": "", "event": ""}, 1, "invalid request body")
            return
        if not 0 < request.get("id", 1) <= _LARGEST_ID:
            self.violations.append("an id of more than 31 bits")
        if channel == "spot.ping":
            client.send(_frame("spot.pong", "", None))
        elif channel not in _CHANNELS or event not in {"subscribe", "unsubscribe"}:
            self._answer(client, request, 2, "unknown channel or event")
        elif event == "unsubscribe":
            client.streams -= {(channel, symbol) for symbol in symbols}
            self._answer(client, request)
        elif whole := self.current.refuses_all(symbols):
            said = {"busy": "too many requests", "echo": f"invalid argument: {text[:500]}"}
            self._answer(client, request, 2, said.get(whole, "invalid argument"))
        else:
            self._subscribe(client, request, pairs)

    def tick(self, client: Client, now: float) -> None:
        """Cut a connection that has no subscription for long."""
        if not client.streams and now - client.active_at >= self._idle_s:
            self.violations.append("no subscription in time")
            client.abort()

    def frames(self, walk: Walk, what: str) -> list[tuple[str, str]]:
        """Return the push of one channel."""
        name = _name(walk)
        if what == "trade":
            nanos = time.time_ns()
            trade = {
                "id": walk.trade_id, "id_market": walk.trade_id, "create_time": nanos // 1_000_000_000,
                "create_time_ms": f"{nanos // 1_000_000}.{nanos % 1_000_000:06d}", "side": "sell",
                "currency_pair": name, "amount": f"{walk.size:f}", "price": f"{walk.price:f}",
                "range": f"{walk.trade_id}-{walk.trade_id}", "trade_mode": 0,
            }  # fmt: skip
            return [("spot.trades", _frame("spot.trades", "update", trade))]
        if what == "ticker":
            ticker = {
                "currency_pair": name, "last": f"{walk.price:f}", "lowest_ask": f"{walk.ask:f}",
                "highest_bid": f"{walk.bid:f}", "change_percentage": "2.9256",
                "base_volume": f"{walk.volume:f}", "quote_volume": f"{walk.volume * walk.price:f}",
                "high_24h": f"{walk.high:f}", "low_24h": f"{walk.low:f}",
            }  # fmt: skip
            return [("spot.tickers", _frame("spot.tickers", "update", ticker))]
        top = {
            "t": time.time_ns() // 1_000_000, "u": walk.update_id, "s": name, "b": f"{walk.bid:f}",
            "B": f"{walk.size:f}", "a": f"{walk.ask:f}", "A": f"{walk.size:f}",
        }  # fmt: skip
        return [("spot.book_ticker", _frame("spot.book_ticker", "update", top))]

    def book_frame(self, walk: Walk, sent: Sent) -> str:
        """Return the push of a book, whole each time."""
        sides = {
            name: [[f"{price:f}", f"{size:f}"] for price, size in rows]
            for name, rows in (("bids", sent.bids), ("asks", sent.asks))
        }
        book = {"t": time.time_ns() // 1_000_000, "lastUpdateId": sent.number, "s": _name(walk),
                "l": str(self.book_depth), **sides}  # fmt: skip
        return _frame("spot.order_book", "update", book)

    def announcement(self) -> str:
        """Send a pong: the venue announces no shutdown."""
        return _frame("spot.pong", "", None)

    def unknown_event(self) -> str:
        """Send an event that does not exist yet."""
        return _frame("spot.novelties", "update", {"currency_pair": "BTC_USDT"})

    def rest(self, path: str, query: dict[str, str]) -> object:
        """Answer pairs and candles (one finished minute, one running)."""
        if path == "/api/v4/spot/currency_pairs":
            return [self._listed(walk) for walk in self.walks.values()]
        walk = self.walks.get(_symbol(query.get("currency_pair", "")))
        if path != "/api/v4/spot/candlesticks" or walk is None or query.get("interval") != "1m":
            return HTTPStatus.BAD_REQUEST
        if int(query.get("limit", "100")) > _MOST_BARS:
            self.violations.append("more than 1,000 bars")
        opened = time.time_ns() // 60_000_000_000 * 60 - 60
        prices = [f"{value:f}" for value in (walk.price, walk.high, walk.low, walk.open)]
        row = [f"{walk.volume * walk.price:f}", *prices, f"{walk.volume:f}"]
        return [[str(opened), *row, "true"], [str(opened + 60), *row, "false"]]

    def _subscribe(self, client: Client, request: dict[str, Any], pairs: list[str]) -> None:
        """Subscribe to all pairs of a request, or to none."""
        channel, symbols = request["channel"], {_symbol(each) for each in pairs}
        for each in pairs:
            walk = self.walks.get(_symbol(each))
            if walk is None or each != _name(walk) or self.current.refuses(walk.symbol):
                self._answer(client, request, 2, f"unknown currency pair: {each}")
                return
            if (channel, walk.symbol) in client.streams:
                self._answer(client, request, 2, f"Alert sub {channel} {each}")
                return
        client.streams |= {(channel, symbol) for symbol in symbols}
        self._answer(client, request)
        if channel == self.book_channel:
            for symbol in symbols:
                self.send_book(client, self.walks[symbol])

    def _answer(self, client: Client, request: dict[str, Any], code: int = 0, message: str = "") -> None:
        """Answer a request as a whole; `code` 0 acknowledges it."""
        pairs = request.get("payload", [])
        said = {"id": request.get("id"), "conn_id": "62f2c1dabbe186d7", "payload": pairs}
        if code:
            said["error"] = {"code": code, "message": message}
        status = {"status": "fail" if code else "success"}
        frame = _frame(request["channel"], request.get("event", ""), status, **said)
        if code:
            client.send(frame)
        else:
            self.acknowledge(client, frame, {_symbol(each) for each in pairs})

    def _listed(self, walk: Walk) -> dict[str, object]:
        rules = self.rules[walk.symbol]
        return {
            "id": _name(walk), "base": walk.base, "quote": walk.quote, "fee": "0.2", "sell_start": 0,
            "buy_start": 0, "precision": _places(rules.tick), "amount_precision": _places(rules.lot),
            "min_base_amount": rules.min_amount or "", "min_quote_amount": rules.min_notional or "",
            "trade_status": self.states.get(walk.symbol, "tradable"),
        }  # fmt: skip


def _frame(channel: str, event: str, result: object, **more: object) -> str:
    now_ms = time.time_ns() // 1_000_000
    times = {"time": now_ms // 1000, "time_ms": now_ms}
    return json.dumps(times | more | {"channel": channel, "event": event, "result": result})


def _name(walk: Walk) -> str:
    return f"{walk.base}_{walk.quote}"


def _symbol(name: str) -> str:
    return name.replace("_", "").lower()


def _places(step: str | None) -> int:
    exponent = Decimal(step or "1").as_tuple().exponent
    assert isinstance(exponent, int)
    return -exponent
