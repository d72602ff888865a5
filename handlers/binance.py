"""Binance spot, public market data.

Documentation: https://github.com/binance/binance-spot-api-docs/blob/master/web-socket-streams.md,
rest-api.md. Three streams per symbol: `bookTicker` (top of book at each change), `aggTrade` (trades),
`ticker` (24 h figures each second). A connection may have 1024 streams, so at most 341 symbols. For books
`depth20@100ms`, the first 20 levels, whole each time: no change can be missed, and no REST request is needed.

Evidence: recorded 2021-04-04, 2021-04-17, 2021-08-14 (`bookTicker`, `aggTrade`); single frames of all
streams, a book of 20 levels, an acknowledgement and an error, 2020 to 2026-08; other errors and
`serverShutdown`: documents.

Not given: times of the top of book.
"""

from __future__ import annotations

import zlib
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Annotated, Generic, TypeVar

import msgspec
from msgspec import Raw, Struct

from crypto_stream.feed.handler import (
    Acked,
    Bar,
    BarTime,
    Budget,
    DepthChange,
    Event,
    Ignored,
    Instrument,
    Level,
    Limits,
    Listed,
    Moving,
    Opening,
    Refused,
    Request,
    Rules,
    Topic,
    Trade,
    Update,
    VenueKey,
    VenueList,
    VenueTime,
    Wanted,
    read_each,
    reading,
)
from crypto_stream.market.bars import venue_bar
from crypto_stream.market.decimals import decimal_text, four_decimal_texts, price_of_trade
from crypto_stream.market.instruments import split_symbol

if TYPE_CHECKING:
    import httpx

# The first host serves market data only and is the least restricted; the others serve everything.
URLS = ["wss://data-stream.binance.vision", "wss://stream.binance.com:9443", "wss://stream.binance.com:443"]
REST_URL = "https://data-api.binance.vision"
BUSY = "btcusdt"
DEPTH = True
LIMITS = Limits(
    instruments=340,  # three streams each, 1024 streams per connection, one reserved for BUSY
    connections=5,
    pace_s=0.3,  # 5 messages per second are allowed, including our pongs
    max_age_s=23 * 3600.0,  # the venue disconnects after 24 h
    attempts=Budget(300, 300.0),
)

_DEPTH = "depth20@100ms"
_STREAMS: dict[Topic, str] = {"top": "bookTicker", "trades": "aggTrade", "day": "ticker", "depth": _DEPTH}
_TOP, _HEAD_BYTES = b'@bookTicker"', 60  # near its beginning, a frame of the top of book contains this
_PER_REQUEST = 300  # streams, so that a frame has less than 8 kB
# Unknown error, disconnected, too many requests, timeout, overloaded: see errors.md.
_TRANSIENT = frozenset({-1000, -1001, -1003, -1007, -1008, -1015, -1034})
_Data = TypeVar("_Data")


class _Combined(Struct, Generic[_Data], gc=False):
    stream: str
    data: _Data


class _BookTicker(Struct, gc=False):
    u: VenueKey
    s: str
    b: str
    B: str
    a: str
    A: str


class _AggTrade(Struct, gc=False):
    s: str
    a: VenueKey
    p: str
    q: str
    T: VenueTime


class _Ticker(Struct, gc=False):
    E: VenueTime
    s: str
    c: str
    b: str
    B: str
    a: str
    A: str
    o: str
    h: str
    l: str  # noqa: E741 - the venue's name for the low price
    v: str


class _Book(Struct):
    lastUpdateId: VenueKey  # noqa: N815 - the venue's name
    bids: list[Level]
    asks: list[Level]


class _Fault(Struct):
    code: int | None = None
    msg: str = ""


class _Unwrapped(_Fault):
    """A frame without the `stream` wrapper; its fields show its type."""

    e: str | None = None
    u: Raw = Raw()
    result: Raw = Raw()
    id: int | str | None = None
    error: _Fault | None = None
    lastUpdateId: Raw = Raw()  # noqa: N815 - the venue's name


class _Filter(Struct, gc=False):
    filterType: str  # noqa: N815 - the venue's names, here and below
    tickSize: str = ""  # noqa: N815
    stepSize: str = ""  # noqa: N815
    minQty: str = ""  # noqa: N815
    minNotional: str = ""  # noqa: N815
    maxNotional: str = ""  # noqa: N815
    minPrice: str = ""  # noqa: N815
    maxPrice: str = ""  # noqa: N815
    maxQty: str = ""  # noqa: N815
    applyToMarket: bool = False  # noqa: N815
    applyMinToMarket: bool = False  # noqa: N815
    applyMaxToMarket: bool = False  # noqa: N815


