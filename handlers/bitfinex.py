"""Bitfinex v2, public spot market data.

Documentation: https://docs.bitfinex.com/docs/ws-general and .../reference/ws-public-books, ws-public-trades,
ws-public-ticker. Three channels per instrument: `book` (25 levels of each side, of which the first is used),
`trades` and `ticker` (24 h figures). For books `book` of 100 levels: one that falls out is removed before
another takes its place, so that a few may be missing at the end for a moment. Data frames are arrays; they
name their channel only by the number that its acknowledgement gave it, on that connection. At our request
they are numbered: a missing one may have changed any book. The venue's ids look like `tBTCUSD`, or
`tAVAX:USD` if a currency has more than three letters; it has names of its own for some currencies (UST is
USDT). Prices have at most five significant digits, so the book's finest precision (P0) shows them exactly.

Evidence: recorded 2021-04-17 (books of 100 levels, 24 h figures, acknowledgements, heartbeats), single frames
of 2024-12-15 (trades) and 2026-09-22 (all others, errors); notices, limits and REST from the documents.

Not given: times of books and of 24 h figures; a tick; which instruments are halted (only the whole venue).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Annotated, NamedTuple

import msgspec
from msgspec import Raw, Struct

from crypto_stream.feed.handler import (
    ARRIVAL,
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
    Moving,
    Opening,
    Pong,
    Refused,
    Reply,
    Request,
    Resync,
    Rules,
    Topic,
    Trade,
    Update,
    VenueKey,
    VenueList,
    VenueStatus,
    VenueTime,
    Wanted,
    by_topic,
    exact,
    exact_price,
    read_each,
    reading,
)
from crypto_stream.feed.levels import Levels
from crypto_stream.market.bars import venue_bar
from crypto_stream.market.decimals import difference

if TYPE_CHECKING:
    import httpx

URLS = ["wss://api-pub.bitfinex.com:443"]
REST_URL = "https://api-pub.bitfinex.com"
BUSY = "btcusd"
DEPTH = True
LIMITS = Limits(
    instruments=7,  # 25 channels per connection, three per instrument, with room for BUSY
    connections=10,
    pace_s=0.1,  # the limit is not published
    attempts=Budget(20, 60.0),  # more attempts are blocked for a minute
    books=25,
)

_CHANNELS: dict[Topic, str] = {"top": "book", "trades": "trades", "day": "ticker", "depth": "book"}
_BOOK = {"prec": "P0", "freq": "F0"}
_EXTRA: dict[Topic, dict[str, str]] = {"top": {**_BOOK, "len": "25"}, "depth": {**_BOOK, "len": "100"}}
_NUMBER_FRAMES = '{"event":"conf","flags":65536}'  # then the last element of each data frame is its number
# The venue's names of currencies; its list has all of them.
_ALIASES = {
    "ALG": "ALGO", "ATO": "ATOM", "DSH": "DASH", "EUS": "EURS", "EUT": "EURT", "IOT": "IOTA", "MNA": "MANA",
    "QTM": "QTUM", "TSD": "TUSD", "UDC": "USDC", "UST": "USDT", "DOG": "MDOGE",  # a million DOGE
}  # fmt: skip
_NAMES = {ours: theirs for theirs, ours in _ALIASES.items()}
_LETTERS = 3  # of a currency in an id without a colon
_DUPLICATE, _NOT_SUBSCRIBED = 10301, 10400
_LOST = "a frame was lost"
_MAINTENANCE = "maintenance"
_STATES = {1: ""}  # of the whole venue; all others are maintenance
_NOTICES: dict[int | None, tuple[Event, ...]] = {
    20051: (Moving("Bitfinex restarts the server"),),
    20060: (VenueStatus(_MAINTENANCE),),
    20061: (VenueStatus(""), Moving("Bitfinex ended its maintenance")),  # all subscriptions must be renewed
}


class _Data(Struct, array_like=True, gc=False):
    """[channel, payload], [channel, kind, payload] or [channel, "hb"], and the frame's number after each."""

    number: int
    first: Raw
    second: Raw = Raw()
    third: Raw = Raw()


