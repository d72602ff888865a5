"""HTX (formerly Huobi), public spot market data.

Documentation: https://www.htx.com/en-us/opend/newApiPages/ (spot: bbo, trade.detail and ticker topics; common
symbols, kline). Three topics per instrument: `bbo` (best bid and ask), `trade.detail`, `ticker` (24 h
figures). Each frame is gzip data; prices and sizes are JSON numbers, small ones with an exponent (`4.74E-4`).
The venue's ids look like `btcusdt`. A pair that does not trade is acknowledged, but never sends data. For
books `mbp.refresh.20`, the first 20 levels, whole each time.

Evidence: recorded 2021-04-17: `trade.detail`, acknowledgements and pings, the list of pairs; single frames of
`bbo` and `ticker` of 2021-12, of a ping and a refusal of 2025-11. Others saw frames of this form in 2026-09.
The limits are those measured at the futures hosts, which have the same protocol; bars and books: documents
alone, and a single frame of `mbp.20` of 2021-12, whose levels have the same form.

Not given: the state of the whole venue (only its REST interface has it); announcements of a shutdown.
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
    Level,
    Limits,
    Listed,
    MalformedFrame,
    Opening,
    Places,
    Refused,
    Reply,
    Request,
    Rules,
    Topic,
    Trade,
    Update,
    VenueKey,
    VenueList,
    VenueTime,
    Wanted,
    by_topic,
    exact,
    exact_price,
    gunzip,
    read_each,
    reading,
    step,
)
from crypto_stream.market.bars import venue_bar
from crypto_stream.market.instruments import split_symbol

if TYPE_CHECKING:
    import httpx

URLS = ["wss://api.huobi.pro:443", "wss://api-aws.huobi.pro:443"]
REST_URL = "https://api.huobi.pro"
BUSY = "btcusdt"
DEPTH = True
LIMITS = Limits(
    instruments=49,  # three topics each; connections with 150 topics were seen to work
    connections=10,
    pace_s=0.1,  # 40 subscriptions per second are allowed, but one topic each
)

_BOOKS = "mbp.refresh.20"
_TOPICS: dict[Topic, str] = {"top": "bbo", "trades": "trade.detail", "day": "ticker", "depth": _BOOKS}
_PREFIX = "market"
_UNSUBSCRIPTION = "unsub "  # begins the id of a request to unsubscribe
_ONLINE = "online"
_OK = "ok"
_PERIODS = {"1m": "1min", "1h": "60min"}
_MAX_BARS = "1000"
_MS = 1000


class _Message(Struct, rename="kebab"):
    """Any message of the venue: data of the topic `ch`, a response, or a ping."""

    ch: str = ""
    ts: VenueTime | None = None
    tick: Raw = Raw()
    ping: int | None = None
    id: int | str | None = None
    status: str = ""
    subbed: str = ""
    err_code: str = ""
    err_msg: str = ""


class _Top(Struct, gc=False):
    bid: Raw
    bidSize: Raw  # noqa: N815 - the venue's names, here and below
    ask: Raw
    askSize: Raw  # noqa: N815
    quoteTime: VenueTime  # noqa: N815
    seqId: VenueKey | None = None  # noqa: N815


class _Trade(Struct, gc=False):
    """One trade; its `id` has up to 27 digits and is not used."""

    tradeId: VenueKey  # noqa: N815
    ts: VenueTime
    price: Raw
    amount: Raw


class _Trades(Struct):
    data: list[_Trade]


class _Ticker(Struct, gc=False):
    open: Raw
    high: Raw
    low: Raw
    close: Raw
    amount: Raw
    bid: Raw
    bidSize: Raw  # noqa: N815
    ask: Raw
    askSize: Raw  # noqa: N815


class _Book(Struct, gc=False):
    seqNum: VenueKey  # noqa: N815
    bids: list[tuple[Raw, Raw]]
    asks: list[tuple[Raw, Raw]]


class _WithoutRules(Struct, gc=False, rename="kebab"):
    symbol: str
    base_currency: str
    quote_currency: str
    state: str


class _Item(_WithoutRules, gc=False, rename="kebab"):
    price_precision: Places | None = None
    amount_precision: Places | None = None
    min_order_value: Raw = Raw()
    limit_order_min_order_amt: Raw = Raw()
    limit_order_max_order_amt: Raw = Raw()


class _DayVolume(Struct, gc=False):
    symbol: str
    vol: Raw


class _Candle(Struct, gc=False):
    id: BarSeconds
    open: Raw
    high: Raw
    low: Raw
    close: Raw
    amount: Raw
    count: int


class _Answer(Struct, rename="kebab"):
    status: str
    data: Annotated[list[Raw], VenueList] | None = None
    err_code: str = ""
    err_msg: str = ""


_message = msgspec.json.Decoder(_Message).decode
_top = msgspec.json.Decoder(_Top).decode
_trades = msgspec.json.Decoder(_Trades).decode
_ticker = msgspec.json.Decoder(_Ticker).decode
_book = msgspec.json.Decoder(_Book).decode
_item = msgspec.json.Decoder(_Item).decode
_day_volume = msgspec.json.Decoder(_DayVolume).decode
_without_rules = msgspec.json.Decoder(_WithoutRules).decode
_answer = msgspec.json.Decoder(_Answer).decode
_candle = msgspec.json.Decoder(_Candle).decode


def venue_id(pair: Instrument) -> str | None:
    """Return the venue's id of a pair."""
    return f"{pair.base}{pair.quote}".lower() if pair.base and pair.quote else None


