"""OKX v5, public spot market data.

Document: https://www.okx.com/docs-v5/en/#order-book-trading-market-data (WebSocket channels) and
https://www.okx.com/docs-v5/en/#overview-websocket. Three channels per instrument: `bbo-tbt` (best bid and
ask), `trades`, `tickers` (24 h figures). The venue's ids are `BTC-USDT`.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Annotated, Any

import msgspec
from msgspec import UNSET, Raw, Struct

from crypto_stream.feed.handler import (
    Acked,
    Bar,
    Budget,
    Event,
    Ignored,
    Instrument,
    Keepalive,
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

# Port 443: the 8443 of older documents was switched off on 2026-10-31. The regional hosts list fewer pairs.
URLS = ["wss://ws.okx.com", "wss://wseea.okx.com", "wss://wsus.okx.com"]
REST_URL = "https://www.okx.com"
BUSY = "btcusdt"
LIMITS = Limits(
    pace_s=0.5,  # 480 requests an hour, and a request carries many arguments: few and slow
    keepalive=Keepalive("ping", 20.0),  # the venue cuts after 30 s of silence
    attempts=Budget(3, 1.0),
)

_CHANNELS: dict[Topic, str] = {"day": "tickers", "top": "bbo-tbt", "trades": "trades"}
_BARS = {"1m": "1m", "1h": "1H"}
_PER_REQUEST = 180  # channels: about 10 kB of the 64 kB a request may have
_LONGEST_ECHO = 10_000
_SERVICE_UPGRADE = "64008"
# Too many requests, busy, in maintenance: https://www.okx.com/docs-v5/en/#error-code
_PASSING = frozenset({"50001", "50004", "50011", "50013", "50026", "50061", "60014", "63999"})
# Errors name what they are about only inside a sentence whose wording changes.
_NAMED = re.compile(r"channel\W{1,6}([\w-]{1,40})\W{1,8}instId\W{1,6}([^\s,\"'}]{1,40})")


class _Arg(Struct, gc=False):
    channel: str
    instId: str = ""  # noqa: N815 - the venue's names, here and below


class _Push(Struct, gc=False):
    arg: _Arg
    data: Raw


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


class _Word(Struct):
    """A frame that says something about the connection."""

    event: str
    arg: _Arg | None = None
    code: str = ""
    msg: str = ""


_USD = frozenset({"USD", "USDT", "USDC"})


class _Unruled(Struct, gc=False):
    instId: str  # noqa: N815
    state: str


class _Item(_Unruled, gc=False):
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


# time, five numbers, two more volumes, "1" when finished
_Candle = tuple[str, str, str, str, str, str, str, str, str]


# Not strict: times and ids are numbers in quotes. Fields typed as text stay text in this mode, too.
_push = msgspec.json.Decoder(_Push).decode
_word = msgspec.json.Decoder(_Word).decode
_item = msgspec.json.Decoder(_Item).decode
_candle = msgspec.json.Decoder(_Candle).decode
_unruled = msgspec.json.Decoder(_Unruled).decode
_tickers = msgspec.json.Decoder(list[_TickerItem], strict=False).decode
_tops = msgspec.json.Decoder(list[_TopItem], strict=False).decode
_trades = msgspec.json.Decoder(list[_TradeItem], strict=False).decode


def venue_id(pair: Instrument) -> str | None:
    """Return the venue's id of a pair."""
    return f"{pair.base}-{pair.quote}" if pair.base and pair.quote else None


def pair_of(venue_id: str) -> tuple[str, str] | None:
    """Read base and quote out of an id; None for what is no spot pair (`BTC-USDT-SWAP`)."""
    base, _, quote = venue_id.partition("-")
    return (base, quote) if base and quote and "-" not in quote else None


async def opening(http: httpx.AsyncClient, options: Mapping[str, str]) -> Opening:
    """Return the path of the public channels."""
    return Opening("/ws/v5/public")