class _WithoutRules(Struct):
    symbol: str
    status: str
    baseAsset: str = ""  # noqa: N815
    quoteAsset: str = ""  # noqa: N815


class _Symbol(_WithoutRules):
    filters: list[_Filter] = []


class _ExchangeInfo(Struct):
    symbols: Annotated[list[Raw], VenueList]


class _Day(Struct, gc=False):
    symbol: str
    quoteVolume: str  # noqa: N815


# open time, open, high, low, close, volume, close time, quote volume, number of trades, unused
_Kline = tuple[BarTime, str, str, str, str, str, BarTime, str, int, str, str, str]

_Instruments = Mapping[str, Instrument]

_combined = msgspec.json.Decoder(_Combined[Raw]).decode
_combined_top = msgspec.json.Decoder(_Combined[_BookTicker]).decode
_unwrapped = msgspec.json.Decoder(_Unwrapped).decode
_book_ticker = msgspec.json.Decoder(_BookTicker).decode
_agg_trade = msgspec.json.Decoder(_AggTrade).decode
_ticker = msgspec.json.Decoder(_Ticker).decode
_book = msgspec.json.Decoder(_Book).decode
_any = msgspec.json.Decoder().decode
_symbol = msgspec.json.Decoder(_Symbol).decode
_without_rules = msgspec.json.Decoder(_WithoutRules).decode
_rows = msgspec.json.Decoder(Annotated[list[Raw], VenueList]).decode
_day = msgspec.json.Decoder(_Day).decode


def venue_id(pair: Instrument) -> str | None:
    """Return the venue's id of a pair."""
    return f"{pair.base}{pair.quote}" if pair.base and pair.quote else pair.symbol.upper()


def pair_of(venue_id: str) -> tuple[str, str] | None:
    """Split an id into base and quote; without a separator this is a guess, used if there is no listing."""
    base, quote = split_symbol(venue_id)
    return (base, quote) if base and quote else None


async def opening(http: httpx.AsyncClient, options: Mapping[str, str]) -> Opening:
    """Return the path for combined streams; `subscribe` then requests the streams."""
    return Opening("/stream")


class Reader:
    """Parses the frames of one connection, each independently; `instruments` are by the venue's id."""

    def __init__(self, instruments: Mapping[str, Instrument]) -> None:
        self._instruments = instruments

    def subscribe(self, wanted: Sequence[Wanted]) -> list[Request]:
        """Request streams, up to 300 per message; the venue acknowledges each message.

        {"method":"SUBSCRIBE","params":["btcusdt@bookTicker","btcusdt@aggTrade","btcusdt@ticker"],"id":1}
        An unknown symbol is acknowledged like any other, but never sends data.
        """
        return _requests("SUBSCRIBE", wanted)

    def unsubscribe(self, wanted: Sequence[Wanted]) -> list[Request]:
        """Cancel what `subscribe` requested: the same message with `UNSUBSCRIBE`."""
        return [request._replace(keys=()) for request in _requests("UNSUBSCRIBE", wanted)]

    def read(self, frame: bytes) -> list[Event]:
        """Parse a frame, of combined mode (wrapped, which we request) or of raw mode.

        {"stream":"btcusdt@bookTicker","data":{...}} or the payload alone; responses are never wrapped:
        {"result":null,"id":1} · {"error":{"code":2,"msg":"..."},"id":1} · {"code":2,"msg":"..."}
        """
        if frame.find(_TOP, 0, _HEAD_BYTES) > 0:  # by far the most frequent frame, decoded in one pass
            try:
                return [_top(self._instruments, _combined_top(frame).data)]
            except msgspec.DecodeError:
                pass  # what is wrong with it is found below
        try:
            wrapped = _combined(frame)
        except msgspec.ValidationError:
            return [self._read_unwrapped(frame)]
        stream = wrapped.stream
        channel = stream.partition("@")[2]
        if channel == _DEPTH:
            return [_read_book(self._instruments.get(stream.partition("@")[0].upper()), wrapped.data)]
        if read := _READERS.get(channel or stream):
            return [read(self._instruments, wrapped.data)]
        # The names of streams for all symbols begin with `!`.
        return [Ignored((stream if stream.startswith("!") else channel or stream)[:40])]

    def _read_unwrapped(self, frame: bytes) -> Event:
        """Parse a frame without wrapper: a payload of raw mode, or the response to a request."""
        if frame.lstrip()[:1] == b"[":
            _any(frame)
            return Ignored("array")
        message = _unwrapped(frame)
        if message.e is not None:
            read = _READERS.get(message.e)
            return read(self._instruments, frame) if read else Ignored(message.e[:40])
        if message.u:
            return _top(self._instruments, _book_ticker(frame))
        return Ignored("depth") if message.lastUpdateId else _read_response(message)