class _Row(Struct, array_like=True, gc=False):
    price: Raw
    count: VenueKey
    amount: Raw


class _Trade(Struct, array_like=True, gc=False):
    id: VenueKey
    time: VenueTime
    amount: Raw
    price: Raw


class _Platform(Struct):
    status: int


class _Message(Struct):
    """A response or a notice."""

    event: str
    channel: str = ""
    symbol: str = ""
    number: int | None = msgspec.field(name="chanId", default=None)
    msg: str = ""
    code: int | None = None
    platform: _Platform | None = None


class _Sizes(Struct, array_like=True, gc=False):
    """The sizes of orders, after three values without meaning."""

    first: Raw
    second: Raw
    third: Raw
    least: str | None = None
    most: str | None = None


_Rows = Annotated[list[Raw], VenueList]
# bid, its sizes, ask, its sizes, change, relative change, last, volume, high, low, and what may be added
_Ticker = Annotated[list[Raw], msgspec.Meta(min_length=10)]
# time, open, close, high, low, volume
_Candle = tuple[BarTime, Raw, Raw, Raw, Raw, Raw]

_data = msgspec.json.Decoder(_Data).decode
_key = msgspec.json.Decoder(VenueKey).decode
_levels = msgspec.json.Decoder(list[_Row]).decode
_trade = msgspec.json.Decoder(_Trade).decode
_past_trades = msgspec.json.Decoder(list[_Trade]).decode
_ticker = msgspec.json.Decoder(_Ticker).decode
_message = msgspec.json.Decoder(_Message).decode
_configuration = msgspec.json.Decoder(tuple[Annotated[list[str], VenueList], _Rows, _Rows]).decode
_currency = msgspec.json.Decoder(tuple[str, str]).decode
_info = msgspec.json.Decoder(tuple[str, _Sizes]).decode
_statuses = msgspec.json.Decoder(Annotated[list[int], msgspec.Meta(min_length=1)]).decode
_candles = msgspec.json.Decoder(Annotated[list[_Candle], VenueList]).decode


def venue_id(pair: Instrument) -> str | None:
    """Return the venue's id of a pair; None if only its list can tell: it uses that name otherwise."""
    if not pair.base or not pair.quote or {pair.base, pair.quote} & _ALIASES.keys():
        return None
    base, quote = (_NAMES.get(each, each) for each in (pair.base, pair.quote))
    return f"t{base}{quote}" if len(base) == len(quote) == _LETTERS else f"t{base}:{quote}"


def pair_of(venue_id: str) -> tuple[str, str] | None:
    """Split an id into base and quote; None for loans (`fUSD`), derivatives and test pairs."""
    return _split(venue_id[1:], _ALIASES) if venue_id.startswith("t") else None


def _split(pair: str, aliases: Mapping[str, str]) -> tuple[str, str] | None:
    base, colon, quote = pair.partition(":")
    if not colon and len(pair) == 2 * _LETTERS:
        base, quote = pair[:_LETTERS], pair[_LETTERS:]
    is_spot = not (quote.endswith("F0") or base.startswith("TEST") or pair == "AAABBB")
    return (aliases.get(base, base), aliases.get(quote, quote)) if base and quote and is_spot else None


async def opening(http: httpx.AsyncClient, options: Mapping[str, str]) -> Opening:
    """Return the path of the public channels, and the request to number all frames."""
    return Opening("/ws/2", greeting=(_NUMBER_FRAMES,))


class _Channel(NamedTuple):
    """What a channel's number stands for: "book tBTCUSD"; its levels, if it is a book."""

    key: str
    instrument: Instrument
    levels: Levels


