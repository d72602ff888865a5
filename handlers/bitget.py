"""Bitget v2, public spot market data.

Documentation: https://www.bitget.com/docs/classic/ (WebSocket: ticker, trade and depth channels; REST:
symbols, candles). Three channels per instrument: `books1` (best bid and ask), `trade`, `ticker` (24 h
figures). For books `books`, at first 200 to 500 levels of a side or all that there are, then changes, each of
which names the one before; what becomes of levels beyond is not documented. `books15` is whole each time, but
has too few. The venue's ids look like `BTCUSDT`; some are not ASCII. The newer sockets at `/v3` speak another
protocol.

Evidence: recorded 2026-08-13 and 2026-09-25: single frames of `ticker`, `trade`, `books`, `books5` (of the
form of `books1`), an acknowledgement and a refusal; the list of pairs and bars, 2026-09-25. `books1`, the
first frame of `books` and its levels, the limits, and states other than `online` are known from documents and
from measurements published by others, which found no gap in 180,000 changes of perpetual contracts.

Not given: announcements of a shutdown or of maintenance; maximum values of orders in the quote currency.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Annotated

import msgspec
from msgspec import Raw, Struct

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
    best,
    read_each,
    reading,
    step,
)
from crypto_stream.market.bars import venue_bar
from crypto_stream.market.decimals import decimal_text, price_of_trade
from crypto_stream.market.instruments import split_symbol

if TYPE_CHECKING:
    import httpx

URLS = ["wss://ws.bitget.com:443"]
REST_URL = "https://api.bitget.com"
BUSY = "btcusdt"
DEPTH = True
LIMITS = Limits(
    instruments=100,  # three channels each; 1,000 are allowed, but the venue advises to have few
    connections=5,
    pace_s=0.25,  # 10 messages per second are allowed, pings included
    requests=Budget(240, 3600.0),
    max_age_s=23 * 3600.0,  # the venue disconnects after 24 hours
    attempts=Budget(300, 300.0),
    # Without a ping in two minutes the venue disconnects, even while it sends data.
    keepalive=Keepalive("ping", 20.0, always=True),
)

_CHANNELS: dict[Topic, str] = {"top": "books1", "trades": "trade", "day": "ticker", "depth": "books"}
_LEVELS = 200  # of a side: as many, or more, may not be the whole book
_SPOT = "SPOT"
_PER_REQUEST = 50  # channels: their arguments may have 4,096 bytes
_ONLINE = "online"
_GRANULARITIES = {"1m": "1min", "1h": "1h"}  # the WebSocket's names of intervals differ
_MAX_BARS = "1000"
_SUCCESS = "00000"
# Too many requests, and too many for this connection.
_TRANSIENT = frozenset({"30006", "30007"})
# Minimum values of orders are in USDT, whatever the quote currency is.
_USD = frozenset({"USD", "USDT", "USDC"})

_Level = tuple[str, str]  # price, size


class _Arg(Struct, gc=False):
    channel: str
    instType: str = ""  # noqa: N815 - the venue's names, here and below
    instId: str = ""  # noqa: N815


class _Push(Struct, gc=False):
    arg: _Arg
    data: Raw
    action: str = ""


class _Ticker(Struct, gc=False):
    lastPr: str  # noqa: N815
    open24h: str
    high24h: str
    low24h: str
    bidPr: str  # noqa: N815
    bidSz: str  # noqa: N815
    askPr: str  # noqa: N815
    askSz: str  # noqa: N815
    baseVolume: str  # noqa: N815
    ts: VenueTime


class _Top(Struct):
    asks: list[_Level]
    bids: list[_Level]
    ts: VenueTime
    seq: VenueKey | None = None


class _Book(Struct):
    asks: list[_Level]
    bids: list[_Level]
    ts: VenueTime
    seq: VenueKey
    pseq: VenueKey


class _Trade(Struct, gc=False):
    tradeId: VenueKey  # noqa: N815
    price: str
    size: str
    ts: VenueTime


class _Response(Struct):
    """The response to a request."""

    event: str
    arg: _Arg | None = None
    code: int | str = ""
    msg: str = ""
    op: str = ""


class _WithoutRules(Struct, gc=False):
    symbol: str
    baseCoin: str  # noqa: N815
    quoteCoin: str  # noqa: N815
    status: str


class _Item(_WithoutRules, gc=False):
    pricePrecision: Places | None = None  # noqa: N815
    quantityPrecision: Places | None = None  # noqa: N815
    minTradeAmount: str = ""  # noqa: N815
    maxTradeAmount: str = ""  # noqa: N815
    minTradeUSDT: str = ""  # noqa: N815


class _DayVolume(Struct, gc=False):
    symbol: str
    quoteVolume: str  # noqa: N815


class _Answer(Struct):
    code: str
    msg: str = ""
    data: Annotated[list[Raw], VenueList] | None = None


# start, open, high, low, close, volume in base, in quote, in USDT
_Candle = tuple[BarTime, str, str, str, str, str, str, str]

# Not strict: many integers are numbers in quotes. Fields typed as str remain strings in this mode.
_push = msgspec.json.Decoder(_Push).decode
_response = msgspec.json.Decoder(_Response).decode
_tickers = msgspec.json.Decoder(list[_Ticker], strict=False).decode
_tops = msgspec.json.Decoder(list[_Top], strict=False).decode
_books = msgspec.json.Decoder(list[_Book], strict=False).decode
_trades = msgspec.json.Decoder(list[_Trade], strict=False).decode
_item = msgspec.json.Decoder(_Item, strict=False).decode
_day_volume = msgspec.json.Decoder(_DayVolume).decode
_without_rules = msgspec.json.Decoder(_WithoutRules).decode
_answer = msgspec.json.Decoder(_Answer).decode
_candle = msgspec.json.Decoder(_Candle, strict=False).decode


def venue_id(pair: Instrument) -> str | None:
    """Return the venue's id of a pair."""
    return f"{pair.base}{pair.quote}" if pair.base and pair.quote else None


