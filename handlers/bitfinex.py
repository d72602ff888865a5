"""Bitfinex v2, public spot market data.

Documentation: https://docs.bitfinex.com/docs/ws-general and .../reference/ws-public-books, ws-public-trades,
ws-public-ticker. Three channels per instrument: `book` (25 levels of each side, of which the first is used),
`trades` and `ticker` (24 h figures). Data frames are arrays; they name their channel only by the number that
its acknowledgement gave it, on that connection. The venue's ids look like `tBTCUSD`, or `tAVAX:USD` if a
currency has more than three letters; it has names of its own for some currencies (UST is USDT). Prices have
at most five significant digits, so the book's finest precision (P0) shows them exactly.

Evidence: recorded 2021-04-17 (books, 24 h figures, acknowledgements, heartbeats), single frames of 2024-12-15
(trades) and 2026-09-22 (all others, errors); notices, limits and REST from the documents.

Not given: times of books and of 24 h figures; a tick; which instruments are halted (only the whole venue).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from decimal import Decimal
from typing import TYPE_CHECKING, Annotated, NamedTuple

import msgspec
from msgspec import Raw, Struct

from crypto_stream.feed.handler import (
    ARRIVAL,
    Acked,
    Bar,
    BarTime,
    Budget,
    Event,
    Ignored,
    Instrument,
    Limits,
    Listed,
    Moving,
    Opening,
    Pong,
    Refused,
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
    exact,
    read_each,
    reading,
)
from crypto_stream.market.bars import venue_bar
from crypto_stream.market.decimals import difference

if TYPE_CHECKING:
    import httpx

URLS = ["wss://api-pub.bitfinex.com:443"]
REST_URL = "https://api-pub.bitfinex.com"
BUSY = "btcusd"
LIMITS = Limits(
    instruments=7,  # 25 channels per connection, three per instrument, with room for BUSY
    connections=10,
    pace_s=0.1,  # the limit is not published
    attempts=Budget(20, 60.0),  # more attempts are blocked for a minute
)

_CHANNELS: dict[Topic, str] = {"top": "book", "trades": "trades", "day": "ticker"}
_EXTRA_PARAMS: dict[str, dict[str, str]] = {"book": {"prec": "P0", "freq": "F0", "len": "25"}}
_NUMBER_FRAMES = '{"event":"conf","flags":65536}'  # then the last element of each data frame is its number
# The venue's names of currencies; its list has all of them.
_ALIASES = {
    "ALG": "ALGO",
    "ATO": "ATOM",
    "DOG": "MDOGE",  # a million DOGE
    "DSH": "DASH",
    "EUS": "EURS",
    "EUT": "EURT",
    "IOT": "IOTA",
    "MNA": "MANA",
    "QTM": "QTUM",
    "TSD": "TUSD",
    "UDC": "USDC",
    "UST": "USDT",
}
_NAMES = {ours: theirs for theirs, ours in _ALIASES.items()}
_LETTERS = 3  # of a currency in an id without a colon
_MAX_LEVELS = 1_000  # of a side of a book; the venue sends 25
_DUPLICATE, _NOT_SUBSCRIBED = 10301, 10400
_RESTART, _MAINTENANCE, _MAINTENANCE_ENDED = 20051, 20060, 20061
_OPERATIVE = 1
_MAX_BARS = "1000"


class _Data(Struct, array_like=True, gc=False):
    """[channel, payload], [channel, kind, payload] or [channel, "hb"], and the frame's number after each."""

    number: int
    first: Raw
    second: Raw = Raw()
    third: Raw = Raw()


class _Level(Struct, array_like=True, gc=False):
    price: Raw
    count: VenueKey
    amount: Raw


class _Trade(Struct, array_like=True, gc=False):
    id: VenueKey
    time: VenueTime
    amount: Raw
    price: Raw


class _Ticker(Struct, array_like=True, gc=False):
    bid: Raw
    bid_sizes: Raw
    ask: Raw
    ask_sizes: Raw
    change: Raw
    change_relative: Raw
    last: Raw
    volume: Raw
    high: Raw
    low: Raw


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
    smallest: str | None = None
    largest: str | None = None


class _Info(Struct, array_like=True, gc=False):
    pair: str
    sizes: _Sizes


class _Configuration(Struct, array_like=True):
    """The three parts, in the order in which they were requested."""

    pairs: Annotated[list[str], VenueList]
    currencies: Annotated[list[Raw], VenueList]
    infos: Annotated[list[Raw], VenueList]


class _Candle(Struct, array_like=True, gc=False):
    time: BarTime
    open: Raw
    close: Raw
    high: Raw
    low: Raw
    volume: Raw