class Reader:
    """Parses and counts the frames of a connection, keeps its books; `instruments` are by the venue's id.

    On a connection for books, as those of the topic `depth`, it keeps none: they are passed on.
    """

    def __init__(self, instruments: Mapping[str, Instrument]) -> None:
        self._instruments = instruments
        self._channels: dict[int, _Channel] = {}
        self._unwanted: set[str] = set()  # channels to cancel as soon as they have a number
        self._frame: int | None = None
        self._is_for_books = False

    def subscribe(self, wanted: Sequence[Wanted]) -> list[Request]:
        """Request one channel per message, prices before trades; acknowledgements name channel and id.

        {"event":"subscribe","channel":"book","symbol":"tBTCUSD","prec":"P0","freq":"F0","len":"25"}
        """
        requests = []
        for each, channel in by_topic(wanted, _CHANNELS):
            self._is_for_books |= each.topic == "depth"
            more = _EXTRA.get(each.topic, {})
            message = {"event": "subscribe", "channel": channel, "symbol": each.id, **more}
            text, key = msgspec.json.encode(message).decode(), f"{channel} {each.id}"
            self._unwanted.discard(key)
            requests.append(Request(text, (key,), (each,)))
        return requests

    def unsubscribe(self, wanted: Sequence[Wanted]) -> list[Request]:
        """Cancel subscriptions, those without a number once they have one; the responses are not awaited.

        {"event":"unsubscribe","chanId":232949}
        """
        numbers = {channel.key: number for number, channel in self._channels.items()}
        keys = {f"{_CHANNELS[each.topic]} {each.id}": each for each in wanted}
        self._unwanted |= keys.keys() - numbers.keys()
        return [
            Request(_cancelling(numbers[key]), (), (each,)) for key, each in keys.items() if key in numbers
        ]

    def read(self, frame: bytes) -> list[Event]:
        """Parse a frame: an array of data, or a response or notice."""
        if frame.startswith(b"["):
            return self._read_data(_data(frame))
        return self._read_message(_message(frame))

    def _read_data(self, data: _Data) -> list[Event]:
        """Parse data of a channel; if a frame is missing before it, every book is unknown.

        [232949,[...],1] or [18788,"te",[...],2] or [232949,"hb",3]
        "te" is a trade, "tu" the same trade once more; the first data of a channel of trades are past ones.
        """
        kind, payload, frame = "", bytes(data.first), data.second
        if payload.startswith(b'"'):
            kind = payload.decode().strip('"')
            payload, frame = (b"", data.second) if kind == "hb" else (bytes(data.second), data.third)
        lost = [] if self._is_next(frame) else self._lose()
        found = self._channels.get(data.number)
        if found is None:
            return [*lost, Ignored("not_subscribed")]
        if self._is_for_books:
            return [*lost, _read_depth(found.instrument, kind, payload, is_numbered=bool(bytes(frame)))]
        return _read_payload(found, kind, payload)

    def _lose(self) -> list[Event]:
        """Forget all levels; on a connection for books report that these are lost."""
        for channel in self._channels.values():
            channel.levels.lose()
        if not self._is_for_books:
            return []
        return [Resync(each.instrument, "depth", _LOST) for each in self._channels.values()]

    def _is_next(self, number: Raw) -> bool:
        """Return whether no frame is missing before this one; without numbers that is not known."""
        if not bytes(number):
            return True
        before, self._frame = self._frame, _key(number)
        return before is None or self._frame == before + 1

    def _read_message(self, message: _Message) -> list[Event]:
        """Parse a response or a notice.

        {"event":"subscribed","channel":"ticker","chanId":232949,"symbol":"tBTCUSD","pair":"BTCUSD"}
        {"event":"unsubscribed","status":"OK","chanId":232949}
        {"event":"info","version":2,"serverId":"...","platform":{"status":1}}
        {"event":"info","code":20051,"msg":"..."}
        """
        if message.event == "subscribed":
            return [self._open(message)]
        if message.event == "unsubscribed" and message.number is not None:
            self._channels.pop(message.number, None)
        if message.event == "error":
            return [self._read_error(message)]
        if message.event == "info" and message.platform is not None:
            return [VenueStatus(_STATES.get(message.platform.status, _MAINTENANCE))]
        if message.event == "info":
            return [*_NOTICES.get(message.code, (Ignored("info"),))]
        return [Pong() if message.event == "pong" else Ignored(message.event[:40] or "unknown")]

    def _open(self, message: _Message) -> Event:
        key = f"{message.channel} {message.symbol}"
        instrument = self._instruments.get(message.symbol)
        if message.number is None or message.channel not in _CHANNELS.values() or instrument is None:
            return Ignored("not_subscribed")
        if key in self._unwanted:  # it was removed before the venue answered
            self._unwanted.discard(key)
            return Reply(_cancelling(message.number))
        self._channels = {number: each for number, each in self._channels.items() if each.key != key}
        self._channels[message.number] = _Channel(key, instrument, Levels())
        return Acked(key)

    def _read_error(self, message: _Message) -> Event:
        """Parse a refusal; it repeats the request.

        {"channel":"book","symbol":"tFOOBAR","prec":"P0","len":"25","event":"error","msg":"symbol: invalid",
         "code":10300,"pair":"FOOBAR"}
        """
        if message.code == _NOT_SUBSCRIBED:
            return Ignored("error:10400")
        key = f"{message.channel} {message.symbol}" if message.symbol else ""
        if message.code == _DUPLICATE and key:
            for channel in self._channels.values():
                if channel.key == key:
                    channel.levels.request_again()  # by a later frame: it is not sent by itself
            return Acked(key)
        self._unwanted.discard(key)
        return Refused(key, message.msg[:200] or "error", self._instruments.get(message.symbol))


