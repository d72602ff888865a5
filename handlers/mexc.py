"""MEXC, spot market data, pushed as protobuf.

Documentation: https://www.mexc.com/api-docs/spot-v3/websocket-market-streams; the schema of the messages is
https://github.com/mexcdevelop/websocket-proto.

Three channels per instrument: `aggre.bookTicker` (best bid and ask, at most every 100 ms), `aggre.deals`
(trades, likewise), `miniTicker` (24 h figures every few seconds, without the price of a day ago). For books
`limit.depth`, the first 20 levels, whole each time. Requests and responses are JSON texts; data is binary, a
`PushDataV3ApiWrapper` whose fields are read by number. The venue's ids look like `BTCUSDT`.

Evidence: single frames of 2025-09 and 2026-09, none of them a whole session, the one of `limit.depth` with 5
levels; limits, refusals and the REST interface are known at second hand.

Not given: the price of 24 h ago; announcements of a shutdown.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Annotated

import msgspec
from msgspec import Raw, Struct

from crypto_stream.feed.handler import (
    ARRIVAL,
    Acked,
    Bar,
    BarTime,
    DepthChange,
    Event,
    Ignored,
    Instrument,
    Keepalive,
    Level,
    Limits,
    Listed,
    Opening,
    Places,
    Pong,
    Refused,
    Request,
    Rules,
    Topic,
    Trade,
    Update,
    VenueList,
    Wanted,
    read_each,
    reading,
    step,
)
from crypto_stream.feed.protobuf import Message
from crypto_stream.market.bars import venue_bar
from crypto_stream.market.decimals import decimal_text, price_of_trade
from crypto_stream.market.instruments import split_symbol

if TYPE_CHECKING:
    import httpx

URLS = ["wss://wbs-api.mexc.com:443"]
REST_URL = "https://api.mexc.com"
BUSY = "btcusdt"
DEPTH = True
LIMITS = Limits(
    instruments=9,  # 30 subscriptions per connection, three per instrument
    connections=20,
    pace_s=0.1,
    max_age_s=23 * 3600.0,  # the venue disconnects after 24 h
    keepalive=Keepalive('{"method":"PING"}', 20.0),  # it disconnects after a minute without data
    books=30,
)

_CHANNELS: dict[Topic, str] = {
    "top": "spot@public.aggre.bookTicker.v3.api.pb@100ms@{}",
    "trades": "spot@public.aggre.deals.v3.api.pb@100ms@{}",
    "day": "spot@public.miniTicker.v3.api.pb@{}@UTC+0",
    "depth": "spot@public.limit.depth.v3.api.pb@{}@20",
}
_PER_REQUEST = 10  # channels
_LARGEST_KEY = 2**63 - 1
# The fields of the wrapper, and those of them that contain data.
_CHANNEL, _SYMBOL, _SEND_TIME = 1, 3, 6
_DEPTHS, _MINI_TICKER, _DEALS, _BOOK_TICKER = 303, 309, 314, 315

_NAMES = re.compile(r"spot@[^,\]\s]+")
_REFUSED = re.compile(r"Not Subscribed successfully! *\[([^\]]*)\]\.?(.*)", re.DOTALL)
_ONLINE = "1"
_STATES = {"2": "PAUSE", "3": "OFFLINE"}
_INTERVALS = {"1m": "1m", "1h": "60m"}
_MOST_BARS = "500"


class _Response(Struct):
    """The response to a request."""

    code: int = 0
    msg: str = ""


class _WithoutRules(Struct, gc=False):
    symbol: str
    status: str
    baseAsset: str  # noqa: N815 - the venue's names, here and below
    quoteAsset: str  # noqa: N815


class _Item(_WithoutRules, gc=False):
    quotePrecision: Places | None = None  # noqa: N815
    baseAssetPrecision: Places | None = None  # noqa: N815
    baseSizePrecision: str = ""  # noqa: N815
    quoteAmountPrecision: str = ""  # noqa: N815


class _Day(Struct, gc=False):
    symbol: str
    quoteVolume: str  # noqa: N815


class _Info(Struct):
    symbols: Annotated[list[Raw], VenueList]


# time of the beginning, open, high, low, close, volume, time of the end, turnover
_Candle = tuple[BarTime, str, str, str, str, str, BarTime, str]

_response = msgspec.json.Decoder(_Response).decode
_info = msgspec.json.Decoder(_Info).decode
_item = msgspec.json.Decoder(_Item).decode
_rows = msgspec.json.Decoder(Annotated[list[Raw], VenueList]).decode
_day = msgspec.json.Decoder(_Day).decode
_without_rules = msgspec.json.Decoder(_WithoutRules).decode
_candles = msgspec.json.Decoder(Annotated[list[_Candle], VenueList]).decode


def venue_id(pair: Instrument) -> str | None:
    """Return the venue's id of a pair."""
    return f"{pair.base}{pair.quote}" if pair.base and pair.quote else pair.symbol.upper()