async def instruments(http: httpx.AsyncClient) -> list[Listed]:
    """Fetch the listed symbols; their state is "" if tradable, else the venue's (`HALT`, `BREAK`).

    https://developers.binance.com/docs/binance-spot-api-docs/rest-api/general-endpoints (exchangeInfo)
    """
    answer = await http.get("/api/v3/exchangeInfo", params={"showPermissionSets": "false"})
    if answer.status_code == 400:  # affiliated exchanges do not support this option, which only saves bytes
        answer = await http.get("/api/v3/exchangeInfo")
    answer.raise_for_status()
    with reading("binance exchangeInfo"):
        listed = msgspec.json.decode(answer.content, type=_ExchangeInfo)
        entries = read_each(listed.symbols, _symbol, _without_rules)
    return [
        Listed(
            id=item.symbol,
            base=pair[0],
            quote=pair[1],
            state="" if item.status == "TRADING" else item.status,
            rules=_rules(item.filters) if isinstance(item, _Symbol) else Rules(),
        )
        for item in entries
        if (pair := (item.baseAsset, item.quoteAsset) if item.baseAsset else pair_of(item.symbol))
    ]


async def volumes(http: httpx.AsyncClient) -> dict[str, str]:
    """Fetch the 24 h volume of each symbol in its quote currency.

    https://developers.binance.com/docs/binance-spot-api-docs/rest-api/market-data-endpoints (ticker/24hr)
    [{"symbol":"BTCUSDT","volume":"8913.30000000","quoteVolume":"534798000.00000000","count":76,...}]
    """
    answer = await http.get("/api/v3/ticker/24hr")
    answer.raise_for_status()
    with reading("binance ticker/24hr"):
        return {day.symbol: day.quoteVolume for day in read_each(_rows(answer.content), _day)}


async def candles(http: httpx.AsyncClient, venue_id: str, interval: str) -> list[Bar]:
    """Fetch the newest 1,000 bars of "1m" or "1h", oldest first; the last one is still open.

    https://developers.binance.com/docs/binance-spot-api-docs/rest-api/market-data-endpoints (klines)
    [[1499040000000,"0.01634790","0.80000000","0.01575800","0.01577100","148976.1",1499644799999, ...]]
    """
    params = {"symbol": venue_id, "interval": interval, "limit": "1000"}
    answer = await http.get("/api/v3/klines", params=params)
    answer.raise_for_status()
    with reading("binance klines"):
        rows = msgspec.json.decode(answer.content, type=list[_Kline])
        return [venue_bar(row[0], row[1:6], row[8], "binance") for row in rows]


def _rules(filters: Sequence[_Filter]) -> Rules:
    """Parse the rules for orders; older servers call NOTIONAL MIN_NOTIONAL.

    [{"filterType":"PRICE_FILTER","minPrice":"0.01","maxPrice":"1000000.00","tickSize":"0.01000000"},
     {"filterType":"LOT_SIZE","minQty":"0.00001000","maxQty":"9000.0","stepSize":"0.00001000"},
     {"filterType":"MARKET_LOT_SIZE", ...},
     {"filterType":"NOTIONAL","minNotional":"5.0","applyMinToMarket":true,"maxNotional":"9000000.0", ...}]
    Rules that depend on the venue's averages (PERCENT_PRICE) or on an account's other orders are ignored.
    """
    by_type = {each.filterType: each for each in filters}
    none = _Filter("")
    lot = by_type.get("LOT_SIZE", none)
    notional = by_type.get("NOTIONAL") or by_type.get("MIN_NOTIONAL", none)
    price, market = by_type.get("PRICE_FILTER", none), by_type.get("MARKET_LOT_SIZE", none)
    min_applies_to_market = notional.applyMinToMarket or notional.applyToMarket
    return Rules(
        tick=price.tickSize, min_price=price.minPrice, max_price=price.maxPrice,
        lot=lot.stepSize, min_amount=lot.minQty, max_amount=lot.maxQty,
        min_notional=notional.minNotional, max_notional=notional.maxNotional,
        market_lot=market.stepSize, market_min_amount=market.minQty, market_max_amount=market.maxQty,
        market_min_notional=notional.minNotional if min_applies_to_market else "",
        market_max_notional=notional.maxNotional if notional.applyMaxToMarket else "",
    )  # fmt: skip


