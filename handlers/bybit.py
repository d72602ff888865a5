"""Bybit v5, public spot market data.

Documentation: https://bybit-exchange.github.io/docs/v5/ws/connect and .../v5/websocket/public/ticker,
orderbook, trade. Three topics per instrument: `orderbook.1` (best bid and ask), `publicTrade`, `tickers`
(24 h figures, without bid and ask on spot); for books `orderbook.200`, the first 200 levels, then their
changes every 100 ms, numbered without gaps. The order of a frame's fields differs between products.

Evidence: recorded 2026-08-09 (`tickers`, `publicTrade`, `orderbook.200`, acknowledgements); single frames of
`orderbook.1`, 2023; a book that begins again at 1, and limits, from the documents.

Not given: bid and ask within the 24 h figures.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Annotated

import msgspec
from msgspec import UNSET, Raw, Struct, UnsetType

from crypto_stream.feed.handler import (
    Acked,
    Bar,
    BarTime,
    Budget,
    DepthChange,
    Event,
    Ignored,
    Instrument,
    Keepalive,
    Limits,
    Listed,
    MalformedFrame,
    Opening,
    Pong,
    Refused,
    Request,
    Resync,
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
from crypto_stream.market.decimals import decimal_text, price_of_trade
from crypto_stream.market.instruments import split_symbol

if TYPE_CHECKING:
    import httpx

URLS = ["wss://stream.bybit.com:443"]
REST_URL = "https://api.bybit.com"
BUSY = "btcusdt"
DEPTH = True
LIMITS = Limits(
    instruments=250,  # a connection's topics may have 21,000 characters in total
    connections=5,
    pace_s=0.1,
    attempts=Budget(500, 300.0),
    keepalive=Keepalive(
        '{"op":"ping"}', 20.0
    ),  # the venue disconnects after ten minutes without ping or data
)

_TOPICS: dict[Topic, str] = {
    "top": "orderbook.1",
    "trades": "publicTrade",
    "day": "tickers",
    "depth": "orderbook.200",
}
_PER_REQUEST = 10  # topics
_RESTARTED = 1  # the number of a whole book after a restart of the service
_MINUTES = {"1m": "1", "1h": "60"}


class _Push(Struct, gc=False):
    topic: str
    data: Raw
    ts: VenueTime
    type: str = "snapshot"
    cts: VenueTime | None = None


class _Ticker(Struct, gc=False):
    symbol: str
    lastPrice: str  # noqa: N815 - the venue's names, here and below
    highPrice24h: str  # noqa: N815
    lowPrice24h: str  # noqa: N815
    prevPrice24h: str  # noqa: N815
    volume24h: str


class _Top(Struct):
    s: str
    b: list[tuple[str, str]]
    a: list[tuple[str, str]]


class _Book(_Top):
    u: VenueKey


class _Trade(Struct, gc=False):
    s: str
    i: VenueKey
    T: VenueTime
    p: str
    v: str


class _Response(Struct):
    """The response to a request."""

    op: str
    success: bool = True
    ret_msg: str = ""
    req_id: str = ""


class _WithoutRules(Struct):
    symbol: str
    baseCoin: str  # noqa: N815
    quoteCoin: str  # noqa: N815
    status: str


class _LotSize(Struct, gc=False):
    basePrecision: str = ""  # noqa: N815
    minOrderQty: str = ""  # noqa: N815
    maxOrderQty: str = ""  # noqa: N815
    maxLimitOrderQty: str = ""  # noqa: N815
    maxMarketOrderQty: str = ""  # noqa: N815
    minOrderAmt: str = ""  # noqa: N815
    maxOrderAmt: str = ""  # noqa: N815


class _Price(Struct, gc=False):
    tickSize: str = ""  # noqa: N815


class _Day(Struct):
    symbol: str
    turnover24h: str


class _Item(_WithoutRules):
    lotSizeFilter: _LotSize = msgspec.field(default_factory=_LotSize)  # noqa: N815
    priceFilter: _Price = msgspec.field(default_factory=_Price)  # noqa: N815


class _Result(Struct):
    rows: Annotated[list[Raw], VenueList] = msgspec.field(name="list", default_factory=list)


class _Answer(Struct):
    retCode: int  # noqa: N815
    retMsg: str = ""  # noqa: N815
    result: _Result = msgspec.field(default_factory=_Result)


# start, open, high, low, close, volume, turnover
_Candle = tuple[BarTime, str, str, str, str, str, str]

_push = msgspec.json.Decoder(_Push).decode
_response = msgspec.json.Decoder(_Response).decode
_ticker = msgspec.json.Decoder(_Ticker).decode
_top = msgspec.json.Decoder(_Top).decode
_book = msgspec.json.Decoder(_Book).decode
# Not strict: ids are numbers in quotes. Fields typed as str remain strings in this mode.
_trades = msgspec.json.Decoder(list[_Trade], strict=False).decode
_item = msgspec.json.Decoder(_Item).decode
_day = msgspec.json.Decoder(_Day).decode
_without_rules = msgspec.json.Decoder(_WithoutRules).decode
_candle = msgspec.json.Decoder(_Candle, strict=False).decode

_Side = list[tuple[str, str]]
_Text = str | UnsetType | None


def venue_id(pair: Instrument) -> str | None:
    """Return the venue's id of a pair."""
    return f"{pair.base}{pair.quote}" if pair.base and pair.quote else pair.symbol.upper()


