"""Upbit (Korea), public market data.

Documentation: https://docs.upbit.com/kr/reference/websocket-guide, .../websocket-orderbook, -trade, -ticker.
Three types of data per instrument: `orderbook` (each time the whole book, of which we request one level, for
books 30), `trade`, `ticker`. The ticker's open, high and low are those of the day since 09:00 in Korea: only
its volume is of 24 h, so there are no other 24 h figures. The venue's ids name the quote currency first:
`KRW-BTC`.

A connection has one subscription, which each further request replaces, and nothing is acknowledged: every
request lists everything, and data counts as the acknowledgement. For an unknown id the venue sends nothing.
A halt is known from the ticker. Numbers are JSON numbers, often with an exponent, which stays (`1.16539E8`).

Evidence: half a minute of trades and books recorded 2021-04-17 in the venue's short format, single frames of
2026-09-23; tickers, ticks and candles from the documents alone.

Not given: the price of 24 h ago, high and low of 24 h; states and least amounts in the list of instruments;
ids of trades in the order of their arrival.
"""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from decimal import Decimal
from typing import TYPE_CHECKING, Annotated

import msgspec
from msgspec import Raw, Struct

from crypto_stream.feed.handler import (
    Bar,
    Budget,
    DepthChange,
    Event,
    Ignored,
    Instrument,
    InstrumentStatus,
    Keepalive,
    Level,
    Limits,
    Listed,
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
    VenueTime,
    Wanted,
    exact,
    exact_price,
    microseconds,
    read_each,
    reading,
)
from crypto_stream.market.bars import venue_bar

if TYPE_CHECKING:
    import httpx

URLS = ["wss://api.upbit.com:443"]
REST_URL = "https://api.upbit.com"
BUSY = "btckrw"
DEPTH = True
LIMITS = Limits(
    instruments=150,  # all ids must fit into one request
    connections=6,
    pace_s=0.6,  # 100 messages a minute
    request_bytes=12_000,  # the limit is not published; 9,500 bytes were accepted
    attempts=Budget(5, 1.0),
    keepalive=Keepalive(None, 20.0, always=True),  # a connection without traffic was closed after a minute
)

_TYPES: dict[Topic, str] = {"top": "orderbook", "trades": "trade", "day": "ticker", "depth": "orderbook"}
_SUFFIXES: dict[Topic, str] = {"top": ".1", "depth": ".30"}  # the number of levels
_ACTIVE = "ACTIVE"
_SUSPENDED = "suspended"
_MINUTES = {"1m": "1", "1h": "60"}
_MOST_BARS = "200"
_PER_REQUEST = 200  # ids in the address of a REST request
_YEARS = range(2000, 2100)


class _Unit(Struct, gc=False):
    ask_price: Raw
    bid_price: Raw
    ask_size: Raw
    bid_size: Raw


class _Data(Struct, tag_field="type", gc=False):
    code: str
    timestamp: VenueKey


class _Book(_Data, tag="orderbook", gc=False):
    orderbook_units: list[_Unit]


class _Trade(_Data, tag="trade", gc=False):
    trade_price: Raw
    trade_volume: Raw
    trade_timestamp: VenueTime
    sequential_id: VenueKey


class _Ticker(_Data, tag="ticker", gc=False):
    trade_price: Raw
    acc_trade_volume_24h: Raw
    market_state: str = _ACTIVE
    is_trading_suspended: bool = False


class _Error(Struct):
    name: str = ""
    message: str = ""


class _Other(Struct):
    """A frame without data."""

    type: str = ""
    status: str = ""
    error: _Error | None = None


class _Market(Struct, gc=False):
    market: str


class _Tick(Struct, gc=False):
    market: str
    tick_size: Raw  # a string or a number


class _Candle(Struct, gc=False):
    candle_date_time_utc: Annotated[datetime, msgspec.Meta(tz=False)]
    opening_price: Raw
    high_price: Raw
    low_price: Raw
    trade_price: Raw
    candle_acc_trade_volume: Raw


_data = msgspec.json.Decoder(_Book | _Trade | _Ticker).decode
_other = msgspec.json.Decoder(_Other).decode
_rows = msgspec.json.Decoder(Annotated[list[Raw], VenueList]).decode
_market = msgspec.json.Decoder(_Market).decode
_tick = msgspec.json.Decoder(_Tick).decode
_candles = msgspec.json.Decoder(Annotated[list[_Candle], VenueList]).decode


def venue_id(pair: Instrument) -> str | None:
    """Return the venue's id of a pair: its quote currency first."""
    return f"{pair.quote}-{pair.base}" if pair.base and pair.quote else None


def pair_of(venue_id: str) -> tuple[str, str] | None:
    """Split an id into base and quote."""
    quote, _, base = venue_id.partition("-")
    return (base, quote) if base and quote and "-" not in base else None


