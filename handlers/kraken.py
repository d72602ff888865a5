"""Kraken v2, public spot market data.

Documentation: https://docs.kraken.com/exchange/api-reference/spot-websocket-v2/ticker, .../trade, .../ping.
Two channels per instrument: `ticker`, sent at each change of the best bid or ask and including the 24 h
figures, and `trade`; for books `book`, whose changes have no numbers but a checksum of the first 10 levels: a
loss beyond these would not be noticed, so only 10 of the 25 that we keep are shown. Numbers are JSON numbers.
The venue's ids look like `BTC/USD`; its REST interface calls BTC XBT and DOGE XDG, which the WebSocket does
not accept.

Evidence: single frames of all channels, of `status`, acknowledgements and a refusal, 2026-08 and 2026-09; a
`book` with its checksums recorded on 2023-07-30; limits from the documents.

Not given: more than 10 certain levels of a book; an opening price (calculated from the change); the
announcement of a shutdown.
"""

from __future__ import annotations

import itertools
import zlib
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from functools import partial
from typing import TYPE_CHECKING, Annotated

import msgspec
from msgspec import Raw, Struct

from crypto_stream.feed.handler import (
    Acked,
    Bar,
    BarSeconds,
    Budget,
    DepthChange,
    Event,
    Ignored,
    Instrument,
    Keepalive,
    Level,
    Limits,
    Listed,
    MalformedFrame,
    Opening,
    Places,
    Pong,
    Refused,
    Request,
    Rules,
    Topic,
    Trade,
    Update,
    VenueKey,
    VenueStatus,
    Wanted,
    exact,
    exact_price,
    microseconds,
    read_each,
    reading,
    step,
)
from crypto_stream.market.bars import venue_bar
from crypto_stream.market.decimals import difference

if TYPE_CHECKING:
    import httpx

URLS = ["wss://ws.kraken.com:443"]
REST_URL = "https://api.kraken.com"
BUSY = "btcusd"
DEPTH = True
LIMITS = Limits(
    pace_s=0.2,  # the limit is not published
    attempts=Budget(150, 600.0),  # more attempts are punished by a ban of ten minutes
    keepalive=Keepalive('{"method":"ping"}', 5.0),  # the venue's own heartbeat comes in each idle second
)

_CHANNELS: dict[Topic, str] = {"top": "ticker", "day": "ticker", "trades": "trade", "depth": "book"}
_EXTRA_PARAMS: dict[str, dict[str, object]] = {
    "ticker": {"event_trigger": "bbo"},
    "trade": {"snapshot": False},
    "book": {"depth": 25},
}
_CHECKED = 10  # levels of a side that the checksum covers
_PER_REQUEST = 100  # symbols
_ALIASES = {"XBT": "BTC", "XDG": "DOGE"}
_ONLINE = "online"
_MINUTES = {"1m": "1", "1h": "60"}
_MS = 1000


class _Push(Struct):
    channel: str
    data: Raw = Raw()
    type: str = ""


class _Ticker(Struct, gc=False):
    symbol: str
    bid: Raw
    bid_qty: Raw
    ask: Raw
    ask_qty: Raw
    last: Raw
    volume: Raw
    low: Raw
    high: Raw
    change: Raw
    timestamp: datetime


class _Trade(Struct, gc=False):
    symbol: str
    price: Raw
    qty: Raw
    trade_id: VenueKey
    timestamp: datetime


class _Level(Struct, gc=False):
    price: Raw
    qty: Raw


class _Book(Struct):
    symbol: str
    bids: list[_Level]
    asks: list[_Level]
    checksum: int
    timestamp: datetime | None = None


class _Status(Struct):
    system: str


class _Subscribed(Struct):
    symbol: str = ""


class _Response(Struct):
    """The response to a request."""

    method: str
    success: bool = True
    result: _Subscribed | None = None
    error: str = ""
    symbol: str = ""
    req_id: int | None = None


class _WithoutRules(Struct, gc=False):
    wsname: str
    status: str = _ONLINE