def pair_of(venue_id: str) -> tuple[str, str] | None:
    """Split an id into base and quote; without a separator this is a guess, used if there is no listing."""
    base, quote = split_symbol(venue_id)
    return (base, quote) if base and quote else None


async def opening(http: httpx.AsyncClient, options: Mapping[str, str]) -> Opening:
    """Return the path of the public spot topics."""
    return Opening("/v5/public/spot")


class Reader:
    """Parses the frames of one connection and numbers its requests; `instruments` are by the venue's id."""

    def __init__(self, instruments: Mapping[str, Instrument]) -> None:
        self._instruments = instruments
        self._numbers = itertools.count(1)

    def subscribe(self, wanted: Sequence[Wanted]) -> list[Request]:
        """Request topics, up to 10 per message; the venue acknowledges each message.

        {"req_id":"1","op":"subscribe","args":["orderbook.1.BTCUSDT","publicTrade.BTCUSDT","tickers.BTCUSDT"]}
        """
        return self._requests("subscribe", wanted)

    def unsubscribe(self, wanted: Sequence[Wanted]) -> list[Request]:
        """Cancel what `subscribe` requested; the responses are not awaited."""
        return [request._replace(keys=()) for request in self._requests("unsubscribe", wanted)]

    def read(self, frame: bytes) -> list[Event]:
        """Parse a frame: data of a topic, or the response to a request.

        {"topic":"tickers.BTCUSDT","ts":1682083233096,"type":"snapshot","cs":792472763,"data":{...}}
        {"success":true,"ret_msg":"subscribe","conn_id":"13ac3a8f","req_id":"4000001","op":"subscribe"}
        """
        try:
            push = _push(frame)
        except msgspec.ValidationError:
            return [_read_response(_response(frame))]
        name, _, venue_id = push.topic.rpartition(".")
        read = _READERS.get(name)
        if read is None:
            return [Ignored(name[:40] or push.topic[:40])]
        instrument = self._instruments.get(venue_id)
        if instrument is None:
            return [Ignored("not_subscribed")]
        return read(instrument, push) or [Ignored(name)]

    def _requests(self, operation: str, wanted: Sequence[Wanted]) -> list[Request]:
        requests = []
        for start in range(0, len(wanted), _PER_REQUEST):
            part = tuple(wanted[start : start + _PER_REQUEST])
            number = str(next(self._numbers))
            topics = [f"{_TOPICS[each.topic]}.{each.id}" for each in part]
            text = msgspec.json.encode({"req_id": number, "op": operation, "args": topics}).decode()
            requests.append(Request(text, (number,), part))
        return requests


