"""Crypto.com Exchange v1, public spot market data.

Documentation: https://exchange-docs.crypto.com/exchange/v1/rest-ws/index.html (subscribe; ticker and trade
channels; get-instruments, get-candlestick). Two channels per instrument: `ticker`, sent at each change of the
best bid or ask and including the 24 h figures, and `trade`; for books `book` of 50 levels, which without
further parameters is sent whole, twice a second. The venue's ids look like `BTC_USDT`.

Evidence: recorded 2026-09-22, with perpetual markets on the same socket: a heartbeat, acknowledgements,
refusals and a book; the limits were measured then. `ticker` and `trade` are known from documents, from
frames that others quoted in 2026-09, and from a recording of 2021-11-23 of the retired v2, whose numbers were
not yet text. The list of instruments and bars: documents and the code of clients alone.

Not given: the price of 24 h ago (only a rounded change); why a pair is not tradable; minimum values of
orders; announcements of a shutdown.
"""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from operator import attrgetter
from typing import TYPE_CHECKING, Annotated

import msgspec
from msgspec import Raw, Struct

from crypto_stream.feed.handler import (
    Acked,
    Bar,
    BarTime,
    DepthChange,
    Event,
    Ignored,
    Instrument,
    Limits,
    Listed,
    MalformedFrame,
    Opening,
    Refused,
    Reply,
    Request,
    Rules,
    Topic,
    Trade,
    Update,
    VenueKey,
    VenueList,
    Wanted,
    read_each,
    reading,
)
from crypto_stream.market.bars import venue_bar
from crypto_stream.market.decimals import decimal_text, price_of_trade

if TYPE_CHECKING:
    import httpx

URLS = ["wss://stream.crypto.com:443"]
REST_URL = "https://api.crypto.com"
BUSY = "btcusdt"
DEPTH = True
LIMITS = Limits(
    instruments=190,  # two channels each, of 400 per connection
    connections=3,
    # 100 requests per second, but in the second in which the connection is opened only a share of them, so
    # the venue advises to wait a second. We send few, and those refused are sent again.
    pace_s=0.25,
)

_CHANNELS: dict[Topic, str] = {"top": "ticker", "day": "ticker", "trades": "trade", "depth": "book"}
_SUFFIXES = {"book": ".50"}  # levels of a side
_PER_REQUEST = 100  # channels
_SPOT = "CCY_PAIR"
_MAX_BARS = "300"
# Request timeout, rate limit, maintenance.
_TRANSIENT = frozenset({40801, 42901, 9010001})
_KEYS_PER_MS = 1000


class _Data(Struct, gc=False):
    instrument_name: str = ""
    subscription: str = ""
    channel: str = ""
    data: Raw = Raw()


class _Message(Struct):
    """Any message of the venue: pushes have the id -1, responses that of their request."""

    id: int = -1
    method: str = ""
    code: int = 0
    message: str = ""
    channel: str = ""
    result: _Data | None = None


class _Ticker(Struct, gc=False):
    b: str | None
    k: str | None
    a: str | None
    h: str | None
    l: str | None  # noqa: E741 - the venue's name
    v: str | None
    t: BarTime
    bs: str | None = None
    ks: str | None = None


class _Book(Struct, gc=False):
    bids: list[tuple[str, str, str]]  # price, size, number of orders
    asks: list[tuple[str, str, str]]
    t: BarTime
    u: VenueKey


class _Trade(Struct, gc=False):
    p: str
    q: str
    t: BarTime
    d: VenueKey | None = None


class _WithoutRules(Struct, gc=False):
    symbol: str
    inst_type: str
    base_ccy: str
    quote_ccy: str
    tradable: bool


class _Item(_WithoutRules, gc=False):
    price_tick_size: str = ""
    qty_tick_size: str = ""


class _Candle(Struct, gc=False):
    o: str
    h: str
    l: str  # noqa: E741
    c: str
    v: str
    t: BarTime


class _Listing(Struct):
    data: Annotated[list[Raw], VenueList]


class _Answer(Struct):
    code: int
    message: str = ""
    result: _Listing | None = None


_message = msgspec.json.Decoder(_Message).decode
_tickers = msgspec.json.Decoder(list[_Ticker]).decode
_books = msgspec.json.Decoder(list[_Book]).decode
# Not strict: ids are numbers in quotes. Fields typed as str remain strings in this mode.
_trades = msgspec.json.Decoder(list[_Trade], strict=False).decode
_item = msgspec.json.Decoder(_Item).decode
_without_rules = msgspec.json.Decoder(_WithoutRules).decode
_answer = msgspec.json.Decoder(_Answer).decode
_candle = msgspec.json.Decoder(_Candle).decode


def venue_id(pair: Instrument) -> str | None:
    """Return the venue's id of a pair."""
    return f"{pair.base}_{pair.quote}" if pair.base and pair.quote else None