def _cancelling(number: int) -> str:
    return f'{{"event":"unsubscribe","chanId":{number}}}'


def _read_payload(channel: _Channel, kind: str, payload: bytes) -> list[Event]:
    """Parse data of a channel, on a connection for prices."""
    if channel.key.startswith("book ") and kind in {"", "hb"}:
        return [_read_book(channel.instrument, channel.levels, payload)]
    if kind == "te":
        return [_read_trade(channel.instrument, _trade(payload))]
    if kind:
        return [Ignored(kind[:40])]
    if channel.key.startswith("ticker "):
        return [_read_ticker(channel.instrument, payload)]
    return _read_past_trades(channel.instrument, payload) or [Ignored("no_trades")]


def _read_book(instrument: Instrument, levels: Levels, payload: bytes) -> Event:
    """Apply the whole book or one change; `payload` is b"" for a heartbeat.

    [[7254.7,3,3.3],[7254.8,1,-0.5],...] or [7254.7,0,1]: price, number of orders (0 removes the level)
    and amount, which is negative for asks.
    """
    is_whole = _is_whole(payload)
    if not is_whole and not levels.known:
        lost = Resync(instrument, "top", _LOST)
        return lost if levels.must_be_requested() else Ignored("book_unknown")
    if not payload:
        return Ignored("hb")
    with levels.changing(whole=is_whole):
        for price, size, is_bid in _read_levels(payload):
            levels.put(price, size, is_bid=is_bid)
    bid, bid_size, ask, ask_size = levels.top()
    return Update(instrument, "book", ARRIVAL, bid=bid, bid_size=bid_size, ask=ask, ask_size=ask_size)


def _read_depth(instrument: Instrument, kind: str, payload: bytes, *, is_numbered: bool) -> Event:
    """Parse the whole book or one change, as `_read_book` does; numbers are what reveals a loss."""
    if kind:
        return Ignored(kind[:40])
    if not is_numbered:
        raise ValueError("a change of a book in a frame without a number")
    bids: list[Level] = []
    asks: list[Level] = []
    for price, size, is_bid in _read_levels(payload):
        (bids if is_bid else asks).append((price, size or "0"))
    return DepthChange(instrument, bids, asks, whole=_is_whole(payload))