def pair_of(venue_id: str) -> tuple[str, str] | None:
    """Split an id into base and quote; without a separator this is a guess, used if there is no listing."""
    base, quote = split_symbol(venue_id)
    return (base, quote) if base and quote else None


async def opening(http: httpx.AsyncClient, options: Mapping[str, str]) -> Opening:
    """Return the path of the public channels."""
    return Opening("/v2/ws/public")


class Reader:
    """Parses the frames of one connection, each independently; `instruments` are by the venue's id."""

    def __init__(self, instruments: Mapping[str, Instrument]) -> None:
        self._instruments = instruments

    def subscribe(self, wanted: Sequence[Wanted]) -> list[Request]:
        """Request channels, up to 50 per message; each channel is acknowledged or refused.

        {"op":"subscribe","args":[{"instType":"SPOT","channel":"ticker","instId":"BTCUSDT"}, ...]}
        """
        return _requests("subscribe", wanted)

    def unsubscribe(self, wanted: Sequence[Wanted]) -> list[Request]:
        """Cancel what `subscribe` requested; the responses are not awaited."""
        return [request._replace(keys=()) for request in _requests("unsubscribe", wanted)]

    def read(self, frame: bytes) -> list[Event]:
        """Parse a frame: data of a channel, a response, or the text `pong`.

        {"action":"snapshot","arg":{"instType":"SPOT","channel":"ticker","instId":"BTCUSDT"},"data":[{...}],
         "ts":1790358774066}
        """
        if frame == b"pong":
            return [Pong()]
        try:
            push = _push(frame)
        except msgspec.ValidationError:
            return [self._read_response(_response(frame))]
        arg = push.arg
        read = _READERS.get(arg.channel)
        if read is None:
            return [Ignored(arg.channel[:40] or "unknown")]
        # Futures have the ids of spot pairs.
        instrument = self._instruments.get(arg.instId) if arg.instType == _SPOT else None
        if instrument is None:
            return [Ignored("not_subscribed")]
        return read(instrument, push) or [Ignored(arg.channel)]

    def _read_response(self, response: _Response) -> Event:
        """Parse an acknowledgement or a refusal; `code` is a number, but used to be a string.

        {"event":"subscribe","arg":{"instType":"SPOT","channel":"ticker","instId":"BTCUSDT"}}
        {"event":"error","arg":{"instType":"SPOT","channel":"candle1h","instId":"BTCUSDT"},"code":30016,
         "msg":"Param error","op":"subscribe"}
        """
        arg = response.arg
        key = f"{arg.channel}:{arg.instId}" if arg else ""
        if response.event == "subscribe":
            return Acked(key)
        if response.event == "error" and response.op != "unsubscribe":
            code = str(response.code)
            return Refused(
                key,
                f"code {code[:20]}: {response.msg[:200]}",
                self._instruments.get(arg.instId) if arg else None,
                temporary=code in _TRANSIENT,
            )
        return Ignored(f"event:{response.event}"[:40])


