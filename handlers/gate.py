"""Gate v4, public spot market data.

Documentation: https://www.gate.com/docs/developers/apiv4/ws/en/ and .../apiv4/en/ (spot). Three channels per
instrument: `spot.book_ticker` (best bid and ask), `spot.trades`, `spot.tickers` (24 h figures, without open
and without a time of their own). The venue's ids look like `BTC_USDT`. One unknown pair refuses a whole
request. For books `spot.order_book`, the first 20 levels, whole each time, one pair per request.

Evidence: a recording of 2021-04-22 of trades and tickers; single frames of `spot.book_ticker`, `spot.trades`,
`spot.order_book` and of a refusal, and the list of pairs, of 2025-02 and 2026-09. That an empty side of the
book has the price "" is documented, not seen.

Not given: the price of 24 h ago (only a rounded change); a time within the 24 h figures; announcements of a
shutdown or of maintenance.
"""

from __future__ import annotations

import itertools
import time
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Annotated

import msgspec
from msgspec import Raw, Struct

from crypto_stream.feed.handler import (
    Acked,
    Bar,
    BarSeconds,
    DepthChange,
    Event,
    Ignored,
    Instrument,
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
    VenueKey,
    VenueList,
    VenueTime,
    Wanted,
    read_each,
    reading,
    step,
)
from crypto_stream.market.bars import venue_bar
from crypto_stream.market.decimals import decimal_text, four_decimal_texts, price_of_trade

if TYPE_CHECKING:
    import httpx

URLS = ["wss://api.gateio.ws:443"]
REST_URL = "https://api.gateio.ws"
BUSY = "btcusdt"
DEPTH = True
LIMITS = Limits(pace_s=0.1)  # the venue says that it limits neither requests nor subscriptions

_BOOKS = "spot.order_book"
_CHANNELS: dict[Topic, str] = {
    "top": "spot.book_ticker",
    "trades": "spot.trades",
    "day": "spot.tickers",
    "depth": _BOOKS,
}
_PER_REQUEST = 100  # pairs
_BOOK = ["20", "100ms"]  # levels of a side, and how often at most
_TRADABLE = "tradable"
_ALREADY = "Alert sub"  # the beginning of the error for a subscription that there is already
_MAX_BARS = "1000"
_MS = 1000


class _Error(Struct):
    message: str = ""


class _Frame(Struct):
    """A push, or the response to a request."""

    channel: str
    event: str = ""
    time: BarSeconds | None = None
    time_ms: VenueTime | None = None
    id: VenueKey | None = None
    error: _Error | None = None
    result: Raw = Raw()


class _Top(Struct, gc=False):
    t: VenueTime
    u: VenueKey
    s: str
    b: str
    B: str
    a: str
    A: str


class _Book(Struct, gc=False):
    t: VenueTime
    lastUpdateId: VenueKey  # noqa: N815 - the venue's name
    s: str
    bids: list[tuple[str, str]]
    asks: list[tuple[str, str]]


class _Trade(Struct, gc=False):
    id: VenueKey
    create_time_ms: str
    currency_pair: str
    amount: str
    price: str


class _Ticker(Struct, gc=False):
    currency_pair: str
    last: str
    base_volume: str
    high_24h: str
    low_24h: str


class _WithoutRules(Struct, gc=False):
    id: str
    base: str
    quote: str
    trade_status: str


class _Pair(_WithoutRules, gc=False):
    precision: Places | None = None
    amount_precision: Places | None = None
    min_base_amount: str = ""
    min_quote_amount: str = ""
    max_base_amount: str = ""
    max_quote_amount: str = ""
    market_order_max_stock: str = ""
    market_order_max_money: str = ""


class _Day(Struct, gc=False):
    currency_pair: str
    quote_volume: str


# time in s, volume in quote, close, high, low, open, volume in base, whether it is closed
_Candle = tuple[BarSeconds, str, str, str, str, str, str, str]

_frame = msgspec.json.Decoder(_Frame).decode
_top = msgspec.json.Decoder(_Top).decode
_book = msgspec.json.Decoder(_Book).decode
_trades = msgspec.json.Decoder(_Trade | list[_Trade]).decode
_ticker = msgspec.json.Decoder(_Ticker).decode
_rows = msgspec.json.Decoder(Annotated[list[Raw], VenueList]).decode
_pair = msgspec.json.Decoder(_Pair).decode
_day = msgspec.json.Decoder(_Day).decode
_without_rules = msgspec.json.Decoder(_WithoutRules).decode
# Not strict: times are numbers in quotes. Fields typed as str remain strings in this mode.
_candles = msgspec.json.Decoder(Annotated[list[_Candle], VenueList], strict=False).decode


def venue_id(pair: Instrument) -> str | None:
    """Return the venue's id of a pair."""
    return f"{pair.base}_{pair.quote}" if pair.base and pair.quote else None


def pair_of(venue_id: str) -> tuple[str, str] | None:
    """Split an id into base and quote."""
    base, _, quote = venue_id.partition("_")
    return (base, quote) if base and quote and "_" not in quote else None