def _read_levels(payload: bytes) -> Iterator[tuple[str, str | None, bool]]:
    """Parse levels: price, size (None: removed), and whether it is a bid."""
    for level in _levels(payload if _is_whole(payload) else b"[%b]" % payload):
        price, amount = exact(level.price), exact(level.amount)
        if price is None or amount is None:
            raise ValueError("a level without price or amount")
        size = amount.removeprefix("-")
        yield price, size if level.count else None, size == amount


def _is_whole(payload: bytes) -> bool:
    return payload.startswith((b"[[", b"[]"))


def _read_past_trades(instrument: Instrument, payload: bytes) -> list[Event]:
    """Parse the trades before a subscription, newest first: those between two connections are among them.

    [[669899159,1618665870435,166.391496,0.076989],[669899158,1618665869017,-20,0.076979],...]
    """
    return [_read_trade(instrument, each) for each in reversed(_past_trades(payload))]


def _read_trade(instrument: Instrument, trade: _Trade) -> Event:
    """Parse a trade; the amount is negative if the taker sold.

    [5690221202,1734237017704,-0.01925285,102560]
    """
    price, amount = exact_price(trade.price), exact(trade.amount)
    size = amount and amount.removeprefix("-")
    return Trade(instrument, "trades", key=trade.id, time=trade.time, price=price, size=size)


def _read_ticker(instrument: Instrument, payload: bytes) -> Event:
    """Parse the 24 h figures; `volume` is in base, `change` since 24 h ago in quote.

    [86697,14.34954787,86723,14.75896594,1060,0.01237494,86717,544.3267938,86898,85156,null]
    Bid and ask are not used: their sizes are sums over 25 levels.
    """
    change, _, last, volume, high, low = map(exact, _ticker(payload)[4:10])
    return Update(
        instrument, "ticker", ARRIVAL, slow=True, price=last,
        open_24h=difference(last, change) if last and change else None,
        high_24h=high, low_24h=low, volume_24h=volume,
    )  # fmt: skip


async def instruments(http: httpx.AsyncClient) -> list[Listed]:
    """Fetch the listed spot pairs; their state is "maintenance" while the whole venue does not trade.

    https://docs.bitfinex.com/reference/rest-public-conf and .../rest-public-platform-status
    [["BTCUSD","AVAX:USD",...],[["UST","USDt"],...],[["BTCUSD",[null,null,null,"0.00004","2000.0",...]],...]]
    """
    answer = await http.get("/v2/conf/pub:list:pair:exchange,pub:map:currency:sym,pub:info:pair")
    answer.raise_for_status()
    status = await http.get("/v2/platform/status")
    status.raise_for_status()
    with reading("bitfinex conf"):
        pairs, currencies, infos = _configuration(answer.content)
        aliases = _ALIASES | {theirs: ours.upper() for theirs, ours in read_each(currencies, _currency)}
        sizes = read_each(infos, _info)
        rules = {pair: Rules(min_amount=each.least, max_amount=each.most) for pair, each in sizes}
        state = _STATES.get(_statuses(status.content)[0], _MAINTENANCE)
    return [
        Listed(f"t{pair}", *split, state=state, rules=rules.get(pair, Rules()))
        for pair in pairs
        if (split := _split(pair, aliases))
    ]


async def candles(http: httpx.AsyncClient, venue_id: str, interval: str) -> list[Bar]:
    """Fetch the newest 1,000 bars of "1m" or "1h" with trades, oldest first; the last one is still open.

    https://docs.bitfinex.com/reference/rest-public-candles
    [[1678465320000,20097,20094,20097,20094,0.07870586],...], newest first; the close comes before the high.
    """
    path = f"/v2/candles/trade:{interval}:{venue_id}/hist"
    answer = await http.get(path, params={"limit": "1000", "sort": "-1"})
    answer.raise_for_status()
    with reading("bitfinex candles"):
        return [
            venue_bar(time, [exact(each) or "" for each in (open_, high, low, close, size)], None, "bitfinex")
            for time, open_, close, high, low, size in reversed(_candles(answer.content))
        ]
