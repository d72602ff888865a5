"""A fake Bitfinex v2: arrays by a channel's number, books level by level, numbered frames."""

from __future__ import annotations

import json
import time
from collections import deque
from decimal import Decimal
from http import HTTPStatus
from itertools import count
from typing import Any
from weakref import WeakKeyDictionary

from tests.fakes.books import Row, Sent
from tests.fakes.client import Client
from tests.fakes.rate import Rate
from tests.fakes.venue import FakeVenue
from tests.fakes.walk import Walk

_CHANNELS = ("book", "trades", "ticker")
_LENGTHS = {"1", "25", "100", "250"}
_BOOK, _LENGTH = "book of 100", "100"  # the stream of the books that are levels alone, not the market's top
_MOST_CHANNELS, _ACCEPTED_CHANNELS = 25, 36
_MOST_CONNECTS, _CONNECTS_S = 20, 60.0
_IDLE_S = 60.0  # a connection without a subscription
_SEQ_ALL = 65536
_LEVELS = 3
_PAST_TRADES = 30  # in the first data of a channel of trades
_CODES = {
    "USDT": "UST", "USDC": "UDC", "IOTA": "IOT", "DASH": "DSH", "MANA": "MNA", "TUSD": "TSD", "EURT": "EUT",
}  # fmt: skip
_TEST_PAIRS = ["AAABBB", "TESTBTC:TESTUSD"]

_Levels = dict[tuple[Decimal, int], Decimal]  # (price, 1 for a bid or -1 for an ask) → amount


class _Line:
    """One connection: the numbers of its channels, and of its frames if it asked for them."""

    def __init__(self, first: int) -> None:
        self.free = count(first)
        self.numbers: dict[tuple[str, str], int] = {}
        self.is_sequenced = False
        self.sent = 0
        self.beaten_at = time.monotonic()
        self.behind: set[tuple[str, str]] = set()  # a fault kept changes of these books back

    def numbered(self, frame: str) -> str:
        """Append the next number to a data frame."""
        if not self.is_sequenced or frame[:1] != "[" or frame[-1:] != "]":
            return frame
        self.sent += 1
        return f"{frame[:-1]},{self.sent}]"