async def opening(http: httpx.AsyncClient, options: Mapping[str, str]) -> Opening:
    """Return the path of the spot channels."""
    return Opening("/ws/v4/")


class Reader:
    """Parses the frames of one connection and numbers its requests; `instruments` are by the venue's id."""

    def __init__(self, instruments: Mapping[str, Instrument]) -> None:
        self._instruments = instruments
        self._numbers = itertools.count(1)
        self._readers: dict[str, Callable[[_Frame], list[Event]]] = {
            "spot.book_ticker": self._read_top,
            "spot.trades": self._read_trades,
            "spot.tickers": self._read_ticker,
            _BOOKS: self._read_book,
        }

    def subscribe(self, wanted: Sequence[Wanted]) -> list[Request]:
        """Request one channel per message, for up to 100 pairs, or one book; each message is acknowledged.

        {"time":1790359165,"id":1,"channel":"spot.book_ticker","event":"subscribe",
         "payload":["BTC_USDT","ETH_USDT"]}
        """
        return self._requests("subscribe", wanted)

    def unsubscribe(self, wanted: Sequence[Wanted]) -> list[Request]:
        """Cancel what `subscribe` requested; the responses are not awaited."""
        return [request._replace(keys=()) for request in self._requests("unsubscribe", wanted)]

    def read(self, frame: bytes) -> list[Event]:
        """Parse a frame: data of a channel, or the response to a request.

        {"time":1790359165,"time_ms":1790359165714,"channel":"spot.book_ticker","event":"update",
         "result":{...}}
        """
        push = _frame(frame)
        if push.event == "update":
            read = self._readers.get(push.channel)
            return (read(push) if read else []) or [Ignored(push.channel[:40] or "unknown")]
        return [_read_response(push)]

    def _requests(self, event: str, wanted: Sequence[Wanted]) -> list[Request]:
        requests = []
        for topic, channel in _CHANNELS.items():
            of_channel = [each for each in wanted if each.topic == topic]
            most, more = (1, _BOOK) if channel == _BOOKS else (_PER_REQUEST, [])
            for start in range(0, len(of_channel), most):
                part = tuple(of_channel[start : start + most])
                number = next(self._numbers)
                message = {
                    "time": int(time.time()),
                    "id": number,
                    "channel": channel,
                    "event": event,
                    "payload": [*(each.id for each in part), *more],
                }
                requests.append(Request(msgspec.json.encode(message).decode(), (str(number),), part))
        return requests

    def _read_top(self, push: _Frame) -> list[Event]:
        """Parse the best bid and ask; `u` is the number of the change of the book.

        {"t":1790359165710,"u":40013503861,"s":"BTC_USDT","b":"83790.9","B":"0.497321","a":"83791",
         "A":"0.055894"}
        """
        top = _top(push.result)
        if (instrument := self._instruments.get(top.s)) is None:
            return [Ignored("not_subscribed")]
        bid, bid_size, ask, ask_size = four_decimal_texts(top.b, top.B, top.a, top.A)
        return [
            Update(
                instrument=instrument,
                channel="spot.book_ticker",
                key=top.u,
                time=top.t,
                bid=bid,
                bid_size=bid_size if bid else None,
                ask=ask,
                ask_size=ask_size if ask else None,
            )
        ]

    def _read_book(self, push: _Frame) -> list[Event]:
        """Parse the first levels of a book.

        {"t":1790360084770,"lastUpdateId":40013700725,"s":"BTC_USDT","l":"20",
         "bids":[["84005.6","0.035056"],...],"asks":[["84005.7","0.115252"],...]}
        """
        book = _book(push.result)
        if (instrument := self._instruments.get(book.s)) is None:
            return [Ignored("not_subscribed")]
        number = book.lastUpdateId
        return [DepthChange(instrument, book.bids, book.asks, whole=True, number=number, time=book.t)]

    def _read_trades(self, push: _Frame) -> list[Event]:
        """Parse one trade, or a list, which other clients expect; `create_time_ms` is a text with a fraction.

        {"id":220643714,"id_market":220643714,"create_time":1790359171,
         "create_time_ms":"1790359171119.653000","side":"sell","currency_pair":"BTC_USDT",
         "amount":"0.002984","price":"83790.9","range":"220643714-220643714","trade_mode":0}
        """
        found = _trades(push.result)
        trades = sorted(found, key=lambda each: each.id) if isinstance(found, list) else [found]
        return [
            _read_trade(instrument, each)
            if (instrument := self._instruments.get(each.currency_pair))
            else Ignored("not_subscribed")
            for each in trades
        ]

    def _read_ticker(self, push: _Frame) -> list[Event]:
        """Parse the 24 h figures; their time is that of the frame, before 2022 in seconds only.

        {"currency_pair":"NEO_BTC","last":"0.0018716","lowest_ask":"0.0018734","highest_bid":"0.0018697",
         "change_percentage":"2.9256","base_volume":"1138.01640718","quote_volume":"2.048263365803126",
         "high_24h":"0.0018754","low_24h":"0.0017148"}
        The percentage is rounded, so that it does not give the exact open.
        """
        ticker = _ticker(push.result)
        if (instrument := self._instruments.get(ticker.currency_pair)) is None:
            return [Ignored("not_subscribed")]
        time_ms = push.time_ms
        if time_ms is None:
            if push.time is None:
                raise ValueError("24 h figures without a time")
            time_ms = push.time * _MS
        return [
            Update(
                instrument=instrument,
                channel="spot.tickers",
                key=time_ms,
                time=time_ms,
                price=decimal_text(ticker.last),
                high_24h=decimal_text(ticker.high_24h),
                low_24h=decimal_text(ticker.low_24h),
                volume_24h=decimal_text(ticker.base_volume),
                slow=True,
            )
        ]


