"""OKX v5, public spot market data.

Documentation: https://www.okx.com/docs-v5/en/#order-book-trading-market-data (WebSocket channels) and
https://www.okx.com/docs-v5/en/#overview-websocket. Three channels per instrument: `bbo-tbt` (best bid and
ask), `trades`, `tickers` (24 h figures); for books `books`, of 400 levels. The venue's ids look like
`BTC-USDT`.

Evidence: recorded 2021-07-22, 2022-05-13 (`tickers`, `trades`, `books`, acknowledgements); single frames of
all channels, of an error and a notice, 2022 to 2026; error 60012 and `pong` from the documents.

Not given: nothing that is used here.
"""

from __future__ import annotations

import re
import zlib
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import TYPE_CHECKING, Annotated, Any

import msgspec
from msgspec import Raw, Struct

from crypto_stream.feed.handler import (
    Acked,
    Bar,
    Budget,
    DepthChange,
    Event,
    Ignored,
    Instrument,
    Keepalive,
    Level,
    Limits,
    Listed,
    MalformedFrame,
    Moving,
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
    read_each,
    reading,
)
from crypto_stream.market.bars import venue_bar
from crypto_stream.market.decimals import decimal_text, price_of_trade

if TYPE_CHECKING:
    import httpx

# Port 443: port 8443 of older documentation was switched off on 2026-10-31. Regional hosts list fewer pairs.
URLS = ["wss://ws.okx.com", "wss://wseea.okx.com", "wss://wsus.okx.com"]
REST_URL = "https://www.okx.com"
BUSY = "btcusdt"
DEPTH = True
LIMITS = Limits(
    pace_s=0.5,
    requests=Budget(480, 3600.0),  # each with many arguments
    keepalive=Keepalive("ping", 20.0),  # the venue disconnects after 30 s of silence
    attempts=Budget(3, 1.0),
)

_CHANNELS: dict[Topic, str] = {"day": "tickers", "top": "bbo-tbt", "trades": "trades", "depth": "books"}
_LEVELS, _CHECKED = 400, 25  # levels of a side of a book, and of those that its checksum covers
_BARS = {"1m": "1m", "1h": "1H"}
_PER_REQUEST = 180  # channels: about 10 kB, of 64 kB allowed
_MAX_ECHO = 10_000
_SERVICE_UPGRADE = "64008"
# Too many requests, busy, in maintenance: https://www.okx.com/docs-v5/en/#error-code
_TRANSIENT = frozenset({"50001", "50004", "50011", "50013", "50026", "50061", "60014", "63999"})
# Errors name the channel and instrument only within a sentence whose wording varies.
_NAMED = re.compile(r"channel\W{1,6}([\w-]{1,40})\W{1,8}instId\W{1,6}([^\s,\"'}]{1,40})")


class _Arg(Struct, gc=False):
    channel: str
    instId: str = ""  # noqa: N815 - the venue's names, here and below


class _Push(Struct, gc=False):
    arg: _Arg
    data: Raw
    action: str = ""


class _TickerItem(Struct, gc=False):
    last: str
    askPx: str  # noqa: N815
    askSz: str  # noqa: N815
    bidPx: str  # noqa: N815
    bidSz: str  # noqa: N815
    open24h: str
    high24h: str
    low24h: str
    vol24h: str
    ts: VenueTime


class _TopItem(Struct):
    asks: list[list[str]]
    bids: list[list[str]]
    ts: VenueTime
    seqId: VenueKey | None = None  # noqa: N815


class _TradeItem(Struct, gc=False):
    px: str
    sz: str
    ts: VenueTime
    tradeId: VenueKey | None = None  # noqa: N815
    seqId: VenueKey | None = None  # noqa: N815


class _BookItem(Struct):
    asks: list[list[str]]
    bids: list[list[str]]
    ts: VenueTime
    checksum: int = 0
    seqId: int | None = None  # noqa: N815
    prevSeqId: int | None = None  # noqa: N815


class _Response(Struct):
    """A response or notice."""

    event: str
    arg: _Arg | None = None
    code: str = ""
    msg: str = ""


_USD = frozenset({"USD", "USDT", "USDC"})


class _WithoutRules(Struct, gc=False):
    instId: str  # noqa: N815
    state: str


class _Day(Struct, gc=False):
    instId: str  # noqa: N815
    volCcy24h: str  # noqa: N815


class _Item(_WithoutRules, gc=False):
    tickSz: str = ""  # noqa: N815
    lotSz: str = ""  # noqa: N815
    minSz: str = ""  # noqa: N815
    maxLmtSz: str = ""  # noqa: N815
    maxLmtAmt: str = ""  # noqa: N815
    maxMktSz: str = ""  # noqa: N815
    maxMktAmt: str = ""  # noqa: N815


