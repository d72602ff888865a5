"""Hyperliquid, spot market data of the exchange on its own chain.

Documentation: https://hyperliquid.gitbook.io/hyperliquid-docs/for-developers/api/websocket/subscriptions and
.../api/info-endpoint/spot.

Three subscriptions per instrument: `bbo` (best bid and ask, at most once per block), `trades`,
`activeAssetCtx` (24 h figures: the price a day ago and the volume, without high and low, and no last price).

The venue's ids are `@107` or `PURR/USDC`: only its list tells which pair that is. A subscription to an id
that the venue does not know ends the connection, so nothing is requested before the list is there.
Bitcoin is traded as UBTC, a token of a bridge, and listed as that: the setting `names` (`BTC=UBTC`) makes it
BTC. Prices have at most five significant digits, which `Rules` cannot express: it has only the number of
decimals.

Books are not taken: `l2Book` sends its 20 levels every 5 s only, so that most of the time they would
contradict the venue's own best bid and ask, and its `fast` form, every 0.5 s, has five, which would end the
merged book.

Evidence: single frames of 2025-09 to 2026-09, all of perpetual contracts, whose shapes spot shares; of spot
itself the documents and the code of clients alone.

Not given: a book of 20 levels that is less than 5 s old; high and low of 24 h; a last price beside the 24 h
figures; increasing ids of trades; states in the list of pairs; announcements of a shutdown.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Annotated

import msgspec
from msgspec import UNSET, Raw, Struct

from crypto_stream.feed.handler import (
    ARRIVAL,
    Acked,
    Bar,
    BarTime,
    Budget,
    Event,
    Ignored,
    Instrument,
    Keepalive,
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
    Wanted,
    by_topic,
    read_each,
    reading,
    step,
)
from crypto_stream.market.bars import INTERVALS, venue_bar
from crypto_stream.market.decimals import decimal_text, price_of_trade

if TYPE_CHECKING:
    import httpx

URLS = ["wss://api.hyperliquid.xyz:443"]
REST_URL = "https://api.hyperliquid.xyz"
BUSY = "hypeusdc"
LIMITS = Limits(
    instruments=332,  # 1,000 subscriptions per address, three per instrument
    pace_s=0.05,  # 2,000 messages a minute
    attempts=Budget(10, 60.0),  # 30 new connections a minute, 10 at once
    keepalive=Keepalive('{"method":"ping"}', 20.0),  # the venue disconnects after 60 s without data
)

_TYPES: dict[Topic, str] = {"top": "bbo", "trades": "trades", "day": "activeAssetCtx"}
_MOST_BARS = 1000
_MOST_DECIMALS = 8  # of a spot price, less those of the amount
_PER_MS = 1000  # trades of one block that can be told apart

_Decimals = Annotated[int, msgspec.Meta(ge=0, le=_MOST_DECIMALS)]


class _Push(Struct):
    channel: str
    data: Raw = Raw()


class _Level(Struct, gc=False):
    px: str
    sz: str


class _Top(Struct, gc=False):
    coin: str
    time: VenueKey
    bbo: tuple[_Level | None, _Level | None]


class _Trade(Struct, gc=False):
    coin: str
    px: str
    sz: str
    time: BarTime
    tid: VenueKey


class _Context(Struct, gc=False):
    prevDayPx: str  # noqa: N815 - the venue's names, here and below
    dayBaseVlm: str | None = None  # noqa: N815


class _Day(Struct, gc=False):
    coin: str
    ctx: _Context


class _Subscription(Struct):
    type: str = ""
    coin: str = ""


class _Echo(Struct):
    """A request, or only its subscription, as the venue repeats it."""

    method: str = ""
    subscription: _Subscription = msgspec.field(default_factory=_Subscription)
    type: str = ""
    coin: str = ""


class _Token(Struct, gc=False):
    name: str
    szDecimals: _Decimals  # noqa: N815
    index: int


class _Pair(Struct, gc=False):
    name: str
    tokens: tuple[int, int]


class _SpotMeta(Struct):
    universe: Annotated[list[Raw], VenueList]
    tokens: Annotated[list[Raw], VenueList]


class _Candle(Struct, gc=False):
    t: BarTime
    o: str
    h: str
    l: str  # noqa: E741 - the venue's name
    c: str
    v: str
    n: VenueKey


_push = msgspec.json.Decoder(_Push).decode
_top = msgspec.json.Decoder(_Top).decode
_trades = msgspec.json.Decoder(list[_Trade]).decode
_day = msgspec.json.Decoder(_Day).decode
_echo = msgspec.json.Decoder(_Echo).decode
_text = msgspec.json.Decoder(str).decode
_spot_meta = msgspec.json.Decoder(_SpotMeta).decode
_token = msgspec.json.Decoder(_Token).decode
_pair = msgspec.json.Decoder(_Pair).decode
_candles = msgspec.json.Decoder(Annotated[list[_Candle], VenueList]).decode


def venue_id(pair: Instrument) -> str | None:
    """Return None: only the venue's list tells the ids."""
    return None


