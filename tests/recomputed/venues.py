"""What the frames of each venue say, by the venues' documents.

`VENUES` maps a handler's name to its function.

Each takes a frame and yields what it says of spot pairs; what is not asked for there yields nothing.
"""

from __future__ import annotations

import gzip
from collections.abc import Callable, Iterator
from decimal import Decimal
from typing import Any, ClassVar

from tests.recomputed.said import Said, first, joined, micros, ms, nanos, parsed

_MS = 1000


def _binance(frame: bytes) -> Iterator[Said]:
    message = parsed(frame)
    data = message.get("data", message)
    if not isinstance(data, dict) or "s" not in data:
        return
    symbol, kind = joined(data["s"]), data.get("e", "")
    stream = message.get("stream", "").partition("@")[2]
    if stream == "bookTicker" or (not kind and "u" in data):
        yield Said(symbol, "top", int(data["u"]), None, tops=(data["b"], data["B"], data["a"], data["A"]))
    elif kind == "aggTrade":
        yield Said(symbol, "trade", int(data["a"]), int(data["T"]), data["p"], data["q"])


def _bybit(frame: bytes) -> Iterator[Said]:
    message = parsed(frame)
    name, _, pair = message.get("topic", "").rpartition(".")
    data, at = message.get("data"), int(message.get("ts", 0))
    if name == "publicTrade":
        for one in data:
            yield Said(joined(pair), name, int(one["i"]), int(one["T"]), one["p"], one["v"])
    elif name == "tickers":
        yield Said(joined(pair), name, at, at, data["lastPrice"], volume=data["volume24h"], slow=True)


def _coinbase(frame: bytes) -> Iterator[Said]:
    message = parsed(frame)
    channel = message["channel"]
    if channel == "ticker":
        key = nanos(message["timestamp"])
        at = key // 1_000_000
        # All have the time of the frame: of several of one product the last one counts.
        newest = {one["product_id"]: one for event in message["events"] for one in event["tickers"]}
        for name, one in newest.items():
            tops = tuple(one[f"best_{side}{what}"] for side in ("bid", "ask") for what in ("", "_quantity"))
            yield Said(joined(name), channel, key, at, tops=tops)
            yield Said(joined(name), "day", key, at, one["price"], volume=one["volume_24_h"], slow=True)
    if channel == "market_trades":
        trades = [one for event in message["events"] for one in event["trades"]]
        for one in sorted(trades, key=lambda one: int(one["trade_id"])):
            symbol = joined(one["product_id"])
            yield Said(symbol, channel, int(one["trade_id"]), ms(one["time"]), one["price"], one["size"])