_data = msgspec.json.Decoder(_Data).decode
_key = msgspec.json.Decoder(VenueKey).decode
_level = msgspec.json.Decoder(_Level).decode
_levels = msgspec.json.Decoder(list[_Level]).decode
_trade = msgspec.json.Decoder(_Trade).decode
_ticker = msgspec.json.Decoder(_Ticker).decode
_message = msgspec.json.Decoder(_Message).decode
_configuration = msgspec.json.Decoder(_Configuration).decode
_currency = msgspec.json.Decoder(tuple[str, str]).decode
_info = msgspec.json.Decoder(_Info).decode
_statuses = msgspec.json.Decoder(Annotated[list[int], msgspec.Meta(min_length=1)]).decode
_candles = msgspec.json.Decoder(Annotated[list[_Candle], VenueList]).decode

_Side = dict[Decimal, tuple[str, str]]  # the level of a price: price and amount as text


def venue_id(pair: Instrument) -> str | None:
    """Return the venue's id of a pair; None if only its list can tell: it uses that name otherwise."""
    if not pair.base or not pair.quote or {pair.base, pair.quote} & _ALIASES.keys():
        return None
    base, quote = (_NAMES.get(each, each) for each in (pair.base, pair.quote))
    return f"t{base}{quote}" if len(base) == len(quote) == _LETTERS else f"t{base}:{quote}"


def pair_of(venue_id: str) -> tuple[str, str] | None:
    """Split an id into base and quote; None for loans (`fUSD`), derivatives and test pairs."""
    split = _split(venue_id[1:]) if venue_id.startswith("t") else None
    return None if split is None else (_ALIASES.get(split[0], split[0]), _ALIASES.get(split[1], split[1]))


def _split(pair: str) -> tuple[str, str] | None:
    base, colon, quote = pair.partition(":")
    if not colon and len(pair) == 2 * _LETTERS:
        base, quote = pair[:_LETTERS], pair[_LETTERS:]
    is_spot = not (quote.endswith("F0") or base.startswith("TEST") or pair == "AAABBB")
    return (base, quote) if base and quote and is_spot else None


async def opening(http: httpx.AsyncClient, options: Mapping[str, str]) -> Opening:
    """Return the path of the public channels, and the request to number all frames."""
    return Opening("/ws/2", greeting=(_NUMBER_FRAMES,))


class _Channel(NamedTuple):
    """What a channel's number stands for; only a `book` channel has a book."""

    name: str
    instrument: Instrument
    book: _Book | None


class _Book:
    """The levels of one book, which the venue sends whole at first and then one by one.

    After a loss they are unknown until the venue sends the whole book again, which is requested once.
    """

    def __init__(self, instrument: Instrument) -> None:
        self._instrument = instrument
        self._bids: _Side = {}
        self._asks: _Side = {}
        self._is_known = False
        self._is_requested = False

    def lose(self) -> None:
        """Forget all levels, since a change was missed."""
        self._is_known = self._is_requested = False

    def read(self, payload: bytes) -> Event:
        """Apply the whole book or one change; `payload` is b"" for a heartbeat.

        [[7254.7,3,3.3],[7254.8,1,-0.5],...] or [7254.7,0,1]: price, number of orders (0 removes the level)
        and amount, which is negative for asks.
        """
        is_whole = payload.startswith((b"[[", b"[]"))
        if not is_whole and not self._is_known:
            return self._request()
        if not payload:
            return Ignored("hb")
        try:
            if is_whole:
                self._bids, self._asks = {}, {}
            for level in _levels(payload) if is_whole else (_level(payload),):
                self._set(level)
        except Exception:
            self.lose()
            raise
        self._is_known = True
        return self._top()

    def _request(self) -> Event:
        if self._is_requested:
            return Ignored("book_unknown")
        self._is_requested = True
        return Resync(self._instrument, "top", "a frame was lost")

    def _set(self, level: _Level) -> None:
        price, amount = exact(level.price), exact(level.amount)
        if price is None or amount is None:
            raise ValueError("a level without price or amount")
        side = self._asks if amount.startswith("-") else self._bids
        if level.count:
            side[Decimal(price)] = (price, amount.removeprefix("-"))
        else:
            side.pop(Decimal(price), None)
        if len(side) > _MAX_LEVELS:
            raise ValueError(f"a book of more than {_MAX_LEVELS} levels")

    def _top(self) -> Event:
        bid, bid_size = self._bids[max(self._bids)] if self._bids else (None, None)
        ask, ask_size = self._asks[min(self._asks)] if self._asks else (None, None)
        return Update(
            instrument=self._instrument,
            channel="book",
            key=ARRIVAL,
            bid=bid,
            bid_size=bid_size,
            ask=ask,
            ask_size=ask_size,
        )