def pair_of(venue_id: str) -> tuple[str, str] | None:
    """Return base and quote of an id that contains them; None for all others, also those of perpetuals."""
    base, _, quote = venue_id.partition("/")
    return (base, quote) if base and quote and "/" not in quote else None


async def opening(http: httpx.AsyncClient, options: Mapping[str, str]) -> Opening:
    """Return the path of the WebSocket."""
    return Opening("/ws")


class Reader:
    """Parses the frames of one connection and numbers the trades of a block."""

    def __init__(self, instruments: Mapping[str, Instrument]) -> None:
        self._instruments = instruments
        # coin → the time of its last block, and the numbers of the trades in it by their ids
        self._blocks: dict[str, tuple[int, dict[int, int]]] = {}
        self._readers: dict[str, Callable[[Raw], list[Event]]] = {
            "bbo": self._read_top,
            "trades": self._read_trades,
            "activeSpotAssetCtx": self._read_day,
            "subscriptionResponse": _read_response,
            "error": self._read_error,
            "pong": lambda _: [Pong()],
        }

    def subscribe(self, wanted: Sequence[Wanted]) -> list[Request]:
        """Request one subscription per message, prices first; acknowledgements repeat it.

        {"method":"subscribe","subscription":{"type":"bbo","coin":"@107"}}
        """
        return [
            Request(_message("subscribe", kind, each.id), (f"{kind} {each.id}",), (each,))
            for each, kind in by_topic(wanted, _TYPES)
        ]

    def unsubscribe(self, wanted: Sequence[Wanted]) -> list[Request]:
        """Cancel what `subscribe` requested; the responses are not awaited."""
        return [
            Request(_message("unsubscribe", kind, each.id), (), (each,))
            for each, kind in by_topic(wanted, _TYPES)
        ]

    def read(self, frame: bytes) -> list[Event]:
        """Parse a frame: data of a channel, or a response.

        {"channel":"bbo","data":{...}} · {"channel":"pong"}
        """
        push = _push(frame)
        read = self._readers.get(push.channel)
        return (read(push.data) if read else []) or [Ignored(push.channel[:40] or "unknown")]

    def _read_top(self, data: Raw) -> list[Event]:
        """Parse the top of the book; an empty side is null. There is one per block, whose time is the key.

        {"coin":"@107","time":1790358617881,"bbo":[{"px":"83757.0","sz":"22.61305","n":81},null]}
        """
        top = _top(data)
        instrument = self._instruments.get(top.coin)
        if instrument is None:
            return [Ignored("not_subscribed")]
        (bid, bid_size), (ask, ask_size) = map(_side, top.bbo)
        update = Update(
            instrument, "bbo", key=top.time, time=top.time,
            bid=bid, bid_size=bid_size, ask=ask, ask_size=ask_size,
        )  # fmt: skip
        return [update]

    def _read_trades(self, data: Raw) -> list[Event]:
        """Parse trades, oldest first; the first frame has older ones, too.

        [{"coin":"@107","side":"B","px":"83770.0","sz":"0.00819","time":1790358604045,"hash":"0x00...",
          "tid":437413095582311,"users":["0x10d9...","0x1a2e..."]}]
        """
        return [
            self._read_trade(instrument, each)
            if (instrument := self._instruments.get(each.coin))
            else Ignored("not_subscribed")
            for each in _trades(data)
        ]

    def _read_trade(self, instrument: Instrument, trade: _Trade) -> Event:
        """Return a trade. `tid` is random, and unique in a block: the key is the block's time and a number.

        A block has the same order on each connection, so a repeated trade has the same key: each subscription
        begins with past trades, for a quiet coin perhaps only with those of the last block.
        """
        block, numbers = self._blocks.get(trade.coin, (0, {}))
        if block != trade.time or len(numbers) >= _PER_MS:
            numbers = {}
            self._blocks[trade.coin] = (trade.time, numbers)
        number = numbers.setdefault(trade.tid, len(numbers))
        return Trade(
            instrument=instrument,
            channel="trades",
            key=trade.time * _PER_MS + number,
            time=trade.time,
            price=price_of_trade(trade.px),
            size=decimal_text(trade.sz),
        )

    def _read_day(self, data: Raw) -> list[Event]:
        """Parse the 24 h figures, which have no time; the volume is in base, and missing at times.

        {"coin":"@107","ctx":{"prevDayPx":"93.124","dayNtlVlm":"64552049.6973299459","markPx":"92.949",
         "midPx":"92.945","circulatingSupply":"298462370.4079165459","coin":"@107",
         "totalSupply":"998882916.6303099394","dayBaseVlm":"690824.1400000008"}}
        """
        day = _day(data)
        instrument = self._instruments.get(day.coin)
        if instrument is None:
            return [Ignored("not_subscribed")]
        volume = day.ctx.dayBaseVlm
        return [
            Update(
                instrument=instrument,
                channel="activeAssetCtx",
                key=ARRIVAL,
                open_24h=decimal_text(day.ctx.prevDayPx),
                volume_24h=UNSET if volume is None else decimal_text(volume),
                slow=True,
            )
        ]

    def _read_error(self, data: Raw) -> list[Event]:
        """Parse an error, which usually repeats the request, or its subscription.

        "Already subscribed: {\\"type\\":\\"bbo\\",\\"coin\\":\\"@107\\"}"
        "Error parsing JSON into valid websocket request: {\\"method\\":\\"subscribe\\",...}"
        """
        reason = _text(data)
        if "unsubscribe" in reason:
            return [Ignored("unsubscribe refused")]
        subscription = _repeated(reason)
        key = f"{subscription.type} {subscription.coin}" if subscription.coin else ""
        if key and reason.startswith("Already subscribed"):
            return [Acked(key)]
        return [Refused(key, reason[:200], self._instruments.get(subscription.coin))]