def pair_of(venue_id: str) -> tuple[str, str] | None:
    """Split an id into base and quote; without a separator this is a guess, used if there is no listing."""
    base, quote = split_symbol(venue_id)
    return (base, quote) if base and quote else None


async def opening(http: httpx.AsyncClient, options: Mapping[str, str]) -> Opening:
    """Return the path of the public topics."""
    return Opening("/ws")


class Reader:
    """Parses the frames of one connection, each independently; `instruments` are by the venue's id."""

    def __init__(self, instruments: Mapping[str, Instrument]) -> None:
        self._instruments = instruments

    def subscribe(self, wanted: Sequence[Wanted]) -> list[Request]:
        """Request one topic per message, prices first; the topic is the id, since errors name only that.

        {"sub":"market.btcusdt.bbo","id":"market.btcusdt.bbo"}
        """
        return [
            Request(_encoded({"sub": topic, "id": topic}), (topic,), (each,))
            for each, topic in _topics(wanted)
        ]

    def unsubscribe(self, wanted: Sequence[Wanted]) -> list[Request]:
        """Cancel what `subscribe` requested; the responses are not awaited."""
        return [
            Request(_encoded({"unsub": topic, "id": _UNSUBSCRIPTION + topic}), (), (each,))
            for each, topic in _topics(wanted)
        ]

    def read(self, frame: bytes) -> list[Event]:
        """Parse a frame: data of a topic, a response, or a ping, which must be answered.

        {"ch":"market.btcusdt.bbo","ts":1639669832793,"tick":{...}} · {"ping":1764300452378}
        """
        # A recording may contain text that was decompressed already.
        message = _message(frame if frame.startswith(b"{") else gunzip(frame))
        if message.ping is not None:
            return [Reply(f'{{"pong":{message.ping}}}')]
        if not message.ch:
            return [self._read_response(message)]
        kind = message.ch.partition(".")[2].partition(".")[2]
        read = _READERS.get(kind)
        if read is None:
            return [Ignored((kind or message.ch)[:40])]
        instrument = self._instrument(message.ch)
        if instrument is None:
            return [Ignored("not_subscribed")]
        return read(instrument, message) or [Ignored(kind)]

    def _read_response(self, message: _Message) -> Event:
        """Parse the response to a request, of which errors name only the id.

        {"id":"market.btcusdt.bbo","status":"ok","subbed":"market.btcusdt.bbo","ts":1764298751689}
        {"status":"error","ts":1764300263709,"id":"market.foousdt.bbo","err-code":"bad-request",
         "err-msg":"invalid symbol foousdt"}
        """
        key = "" if message.id is None else str(message.id)
        if message.subbed:
            return Acked(message.subbed)
        if message.status == "error" and not key.startswith(_UNSUBSCRIPTION):
            reason = f"{message.err_code[:40]}: {message.err_msg[:200]}"
            return Refused(key, reason, self._instrument(key))
        return Ignored("response")

    def _instrument(self, topic: str) -> Instrument | None:
        """Return the instrument of a topic, `market.btcusdt.bbo`."""
        prefix, _, rest = topic.partition(".")
        return self._instruments.get(rest.partition(".")[0]) if prefix == _PREFIX else None