def pair_of(venue_id: str) -> tuple[str, str] | None:
    """Split an id into base and quote; without a separator this is a guess, used if there is no listing."""
    base, quote = split_symbol(venue_id)
    return (base, quote) if base and quote else None


async def opening(http: httpx.AsyncClient, options: Mapping[str, str]) -> Opening:
    """Return the path of the WebSocket."""
    return Opening("/ws")


class Reader:
    """Parses the frames of one connection, each independently; `instruments` are by the venue's id."""

    def __init__(self, instruments: Mapping[str, Instrument]) -> None:
        self._instruments = instruments

    def subscribe(self, wanted: Sequence[Wanted]) -> list[Request]:
        """Request channels, up to 10 per message; responses name them.

        {"method":"SUBSCRIPTION","params":["spot@public.aggre.deals.v3.api.pb@100ms@BTCUSDT"]}
        """
        return _requests("SUBSCRIPTION", wanted)

    def unsubscribe(self, wanted: Sequence[Wanted]) -> list[Request]:
        """Cancel what `subscribe` requested; the responses are not awaited."""
        return [request._replace(keys=()) for request in _requests("UNSUBSCRIPTION", wanted)]

    def read(self, frame: bytes) -> list[Event]:
        """Parse a frame: data, which is binary, or a response, which is text.

        1: "spot@public.aggre.deals.v3.api.pb@100ms@BTCUSDT"  3: "BTCUSDT"  6: 1790281246250  314: {...}
        {"id":0,"code":0,"msg":"spot@public.aggre.deals.v3.api.pb@100ms@BTCUSDT"}
        """
        if frame.startswith(b"{"):
            return self._read_response(_response(frame))
        push = Message(frame)
        for number, read in _READERS.items():
            if (data := push.message(number)) is not None:
                instrument = self._instruments.get(push.text(_SYMBOL))
                if instrument is None:
                    return [Ignored("not_subscribed")]
                return read(instrument, push, data) or [Ignored("empty")]
        return [Ignored(push.text(_CHANNEL).partition("@")[2][:40] or "unknown")]

    def _read_response(self, response: _Response) -> list[Event]:
        """Parse a response; accepted and refused channels may be in the same one.

        {"id":0,"code":0,"msg":"Subscribed successful! [spot@...@BTCUSDT]. Not Subscribed successfully!
         [spot@...@FOOUSDT].  Reason: Blocked! "} · {"id":0,"code":0,"msg":"PONG"}
        """
        text = response.msg
        if text == "PONG":
            return [Pong()]
        if response.code:
            return [Refused("", f"code {response.code}: {text}"[:200])]
        refused = _REFUSED.search(text)
        accepted = _NAMES.findall(text[: refused.start()] if refused else text)
        events: list[Event] = [Acked(name) for name in accepted]
        if refused:
            reason = refused[2].strip()[:200] or "not subscribed successfully"
            events += [Refused(name, reason, self._named(name)) for name in _NAMES.findall(refused[1])]
        return events or [Ignored("response")]

    def _named(self, channel: str) -> Instrument | None:
        """Return the instrument that the name of a channel contains."""
        found = (self._instruments.get(part) for part in channel.split("@")[2:])
        return next((each for each in found if each), None)


