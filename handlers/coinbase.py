"""Coinbase Advanced Trade, public spot market data.

Documentation: https://docs.cdp.coinbase.com/coinbase-app/advanced-trade-apis/websocket/websocket-overview and
.../websocket-channels. Two channels per instrument: `ticker`, sent at each trade and at each change of the
best bid or ask and including the 24 h figures, but no open; and `market_trades`, the trades of 250 ms, newest
first; for books `level2`, with all levels. Another one, `heartbeats`, keeps quiet ones open. The venue's ids
look like `BTC-USD`. Most pairs quoted in USDC are aliases of those in USD, under whose ids their data is
sent; we leave these aliases out.

Evidence: frames and products recorded on 2026-08-09. Errors, limits and candles are as documented, and what
the venue answers for an unknown pair is not known: any error counts as a refusal of the oldest request.

Not given: the price of 24 h ago (only a rounded change); announcements of a shutdown; what an error is about.
"""

from __future__ import annotations

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
    Level,
    Limits,
    Listed,
    Moving,
    Opening,
    Refused,
    Request,
    Resync,
    Rules,
    Topic,
    Trade,
    Update,
    VenueKey,
    VenueList,
    Wanted,
    nanoseconds,
    read_each,
    reading,
)
from crypto_stream.market.bars import venue_bar
from crypto_stream.market.decimals import decimal_text, price_of_trade

if TYPE_CHECKING:
    import httpx

URLS = ["wss://advanced-trade-ws.coinbase.com:443"]
REST_URL = "https://api.coinbase.com"
BUSY = "btcusd"
DEPTH = True
LIMITS = Limits(pace_s=0.25)  # 8 messages a second, of all connections of an address together

_CHANNELS: dict[Topic, str] = {
    "top": "ticker",
    "day": "ticker",
    "trades": "market_trades",
    "depth": "level2",
}
_PER_REQUEST = 100  # products
_HEARTBEATS = '{"type":"subscribe","channel":"heartbeats"}'
# A connection that loses frames is replaced, since quiet instruments would remain wrong for long, but not
# before its first minute is over: the next one would then lose frames, too.
_SETTLED_NS = 60_000_000_000
_ONLINE = "online"
_SPOT = "SPOT"
_HALTS = ("trading_disabled", "is_disabled", "view_only", "cancel_only", "post_only", "auction_mode")
_GRANULARITIES = {"1m": ("ONE_MINUTE", 60), "1h": ("ONE_HOUR", 3600)}
_STEPS = 349  # at most 350 bars per request, the running one included
_MS = 1000
_NS_PER_MS = 1_000_000


class _Push(Struct):
    """A frame; one with a `type` is not of a channel."""

    channel: str = ""
    type: str = ""
    timestamp: str = ""
    sequence_num: VenueKey | None = None
    events: Raw = Raw()
    message: str = ""
    reason: str = ""


class _Ticker(Struct, gc=False):
    product_id: str
    price: str
    volume_24_h: str
    low_24_h: str
    high_24_h: str
    best_bid: str
    best_bid_quantity: str
    best_ask: str
    best_ask_quantity: str


class _Tickers(Struct):
    tickers: list[_Ticker]


class _Trade(Struct, gc=False):
    product_id: str
    trade_id: VenueKey
    price: str
    size: str
    time: str


class _Trades(Struct):
    trades: list[_Trade]


class _Change(Struct, gc=False):
    side: str
    price_level: str
    new_quantity: str


class _Book(Struct):
    type: str
    product_id: str
    updates: list[_Change]


class _Subscribed(Struct):
    subscriptions: dict[str, list[str]]


class _WithoutRules(Struct, gc=False):
    product_id: str
    base_currency_id: str
    quote_currency_id: str
    status: str
    alias: str = ""
    product_type: str = _SPOT
    trading_disabled: bool = False
    is_disabled: bool = False
    view_only: bool = False
    cancel_only: bool = False
    post_only: bool = False
    auction_mode: bool = False


class _Product(_WithoutRules, gc=False):
    price_increment: str = ""
    base_increment: str = ""
    base_min_size: str = ""
    base_max_size: str = ""
    quote_min_size: str = ""
    quote_max_size: str = ""