def _topics(wanted: Sequence[Wanted]) -> list[tuple[Wanted, str]]:
    return [(each, f"{_PREFIX}.{each.id}.{name}") for each, name in by_topic(wanted, _TOPICS)]


def _encoded(request: dict[str, str]) -> str:
    return msgspec.json.encode(request).decode()


def _read_top(instrument: Instrument, message: _Message) -> list[Event]:
    """Parse the best bid and ask.

    {"seqId":144446084385,"ask":48660.95,"askSize":0.001298,"bid":48660.94,"bidSize":0.228303,
     "quoteTime":1639669832791,"symbol":"btcusdt"}
    """
    top = _top(message.tick)
    key = top.quoteTime if top.seqId is None else top.seqId
    update = Update(
        instrument, "bbo", key=key, time=top.quoteTime, bid=exact(top.bid), bid_size=exact(top.bidSize),
        ask=exact(top.ask), ask_size=exact(top.askSize),
    )  # fmt: skip
    return [update]


def _read_trades(instrument: Instrument, message: _Message) -> list[Event]:
    """Parse trades, which are newest first; the first frame contains those before the subscription.

    {"id":144446879688,"ts":1639670532434,"data":[{"id":144446879688433873170760015,"ts":1639670532434,
     "tradeId":102579820014,"amount":4.74E-4,"price":48542.5,"direction":"sell"}]}
    """
    return [
        Trade(
            instrument=instrument,
            channel="trade.detail",
            key=each.tradeId,
            time=each.ts,
            price=exact_price(each.price),
            size=exact(each.amount),
        )
        for each in reversed(_trades(message.tick).data)
    ]


def _read_ticker(instrument: Instrument, message: _Message) -> list[Event]:
    """Parse the 24 h figures; `amount` is in base, `vol` (not used) in quote.

    {"open":46749.25,"high":49500.0,"low":46533.38,"close":48535.19,"amount":10435.58445581327,
     "vol":5.0629586810098803E8,"count":799781,"bid":48535.18,"bidSize":0.008885,"ask":48535.19,
     "askSize":0.28117180436462696,"lastPrice":48535.19,"lastSize":1.08E-4}
    """
    if message.ts is None:
        raise ValueError("24 h figures without a time")
    day, text = _ticker(message.tick), exact
    update = Update(
        instrument, "ticker", key=message.ts, time=message.ts, slow=True, price=text(day.close),
        bid=text(day.bid), bid_size=text(day.bidSize), ask=text(day.ask), ask_size=text(day.askSize),
        open_24h=text(day.open), high_24h=text(day.high), low_24h=text(day.low), volume_24h=text(day.amount),
    )  # fmt: skip
    return [update]


def _read_book(instrument: Instrument, message: _Message) -> list[Event]:
    """Parse the first levels of a book.

    {"seqNum":144516551156,"bids":[[47231.83,0.957689],...],"asks":[[47231.84,0.1],...]}
    """
    book = _book(message.tick)
    bids, asks = ([_level(each) for each in side] for side in (book.bids, book.asks))
    return [DepthChange(instrument, bids, asks, whole=True, number=book.seqNum, time=message.ts)]