def _requests(method: str, wanted: Sequence[Wanted]) -> list[Request]:
    requests = []
    for start in range(0, len(wanted), _PER_REQUEST):
        part = tuple(wanted[start : start + _PER_REQUEST])
        names = tuple(_CHANNELS[each.topic].format(each.id) for each in part)
        text = msgspec.json.encode({"method": method, "params": names}).decode()
        requests.append(Request(text, names, part))
    return requests


def _read_top(instrument: Instrument, push: Message, data: Message) -> list[Event]:
    """Parse the best bid and ask; older versions of the schema have no version of the book.

    1: "84270" (bid)  2: "0.006387"  3: "84270.01" (ask)  4: "5.42169969"  5: "82164153436" (version)
    6: 1790281246623 (time of the newest order)
    """
    sent = _time(push)
    bid, bid_size = _side(data.text(1), data.text(2))
    ask, ask_size = _side(data.text(3), data.text(4))
    return [
        Update(
            instrument=instrument,
            channel="bookTicker",
            key=_number(data.text(5)) if 5 in data else _key(sent),
            time=sent,
            bid=bid,
            bid_size=bid_size,
            ask=ask,
            ask_size=ask_size,
        )
    ]


def _side(price: str, size: str) -> tuple[str | None, str | None]:
    text = decimal_text(price)
    return (text, decimal_text(size)) if text else (None, None)


def _read_depths(instrument: Instrument, push: Message, data: Message) -> list[Event]:
    """Parse the first levels of a book, asks before bids; older versions of the schema have no version of it.

    1: {1: "84270.01" (an ask)  2: "5.42169969"}, ...  2: {1: "84270.00" (a bid)  2: "0.00638700"}, ...
    3: "spot@public.limit.depth.v3.api.pb"  4: "82164155643" (version)  5: 1790281247239
    """
    sent = _time(push)
    return [
        DepthChange(
            instrument=instrument,
            bids=_levels(data.messages(2)),
            asks=_levels(data.messages(1)),
            whole=True,
            time=sent,
            number=_number(data.text(4)) if 4 in data else sent,
        )
    ]


def _levels(side: list[Message]) -> list[Level]:
    return [(level.text(1), level.text(2)) for level in side]


def _read_deals(instrument: Instrument, push: Message, data: Message) -> list[Event]:
    """Parse trades, oldest first; the first number of an id increases.

    1: {1: "84270" (price)  2: "0.00099829"  3: 2 (sell)  4: 1790281246176 (time)
     5: "731901896985399296X0_731901896985399297X0"}  2: "spot@public.aggre.deals.v3.api.pb@100ms"
    """
    return [
        Trade(
            instrument=instrument,
            channel="deals",
            key=_number(deal.text(5).partition("X")[0]) if 5 in deal else ARRIVAL,
            time=_bounded(deal.integer(4)) or None,
            price=price_of_trade(deal.text(1)),
            size=decimal_text(deal.text(2)),
        )
        for deal in data.messages(1)
    ]


def _read_mini_ticker(instrument: Instrument, push: Message, data: Message) -> list[Event]:
    """Parse the 24 h figures; `volume` is in quote, `quantity` in base.

    1: "BTCUSDT"  2: "115887.51" (last)  3: "0.0067"  4: "0.0067"  5: "116655.39" (high)  6: "114872.83" (low)
    7: "856772057.5" (volume)  8: "7390.61738038" (quantity)
    """
    sent = _time(push)
    return [
        Update(
            instrument=instrument,
            channel="miniTicker",
            key=_key(sent),
            time=sent,
            price=decimal_text(data.text(2)),
            high_24h=decimal_text(data.text(5)),
            low_24h=decimal_text(data.text(6)),
            volume_24h=decimal_text(data.text(8)),
            slow=True,
        )
    ]