class _Answer(Struct):
    code: str
    data: Annotated[list[Raw], VenueList]
    msg: str = ""


# time, open, high, low, close, volume, two other volumes, "1" if closed
_Candle = tuple[str, str, str, str, str, str, str, str, str]


# Not strict: times and ids are numbers in quotes. Fields typed as str remain strings in this mode.
_push = msgspec.json.Decoder(_Push).decode
_response = msgspec.json.Decoder(_Response).decode
_item = msgspec.json.Decoder(_Item).decode
_day = msgspec.json.Decoder(_Day).decode
_candle = msgspec.json.Decoder(_Candle).decode
_without_rules = msgspec.json.Decoder(_WithoutRules).decode
_tickers = msgspec.json.Decoder(list[_TickerItem], strict=False).decode
_tops = msgspec.json.Decoder(list[_TopItem], strict=False).decode
_books = msgspec.json.Decoder(list[_BookItem], strict=False).decode
_trades = msgspec.json.Decoder(list[_TradeItem], strict=False).decode


def venue_id(pair: Instrument) -> str | None:
    """Return the venue's id of a pair."""
    return f"{pair.base}-{pair.quote}" if pair.base and pair.quote else None


def pair_of(venue_id: str) -> tuple[str, str] | None:
    """Split an id into base and quote; None if it is not a spot pair (`BTC-USDT-SWAP`)."""
    base, _, quote = venue_id.partition("-")
    return (base, quote) if base and quote and "-" not in quote else None


async def opening(http: httpx.AsyncClient, options: Mapping[str, str]) -> Opening:
    """Return the path of the public channels."""
    return Opening("/ws/v5/public")


class Reader:
    """Parses the frames of one connection, each independently; `instruments` are by the venue's id."""

    def __init__(self, instruments: Mapping[str, Instrument]) -> None:
        self._instruments = instruments

    def subscribe(self, wanted: Sequence[Wanted]) -> list[Request]:
        """Request channels, up to 180 per message; each channel is acknowledged.

        {"op":"subscribe","args":[{"channel":"tickers","instId":"BTC-USDT"},{"channel":"bbo-tbt", ...}]}
        """
        return _requests("subscribe", wanted)

    def unsubscribe(self, wanted: Sequence[Wanted]) -> list[Request]:
        """Cancel what `subscribe` requested; the responses are not awaited."""
        return [request._replace(keys=()) for request in _requests("unsubscribe", wanted)]

    def read(self, frame: bytes) -> list[Event]:
        """Parse a frame: data of a channel, a response or notice, or the text `pong`.

        {"arg":{"channel":"tickers","instId":"BTC-USDT"},"data":[{...}]}
        {"event":"subscribe","arg":{"channel":"tickers","instId":"BTC-USDT"},"connId":"accb8e21"}
        """
        if frame == b"pong":
            return [Pong()]
        try:
            push = _push(frame)
        except msgspec.ValidationError:
            return [self._read_response(_response(frame))]
        arg = push.arg
        instrument = self._instruments.get(arg.instId)
        if instrument is None:
            return [Ignored("not_subscribed" if arg.instId else arg.channel[:40])]
        if arg.channel == "books":
            found = [_read_book(instrument, push.action, item) for item in _books(push.data)]
            return found or [Ignored("books")]
        if arg.channel not in _READERS:
            return [Ignored(arg.channel[:40])]
        items, read = _READERS[arg.channel]
        return [read(instrument, item) for item in items(push.data)] or [Ignored(arg.channel)]

    def _read_response(self, response: _Response) -> Event:
        """Parse an acknowledgement, an error or a notice; the order of their fields varies.

        {"event":"error","code":"60018","msg":"Wrong URL or channel:tickers,instId:BTC-X doesn't exist. ..."}
        {"event":"notice","code":"64008","msg":"The connection will soon be closed for a service ..."}
        """
        if response.event in {"subscribe", "unsubscribe"} and response.arg:
            prefix = "" if response.event == "subscribe" else "unsubscribe:"
            return Acked(f"{prefix}{response.arg.channel}:{response.arg.instId}")
        if response.event == "error":
            reason = f"code {response.code}: {response.msg[:200]}"
            if response.code in _TRANSIENT:
                return Refused("", reason, temporary=True)
            named = _NAMED.findall(response.msg[:_MAX_ECHO])
            # Some errors echo the whole request, perhaps truncated: blame an instrument only if it is the
            # only one.
            is_cut = "args" in response.msg and "]" not in response.msg[:_MAX_ECHO]
            if is_cut or len({name for _, name in named}) != 1:
                return Refused("", reason)
            channel, name = named[0]
            return Refused(f"{channel}:{name}", reason, self._instruments.get(name))
        if response.event == "notice" and response.code == _SERVICE_UPGRADE:
            return Moving(f"OKX: {response.msg[:200]}")
        return Ignored(f"event:{response.event}"[:40])