def _level(level: tuple[Raw, Raw]) -> Level:
    price, size = map(exact, level)
    if price is None or size is None:
        raise ValueError("a level without price or size")
    return price, size


_READERS: dict[str, Callable[[Instrument, _Message], list[Event]]] = {
    "bbo": _read_top,
    "trade.detail": _read_trades,
    "ticker": _read_ticker,
    _BOOKS: _read_book,
}


async def instruments(http: httpx.AsyncClient) -> list[Listed]:
    """Fetch the listed spot pairs; their state is "" if tradable, else the venue's (`suspend`, `offline`).

    https://www.htx.com/en-us/opend/newApiPages/ (common symbols)
    """
    rows = await _fetch(http, "/v1/common/symbols", {})
    with reading("htx symbols"):
        entries = read_each(rows, _item, _without_rules)
    return [
        Listed(
            id=item.symbol,
            base=item.base_currency.upper(),
            quote=item.quote_currency.upper(),
            state="" if item.state == _ONLINE else item.state,
            rules=_rules(item) if isinstance(item, _Item) else Rules(),
        )
        for item in entries
    ]


def _rules(item: _Item) -> Rules:
    """Parse the rules for orders; steps are given as a number of decimals.

    {"base-currency":"btc","quote-currency":"usdt","symbol":"btcusdt","state":"online","price-precision":2,
     "amount-precision":6,"min-order-value":5,"limit-order-min-order-amt":0.0001,
     "limit-order-max-order-amt":1000,"sell-market-max-order-amt":200,"buy-market-max-order-value":1000000}
    The limits of market orders are not used: those of sales and purchases differ.
    """
    return Rules(
        tick=step(item.price_precision),
        lot=step(item.amount_precision),
        min_amount=_text(item.limit_order_min_order_amt),
        min_notional=_text(item.min_order_value),
        max_amount=_text(item.limit_order_max_order_amt),
    )


def _text(number: Raw) -> str:
    """Return a number of a rule as it was written; whoever uses it checks that it is one."""
    text = bytes(number).decode()
    return "" if text == "null" else text


async def volumes(http: httpx.AsyncClient) -> dict[str, str]:
    """Fetch the 24 h volume of each pair in its quote currency, `vol`.

    https://www.htx.com/en-us/opend/newApiPages/ (tickers of all pairs)
    """
    rows = await _fetch(http, "/market/tickers", {})
    with reading("htx tickers"):
        return {day.symbol: _text(day.vol) for day in read_each(rows, _day_volume)}


async def candles(http: httpx.AsyncClient, venue_id: str, interval: str) -> list[Bar]:
    """Fetch the newest 1,000 bars of "1m" or "1h", oldest first; the last one is still open.

    https://www.htx.com/en-us/opend/newApiPages/ (kline)
    [{"id":1629769200,"open":49056.37,"close":49025.51,"low":49022.86,"high":49056.38,
      "amount":3.946281917950917,"vol":193489.67275732,"count":196}], newest first; the id is the time in s.
    """
    params = {"symbol": venue_id, "period": _PERIODS[interval], "size": _MAX_BARS}
    rows = await _fetch(http, "/market/history/kline", params)
    with reading("htx kline"):
        return [
            venue_bar(each.id * _MS, [exact(number) or "" for number in numbers], each.count, "htx")
            for each in map(_candle, reversed(rows))
            for numbers in [(each.open, each.high, each.low, each.close, each.amount)]
        ]


async def _fetch(http: httpx.AsyncClient, path: str, params: Mapping[str, str]) -> list[Raw]:
    """Fetch a list; errors have HTTP status 200 and a code."""
    what = f"htx {path.rpartition('/')[2]}"
    answer = await http.get(path, params=params)
    answer.raise_for_status()
    with reading(what):
        found = _answer(answer.content)
    if found.status != _OK or found.data is None:
        raise MalformedFrame(f"{what}: {found.err_code[:40]}: {found.err_msg[:200]}")
    return found.data