def _requests(operation: str, wanted: Sequence[Wanted]) -> list[Request]:
    requests = []
    for start in range(0, len(wanted), _PER_REQUEST):
        part = tuple(wanted[start : start + _PER_REQUEST])
        args = [{"instType": _SPOT, "channel": _CHANNELS[each.topic], "instId": each.id} for each in part]
        keys = tuple(f"{arg['channel']}:{arg['instId']}" for arg in args)
        text = msgspec.json.encode({"op": operation, "args": args}).decode()
        requests.append(Request(text, keys, part))
    return requests


def _read_tickers(instrument: Instrument, push: _Push) -> list[Event]:
    """Parse the 24 h figures; `baseVolume` is in base, `change24h` (not used) a fraction.

    [{"instId":"BTCUSDT","lastPr":"83715.7","open24h":"83812.27","high24h":"85250","low24h":"83172.57",
      "change24h":"-0.00491","bidPr":"83715.69","askPr":"83715.7","bidSz":"0.074435","askSz":"2.145777",
      "baseVolume":"2673.629245","quoteVolume":"225237773.321358","openUtc":"84409.37",
      "changeUtc24h":"-0.00819","ts":"1790358774065"}]
    """
    return [_day(instrument, each) for each in _tickers(push.data)]


def _day(instrument: Instrument, day: _Ticker) -> Event:
    text = decimal_text
    return Update(
        instrument, "ticker", key=day.ts, time=day.ts, slow=True, price=text(day.lastPr),
        bid=text(day.bidPr), bid_size=text(day.bidSz), ask=text(day.askPr), ask_size=text(day.askSz),
        open_24h=text(day.open24h), high_24h=text(day.high24h), low_24h=text(day.low24h),
        volume_24h=text(day.baseVolume),
    )  # fmt: skip


def _read_tops(instrument: Instrument, push: _Push) -> list[Event]:
    """Parse the best bid and ask; each frame is complete.

    [{"asks":[["83715.7","2.145777"]],"bids":[["83715.69","0.074435"]],"ts":"1790358773905",
      "seq":850167842345,"pseq":0}]
    """
    events: list[Event] = []
    for top in _tops(push.data):
        bid, bid_size = best(top.bids)
        ask, ask_size = best(top.asks)
        events.append(
            Update(
                instrument=instrument,
                channel="books1",
                key=top.ts if top.seq is None else top.seq,
                time=top.ts,
                bid=bid,
                bid_size=bid_size,
                ask=ask,
                ask_size=ask_size,
            )
        )
    return events


def _read_books(instrument: Instrument, push: _Push) -> list[Event]:
    """Parse a book: a `snapshot`, then changes, whose `pseq` is the `seq` before; "0" removes a level.

    {"action":"update","arg":{"instType":"SPOT","channel":"books","instId":"BTCUSDT"},"data":[{
     "asks":[["83744.78","0"],["83747.24","0.238934"]],"bids":[],"ts":"1790358811400","seq":850169288983,
     "pseq":850169286126}],"ts":1790358811401}
    """
    whole = push.action == "snapshot"
    return [
        DepthChange(
            instrument=instrument,
            bids=book.bids,
            asks=book.asks,
            whole=whole,
            time=book.ts,
            number=book.seq,
            after=None if whole else book.pseq,
            limit=_LEVELS,
        )
        for book in _books(push.data)
    ]


