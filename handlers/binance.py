"""Binance spot, public market data.

Documents: https://github.com/binance/binance-spot-api-docs/blob/master/web-socket-streams.md and rest-api.md.
Three streams per symbol: `bookTicker` (top of book at every change), `aggTrade` (trades), `ticker` (24 h
figures each second). One connection takes 1024 streams, so at most 341 symbols.
"""

from __future__ import annotations

import zlib
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Annotated

import msgspec
from msgspec import UNSET, Raw, Struct

from crypto_stream.feed.handler import (
    Acked,
    Bar,
    BarTime,
    Budget,
    Event,
    Ignored,
    Instrument,
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

# The data-only host serves no user data and is the least restricted; the others are the full ones.
URLS = [
    "wss://data-stream.binance.vision",
    "wss://stream.binance.com:9443",
    "wss://stream.binance.com:443",
]
REST_URL = "https://data-api.binance.vision"
BUSY = "btcusdt"
LIMITS = Limits(
    instruments=340,  # three streams each, 1024 streams a connection, one more for BUSY
    connections=5,
    pace_s=0.3,  # 5 messages in any rolling second, pongs included: this leaves room for those
    max_age_s=23 * 3600.0,  # the venue cuts at 24 h
    attempts=Budget(300, 300.0),
)

_STREAMS: dict[Topic, str] = {"top": "bookTicker", "trades": "aggTrade", "day": "ticker"}
_PER_REQUEST = 300  # streams; a longer list makes a frame of more than 8 kB
# Unknown trouble, disconnected, too many requests, timeout, overloaded: errors.md of the same documents.
_PASSING = frozenset({-1000, -1001, -1003, -1007, -1008, -1015, -1034})


class _Combined(Struct, gc=False):
    stream: str
    data: Raw


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
    l: str  # noqa: E741 - the venue's name of the low price
    v: str


class _Fault(Struct):
    code: int | None = None
    msg: str = ""


class _Plain(_Fault):
    """Whatever a frame without the `stream` wrapper may be; which fields are there decides."""

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


class _Unruled(Struct):
    symbol: str
    status: str
    baseAsset: str = ""  # noqa: N815
    quoteAsset: str = ""  # noqa: N815


class _Symbol(_Unruled):
    filters: list[_Filter] = []


class _ExchangeInfo(Struct):
    symbols: Annotated[list[Raw], VenueList]


# open time, five numbers, close time, quote volume, trades, and what nobody needs
_Kline = tuple[BarTime, str, str, str, str, str, BarTime, str, int, str, str, str]

_Instruments = Mapping[str, Instrument]

_combined = msgspec.json.Decoder(_Combined).decode
_plain = msgspec.json.Decoder(_Plain).decode
_book_ticker = msgspec.json.Decoder(_BookTicker).decode
_agg_trade = msgspec.json.Decoder(_AggTrade).decode
_ticker = msgspec.json.Decoder(_Ticker).decode
_any = msgspec.json.Decoder().decode
_symbol = msgspec.json.Decoder(_Symbol).decode
_unruled = msgspec.json.Decoder(_Unruled).decode


def venue_id(pair: Instrument) -> str | None:
    """Return the venue's id of a pair."""
    return f"{pair.base}{pair.quote}" if pair.base and pair.quote else pair.symbol.upper()


def pair_of(venue_id: str) -> tuple[str, str] | None:
    """Read base and quote out of an id, which has no mark between them: a guess, where there is no list."""
    base, quote = split_symbol(venue_id)
    return (base, quote) if base and quote else None


async def opening(http: httpx.AsyncClient, options: Mapping[str, str]) -> Opening:
    """Return the path of combined streams; the streams themselves are asked for by `subscribe`."""
    return Opening("/stream")


class Reader:
    """Reads the frames of one connection; nothing of them depends on earlier ones."""

    def __init__(self, instruments: Mapping[str, Instrument]) -> None:
        """Know `instruments` by the venue's id."""
        self._instruments = instruments

    def subscribe(self, wanted: Sequence[Wanted]) -> list[Request]:
        """Ask for streams, 300 in one message, with one acknowledgement.

        {"method":"SUBSCRIBE","params":["btcusdt@bookTicker","btcusdt@aggTrade","btcusdt@ticker"],"id":1}
        An unknown symbol is acknowledged like any other and stays silent.
        """
        return _requests("SUBSCRIBE", wanted)

    def unsubscribe(self, wanted: Sequence[Wanted]) -> list[Request]:
        """Take back what `subscribe` asked for: the same message with `UNSUBSCRIBE`."""
        return [request._replace(keys=()) for request in _requests("UNSUBSCRIBE", wanted)]

    def read(self, frame: bytes) -> list[Event]:
        """Read one frame, in combined mode (wrapped, what we ask for) or in raw mode.

        {"stream":"btcusdt@bookTicker","data":{...}} or the bare payload; answers and errors are bare:
        {"result":null,"id":1} · {"error":{"code":2,"msg":"Invalid request: ..."},"id":1} ·
        {"code":2,"msg":"..."}
        """
        try:
            wrapped = _combined(frame)
        except msgspec.ValidationError:
            return [self._read_plain(frame)]
        stream = wrapped.stream
        channel = stream.partition("@")[2]
        if read := _READERS.get(channel or stream):
            return [read(self._instruments, wrapped.data)]
        # Streams of all symbols begin with `!`.
        return [Ignored((stream if stream.startswith("!") else channel or stream)[:40])]

    def _read_plain(self, frame: bytes) -> Event:
        """Read a frame without wrapper: a payload of raw mode, or an answer to a request."""
        if frame.lstrip()[:1] == b"[":
            _any(frame)
            return Ignored("array")
        plain = _plain(frame)
        if plain.e is not None:
            read = _READERS.get(plain.e)
            return read(self._instruments, frame) if read else Ignored(plain.e[:40])
        if plain.u:
            return _read_book_ticker(self._instruments, frame)
        return Ignored("depth") if plain.lastUpdateId else _read_answer(plain)


async def instruments(http: httpx.AsyncClient) -> list[Listed]:
    """Fetch the listed symbols: "" for a tradable one, else the venue's word (`HALT`, `BREAK`).

    https://developers.binance.com/docs/binance-spot-api-docs/rest-api/general-endpoints (exchangeInfo)
    """
    answer = await http.get("/api/v3/exchangeInfo", params={"showPermissionSets": "false"})
    if answer.status_code == 400:  # the affiliates' servers do not know the option, which only saves bytes
        answer = await http.get("/api/v3/exchangeInfo")
    answer.raise_for_status()
    with reading("binance exchangeInfo"):
        listed = msgspec.json.decode(answer.content, type=_ExchangeInfo)
        entries = read_each(listed.symbols, _symbol, _unruled)
    return [
        Listed(
            item.symbol,
            *pair,
            "" if item.status == "TRADING" else item.status,
            _rules(item.filters) if isinstance(item, _Symbol) else Rules(),
        )
        for item in entries
        if (pair := (item.baseAsset, item.quoteAsset) if item.baseAsset else pair_of(item.symbol))
    ]


async def candles(http: httpx.AsyncClient, venue_id: str, interval: str) -> list[Bar]:
    """Fetch the newest 1,000 bars of "1m" or "1h", oldest first; the last one is not finished.

    https://developers.binance.com/docs/binance-spot-api-docs/rest-api/market-data-endpoints (klines)
    [[1499040000000,"0.01634790","0.80000000","0.01575800","0.01577100","148976.11427815",1499644799999,
      "2434.19055334",308,"1756.87402397","28.46694368","0"]]
    """
    asked = {"symbol": venue_id, "interval": interval, "limit": "1000"}
    answer = await http.get("/api/v3/klines", params=asked)
    answer.raise_for_status()
    with reading("binance klines"):
        rows = msgspec.json.decode(answer.content, type=list[_Kline])
        return [venue_bar(row[0], row[1:6], row[8], "binance") for row in rows]


def _rules(filters: Sequence[_Filter]) -> Rules:
    """Read what orders must keep to; older servers say MIN_NOTIONAL for NOTIONAL.

    [{"filterType":"PRICE_FILTER","minPrice":"0.01","maxPrice":"1000000.00","tickSize":"0.01000000"},
     {"filterType":"LOT_SIZE","minQty":"0.00001000","maxQty":"9000.0","stepSize":"0.00001000"},
     {"filterType":"MARKET_LOT_SIZE","minQty":"0.00000000","maxQty":"116.3","stepSize":"0.00000000"},
     {"filterType":"NOTIONAL","minNotional":"5.00000000","applyMinToMarket":true,"maxNotional":"9000000.0",
      "applyMaxToMarket":false,"avgPriceMins":5}, ...]
    Left out are rules that go by the venue's own averages (PERCENT_PRICE) or by an account's other orders.
    """
    named = {each.filterType: each for each in filters}
    none = _Filter("")
    lot = named.get("LOT_SIZE", none)
    notional = named.get("NOTIONAL") or named.get("MIN_NOTIONAL", none)
    price, market = named.get("PRICE_FILTER", none), named.get("MARKET_LOT_SIZE", none)
    least_of_market = notional.applyMinToMarket or notional.applyToMarket
    return Rules(
        *(price.tickSize, lot.stepSize, lot.minQty, notional.minNotional),
        *(lot.maxQty, price.minPrice, price.maxPrice, notional.maxNotional),
        *(market.stepSize, market.minQty, market.maxQty),
        notional.minNotional if least_of_market else "",
        notional.maxNotional if notional.applyMaxToMarket else "",
    )


def _requests(method: str, wanted: Sequence[Wanted]) -> list[Request]:
    requests = []
    for start in range(0, len(wanted), _PER_REQUEST):
        part = tuple(wanted[start : start + _PER_REQUEST])
        params = [f"{each.id.lower()}@{_STREAMS[each.topic]}" for each in part]
        # The id follows from the content: equal requests share it, different ones do not, no counter is kept.
        number = zlib.crc32(f"{method} {params}".encode())
        message = {"method": method, "params": params, "id": number}
        requests.append(Request(msgspec.json.encode(message).decode(), (str(number),), part))
    return requests


def _read_book_ticker(instruments: _Instruments, payload: bytes | Raw) -> Event:
    """Read the top of book; it carries no time.

    {"u":400900217,"s":"BNBUSDT","b":"25.35190000","B":"31.21000000","a":"25.36520000","A":"40.66000000"}
    """
    top = _book_ticker(payload)
    if (instrument := instruments.get(top.s)) is None:
        return _not_asked(top.s)
    bid, bid_size, ask, ask_size = four_decimal_texts(top.b, top.B, top.a, top.A)
    return Update(instrument, "bookTicker", top.u, None, UNSET, bid, bid_size, ask, ask_size)


def _read_agg_trade(instruments: _Instruments, payload: bytes | Raw) -> Event:
    """Read one taker order's trade.

    {"e":"aggTrade","E":1616176861895,"s":"BTCUSDT","a":640283266,"p":"58942.01000000","q":"0.00035600",
     "f":716849523,"l":716849523,"T":1616176861893,"m":false,"M":true}
    """
    trade = _agg_trade(payload)
    if (instrument := instruments.get(trade.s)) is None:
        return _not_asked(trade.s)
    return Trade(instrument, "aggTrade", trade.a, trade.T, price_of_trade(trade.p), decimal_text(trade.q))


def _read_ticker(instruments: _Instruments, payload: bytes | Raw) -> Event:
    """Read the rolling 24 h figures; `v` is the volume in base, `q` (not used) in quote.

    {"e":"24hrTicker","E":1672515782136,"s":"BNBBTC","p":"0.0015","P":"250.00","w":"0.0018","x":"0.0009",
     "c":"0.0025","Q":"10","b":"0.0024","B":"10","a":"0.0026","A":"100","o":"0.0010","h":"0.0025","l":"0.0010",
     "v":"10000","q":"18","O":0,"C":86400000,"F":0,"L":18150,"n":18151}
    """
    day = _ticker(payload)
    if (instrument := instruments.get(day.s)) is None:
        return _not_asked(day.s)
    at = day.E
    price, bid, bid_size, ask, ask_size = map(decimal_text, (day.c, day.b, day.B, day.a, day.A))
    first, high, low, volume = map(decimal_text, (day.o, day.h, day.l, day.v))
    return Update(
        instrument, "ticker", at, at, price, bid, bid_size, ask, ask_size, first, high, low, volume, slow=True
    )


def _read_shutdown(instruments: _Instruments, payload: bytes | Raw) -> Event:
    """Read the announcement of a shutdown: {"e":"serverShutdown","E":1770123456789}."""
    if not isinstance(_any(payload), dict):
        raise ValueError("serverShutdown of an unknown shape")
    return Moving("Binance announced the shutdown of this server")


# By the stream's name in combined mode, by the event's in raw mode.
_READERS: dict[str, Callable[[_Instruments, bytes | Raw], Event]] = {
    "bookTicker": _read_book_ticker,
    "aggTrade": _read_agg_trade,
    "ticker": _read_ticker,
    "24hrTicker": _read_ticker,
    "!serverShutdown": _read_shutdown,
    "serverShutdown": _read_shutdown,
}


def _not_asked(venue_id: str) -> Ignored:
    if not venue_id:
        raise ValueError("no symbol")
    return Ignored("not_asked")


def _read_answer(plain: _Plain) -> Event:
    """Read the answer to a request, which names only the request's id; errors come in two shapes."""
    key = "" if plain.id is None else str(plain.id)
    if plain.error is not None or plain.code is not None:
        fault = plain.error or plain
        return Refused(key, f"code {fault.code}: {fault.msg[:200]}", passing=fault.code in _PASSING)
    if plain.result and key:
        return Acked(key)
    raise ValueError("no known shape")
