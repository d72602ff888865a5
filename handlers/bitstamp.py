"""Bitstamp v2, public spot market data.

Documentation: https://www.bitstamp.net/websocket/v2/ and https://www.bitstamp.net/api/.
Two channels per instrument: `order_book`, the best hundred levels of each side at each change, of which we
use the first (for books all), and `live_trades`. The venue's ids look like `btcusd`; an unknown pair is
acknowledged, but never sends data. Perpetual markets (`btcusd-perp`) use the same socket; we ignore them.

Evidence: recorded 2021-04-17 and 2022-01-05 (`live_trades`, acknowledgements); single frames of `order_book`
and errors 2026-09-15, of perpetual markets; `bts:request_reconnect` and limits from the documents.

Not given: 24 h figures (only its REST interface has them); errors do not name their channel.
"""

from __future__ import annotations

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
    Moving,
    Places,
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
    by_topic,
    read_each,
    reading,
    step,
)
from crypto_stream.market.bars import venue_bar
from crypto_stream.market.decimals import decimal_text, price_of_trade
from crypto_stream.market.instruments import split_symbol

if TYPE_CHECKING:
    import httpx

URLS = ["wss://ws.bitstamp.net:443"]
REST_URL = "https://www.bitstamp.net"
BUSY = "btcusd"
DEPTH = True
LIMITS = Limits(
    instruments=500,  # at most 1,024 channels, two per instrument
    pace_s=0.1,  # the limit is not published
    request_bytes=511,  # the venue disconnects after a longer message: "read limited at 513 bytes"
    max_age_s=89 * 86_400.0,  # the venue disconnects after 90 days
)

_CHANNELS: dict[Topic, str] = {"top": "order_book", "trades": "live_trades", "depth": "order_book"}
_ENABLED = "Enabled"
_SPOT = "SPOT"
_STEPS = {"1m": "60", "1h": "3600"}
_MAX_BARS = "1000"
_MS = 1000

_Level = tuple[str, str]  # price, amount


class _Push(Struct):
    event: str
    channel: str = ""
    data: Raw = Raw()


class _Book(Struct, gc=False):
    microtimestamp: VenueKey
    bids: list[_Level]
    asks: list[_Level]


class _Trade(Struct, gc=False):
    id: VenueKey
    amount_str: str
    price_str: str
    microtimestamp: VenueKey


class _Error(Struct):
    message: str = ""


class _WithoutRules(Struct, gc=False):
    name: str
    market_symbol: str
    trading: str = _ENABLED
    market_type: str = _SPOT


class _Market(_WithoutRules, gc=False):
    base_decimals: Places | None = None
    counter_decimals: Places | None = None
    minimum_order_value: str = ""


class _Candle(Struct, gc=False):
    timestamp: BarSeconds
    open: str
    high: str
    low: str
    close: str
    volume: str


class _Candles(Struct):
    ohlc: Annotated[list[_Candle], VenueList]


class _Answer(Struct):
    """The data, or the reason why there is none."""

    data: _Candles | None = None
    reason: object = ""


# Not strict: some integers are strings, "1789457617906487".
_push = msgspec.json.Decoder(_Push).decode
_book = msgspec.json.Decoder(_Book, strict=False).decode
_trade = msgspec.json.Decoder(_Trade, strict=False).decode
_error = msgspec.json.Decoder(_Error).decode
_rows = msgspec.json.Decoder(Annotated[list[Raw], VenueList]).decode
_market = msgspec.json.Decoder(_Market).decode
_without_rules = msgspec.json.Decoder(_WithoutRules).decode
_answer = msgspec.json.Decoder(_Answer, strict=False).decode


def venue_id(pair: Instrument) -> str | None:
    """Return the venue's id of a pair."""
    return f"{pair.base}{pair.quote}".lower() if pair.base and pair.quote else None


def pair_of(venue_id: str) -> tuple[str, str] | None:
    """Split an id into base and quote; without a separator this is a guess, used if there is no listing."""
    base, quote = split_symbol(venue_id)
    return (base, quote) if base and quote else None


class Reader:
    """Parses the frames of one connection, each independently; `instruments` are by the venue's id."""

    def __init__(self, instruments: Mapping[str, Instrument]) -> None:
        self._instruments = instruments
        self._is_for_books = False

    def subscribe(self, wanted: Sequence[Wanted]) -> list[Request]:
        """Request one channel per message, prices before trades; acknowledgements name the channel.

        {"event":"bts:subscribe","data":{"channel":"order_book_btcusd"}}
        """
        self._is_for_books = any(each.topic == "depth" for each in wanted)
        return [
            Request(_message("bts:subscribe", channel), (channel,), (each,))
            for each, channel in _channels(wanted)
        ]

    def unsubscribe(self, wanted: Sequence[Wanted]) -> list[Request]:
        """Cancel what `subscribe` requested; the responses are not awaited."""
        return [
            Request(_message("bts:unsubscribe", channel), (), (each,)) for each, channel in _channels(wanted)
        ]

    def read(self, frame: bytes) -> list[Event]:
        """Parse a frame: data of a channel, or a response or notice.

        {"data":{...},"channel":"order_book_btcusd","event":"data"}
        """
        push = _push(frame)
        kind, _, named = push.channel.rpartition("_")
        if push.event.startswith("bts:"):
            return [self._read_response(push, named)]
        read = _READERS.get((push.event, kind))
        if read is None:
            return [Ignored((kind or push.event or "unknown")[:40])]
        instrument = self._instruments.get(named)
        if instrument is None:
            return [Ignored("not_subscribed")]
        if self._is_for_books and read is _read_top:
            read = _read_book
        return [read(instrument, push.data)]

    def _read_response(self, push: _Push, named: str) -> Event:
        """Parse a response, or the request to reconnect; errors do not name the channel.

        {"event":"bts:subscription_succeeded","channel":"order_book_btcusd","data":{}}
        {"event":"bts:error","channel":"","data":{"code":null,"message":"Invalid channel provided."}}
        {"event":"bts:request_reconnect","channel":"","data":null}
        """
        if push.event == "bts:subscription_succeeded":
            return Acked(push.channel)
        if push.event == "bts:error":
            reason = _error(push.data).message[:200] or push.event
            return Refused(push.channel, reason, self._instruments.get(named))
        if push.event == "bts:request_reconnect":
            return Moving("Bitstamp asks for a new connection")
        return Ignored(push.event[:40])


