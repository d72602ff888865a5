"""A fake OKX v5: public channels, an acknowledgement per argument, text pings, a close after silence."""

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

_CHANNEL_OF = {"top": "bbo-tbt", "trade": "trades", "ticker": "tickers"}
_LONGEST_REQUEST = 64 * 1024
_MOST_OPERATIONS = 480  # an hour and connection; no test lasts longer than an hour
_CONN_ID = "a4d3ae55"


class FakeOKX(FakeVenue):
    """OKX as `exchange-facts.md` §2 describes it; after `idle_s` without a push or a ping it closes (4004).

    Its prices start 0.1 % above those of the fake Binance, so that a test can tell them apart.
    """

    name = "okx"
    ws_paths = ("/ws/v5/public",)
    price_factor = Decimal("1.001")
    book_channel = "books"
    book_depth = 400

    def __init__(self, *given: Any, idle_s: float = 30.0, **named: Any) -> None:
        """Take the arguments of every fake, and the seconds of silence after which it closes."""
        super().__init__(*given, **named)
        self.idle_s = idle_s

    def opened(self, client: Client) -> None:
        """Check the rate of connecting: 3 a second."""
        if len(self.connects) > 3 and self.connects[-1] - self.connects[-4] < 1.0:
            self.violations.append("more than 3 connects in one second")

    def received(self, client: Client, text: str) -> None:
        """Answer one request: `ping`, {"op":"subscribe","args":[...]}, {"op":"unsubscribe",...}."""
        if text == "ping":
            client.send("pong")
            return
        if len(text) > _LONGEST_REQUEST:
            self.violations.append("a request of more than 64 KB")
            self.soon(client.close(1009, "frame too long"))
            return
        try:
            request = json.loads(text)
            operation, arguments = request["op"], request["args"]
            named = [(argument["channel"], argument["instId"]) for argument in arguments]
        except (ValueError, TypeError, KeyError):
            self._error(client, "60012", f"Invalid request: {text[:500]}")
            return
        client.operations += 1
        if client.operations > _MOST_OPERATIONS:
            self.violations.append("more than 480 operations on one connection in an hour")
            self._error(client, "60014", "Requests too frequent.")
        elif operation == "subscribe" and (
            whole := self.current.refuses_all({_symbol(name) for _, name in named})
        ):
            self._refuse_all(client, whole, text)
        elif operation == "subscribe":
            for channel, name in named:
                self._subscribe(client, channel, name)
        elif operation == "unsubscribe":
            for channel, name in named:
                client.streams.discard((channel, _symbol(name)))
                self._ack(client, operation, channel, name)
        else:
            self._error(client, "60012", f"Invalid request: {text[:500]}")

    def tick(self, client: Client, now: float) -> None:
        """Close connections that were silent too long."""
        if now - client.active_at > self.idle_s:
            self.soon(client.close(4004, "No data received in 30s."))

    def frames(self, walk: Walk, what: str) -> list[tuple[str, str]]:
        """Return the push of one channel; numbers are text without trailing zeros, as the venue writes."""
        item: dict[str, object]
        name = f"{walk.base}-{walk.quote}"
        now = str(time.time_ns() // 1_000_000)
        size = _text(walk.size)
        if what == "top":
            item = {"asks": [[_text(walk.ask), size, "0", "1"]], "bids": [[_text(walk.bid), size, "0", "1"]]}
            item |= {"ts": now, "seqId": walk.update_id}
        elif what == "trade":
            item = {"instId": name, "tradeId": str(walk.trade_id), "px": _text(walk.price), "sz": size}
            item |= {"side": "buy", "ts": now, "count": "1", "source": "0", "seqId": walk.update_id}
        else:
            item = _day(walk, name, now)
        channel = _CHANNEL_OF[what]
        push = {"arg": {"channel": channel, "instId": name}, "data": [item]}
        return [(channel, json.dumps(push, separators=(",", ":")))]

    def book_frame(self, walk: Walk, sent: Sent) -> str:
        """Return the push of a book; the checksum is 0, as since 2026."""
        arg = {"channel": "books", "instId": f"{walk.base}-{walk.quote}"}
        item: dict[str, object] = {"asks": _rows(sent.changed_asks), "bids": _rows(sent.changed_bids)}
        item |= {"ts": str(time.time_ns() // 1_000_000), "checksum": 0, "seqId": sent.number}
        action = "snapshot" if sent.whole else "update"
        push = {"arg": arg, "action": action, "data": [item | {"prevSeqId": sent.after}]}
        return json.dumps(push, separators=(",", ":"))

    def announcement(self) -> str:
        """Announce the end of the connection for a service upgrade."""
        message = "The connection will soon be closed for a service upgrade. Please reconnect."
        return json.dumps({"event": "notice", "code": "64008", "msg": message, "connId": _CONN_ID})

    def unknown_event(self) -> str:
        """Send an event that does not exist yet."""
        return json.dumps({"event": "novelty", "arg": {"channel": "new"}, "connId": _CONN_ID})

    def rest(self, path: str, query: dict[str, str]) -> object:
        """Answer instruments and candles (one finished minute)."""
        if path == "/api/v5/public/instruments":
            return {"code": "0", "msg": "", "data": [self._listed(walk) for walk in self.walks.values()]}
        if path == "/api/v5/market/tickers" and self.tells_volumes:
            now = str(time.time_ns() // 1_000_000)
            days = [_day(walk, f"{walk.base}-{walk.quote}", now) for walk in self.walks.values()]
            return {"code": "0", "msg": "", "data": days}
        walk = self.walks.get(_symbol(query.get("instId", "")))
        if path != "/api/v5/market/candles" or walk is None:
            return HTTPStatus.NOT_FOUND
        opened = time.time_ns() // 60_000_000_000 * 60_000 - 60_000
        prices = [_text(value) for value in (walk.open, walk.high, walk.low, walk.price, walk.volume)]
        return {"code": "0", "msg": "", "data": [[str(opened), *prices, "0", "0", "1"]]}

    def _listed(self, walk: Walk) -> dict[str, str]:
        state = self.states.get(walk.symbol, "live")
        name, rules = f"{walk.base}-{walk.quote}", self.rules[walk.symbol]
        listed = {"instType": "SPOT", "instId": name, "baseCcy": walk.base, "quoteCcy": walk.quote}
        numbers = {"tickSz": rules.tick, "lotSz": rules.lot, "minSz": rules.min_amount}
        return {**listed, "state": state, **{key: text or "" for key, text in numbers.items()}}

    def _refuse_all(self, client: Client, how: str, text: str) -> None:
        if how == "busy":
            self._error(client, "60014", "Requests too frequent.")
        else:
            self._error(
                client, "60012", f"Invalid request: {text[:500]}" if how == "echo" else "Invalid request"
            )

    def _subscribe(self, client: Client, channel: str, name: str) -> None:
        symbol = _symbol(name)
        walk = self.walks.get(symbol)
        what = next((what for what, known in _CHANNEL_OF.items() if known == channel), None)
        is_known = what is not None or channel == self.book_channel
        if walk is None or not is_known or self.current.refuses(symbol):
            message = f"Subscribe failed, wrong URL or channel:{channel},instId:{name} doesn't exist. "
            self._error(client, "60018", message + "Please use the correct URL, channel and parameters.")
            return
        client.streams.add((channel, symbol))
        if channel == self.book_channel:
            self.send_book(client, walk)
        elif (
            what is not None and what != "trade"
        ):  # the state so far comes at once, before the acknowledgement
            walk.sent_at = time.monotonic()
            for _, frame in self.frames(walk, what):
                self.deliver(client, channel, symbol, frame)
        self._ack(client, "subscribe", channel, name)

    def _ack(self, client: Client, event: str, channel: str, name: str) -> None:
        argument = {"channel": channel, "instId": name}
        frame = json.dumps({"event": event, "arg": argument, "connId": _CONN_ID}, separators=(",", ":"))
        self.acknowledge(client, frame, {_symbol(name)})

    def _error(self, client: Client, code: str, message: str) -> None:
        client.send(json.dumps({"event": "error", "msg": message, "code": code, "connId": _CONN_ID}))


def _symbol(name: str) -> str:
    return name.replace("-", "").lower()


def _rows(rows: list[Row]) -> list[list[str]]:
    return [[_text(price), _text(size), "0", "1" if size else "0"] for price, size in rows]


def _text(value: Decimal) -> str:
    text = format(value, "f")
    return text.rstrip("0").rstrip(".") if "." in text else text


def _day(walk: Walk, name: str, now: str) -> dict[str, object]:
    size = _text(walk.size)
    return {
        "instType": "SPOT", "instId": name, "last": _text(walk.price), "lastSz": size,
        "askPx": _text(walk.ask),
        "askSz": size, "bidPx": _text(walk.bid), "bidSz": size, "open24h": _text(walk.open),
        "high24h": _text(walk.high), "low24h": _text(walk.low), "sodUtc0": _text(walk.open),
        "sodUtc8": _text(walk.open), "volCcy24h": _text(walk.volume * walk.open),
        "vol24h": _text(walk.volume), "ts": now,
    }  # fmt: skip