def _message(method: str, kind: str, coin: str) -> str:
    return msgspec.json.encode({"method": method, "subscription": {"type": kind, "coin": coin}}).decode()


def _side(level: _Level | None) -> tuple[str | None, str | None]:
    return (None, None) if level is None else (decimal_text(level.px), decimal_text(level.sz))


def _read_response(data: Raw) -> list[Event]:
    """Parse a response.

    {"method":"subscribe","subscription":{"type":"bbo","coin":"@107"}}
    """
    response = _echo(data)
    if response.method != "subscribe":
        return [Ignored(f"method:{response.method}"[:40])]
    return [Acked(f"{response.subscription.type} {response.subscription.coin}")]


def _repeated(reason: str) -> _Subscription:
    """Return the subscription that an error repeats; an empty one if there is none."""
    start, end = reason.find("{"), reason.rfind("}") + 1
    try:
        echo = _echo(reason[start:end].encode())
    except msgspec.DecodeError:
        return _Subscription()
    return _Subscription(echo.type, echo.coin) if echo.coin else echo.subscription


async def instruments(http: httpx.AsyncClient) -> list[Listed]:
    """Fetch the spot pairs with the names of their tokens, and the rules that follow from these.

    {"universe":[{"name":"@107","tokens":[150,0],"index":107,"isCanonical":false}],
     "tokens":[{"name":"HYPE","szDecimals":2,"weiDecimals":8,"index":150},{"name":"USDC",...}]}
    """
    found = await _fetch(http, {"type": "spotMeta"})
    with reading("hyperliquid spotMeta"):
        meta = _spot_meta(found)
        tokens = {token.index: token for token in read_each(meta.tokens, _token)}
        pairs = read_each(meta.universe, _pair)
    return [
        Listed(
            id=pair.name,
            base=base.name,
            quote=quote.name,
            state=None,
            rules=Rules(tick=step(_MOST_DECIMALS - base.szDecimals), lot=step(base.szDecimals)),
        )
        for pair in pairs
        if (base := tokens.get(pair.tokens[0])) and (quote := tokens.get(pair.tokens[1]))
    ]


async def candles(http: httpx.AsyncClient, venue_id: str, interval: str) -> list[Bar]:
    """Fetch the newest 1,000 bars of "1m" or "1h", oldest first; the last one is still open.

    [{"t":1790358600000,"T":1790358659999,"s":"@107","i":"1m","o":"83765.0","c":"83765.0","h":"83770.0",
      "l":"83756.0","v":"0.3317","n":36}]
    """
    now_ms = time.time_ns() // 1_000_000
    span = {"startTime": now_ms - _MOST_BARS * INTERVALS[interval], "endTime": now_ms}
    found = await _fetch(
        http, {"type": "candleSnapshot", "req": {"coin": venue_id, "interval": interval, **span}}
    )
    with reading("hyperliquid candleSnapshot"):
        return [
            venue_bar(each.t, (each.o, each.h, each.l, each.c, each.v), each.n, "hyperliquid")
            for each in _candles(found)
        ]


async def _fetch(http: httpx.AsyncClient, request: Mapping[str, object]) -> bytes:
    """Fetch an answer; all requests are POST, and errors have an HTTP status."""
    answer = await http.post("/info", json=request)
    answer.raise_for_status()
    return answer.content