class Reader:
    """Parses the frames of one connection: its channels by their numbers, its books, the number of frames.

    `instruments` are by the venue's id.
    """

    def __init__(self, instruments: Mapping[str, Instrument]) -> None:
        self._instruments = instruments
        self._channels: dict[int, _Channel] = {}
        self._numbers: dict[str, int] = {}
        self._frame: int | None = None

    def subscribe(self, wanted: Sequence[Wanted]) -> list[Request]:
        """Request one channel per message, prices before trades; acknowledgements name channel and id.

        {"event":"subscribe","channel":"book","symbol":"tBTCUSD","prec":"P0","freq":"F0","len":"25"}
        """
        requests = []
        for topic, channel in _CHANNELS.items():
            for each in wanted:
                if each.topic == topic:
                    params = {"channel": channel, "symbol": each.id, **_EXTRA_PARAMS.get(channel, {})}
                    text = msgspec.json.encode({"event": "subscribe", **params}).decode()
                    requests.append(Request(text, (_name(channel, each.id),), (each,)))
        return requests

    def unsubscribe(self, wanted: Sequence[Wanted]) -> list[Request]:
        """Cancel those subscriptions that have a number; the responses are not awaited."""
        return [
            Request(f'{{"event":"unsubscribe","chanId":{number}}}', (), (each,))
            for each in wanted
            if (number := self._numbers.get(_name(_CHANNELS[each.topic], each.id))) is not None
        ]

    def read(self, frame: bytes) -> list[Event]:
        """Parse a frame: an array of data, or a response or notice."""
        if frame.startswith(b"["):
            return [self._read_data(_data(frame))]
        return self._read_message(_message(frame))

    def _read_data(self, data: _Data) -> Event:
        """Parse data of a channel; if a frame is missing before it, every book is unknown.

        [232949,[...],1] or [18788,"te",[...],2] or [232949,"hb",3]
        "te" is a trade, "tu" the same trade once more; a list of trades at the beginning is of the past.
        """
        kind, payload, frame = "", bytes(data.first), data.second
        if payload.startswith(b'"'):
            kind = payload.decode().strip('"')
            payload, frame = (b"", data.second) if kind == "hb" else (bytes(data.second), data.third)
        if not self._is_next(frame):
            for channel in self._channels.values():
                if channel.book:
                    channel.book.lose()
        found = self._channels.get(data.number)
        if found is None:
            return Ignored("not_subscribed")
        if found.book and kind in {"", "hb"}:
            return found.book.read(payload)
        if (read := _READERS.get((found.name, kind))) is None:
            return Ignored(kind[:40] or "past_trades")
        return read(found.instrument, payload)

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
        if message.event == "unsubscribed" and message.number in self._channels:
            self._close(message.number)
        if message.event == "error":
            return [self._read_error(message)]
        if message.event == "info":
            return _read_info(message)
        return [Pong() if message.event == "pong" else Ignored(message.event[:40] or "unknown")]

    def _open(self, message: _Message) -> Event:
        name = _name(message.channel, message.symbol)
        instrument = self._instruments.get(message.symbol)
        if message.number is None or message.channel not in _CHANNELS.values() or instrument is None:
            return Ignored("not_subscribed")
        for earlier in (self._numbers.get(name), message.number):
            if earlier in self._channels:
                self._close(earlier)
        book = _Book(instrument) if message.channel == "book" else None
        self._channels[message.number] = _Channel(message.channel, instrument, book)
        self._numbers[name] = message.number
        return Acked(name)

    def _close(self, number: int) -> None:
        del self._channels[number]
        self._numbers = {name: each for name, each in self._numbers.items() if each != number}

    def _read_error(self, message: _Message) -> Event:
        """Parse a refusal; it repeats the request.

        {"channel":"book","symbol":"tFOOBAR","prec":"P0","len":"25","event":"error","msg":"symbol: invalid",
         "code":10300,"pair":"FOOBAR"}
        """
        if message.code == _NOT_SUBSCRIBED:
            return Ignored("error:10400")
        name = _name(message.channel, message.symbol) if message.symbol else ""
        if message.code == _DUPLICATE and name:
            channel = self._channels.get(self._numbers.get(name, -1))
            if channel and channel.book:
                channel.book.lose()  # it will not be sent again; a later frame requests it once more
            return Acked(name)
        return Refused(name, message.msg[:200] or "error", self._instruments.get(message.symbol))