def _kraken(frame: bytes) -> Iterator[Said]:
    message = parsed(frame)
    channel = message.get("channel")
    for one in message["data"] if channel in ("ticker", "trade") else ():
        symbol, key = joined(one["symbol"]), micros(one["timestamp"])
        if channel == "trade":
            yield Said(symbol, channel, int(one["trade_id"]), key // 1000, one["price"], one["qty"])
        else:
            tops = (one["bid"], one["bid_qty"], one["ask"], one["ask_qty"])
            yield Said(symbol, channel, key, key // 1000, tops=tops)
            yield Said(symbol, "day", key, key // 1000, one["last"], volume=one["volume"], slow=True)


def _gate(frame: bytes) -> Iterator[Said]:
    message = parsed(frame)
    channel, one = message["channel"], message.get("result")
    if message.get("event") != "update":
        return
    if channel == "spot.book_ticker":
        tops = (one["b"], one["B"], one["a"], one["A"])
        yield Said(joined(one["s"]), channel, int(one["u"]), int(one["t"]), tops=tops)
    elif channel == "spot.trades":
        at = int(one["create_time_ms"].partition(".")[0])
        yield Said(joined(one["currency_pair"]), channel, int(one["id"]), at, one["price"], one["amount"])
    elif channel == "spot.tickers":
        at = int(message["time_ms"]) if "time_ms" in message else int(message["time"]) * _MS
        yield Said(
            joined(one["currency_pair"]), channel, at, at, one["last"], volume=one["base_volume"], slow=True
        )  # fmt: skip


def _bitstamp(frame: bytes) -> Iterator[Said]:
    message = parsed(frame)
    kind, _, pair = message["channel"].rpartition("_")
    one = message["data"]
    if (message["event"], kind) == ("data", "order_book"):
        at, tops = int(one["microtimestamp"]), (*first(one["bids"]), *first(one["asks"]))
        yield Said(pair, kind, at, at // 1000, tops=tops)
    elif (message["event"], kind) == ("trade", "live_trades"):
        at = int(one["microtimestamp"]) // 1000
        yield Said(pair, kind, int(one["id"]), at, one["price_str"], one["amount_str"])


def _htx(frame: bytes) -> Iterator[Said]:
    message = parsed(frame if frame[:1] == b"{" else gzip.decompress(frame))
    parts = message.get("ch", "").split(".", 2)
    if len(parts) < 3:
        return
    _, symbol, kind = parts
    tick = message["tick"]
    if kind == "bbo":
        tops = (tick["bid"], tick["bidSize"], tick["ask"], tick["askSize"])
        yield Said(symbol, kind, int(tick["seqId"]), int(tick["quoteTime"]), tops=tops)
    elif kind == "trade.detail":
        for one in reversed(tick["data"]):  # the newest is the first
            yield Said(symbol, kind, int(one["tradeId"]), int(one["ts"]), one["price"], one["amount"])
    elif kind == "ticker":
        at, tops = int(message["ts"]), (tick["bid"], tick["bidSize"], tick["ask"], tick["askSize"])
        yield Said(symbol, kind, at, at, tick["close"], tops=tops, volume=tick["amount"], slow=True)


def _bitget(frame: bytes) -> Iterator[Said]:
    message = parsed(frame) if frame != b"pong" else {}
    about = message.get("arg", {})
    symbol, channel = joined(about.get("instId", "")), about.get("channel")
    if "data" not in message or about.get("instType") != "SPOT":
        return
    for one in reversed(message["data"]):  # of trades the newest is the first
        at = int(one["ts"])
        if channel == "trade":
            yield Said(symbol, channel, int(one["tradeId"]), at, one["price"], one["size"])
        elif channel == "ticker":
            tops = (one["bidPr"], one["bidSz"], one["askPr"], one["askSz"])
            volume = one["baseVolume"]
            yield Said(symbol, channel, at, at, one["lastPr"], tops=tops, volume=volume, slow=True)


def _kucoin(frame: bytes) -> Iterator[Said]:
    message = parsed(frame)
    topic, one = message.get("T"), message.get("d", {})
    if topic == "trade.SPOT":
        at = int(one["M"]) // 1_000_000
        yield Said(joined(one["s"]), topic, int(one["ti"]), at, one["p"], one["q"])
    elif topic == "obu.SPOT" and message["t"] == "snapshot":
        at, tops = int(one["M"]) // 1_000_000, (*first(one["b"]), *first(one["a"]))
        yield Said(joined(one["s"]), topic, int(one["C"]), at, tops=tops)


def _upbit(frame: bytes) -> Iterator[Said]:
    message = parsed(frame)
    if message.get("type") != "orderbook":
        return
    quote, base = message["code"].lower().split("-")
    at, best = int(message["timestamp"]), message["orderbook_units"][0]
    tops = tuple(best[name] for name in ("bid_price", "bid_size", "ask_price", "ask_size"))
    yield Said(base + quote, "orderbook", at, at, tops=tops)


def _mexc(frame: bytes) -> Iterator[Said]:
    if frame[:1] == b"{":
        return
    push = _fields(frame)
    symbol, sent = joined(push[3][0].decode()), push[6][0] if 6 in push else None
    if 315 in push:
        top = _fields(push[315][0])
        bid, bid_size, ask, ask_size, version = (top[number][0].decode() for number in range(1, 6))
        yield Said(symbol, "top", int(version), sent, tops=(bid, bid_size, ask, ask_size))
    for deals in push.get(314, []):
        for deal in map(_fields, _fields(deals)[1]):
            key = int(deal[5][0].decode().partition("X")[0])
            yield Said(symbol, "deals", key, deal[4][0], deal[1][0].decode(), deal[2][0].decode())
    if 309 in push:
        day = {number: values[0] for number, values in _fields(push[309][0]).items()}
        yield Said(
            symbol, "mini", sent, sent, day[2].decode(), volume=day[8].decode(), slow=True
        )  # fmt: skip


def _fields(data: bytes) -> dict[int, list[Any]]:
    """Read a protobuf message: integers, and bytes of whatever is in them."""
    found: dict[int, list[Any]] = {}
    at = 0
    while at < len(data):
        tag, at = _varint(data, at)
        value, at = _varint(data, at)
        if tag & 7 == 2:  # the integer was the length
            value, at = data[at : at + value], at + value  # type: ignore[assignment]
        found.setdefault(tag >> 3, []).append(value)
    return found


def _varint(data: bytes, at: int) -> tuple[int, int]:
    number = shift = 0
    while True:
        byte, at = data[at], at + 1
        number |= (byte & 127) << shift
        if byte < 128:
            return number, at
        shift += 7


class Bitfinex:
    """Bitfinex names channels by numbers, and sends books level by level."""

    _CODES: ClassVar = {"IOT": "iota", "MNA": "mana", "DOG": "mdoge", "UST": "usdt"}

    def __init__(self) -> None:
        self._channels: dict[str, tuple[str, str]] = {}
        self._books: dict[str, dict[Decimal, tuple[str, str, bool]]] = {}  # price, size, whether a bid

    def __call__(self, frame: bytes) -> Iterator[Said]:
        """Read a frame."""
        message = parsed(frame)
        if isinstance(message, dict):
            pair = message.get("symbol", "")[1:]
            if message["event"] == "subscribed" and ":" not in pair:
                symbol = "".join(self._CODES.get(each, each.lower()) for each in (pair[:3], pair[3:]))
                self._channels[message["chanId"]] = (message["channel"], symbol)
            return
        channel, symbol = self._channels.get(message[0], ("", ""))
        rest = message[1:-1]  # the last one numbers the frame
        if channel == "trades" and rest[0] == "te":
            yield self._trade(symbol, rest[1])
        elif channel == "trades" and isinstance(rest[0], list):  # past ones: the newest is the first
            for one in reversed(rest[0]):
                yield self._trade(symbol, one)
        elif channel == "ticker" and isinstance(rest[0], list):
            yield Said(symbol, channel, None, None, rest[0][6], volume=rest[0][7], slow=True)
        elif channel == "book" and isinstance(rest[0], list):
            yield Said(symbol, channel, None, None, tops=self._changed(message[0], rest[0]))

    def _trade(self, symbol: str, one: list[str]) -> Said:
        number, at, amount, price = one
        return Said(symbol, "trades", int(number), int(at), price, amount.lstrip("-"))

    def _changed(
        self, number: str, levels: list[Any]
    ) -> tuple[str | None, str | None, str | None, str | None]:
        if not levels or isinstance(levels[0], list):
            self._books[number] = {}
        book = self._books[number]
        for price, count, amount in levels if levels and isinstance(levels[0], list) else [levels]:
            if int(count):
                book[Decimal(price)] = (price, amount.lstrip("-"), not amount.startswith("-"))
            else:
                book.pop(Decimal(price), None)
        bids = [price for price, level in book.items() if level[2]]
        asks = [price for price, level in book.items() if not level[2]]
        bid, ask = (
            book[max(bids)][:2] if bids else (None, None),
            book[min(asks)][:2] if asks else (None, None),
        )
        return (*bid, *ask)


VENUES: dict[str, Callable[[], Callable[[bytes], Iterator[Said]]]] = {
    "binance": lambda: _binance,
    "bitfinex": Bitfinex,
    "bitget": lambda: _bitget,
    "bitstamp": lambda: _bitstamp,
    "bybit": lambda: _bybit,
    "coinbase": lambda: _coinbase,
    "gate": lambda: _gate,
    "htx": lambda: _htx,
    "kraken": lambda: _kraken,
    "kucoin": lambda: _kucoin,
    "mexc": lambda: _mexc,
    "upbit": lambda: _upbit,
}