def _read_ticker(instrument: Instrument, push: _Push) -> list[Event]:
    """Parse the 24 h figures; `volume24h` is in base.

    {"symbol":"BTCUSDT","lastPrice":"27579.99","highPrice24h":"35000","lowPrice24h":"26900",
     "prevPrice24h":"29005.97","volume24h":"240.62801","turnover24h":"6905439.32","price24hPcnt":"-0.0492",...}
    """
    day = _ticker(push.data)
    return [
        Update(
            instrument=instrument,
            channel="tickers",
            key=push.ts,
            time=push.ts,
            price=decimal_text(day.lastPrice),
            open_24h=decimal_text(day.prevPrice24h),
            high_24h=decimal_text(day.highPrice24h),
            low_24h=decimal_text(day.lowPrice24h),
            volume_24h=decimal_text(day.volume24h),
            slow=True,
        )
    ]


def _read_top(instrument: Instrument, push: _Push) -> list[Event]:
    """Parse the best bid and ask, repeated after 3 s without a change; `cts` is the matching engine's time.

    {"s":"BTCUSDT","b":[["65140.4","0.885797"]],"a":[["65140.5","0.47"]],"u":62505425,"seq":112488545865}
    The update id `u` cannot be the key: it restarts with the venue's service and does not count repetitions.
    """
    top = _top(push.data)
    is_snapshot = push.type == "snapshot"
    bid, bid_size = _best(top.b, is_snapshot)
    ask, ask_size = _best(top.a, is_snapshot)
    return [
        Update(
            instrument=instrument,
            channel="orderbook.1",
            key=push.ts,
            time=push.ts if push.cts is None else push.cts,
            bid=bid,
            bid_size=bid_size,
            ask=ask,
            ask_size=ask_size,
        )
    ]


def _best(side: _Side, is_snapshot: bool) -> tuple[_Text, _Text]:
    """Return price and size; a side that is missing in a delta is unchanged."""
    if not side and not is_snapshot:
        return UNSET, UNSET
    for price, size in side:
        if size.strip("0."):  # a size of zero deletes a level
            return decimal_text(price), decimal_text(size)
    return None, None


def _read_book(instrument: Instrument, push: _Push) -> list[Event]:
    """Parse a book: a `snapshot`, then each `delta` has the next number; the size "0" removes a level.

    {"topic":"orderbook.200.BTCUSDT","ts":1786310816618,"type":"delta","data":{"s":"BTCUSDT",
     "b":[["65140.4","0.875077"]],"a":[["65239.1","0"]],"u":62505425,"seq":112488545865},"cts":1786310816585}
    A level that falls out of the first 200 is removed, too. After a restart the numbers begin again.
    """
    book = _book(push.data)
    whole = push.type == "snapshot"
    change = DepthChange(
        instrument=instrument,
        bids=book.b,
        asks=book.a,
        whole=whole,
        time=push.ts if push.cts is None else push.cts,
        number=book.u,
        after=None if whole else book.u - 1,
    )
    if whole and book.u == _RESTARTED:  # else it would be taken for an older one
        return [Resync(instrument, "depth", "the venue's numbers began again"), change]
    return [change]


def _read_trades(instrument: Instrument, push: _Push) -> list[Event]:
    """Parse trades, oldest first; several may have the same `seq`, but `i` is unique.

    [{"i":"2100000000019296063","T":1682084122521,"p":"27200","v":"0.000221","S":"Buy","s":"BTCUSDT","BT":false}]
    """
    return [
        Trade(
            instrument=instrument,
            channel="publicTrade",
            key=each.i,
            time=each.T,
            price=price_of_trade(each.p),
            size=decimal_text(each.v),
        )
        for each in _trades(push.data)
    ]