class _Products(Struct):
    products: Annotated[list[Raw], VenueList]


class _Candle(Struct, gc=False):
    start: BarSeconds
    low: str
    high: str
    open: str
    close: str
    volume: str


class _Candles(Struct):
    candles: Annotated[list[_Candle], VenueList]


_push = msgspec.json.Decoder(_Push).decode
_tickers = msgspec.json.Decoder(list[_Tickers]).decode
# Not strict: ids and times of bars are numbers in quotes. Fields typed as str remain strings in this mode.
_trades = msgspec.json.Decoder(list[_Trades], strict=False).decode
_candles = msgspec.json.Decoder(_Candles, strict=False).decode
_books = msgspec.json.Decoder(list[_Book]).decode
_subscribed = msgspec.json.Decoder(list[_Subscribed]).decode
_products = msgspec.json.Decoder(_Products).decode
_product = msgspec.json.Decoder(_Product).decode
_without_rules = msgspec.json.Decoder(_WithoutRules).decode


def venue_id(pair: Instrument) -> str | None:
    """Return the venue's id of a pair."""
    return f"{pair.base}-{pair.quote}" if pair.base and pair.quote else None


def pair_of(venue_id: str) -> tuple[str, str] | None:
    """Split an id into base and quote; futures have ids of three parts."""
    base, _, quote = venue_id.partition("-")
    return (base, quote) if base and quote and "-" not in quote else None


async def opening(http: httpx.AsyncClient, options: Mapping[str, str]) -> Opening:
    """Subscribe to heartbeats first: without one, the venue closes channels that are idle for a minute."""
    return Opening("/", greeting=[_HEARTBEATS])


class Reader:
    """Parses the frames of one connection and checks their numbers; `instruments` are by the venue's id."""

    def __init__(self, instruments: Mapping[str, Instrument]) -> None:
        self._instruments = instruments
        self._next_number: int | None = None
        self._begun_ns: int | None = None
        self._lost = ""
        self._books: dict[str, Instrument] = {}  # those that frames were read of
        self._readers: dict[str, Callable[[_Push], list[Event]]] = {
            "ticker": self._read_tickers,
            "market_trades": self._read_trades,
            "l2_data": self._read_books,
            "subscriptions": _read_subscriptions,
        }

    def subscribe(self, wanted: Sequence[Wanted]) -> list[Request]:
        """Request one channel per message, for up to 100 products; an acknowledgement lists all of both.

        {"type":"subscribe","product_ids":["BTC-USD","ETH-USD"],"channel":"ticker"}
        """
        return _requests("subscribe", wanted)

    def unsubscribe(self, wanted: Sequence[Wanted]) -> list[Request]:
        """Cancel what `subscribe` requested; the responses are not awaited."""
        return [request._replace(keys=()) for request in _requests("unsubscribe", wanted)]

    def read(self, frame: bytes) -> list[Event]:
        """Parse a frame: data of a channel, or an error, which names nothing.

        {"channel":"ticker","timestamp":"2026-08-09T21:05:48.229198328Z","sequence_num":6,"events":[{...}]}
        {"type":"error","message":"..."}
        """
        push = _push(frame)
        if push.type == "error":
            return [Refused("", ": ".join(filter(None, (push.message, push.reason)))[:200] or "error")]
        lost = self._lost_frames(push)
        read = self._readers.get(push.channel)
        events = read(push) if read else []
        events = events or [Ignored((push.channel or push.type or "unknown")[:40])]
        return [*lost, *events] if self._books else [*events, *lost]

    def _lost_frames(self, push: _Push) -> list[Event]:
        """Return what to do if frames are missing: all frames of a connection are numbered.

        Each book may have missed a change. Without books a new connection is requested.
        """
        if push.sequence_num is None or not push.timestamp:
            return []
        expected, self._next_number = self._next_number, push.sequence_num + 1
        at_ns = nanoseconds(push.timestamp)
        self._begun_ns = self._begun_ns or at_ns
        if expected is not None and expected != push.sequence_num:
            self._lost = f"frames were lost: number {push.sequence_num} followed {expected - 1}"
            if self._books:
                return [Resync(instrument, "depth", self._lost) for instrument in self._books.values()]
        if not self._lost or self._books or at_ns - self._begun_ns < _SETTLED_NS:
            return []
        lost, self._lost = self._lost, ""
        return [Moving(lost)]

    def _read_books(self, push: _Push) -> list[Event]:
        """Parse books: all levels, then changes; a quantity of 0 removes a level.

        [{"type":"update","product_id":"BTC-USD","updates":[{"side":"offer",
          "event_time":"2026-08-09T21:05:48Z","price_level":"65083.71","new_quantity":"0.06"}]}]
        """
        time_ms = nanoseconds(push.timestamp) // _NS_PER_MS
        events: list[Event] = []
        for book in _books(push.events):
            if (instrument := self._instruments.get(book.product_id)) is None:
                events.append(Ignored("not_subscribed"))
                continue
            self._books[book.product_id] = instrument
            sides: dict[str, list[Level]] = {"bid": [], "offer": []}
            for each in book.updates:
                if each.side not in sides:
                    raise ValueError(f"a level of the side {each.side[:20]!r}")
                sides[each.side].append((each.price_level, each.new_quantity))
            whole = book.type == "snapshot"
            events.append(DepthChange(instrument, sides["bid"], sides["offer"], whole=whole, time=time_ms))
        return events

    def _read_tickers(self, push: _Push) -> list[Event]:
        key = nanoseconds(push.timestamp)
        # All of a frame have its time as their key: of several of one product the last one counts.
        newest = {each.product_id: each for event in _tickers(push.events) for each in event.tickers}
        events: list[Event] = []
        for product_id, item in newest.items():
            if instrument := self._instruments.get(product_id):
                events += _read_ticker(instrument, key, item)
            else:
                events.append(Ignored("not_subscribed"))
        return events

    def _read_trades(self, push: _Push) -> list[Event]:
        """Parse trades, which are sent newest first; a snapshot of past ones comes first."""
        trades = [each for event in _trades(push.events) for each in event.trades]
        return [
            _read_trade(instrument, each)
            if (instrument := self._instruments.get(each.product_id))
            else Ignored("not_subscribed")
            for each in sorted(trades, key=lambda each: each.trade_id)
        ]


