"""Gemini, public spot market data of its current WebSocket (the sockets on api.gemini.com are archived).

Documentation: https://developer.gemini.com/websocket/introduction and .../rest/market-data.
Two streams per instrument: `bookTicker`, the best bid and ask at each change, and `trade`. For books
`depth@100ms`: first the whole book, since we connect with `snapshot=-1`, then changes, each of which names
the number of the one before; `depth20` would be simpler, but as documented its frames do not name their
instrument. Times are in ns. A request with one unknown stream is refused as a whole, so each instrument has
a request of its own. The ids look like `btcusd`; perpetuals (`btcgusdperp`) and prediction markets use the
same socket, we ignore them.

Evidence: documents and the code of clients alone for the first two streams; recorded 2026-09-15 are
responses, errors and frames of `depth@100ms`, of perpetuals, 2026-08-09 the list of instruments.

Not given: 24 h figures (only its REST interface has them, without a volume); announcements of a shutdown. The
last price beside a top of book (`c`) is not used, since nothing tells how old it is.
"""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
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
    Level,
    Limits,
    Listed,
    Opening,
    Refused,
    Request,
    Rules,
    Topic,
    Trade,
    Update,
    VenueKey,
    VenueList,
    Wanted,
    exact,
    read_each,
    reading,
)
from crypto_stream.market.bars import venue_bar
from crypto_stream.market.decimals import decimal_text, price_of_trade

if TYPE_CHECKING:
    import httpx

URLS = ["wss://ws.gemini.com:443"]
REST_URL = "https://api.gemini.com"
BUSY = "btcusd"
DEPTH = True
LIMITS = Limits(
    pace_s=0.1,  # requests may weigh 7,000 in ten seconds; what each of them weighs is not published
    attempts=Budget(300, 300.0),
)

_STREAMS: dict[Topic, str] = {"top": "bookTicker", "trades": "trade", "depth": "depth@100ms"}
_DEPTH_UPDATE = "depthUpdate"
_OK = 200
_RATE_LIMIT = -1003
_TRADING = {"open", "limit_only"}  # the latter refuses market orders only
_SPOT = "spot"
_STEPS = {"1m": "1m", "1h": "1hr"}
_NS_PER_MS = 1_000_000

# Quotes, and bases that end like one of them, to split an id if there is no listing.
_QUOTES = ("GUSD", "RLUSD", "USDC", "USDT", "USD", "EUR", "GBP", "SGD", "BTC", "ETH", "SOL", "FIL")
_BASES_IN_G = ("PAXG", "USDG")


class _Error(Struct):
    code: int = 0
    msg: str = ""


class _Frame(Struct, gc=False):
    """What tells the kinds of frames apart: data of a stream, or the response to a request."""

    e: str = ""
    s: str = ""
    u: VenueKey | None = None
    t: VenueKey | None = None
    id: int | str | None = None
    status: int | None = None
    error: _Error | None = None


class _Top(Struct, gc=False):
    u: VenueKey
    E: VenueKey
    b: str
    B: str
    a: str
    A: str


class _Trade(Struct, gc=False):
    E: VenueKey
    t: VenueKey
    p: str
    q: str


class _Book(Struct):
    E: VenueKey
    U: VenueKey
    u: VenueKey
    b: list[Level]
    a: list[Level]


class _WithoutRules(Struct, gc=False):
    symbol: str
    base_currency: str
    quote_currency: str
    status: str
    product_type: str = _SPOT


class _Market(_WithoutRules, gc=False):
    tick_size: Raw = Raw()
    quote_increment: Raw = Raw()
    min_order_size: str = ""


class _Candle(Struct, array_like=True, gc=False):
    time: BarTime
    open: Raw
    high: Raw
    low: Raw
    close: Raw
    volume: Raw


_frame = msgspec.json.Decoder(_Frame).decode
_top = msgspec.json.Decoder(_Top).decode
_trade = msgspec.json.Decoder(_Trade).decode
_book = msgspec.json.Decoder(_Book).decode
_rows = msgspec.json.Decoder(Annotated[list[Raw], VenueList]).decode
_market = msgspec.json.Decoder(_Market).decode
_without_rules = msgspec.json.Decoder(_WithoutRules).decode
_candles = msgspec.json.Decoder(Annotated[list[_Candle], VenueList]).decode


