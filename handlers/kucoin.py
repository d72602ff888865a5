"""KuCoin's newer public socket (API of the unified account), spot market data.

Documentation: https://www.kucoin.com/docs-new (the classic socket, which requires a token, is not used).
Two topics per instrument: `obu` of depth 1, the best bid and ask at each change, and `trade`; for books `obu`
of depth 50, whole each time. The venue's ids look like `BTC-USDT`; an unknown one is acknowledged, but never
sends data. Times are in nanoseconds; long integers are sent as numbers or as texts. Frames are binary and
contain JSON.

Evidence: single frames of trades and of a deeper book, 2026-03 and 2026-08; a frame of depth 1 and all
responses from the twin socket for futures, 2026-02 and 2026-09; the list of symbols of 2021. Limits and
candles are as documented.

Not given: 24 h figures; why a symbol cannot be traded; announcements of a shutdown, which comes once or twice
a week.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Mapping, Sequence
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
    Limits,
    Listed,
    MalformedFrame,
    Opening,
    Pong,
    Refused,
    Request,
    Rules,
    Topic,
    Trade,
    Update,
    VenueKey,
    VenueList,
    Wanted,
    best,
    read_each,
    reading,
)
from crypto_stream.market.bars import venue_bar
from crypto_stream.market.decimals import decimal_text, price_of_trade

if TYPE_CHECKING:
    import httpx

_ping_numbers = itertools.count(1)


def _ping() -> str:
    """Create a ping; each has an id of its own."""
    return f'{{"id":"ping{next(_ping_numbers)}","type":"ping"}}'


URLS = ["wss://x-push-spot.kucoin.com:443"]
REST_URL = "https://api.kucoin.com"
BUSY = "btcusdt"
DEPTH = True
LIMITS = Limits(
    instruments=250,  # at most 600 topics, two per instrument
    connections=4,
    pace_s=0.05,  # 300 messages in 10 s
    attempts=Budget(200, 300.0),
    keepalive=Keepalive(_ping, 18.0, always=True),  # as the venue asks for in its welcome
)

_CHANNELS: dict[Topic, str] = {"top": "obu", "trades": "trade", "depth": "obu"}
_LEVELS = {"top": "1", "depth": "50"}  # of a side, of `obu`
_TYPES = {"1m": "1min", "1h": "1hour"}
_SUCCESS = "200000"
_DISABLED = "disabled"  # the list says only whether a symbol can be traded
_NS_PER_MS = 1_000_000
_MS = 1000

_Level = tuple[str, str]  # price, size


class _Frame(Struct):
    """A push of topic `T`, the response to a request, a pong or the welcome."""

    T: str = ""
    t: str = ""
    d: Raw = Raw()
    id: VenueKey | str | None = None
    result: bool | str | None = None
    message: str = ""
    reason: str = ""
    type: str = ""


class _Top(Struct, gc=False):
    s: str
    b: list[_Level]
    a: list[_Level]
    C: VenueKey
    M: VenueKey


class _Trade(Struct, gc=False):
    s: str
    p: str
    q: str
    ti: VenueKey
    M: VenueKey


class _WithoutRules(Struct, gc=False, rename="camel"):
    symbol: str
    base_currency: str
    quote_currency: str
    enable_trading: bool


class _Symbol(_WithoutRules, gc=False, rename="camel"):
    price_increment: str = ""
    base_increment: str = ""
    base_min_size: str = ""
    base_max_size: str = ""
    quote_min_size: str = ""
    quote_max_size: str = ""
    min_funds: str | None = None


class _Answer(Struct):
    code: str
    msg: str = ""
    data: Annotated[list[Raw], VenueList] | None = None


class _DayVolume(Struct, gc=False, rename="camel"):
    symbol: str
    vol_value: str


class _Days(Struct):
    ticker: Annotated[list[Raw], VenueList]


class _DaysAnswer(Struct):
    code: str
    msg: str = ""
    data: _Days | None = None


# time in s, open, close, high, low, volume in base, volume in quote
_Candle = tuple[BarSeconds, str, str, str, str, str, str]

_frame = msgspec.json.Decoder(_Frame).decode
# Not strict: some integers are strings. Fields typed as str remain strings in this mode.
_top = msgspec.json.Decoder(_Top, strict=False).decode
_trade = msgspec.json.Decoder(_Trade, strict=False).decode
_candle = msgspec.json.Decoder(_Candle, strict=False).decode
_answer = msgspec.json.Decoder(_Answer).decode
_symbol = msgspec.json.Decoder(_Symbol).decode
_days_answer = msgspec.json.Decoder(_DaysAnswer).decode
_day_volume = msgspec.json.Decoder(_DayVolume).decode
_without_rules = msgspec.json.Decoder(_WithoutRules).decode


def venue_id(pair: Instrument) -> str | None:
    """Return the venue's id of a pair."""
    return f"{pair.base}-{pair.quote}" if pair.base and pair.quote else None