async def opening(http: httpx.AsyncClient, options: Mapping[str, str]) -> Opening:
    """Return the path of the public data; after the greeting the venue reports its status every 10 s."""
    return Opening("/websocket/v1", greeting=["PING"])


class Reader:
    """Parses the frames of one connection; knows its subscription. `instruments` are by the venue's id."""

    def __init__(self, instruments: Mapping[str, Instrument]) -> None:
        self._instruments = instruments
        self._numbers = itertools.count(1)
        self._ids: dict[Topic, dict[str, None]] = {topic: {} for topic in _TYPES}
        self._states: dict[str, str] = {}

    def subscribe(self, wanted: Sequence[Wanted]) -> list[Request]:
        """Request what is wanted and, since a request replaces the last one, all that was wanted before.

        [{"ticket":"1"},{"type":"orderbook","codes":["KRW-BTC.1"]},{"type":"trade","codes":["KRW-BTC"]},
         {"type":"ticker","codes":["KRW-BTC"]},{"format":"DEFAULT"}]
        """
        if not wanted:
            return []
        for each in wanted:
            self._ids[each.topic][each.id] = None
        number = str(next(self._numbers))
        types: list[object] = [
            {"type": _TYPES[topic], "codes": [each + _SUFFIXES.get(topic, "") for each in ids]}
            for topic, ids in self._ids.items()
            if ids
        ]
        text = msgspec.json.encode([{"ticket": number}, *types, {"format": "DEFAULT"}]).decode()
        return [Request(text, (number,), tuple(wanted))]

    def unsubscribe(self, wanted: Sequence[Wanted]) -> list[Request]:
        """Leave out of the next request what is wanted no longer; until then the venue goes on sending it."""
        for each in wanted:
            self._ids[each.topic].pop(each.id, None)
        return []

    def read(self, frame: bytes) -> list[Event]:
        """Parse a frame: data, the status of the venue, or an error, which ends the connection.

        {"type":"trade","code":"KRW-BTC",...} · {"status":"UP"}
        {"error":{"name":"NO_TICKET","message":"..."}}
        """
        try:
            data = _data(frame)
        except msgspec.ValidationError:
            return [_read_other(_other(frame), frame)]
        instrument = self._instruments.get(data.code)
        if instrument is None:
            return [Ignored("not_subscribed")]
        if isinstance(data, _Book):
            return [(_read_book if self._ids["depth"] else _read_top)(instrument, data)]
        if isinstance(data, _Trade):
            return [_read_trade(instrument, data)]
        return [_read_ticker(instrument, data), *self._read_state(instrument, data)]

    def _read_state(self, instrument: Instrument, ticker: _Ticker) -> list[Event]:
        """Return the state of an instrument if it is new: `PREVIEW`, `DELISTED`, or suspended."""
        state = "" if ticker.market_state == _ACTIVE else ticker.market_state
        if ticker.is_trading_suspended:
            state = state or _SUSPENDED
        if state == self._states.get(ticker.code):
            return []
        self._states[ticker.code] = state
        return [InstrumentStatus(instrument, state)]


def _read_other(other: _Other, frame: bytes) -> Event:
    """Parse a frame without data; raise ValidationError if it should have been data."""
    if other.error is not None:
        return Refused("", f"{other.error.name}: {other.error.message}"[:200])
    if other.status:
        return Pong()
    if other.type in _TYPES.values():
        _data(frame)  # raises the reason
    return Ignored(other.type[:40] or "unknown")


def _read_book(instrument: Instrument, book: _Book) -> Event:
    """Parse all levels of a book; a side with fewer levels is filled up with 0."""
    bids, asks = list[Level](), list[Level]()
    for each in book.orderbook_units:
        _append(bids, each.bid_price, each.bid_size)
        _append(asks, each.ask_price, each.ask_size)
    return DepthChange(instrument, bids, asks, whole=True, number=book.timestamp, time=book.timestamp)


def _append(side: list[Level], raw_price: Raw, raw_size: Raw) -> None:
    price, size = _side(raw_price, raw_size)
    if price is None:
        return
    if size is None:
        raise ValueError("a level without size")
    side.append((price, size))


def _read_top(instrument: Instrument, book: _Book) -> Event:
    """Parse the top of the book.

    {"type":"orderbook","code":"KRW-BTC","timestamp":1790134742106,"total_ask_size":2.51469375,
     "total_bid_size":1.63815297,"orderbook_units":[{"ask_price":1.16539E8,"bid_price":1.16538E8,
     "ask_size":0.02054761,"bid_size":0.08120946}],"stream_type":"SNAPSHOT","level":0}
    """
    bid, bid_size, ask, ask_size = None, None, None, None
    if book.orderbook_units:
        best = book.orderbook_units[0]
        bid, bid_size = _side(best.bid_price, best.bid_size)
        ask, ask_size = _side(best.ask_price, best.ask_size)
    return Update(
        instrument=instrument,
        channel="orderbook",
        key=book.timestamp,
        time=book.timestamp,
        bid=bid,
        bid_size=bid_size,
        ask=ask,
        ask_size=ask_size,
    )