def venue_id(pair: Instrument) -> str | None:
    """Return the venue's id of a pair."""
    return f"{pair.base}{pair.quote}".lower() if pair.base and pair.quote else None


def pair_of(venue_id: str) -> tuple[str, str] | None:
    """Split an id into base and quote; without a separator this is a guess, used if there is no listing."""
    joined = venue_id.upper()
    for base in _BASES_IN_G:
        if joined == f"{base}USD":
            return base, "USD"
    quote = next((each for each in _QUOTES if joined.endswith(each) and joined != each), None)
    return None if quote is None else (joined.removesuffix(quote), quote)


async def opening(http: httpx.AsyncClient, options: Mapping[str, str]) -> Opening:
    """Return the path, which requests that each book begins with all its levels."""
    return Opening("/?snapshot=-1")


class Reader:
    """Parses the frames of one connection and numbers its requests; `instruments` are by the venue's id."""

    def __init__(self, instruments: Mapping[str, Instrument]) -> None:
        self._instruments = instruments
        self._numbers = itertools.count(1)
        self._awaited: set[str] = set()  # the ids whose whole book was requested and has not come
        self._last: dict[str, int] = {}  # id → the number of its book

    def subscribe(self, wanted: Sequence[Wanted]) -> list[Request]:
        """Request the streams of one instrument per message; acknowledgements contain its number.

        {"id":1,"method":"subscribe","params":["btcusd@bookTicker","btcusd@trade"]}
        """
        self._awaited |= {each.id for each in wanted if each.topic == "depth"}
        return self._requests("subscribe", wanted)

    def unsubscribe(self, wanted: Sequence[Wanted]) -> list[Request]:
        """Cancel what `subscribe` requested; the responses are not awaited."""
        return [request._replace(keys=()) for request in self._requests("unsubscribe", wanted)]

    def read(self, frame: bytes) -> list[Event]:
        """Parse a frame; those of `bookTicker` and `trade` are known by their fields."""
        head = _frame(frame)
        if head.status is not None:
            return [_read_response(head)]
        if head.e not in {"", "trade", _DEPTH_UPDATE} or (head.t is None and head.u is None):
            return [Ignored(head.e[:40] or "unknown")]
        instrument = self._instruments.get(head.s)
        if instrument is None:
            return [Ignored("not_subscribed")]
        if head.e == _DEPTH_UPDATE:
            return [self._read_book(instrument, head.s, frame)]
        return [_read_top(instrument, frame) if head.t is None else _read_trade(instrument, frame)]

    def _read_book(self, instrument: Instrument, venue_id: str, frame: bytes) -> Event:
        """Parse a book, or what changed of it; a size of 0 removes a level.

        {"e":"depthUpdate","E":1789456742362015387,"s":"ethusd","U":1764527605192686,"u":1764527605192712,
         "b":[["2482.5500","1.047"]],"a":[["2483.5000","0.000"]]}
        `u` is the number of the book, `U` that of the one before, or of an earlier one: sizes are absolute.
        The whole book is the first frame of a subscription and has none before it: both are the same. A
        frame that was still on its way when a book was requested again must not be taken for it.
        """
        book = _book(frame)
        whole = venue_id in self._awaited and book.u == book.U
        last = self._last.get(venue_id, book.U)
        if not whole and book.u <= last:
            return Ignored("depth_repeated")
        if whole:
            self._awaited.discard(venue_id)
        self._last[venue_id] = book.u
        return DepthChange(
            instrument=instrument,
            bids=book.b,
            asks=book.a,
            whole=whole,
            time=book.E // _NS_PER_MS,
            number=book.u,
            after=None if whole else max(book.U, last),
        )

    def _requests(self, method: str, wanted: Sequence[Wanted]) -> list[Request]:
        by_id: dict[str, list[Wanted]] = {}
        for each in wanted:
            if each.topic in _STREAMS:
                by_id.setdefault(each.id, []).append(each)
        requests = []
        for venue_id, of_one in by_id.items():
            number = next(self._numbers)
            streams = [f"{venue_id}@{_STREAMS[each.topic]}" for each in of_one]
            text = msgspec.json.encode({"id": number, "method": method, "params": streams}).decode()
            requests.append(Request(text, (str(number),), tuple(of_one)))
        return requests