class Reader:
    """Reads the frames of one connection; nothing of them depends on earlier ones."""

    def __init__(self, instruments: Mapping[str, Instrument]) -> None:
        """Know `instruments` by the venue's id."""
        self._instruments = instruments

    def subscribe(self, wanted: Sequence[Wanted]) -> list[Request]:
        """Ask for channels, 180 in one message; each is acknowledged.

        {"op":"subscribe","args":[{"channel":"tickers","instId":"BTC-USDT"},{"channel":"bbo-tbt", ...}]}
        """
        return _requests("subscribe", wanted)

    def unsubscribe(self, wanted: Sequence[Wanted]) -> list[Request]:
        """Take back what `subscribe` asked for; nobody waits for the answers."""
        return [request._replace(keys=()) for request in _requests("unsubscribe", wanted)]

    def read(self, frame: bytes) -> list[Event]:
        """Read one frame: a push, a word about the connection, or the text `pong`.

        {"arg":{"channel":"tickers","instId":"BTC-USDT"},"data":[{...}]}
        {"event":"subscribe","arg":{"channel":"tickers","instId":"BTC-USDT"},"connId":"accb8e21"}
        """
        if frame == b"pong":
            return [Pong()]
        try:
            push = _push(frame)
        except msgspec.ValidationError:
            return [self._read_word(_word(frame))]
        arg = push.arg
        instrument = self._instruments.get(arg.instId)
        if instrument is None:
            return [Ignored("not_asked" if arg.instId else arg.channel[:40])]
        if arg.channel not in _READERS:
            return [Ignored(arg.channel[:40])]
        items, read = _READERS[arg.channel]
        return [read(instrument, item) for item in items(push.data)] or [Ignored(arg.channel)]

    def _read_word(self, word: _Word) -> Event:
        """Read an acknowledgement, an error or a notice; the order of their fields varies.

        A code that will pass names nothing, an echo of the request nobody.
        {"event":"error","code":"60018","msg":"Wrong URL or channel:tickers,instId:BTC-X doesn't exist. ..."}
        {"event":"notice","code":"64008","msg":"The connection will soon be closed for a service ..."}
        """
        if word.event in {"subscribe", "unsubscribe"} and word.arg:
            mark = "" if word.event == "subscribe" else "unsubscribe:"
            return Acked(f"{mark}{word.arg.channel}:{word.arg.instId}")
        if word.event == "error":
            reason = f"code {word.code}: {word.msg[:200]}"
            if word.code in _PASSING:
                return Refused("", reason, passing=True)
            named = _NAMED.findall(word.msg[:_LONGEST_ECHO])
            # What is not understood comes back whole: the first pair of many in such an echo is not to blame.
            is_cut = "args" in word.msg and "]" not in word.msg[:_LONGEST_ECHO]
            if is_cut or len({name for _, name in named}) != 1:
                return Refused("", reason)
            channel, name = named[0]
            return Refused(f"{channel}:{name}", reason, self._instruments.get(name))
        if word.event == "notice" and word.code == _SERVICE_UPGRADE:
            return Moving(f"OKX: {word.msg[:200]}")
        return Ignored(f"event:{word.event}"[:40])


async def instruments(http: httpx.AsyncClient) -> list[Listed]:
    """Fetch the listed spot pairs: "" for a tradable one, else the venue's word (`suspend`, `preopen`).

    https://www.okx.com/docs-v5/en/#public-data-rest-api-get-instruments
    """
    rows = await _rows(http, "public/instruments", {"instType": "SPOT"})
    with reading("okx instruments"):
        entries = read_each(rows, _item, _unruled)
    return [
        Listed(
            item.instId,
            *pair,
            "" if item.state == "live" else item.state,
            _rules(item) if isinstance(item, _Item) else Rules(),
        )
        for item in entries
        if (pair := pair_of(item.instId))
    ]


def _rules(item: _Item) -> Rules:
    """Read what orders must keep to.

    {"instId":"BTC-USDT","tickSz":"0.1","lotSz":"0.00000001","minSz":"0.00001","maxLmtSz":"9999999999",
     "maxLmtAmt":"20000000","maxMktSz":"1000000","maxMktAmt":"1000000", ...}
    Of a spot pair maxLmtSz is in its base; maxMktSz and the amounts are in USD, which a pair that is quoted
    in something else cannot be judged by.
    """
    in_usd = item.instId.rpartition("-")[2] in _USD
    return Rules(
        *(item.tickSz, item.lotSz, item.minSz),
        max_amount=item.maxLmtSz,
        max_notional=item.maxLmtAmt if in_usd else "",
        market_max_notional=(item.maxMktAmt or item.maxMktSz) if in_usd else "",
    )