_READERS: dict[str, Callable[[Instrument, _Push], list[Event]]] = {
    "orderbook.1": _read_top,
    "orderbook.200": _read_book,
    "publicTrade": _read_trades,
    "tickers": _read_ticker,
}


def _read_response(response: _Response) -> Event:
    """Parse a response; one to a ping has the operation `ping` or `pong`.

    {"success":false,"ret_msg":"args size >10","conn_id":"...","req_id":"2","op":"subscribe"}
    """
    if response.op in {"ping", "pong"}:
        return Pong()
    if response.op != "subscribe":
        return Ignored(f"op:{response.op}"[:40])
    return Acked(response.req_id) if response.success else Refused(response.req_id, response.ret_msg[:200])


async def instruments(http: httpx.AsyncClient) -> list[Listed]:
    """Fetch the listed spot pairs; their state is "" if tradable, else the venue's (`PreLaunch`).

    https://bybit-exchange.github.io/docs/v5/market/instrument
    """
    rows = await _fetch(http, "instruments-info", {})
    with reading("bybit instruments-info"):
        entries = read_each(rows, _item, _without_rules)
    return [
        Listed(
            id=item.symbol,
            base=item.baseCoin,
            quote=item.quoteCoin,
            state="" if item.status == "Trading" else item.status,
            rules=_rules(item) if isinstance(item, _Item) else Rules(),
        )
        for item in entries
    ]


def _rules(item: _Item) -> Rules:
    """Parse the rules for orders.

    {"lotSizeFilter":{"basePrecision":"0.000001","minOrderQty":"0.000001","maxLimitOrderQty":"230",
     "maxMarketOrderQty":"120","minOrderAmt":"5","maxOrderAmt":"8000000"},"priceFilter":{"tickSize":"0.1"}}
    """
    lot = item.lotSizeFilter
    return Rules(
        tick=item.priceFilter.tickSize,
        lot=lot.basePrecision,
        min_amount=lot.minOrderQty,
        min_notional=lot.minOrderAmt,
        max_amount=lot.maxLimitOrderQty or lot.maxOrderQty,
        max_notional=lot.maxOrderAmt,
        market_max_amount=lot.maxMarketOrderQty,
        market_min_notional=lot.minOrderAmt,
        market_max_notional=lot.maxOrderAmt,
    )


async def volumes(http: httpx.AsyncClient) -> dict[str, str]:
    """Fetch the 24 h volume of each pair in its quote currency: `turnover24h`.

    https://bybit-exchange.github.io/docs/v5/market/tickers
    """
    rows = await _fetch(http, "tickers", {})
    with reading("bybit tickers"):
        return {day.symbol: day.turnover24h for day in read_each(rows, _day)}


async def candles(http: httpx.AsyncClient, venue_id: str, interval: str) -> list[Bar]:
    """Fetch the newest 1,000 bars of "1m" or "1h", oldest first; the last one is still open.

    https://bybit-exchange.github.io/docs/v5/market/kline
    [["1670608800000","17071","17073","17027","17055.5","268611","15.74462667"]], newest first, without a
    number of trades.
    """
    params = {"symbol": venue_id, "interval": _MINUTES[interval], "limit": "1000"}
    rows = await _fetch(http, "kline", params)
    with reading("bybit kline"):
        return [venue_bar(row[0], row[1:6], None, "bybit") for row in map(_candle, reversed(rows))]


async def _fetch(http: httpx.AsyncClient, path: str, params: Mapping[str, str]) -> list[Raw]:
    """Fetch a list of the spot market; errors have HTTP status 200 and a code."""
    answer = await http.get(f"/v5/market/{path}", params={"category": "spot", **params})
    answer.raise_for_status()
    with reading(f"bybit {path}"):
        listed = msgspec.json.decode(answer.content, type=_Answer)
    if listed.retCode:
        raise MalformedFrame(f"bybit {path}: code {listed.retCode}: {listed.retMsg[:200]}")
    return listed.result.rows
