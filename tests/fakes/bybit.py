"""A fake Bybit v5 spot: ten topics per request, one acknowledgement each, a quiet level 1 repeated.

A book's numbers grow by one with each of its frames; `restart_books` lets them begin again, as the venue does
when its service was restarted.
"""

from __future__ import annotations

import json
import time
from decimal import Decimal
from http import HTTPStatus
from typing import Any

from tests.fakes.books import Row, Sent
from tests.fakes.client import Client
from tests.fakes.venue import FakeVenue
from tests.fakes.walk import Walk

_TOPIC_OF = {"top": "orderbook.1", "trade": "publicTrade", "ticker": "tickers"}
_MOST_ARGS, _MOST_CHARACTERS = 10, 21_000
_AGAIN_S = 3.0
_CONN_ID = "13ac3a8f-52dd"


class FakeBybit(FakeVenue):
    """Bybit as `exchange-facts.md` §3 and its corrections describe it."""

    name = "bybit"
    ws_paths = ("/v5/public/spot",)
    price_factor = Decimal("1.003")
    book_channel = "orderbook.200"
    book_depth = 200
    tells_dropped = True

    def __init__(self, *given: Any, **named: Any) -> None:
        """Take the arguments of every fake."""
        super().__init__(*given, **named)
        self._asked: dict[Client, int] = {}
        self._numbers: dict[str, int] = {}  # of the books

    def received(self, client: Client, text: str) -> None:
        """Answer one request: {"req_id":"1","op":"subscribe","args":["tickers.BTCUSDT"]}, {"op":"ping"}."""
        try:
            request = json.loads(text)
            operation, topics = request["op"], request.get("args", [])
            named = [topic.rpartition(".")[::2] for topic in topics]
        except (ValueError, TypeError, KeyError, AttributeError):
            self._say(client, {}, "subscribe", "error:invalid request", success=False)
            return
        if operation == "ping":
            self._say(client, request, "ping", "pong")
        elif operation == "subscribe":
            self._subscribe(client, request, named, text)
        elif operation == "unsubscribe":
            client.streams -= {(topic, name.lower()) for topic, name in named}
            self._say(client, request, operation, operation)
        else:
            self._say(client, request, operation, "error:invalid op", success=False)

    def tick(self, client: Client, now: float) -> None:
        """Repeat a quiet top of book."""
        for channel, symbol in client.streams:
            walk = self.walks[symbol]
            if channel == "orderbook.1" and walk.sent_at is not None and now - walk.sent_at >= _AGAIN_S:
                self.publish(walk, "top")

    def frames(self, walk: Walk, what: str) -> list[tuple[str, str]]:
        """Return the push of one topic."""
        data: object
        now = time.time_ns() // 1_000_000
        name = f"{walk.base}{walk.quote}"
        topic, size = _TOPIC_OF[what], _text(walk.size)
        if what == "top":
            data = {"s": name, "b": [[_text(walk.bid), size]], "a": [[_text(walk.ask), size]],
                    "u": walk.update_id, "seq": walk.update_id}  # fmt: skip
        elif what == "trade":
            data = [{"i": str(2 * 10**18 + walk.trade_id), "T": now, "p": _text(walk.price), "v": size,
                     "S": "Buy", "s": name, "BT": False, "seq": walk.update_id}]  # fmt: skip
        else:
            data = {"symbol": name, "lastPrice": _text(walk.price), "highPrice24h": _text(walk.high),
                    "lowPrice24h": _text(walk.low), "prevPrice24h": _text(walk.open),
                    "volume24h": _text(walk.volume), "turnover24h": "1"}  # fmt: skip
        push = {"topic": f"{topic}.{name}", "ts": now, "type": "snapshot", "cs": walk.update_id, "data": data}
        if what == "top":
            push["cts"] = now
        return [(topic, json.dumps(push, separators=(",", ":")))]

    def book_frame(self, walk: Walk, sent: Sent) -> str:
        """Return the push of a book."""
        now = time.time_ns() // 1_000_000
        name = f"{walk.base}{walk.quote}"
        number = self._numbers.get(walk.symbol, 40_133_892) + (not sent.whole)
        self._numbers[walk.symbol] = number
        data = {"s": name, "b": _rows(sent.changed_bids), "a": _rows(sent.changed_asks), "u": number,
                "seq": sent.number}  # fmt: skip
        push = {"topic": f"{self.book_channel}.{name}", "ts": now,
                "type": "snapshot" if sent.whole else "delta", "data": data, "cts": now}  # fmt: skip
        return json.dumps(push, separators=(",", ":"))

    def restart_books(self) -> None:
        """Send all books whole, with the number 1."""
        for walk in self.walks.values():
            self._numbers[walk.symbol] = 1
            for client in self.clients:
                if (self.book_channel, walk.symbol) in client.streams:
                    self.send_book(client, walk)

    def announcement(self) -> str:
        """Answer a ping that was not sent: this venue announces no shutdown."""
        return json.dumps({"success": True, "ret_msg": "pong", "conn_id": _CONN_ID, "op": "ping"})

    def unknown_event(self) -> str:
        """Send a topic that does not exist yet."""
        return json.dumps({"topic": "novelty.BTCUSDT", "ts": 1, "type": "snapshot", "data": {}})

    def rest(self, path: str, query: dict[str, str]) -> object:
        """Answer instruments and candles (one finished minute, one running, newest first)."""
        if query.get("category") != "spot":
            self.violations.append("a request without the category: it would be of another market")
        if path == "/v5/market/instruments-info":
            return _listing([self._listed(walk) for walk in self.walks.values()])
        walk = self.walks.get(query.get("symbol", "").lower())
        if path != "/v5/market/kline":
            return HTTPStatus.NOT_FOUND
        if walk is None:
            return {"retCode": 10001, "retMsg": "Not supported symbols", "result": {}}
        opened = time.time_ns() // 60_000_000_000 * 60_000 - 60_000
        numbers = [_text(value) for value in (walk.open, walk.high, walk.low, walk.price, walk.volume)]
        return _listing([[str(opened + 60_000), *numbers, "1"], [str(opened), *numbers, "1"]])

    def _subscribe(
        self, client: Client, request: dict[str, Any], named: list[tuple[str, str]], text: str
    ) -> None:
        self._asked[client] = self._asked.get(client, 0) + sum(len(".".join(each)) for each in named)
        if self._asked[client] > _MOST_CHARACTERS:
            self.violations.append("more than 21,000 characters of topics on one connection")
        symbols = {name.lower() for _, name in named}
        whole = self.current.refuses_all(symbols)
        topics = {*_TOPIC_OF.values(), self.book_channel}
        wrong = [name for topic, name in named if topic not in topics or name.lower() not in self.walks]
        if len(named) > _MOST_ARGS:
            self._say(client, request, "subscribe", "args size >10", success=False)
        elif whole:
            said = {"busy": "Too many visits. Exceeded the API Rate Limit.", "echo": f"error:{text[:200]}"}
            self._say(client, request, "subscribe", said.get(whole, "error:invalid"), success=False)
        elif wrong or any(map(self.current.refuses, symbols)):
            self._say(client, request, "subscribe", "error:handler not found", success=False)
        else:
            for topic, name in named:
                client.streams.add((topic, name.lower()))
                self._send_state(client, topic, self.walks[name.lower()])
            answer = {"success": True, "ret_msg": "subscribe", "conn_id": _CONN_ID,
                      "req_id": request.get("req_id", ""), "op": "subscribe"}  # fmt: skip
            self.acknowledge(client, json.dumps(answer), symbols)

    def _send_state(self, client: Client, topic: str, walk: Walk) -> None:
        """Send what there is so far, which may come before the acknowledgement; no trades."""
        if topic == self.book_channel:
            self.send_book(client, walk)
            return
        what = next(what for what, known in _TOPIC_OF.items() if known == topic)
        for _, frame in self.frames(walk, what) if what != "trade" else ():
            self.deliver(client, topic, walk.symbol, frame)

    def _say(
        self, client: Client, request: dict[str, Any], operation: str, said: str, *, success: bool = True
    ) -> None:
        answer = {"success": success, "ret_msg": said, "conn_id": _CONN_ID, "op": operation}
        client.send(json.dumps(answer | ({"req_id": request["req_id"]} if "req_id" in request else {})))

    def _listed(self, walk: Walk) -> dict[str, object]:
        rules = self.rules[walk.symbol]
        return {
            "symbol": f"{walk.base}{walk.quote}", "baseCoin": walk.base, "quoteCoin": walk.quote,
            "status": self.states.get(walk.symbol, "Trading"),
            "lotSizeFilter": {"basePrecision": rules.lot or "", "minOrderQty": rules.min_amount or "",
                              "minOrderAmt": rules.min_notional or ""},
            "priceFilter": {"tickSize": rules.tick or ""},
        }  # fmt: skip


def _listing(rows: list[Any]) -> dict[str, object]:
    return {"retCode": 0, "retMsg": "OK", "result": {"category": "spot", "list": rows}, "time": 1}


def _rows(rows: list[Row]) -> list[list[str]]:
    return [[_text(price), _text(size)] for price, size in rows]


def _text(value: Decimal) -> str:
    text = format(value, "f")
    return text.rstrip("0").rstrip(".") if "." in text else text
