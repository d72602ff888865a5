"""A fake MEXC: texts and protobuf on one socket, 30 subscriptions, answers that mix yes and no."""

from __future__ import annotations

import json
import struct
import time
import zlib
from decimal import Decimal
from http import HTTPStatus
from typing import Any

from tests.fakes.books import Row, Sent
from tests.fakes.client import Client
from tests.fakes.rate import Rate
from tests.fakes.venue import FakeVenue
from tests.fakes.walk import Walk

_MOST_SUBSCRIPTIONS, _MOST_A_SECOND = 30, 100
_NAMES = {
    "bookTicker": "spot@public.aggre.bookTicker.v3.api.pb@100ms@{}",
    "deals": "spot@public.aggre.deals.v3.api.pb@100ms@{}",
    "miniTicker": "spot@public.miniTicker.v3.api.pb@{}@UTC+0",
    "limit.depth": "spot@public.limit.depth.v3.api.pb@{}@20",
}
_WRAPPER = {"channel": 1, "symbol": 3, "symbolId": 4, "createTime": 5, "sendTime": 6}
_BODIES = {"bookTicker": 315, "deals": 314, "miniTicker": 309, "limit.depth": 303, "novelty": 399}
_FIELDS: dict[str, dict[str, int]] = {
    "bookTicker": {
        "bidPrice": 1, "bidQuantity": 2, "askPrice": 3, "askQuantity": 4, "version": 5,
        "lastOrderCreateTime": 6,
    },
    "deals": {
        "deals": 1, "eventType": 2, "price": 1, "quantity": 2, "tradeType": 3, "time": 4, "tradeId": 5,
    },
    "limit.depth": {
        "asks": 1, "bids": 2, "eventType": 3, "version": 4, "lastOrderCreateTime": 5, "price": 1,
        "quantity": 2,
    },
    "miniTicker": {
        "symbol": 1, "price": 2, "rate": 3, "zonedRate": 4, "high": 5, "low": 6, "volume": 7, "quantity": 8,
    },
}  # fmt: skip
_FIRST_DEAL = 700_000_000_000_000_000
_UNKNOWN = 1000  # from this on, the numbers of fields that the schema does not know