def _name(channel: str, venue_id: str) -> str:
    return f"{channel} {venue_id}"


def _read_info(message: _Message) -> list[Event]:
    """Parse a notice of the venue; after a maintenance it wants all subscriptions to be renewed."""
    if message.code == _RESTART:
        return [Moving("Bitfinex restarts the server")]
    if message.code == _MAINTENANCE:
        return [VenueStatus("maintenance")]
    if message.code == _MAINTENANCE_ENDED:
        return [VenueStatus(""), Moving("Bitfinex ended its maintenance")]
    if message.platform is None:
        return [Ignored("info")]
    return [VenueStatus(_state(message.platform.status))]


def _state(status: int) -> str:
    return "" if status == _OPERATIVE else "maintenance"


def _read_trade(instrument: Instrument, payload: bytes) -> Event:
    """Parse a trade; the amount is negative if the taker sold.

    [5690221202,1734237017704,-0.01925285,102560]
    """
    trade = _trade(payload)
    price, amount = exact(trade.price), exact(trade.amount)
    if price is None:
        raise ValueError("a trade without a price")
    return Trade(
        instrument=instrument,
        channel="trades",
        key=trade.id,
        time=trade.time,
        price=price,
        size=amount and amount.removeprefix("-"),
    )


def _read_ticker(instrument: Instrument, payload: bytes) -> Event:
    """Parse the 24 h figures; `volume` is in base, `change` since 24 h ago in quote.

    [86697,14.34954787,86723,14.75896594,1060,0.01237494,86717,544.3267938,86898,85156,null]
    Bid and ask are not used: their sizes are sums over 25 levels.
    """
    day = _ticker(payload)
    last, change = exact(day.last), exact(day.change)
    return Update(
        instrument=instrument,
        channel="ticker",
        key=ARRIVAL,
        price=last,
        open_24h=difference(last, change) if last and change else None,
        high_24h=exact(day.high),
        low_24h=exact(day.low),
        volume_24h=exact(day.volume),
        slow=True,
    )


_READERS: dict[tuple[str, str], Callable[[Instrument, bytes], Event]] = {
    ("trades", "te"): _read_trade,
    ("ticker", ""): _read_ticker,
}


async def instruments(http: httpx.AsyncClient) -> list[Listed]:
    """Fetch the listed spot pairs; their state is "maintenance" while the whole venue does not trade.

    https://docs.bitfinex.com/reference/rest-public-conf and .../rest-public-platform-status
    [["BTCUSD","AVAX:USD",...],[["UST","USDt"],...],[["BTCUSD",[null,null,null,"0.00004","2000.0",...]],...]]
    """
    parts = "pub:list:pair:exchange,pub:map:currency:sym,pub:info:pair"
    answer = await http.get(f"/v2/conf/{parts}")
    answer.raise_for_status()
    status = await http.get("/v2/platform/status")
    status.raise_for_status()
    with reading("bitfinex conf"):
        found = _configuration(answer.content)
        currencies = {theirs: ours.upper() for theirs, ours in read_each(found.currencies, _currency)}
        rules = {item.pair: _rules(item.sizes) for item in read_each(found.infos, _info)}
        state = _state(_statuses(status.content)[0])
    aliases = {**_ALIASES, **currencies}
    return [
        Listed(
            id=f"t{pair}",
            base=aliases.get(base, base),
            quote=aliases.get(quote, quote),
            state=state,
            rules=rules.get(pair, Rules()),
        )
        for pair in found.pairs
        if (split := _split(pair))
        for base, quote in [split]
    ]


def _rules(sizes: _Sizes) -> Rules:
    """Return the rules for orders; there is no tick, since prices have five significant digits."""
    return Rules(min_amount=sizes.smallest, max_amount=sizes.largest)


async def candles(http: httpx.AsyncClient, venue_id: str, interval: str) -> list[Bar]:
    """Fetch the newest 1,000 bars of "1m" or "1h" with trades, oldest first; the last one is still open.

    https://docs.bitfinex.com/reference/rest-public-candles
    [[1678465320000,20097,20094,20097,20094,0.07870586],...], newest first; the close comes before the high.
    """
    path = f"/v2/candles/trade:{interval}:{venue_id}/hist"
    answer = await http.get(path, params={"limit": _MAX_BARS, "sort": "-1"})
    answer.raise_for_status()
    with reading("bitfinex candles"):
        return [
            venue_bar(row.time, [exact(each) or "" for each in numbers], None, "bitfinex")
            for row in reversed(_candles(answer.content))
            for numbers in [(row.open, row.high, row.low, row.close, row.volume)]
        ]