def pair_of(venue_id: str) -> tuple[str, str] | None:
    """Split an id into base and quote."""
    base, _, quote = venue_id.partition("-")
    return (base, quote) if base and quote and "-" not in quote else None


async def opening(http: httpx.AsyncClient, options: Mapping[str, str]) -> Opening:
    """Return the path; the venue's own client subscribes only once it was welcomed."""
    return Opening("/", is_welcomed=True)


class Reader:
    """Parses the frames of one connection and numbers its requests; `instruments` are by the venue's id."""

    def __init__(self, instruments: Mapping[str, Instrument]) -> None:
        self._instruments = instruments
        self._numbers = itertools.count(1)
        self._is_for_books = False
        self._readers: dict[str, Callable[[_Frame], Event]] = {
            "obu.SPOT": self._read_top,
            "trade.SPOT": self._read_trade,
        }

    def subscribe(self, wanted: Sequence[Wanted]) -> list[Request]:
        """Request one topic of one symbol per message, prices before trades; each is acknowledged.

        {"id":"1","action":"SUBSCRIBE","channel":"obu","tradeType":"SPOT","symbol":"BTC-USDT","depth":"1",
         "rpiFilter":0}
        {"id":"2","action":"SUBSCRIBE","channel":"trade","tradeType":"SPOT","symbol":"BTC-USDT"}
        """
        return self._requests("SUBSCRIBE", wanted)

    def unsubscribe(self, wanted: Sequence[Wanted]) -> list[Request]:
        """Cancel what `subscribe` requested; the responses are not awaited."""
        return [request._replace(keys=()) for request in self._requests("UNSUBSCRIBE", wanted)]

    def read(self, frame: bytes) -> list[Event]:
        """Parse a frame: data of a topic, or a response or notice.

        {"T":"trade.SPOT","P":"1774618231151398133","d":{...}}
        """
        push = _frame(frame)
        if not push.T:
            return [_read_response(push)]
        read = self._readers.get(push.T)
        return [read(push) if read else Ignored(push.T[:40])]

    def _requests(self, action: str, wanted: Sequence[Wanted]) -> list[Request]:
        requests = []
        for topic, channel in _CHANNELS.items():
            depth: dict[str, object] = {"depth": _LEVELS[topic], "rpiFilter": 0} if channel == "obu" else {}
            for each in wanted:
                if each.topic == topic:
                    self._is_for_books = topic == "depth"
                    number = str(next(self._numbers))
                    message: dict[str, object] = {
                        "id": number,
                        "action": action,
                        "channel": channel,
                        "tradeType": "SPOT",
                        "symbol": each.id,
                        **depth,
                    }
                    requests.append(Request(msgspec.json.encode(message).decode(), (number,), (each,)))
        return requests

    def _read_top(self, push: _Frame) -> Event:
        """Parse the best bid and ask, or a book; `C` is the number of the last change of the book.

        {"T":"obu.SPOT","dp":"1","t":"snapshot","P":"1774624848680504909","d":{"C":20452522782,
         "M":"1774624848673000000","O":20452522782,"a":[["66532.5","0.46243848"]],
         "b":[["66532.4","0.09489"]],"s":"BTC-USDT"}}
        """
        if push.t != "snapshot":
            return Ignored(f"{push.T}:{push.t}"[:40])  # changes of a deeper book
        top = _top(push.d)
        if (instrument := self._instruments.get(top.s)) is None:
            return Ignored("not_subscribed")
        if self._is_for_books:
            time = top.M // _NS_PER_MS
            return DepthChange(instrument, top.b, top.a, whole=True, number=top.C, time=time)
        bid, bid_size = best(top.b)
        ask, ask_size = best(top.a)
        return Update(
            instrument=instrument,
            channel="obu",
            key=top.C,
            time=top.M // _NS_PER_MS,
            bid=bid,
            bid_size=bid_size,
            ask=ask,
            ask_size=ask_size,
        )

    def _read_trade(self, push: _Frame) -> Event:
        """Parse a trade.

        {"T":"trade.SPOT","P":1787348155899171700,"d":{"E":24021490985222144,"M":1787348155897000000,
         "S":"sell","p":"78313.6","q":"0.00001374","s":"BTC-USDT","ti":"24021490985222144"}}
        """
        trade = _trade(push.d)
        if (instrument := self._instruments.get(trade.s)) is None:
            return Ignored("not_subscribed")
        return Trade(
            instrument=instrument,
            channel="trade",
            key=trade.ti,
            time=trade.M // _NS_PER_MS,
            price=price_of_trade(trade.p),
            size=decimal_text(trade.q),
        )