class FakeBitfinex(FakeVenue):
    """Bitfinex as its fact sheet describes it; a heartbeat on each channel every `heartbeat_s` seconds.

    Its prices have five significant digits. After a fault that kept changes of a book back, the whole book is
    sent, since a change alone would make it wrong.
    """

    name = "bitfinex"
    ws_paths = ("/ws/2",)
    price_factor = Decimal("1.003")
    halted = ""  # only the whole venue can be halted
    lists_ticks = False
    book_channel = _BOOK
    book_depth = 100
    tells_dropped = True

    def __init__(self, *given: Any, heartbeat_s: float = 15.0, **named: Any) -> None:
        """Take the arguments of every fake; `is_operative` is the state of the platform."""
        super().__init__(*given, **named)
        self.heartbeat_s = heartbeat_s
        self.is_operative = True
        self._connects = Rate(_MOST_CONNECTS, _CONNECTS_S)
        self._lines: WeakKeyDictionary[Client, _Line] = WeakKeyDictionary()
        self._connections = count(1)
        self._names = {f"t{_pair(walk)}": walk for walk in self.walks.values()}
        self._shown: dict[str, _Levels] = {}
        self._past: dict[str, deque[str]] = {}
        self._numbers = {
            (channel, symbol): number
            for number, (symbol, channel) in enumerate(
                ((symbol, channel) for symbol in self.walks for channel in (*_CHANNELS, _BOOK)), 1
            )
        }
        for walk in self.walks.values():
            walk.tick = Decimal(1).scaleb(walk.price.adjusted() - 4)
            walk.price = walk.open = walk.high = walk.low = walk.price.quantize(walk.tick)
            walk.bid, walk.ask = walk.price - walk.tick, walk.price + walk.tick

    def opened(self, client: Client) -> None:
        """Send the state of the platform; check the rate of connecting."""
        if self._connects.is_exceeded():
            self.violations.append("more than 20 connects in a minute")
        self._lines[client] = _Line(1000 * next(self._connections))
        platform = {"status": int(self.is_operative)}
        client.send(_text({"event": "info", "version": 2, "serverId": "fb5877a3", "platform": platform}))

    def received(self, client: Client, text: str) -> None:
        """Answer one request: {"event":"subscribe","channel":"ticker","symbol":"tBTCUSD"}; else be silent."""
        try:
            request = json.loads(text)
            event = request["event"]
        except (ValueError, TypeError, KeyError):
            return
        if event == "subscribe":
            self._subscribe(client, request)
        elif event == "unsubscribe":
            self._unsubscribe(client, request)
        elif event == "ping":
            client.send(
                _text({"event": "pong", "ts": time.time_ns() // 1_000_000, "cid": request.get("cid")})
            )
        elif event == "conf":
            self._lines[client].is_sequenced = bool(request["flags"] & _SEQ_ALL)
            client.send(_text({"event": "conf", "status": "OK", "flags": request["flags"]}))
        else:
            client.send(_text({"event": "error", "msg": "unknown event", "code": 10000}))

    def tick(self, client: Client, now: float) -> None:
        """Send the heartbeats; close a connection that stays without subscription."""
        if (line := self._lines.get(client)) is None:
            return  # a fault delays its opening
        if not line.numbers and now - client.opened_at > _IDLE_S:
            self.soon(client.close(1000))
        if now - line.beaten_at >= self.heartbeat_s:
            line.beaten_at = now
            for number in line.numbers.values():
                client.send(f'[{number},"hb"]')

    def frames(self, walk: Walk, what: str) -> list[tuple[str, str]]:
        """Return the frames of one channel, with a number that `deliver` replaces by the connection's own."""
        if what == "top":
            return [("book", self._frame(walk, "book", payload)) for payload in self._changes(walk)]
        if what == "trade":
            amount = walk.size if walk.trade_id % 2 else -walk.size
            trade = _array(walk.trade_id, time.time_ns() // 1_000_000, amount, walk.price)
            self._past.setdefault(walk.symbol, deque(maxlen=_PAST_TRADES)).appendleft(trade)
            return [("trades", self._frame(walk, "trades", f'"{kind}",{trade}')) for kind in ("te", "tu")]
        many = 25 * walk.size
        change = walk.price - walk.open
        day = _array(
            *(walk.bid, many, walk.ask, many, change, round(change / walk.open, 8)),
            *(walk.price, walk.volume, walk.high, walk.low, None),
        )
        return [("ticker", self._frame(walk, "ticker", day))]

    def book_frame(self, walk: Walk, sent: Sent) -> str:
        """Return the whole book, or the one change that there is."""
        return self.book_frames(walk, sent)[-1]

    def book_frames(self, walk: Walk, sent: Sent) -> list[str]:
        """Return the whole book, or a frame for each change; first those that remove a level."""
        rows = [*((1, row) for row in sent.changed_bids), *((-1, row) for row in sent.changed_asks)]
        levels = [_level(row, sign) for sign, row in sorted(rows, key=lambda each: bool(each[1][1]))]
        payloads = [f"[{','.join(levels)}]"] if sent.whole else levels
        return [self._frame(walk, _BOOK, payload) for payload in payloads]

    def introduction(self) -> list[str]:
        """Acknowledge the numbers that `frames` uses, without books: there is one channel of that name."""
        return [
            self._subscribed(channel, self.walks[symbol], number)
            for (channel, symbol), number in self._numbers.items()
            if channel != _BOOK
        ]

    def introduction_of_books(self) -> list[str]:
        """Acknowledge the numbers that `book_frames` uses."""
        return [
            self._subscribed(_BOOK, walk, self._numbers[_BOOK, symbol]) for symbol, walk in self.walks.items()
        ]

    def encode(self, frame: str, client: Client | None = None) -> str:
        """Number the data frames of a connection that asked for it."""
        line = None if client is None else self._lines.get(client)
        return line.numbered(frame) if line else frame

    def announcement(self) -> str:
        """Request a new connection."""
        return _text({"event": "info", "code": 20051, "msg": "Stopping. Please try to reconnect"})

    def announce_maintenance(self, *, ended: bool) -> None:
        """Tell all clients that a maintenance begins or has ended."""
        self.is_operative = ended
        for client in self.clients:
            client.send(_text({"event": "info", "code": 20061 if ended else 20060, "msg": "Maintenance"}))

    def lose_frame(self) -> None:
        """Number a frame on each connection that is never sent."""
        for line in self._lines.values():
            line.sent += 1

    def unknown_event(self) -> str:
        """Send an event that does not exist yet."""
        return _text({"event": "novelty", "symbol": "tBTCUST"})

    def rest(self, path: str, query: dict[str, str]) -> object:
        """Answer parts of the configuration, the platform's state, and candles (one finished minute)."""
        if path == "/v2/platform/status":
            return [int(self.is_operative)]
        if path.startswith("/v2/conf/"):
            return [self._configuration(part) for part in path.removeprefix("/v2/conf/").split(",")]
        kind, _, name = path.removeprefix("/v2/candles/trade:").removesuffix("/hist").partition(":")
        walk = self._names.get(name)
        if walk is None or kind != "1m" or query.get("sort") != "-1":
            return HTTPStatus.INTERNAL_SERVER_ERROR
        opened = time.time_ns() // 60_000_000_000 * 60_000
        row = [float(each) for each in (walk.open, walk.price, walk.high, walk.low, walk.volume)]
        return [[opened, *row], [opened - 60_000, *row]]

    def deliver(self, client: Client, channel: str, symbol: str, frame: str) -> None:
        """Send one data frame with this connection's numbers, through the current fault."""
        line = self._lines[client]
        if (number := line.numbers.get((channel, symbol))) is None:
            return
        if (channel, symbol) in line.behind:
            frame = self._whole_book(channel, self.walks[symbol])
        own = f"[{number}{frame[frame.index(',') :]}"
        pieces = list(self.current.data(client, channel, symbol, own))
        for piece in pieces:
            client.send(piece)
        if channel in {"book", _BOOK}:
            is_current = self.current.unnoticed or pieces[-1:] == [own]
            (line.behind.discard if is_current else line.behind.add)((channel, symbol))

    def _whole_book(self, channel: str, walk: Walk) -> str:
        """Return all levels of a book, as a new subscriber gets them."""
        if channel == _BOOK:
            return self.book_frame(walk, self.book(walk).whole())
        return self._frame(walk, channel, _whole(self._shown.setdefault(walk.symbol, _levels_of(walk))))

    def _subscribe(self, client: Client, request: dict[str, Any]) -> None:
        """Acknowledge one channel with its number; the state so far follows."""
        line = self._lines[client]
        channel, walk = str(request.get("channel")), self._names.get(str(request.get("symbol")))
        refused = self._why_refused(line, request, channel, walk)
        if refused or walk is None:
            client.send(_text(refused))
            return
        channel = _stream(request)
        line.numbers[channel, walk.symbol] = number = next(line.free)
        client.streams.add((channel, walk.symbol))
        if len(line.numbers) > _MOST_CHANNELS:
            self.violations.append("more than 25 channels on one connection")
        self.acknowledge(client, self._subscribed(channel, walk, number), {walk.symbol})
        if channel in {"book", _BOOK}:
            frames = [self._whole_book(channel, walk)]
        elif channel == "trades":
            past = ",".join(self._past.get(walk.symbol, ()))  # newest first
            frames = [self._frame(walk, "trades", f"[{past}]")]
        else:
            frames = [frame for _, frame in self.frames(walk, "ticker")]
        for frame in frames:
            self.deliver(client, channel, walk.symbol, frame)

    def _why_refused(
        self, line: _Line, request: dict[str, Any], channel: str, walk: Walk | None
    ) -> dict[str, Any]:
        """Return the error that answers a request, which repeats it; empty if there is none."""
        symbols = set() if walk is None else {walk.symbol}
        whole = self.current.refuses_all(symbols)
        repeated = {name: value for name, value in request.items() if name != "event"}
        if whole == "nameless":
            return {"event": "error", "msg": "unknown event", "code": 10000}
        number = None if walk is None else line.numbers.get((_stream(request), walk.symbol))
        if whole:
            said: dict[str, Any] = {"msg": "ratelimit: error", "code": 11010}
        elif walk is None or channel not in _CHANNELS or self.current.refuses(walk.symbol):
            said = {"msg": "symbol: invalid", "code": 10300}
        elif channel == "book" and request.get("len") not in _LENGTHS:
            said = {"msg": "len: invalid", "code": 10300}
        elif number is not None:
            said = {"msg": "subscribe: dup", "code": 10301, "chanId": number}
        elif len(line.numbers) >= _ACCEPTED_CHANNELS:
            said = {"msg": "subscribe: limit", "code": 10305}
        else:
            return {}
        return {**repeated, "event": "error", **said, "pair": str(request.get("symbol"))[1:]}

    def _unsubscribe(self, client: Client, request: dict[str, Any]) -> None:
        line, number = self._lines[client], request.get("chanId")
        stream = next((each for each, its in line.numbers.items() if its == number), None)
        if stream is None:
            client.send(
                _text({"event": "error", "msg": "unsubscribe: invalid", "code": 10400, "chanId": number})
            )
            return
        del line.numbers[stream]
        client.streams.discard(stream)
        client.send(_text({"event": "unsubscribed", "status": "OK", "chanId": number}))

    def _changes(self, walk: Walk) -> list[str]:
        """Return what changed in a book: deleted levels, then the others; at first the whole book."""
        before, now = self._shown.get(walk.symbol), _levels_of(walk)
        self._shown[walk.symbol] = now
        if before is None:
            return [_whole(now)]
        deleted = [_array(price, 0, sign) for price, sign in before.keys() - now.keys()]
        changed = {key: amount for key, amount in now.items() if before.get(key) != amount}
        return [*deleted, *(_array(price, 1, sign * amount) for (price, sign), amount in changed.items())]

    def _frame(self, walk: Walk, channel: str, payload: str) -> str:
        return f"[{self._numbers[channel, walk.symbol]},{payload}]"

    def _subscribed(self, channel: str, walk: Walk, number: int) -> str:
        length = {"book": "25", _BOOK: _LENGTH}.get(channel)
        book = {"prec": "P0", "freq": "F0", "len": length} if length else {}
        name = channel.partition(" ")[0]
        said = {"event": "subscribed", "channel": name, "chanId": number, "symbol": f"t{_pair(walk)}"}
        return _text({**said, **book, "pair": _pair(walk)})

    def _configuration(self, part: str) -> list[Any]:
        pairs = {_pair(walk): self.rules[walk.symbol] for walk in self.walks.values()}
        if part == "pub:list:pair:exchange":
            return [*_TEST_PAIRS, *pairs]
        if part == "pub:map:currency:sym":
            return [["UST", "USDt"], *([theirs, ours] for ours, theirs in _CODES.items() if ours != "USDT")]
        return [
            [pair, [None, None, None, rules.min_amount, "2000.0", None, None, None, 0.3, 0.15]]
            for pair, rules in pairs.items()
        ]


def _stream(request: dict[str, Any]) -> str:
    channel = str(request.get("channel"))
    return _BOOK if channel == "book" and request.get("len") == _LENGTH else channel


def _pair(walk: Walk) -> str:
    codes = [_CODES.get(each, each) for each in (walk.base, walk.quote)]
    return (":" if max(map(len, codes)) > 3 else "").join(codes)


def _levels_of(walk: Walk) -> _Levels:
    levels: _Levels = {}
    for number in range(_LEVELS):
        amount = walk.size if not number else Decimal(number)
        levels[walk.bid - number * walk.tick, 1] = levels[walk.ask + number * walk.tick, -1] = amount
    return levels


def _whole(levels: _Levels) -> str:
    return f"[{','.join(_array(price, 1, sign * amount) for (price, sign), amount in levels.items())}]"


def _level(row: Row, sign: int) -> str:
    """Write a level; one that is gone has no orders and the amount 1, or -1 on the side of the asks."""
    price, size = row
    return _array(price, 1, sign * size) if size else _array(price, 0, sign)


def _array(*values: Decimal | int | None) -> str:
    """Write numbers as the venue does: without trailing zeros, the smallest ones with an exponent."""
    return f"[{','.join(map(_number, values))}]"


def _number(value: Decimal | int | None) -> str:
    if value is None:
        return "null"
    number = Decimal(value).normalize()
    small = number and number.adjusted() < -6
    return f"{number:e}" if small else f"{number:f}"


def _text(message: dict[str, Any]) -> str:
    return json.dumps(message, separators=(",", ":"))