def _read_trades(instrument: Instrument, push: _Push) -> list[Event]:
    """Parse trades, which are newest first; the first frame contains those before the subscription.

    [{"ts":"1790358780904","price":"83715.7","size":"0.000012","side":"buy","tradeId":"1487438024184414208"}]
    """
    return [
        Trade(
            instrument=instrument,
            channel="trade",
            key=each.tradeId,
            time=each.ts,
            price=price_of_trade(each.price),
            size=decimal_text(each.size),
        )
        for each in reversed(_trades(push.data))
    ]


_READERS: dict[str, Callable[[Instrument, _Push], list[Event]]] = {
    "books1": _read_tops,
    "books": _read_books,
    "trade": _read_trades,
    "ticker": _read_tickers,
}


async def instruments(http: httpx.AsyncClient) -> list[Listed]:
    """Fetch the listed spot pairs; their state is "" if tradable, else the venue's (`offline`, `halt`).

    https://www.bitget.com/docs/classic/ (Get Symbol Info)
    """
    rows = await _fetch(http, "public/symbols", {})
    with reading("bitget symbols"):
        entries = read_each(rows, _item, _without_rules)
    return [
        Listed(
            id=item.symbol,
            base=item.baseCoin,
            quote=item.quoteCoin,
            state="" if item.status == _ONLINE else item.status,
            rules=_rules(item) if isinstance(item, _Item) else Rules(),
        )
        for item in entries
    ]


def _rules(item: _Item) -> Rules:
    """Parse the rules for orders; steps are given as a number of decimals.

    {"symbol":"ETHUSDT","baseCoin":"ETH","quoteCoin":"USDT","status":"online","minTradeAmount":"0.0005",
     "maxTradeAmount":"900000000000000000000","pricePrecision":"2","quantityPrecision":"4","minTradeUSDT":"1"}
    """
    return Rules(
        tick=step(item.pricePrecision),
        lot=step(item.quantityPrecision),
        min_amount=item.minTradeAmount,
        min_notional=item.minTradeUSDT if item.quoteCoin in _USD else "",
        max_amount=item.maxTradeAmount,
    )


async def volumes(http: httpx.AsyncClient) -> dict[str, str]:
    """Fetch the 24 h volume of each pair in its quote currency.

    https://www.bitget.com/docs/classic/ (Get Ticker Information)
    """
    rows = await _fetch(http, "market/tickers", {})
    with reading("bitget tickers"):
        return {day.symbol: day.quoteVolume for day in read_each(rows, _day_volume)}


async def candles(http: httpx.AsyncClient, venue_id: str, interval: str) -> list[Bar]:
    """Fetch the newest 1,000 bars of "1m" or "1h", oldest first; the last one is still open.

    https://www.bitget.com/docs/classic/ (Get Candlestick Data)
    [["1790358660000","83765.17","83765.17","83738.85","83738.85","0.701343","58742.42150798",
      "58742.42150798"]], oldest first, without a number of trades.
    """
    params = {"symbol": venue_id, "granularity": _GRANULARITIES[interval], "limit": _MAX_BARS}
    rows = await _fetch(http, "market/candles", params)
    with reading("bitget candles"):
        return [venue_bar(row[0], row[1:6], None, "bitget") for row in map(_candle, rows)]


async def _fetch(http: httpx.AsyncClient, path: str, params: Mapping[str, str]) -> list[Raw]:
    """Fetch a list; errors have a code, sometimes with HTTP status 200."""
    what = f"bitget {path.partition('/')[2]}"
    answer = await http.get(f"/api/v2/spot/{path}", params=params)
    answer.raise_for_status()
    with reading(what):
        listed = _answer(answer.content)
    if listed.code != _SUCCESS or listed.data is None:
        raise MalformedFrame(f"{what}: code {listed.code[:20]}: {listed.msg[:200]}")
    return listed.data