def _channels(wanted: Sequence[Wanted]) -> list[tuple[Wanted, str]]:
    """Return what is available, with the channel; there is none for 24 h figures."""
    return [(each, f"{channel}_{each.id}") for each, channel in by_topic(wanted, _CHANNELS)]


def _message(event: str, channel: str) -> str:
    return msgspec.json.encode({"event": event, "data": {"channel": channel}}).decode()


def _read_book(instrument: Instrument, data: Raw) -> Event:
    """Parse all levels of a book."""
    book = _book(data)
    key = book.microtimestamp
    return DepthChange(instrument, book.bids, book.asks, whole=True, number=key, time=key // _MS)


def _read_top(instrument: Instrument, data: Raw) -> Event:
    """Parse the top of the book; according to the venue it may be crossed for a moment.

    {"timestamp":"1789457617","microtimestamp":"1789457617906487","bids":[["77188","0.41122"],...],
     "asks":[["77189","0.41124"],...]}
    """
    book = _book(data)
    key = book.microtimestamp
    bid, bid_size = best(book.bids)
    ask, ask_size = best(book.asks)
    return Update(
        instrument=instrument,
        channel="order_book",
        key=key,
        time=key // _MS,
        bid=bid,
        bid_size=bid_size,
        ask=ask,
        ask_size=ask_size,
    )


def _read_trade(instrument: Instrument, data: Raw) -> Event:
    """Parse a trade. `price` and `amount` have lost trailing zeros; `timestamp` is not always in seconds.

    {"id":216000477,"timestamp":"1641343699","amount":0.0792,"amount_str":"0.07920000","price":3805.44,
     "price_str":"3805.44","type":0,"microtimestamp":"1641343699596000","buy_order_id":1443875737346049,
     "sell_order_id":1443875731320832}
    """
    trade = _trade(data)
    return Trade(
        instrument=instrument,
        channel="live_trades",
        key=trade.id,
        time=trade.microtimestamp // _MS,
        price=price_of_trade(trade.price_str),
        size=decimal_text(trade.amount_str),
    )


# By event and channel without the instrument.
_READERS: dict[tuple[str, str], Callable[[Instrument, Raw], Event]] = {
    ("data", "order_book"): _read_top,
    ("trade", "live_trades"): _read_trade,
}


async def instruments(http: httpx.AsyncClient) -> list[Listed]:
    """Fetch the listed spot markets; their state is "" if tradable, else the venue's (`Disabled`).

    https://www.bitstamp.net/api/#tag/Market-info (markets)
    """
    answer = await http.get("/api/v2/markets/")
    answer.raise_for_status()
    with reading("bitstamp markets"):
        entries = read_each(_rows(answer.content), _market, _without_rules)
    return [
        Listed(
            id=item.market_symbol,
            base=base,
            quote=quote,
            state="" if item.trading == _ENABLED else item.trading,
            rules=_rules(item) if isinstance(item, _Market) else Rules(),
        )
        for item in entries
        if item.market_type == _SPOT
        for base, _, quote in [item.name.partition("/")]
        if base and quote
    ]


def _rules(item: _Market) -> Rules:
    """Parse the rules for orders; steps are given as a number of decimals.

    {"name":"BTC/USD","market_symbol":"btcusd","base_decimals":8,"counter_decimals":2,
     "minimum_order_value":"10","trading":"Enabled","market_type":"SPOT"}
    """
    return Rules(
        tick=step(item.counter_decimals),
        lot=step(item.base_decimals),
        min_notional=item.minimum_order_value,
    )


async def candles(http: httpx.AsyncClient, venue_id: str, interval: str) -> list[Bar]:
    """Fetch the newest 1,000 bars of "1m" or "1h", oldest first; the last one is still open.

    https://www.bitstamp.net/api/#tag/Market-info (ohlc)
    {"data":{"ohlc":[{"close":"7170.66","high":"7170.66","low":"7164.21","open":"7164.21",
      "timestamp":"1577836200","volume":"0.08549090"}],"pair":"BTC/USD"}}
    """
    params = {"step": _STEPS[interval], "limit": _MAX_BARS}
    answer = await http.get(f"/api/v2/ohlc/{venue_id}/", params=params)
    answer.raise_for_status()
    with reading("bitstamp ohlc"):
        found = _answer(answer.content)
        if found.data is None:
            raise ValueError(f"{found.reason}"[:200] or "no bars in the answer")
        return [
            venue_bar(each.timestamp * _MS, numbers, None, "bitstamp")
            for each in found.data.ohlc
            for numbers in [(each.open, each.high, each.low, each.close, each.volume)]
        ]