def _requests(method: str, wanted: Sequence[Wanted]) -> list[Request]:
    requests = []
    for start in range(0, len(wanted), _PER_REQUEST):
        part = tuple(wanted[start : start + _PER_REQUEST])
        params = [f"{each.id.lower()}@{_STREAMS[each.topic]}" for each in part]
        # An id derived from the content spares us a counter; only equal requests share it.
        number = zlib.crc32(f"{method} {params}".encode())
        message = {"method": method, "params": params, "id": number}
        requests.append(Request(msgspec.json.encode(message).decode(), (str(number),), part))
    return requests


def _top(instruments: _Instruments, top: _BookTicker) -> Event:
    """Make the event of a top of book, which has no time.

    {"u":400900217,"s":"BNBUSDT","b":"25.35190000","B":"31.21000000","a":"25.36520000","A":"40.66000000"}
    """
    if (instrument := instruments.get(top.s)) is None:
        return _not_subscribed(top.s)
    bid, bid_size, ask, ask_size = four_decimal_texts(top.b, top.B, top.a, top.A)
    return Update(instrument, "bookTicker", key=top.u, bid=bid, bid_size=bid_size, ask=ask, ask_size=ask_size)


def _read_agg_trade(instruments: _Instruments, payload: bytes | Raw) -> Event:
    """Parse an aggregate trade: all fills of one taker order at one price.

    {"e":"aggTrade","s":"BTCUSDT","a":640283266,"p":"58942.01000000","q":"0.00035600","T":1616176861893, ...}
    """
    trade = _agg_trade(payload)
    if (instrument := instruments.get(trade.s)) is None:
        return _not_subscribed(trade.s)
    price, size = price_of_trade(trade.p), decimal_text(trade.q)
    return Trade(instrument, "aggTrade", key=trade.a, time=trade.T, price=price, size=size)


def _read_ticker(instruments: _Instruments, payload: bytes | Raw) -> Event:
    """Parse the rolling 24 h figures; `v` is the volume in base, `q` (not used) in quote.

    {"e":"24hrTicker","E":1672515782136,"s":"BNBBTC","c":"0.0025","b":"0.0024","B":"10","a":"0.0026","A":"100",
     "o":"0.0010","h":"0.0025","l":"0.0010","v":"10000","q":"18", ...}
    """
    day = _ticker(payload)
    if (instrument := instruments.get(day.s)) is None:
        return _not_subscribed(day.s)
    text = decimal_text
    return Update(
        instrument, "ticker", key=day.E, time=day.E, slow=True,
        price=text(day.c), bid=text(day.b), bid_size=text(day.B), ask=text(day.a), ask_size=text(day.A),
        open_24h=text(day.o), high_24h=text(day.h), low_24h=text(day.l), volume_24h=text(day.v),
    )  # fmt: skip


def _read_book(instrument: Instrument | None, payload: Raw) -> Event:
    """Parse the first 20 levels of a book; only the stream names the instrument.

    {"lastUpdateId":160,"bids":[["0.0024","10"]],"asks":[["0.0026","100"]]}
    """
    book = _book(payload)
    if instrument is None:
        return Ignored("not_subscribed")
    return DepthChange(instrument, book.bids, book.asks, whole=True, number=book.lastUpdateId)


def _read_shutdown(instruments: _Instruments, payload: bytes | Raw) -> Event:
    """Parse the announcement of a shutdown: {"e":"serverShutdown","E":1770123456789}."""
    if not isinstance(_any(payload), dict):
        raise ValueError("serverShutdown of unknown structure")
    return Moving("Binance announced the shutdown of this server")


# By the name of the stream (combined mode) or of the event (raw mode).
_READERS: dict[str, Callable[[_Instruments, bytes | Raw], Event]] = {
    "bookTicker": lambda instruments, payload: _top(instruments, _book_ticker(payload)),
    "aggTrade": _read_agg_trade,
    "ticker": _read_ticker,
    "24hrTicker": _read_ticker,
    "!serverShutdown": _read_shutdown,
    "serverShutdown": _read_shutdown,
}


def _not_subscribed(venue_id: str) -> Ignored:
    if not venue_id:
        raise ValueError("no symbol")
    return Ignored("not_subscribed")


def _read_response(message: _Unwrapped) -> Event:
    """Parse the response to a request, identified by its id; errors have two possible structures."""
    key = "" if message.id is None else str(message.id)
    if message.error is not None or message.code is not None:
        fault = message.error or message
        return Refused(key, f"code {fault.code}: {fault.msg[:200]}", temporary=fault.code in _TRANSIENT)
    if message.result and key:
        return Acked(key)
    raise ValueError("unknown structure")