# By the number of the wrapper's field.
_READERS: dict[int, Callable[[Instrument, Message, Message], list[Event]]] = {
    _BOOK_TICKER: _read_top,
    _DEALS: _read_deals,
    _MINI_TICKER: _read_mini_ticker,
    _DEPTHS: _read_depths,
}


def _time(push: Message) -> int | None:
    return _bounded(push.integer(_SEND_TIME)) or None


def _key(time: int | None) -> int:
    return ARRIVAL if time is None else time


def _bounded(number: int) -> int:
    if number > _LARGEST_KEY:
        raise ValueError(f"{number} is beyond 63 bits")
    return number


def _number(text: str) -> int:
    if not (text.isascii() and text.isdigit() and len(text) <= 19):
        raise ValueError(f"{text[:40]!r} is not an integer")
    return _bounded(int(text))


async def instruments(http: httpx.AsyncClient) -> list[Listed]:
    """Fetch the listed spot pairs; their state is "" if online, else the documentation's word (`PAUSE`).

    https://www.mexc.com/api-docs/spot-v3/market-data-endpoints (exchange information)
    """
    answer = await http.get("/api/v3/exchangeInfo")
    answer.raise_for_status()
    with reading("mexc exchangeInfo"):
        entries = read_each(_info(answer.content).symbols, _item, _without_rules)
    return [
        Listed(
            id=item.symbol,
            base=item.baseAsset,
            quote=item.quoteAsset,
            state="" if item.status == _ONLINE else _STATES.get(item.status, item.status),
            rules=_rules(item) if isinstance(item, _Item) else Rules(),
        )
        for item in entries
    ]


def _rules(item: _Item) -> Rules:
    """Parse the rules for orders: two numbers of decimals, and two minimums that are called precisions.

    {"symbol":"BTCUSDT","status":"1","baseAsset":"BTC","baseAssetPrecision":8,"quoteAsset":"USDT",
     "quotePrecision":2,"baseSizePrecision":"0.000001","quoteAmountPrecision":"1.000000000000000000",...}
    """
    return Rules(
        tick=step(item.quotePrecision),
        lot=step(item.baseAssetPrecision),
        min_amount=item.baseSizePrecision,
        min_notional=item.quoteAmountPrecision,
    )


async def volumes(http: httpx.AsyncClient) -> dict[str, str]:
    """Fetch the 24 h volume of each pair in its quote currency.

    https://www.mexc.com/api-docs/spot-v3/market-data-endpoints (24 h statistics)
    """
    answer = await http.get("/api/v3/ticker/24hr")
    answer.raise_for_status()
    with reading("mexc ticker/24hr"):
        return {day.symbol: day.quoteVolume for day in read_each(_rows(answer.content), _day)}


async def candles(http: httpx.AsyncClient, venue_id: str, interval: str) -> list[Bar]:
    """Fetch the newest 500 bars of "1m" or "1h", oldest first; the last one is still open.

    https://www.mexc.com/api-docs/spot-v3/market-data-endpoints (klines); "1h" is called "60m".
    [[1640804880000,"47482.36","47482.36","47416.57","47436.1","3.550717",1640804940000,"168387.3"]], without
    a number of trades.
    """
    params = {"symbol": venue_id, "interval": _INTERVALS[interval], "limit": _MOST_BARS}
    answer = await http.get("/api/v3/klines", params=params)
    answer.raise_for_status()
    with reading("mexc klines"):
        return [venue_bar(row[0], row[1:6], None, "mexc") for row in _candles(answer.content)]