def _side(price: Raw, size: Raw) -> tuple[str | None, str | None]:
    """Return price and size; a missing side is written as 0."""
    text = exact(price)
    return (text, exact(size)) if text and Decimal(text) else (None, None)


def _read_trade(instrument: Instrument, trade: _Trade) -> Event:
    """Parse a trade; the ids are unique, but sometimes arrive out of order.

    {"type":"trade","code":"KRW-BTC","timestamp":1696585056887,"trade_timestamp":1696585056846,
     "trade_price":3.7251E7,"trade_volume":0.00268456,"ask_bid":"BID","sequential_id":1696585056846000,
     "stream_type":"REALTIME",...}
    """
    return Trade(
        instrument=instrument,
        channel="trade",
        key=trade.sequential_id,
        time=trade.trade_timestamp,
        price=exact_price(trade.trade_price),
        size=exact(trade.trade_volume),
    )


def _read_ticker(instrument: Instrument, ticker: _Ticker) -> Event:
    """Parse last price and 24 h volume, in base.

    {"type":"ticker","code":"KRW-BTC","opening_price":3.7E7,"high_price":3.75E7,"low_price":3.69E7,
     "trade_price":3.7251E7,"prev_closing_price":3.7E7,"acc_trade_volume":1080.9,
     "acc_trade_volume_24h":2503.02414072,"market_state":"ACTIVE","is_trading_suspended":false,
     "timestamp":1696585056887,"stream_type":"SNAPSHOT",...}
    """
    return Update(
        instrument=instrument,
        channel="ticker",
        key=ticker.timestamp,
        time=ticker.timestamp,
        price=exact(ticker.trade_price),
        volume_24h=exact(ticker.acc_trade_volume_24h),
        slow=True,
    )


async def instruments(http: httpx.AsyncClient) -> list[Listed]:
    """Fetch the listed pairs, then their ticks, which depend on the current price.

    https://docs.upbit.com/kr/reference/list-trading-pairs and .../list-orderbook-instruments
    [{"market":"KRW-BTC","korean_name":"비트코인","english_name":"Bitcoin"}]
    [{"market":"KRW-BTC","quote_currency":"KRW","tick_size":"1000","supported_levels":["0","10000"]}]
    """
    answer = await http.get("/v1/market/all")
    answer.raise_for_status()
    with reading("upbit market/all"):
        ids = [item.market for item in read_each(_rows(answer.content), _market)]
    ticks: dict[str, str] = {}
    for start in range(0, len(ids), _PER_REQUEST):
        ticks |= await _fetch_ticks(http, ids[start : start + _PER_REQUEST])
    return [
        Listed(id=each, base=split[0], quote=split[1], state=None, rules=Rules(tick=ticks.get(each)))
        for each in ids
        if (split := pair_of(each))
    ]


async def _fetch_ticks(http: httpx.AsyncClient, ids: Sequence[str]) -> dict[str, str]:
    answer = await http.get("/v1/orderbook/instruments", params={"markets": ",".join(ids)})
    answer.raise_for_status()
    with reading("upbit orderbook/instruments"):
        found = read_each(_rows(answer.content), _tick)
    return {item.market: bytes(item.tick_size).decode().strip('"') for item in found}


async def candles(http: httpx.AsyncClient, venue_id: str, interval: str) -> list[Bar]:
    """Fetch the newest 200 bars of "1m" or "1h", oldest first; the last one is still open.

    https://docs.upbit.com/kr/reference/list-candles-minutes
    [{"market":"KRW-BTC","candle_date_time_utc":"2026-09-24T18:26:00","opening_price":116539000.0,
      "high_price":116550000.0,"low_price":116500000.0,"trade_price":116540000.0,"timestamp":1790274412345,
      "candle_acc_trade_volume":1.23456789,"unit":1}], newest first, without bars in which nothing was traded.
    """
    params = {"market": venue_id, "count": _MOST_BARS}
    answer = await http.get(f"/v1/candles/minutes/{_MINUTES[interval]}", params=params)
    answer.raise_for_status()
    with reading("upbit candles"):
        return [_bar(each) for each in reversed(_candles(answer.content))]


def _bar(candle: _Candle) -> Bar:
    start = candle.candle_date_time_utc.replace(tzinfo=UTC)
    if start.year not in _YEARS:
        raise ValueError(f"a candle of the year {start.year}")
    numbers = (
        candle.opening_price,
        candle.high_price,
        candle.low_price,
        candle.trade_price,
        candle.candle_acc_trade_volume,
    )
    return venue_bar(microseconds(start) // 1000, [exact(each) or "" for each in numbers], None, "upbit")