def _read_response(push: _Frame) -> Event:
    """Parse a response; according to the documents its `result` may also be a text.

    {"id":"1","result":true} · {"id":"18","result":false,"message":"invalid request data"}
    {"type":"pong","id":"ping1","ts":1771580331134146844}
    {"sessionId":"d2c9a1c2-1f44-4ba6-b4ed-31ff3b9243af","message":"welcome","pingInterval":18000}
    """
    if push.type == "pong":
        return Pong()
    if push.result is None:
        return Ignored((push.type or push.message or "unknown")[:40])
    key = "" if push.id is None else str(push.id)
    if push.result is True or push.result == "true":
        return Acked(key)
    return Refused(key, (push.message or push.reason)[:200] or "refused")


async def instruments(http: httpx.AsyncClient) -> list[Listed]:
    """Fetch the listed symbols; their state is "" if they can be traded, else `disabled`.

    https://www.kucoin.com/docs-new/rest/spot-trading/market-data/get-all-symbols
    """
    rows = await _fetch(http, "/api/v2/symbols", {})
    with reading("kucoin symbols"):
        entries = read_each(rows, _symbol, _without_rules)
    return [
        Listed(
            id=item.symbol,
            base=item.base_currency,
            quote=item.quote_currency,
            state="" if item.enable_trading else _DISABLED,
            rules=_rules(item) if isinstance(item, _Symbol) else Rules(),
        )
        for item in entries
    ]


def _rules(item: _Symbol) -> Rules:
    """Parse the rules for orders; `quoteMinSize` and `quoteMaxSize` are for market orders.

    {"symbol":"REQ-BTC","baseMinSize":"1","quoteMinSize":"0.00001","baseMaxSize":"10000000000",
     "quoteMaxSize":"99999999","baseIncrement":"0.0001","quoteIncrement":"0.00000001",
     "priceIncrement":"0.00000001","minFunds":"0.00001","enableTrading":true}
    """
    return Rules(
        tick=item.price_increment,
        lot=item.base_increment,
        min_amount=item.base_min_size,
        min_notional=item.min_funds,
        max_amount=item.base_max_size,
        market_max_amount=item.base_max_size,
        market_min_notional=item.quote_min_size or item.min_funds,
        market_max_notional=item.quote_max_size,
    )


async def volumes(http: httpx.AsyncClient) -> dict[str, str]:
    """Fetch the 24 h volume of each symbol in its quote currency.

    https://www.kucoin.com/docs-new/rest/spot-trading/market-data/get-all-tickers
    {"code":"200000","data":{"time":1602832092060,"ticker":[{"symbol":"BTC-USDT","vol":"2",
     "volValue":"120000.5",...}]}}
    """
    answer = await http.get("/api/v1/market/allTickers")
    answer.raise_for_status()
    with reading("kucoin allTickers"):
        found = _days_answer(answer.content)
        if found.code != _SUCCESS or found.data is None:
            raise ValueError(f"code {found.code[:20]}: {found.msg[:200]}")
        return {day.symbol: day.vol_value for day in read_each(found.data.ticker, _day_volume)}


async def candles(http: httpx.AsyncClient, venue_id: str, interval: str) -> list[Bar]:
    """Fetch the newest 1,500 bars of "1m" or "1h" at most, oldest first; the last one is still open.

    https://www.kucoin.com/docs-new/rest/spot-trading/market-data/get-klines
    Rows are as in `_Candle`, newest first; without trades there is none.
    """
    rows = await _fetch(http, "/api/v1/market/candles", {"type": _TYPES[interval], "symbol": venue_id})
    with reading("kucoin candles"):
        return [
            venue_bar(time_s * _MS, (open_, high, low, close, volume), None, "kucoin")
            for time_s, open_, close, high, low, volume, _ in sorted(map(_candle, rows))
        ]


async def _fetch(http: httpx.AsyncClient, path: str, params: Mapping[str, str]) -> list[Raw]:
    """Fetch a list; errors have HTTP status 200 and a code."""
    answer = await http.get(path, params=params)
    answer.raise_for_status()
    with reading(f"kucoin {path}"):
        found = _answer(answer.content)
    if found.code != _SUCCESS:
        raise MalformedFrame(f"kucoin {path}: code {found.code[:20]}: {found.msg[:200]}")
    return found.data or []