def pair_of(venue_id: str) -> tuple[str, str] | None:
    """Split an id into base and quote; None if it is not a spot pair (`BTCUSD-PERP`)."""
    base, _, quote = venue_id.partition("_")
    return (base, quote) if base and quote and "_" not in quote and "-" not in venue_id else None


async def opening(http: httpx.AsyncClient, options: Mapping[str, str]) -> Opening:
    """Return the path of the public channels."""
    return Opening("/exchange/v1/market")


class Reader:
    """Parses the frames of one connection and numbers its requests; `instruments` are by the venue's id."""

    def __init__(self, instruments: Mapping[str, Instrument]) -> None:
        self._instruments = instruments
        self._numbers = itertools.count(1)
        self._tickers: dict[str, tuple[_Ticker, int]] = {}

    def subscribe(self, wanted: Sequence[Wanted]) -> list[Request]:
        """Request channels, up to 100 per message; the first data of each channel is its acknowledgement.

        {"id":1,"method":"subscribe","params":{"channels":["ticker.BTC_USDT","trade.BTC_USDT"]}}
        """
        return self._requests("subscribe", wanted)

    def unsubscribe(self, wanted: Sequence[Wanted]) -> list[Request]:
        """Cancel what `subscribe` requested; the responses are not awaited."""
        return [request._replace(keys=()) for request in self._requests("unsubscribe", wanted)]

    def read(self, frame: bytes) -> list[Event]:
        """Parse a frame: data of a channel, a response, or a heartbeat, which must be answered.

        {"id":-1,"method":"subscribe","code":0,"result":{"instrument_name":"BTC_USDT",
         "subscription":"ticker.BTC_USDT","channel":"ticker","data":[{...}]}}
        {"id":1790114291578,"method":"public/heartbeat","code":0}
        """
        message = _message(frame)
        if message.method == "public/heartbeat":
            return [Reply(f'{{"id":{message.id},"method":"public/respond-heartbeat"}}')]
        if message.method != "subscribe":
            return [Ignored(f"method:{message.method}"[:40])]
        if message.code:
            return self._read_refusal(message)
        events = [] if message.result is None else self._read_data(message.result)
        if message.id >= 0:
            channel = message.channel if message.result is None else message.result.subscription
            events += [Acked(channel), Acked(str(message.id))]
        return events or [Ignored("empty")]

    def _requests(self, method: str, wanted: Sequence[Wanted]) -> list[Request]:
        channels: dict[str, list[Wanted]] = {}
        for each in wanted:
            channel = _CHANNELS[each.topic]
            channels.setdefault(f"{channel}.{each.id}{_SUFFIXES.get(channel, '')}", []).append(each)
        names = list(channels)
        requests = []
        for start in range(0, len(names), _PER_REQUEST):
            part = names[start : start + _PER_REQUEST]
            number = next(self._numbers)
            request = {"id": number, "method": method, "params": {"channels": part}}
            text = msgspec.json.encode(request).decode()
            # Some refusals name only the request.
            keys = (str(number), *part)
            requests.append(Request(text, keys, tuple(each for name in part for each in channels[name])))
        return requests

    def _read_refusal(self, message: _Message) -> list[Event]:
        """Parse a refusal of one channel, or of the whole request.

        {"id":11,"method":"subscribe","code":40003,"channel":"book.NOPE.50","message":"Unknown symbol"}
        {"id":9,"method":"subscribe","code":40107,"message":"Maximum subscriptions exceeded"}
        """
        reason = f"code {message.code}: {message.message[:200]}"[:250]
        number = str(message.id) if message.id > 0 else ""
        temporary = message.code in _TRANSIENT
        if not message.channel:
            return [Refused(number, reason, temporary=temporary)]
        instrument = self._instruments.get(message.channel.partition(".")[2].partition(".")[0])
        return [Refused(message.channel, reason, instrument, temporary=temporary), Acked(number)]

    def _read_data(self, result: _Data) -> list[Event]:
        instrument = self._instruments.get(result.instrument_name)
        if result.channel not in _CHANNELS.values():
            return [Ignored(result.channel[:40] or "unknown")]
        if instrument is None:
            return [Ignored("not_subscribed")]
        if result.channel == "trade":
            return [_read_trade(instrument, each) for each in reversed(_trades(result.data))]
        if result.channel == "book":
            return [_read_book(instrument, each) for each in _books(result.data)]
        return [
            event
            for ticker in _tickers(result.data)
            for event in _read_ticker(instrument, ticker, self._key(result.instrument_name, ticker))
        ]

    def _key(self, name: str, ticker: _Ticker) -> int:
        """Return the place of a ticker in the order of its instrument's.

        Different tickers may have the same time, and the later one must not be dropped; a repeated one must.
        """
        key = ticker.t * _KEYS_PER_MS
        last, last_key = self._tickers.get(name, (ticker, key))
        if last.t == ticker.t:
            key = last_key if last == ticker else last_key + 1
        self._tickers[name] = (ticker, key)
        return key