def _requests(kind: str, wanted: Sequence[Wanted]) -> list[Request]:
    requests = []
    for channel in dict.fromkeys(_CHANNELS.values()):
        of_channel = [each for each in wanted if _CHANNELS[each.topic] == channel]
        ids = list(dict.fromkeys(each.id for each in of_channel))
        for start in range(0, len(ids), _PER_REQUEST):
            part = ids[start : start + _PER_REQUEST]
            included = set(part)
            text = msgspec.json.encode({"type": kind, "product_ids": part, "channel": channel}).decode()
            keys = tuple(f"{channel} {each}" for each in part)
            requests.append(Request(text, keys, tuple(each for each in of_channel if each.id in included)))
    return requests


def _read_ticker(instrument: Instrument, key: int, ticker: _Ticker) -> list[Event]:
    """Parse top of book and 24 h figures; `volume_24_h` is in base.

    {"type":"ticker","product_id":"BTC-USD","price":"65086.18","volume_24_h":"2867.54532609",
     "low_24_h":"64675.22","high_24_h":"65252.99","low_52_w":"57717.55","high_52_w":"126296",
     "price_percent_chg_24_h":"0.09601107287722","best_bid":"65083.66","best_ask":"65083.67",
     "best_bid_quantity":"0.20371215","best_ask_quantity":"0.24290402"}
    The percentage is rounded, so that it does not give the exact open.
    """
    time_ms, text = key // _NS_PER_MS, decimal_text
    top = Update(
        instrument, "ticker", key=key, time=time_ms,
        bid=text(ticker.best_bid), bid_size=text(ticker.best_bid_quantity),
        ask=text(ticker.best_ask), ask_size=text(ticker.best_ask_quantity),
    )  # fmt: skip
    day = Update(
        instrument, "day", key=key, time=time_ms, slow=True, price=text(ticker.price),
        high_24h=text(ticker.high_24_h), low_24h=text(ticker.low_24_h), volume_24h=text(ticker.volume_24_h),
    )  # fmt: skip
    return [top, day]