class _Pair(_WithoutRules, gc=False):
    tick_size: str = ""
    pair_decimals: Places | None = None
    lot_decimals: Places | None = None
    ordermin: str = ""
    costmin: str = ""


class _Answer(Struct):
    error: list[str]
    result: Annotated[dict[str, Raw], msgspec.Meta(max_length=20_000)] = {}


# time in s, open, high, low, close, volume-weighted average, volume, number of trades
_Candle = tuple[BarSeconds, str, str, str, str, str, str, int]

_push = msgspec.json.Decoder(_Push).decode
_response = msgspec.json.Decoder(_Response).decode
_tickers = msgspec.json.Decoder(list[_Ticker]).decode
_trades = msgspec.json.Decoder(list[_Trade]).decode
_books = msgspec.json.Decoder(list[_Book]).decode
_statuses = msgspec.json.Decoder(list[_Status]).decode
_pair = msgspec.json.Decoder(_Pair).decode
_without_rules = msgspec.json.Decoder(_WithoutRules).decode
_candles = msgspec.json.Decoder(list[_Candle]).decode


def venue_id(pair: Instrument) -> str | None:
    """Return the venue's id of a pair."""
    return f"{pair.base}/{pair.quote}" if pair.base and pair.quote else None


def pair_of(venue_id: str) -> tuple[str, str] | None:
    """Split an id into base and quote."""
    base, _, quote = venue_id.partition("/")
    return (base, quote) if base and quote and "/" not in quote else None


async def opening(http: httpx.AsyncClient, options: Mapping[str, str]) -> Opening:
    """Return the path of the public channels."""
    return Opening("/v2")