def _read_ticker(instrument: Instrument, ticker: _Ticker, key: int) -> list[Event]:
    """Parse top of book and 24 h figures: `a` is the last price, `b` the bid, `k` the ask; `v` is in base.

    [{"i":"BTC_USDT","h":"84500.00","l":"83100.00","a":"83744.30","b":"83744.29","bs":"0.412","k":"83744.31",
      "ks":"0.10330","c":"-0.0036","v":"879.5024","vv":"73645120.11","oi":"0","t":1790114273395}]
    """
    text = _optional
    return [
        Update(
            instrument=instrument,
            channel="ticker",
            key=key,
            time=ticker.t,
            bid=text(ticker.b),
            bid_size=text(ticker.bs),
            ask=text(ticker.k),
            ask_size=text(ticker.ks),
        ),
        Update(
            instrument=instrument,
            channel="day",
            key=key,
            time=ticker.t,
            price=text(ticker.a),
            high_24h=text(ticker.h),
            low_24h=text(ticker.l),
            volume_24h=text(ticker.v),
            slow=True,
        ),
    ]


def _read_book(instrument: Instrument, book: _Book) -> Event:
    """Parse a book.

    {"asks":[["2749.62","0.2008","2"],...],"bids":[["2749.61","0.0786","2"],...],"t":1790114273395,
     "tt":1790114273346,"u":375554806244928,"cs":-1183713967}
    """
    bids, asks = ([level[:2] for level in side] for side in (book.bids, book.asks))
    return DepthChange(instrument, bids, asks, whole=True, number=book.u, time=book.t)


def _optional(number: str | None) -> str | None:
    return None if number is None else decimal_text(number)


def _read_trade(instrument: Instrument, trade: _Trade) -> Event:
    """Parse one of a frame's trades, which are newest first; the first frame contains earlier ones.

    {"d":"2030407068000000001","t":1790114273395,"p":"83744.30","q":"0.00044","s":"BUY","i":"BTC_USDT"}
    """
    return Trade(
        instrument=instrument,
        channel="trade",
        key=trade.t if trade.d is None else trade.d,
        time=trade.t,
        price=price_of_trade(trade.p),
        size=decimal_text(trade.q),
    )


async def instruments(http: httpx.AsyncClient) -> list[Listed]:
    """Fetch the listed spot pairs; the venue says only whether a pair is tradable.

    https://exchange-docs.crypto.com/exchange/v1/rest-ws/index.html#public-get-instruments
    """
    rows = await _fetch(http, "get-instruments", {})
    with reading("cryptocom get-instruments"):
        entries = read_each(rows, _item, _without_rules)
    return [
        Listed(
            id=item.symbol,
            base=item.base_ccy,
            quote=item.quote_ccy,
            state="" if item.tradable else "not tradable",
            rules=_rules(item) if isinstance(item, _Item) else Rules(),
        )
        for item in entries
        if item.inst_type == _SPOT
    ]


def _rules(item: _Item) -> Rules:
    """Parse the rules for orders; there is no minimum value.

    {"symbol":"BTC_USDT","inst_type":"CCY_PAIR","display_name":"BTC/USDT","base_ccy":"BTC","quote_ccy":"USDT",
     "price_tick_size":"0.01","qty_tick_size":"0.00001","tradable":true}
    """
    return Rules(tick=item.price_tick_size, lot=item.qty_tick_size)


async def candles(http: httpx.AsyncClient, venue_id: str, interval: str) -> list[Bar]:
    """Fetch the newest 300 bars of "1m" or "1h", oldest first; the last one is still open.

    https://exchange-docs.crypto.com/exchange/v1/rest-ws/index.html#public-get-candlestick
    [{"o":"83744.30","h":"83750.00","l":"83740.00","c":"83741.10","v":"0.91","t":1790114220000}], in an order
    that is not documented.
    """
    params = {"instrument_name": venue_id, "timeframe": interval, "count": _MAX_BARS}
    rows = await _fetch(http, "get-candlestick", params)
    with reading("cryptocom get-candlestick"):
        return [
            venue_bar(each.t, (each.o, each.h, each.l, each.c, each.v), None, "cryptocom")
            for each in sorted(map(_candle, rows), key=attrgetter("t"))
        ]


async def _fetch(http: httpx.AsyncClient, method: str, params: Mapping[str, str]) -> list[Raw]:
    """Fetch a list; errors have a code, sometimes with HTTP status 200."""
    answer = await http.get(f"/exchange/v1/public/{method}", params=params)
    answer.raise_for_status()
    with reading(f"cryptocom {method}"):
        found = _answer(answer.content)
    if found.code or found.result is None:
        raise MalformedFrame(f"cryptocom {method}: code {found.code}: {found.message[:200]}")
    return found.result.data