class FakeMEXC(FakeVenue):
    """MEXC as its fact sheet describes it.

    It cuts a connection without a subscription after `unused_s`, without traffic after `idle_s`, and any one
    after `life_s`.
    """

    name = "mexc"
    ws_paths = ("/ws",)
    price_factor = Decimal("1.005")
    figures = frozenset({"high_24h", "low_24h", "volume_24h"})
    book_channel = "limit.depth"
    book_depth = 20

    def __init__(
        self,
        *given: Any,
        unused_s: float = 30.0,
        idle_s: float = 60.0,
        life_s: float = 86_400.0,
        **named: Any,
    ) -> None:
        """Take the arguments of every fake, and the limits in seconds."""
        super().__init__(*given, **named)
        self.unused_s = unused_s
        self.idle_s = idle_s
        self.life_s = life_s
        self.cut: list[str] = []  # why
        self._now_ms = 0
        self._messages = Rate(_MOST_A_SECOND, 1.0)

    def received(self, client: Client, text: str) -> None:
        """Answer one request: {"method":"SUBSCRIPTION","params":[...]}, UNSUBSCRIPTION, PING."""
        if self._messages.is_exceeded():
            self.violations.append("more than 100 requests in one second")
        try:
            request = json.loads(text)
            method, names = request["method"], request.get("params", [])
            number = request.get("id", 0)
        except (ValueError, TypeError, KeyError):
            client.send('{"id":0,"code":0,"msg":"msg format invalid"}')
            return
        if method == "PING":
            client.send(_response(number, "PONG"))
        elif method == "UNSUBSCRIPTION":
            client.streams -= {stream for name in names if (stream := self._stream(name))}
            client.send(_response(number, ",".join(names)))
        elif method == "SUBSCRIPTION":
            self._subscribe(client, number, names)

    def tick(self, client: Client, now: float) -> None:
        """Cut connections that are unused, silent or old."""
        for is_due, why in (
            (not client.streams and now - client.opened_at > self.unused_s, "unused"),
            (now - client.active_at > self.idle_s, "silent"),
            (now - client.opened_at > self.life_s, "old"),
        ):
            if is_due:
                self.cut.append(why)
                client.abort()

    def frames(self, walk: Walk, what: str) -> list[tuple[str, str]]:
        """Return the push of one channel, as the JSON that `encode` takes; the names are the schema's."""
        now, size = self._moment(), f"{walk.size:f}"
        data: object
        if what == "top":
            kind = "bookTicker"
            data = {
                "bidPrice": f"{walk.bid:f}", "bidQuantity": size, "askPrice": f"{walk.ask:f}",
                "askQuantity": size, "version": str(walk.update_id), "lastOrderCreateTime": now,
            }  # fmt: skip
        elif what == "trade":
            kind, deal = "deals", _FIRST_DEAL + 2 * walk.trade_id
            data = [
                {"price": f"{walk.price:f}", "quantity": size, "tradeType": 2, "time": now,
                 "tradeId": f"{deal}X0_{deal + 1}X0"},
            ]  # fmt: skip
        else:
            kind = "miniTicker"
            data = {
                "symbol": walk.symbol.upper(), "price": f"{walk.price:f}", "rate": "0.0067",
                "zonedRate": "0.0067", "high": f"{walk.high:f}", "low": f"{walk.low:f}",
                "volume": f"{walk.volume * walk.price:f}", "quantity": f"{walk.volume:f}",
            }  # fmt: skip
        name = walk.symbol.upper()
        push = {"channel": _NAMES[kind].format(name), "symbol": name, "sendTime": now, "data": data}
        return [(kind, json.dumps(push))]

    def book_frame(self, walk: Walk, sent: Sent) -> str:
        """Return the push of a book, whole each time, as the JSON that `encode` takes."""
        now, name = self._moment(), walk.symbol.upper()
        data = {
            "asks": _levels(sent.asks), "bids": _levels(sent.bids), "version": str(sent.number),
            "eventType": "spot@public.limit.depth.v3.api.pb", "lastOrderCreateTime": now,
        }  # fmt: skip
        channel = _NAMES["limit.depth"].format(name)
        return json.dumps({"channel": channel, "symbol": name, "sendTime": now, "data": data})

    def encode(self, frame: str, client: Client | None = None) -> str | bytes:
        """Return a push as protobuf, whatever its values are; other frames are text."""
        try:
            push = json.loads(frame)
        except (ValueError, RecursionError):
            return frame
        if not isinstance(push, dict) or "channel" not in push:
            return frame
        kind = next((kind for kind in _BODIES if kind in str(push["channel"])), "")
        data, fields = push.pop("data", None), _FIELDS.get(kind, {})
        if isinstance(data, list):
            data = {"deals": data, "eventType": "spot@public.aggre.deals.v3.api.pb@100ms"}
        wrapper = b"".join(_field(_number(name, _WRAPPER), value, {}) for name, value in push.items())
        return wrapper + _field(_BODIES.get(kind, _UNKNOWN), data, fields)

    def announcement(self) -> str:
        """Send a pong: the venue announces no shutdown."""
        return _response(0, "PONG")

    def unknown_event(self) -> str:
        """Send a channel that does not exist yet."""
        return json.dumps({
            "channel": "spot@public.novelty.v3.api.pb@BTCUSDT", "symbol": "BTCUSDT",
            "sendTime": self._moment(), "data": {"what": "new"},
        })  # fmt: skip

    def rest(self, path: str, query: dict[str, str]) -> object:
        """Answer symbols and candles (one finished minute, one running)."""
        if path == "/api/v3/exchangeInfo":
            return {"timezone": "CST", "symbols": [self._listed(walk) for walk in self.walks.values()]}
        walk = self.walks.get(query.get("symbol", "").lower())
        if path != "/api/v3/klines" or walk is None:
            return HTTPStatus.NOT_FOUND
        if query.get("interval") not in {"1m", "60m"}:
            return HTTPStatus.BAD_REQUEST
        opened = time.time_ns() // 60_000_000_000 * 60_000
        return [_candle(walk, opened - 60_000), _candle(walk, opened)]

    def _subscribe(self, client: Client, number: int, names: list[str]) -> None:
        """Accept and refuse channels in one answer; a pair that is not there is "blocked"."""
        accepted: list[str] = []
        refused: list[str] = []
        symbols: set[str] = set()
        for name in names:
            stream = self._stream(name)
            if stream is None or self.current.refuses(stream[1]):
                refused.append(name)
                continue
            client.streams.add(stream)
            accepted.append(name)
            symbols.add(stream[1])
        if len(client.streams) > _MOST_SUBSCRIPTIONS:
            self.violations.append("more than 30 subscriptions on one connection")
        text = ",".join(accepted)
        if refused:
            said = f"Not Subscribed successfully! [{','.join(refused)}].  Reason\uff1a Blocked! "
            text = f"Subscribed successful! [{text}]. {said}" if accepted else said
        self.acknowledge(client, _response(number, text), symbols)
        for name in accepted:
            if (stream := self._stream(name)) and stream[0] == self.book_channel:
                self.send_book(client, self.walks[stream[1]])

    def _stream(self, name: str) -> tuple[str, str] | None:
        """Return channel and symbol; None for what the venue does not have. Symbols are upper case."""
        for kind, form in _NAMES.items():
            start, _, end = form.partition("{}")
            if name.startswith(start) and name.endswith(end):
                symbol = name.removeprefix(start).removesuffix(end)
                is_known = symbol == symbol.upper() and symbol.lower() in self.walks
                return (kind, symbol.lower()) if is_known else None
        return None

    def _listed(self, walk: Walk) -> dict[str, object]:
        rules = self.rules[walk.symbol]
        return {
            "symbol": walk.symbol.upper(), "status": self.states.get(walk.symbol, "1"),
            "isSpotTradingAllowed": True, "baseAsset": walk.base, "baseAssetPrecision": _places(rules.lot),
            "quoteAsset": walk.quote, "quotePrecision": _places(rules.tick),
            "baseSizePrecision": rules.min_amount or "0", "quoteAmountPrecision": rules.min_notional or "0",
            "permissions": ["SPOT"], "filters": [],
        }  # fmt: skip

    def _moment(self) -> int:
        """Return the time in ms, never the same twice."""
        self._now_ms = max(self._now_ms + 1, time.time_ns() // 1_000_000)
        return self._now_ms


def _response(number: int, text: str) -> str:
    return json.dumps({"id": number, "code": 0, "msg": text})


def _levels(rows: list[Row]) -> list[dict[str, str]]:
    return [{"price": f"{price:f}", "quantity": f"{size:f}"} for price, size in rows]


def _candle(walk: Walk, opened: int) -> list[object]:
    prices = [f"{value:f}" for value in (walk.open, walk.high, walk.low, walk.price, walk.volume)]
    return [opened, *prices, opened + 60_000, f"{walk.volume * walk.price:f}"]


def _places(step: str | None) -> int:
    exponent = Decimal(step or "1").as_tuple().exponent
    assert isinstance(exponent, int)
    return -exponent


def _number(name: str, numbers: dict[str, int]) -> int:
    return numbers.get(name, _UNKNOWN + zlib.crc32(name.encode("utf-8", "replace")) % _UNKNOWN)


def _field(number: int, value: object, numbers: dict[str, int]) -> bytes:
    """Return a field of the type that the value has; nothing for None, many fields for a list."""
    if value is None:
        return b""
    if isinstance(value, list):
        return b"".join(_field(number, each, numbers) for each in value)
    if isinstance(value, int):
        return _varint(number << 3) + _varint(value % 2**64)
    if isinstance(value, float):
        return _varint(number << 3 | 1) + struct.pack("<d", value)
    if isinstance(value, dict):
        content = b"".join(_field(_number(name, numbers), each, numbers) for name, each in value.items())
    else:
        content = str(value).encode("utf-8", "replace")
    return _varint(number << 3 | 2) + _varint(len(content)) + content


def _varint(value: int) -> bytes:
    digits = []
    while value >= 0x80:
        digits.append(value & 0x7F | 0x80)
        value >>= 7
    return bytes([*digits, value])