def _read_response(response: _Frame) -> Event:
    """Parse the response to a request; a refusal is of the whole request, for one of its streams.

    {"id":1,"status":200}
    {"id":4,"status":400,"error":{"code":-1013,"msg":"Invalid stream name: nosuchperp@depth@100ms"}}
    """
    key = "" if response.id is None else str(response.id)
    if response.status == _OK:
        return Acked(key)
    error = response.error or _Error()
    reason = error.msg[:200] or f"status {response.status}"[:200]
    return Refused(key, reason, temporary=error.code == _RATE_LIMIT)


def _read_top(instrument: Instrument, frame: bytes) -> Event:
    """Parse the top of the book; an empty side has empty texts.

    {"u":1764527605191349,"E":1789456740173524809,"s":"btcusd","b":"77188.00","B":"0.41122000","a":"77189.00",
     "A":"0.41120000"}
    """
    top = _top(frame)
    return Update(
        instrument=instrument,
        channel="bookTicker",
        key=top.u,
        time=top.E // _NS_PER_MS,
        bid=decimal_text(top.b),
        bid_size=decimal_text(top.B),
        ask=decimal_text(top.a),
        ask_size=decimal_text(top.A),
    )


def _read_trade(instrument: Instrument, frame: bytes) -> Event:
    """Parse a trade; `m` is whether the buyer was the maker.

    {"E":1789456740173524809,"s":"btcusd","t":2840140956529623,"p":"77188.50","q":"0.00100000","m":true}
    """
    trade = _trade(frame)
    return Trade(
        instrument=instrument,
        channel="trade",
        key=trade.t,
        time=trade.E // _NS_PER_MS,
        price=price_of_trade(trade.p),
        size=decimal_text(trade.q),
    )


async def instruments(http: httpx.AsyncClient) -> list[Listed]:
    """Fetch the listed spot pairs; their state is "" if they trade, else the venue's word (`post_only`).

    https://developer.gemini.com/rest/market-data (symbol details)
    """
    answer = await http.get("/v1/symbols/details/all")
    answer.raise_for_status()
    with reading("gemini symbols"):
        entries = read_each(_rows(answer.content), _market, _without_rules)
        return [
            Listed(
                id=item.symbol.lower(),
                base=item.base_currency,
                quote=item.quote_currency,
                state="" if item.status in _TRADING else item.status,
                rules=_rules(item) if isinstance(item, _Market) else Rules(),
            )
            for item in entries
            if item.product_type == _SPOT
        ]


def _rules(item: _Market) -> Rules:
    """Parse the rules for orders; what the venue calls `tick_size` is the step of amounts.

    {"symbol":"BTCUSD","base_currency":"BTC","quote_currency":"USD","tick_size":1E-8,"quote_increment":0.01,
     "min_order_size":"0.00001","status":"open","product_type":"spot"}
    """
    try:
        tick, lot = exact(item.quote_increment), exact(item.tick_size)
    except ValueError:
        return Rules()
    return Rules(tick=tick, lot=lot, min_amount=item.min_order_size)


async def candles(http: httpx.AsyncClient, venue_id: str, interval: str) -> list[Bar]:
    """Fetch the bars of "1m" (about a day) or "1h", oldest first; the last one is still open.

    https://developer.gemini.com/rest/market-data (candles)
    [[1559755800000,7781.6,7820.23,7776.56,7819.39,34.7624802159],...], newest first.
    """
    answer = await http.get(f"/v2/candles/{venue_id}/{_STEPS[interval]}")
    answer.raise_for_status()
    with reading("gemini candles"):
        return [
            venue_bar(row.time, [exact(each) or "" for each in numbers], None, "gemini")
            for row in reversed(_candles(answer.content))
            for numbers in [(row.open, row.high, row.low, row.close, row.volume)]
        ]