async def instruments(http: httpx.AsyncClient) -> list[Listed]:
    """Fetch the listed spot pairs; their state is "" if tradable, else the venue's (`suspend`, `preopen`).

    https://www.okx.com/docs-v5/en/#public-data-rest-api-get-instruments
    """
    rows = await _fetch(http, "public/instruments", {"instType": "SPOT"})
    with reading("okx instruments"):
        entries = read_each(rows, _item, _without_rules)
    return [
        Listed(
            id=item.instId,
            base=pair[0],
            quote=pair[1],
            state="" if item.state == "live" else item.state,
            rules=_rules(item) if isinstance(item, _Item) else Rules(),
        )
        for item in entries
        if (pair := pair_of(item.instId))
    ]


def _rules(item: _Item) -> Rules:
    """Parse the rules for orders.

    {"instId":"BTC-USDT","tickSz":"0.1","lotSz":"0.00000001","minSz":"0.00001","maxLmtSz":"9999999999",
     "maxLmtAmt":"20000000","maxMktSz":"1000000","maxMktAmt":"1000000", ...}
    For spot pairs maxLmtSz is in base; maxMktSz and the amounts are in USD, so they can only be used for
    pairs quoted in a dollar currency.
    """
    in_usd = item.instId.rpartition("-")[2] in _USD
    return Rules(
        tick=item.tickSz,
        lot=item.lotSz,
        min_amount=item.minSz,
        max_amount=item.maxLmtSz,
        max_notional=item.maxLmtAmt if in_usd else "",
        market_max_notional=(item.maxMktAmt or item.maxMktSz) if in_usd else "",
    )


async def volumes(http: httpx.AsyncClient) -> dict[str, str]:
    """Fetch the 24 h volume of each pair in its quote currency: on spot that is `volCcy24h`.

    https://www.okx.com/docs-v5/en/#order-book-trading-market-data-get-tickers
    """
    rows = await _fetch(http, "market/tickers", {"instType": "SPOT"})
    with reading("okx tickers"):
        return {day.instId: day.volCcy24h for day in read_each(rows, _day)}


async def candles(http: httpx.AsyncClient, venue_id: str, interval: str) -> list[Bar]:
    """Fetch the newest 300 bars of "1m" or "1h", oldest first; the last one may be open.

    https://www.okx.com/docs-v5/en/#order-book-trading-market-data-get-candlesticks
    {"code":"0","msg":"","data":[["1597026383085","3.721","3.743","3.677","3.708","8422410","22698348.04828491",
      "12698348.04828491","1"]]}, newest first, without a number of trades.
    """
    params = {"instId": venue_id, "bar": _BARS[interval], "limit": "300"}
    rows = await _fetch(http, "market/candles", params)
    with reading("okx candles"):
        return [venue_bar(int(row[0]), row[1:6], None, "okx") for row in map(_candle, reversed(rows))]


async def _fetch(http: httpx.AsyncClient, path: str, params: dict[str, str]) -> list[Raw]:
    """Fetch a list; errors have HTTP status 200 and a code."""
    what = f"okx {path.partition('/')[2]}"
    answer = await http.get(f"/api/v5/{path}", params=params)
    answer.raise_for_status()
    with reading(what):
        listed = msgspec.json.decode(answer.content, type=_Answer)
    if listed.code != "0":
        raise MalformedFrame(f"{what}: code {listed.code}: {listed.msg[:200]}")
    return listed.data


def _requests(operation: str, wanted: Sequence[Wanted]) -> list[Request]:
    requests = []
    for start in range(0, len(wanted), _PER_REQUEST):
        part = tuple(wanted[start : start + _PER_REQUEST])
        args = [{"channel": _CHANNELS[each.topic], "instId": each.id} for each in part]
        keys = tuple(f"{arg['channel']}:{arg['instId']}" for arg in args)
        text = msgspec.json.encode({"op": operation, "args": args}).decode()
        requests.append(Request(text, keys, part))
    return requests