async def candles(http: httpx.AsyncClient, venue_id: str, interval: str) -> list[Bar]:
    """Fetch the newest 300 bars of "1m" or "1h", oldest first; the last one may not be finished.

    https://www.okx.com/docs-v5/en/#order-book-trading-market-data-get-candlesticks
    {"code":"0","msg":"","data":[["1597026383085","3.721","3.743","3.677","3.708","8422410","22698348.04828491",
      "12698348.04828491","1"]]}, newest first; trades are not counted.
    """
    asked = {"instId": venue_id, "bar": _BARS[interval], "limit": "300"}
    rows = await _rows(http, "market/candles", asked)
    with reading("okx candles"):
        return [venue_bar(int(row[0]), row[1:6], None, "okx") for row in map(_candle, reversed(rows))]


async def _rows(http: httpx.AsyncClient, path: str, asked: dict[str, str]) -> list[Raw]:
    """Fetch one list; errors come with HTTP 200 and a code."""
    what = f"okx {path.partition('/')[2]}"
    answer = await http.get(f"/api/v5/{path}", params=asked)
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


def _read_ticker(instrument: Instrument, one: _TickerItem) -> Event:
    """Read the 24 h figures; `vol24h` is the volume in base on spot, `volCcy24h` (not used) in quote.

    [{"instType":"SPOT","instId":"BTC-USDT","last":"9999.99","lastSz":"0.1","askPx":"9999.99","askSz":"11",
      "bidPx":"8888.88","bidSz":"5","open24h":"9000","high24h":"10000","low24h":"8888.88","volCcy24h":"2222",
      "vol24h":"2222","sodUtc0":"2222","sodUtc8":"2222","ts":"1597026383085"}]
    """
    at, channel = one.ts, "tickers"
    price, bid, bid_size = map(decimal_text, (one.last, one.bidPx, one.bidSz))
    ask, ask_size = map(decimal_text, (one.askPx, one.askSz))
    first, high, low, volume = map(decimal_text, (one.open24h, one.high24h, one.low24h, one.vol24h))
    return Update(
        instrument, channel, at, at, price, bid, bid_size, ask, ask_size, first, high, low, volume, slow=True
    )


def _read_top(instrument: Instrument, top: _TopItem) -> Event:
    """Read the best bid and ask, each [price, size, "0", orders]; a side without orders is an empty list.

    [{"asks":[["111.06","55154","0","2"]],"bids":[["111.05","57745","0","2"]],"ts":"1670324386802",
      "seqId":363996337}]
    """
    bid, bid_size = _level(top.bids)
    ask, ask_size = _level(top.asks)
    key = top.ts if top.seqId is None else top.seqId
    return Update(instrument, "bbo-tbt", key, top.ts, UNSET, bid, bid_size, ask, ask_size)


def _level(side: list[list[str]]) -> tuple[str | None, str | None]:
    if not side:
        return None, None
    if len(side[0]) < 2:
        raise ValueError("a level without price and size")
    return decimal_text(side[0][0]), decimal_text(side[0][1])


def _read_trade(instrument: Instrument, trade: _TradeItem) -> Event:
    """Read one trade; older frames lack `count`, `source` and `seqId`.

    [{"instId":"BTC-USDT","tradeId":"130639474","px":"42219.9","sz":"0.12060306","side":"buy",
      "ts":"1630048897897","count":"3","source":"0","seqId":1234}]
    """
    # Ids grow per instrument. `ts` and `seqId` can be equal for two different trades, of which the second
    # would then be dropped as not newer: they stand in only where the id is missing.
    key = trade.tradeId
    if key is None:
        key = trade.ts if trade.seqId is None else trade.seqId
    return Trade(instrument, "trades", key, trade.ts, price_of_trade(trade.px), decimal_text(trade.sz))


# By channel: what splits a push into its items, and what reads one of them.
_READERS: dict[str, tuple[Callable[[Raw], Sequence[Any]], Callable[[Instrument, Any], Event]]] = {
    "tickers": (_tickers, _read_ticker),
    "bbo-tbt": (_tops, _read_top),
    "trades": (_trades, _read_trade),
}
