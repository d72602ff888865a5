"""A fake Upbit: binary frames, one subscription that the next request replaces, no acknowledgements."""

from __future__ import annotations

import json
import time
from datetime import UTC, datetime
from decimal import Decimal
from http import HTTPStatus
from typing import Any

from tests.fakes.books import Sent
from tests.fakes.client import Client
from tests.fakes.rate import Rate
from tests.fakes.venue import FakeVenue
from tests.fakes.walk import Walk

_TYPES = {"top": "orderbook", "trade": "trade", "ticker": "ticker"}
_LEVELS = {"1": 1, "5": 5, "15": 15}  # every other suffix, and none, gives 30
_MOST_LEVELS = 30
_STATUS_S = 10.0
# From these on, as a Java program writes numbers, they have an exponent.
_LARGE, _SMALL = Decimal(10_000_000), Decimal("0.001")


class FakeUpbit(FakeVenue):
    """Upbit as its fact sheet describes it; a connection without traffic for `idle_s` is cut.

    The ids of trades are unique, but every fourth one is smaller than the one before.
    """

    name = "upbit"
    ws_paths = ("/websocket/v1",)
    price_factor = Decimal("1.003")
    figures = frozenset({"volume_24h"})
    halted = None
    book_channel = "orderbook of 30"  # among those of `orderbook`
    book_depth = 30

    def __init__(self, *given: Any, idle_s: float = 60.5, **named: Any) -> None:
        """Take the arguments of every fake, and the seconds of silence after which it cuts."""
        super().__init__(*given, **named)
        self.idle_s = idle_s
        self._now_ms = 0
        self._rates = {
            "more than 5 messages in 1 s": Rate(5, 1.0),
            "more than 100 messages in 60 s": Rate(100, 60.0),
        }
        self._connects = Rate(5, 1.0)
        self._told: dict[Client, float] = {}  # who asked for the status, and when it was sent last

    def opened(self, client: Client) -> None:
        """Check the rate of connecting, 5 a second, and that no origin is given."""
        if self._connects.is_exceeded():
            self.violations.append("more than 5 connects in one second")
        if client.connection.request and "Origin" in client.connection.request.headers:
            self.violations.append("an Origin header")

    def heard(self, client: Client) -> None:
        """Take any frame as traffic."""
        client.active_at = time.monotonic()

    def received(self, client: Client, text: str) -> None:
        """Answer one request: PING, or a list of a ticket, types with their codes, and a format."""
        self.violations += [why for why, rate in self._rates.items() if rate.is_exceeded(client)]
        if text == "PING":
            self._tell(client)
            return
        try:
            parts = json.loads(text)
        except ValueError:
            parts = None
        if not isinstance(parts, list) or not all(isinstance(part, dict) for part in parts):
            self._end(client, "WRONG_FORMAT", "Format 이 맞지 않습니다.")
        elif not parts or "ticket" not in parts[0]:
            self._end(client, "NO_TICKET", "티켓이 존재하지 않거나, 유효하지 않습니다.")
        else:
            self._replace(client, [part for part in parts[1:] if "format" not in part])

    def tick(self, client: Client, now: float) -> None:
        """Send the status every 10 s to who asked for it; cut silent connections."""
        if client in self._told and now - self._told[client] >= _STATUS_S:
            self._tell(client)
        if now - client.active_at > self.idle_s:
            client.abort()

    def frames(self, walk: Walk, what: str) -> list[tuple[str, str]]:
        """Return the push of one type; numbers are JSON numbers, prices often with an exponent."""
        head = f'"type":"{_TYPES[what]}","code":"{walk.quote}-{walk.base}","timestamp":{self._moment()}'
        if what == "top":
            rest = (
                f'"total_ask_size":{walk.size:.8f},"total_bid_size":{walk.size:.8f},"orderbook_units":'
                f'[{{"ask_price":{_java(walk.ask)},"bid_price":{_java(walk.bid)},"ask_size":{walk.size:.8f},'
                f'"bid_size":{walk.size:.8f}}}],"level":0'
            )
        elif what == "trade":
            late = 0 if walk.trade_id % 4 else 2500
            rest = (
                f'"trade_timestamp":{self._now_ms},"trade_price":{_java(walk.price)},"ask_bid":"ASK",'
                f'"trade_volume":{walk.size:.8f},"sequential_id":{walk.trade_id * 1000 - late}'
            )
        else:
            state = self.states.get(walk.symbol, "ACTIVE")
            rest = (
                f'"opening_price":{_java(walk.open)},"high_price":{_java(walk.high)},'
                f'"low_price":{_java(walk.low)},"trade_price":{_java(walk.price)},'
                f'"prev_closing_price":{_java(walk.open)},"acc_trade_volume":{walk.size:.8f},'
                f'"acc_trade_volume_24h":{walk.volume:.8f},"market_state":{json.dumps(state)},'
                f'"is_trading_suspended":false,"delisting_date":null'
            )
        return [(_TYPES[what], f'{{{head},{rest},"stream_type":"REALTIME"}}')]

    def book_frame(self, walk: Walk, sent: Sent) -> str:
        """Return the push of a book, whole each time; a side with fewer levels is filled up with 0."""
        units = []
        for number in range(max(len(sent.bids), len(sent.asks))):
            (bid, bid_size), (ask, ask_size) = (
                side[number] if number < len(side) else (Decimal(0), Decimal(0))
                for side in (sent.bids, sent.asks)
            )
            units.append(
                f'{{"ask_price":{_java(ask)},"bid_price":{_java(bid)},"ask_size":{_java(ask_size)},'
                f'"bid_size":{_java(bid_size)}}}'
            )
        head = f'"type":"orderbook","code":"{walk.quote}-{walk.base}","timestamp":{self._moment()}'
        return f'{{{head},"orderbook_units":[{",".join(units)}],"level":0,"stream_type":"REALTIME"}}'

    def encode(self, frame: str, client: Client | None = None) -> bytes:
        """Send text in a binary frame, as the venue does with all of it."""
        return frame.encode("utf-8", "replace")

    def announcement(self) -> str:
        """Send the status of the venue: it announces no shutdown."""
        return '{"status":"UP"}'

    def unknown_event(self) -> str:
        """Send data of a type that does not exist yet."""
        return '{"type":"novelty","code":"KRW-BTC","timestamp":1790134742106}'

    def rest(self, path: str, query: dict[str, str]) -> object:
        """Answer the list, the ticks of some of it, and candles, newest first: one running, one finished."""
        if path == "/v1/market/all":
            return [
                {"market": f"{walk.quote}-{walk.base}", "korean_name": "", "english_name": walk.base}
                for walk in self.walks.values()
            ]
        if path == "/v1/orderbook/instruments":
            walks = [self._walk(code) for code in query.get("markets", "").split(",")]
            if None in walks:
                return HTTPStatus.NOT_FOUND
            return [self._instrument(walk) for walk in walks if walk]
        walk = self._walk(query.get("market", ""))
        if path != "/v1/candles/minutes/1" or walk is None or int(query.get("count", "1")) > 200:
            return HTTPStatus.NOT_FOUND
        opened = time.time_ns() // 60_000_000_000 * 60
        return [_candle(walk, opened), _candle(walk, opened - 60)]

    def _replace(self, client: Client, parts: list[dict[str, Any]]) -> None:
        """Replace the subscription, and send the state of all of it; there is no other answer."""
        if not parts or any("type" not in part for part in parts):
            self._end(client, "NO_TYPE", "")
            return
        if any(not part.get("codes") for part in parts):
            self._end(client, "NO_CODES", "")
            return
        if unknown := [part["type"] for part in parts if part["type"] not in _TYPES.values()]:
            self._end(client, "INVALID_PARAM", f"{unknown[0]} 은 지원하지 않는 타입입니다.")
            return
        client.streams.clear()
        for part in parts:
            for code in part["codes"]:
                self._start(client, part["type"], code)

    def _start(self, client: Client, kind: str, text: str) -> None:
        """Send the state of one code, and its changes from now on; nothing if it is unknown or lower-case."""
        code, _, levels = text.partition(".")
        walk = self._walk(code)
        if walk is None or self.current.refuses(walk.symbol):
            return
        if kind == "orderbook" and (count := _LEVELS.get(levels, _MOST_LEVELS)) != 1:
            if count != self.book_depth:
                self.violations.append("another number of levels than is used")
            client.streams.add((self.book_channel, walk.symbol))
            self.send_book(client, walk)
            return
        client.streams.add((kind, walk.symbol))
        what = next(what for what, known in _TYPES.items() if known == kind)
        walk.sent_at = time.monotonic()
        for _, frame in self.frames(walk, what):
            self.deliver(client, kind, walk.symbol, frame.replace('"REALTIME"', '"SNAPSHOT"'))

    def _tell(self, client: Client) -> None:
        self._told[client] = time.monotonic()
        client.send('{"status":"UP"}')

    def _end(self, client: Client, name: str, message: str) -> None:
        client.send(json.dumps({"error": {"name": name, "message": message}}))
        self.soon(client.close(1000))

    def _walk(self, code: str) -> Walk | None:
        quote, _, base = code.partition("-")
        walk = self.walks.get(f"{base}{quote}".lower())
        return walk if walk and code == f"{walk.quote}-{walk.base}" else None

    def _instrument(self, walk: Walk) -> dict[str, object]:
        tick = self.rules[walk.symbol].tick or "0"
        return {
            "market": f"{walk.quote}-{walk.base}", "quote_currency": walk.quote, "tick_size": tick,
            "supported_levels": ["0"],
        }  # fmt: skip

    def _moment(self) -> int:
        """Return the time in ms, never the same twice."""
        self._now_ms = max(self._now_ms + 1, time.time_ns() // 1_000_000)
        return self._now_ms


def _java(number: Decimal) -> str:
    """Write a number as a Java program does."""
    if not number or _SMALL <= number < _LARGE:
        return f"{number:f}"
    digits, _, exponent = f"{number.normalize():E}".partition("E")
    return f"{digits if '.' in digits else digits + '.0'}E{int(exponent)}"


def _candle(walk: Walk, opened: int) -> dict[str, object]:
    """Return a candle; its `timestamp` is that of its last trade."""
    utc = datetime.fromtimestamp(opened, UTC).replace(tzinfo=None)
    return {
        "market": f"{walk.quote}-{walk.base}", "candle_date_time_utc": utc.isoformat(),
        "opening_price": float(walk.open), "high_price": float(walk.high), "low_price": float(walk.low),
        "trade_price": float(walk.price), "timestamp": opened * 1000 + 41_234,
        "candle_acc_trade_price": float(walk.volume * walk.price),
        "candle_acc_trade_volume": float(walk.volume), "unit": 1,
    }  # fmt: skip