def _read_trade(instrument: Instrument, trade: _Trade) -> Event:
    return Trade(
        instrument=instrument,
        channel="spot.trades",
        key=trade.id,
        time=msgspec.convert(trade.create_time_ms.partition(".")[0], VenueTime, strict=False),
        price=price_of_trade(trade.price),
        size=decimal_text(trade.amount),
    )


def _read_response(push: _Frame) -> Event:
    """Parse a response; the message of a refusal names the first wrong pair of the refused request.

    {"time":1739853211,"time_ms":1739853211201,"id":1,"conn_id":"62f2c1dabbe186d7","channel":"spot.trades",
     "event":"subscribe","payload":["LUNARLENS_USDT","ETH_USDT"],
     "error":{"code":2,"message":"unknown currency pair: LUNARLENS_USDT"},"result":{"status":"fail"}}
    """
    if push.channel == "spot.pong":
        return Pong()
    key = "" if push.id is None else str(push.id)
    if push.event == "unsubscribe" or (push.event != "subscribe" and push.error is None):
        return Ignored(f"{push.event}:{push.channel}"[:40])
    if push.error is None or push.error.message.startswith(_ALREADY):
        return Acked(key)
    return Refused(key, push.error.message[:200] or "error")


async def instruments(http: httpx.AsyncClient) -> list[Listed]:
    """Fetch the listed pairs; their state is "" if tradable, else the venue's (`untradable`, `sellable`).

    https://www.gate.com/docs/developers/apiv4/en/#spot
    """
    answer = await http.get("/api/v4/spot/currency_pairs")
    answer.raise_for_status()
    with reading("gate currency_pairs"):
        entries = read_each(_rows(answer.content), _pair, _without_rules)
    return [
        Listed(
            id=item.id,
            base=item.base,
            quote=item.quote,
            state="" if item.trade_status == _TRADABLE else item.trade_status,
            rules=_rules(item) if isinstance(item, _Pair) else Rules(),
        )
        for item in entries
    ]


def _rules(item: _Pair) -> Rules:
    """Parse the rules for orders; steps are given as a number of decimals.

    {"id":"BTC_USDT","base":"BTC","quote":"USDT","min_base_amount":"0.000001","min_quote_amount":"3",
     "max_base_amount":"100","max_quote_amount":"5000000","amount_precision":6,"precision":1,
     "trade_status":"tradable","market_order_max_stock":"65","market_order_max_money":"5000000"}
    """
    return Rules(
        tick=step(item.precision),
        lot=step(item.amount_precision),
        min_amount=item.min_base_amount,
        min_notional=item.min_quote_amount,
        max_amount=item.max_base_amount,
        max_notional=item.max_quote_amount,
        market_max_amount=item.market_order_max_stock,
        market_min_notional=item.min_quote_amount,
        market_max_notional=item.market_order_max_money,
    )


async def volumes(http: httpx.AsyncClient) -> dict[str, str]:
    """Fetch the 24 h volume of each pair in its quote currency.

    https://www.gate.com/docs/developers/apiv4/en/#spot (tickers)
    """
    answer = await http.get("/api/v4/spot/tickers")
    answer.raise_for_status()
    with reading("gate tickers"):
        return {day.currency_pair: day.quote_volume for day in read_each(_rows(answer.content), _day)}


async def candles(http: httpx.AsyncClient, venue_id: str, interval: str) -> list[Bar]:
    """Fetch the newest 1,000 bars of "1m" or "1h", oldest first; the last one is still open.

    https://www.gate.com/docs/developers/apiv4/en/#spot
    Rows are as in `_Candle`, close before open; a quiet minute has one, too.
    """
    params = {"currency_pair": venue_id, "interval": interval, "limit": _MAX_BARS}
    answer = await http.get("/api/v4/spot/candlesticks", params=params)
    answer.raise_for_status()
    with reading("gate candlesticks"):
        return [
            venue_bar(time_s * _MS, (open_, high, low, close, volume), None, "gate")
            for time_s, _, close, high, low, open_, volume, _ in _candles(answer.content)
        ]