class Reader:
    """Parses the frames of one connection and numbers its requests; `instruments` are by the venue's id.

    A book has `levels` levels a side: the venue drops those beyond, without saying so.
    """

    levels = 25

    def __init__(self, instruments: Mapping[str, Instrument]) -> None:
        self._instruments = instruments
        self._numbers = itertools.count(1)
        self._readers: dict[str, Callable[[Raw], list[Event]]] = {
            "ticker": self._read_tickers,
            "trade": self._read_trades,
            "status": _read_status,
        }

    def subscribe(self, wanted: Sequence[Wanted]) -> list[Request]:
        """Request channels, up to 100 symbols per message; each symbol is acknowledged.

        {"method":"subscribe","params":{"channel":"ticker","symbol":["BTC/USD"],"event_trigger":"bbo"},"req_id":1}
        """
        return self._requests("subscribe", wanted)

    def unsubscribe(self, wanted: Sequence[Wanted]) -> list[Request]:
        """Cancel what `subscribe` requested; the responses are not awaited."""
        return [request._replace(keys=()) for request in self._requests("unsubscribe", wanted)]

    def read(self, frame: bytes) -> list[Event]:
        """Parse a frame: data of a channel, or the response to a request.

        {"channel":"ticker","type":"update","data":[{...}]} · {"channel":"heartbeat"}
        {"method":"subscribe","req_id":1,"result":{"channel":"ticker","symbol":"BTC/USD",...},"success":true,...}
        """
        try:
            push = _push(frame)
        except msgspec.ValidationError:
            return [self._read_response(_response(frame))]
        if push.channel == "book":
            return self._read_books(push) or [Ignored("book")]
        read = self._readers.get(push.channel)
        return (read(push.data) if read else []) or [Ignored(push.channel[:40])]

    def _requests(self, method: str, wanted: Sequence[Wanted]) -> list[Request]:
        requests = []
        for channel, more in _EXTRA_PARAMS.items():
            of_channel = [each for each in wanted if _CHANNELS[each.topic] == channel]
            ids = list(dict.fromkeys(each.id for each in of_channel))
            for start in range(0, len(ids), _PER_REQUEST):
                part = ids[start : start + _PER_REQUEST]
                number = next(self._numbers)
                params = {"channel": channel, "symbol": part, **more}
                text = msgspec.json.encode({"method": method, "params": params, "req_id": number}).decode()
                included = set(part)
                requests.append(
                    Request(
                        text,
                        tuple(f"{number}:{each}" for each in part),
                        tuple(each for each in of_channel if each.id in included),
                    )
                )
        return requests

    def _read_tickers(self, data: Raw) -> list[Event]:
        events: list[Event] = []
        for item in _tickers(data):
            if instrument := self._instruments.get(item.symbol):
                events += _read_ticker(instrument, item)
            else:
                events.append(Ignored("not_subscribed"))
        return events

    def _read_trades(self, data: Raw) -> list[Event]:
        return [
            _read_trade(instrument, item)
            if (instrument := self._instruments.get(item.symbol))
            else Ignored("not_subscribed")
            for item in _trades(data)
        ]

    def _read_books(self, push: _Push) -> list[Event]:
        """Parse books; the first one, of the type `snapshot`, is whole. A quantity of 0 removes a level.

        {"channel":"book","type":"update","data":[{"symbol":"BTC/USD","bids":[{"price":83743.4,
          "qty":0.85713986}],"asks":[],"checksum":977902900,"timestamp":"2026-09-25T17:48:24.880679Z"}]}
        """
        return [
            DepthChange(
                instrument=instrument,
                bids=_levels(item.bids),
                asks=_levels(item.asks),
                whole=push.type == "snapshot",
                time=None if item.timestamp is None else microseconds(item.timestamp) // _MS,
                depth=self.levels,
                certain=_CHECKED,
                is_right=partial(_is_right, item.checksum),
            )
            if (instrument := self._instruments.get(item.symbol))
            else Ignored("not_subscribed")
            for item in _books(push.data)
        ]

    def _read_response(self, response: _Response) -> Event:
        """Parse a response; a refused unsubscription has the method `subscribe`, too.

        {"error":"Currency pair not supported X/USD","method":"subscribe","success":false,"symbol":"X/USD",
         "req_id":2}
        """
        if response.method == "pong":
            return Pong()
        number = "" if response.req_id is None else response.req_id
        if not response.success:
            key = f"{number}:{response.symbol}" if response.symbol else ""
            return Refused(key, response.error[:200], self._instruments.get(response.symbol))
        if response.method == "subscribe" and response.result:
            return Acked(f"{number}:{response.result.symbol}")
        return Ignored(f"method:{response.method}"[:40])


def _read_ticker(instrument: Instrument, ticker: _Ticker) -> list[Event]:
    """Parse top of book and 24 h figures; `volume` is in base, `change` since 24 h ago in quote.

    {"symbol":"BTC/USD","bid":63297.7,"bid_qty":5.75119051,"ask":63297.8,"ask_qty":0.36977971,"last":63297.8,
     "volume":1020.88387727,"vwap":63685.7,"low":63250,"high":64409.2,"change":0.7,"change_pct":0,"trades":47535,
     "timestamp":"2026-08-12T19:29:00.921195Z"}
    """
    key = microseconds(ticker.timestamp)
    time = key // _MS
    last, change = exact(ticker.last), exact(ticker.change)
    return [
        Update(
            instrument=instrument,
            channel="ticker",
            key=key,
            time=time,
            bid=exact(ticker.bid),
            bid_size=exact(ticker.bid_qty),
            ask=exact(ticker.ask),
            ask_size=exact(ticker.ask_qty),
        ),
        Update(
            instrument=instrument,
            channel="day",
            key=key,
            time=time,
            price=last,
            open_24h=difference(last, change) if last and change else None,
            high_24h=exact(ticker.high),
            low_24h=exact(ticker.low),
            volume_24h=exact(ticker.volume),
            slow=True,
        ),
    ]