def _read_trade(instrument: Instrument, trade: _Trade) -> Event:
    """Parse a trade; `side` is the maker's.

    {"product_id":"BTC-USD","trade_id":"1068572090","price":"65083.67","size":"0.002186",
     "time":"2026-08-09T21:05:42.514318Z","side":"SELL"}
    """
    return Trade(
        instrument=instrument,
        channel="market_trades",
        key=trade.trade_id,
        time=nanoseconds(trade.time) // _NS_PER_MS,
        price=price_of_trade(trade.price),
        size=decimal_text(trade.size),
    )


def _read_subscriptions(push: _Push) -> list[Event]:
    """Parse an acknowledgement; it lists all that the connection is subscribed to.

    [{"subscriptions":{"heartbeats":["heartbeats"],"ticker":["ETH-USD","BTC-USD"]}}]
    """
    return [
        Acked(f"{channel} {product_id}")
        for event in _subscribed(push.events)
        for channel, product_ids in event.subscriptions.items()
        for product_id in product_ids
    ]


async def instruments(http: httpx.AsyncClient) -> list[Listed]:
    """Fetch the listed spot products, without aliases; their state is "" if tradable, else the venue's word.

    https://docs.cdp.coinbase.com/api-reference/advanced-trade-api/rest-api/public/list-public-products
    """
    answer = await http.get("/api/v3/brokerage/market/products", params={"product_type": _SPOT})
    answer.raise_for_status()
    with reading("coinbase products"):
        entries = read_each(_products(answer.content).products, _product, _without_rules)
    return [
        Listed(
            id=item.product_id,
            base=item.base_currency_id,
            quote=item.quote_currency_id,
            state=_state(item),
            rules=_rules(item) if isinstance(item, _Product) else Rules(),
        )
        for item in entries
        if item.product_type == _SPOT and not item.alias
    ]


def _state(item: _WithoutRules) -> str:
    """Return "" if the product trades: its status (`delisted`) or a flag says why it does not."""
    if item.status != _ONLINE:
        return item.status
    return next((word for word in _HALTS if getattr(item, word)), "")


def _rules(item: _Product) -> Rules:
    """Parse the rules for orders.

    {"base_increment":"0.00000001","quote_increment":"0.01","quote_min_size":"1","quote_max_size":"150000000",
     "base_min_size":"0.00000001","base_max_size":"3400","price_increment":"0.01"}
    """
    return Rules(
        tick=item.price_increment, lot=item.base_increment,
        min_amount=item.base_min_size, max_amount=item.base_max_size, market_max_amount=item.base_max_size,
        min_notional=item.quote_min_size, max_notional=item.quote_max_size,
        market_min_notional=item.quote_min_size, market_max_notional=item.quote_max_size,
    )  # fmt: skip


async def candles(http: httpx.AsyncClient, venue_id: str, interval: str) -> list[Bar]:
    """Fetch the newest 350 bars of "1m" or "1h", oldest first; the last one is still open.

    https://docs.cdp.coinbase.com/api-reference/advanced-trade-api/rest-api/public/get-public-product-candles
    {"candles":[{"start":"1712192400","low":"66055.14","high":"66331.99","open":"66312.4","close":"66181.6",
      "volume":"355.82896243"}]}, newest first, without intervals in which nothing traded
    """
    granularity, step_s = _GRANULARITIES[interval]
    end_s = int(time.time())
    params = {"start": str(end_s - _STEPS * step_s), "end": str(end_s), "granularity": granularity}
    answer = await http.get(f"/api/v3/brokerage/market/products/{venue_id}/candles", params=params)
    answer.raise_for_status()
    with reading("coinbase candles"):
        return [
            venue_bar(each.start * _MS, numbers, None, "coinbase")
            for each in sorted(_candles(answer.content).candles, key=lambda each: each.start)
            for numbers in [(each.open, each.high, each.low, each.close, each.volume)]
        ]