def _read_ticker(instrument: Instrument, day: _TickerItem) -> Event:
    """Parse the 24 h figures; on spot `vol24h` is the volume in base, `volCcy24h` (not used) in quote.

    [{"instType":"SPOT","instId":"BTC-USDT","last":"9999.99","lastSz":"0.1","askPx":"9999.99","askSz":"11",
      "bidPx":"8888.88","bidSz":"5","open24h":"9000","high24h":"10000","low24h":"8888.88","volCcy24h":"2222",
      "vol24h":"2222","sodUtc0":"2222","sodUtc8":"2222","ts":"1597026383085"}]
    """
    text = decimal_text
    return Update(
        instrument, "tickers", key=day.ts, time=day.ts, slow=True, price=text(day.last),
        bid=text(day.bidPx), bid_size=text(day.bidSz), ask=text(day.askPx), ask_size=text(day.askSz),
        open_24h=text(day.open24h), high_24h=text(day.high24h), low_24h=text(day.low24h),
        volume_24h=text(day.vol24h),
    )  # fmt: skip


def _read_top(instrument: Instrument, top: _TopItem) -> Event:
    """Parse the best bid and ask, each [price, size, "0", number of orders]; an empty side is an empty list.

    [{"asks":[["111.06","55154","0","2"]],"bids":[["111.05","57745","0","2"]],"ts":"1670324386802",
      "seqId":363996337}]
    """
    bid, bid_size = _level(top.bids)
    ask, ask_size = _level(top.asks)
    return Update(
        instrument=instrument,
        channel="bbo-tbt",
        key=top.ts if top.seqId is None else top.seqId,
        time=top.ts,
        bid=bid,
        bid_size=bid_size,
        ask=ask,
        ask_size=ask_size,
    )


def _read_book(instrument: Instrument, action: str, book: _BookItem) -> Event:
    """Parse a book: a `snapshot`, then changes, each of which names the one before; "0" removes a level.

    {"arg":{"channel":"books","instId":"BTC-USDT"},"action":"update","data":[{"asks":[["30249.4","0","0","0"]],
      "bids":[["30182.6","452","0","1"]],"ts":"1652459225464","checksum":-914047754,"prevSeqId":123,"seqId":125}]}
    Since 2026 the venue sends the checksum 0, which means none; frames of 2022 have no numbers.
    """
    whole = action == "snapshot"
    if not (whole or book.checksum) and (book.seqId is None or book.prevSeqId is None):
        raise ValueError("a change of a book with neither numbers nor a checksum")
    return DepthChange(
        instrument=instrument,
        bids=[_price_and_size(level) for level in book.bids],
        asks=[_price_and_size(level) for level in book.asks],
        whole=whole,
        time=book.ts,
        number=book.seqId,
        after=None if whole else book.prevSeqId,
        depth=_LEVELS,
        is_right=partial(_is_right, book.checksum) if book.checksum else None,
    )


def _price_and_size(level: list[str]) -> Level:
    if len(level) < 2:
        raise ValueError("a level without price and size")
    return level[0], level[1]


def _is_right(checksum: int, bids: Sequence[Level], asks: Sequence[Level]) -> bool:
    """Return whether the best levels, a bid and an ask in turn, have this CRC-32, a signed number.

    https://www.okx.com/docs-v5/en/#order-book-trading-market-data-ws-order-book-channel (checksum)
    """
    parts = [
        number
        for at in range(_CHECKED)
        for side in (bids, asks)
        for level in side[at : at + 1]
        for number in level
    ]
    return zlib.crc32(":".join(parts).encode()) == checksum % 2**32


def _level(side: list[list[str]]) -> tuple[str | None, str | None]:
    if not side:
        return None, None
    if len(side[0]) < 2:
        raise ValueError("a level without price and size")
    return decimal_text(side[0][0]), decimal_text(side[0][1])


def _read_trade(instrument: Instrument, trade: _TradeItem) -> Event:
    """Parse a trade; older frames lack `count`, `source` and `seqId`.

    [{"instId":"BTC-USDT","tradeId":"130639474","px":"42219.9","sz":"0.12060306","side":"buy",
      "ts":"1630048897897","count":"3","source":"0","seqId":1234}]
    """
    # Ids increase per instrument. Two trades can have the same `ts` or `seqId`, so that the second would be
    # dropped as not newer: these are used only if there is no id.
    key = trade.tradeId
    if key is None:
        key = trade.ts if trade.seqId is None else trade.seqId
    return Trade(
        instrument=instrument,
        channel="trades",
        key=key,
        time=trade.ts,
        price=price_of_trade(trade.px),
        size=decimal_text(trade.sz),
    )


# By channel: the decoder of a frame's items, and the function that parses one of them.
_READERS: dict[str, tuple[Callable[[Raw], Sequence[Any]], Callable[[Instrument, Any], Event]]] = {
    "tickers": (_tickers, _read_ticker),
    "bbo-tbt": (_tops, _read_top),
    "trades": (_trades, _read_trade),
}