def _read_trade(instrument: Instrument, trade: _Trade) -> Event:
    """Parse a trade.

    {"symbol":"BTC/USD","side":"buy","price":83744.3,"qty":0.00044780,"ord_type":"limit","trade_id":109116693,
     "timestamp":"2026-09-25T17:48:26.844359Z"}
    """
    return Trade(
        instrument=instrument,
        channel="trade",
        key=trade.trade_id,
        time=microseconds(trade.timestamp) // _MS,
        price=exact_price(trade.price),
        size=exact(trade.qty),
    )


def _levels(levels: Sequence[_Level]) -> list[Level]:
    return [(exact_price(level.price), exact_price(level.qty)) for level in levels]


def _is_right(checksum: int, bids: Sequence[Level], asks: Sequence[Level]) -> bool:
    """Return whether the best ten asks, then bids, have this CRC-32: of their digits, without leading zeros.

    https://docs.kraken.com/api/docs/guides/spot-ws-book-v2
    """
    digits = [
        number.replace(".", "").lstrip("0")
        for side in (asks, bids)
        for level in side[:_CHECKED]
        for number in level
    ]
    return zlib.crc32("".join(digits).encode()) == checksum


def _read_status(data: Raw) -> list[Event]:
    """Parse the state of the venue: `online`, `maintenance`, `cancel_only`, `post_only`.

    [{"version":"2.0.10","system":"online","api_version":"v2","connection_id":8423536080466635000}]
    """
    return [VenueStatus("" if one.system == _ONLINE else one.system) for one in _statuses(data)]


async def instruments(http: httpx.AsyncClient) -> list[Listed]:
    """Fetch the listed pairs; their state is "" if tradable, else the venue's (`cancel_only`).

    https://docs.kraken.com/api/docs/rest-api/get-tradable-asset-pairs
    """
    found = await _fetch(http, "AssetPairs", {})
    with reading("kraken AssetPairs"):
        entries = read_each(list(found.values()), _pair, _without_rules)
    return [
        Listed(
            id=f"{base}/{quote}",
            base=base,
            quote=quote,
            state="" if item.status == _ONLINE else item.status,
            rules=_rules(item) if isinstance(item, _Pair) else Rules(),
        )
        for item in entries
        if (split := pair_of(item.wsname))
        for base, quote in [(_ALIASES.get(split[0], split[0]), _ALIASES.get(split[1], split[1]))]
    ]


def _rules(item: _Pair) -> Rules:
    """Parse the rules for orders.

    {"wsname":"XBT/USD","status":"online","tick_size":"0.1","lot_decimals":8,"ordermin":"0.00005","costmin":"0.5"}
    """
    tick, lot = item.tick_size or step(item.pair_decimals), step(item.lot_decimals)
    return Rules(tick=tick, lot=lot, min_amount=item.ordermin, min_notional=item.costmin)


async def candles(http: httpx.AsyncClient, venue_id: str, interval: str) -> list[Bar]:
    """Fetch the newest 720 bars of "1m" or "1h", oldest first; the last one is still open.

    https://docs.kraken.com/api/docs/rest-api/get-ohlc-data
    {"error":[],"result":{"BTC/USD":[[1616662740,"52591.9","52599.9","52591.8","52599.9","52599.1","0.11091626",5]],
      "last":1616662680}}
    """
    found = await _fetch(http, "OHLC", {"pair": venue_id, "interval": _MINUTES[interval]})
    with reading("kraken OHLC"):
        rows = next((raw for name, raw in found.items() if name != "last"), None)
        if rows is None:
            raise ValueError("no bars in the answer")
        return [venue_bar(row[0] * _MS, (*row[1:5], row[6]), row[7], "kraken") for row in _candles(rows)]


async def _fetch(http: httpx.AsyncClient, path: str, params: Mapping[str, str]) -> dict[str, Raw]:
    """Fetch a result; errors have HTTP status 200 and a list of messages."""
    answer = await http.get(f"/0/public/{path}", params=params)
    answer.raise_for_status()
    with reading(f"kraken {path}"):
        found = msgspec.json.decode(answer.content, type=_Answer)
    if found.error:
        raise MalformedFrame(f"kraken {path}: {', '.join(found.error)[:200]}")
    return found.result
